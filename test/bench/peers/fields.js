// What rules ask of a ticket, field by field, and how rules are put under a key.
//
// A rule names one value of a field, a list of values, or none.  Each level of a
// path is a field, so that a subtree is one value: everything below 'cn.a1' has
// 'cn.a1' in the field r2.
'use strict';

// The fields of a tree: a subtree is asked for at its level, a list of leaves at the last.
const tree = (letter, path, list, leaf) => Array.from({ length: leaf }, (_, i) => i + 1).map(depth => ({
	name: letter + depth, path, list, depth,
	of: t => t[path][depth - 1],
	asked: r => r[path] !== null && r[path].split('.').length === depth ? [r[path]] : depth === leaf ? r[list] : null,
}));

const fields = [
	...tree('p', 'project', 'projects', 3), ...tree('r', 'region', 'regions', 4),
	...['dealer', 'channel', 'level', 'rush', 'night'].map(name => ({ name, of: t => t[name], asked: r => r[name] === null ? null : [r[name]] })),
];

// The values of a field that tickets under a rule can have, null where they can have any.
function possible(rule, field) {
	if (field.depth === undefined) return field.asked(rule);
	const paths = (rule[field.path] === null ? rule[field.list] ?? [] : [rule[field.path]]).map(path => path.split('.'));
	return paths.length === 0 || paths.some(labels => labels.length < field.depth) ? null
		: [...new Set(paths.map(labels => labels.slice(0, field.depth).join('.')))];
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
