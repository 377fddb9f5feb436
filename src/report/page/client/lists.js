// Figures of the whole, the best and worst cells, progress of parties, alerts.
function summary() {
	const cell = cellOf(state.project, state.region), before = periods[periods.indexOf(state.period) + 1];
	const last = before && slices.get(sliceKey(before, state.currency, levelOf('project', state.project), levelOf('region', state.region)))?.cells.get(`${state.project} ${state.region}`);
	const change = name => {
		if (!last || name === 'margin')
			return null;
		const difference = amount.minus(cell[name], last[name]);
		return element('small', null, element('span', null, `${difference.startsWith('-') ? '' : '+'}${amount.grouped(difference)}`), ' ', element('span', null, say('since', periodName(before))));
	};
	if (!cell)
		return null;
	return element('dl', { class: 'facts summary', id: 'summary', 'aria-label': `${cellTitle(state.project, state.region)}, ${periodName(state.period)}` }, ['revenue', 'cost', 'payout', 'profit', 'margin', 'tickets'].map(name =>
		element('div', { class: name }, element('dt', null, say(name)), element('dd', null, element('b', { 'data-figure': name }, printed(cell, name) ?? '\u2013'), change(name)))));
}

function ranking() {
	const matrix = matrixOf();
	const cells = (matrix ? matrix.rows.flatMap(row => matrix.columns.map(column => matrix.cell(row, column))) : []).filter(cell => cell && cell[state.measure] !== null);
	if (cells.length < 2)
		return null;
	const worth = cell => cell[state.measure];
	cells.sort((a, b) => amount.compare(worth(b), worth(a)) || (`${a.project} ${a.region}` < `${b.project} ${b.region}` ? -1 : 1));
	const largest = Math.max(...[cells[0], cells.at(-1)].map(cell => Math.abs(amount.number(worth(cell))))) || 1;
	const list = (id, chosen) => section(id, say(id), element('ol', { class: 'ranking' }, chosen.map(cell => element('li', null,
		button(cellTitle(cell.project, cell.region), () => openCell(cell.project, cell.region), { class: 'link', id: `${id}-${cell.project}-${cell.region}` }),
		element('span', { class: `bar${worth(cell).startsWith('-') ? ' minus' : ''}`, 'aria-hidden': 'true' }, element('i', { style: { width: `${100 * Math.abs(amount.number(worth(cell))) / largest}%` } })),
		element('span', { class: 'figure' }, printed(cell, state.measure))))));
	return element('div', { class: 'pair' }, list('best', cells.slice(0, 10)), list('worst', cells.slice(-10).reverse()));
}

const progressColumns = ['period', 'component', 'kind', 'unit', 'parties', 'party', 'title', 'tickets', 'amount', 'quantity', 'from', 'next', 'missing', 'rate', 'gain', 'rank'];
const progressRows = data.progress.map(row => Object.fromEntries(row.map((value, place) => [progressColumns[place], value])));
const groupOf = row => [row.component, row.kind, row.unit === data.currency ? null : row.unit].filter(part => part !== null).join(' \u00b7 ');

// How far a party is from one bound of its tier to the next; quantities with so
// many decimal places.
function tierBar(row, places) {
	const quantity = value => amount.grouped(amount.tidy(value, places));
	const from = row.from ?? '0', share = row.next === null ? 1 : Math.max(0, Math.min(1, amount.number(amount.minus(row.quantity, from)) / amount.number(amount.minus(row.next, from)) || 0));
	const text = row.next === null ? say('top') : say('reached', quantity(row.quantity), quantity(row.next));
	return element('div', { class: 'tier' },
		element('span', { class: `bar${row.next === null ? ' full' : ''}`, role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(share * 100), 'aria-valuetext': text, 'aria-label': say('standing') },
			element('i', { style: { width: `${share * 100}%` } })),
		element('span', { class: 'figure' }, row.next === null ? `${quantity(row.quantity)} \u00b7 ${text}` : text));
}

