// What the page holds, and what is to be seen of it: the cells of both trees, by
// period, currency and a pair of levels.
const data = JSON.parse(document.getElementById('data').textContent);
const measures = ['profit', 'revenue', 'margin', 'tickets'];
const figures = ['tickets', 'revenue', 'cost', 'payout', 'profit'];
const pageRows = 40, pageColumns = 34;

// A tree: nodes with their level, by path.  Where a node has no name, its label
// is shown; an English page takes the English name, where there is one.
function treeOf(rows, english) {
	return new Map(rows.map(([path, given]) => [path, {
		path,
		level: path === '' ? 0 : path.split('.').length,
		get name() {
			return (state.language === 'en' && english[path]) || (given && given !== path ? given : path.split('.').pop());
		},
	}]));
}
const trees = { project: treeOf(data.projects, data.english.project), region: treeOf(data.regions, data.english.region) };

// The first level of each tree that has several nodes: above it stands a trunk,
// such as a country that all regions are in, which goes without saying.
const crowns = Object.fromEntries(Object.entries(trees).map(([tree, nodes]) => {
	let level = 1;
	while ([...nodes.values()].filter(node => node.level === level).length === 1)
		level++;
	return [tree, level];
}));
const inside = (path, above) => above === '' || path === above || path.startsWith(`${above}.`);

// Cells, indexed: slices by period, currency and levels, in them cells by both paths.
const sliceKey = (period, currency, projectLevel, regionLevel) => [period, currency, projectLevel, regionLevel].join(' ');
const slices = new Map(data.slices.filter(slice => slice.taken).map(slice => [
	sliceKey(slice.period, slice.currency, slice.projectLevel, slice.regionLevel),
	{
		...slice,
		cells: new Map(slice.cells.map(([p, r, tickets, revenue, cost, payout, profit, margin, ...heats]) => {
			const project = data.projects[p][0], region = data.regions[r][0];
			const heat = { revenue: heats[0], profit: heats[1], margin: heats[2], tickets: heats[3] };
			return [`${project} ${region}`, { project, region, tickets, revenue, cost, payout, profit, margin, heat }];
		})),
	},
]));
const periods = [...new Set(data.slices.map(slice => slice.period))].sort().reverse();
const currencies = [...new Set(data.slices.map(slice => slice.currency))].sort((a, b) => (b === data.currency) - (a === data.currency) || (a < b ? -1 : 1));
const periodName = period => data.kind === 'month' ? period.slice(0, 7) : period;

// What is chosen.  It stands in the address after "#", so that going back goes
// up again and a place can be kept; language and colours are the reader's.
const state = { language: 'en', theme: 'auto', period: periods[0], currency: currencies[0], measure: 'profit', project: '', region: '',
	projectLevel: null, regionLevel: null, rows: null, view: 'map', order: null, row: 0, column: 0,
	cell: null, ticket: null, grain: null, component: null, find: '' };

const levelOf = (tree, path) => trees[tree].get(path)?.level ?? 0;
const sliceOf = (projectLevel, regionLevel) => slices.get(sliceKey(state.period, state.currency, projectLevel, regionLevel));
const cellOf = (project, region) => sliceOf(levelOf('project', project), levelOf('region', region))?.cells.get(`${project} ${region}`);

// The levels below the chosen node of a tree that this period has, with how many
// nodes each has there; the other tree counts as it stands.
function levelsOf(tree) {
	const own = levelOf(tree, state[tree]), other = tree === 'project' ? 'region' : 'project', otherLevel = levelOf(other, state[other]);
	const levels = [];
	for (let level = own; ; level++) {
		const slice = tree === 'project' ? sliceOf(level, otherLevel) : sliceOf(otherLevel, level);
		const nodes = slice && [...slice.cells.values()].filter(cell => cell[other] === state[other] && inside(cell[tree], state[tree]));
		if (!nodes?.length)
			return levels;
		levels.push({ level, nodes: nodes.map(cell => trees[tree].get(cell[tree])) });
	}
}

// The level to show of a tree: the one that is chosen, or the first that divides.
function shownLevel(tree, levels) {
	const chosen = levels.find(each => each.level === state[`${tree}Level`]);
	return chosen ?? levels.find((each, place) => place > 0 && each.nodes.length > 1) ?? levels[Math.min(1, levels.length - 1)];
}

const nothing = { tickets: '0', revenue: '0', cost: '0', payout: '0', profit: '0' };

// What a sum holds beyond its parts, or null where it holds no more.
function beyond(whole, some) {
	const rest = Object.fromEntries(figures.map(name => [name, amount.minus((whole ?? nothing)[name], amount.sum(['0', ...some.map(cell => cell[name])]))]));
	return figures.every(name => amount.isZero(rest[name])) ? null : { ...rest, margin: amount.ratio(rest.profit, rest.revenue, 4), heat: {}, rest: true };
}

