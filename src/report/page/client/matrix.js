// The matrix: as a heat map drawn by ECharts, and as a table that says the same
// figure by figure.  Either is used by mouse and by keyboard alone.
const inkOn = heat => heat < 6 ? '#000' : '#fff';
const heatOf = cell => cell?.heat[state.measure] ?? null;

// The part of the rows and columns that is on the screen, the rest last.
function windowOf(matrix) {
	const rows = matrix.rows.slice(state.row, state.row + pageRows), columns = matrix.columns.slice(state.column, state.column + pageColumns);
	const lastRows = state.row + pageRows >= matrix.rows.length, lastColumns = state.column + pageColumns >= matrix.columns.length;
	return { rows, columns, restRow: lastRows && matrix.restRow !== null, restColumn: lastColumns && matrix.hasRestColumn };
}

function toolbar(matrix) {
	const levelChoice = tree => {
		const { levels, shown } = matrix, other = tree === 'project' ? 'region' : 'project';
		const fits = levels[tree].filter(each => tree === 'project' ? sliceOf(each.level, shown[other].level) : sliceOf(shown[other].level, each.level));
		return selection(say(`${tree}s`), fits.map((each, place) => [each.level, place === 0 ? say('undivided') : say('level', each.level, amount.grouped(String(each.nodes.length)))]),
			shown[tree].level, level => go({ [`${tree}Level`]: Number(level), row: 0, column: 0 }), `level-${tree}`);
	};
	return element('div', { class: 'toolbar' },
		choice(say('measure'), measures.map(name => [name, say(name)]), state.measure, measure => go({ measure })),
		levelChoice('project'), levelChoice('region'),
		matrix.rows.length > 2 && selection(say('order'), [['tree', say('byTree')], ['figure', say('byFigure')]], matrix.order, order => go({ order, row: 0 }), 'order'),
		button(say('swap'), () => go({ rows: matrix.across, row: 0, column: 0 }), { id: 'swap' }),
		choice(say('matrix'), [['map', say('map')], ['table', say('table')]], state.view, view => go({ view })));
}

// Where in both trees the matrix stands; each name leads back up to it.
function crumbs(tree) {
	const labels = state[tree] === '' ? [] : state[tree].split('.');
	const paths = ['', ...labels.map((_, place) => labels.slice(0, place + 1).join('.'))];
	return element('nav', { class: 'crumbs', 'aria-label': say(`${tree}s`) }, element('ol', null, paths.map((path, place) => {
		const name = path === '' ? titleOf(tree, '') : trees[tree].get(path)?.name ?? path;
		return element('li', null, place === paths.length - 1 ? element('span', { 'aria-current': 'true' }, name)
			: button(name, () => go({ [tree]: path, [`${tree}Level`]: null, row: 0, column: 0 }), { id: `crumb-${tree}-${place}` }));
	})));
}

function legend(slice) {
	const [lowest, highest] = slice.scale[state.measure];
	if (lowest === null)
		return element('p', { class: 'legend note' }, say('noHeat'));
	const bounds = amount.steps(lowest, highest), show = value => printed({ [state.measure]: value }, state.measure);
	const alike = amount.compare(lowest, highest) === 0;
	return element('figure', { class: 'legend', 'aria-label': say('legend') },
		element('div', { class: 'scale' },
			element('span', { class: 'end' }, alike ? say('one') : say('lowest'), ' ', element('b', null, show(lowest))),
			element('ol', null, data.colors.map((color, heat) => element('li', {
				style: { background: color, color: inkOn(heat) }, title: `${show(bounds[heat])} \u2013 ${show(bounds[heat + 1])}`,
			}, String(heat)))),
			element('span', { class: 'end' }, element('b', null, show(highest)), ' ', alike ? '' : say('highest'))),
		element('figcaption', null, say('legend')));
}

function pager(name, place, count, size, move) {
	if (count <= size)
		return null;
	return element('div', { class: 'pager' }, element('span', null, say(name, ...[place + 1, Math.min(place + size, count), count].map(each => amount.grouped(String(each))))),
		button(say('before'), () => move(Math.max(0, place - size)), { id: `${name}-before`, disabled: place === 0 }),
		button(say('next'), () => move(place + size), { id: `${name}-next`, disabled: place + size >= count }));
}

