// What rules ask of a ticket, field by field, and how rules are put under a key.
//
// A rule names one value of a field, a list of values, or none.  Each level of a
// path is a field, so that a subtree is one value: everything below 'cn.a1' has
// 'cn.a1' in the field r2.
'use strict';

const subtree = (depth, leaf, path, list) => r =>
	r[path] !== null && r[path].split('.').length === depth ? [r[path]] : depth === leaf ? r[list] : null;
const single = name => r => r[name] === null ? null : [r[name]];

const fields = [
	...[1, 2, 3].map(n => ({ name: `p${n}`, of: t => t.project[n - 1], asked: subtree(n, 3, 'project', 'projects') })),
	...[1, 2, 3, 4].map(n => ({ name: `r${n}`, of: t => t.region[n - 1], asked: subtree(n, 4, 'region', 'regions') })),
	...['dealer', 'channel', 'level', 'rush', 'night'].map(name => ({ name, of: t => t[name], asked: single(name) })),
];

// The values of a field that tickets under a rule can have, null where they can have any.
function possible(rule, field) {
	const own = field.asked(rule);
	if (own !== null || !/^[pr]/.test(field.name) || field.name === 'rush') return own;
	const below = fields.filter(f => f.name[0] === field.name[0] && f.name.length === 2 && f.name > field.name)
		.map(f => f.asked(rule)).find(values => values !== null);
	const depth = Number(field.name[1]);
	return below === undefined ? null : [...new Set(below.map(path => path.split('.').slice(0, depth).join('.')))];
}

// The rules of each component under the values of one field, which each of them
// restricts: of such fields, the one that leaves the fewest rules to a value.
function keyed(rules) {
	return [...new Set(rules.map(r => r.component))].map(component => {
		const own = rules.filter(r => r.component === component);
		const under = field => {
			const groups = new Map();
			for (const r of own) {
				for (const value of field === null ? [''] : possible(r, field)) {
					if (!groups.has(value)) groups.set(value, []);
					groups.get(value).push(r);
				}
			}
			return groups;
		};
		const size = field => [...under(field).values()].reduce((sum, g) => sum + g.length, 0) / under(field).size;
		const key = fields.filter(f => own.every(r => possible(r, f) !== null)).sort((a, b) => size(a) - size(b))[0] ?? null;
		return {
			component, groups: under(key),
			key: key === null ? () => '' : key.of,
			// what is left to ask once a ticket is under its key
			fields: fields.filter(f => f !== key && own.some(r => f.asked(r) !== null)),
			amounts: own.some(r => r.amount_from !== null || r.amount_below !== null),
		};
	});
}

module.exports = { keyed };
