// Peer: json-rules-engine decides which rules apply, ticket by ticket, with an
// engine for each component and value of its key (fields.js).  Conditions have
// priorities, so that the first that fails ends a rule.
'use strict';
const { Engine } = require('json-rules-engine');
const { settle } = require('./settle');
const { keyed } = require('./fields');

function engineOf(component, rules) {
	const engine = new Engine();
	for (const r of rules) {
		const all = [];
		const ask = (fact, operator, value) => all.push({ fact, operator, value, priority: 100 - all.length });
		for (const f of component.fields) {
			const values = f.asked(r);
			if (values !== null) values.length === 1 ? ask(f.name, 'equal', values[0]) : ask(f.name, 'in', values);
		}
		if (r.amount_from !== null) ask('amount', 'greaterThanInclusive', r.amount_from);
		if (r.amount_below !== null) ask('amount', 'lessThan', r.amount_below);
		// the engine copies events and conditions at each evaluation
		engine.addRule({ conditions: { all }, event: { type: 'rule', params: { rule: r.rule } } });
	}
	return engine;
}

settle(async rules => {
	const numbered = new Map(rules.map(r => [r.rule, r]));
	const components = keyed(rules).map(c => ({
		...c, engines: new Map([...c.groups].map(([value, own]) => [value, engineOf(c, own)])),
	}));
	return {
		async match(batch) {
			const found = [];
			for (const t of batch) {
				const own = [];
				for (const c of components) {
					const engine = c.engines.get(c.key(t));
					if (engine === undefined) continue;
					const facts = c.amounts ? { amount: t.amount } : {};
					for (const f of c.fields) facts[f.name] = f.of(t);
					for (const event of (await engine.run(facts)).events) own.push(numbered.get(event.params.rule));
				}
				found.push(own);
			}
			return found;
		},
	};
});
