// Peer: GoRules ZEN decides which rules apply.  The rules of a component stand in
// decision tables, one for each value of its key (fields.js), as large rule sets
// are cut into decisions that are called by a name.  A table is asked for many
// tickets at a time, and the engine has a thread a core.
'use strict';
const { ZenEngine, ZenDecisionContent } = require('@gorules/zen-engine');
const { settle } = require('./settle');
const { keyed } = require('./fields');

const range = r => r.amount_from === null && r.amount_below === null ? ''
	: r.amount_below === null ? `>= ${r.amount_from}`
	: r.amount_from === null ? `< ${r.amount_below}` : `[${r.amount_from}..${r.amount_below})`;

// A graph of one table; no two rules of a component meet, so the first that applies is all.
function graph({ fields, amounts }, rules) {
	const asked = [...fields.map(f => f.name), ...amounts ? ['amount'] : []];
	return {
		nodes: [{ id: 'in', name: 'in', type: 'inputNode' }, {
			id: 'table', name: 'table', type: 'decisionTableNode',
			content: {
				hitPolicy: 'first', executionMode: 'loop', inputField: 'tickets', outputPath: 'hits', passThrough: false,
				inputs: asked.map(name => ({ id: name, name, field: name })),
				outputs: [{ id: 'rule', name: 'rule', field: 'rule' }],
				rules: rules.map(r => ({
					_id: r.code, rule: String(r.rule), amount: range(r),
					...Object.fromEntries(fields.map(f => [f.name, (f.asked(r) ?? []).map(v => JSON.stringify(v)).join(', ')])),
				})),
			},
		}],
		edges: [{ id: 'edge', type: 'edge', sourceId: 'in', targetId: 'table' }],
	};
}

settle(async rules => {
	const engine = new ZenEngine();
	const numbered = new Map(rules.map(r => [r.rule, r]));
	const components = keyed(rules).map(c => ({
		...c,
		decisions: new Map([...c.groups].map(([value, own]) =>
			[value, engine.createDecision(new ZenDecisionContent(Buffer.from(JSON.stringify(graph(c, own)))))])),
		facts: t => {
			const facts = c.amounts ? { amount: t.amount } : {};
			for (const f of c.fields) facts[f.name] = f.of(t);
			return facts;
		},
	}));
	return {
		inFlight: 2,
		async match(batch) {
			const found = batch.map(() => []);
			const asked = [];
			for (const c of components) {
				const places = new Map([...c.decisions.keys()].map(value => [value, []]));
				batch.forEach((t, i) => places.get(c.key(t))?.push(i));
				for (const [value, those] of places) {
					if (those.length === 0) continue;
					asked.push(c.decisions.get(value).evaluate({ tickets: those.map(i => c.facts(batch[i])) }).then(({ result }) => {
						result.hits.forEach((hit, n) => hit && found[those[n]].push(numbered.get(hit.rule)));
					}));
				}
			}
			await Promise.all(asked);
			return found;
		},
	};
});