function progressSection() {
	const known = [...new Set(progressRows.map(row => row.period))];
	const period = known.includes(state.period) ? state.period : known[0];
	const rows = progressRows.filter(row => row.period === period), groups = [...new Set(rows.map(groupOf))];
	const group = groups.includes(state.component) ? state.component : groups[0];
	const title = period ? `${say('progress')}, ${periodName(period)}` : say('progress');
	if (!rows.length)
		return section('progress', title, element('p', { class: 'note' }, say('noProgress')));
	const list = rows.filter(row => groupOf(row) === group);
	const places = Math.max(...list.flatMap(row => [row.quantity, row.missing]).filter(Boolean).map(text => (amount.tidy(text).split('.')[1] ?? '').length));
	const body = element('tbody'), note = element('p', { class: 'note', role: 'status' });
	const fill = () => {
		const found = list.filter(row => `${row.party} ${row.title ?? ''}`.toLowerCase().includes(state.find.toLowerCase()));
		note.textContent = found.length ? say('partiesShown', found.length, amount.grouped(String(list[0].parties))) : say('noParty');
		body.replaceChildren(...found.map(row => element('tr', null,
			figure(row.rank === null ? null : String(row.rank)),
			element('th', { scope: 'row' }, row.title ?? row.party, row.title ? element('small', null, row.party) : null),
			figure(row.tickets && amount.grouped(row.tickets)), figure(amount.grouped(row.amount)), element('td', null, tierBar(row, places)),
			figure(row.missing && amount.grouped(amount.tidy(row.missing, places))), figure(amount.tidy(row.rate)),
			figure(row.gain && amount.grouped(row.gain)))));
	};
	fill();
	return section('progress', title, element('p', { class: 'note' }, say('progressHint')),
		element('div', { class: 'toolbar' },
			selection(say('choose'), groups.map(each => [each, each]), group, component => go({ component }), 'component'),
			element('label', { class: 'selection' }, element('span', null, say('find')), element('input', { type: 'search', id: 'find', value: state.find, oninput: event => { state.find = event.target.value; fill(); } }))),
		element('div', { class: 'scroll tall', tabindex: 0, role: 'region', 'aria-label': title }, element('table', { id: 'progress-table' },
			heads([say('rank'), 'figure'], [say('party')], [say('tickets'), 'figure'], [say('earned'), 'figure'], [say('standing')], [say('nextTier'), 'figure'], [say('rate'), 'figure'], [say('gain'), 'figure']), body)),
		note);
}

const alertColumns = ['kind', 'object', 'message', 'level', 'first', 'acknowledgedAt', 'acknowledgedBy', 'open'];
const alertRows = data.alerts.map(row => Object.fromEntries(row.map((value, place) => [alertColumns[place], value])));
const signs = { warning: '\u25b2', critical: '\u25a0' };

function alertSection() {
	if (!alertRows.length)
		return section('alerts', say('alerts'), element('p', { class: 'note' }, say('noAlerts')));
	return section('alerts', say('alerts'),
		element('div', { class: 'scroll' }, element('table', { id: 'alert-table' },
			element('caption', null, say('alertsShown', alertRows.length, amount.grouped(String(alertRows[0].open)))),
			heads([say('kind')], [say('object')], [say('message')], [say('firstSeen')], [say('acknowledged')]),
			element('tbody', null, alertRows.map(row => element('tr', null,
				element('td', { class: `level ${row.level}` }, element('span', { 'aria-hidden': 'true' }, signs[row.level] ?? '\u25cf'), ` ${term('levels', row.level)} `, element('small', null, row.kind)),
				element('th', { scope: 'row' }, row.object), element('td', { class: 'detail' }, row.message), element('td', { class: 'time' }, row.first),
				element('td', null, row.acknowledgedAt ? `${row.acknowledgedBy ?? ''} ${row.acknowledgedAt}` : say('nobody'))))))));
}
