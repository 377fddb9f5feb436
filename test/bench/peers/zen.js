// Peer: GoRules ZEN decides which rules apply: a graph with a decision table for
// each component, asked for a batch of tickets at a time.  The engine evaluates
// the batches in flight with a thread a core.
'use strict';
const os = require('node:os');
const { ZenEngine, ZenDecisionContent } = require('@gorules/zen-engine');
const { settle } = require('./settle');

// The columns of a table: the field of the ticket, and the cell of a rule, undefined where it asks for nothing.
const text = JSON.stringify;
const paths = (kind, depth, path, list) => r => {
	if (r[path] !== null && r[path].split('.').length === depth) return text(r[path]);
	if (depth === (kind === 'project' ? 3 : 4) && r[list] !== null) return r[list].map(text).join(', ');
};
const columns = [
	...[1, 2, 3].map(n => ({ field: `p${n}`, of: t => t.project[n - 1], cell: paths('project', n, 'project', 'projects') })),
	...[1, 2, 3, 4].map(n => ({ field: `r${n}`, of: t => t.region[n - 1], cell: paths('region', n, 'region', 'regions') })),
	{ field: 'dealer', of: t => t.dealer, cell: r => r.dealer === null ? undefined : String(r.dealer) },
	{ field: 'channel', of: t => t.channel, cell: r => r.channel === null ? undefined : text(r.channel) },
	{ field: 'level', of: t => t.level, cell: r => r.level === null ? undefined : text(r.level) },
	{ field: 'rush', of: t => t.rush, cell: r => r.rush === null ? undefined : String(r.rush) },
	{ field: 'night', of: t => t.night, cell: r => r.night === null ? undefined : String(r.night) },
	{
		field: 'amount', of: t => t.amount,
		cell: r => r.amount_from === null && r.amount_below === null ? undefined
			: r.amount_below === null ? `>= ${r.amount_from}`
			: r.amount_from === null ? `< ${r.amount_below}` : `[${r.amount_from}..${r.amount_below})`,
	},
];

settle(async rules => {
	const components = [...new Set(rules.map(r => r.component))];
	const used = new Set();
	const tables = components.map(component => {
		const own = rules.filter(r => r.component === component);
		const asked = columns.filter(c => own.some(r => c.cell(r) !== undefined));
		asked.forEach(c => used.add(c));
		return {
			id: component, name: component, type: 'decisionTableNode',
			content: {
				hitPolicy: 'first', executionMode: 'loop', inputField: 'tickets', outputPath: component, passThrough: false,
				inputs: asked.map(c => ({ id: c.field, name: c.field, field: c.field })),
				outputs: [{ id: 'rule', name: 'rule', field: 'rule' }],
				rules: own.map(r => ({
					_id: r.code, rule: String(r.rule),
					...Object.fromEntries(asked.map(c => [c.field, c.cell(r) ?? ''])),
				})),
			},
		};
	});
	const graph = {
		nodes: [{ id: 'in', name: 'in', type: 'inputNode' }, ...tables, { id: 'out', name: 'out', type: 'outputNode' }],
		edges: tables.flatMap(t => [
			{ id: `in-${t.id}`, type: 'edge', sourceId: 'in', targetId: t.id },
			{ id: `${t.id}-out`, type: 'edge', sourceId: t.id, targetId: 'out' },
		]),
	};
	const decision = new ZenEngine().createDecision(new ZenDecisionContent(Buffer.from(JSON.stringify(graph))));
	const byNumber = new Map(rules.map(r => [r.rule, r]));
	const facts = [...used];
	return {
		inFlight: 2 * os.availableParallelism?.() || 2 * os.cpus().length,
		async match(batch) {
			const tickets = batch.map(t => Object.fromEntries(facts.map(c => [c.field, c.of(t)])));
			const { result } = await decision.evaluate({ tickets });
			return batch.map((t, i) => components.map(c => result[c][i]).filter(hit => hit).map(hit => byNumber.get(hit.rule)));
		},
	};
});
