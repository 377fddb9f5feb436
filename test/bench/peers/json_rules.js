// Peer: json-rules-engine decides which rules apply, one ticket after the other.
'use strict';
const { Engine } = require('json-rules-engine');
const { settle } = require('./settle');

settle(async rules => {
	const engine = new Engine();
	for (const r of rules) {
		const all = [];
		const ask = (fact, operator, value) => { if (value !== null) all.push({ fact, operator, value }); };
		if (r.project !== null) ask(`p${r.project.split('.').length}`, 'equal', r.project);
		ask('p3', 'in', r.projects);
		if (r.region !== null) ask(`r${r.region.split('.').length}`, 'equal', r.region);
		ask('r4', 'in', r.regions);
		ask('dealer', 'equal', r.dealer);
		ask('channel', 'equal', r.channel);
		ask('level', 'equal', r.level);
		ask('rush', 'equal', r.rush);
		ask('night', 'equal', r.night);
		ask('amount', 'greaterThanInclusive', r.amount_from);
		ask('amount', 'lessThan', r.amount_below);
		engine.addRule({ conditions: { all }, event: { type: 'rule', params: r } });
	}
	return {
		async match(batch) {
			const found = [];
			for (const t of batch) {
				const { events } = await engine.run({
					p1: t.project[0], p2: t.project[1], p3: t.project[2],
					r1: t.region[0], r2: t.region[1], r3: t.region[2], r4: t.region[3],
					dealer: t.dealer, channel: t.channel, level: t.level, rush: t.rush, night: t.night, amount: t.amount,
				});
				found.push(events.map(e => e.params));
			}
			return found;
		},
	};
});
