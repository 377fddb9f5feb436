// Charts by ECharts, and the lines of regions through time.
const styleOf = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const drawings = [];

// Draws into an element once it stands in the page, and again when its width or
// the colours change.  `paint` sets the options, `begin` listens, once.
function draw(plot, paint, begin) {
	drawings.push({ plot, paint, begin, chart: null });
}

function repaint() {
	const colors = Object.fromEntries(['ink', 'soft', 'card', 'line', 'quiet', 'accent'].map(name => [name, styleOf(name)]));
	colors.font = getComputedStyle(document.body).fontFamily;
	colors.lines = Array.from({ length: 13 }, (_, place) => styleOf(`line-${place}`));
	for (const drawing of drawings) {
		if (!drawing.chart) {
			drawing.chart = echarts.init(drawing.plot, null, { renderer: 'svg' });
			drawing.begin?.(drawing.chart);
		}
		drawing.chart.resize();
		drawing.paint(drawing.chart, colors, drawing.chart.getWidth());
	}
}

function forgetDrawings() {
	drawings.splice(0).forEach(drawing => drawing.chart?.dispose());
}

const tip = ([title, ...rows]) => element('div', { class: 'tip' }, element('b', null, title), rows.map(row => element('div', null, row)));

const trendColumns = ['grain', 'start', 'region', 'name', 'currency', 'tickets', 'revenue', 'cost', 'payout', 'profit', 'moving', 'yearBefore', 'yearOnYear'];
const trendRows = data.trend.map(row => Object.fromEntries(row.map((value, place) => [trendColumns[place], value])));
const symbols = ['none', 'circle', 'rect', 'triangle', 'diamond', 'roundRect', 'emptyCircle', 'emptyRect', 'emptyTriangle', 'emptyDiamond', 'emptyRoundRect', 'circle', 'rect'];
const trendMeasures = ['revenue', 'profit', 'cost', 'payout', 'tickets'];

// By day, week and month: all regions, the first level of them (unless there is
// one region, which says the same), and of revenue the moving average and the
// year before.
function linesOfTrend(measure) {
	const rows = trendRows.filter(row => row.grain === state.grain && row.currency === state.currency);
	const line = (region, name, column, kind) => ({ region, name, kind, values: new Map(rows.filter(row => row.region === region && row[column] !== null).map(row => [row.start, row[column]])) });
	const regions = [...new Map(rows.filter(row => row.region !== '').map(row => [row.region, trees.region.get(row.region)?.name ?? row.name]))];
	return [line('', say('allRegions'), measure, 'all'), ...(regions.length > 1 ? regions.map(([region, name]) => line(region, name, measure, 'region')) : []),
		...(measure === 'revenue' ? [line('', say('moving'), 'moving', 'moving'), line('', say('yearBefore'), 'yearBefore', 'before')] : [])];
}

// By period: what the matrix divides, and the twelve largest of the regions that
// it is divided into.
function linesOfPeriods(measure) {
	const projectLevel = levelOf('project', state.project), known = [...periods].reverse();
	const values = (region, level) => new Map(known.map(period => [period, slices.get(sliceKey(period, state.currency, projectLevel, level))?.cells.get(`${state.project} ${region}`)?.[measure]]).filter(([, value]) => value));
	const shown = shownLevel('region', levelsOf('region')), whole = { region: state.region, name: cellTitle(state.project, state.region), kind: 'all', values: values(state.region, levelOf('region', state.region)) };
	if (!shown || shown.nodes.length < 2)
		return [whole];
	const labels = labelsOf('region', shown.nodes);
	const regions = shown.nodes.map(node => ({ region: node.path, name: labels.get(node.path), kind: 'region', values: values(node.path, node.level) }));
	const size = each => Math.max(0, ...[...each.values.values()].map(value => Math.abs(amount.number(value))));
	return [whole, ...regions.sort((a, b) => size(b) - size(a)).slice(0, 12)];
}

const grains = ['period', 'day', 'week', 'month'].filter(grain => grain === 'period' ? periods.length > 1 : trendRows.some(row => row.grain === grain));
state.grain = grains[0];

function trendLines() {
	const measure = trendMeasures.includes(state.trendMeasure) ? state.trendMeasure : 'revenue';
	const lines = (state.grain === 'period' ? linesOfPeriods : linesOfTrend)(measure).filter(each => each.values.size);
	return { measure, lines, starts: [...new Set(lines.flatMap(each => [...each.values.keys()]))].sort() };
}

function trendSection() {
	const { measure, starts, lines } = trendLines();
	if (!starts.length)
		return section('trend', say('trend'), element('p', { class: 'note' }, say('noTrend')));
	const name = start => state.grain === 'month' ? start.slice(0, 7) : state.grain === 'period' ? periodName(start) : start;
	const plot = element('div', { class: 'plot', id: 'trend-plot', role: 'img', 'aria-label': say('trendLabel', say(measure), say(state.grain), lines.length, starts[0], starts.at(-1)), style: { height: '360px' } });
	draw(plot, (chart, colors, width) => {
		let place = 0;
		chart.setOption({
			animation: false,
			textStyle: { fontFamily: colors.font },
			grid: { left: 76, right: 16, top: 12, bottom: width < 600 ? 128 : 84 },
			legend: { type: 'plain', bottom: 0, left: 'center', textStyle: { color: colors.ink }, itemWidth: 26, inactiveColor: colors.soft },
			tooltip: {
				trigger: 'axis', confine: true, backgroundColor: colors.card, borderColor: colors.line, textStyle: { color: colors.ink },
				formatter: points => tip([name(starts[points[0].dataIndex]), ...lines.map(each => [each.name, each.values.get(starts[points[0].dataIndex])]).filter(([, value]) => value).map(([label, value]) => `${label}: ${amount.grouped(value)}`)]),
			},
			xAxis: { type: 'category', data: starts.map(name), axisLabel: { color: colors.soft, hideOverlap: true }, axisLine: { lineStyle: { color: colors.line } }, boundaryGap: starts.length < 4 },
			yAxis: { type: 'value', axisLabel: { color: colors.soft }, splitLine: { lineStyle: { color: colors.line } } },
			series: lines.map(each => {
				const number = each.kind === 'region' ? ++place : 0;
				return {
					type: 'line', name: each.name, data: starts.map(start => each.values.has(start) ? amount.number(each.values.get(start)) : null),
					symbol: starts.length < 3 && number === 0 ? 'circle' : symbols[number], symbolSize: 7, showAllSymbol: false, showSymbol: starts.length < 40, connectNulls: each.kind !== 'before',
					color: colors.lines[number],
					lineStyle: { width: each.kind === 'all' ? 3 : 1.8, type: { moving: 'dashed', before: 'dotted' }[each.kind] ?? 'solid' },
				};
			}),
		}, true);
	});
	return section('trend', say('trend'),
		element('div', { class: 'toolbar' },
			choice(say('grain'), grains.map(grain => [grain, say(grain)]), state.grain, grain => go({ grain })),
			choice(say('measure'), trendMeasures.map(each => [each, say(each)]), measure, trendMeasure => go({ trendMeasure }))),
		plot,
		element('details', { id: 'trend-figures' }, element('summary', null, say('trendTable')), element('div', { class: 'scroll' }, element('table', null,
			heads([say('start')], ...lines.map(each => [each.name, 'figure'])),
			element('tbody', null, [...starts].reverse().map(start => element('tr', null, element('th', { scope: 'row' }, name(start)),
				lines.map(each => figure(each.values.has(start) ? amount.grouped(each.values.get(start)) : null, { 'data-region': each.region, 'data-kind': each.kind })))))))));
}
