// A cell, its tickets, and how the lines of one came about.
const quoted = text => `'${text.replace(/'/g, "''")}'`;
const statement = (label, text) => element('details', { class: 'sql' }, element('summary', null, label), element('pre', null, text));

function cellSection() {
	if (!state.cell)
		return null;
	const [project, region] = state.cell, cell = cellOf(project, region);
	if (!cell)
		return null;
	const leave = () => go({ cell: null, ticket: null }, state.view === 'map' ? 'matrix-map' : 'matrix-title');
	const further = ['project', 'region'].filter(tree => divides(tree, cell[tree], cell[tree === 'project' ? 'region' : 'project']));
	return element('section', { id: 'cell', 'aria-labelledby': 'cell-title' },
		element('div', { class: 'headline' }, element('h2', { id: 'cell-title', tabindex: -1 }, cellTitle(project, region), element('small', null, periodName(state.period))),
			further.map(tree => button(say(tree === 'project' ? 'divideProject' : 'divideRegion'),
				() => go({ project, region, projectLevel: tree === 'project' ? null : levelOf('project', project), regionLevel: tree === 'region' ? null : levelOf('region', region),
					row: 0, column: 0, cell: null, ticket: null }, 'matrix-title'), { id: `divide-${tree}` })),
			button(say('close'), leave, { id: 'cell-close' })),
		element('dl', { class: 'facts' }, [...figures, 'margin'].map(name => element('div', null, element('dt', null, say(name)), element('dd', { 'data-figure': name }, printed(cell, name) ?? '\u2013')))),
		ticketTable(cell),
		state.ticket && explanationOf(state.ticket));
}

// The tickets of a cell that the page holds, their sum, and exactly what the cell
// holds beside them.
function ticketTable(cell) {
	const { project, region } = cell, list = ticketsOf(project, region);
	const asked = statement(say('askTickets'), `SELECT * FROM settle.drill(${[data.book, project, region, state.period, state.currency].map(quoted).join(', ')});`);
	const counted = list.filter(ticket => ticket.source !== 'tally' && ticket.source !== 'period').length;
	if (!list.length)
		return [element('p', { class: 'note' }, cell.tickets === '0' ? say('noneThere') : say('noneShown', amount.grouped(cell.tickets))), asked];
	const columns = ['revenue', 'cost', 'payout', 'profit'];
	const together = Object.fromEntries(columns.map(name => [name, amount.sum(list.map(ticket => ticket[name]))]));
	const others = Object.fromEntries(columns.map(name => [name, amount.minus(cell[name], together[name])]));
	const sums = (label, row, kind) => element('tr', { class: kind }, element('th', { scope: 'row', colspan: 4 }, label), columns.map(name => figure(amount.grouped(row[name]))));
	return [
		element('div', { class: 'scroll tall' }, element('table', { id: 'tickets' },
			element('caption', null, say('shown', amount.grouped(String(counted)), amount.grouped(cell.tickets)), element('span', { class: 'note' }, say('shownHint'))),
			heads([say('ticket')], [say('time')], [say('project')], [say('region')], ...columns.map(name => [say(name), 'figure'])),
			element('tbody', null, list.map(ticket => element('tr', { class: ticket === state.ticket ? 'chosen' : null },
				element('th', { scope: 'row' }, button(ticket.key, () => go({ ticket }, 'explanation-title'), { id: `ticket-${ticketList.indexOf(ticket)}`, class: 'link' }),
					ticket.source === 'ticket' ? null : element('small', null, ticket.source)),
				element('td', { class: 'time' }, ticket.time), element('td', null, titleOf('project', ticket.project)), element('td', null, titleOf('region', ticket.region)),
				columns.map(name => figure(amount.grouped(ticket[name])))))),
			element('tfoot', null, sums(say('together'), together, 'together'), sums(say('others'), others, 'others'), sums(say('cellTotal'), cell, 'total')))),
		asked,
	];
}

// Kinds of steps that stand under the line or revision before them.
const under = ['before', 'after', 'free', 'tier', 'factor', 'bound', 'rounding', 'division', 'tally', 'difference'];

function explanationOf(ticket) {
	const { source, key } = ticket, steps = data.explanations[`${source} ${key}`];
	const number = text => text === null ? null : amount.grouped(text);
	return element('article', { id: 'explanation', 'aria-labelledby': 'explanation-title' },
		element('h3', { id: 'explanation-title', tabindex: -1 }, say('explanation', key)),
		!steps ? element('p', { class: 'note' }, say('noExplanation')) : [
			element('div', { class: 'scroll' }, element('table', null,
				heads([say('step')], [say('name')], [say('parties')], [say('base'), 'figure'], [say('factor'), 'figure'], [say('amount'), 'figure'], [say('detail')]),
				element('tbody', null, steps.map(step => {
					const [kind, name, payer, payee, base, factor, sum, unit, detail] = step.map(place => data.texts[place]);
					return element('tr', { class: `step ${kind === 'line' ? 'line' : under.includes(kind) ? 'under' : ''}`.trim() },
						element('td', null, term('steps', kind)), element('td', null, name), element('td', null, [payer, payee].filter(Boolean).join(' \u2192 ')),
						figure(number(base)), figure(number(factor)), figure(number(sum) && (unit && unit !== ticket.currency ? `${number(sum)} ${unit}` : number(sum))), element('td', { class: 'detail' }, detail));
				})))),
			statement(say('askSteps'), `SELECT * FROM settle.explain(${[data.book, source, key].map(quoted).join(', ')});`),
		]);
}