const divide = (tree, path) => go({ [tree]: path, [`${tree}Level`]: null, row: 0, column: 0, cell: null, ticket: null });
const openCell = (project, region) => go({ cell: [project, region], ticket: null }, 'cell-title');

// The table is a grid: one stop for Tab, arrow keys inside, Enter does what a
// click does: on a head it divides, on a cell it opens the tickets.
function matrixTable(matrix) {
	const { down, across } = matrix, { rows, columns, restRow, restColumn } = windowOf(matrix);
	const rowLabels = labelsOf(down, matrix.rows), columnLabels = labelsOf(across, matrix.columns);
	const stops = [];
	const stop = (line, made, act) => {
		made.tabIndex = -1;
		if (act) {
			made.addEventListener('click', act);
			made.classList.add('acts');
		}
		(stops[line] ??= []).push({ made, act });
		return made;
	};
	const head = (line, scope, tree, path, label, otherPath) => stop(line,
		element('th', { scope, role: scope === 'row' ? 'rowheader' : 'columnheader', title: divides(tree, path, otherPath) ? say('drill', label) : null }, label),
		divides(tree, path, otherPath) && (() => divide(tree, path)));
	const body = (line, cell, kind) => {
		const heat = kind === 'cell' ? heatOf(cell) : null;
		return stop(line, figure(printed(cell, state.measure), {
			role: 'gridcell', class: cell ? kind : 'empty', 'data-cell': cell && !cell.rest ? `${cell.project} ${cell.region}` : null, title: !cell ? say('empty') : cell.rest ? say('restHint') : heat === null ? null : say('heat', heat),
			style: heat === null ? {} : { background: data.colors[heat], color: inkOn(heat) },
		}), cell && !cell.rest && (() => openCell(cell.project, cell.region)));
	};
	const restHead = (line, scope) => stop(line, element('th', { scope, role: scope === 'row' ? 'rowheader' : 'columnheader', class: 'rest', title: say('restHint') }, say('rest')));
	let line = 0;
	const headRow = element('tr', { role: 'row' },
		stop(0, element('th', { role: 'columnheader', scope: 'col', class: 'corner' }, `${say(down)} / ${say(across)}`)),
		columns.map(column => head(0, 'col', across, column.path, columnLabels.get(column.path), state[down])),
		restColumn && restHead(0, 'col'),
		stop(0, element('th', { role: 'columnheader', scope: 'col', class: 'total' }, say('total'))));
	const bodyRows = rows.map(row => {
		line++;
		return element('tr', { role: 'row' },
			head(line, 'row', down, row.path, rowLabels.get(row.path), state[across]),
			columns.map(column => body(line, matrix.cell(row, column), 'cell')),
			restColumn && body(line, matrix.restOfRow(row), 'rest'),
			body(line, matrix.rowTotal(row), 'total'));
	});
	const lastRow = (label, kind, cells, total, rest) => {
		line++;
		return element('tr', { role: 'row', class: kind },
			stop(line, element('th', { scope: 'row', role: 'rowheader' }, label)),
			cells.map(cell => body(line, cell, kind)),
			restColumn && body(line, rest, 'rest'),
			body(line, total, kind));
	};
	const footRows = [
		restRow && lastRow(say('rest'), 'rest', columns.map(matrix.restOfColumn), matrix.restRow, matrix.restBoth),
		lastRow(say('total'), 'total', columns.map(matrix.columnTotal), matrix.total, matrix.restColumn),
	].filter(Boolean);
	const table = element('table', { role: 'grid', id: 'matrix-table', 'aria-label': say('matrixOf', say(state.measure), periodName(state.period)), 'aria-describedby': 'matrix-keys' },
		element('thead', { role: 'rowgroup' }, headRow), element('tbody', { role: 'rowgroup' }, bodyRows), element('tfoot', { role: 'rowgroup' }, footRows));

	let [at, on] = [Math.min(1, stops.length - 1), 1];
	const move = (toLine, toPlace) => {
		stops[at][on].made.tabIndex = -1;
		at = Math.max(0, Math.min(stops.length - 1, toLine));
		on = Math.max(0, Math.min(stops[at].length - 1, toPlace));
		stops[at][on].made.tabIndex = 0;
	};
	move(at, on);
	table.addEventListener('focusin', event => stops.forEach((list, toLine) => list.forEach((each, toPlace) => each.made === event.target && move(toLine, toPlace))));
	table.addEventListener('keydown', event => {
		const moves = { ArrowUp: [at - 1, on], ArrowDown: [at + 1, on], ArrowLeft: [at, on - 1], ArrowRight: [at, on + 1], Home: [event.ctrlKey ? 0 : at, 0], End: [event.ctrlKey ? Infinity : at, Infinity] };
		if (moves[event.key]) {
			move(...moves[event.key]);
			stops[at][on].made.focus();
		} else if (event.key === 'Enter' || event.key === ' ')
			stops[at][on].act?.();
		else
			return;
		event.preventDefault();
	});
	return element('div', { class: 'scroll' }, table, element('p', { class: 'note', id: 'matrix-keys' }, say('keys')));
}