// The matrix as chosen: nodes down and across, the cell of each pair, the sums of
// rows, columns and all, and, where tickets stand on no level shown, the rest, so
// that every row and column adds up.
function matrixOf() {
	const levels = { project: levelsOf('project'), region: levelsOf('region') };
	const shown = { project: shownLevel('project', levels.project), region: shownLevel('region', levels.region) };
	if (!shown.project || !shown.region)
		return null;
	// Regions go down unless somebody says otherwise, or there are too many projects to go across.
	const projects = shown.project.nodes.length;
	const down = state.rows ?? (projects > pageColumns && projects > shown.region.nodes.length ? 'project' : 'region'), across = down === 'region' ? 'project' : 'region';
	// Where this file does not hold the two levels together, the deeper one gives way.
	let slice;
	while (!(slice = sliceOf(shown.project.level, shown.region.level))) {
		const tree = shown.project.level > shown.region.level ? 'project' : 'region';
		shown[tree] = levels[tree].find(each => each.level === shown[tree].level - 1);
	}
	const at = (row, column) => down === 'region' ? [column, row] : [row, column];
	const total = cellOf(state.project, state.region);
	const cell = (row, column) => slice.cells.get(at(row.path, column.path).join(' '));
	const rowTotal = row => cellOf(...at(row.path, state[across]));
	const columnTotal = column => cellOf(...at(state[down], column.path));
	const byPath = (a, b) => a.path < b.path ? -1 : 1;
	const byFigure = (a, b) => amount.compare(rowTotal(b)[state.measure], rowTotal(a)[state.measure]) || byPath(a, b);
	const order = state.order ?? (shown[down].nodes.length > pageRows ? 'figure' : 'tree');
	const rows = [...shown[down].nodes].sort(order === 'figure' ? byFigure : byPath);
	const columns = [...shown[across].nodes].sort(byPath);
	const restOfRow = row => beyond(rowTotal(row), columns.map(column => cell(row, column)).filter(Boolean));
	const restOfColumn = column => beyond(columnTotal(column), rows.map(row => cell(row, column)).filter(Boolean));
	const restRow = beyond(total, rows.map(rowTotal)), restColumn = beyond(total, columns.map(columnTotal));
	const restBoth = restRow && beyond(restRow, columns.map(restOfColumn).filter(Boolean));
	const hasRestColumn = restColumn !== null || rows.some(restOfRow);
	return { down, across, levels, shown, slice, order, rows, columns, cell, total, rowTotal, columnTotal, restOfRow, restOfColumn, restRow, restColumn, restBoth, hasRestColumn };
}

// Paths that have others below them.
const parents = Object.fromEntries(Object.keys(trees).map(tree =>
	[tree, new Set([...trees[tree].keys()].filter(path => path !== '').map(path => path.includes('.') ? path.slice(0, path.lastIndexOf('.')) : ''))]));

// Whether a node can be divided further, beside a node of the other tree.
function divides(tree, path, otherPath) {
	const level = levelOf(tree, path) + 1, other = levelOf(tree === 'project' ? 'region' : 'project', otherPath);
	return parents[tree].has(path) && (tree === 'project' ? sliceOf(level, other) : sliceOf(other, level)) !== undefined;
}

// Names of nodes side by side: what they have in common above is left out.
function labelsOf(tree, nodes) {
	let common = nodes[0].path.split('.').slice(0, -1);
	for (const node of nodes) {
		const labels = node.path.split('.');
		common = common.slice(0, common.findIndex((label, place) => label !== labels[place]) + 1 || undefined).filter((label, place) => label === labels[place]);
	}
	return new Map(nodes.map(node => [node.path, node.path.split('.').map((_, place, labels) => labels.slice(0, place + 1).join('.'))
		.slice(common.length).map(path => trees[tree].get(path)?.name ?? path).join(' ') || titleOf(tree, node.path)]));
}

// The names along a path, without the trunk.
function titleOf(tree, path) {
	if (path === '')
		return say(tree === 'project' ? 'allProjects' : 'allRegions');
	const names = path.split('.').map((_, place, labels) => trees[tree].get(labels.slice(0, place + 1).join('.'))?.name ?? labels[place]);
	return names.slice(Math.min(crowns[tree] - 1, names.length - 1)).join(' ');
}
const cellTitle = (project, region) => `${titleOf('project', project)} × ${titleOf('region', region)}`;

// A figure of a cell as it is printed.
function printed(cell, measure) {
	const value = cell?.[measure] ?? null;
	return value === null ? null : measure === 'margin' ? amount.percent(value) : amount.grouped(value);
}

const columnsOfTicket = ['source', 'key', 'time', 'period', 'project', 'region', 'currency', 'revenue', 'cost', 'payout', 'profit'];
const ticketList = data.tickets.map(row => Object.fromEntries(row.map((value, place) => [columnsOfTicket[place], value])))
	.sort((a, b) => amount.compare(b.profit.replace('-', ''), a.profit.replace('-', '')) || (a.key < b.key ? -1 : 1));
const ticketsOf = (project, region) => ticketList.filter(ticket => ticket.period === state.period && ticket.currency === state.currency
	&& inside(ticket.project, project) && inside(ticket.region, region));