// What a cell says, for the tip of the map and for who hears it.
function cellWords(cell, title) {
	return [title, ...[...figures, 'margin'].map(name => `${say(name)} ${printed(cell, name) ?? '\u2013'}`), heatOf(cell) === null ? null : say('heat', heatOf(cell))].filter(Boolean);
}

function matrixMap(matrix) {
	const { down, across } = matrix, { rows, columns, restRow, restColumn } = windowOf(matrix);
	const rest = { path: '\u0000', name: say('rest') };
	const [lines, places] = [[...rows, ...(restRow ? [rest] : [])], [...columns, ...(restColumn ? [rest] : [])]];
	const labels = { [down]: labelsOf(down, matrix.rows), [across]: labelsOf(across, matrix.columns) };
	const labelOf = (tree, path) => path === rest.path ? rest.name : labels[tree].get(path);
	const cells = lines.flatMap((row, y) => places.map((column, x) => {
		const cell = row === rest ? (column === rest ? matrix.restBoth : matrix.restOfColumn(column)) : column === rest ? matrix.restOfRow(row) : matrix.cell(row, column);
		const title = (down === 'region' ? [column, row] : [row, column]).map((node, place) => node === rest ? rest.name : titleOf(place ? 'region' : 'project', node.path)).join(' \u00d7 ');
		return cell && { cell, title, value: [x, y, heatOf(cell) ?? -1] };
	})).filter(Boolean);
	const rowHeight = lines.length > 24 ? 26 : 34;
	const plot = element('div', {
		class: 'plot', id: 'matrix-map', tabindex: 0, role: 'application', 'aria-describedby': 'map-keys',
		'aria-label': say('mapLabel', say(state.measure), lines.length, places.length), style: { height: `${lines.length * rowHeight + 70}px` },
	});
	const spoken = element('p', { class: 'spoken', 'aria-live': 'polite' });

	draw(plot, (chart, colors, width) => {
		const pen = document.createElement('canvas').getContext('2d');
		pen.font = `13px ${colors.font}`;
		const wide = text => Math.ceil(pen.measureText(text).width);
		const left = Math.min(width * 0.34, Math.max(40, ...lines.map(row => wide(labelOf(down, row.path)))) + 18);
		const place = (width - left - 8) / places.length;
		const fits = Math.max(0, ...cells.map(({ cell }) => wide(printed(cell, state.measure) ?? ''))) + 6 < place;
		const turned = Math.max(...places.map(column => wide(labelOf(across, column.path)))) + 6 > place;
		const label = (tree, size) => ({ color: colors.ink, fontSize: 13, interval: 0, width: size, overflow: 'truncate', formatter: path => labelOf(tree, path) });
		const axis = (tree, nodes) => ({ type: 'category', data: nodes.map(node => node.path), triggerEvent: true, axisLine: { show: false }, axisTick: { show: false } });
		chart.setOption({
			animation: false,
			textStyle: { fontFamily: colors.font },
			grid: { left, right: 8, top: turned ? 62 : 34, bottom: 6 },
			xAxis: { ...axis(across, places), position: 'top', axisLabel: { ...label(across, turned ? 80 : place - 4), rotate: turned ? 40 : 0 } },
			yAxis: { ...axis(down, lines), inverse: true, axisLabel: { ...label(down, left - 12) } },
			visualMap: { show: false, type: 'piecewise', dimension: 2, pieces: [{ value: -1, color: colors.quiet }, ...data.colors.map((color, value) => ({ value, color }))] },
			tooltip: { confine: true, backgroundColor: colors.card, borderColor: colors.line, textStyle: { color: colors.ink }, formatter: ({ data: { cell, title } }) => tip(cellWords(cell, title)) },
			series: [{
				type: 'heatmap',
				data: cells.map(each => ({ ...each, label: { color: each.value[2] < 0 ? colors.ink : inkOn(each.value[2]) } })),
				label: { show: fits, fontSize: 12, formatter: ({ data: { cell } }) => printed(cell, state.measure) ?? '' },
				itemStyle: { borderColor: colors.card, borderWidth: 1.5 },
				emphasis: { itemStyle: { borderColor: colors.accent, borderWidth: 3 } },
			}],
		});
	}, chart => {
		const open = each => !each.cell.rest && openCell(each.cell.project, each.cell.region);
		chart.on('click', event => {
			if (event.componentType === 'series')
				return open(event.data);
			const tree = event.componentType === 'yAxis' ? down : across, other = tree === down ? across : down;
			if (event.value !== rest.path && divides(tree, event.value, state[other]))
				divide(tree, event.value);
		});
		let on = 0;
		const mark = to => {
			chart.dispatchAction({ type: 'downplay', seriesIndex: 0 });
			if (to === null)
				return chart.dispatchAction({ type: 'hideTip' });
			on = to;
			chart.dispatchAction({ type: 'highlight', seriesIndex: 0, dataIndex: on });
			chart.dispatchAction({ type: 'showTip', seriesIndex: 0, dataIndex: on });
			spoken.textContent = cellWords(cells[on].cell, cells[on].title).join(', ');
		};
		// The next cell that way in the same row or column.
		const toward = (dx, dy) => {
			const [x, y] = cells[on].value;
			const ahead = cells.map((each, place) => [place, (each.value[0] - x) * dx + (each.value[1] - y) * dy, dx ? each.value[1] === y : each.value[0] === x])
				.filter(([, distance, same]) => same && distance > 0).sort((a, b) => a[1] - b[1]);
			return ahead.length ? ahead[0][0] : on;
		};
		const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
		plot.addEventListener('focus', () => plot.matches(':focus-visible') && mark(on));
		plot.addEventListener('blur', () => mark(null));
		plot.addEventListener('keydown', event => {
			if (moves[event.key])
				mark(toward(...moves[event.key]));
			else if (event.key === 'Enter' || event.key === ' ')
				open(cells[on]);
			else
				return;
			event.preventDefault();
		});
	});
	return element('div', { class: 'drawing' }, plot, spoken, element('p', { class: 'note', id: 'map-keys' }, say('mapKeys')));
}

function matrixSection() {
	const matrix = matrixOf();
	if (!matrix)
		return section('matrix', say('matrix'), element('p', { class: 'note' }, say('noCells')));
	const place = state.project === '' && state.region === '' ? periodName(state.period) : `${cellTitle(state.project, state.region)}, ${periodName(state.period)}`;
	const title = say('matrixOf', say(state.measure), place);
	return section('matrix', title, toolbar(matrix), element('div', { class: 'places' }, crumbs('project'), crumbs('region')),
		state.view === 'map' ? matrixMap(matrix) : matrixTable(matrix),
		element('div', { class: 'pagers' },
			pager('rows', state.row, matrix.rows.length, pageRows, row => go({ row })),
			pager('columns', state.column, matrix.columns.length, pageColumns, column => go({ column }))),
		legend(matrix.slice));
}
