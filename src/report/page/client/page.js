// The page: what is chosen, where that is kept, and how the parts are put together.
const kept = ['period', 'currency', 'measure', 'project', 'region', 'projectLevel', 'regionLevel', 'rows', 'view', 'order', 'row', 'column', 'cell', 'ticket', 'grain', 'trendMeasure', 'component'];
state.trendMeasure = null;
const first = { ...state };

// The address says what differs from the first view; a ticket by its place.
function address() {
	const parts = new URLSearchParams();
	for (const name of kept)
		if (JSON.stringify(state[name]) !== JSON.stringify(first[name]))
			parts.set(name, JSON.stringify(name === 'ticket' ? ticketList.indexOf(state.ticket) : state[name]));
	return `#${parts}`;
}

// Whoever writes an address by hand gets what of it makes sense.
function readAddress() {
	for (const name of kept)
		state[name] = first[name];
	for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
		try {
			if (kept.includes(name))
				state[name] = name === 'ticket' ? ticketList[JSON.parse(text)] ?? null : JSON.parse(text);
		} catch {
			continue;
		}
	}
	const known = { period: periods, currency: currencies, measure: measures, rows: [null, 'project', 'region'], view: ['map', 'table'], order: [null, 'tree', 'figure'], grain: grains };
	for (const [name, values] of Object.entries(known))
		if (!values.includes(state[name]))
			state[name] = first[name];
	for (const tree of ['project', 'region'])
		if (!trees[tree].has(state[tree]))
			state[tree] = '';
	for (const name of ['row', 'column'])
		if (!Number.isInteger(state[name]) || state[name] < 0)
			state[name] = 0;
	if (!(Array.isArray(state.cell) && state.cell.length === 2 && state.cell.every(path => typeof path === 'string')))
		state.cell = state.ticket = null;
}

// Chooses something; what stands at `focus` then has the focus.
function go(changes, focus) {
	const measure = { ...state };
	Object.assign(state, changes);
	if (state.period !== measure.period || state.currency !== measure.currency)
		Object.assign(state, { row: 0, column: 0, ticket: null });
	history.pushState(null, '', address());
	render(focus);
}

function keep(name, value) {
	state[name] = value;
	try {
		localStorage.setItem(`scrm_settle ${name}`, value);
	} catch {
		// A reader who keeps nothing chooses again.
	}
	render();
}

function header() {
	const stands = data.states[state.period] ?? 'open';
	return element('header', null,
		element('a', { class: 'skip', href: '#matrix', onclick: event => { event.preventDefault(); document.querySelector('#matrix-map, #matrix-table [tabindex="0"]')?.focus(); } }, say('skip')),
		element('div', { class: 'name' }, element('h1', null, data.book), element('p', null, say('report'), element('small', null, say('asOf', data.madeAt, data.timeZone))),
			alertRows.length > 0 && element('p', null, element('a', { href: '#alerts', id: 'to-alerts', onclick: event => { event.preventDefault(); document.getElementById('alerts').scrollIntoView(); } },
				element('span', { 'aria-hidden': 'true' }, signs.warning), ' ', say('openAlerts', amount.grouped(String(alertRows[0].open)))))),
		element('div', { class: 'settings' },
			periods.length > 0 && element('div', { class: 'period' }, selection(say('period'), periods.map(period => [period, `${periodName(period)}`]), state.period, period => go({ period }), 'period'),
				element('span', { class: `state ${stands}` }, say(stands))),
			currencies.length > 1 ? selection(say('currency'), currencies.map(each => [each, each]), state.currency, currency => go({ currency }), 'currency')
				: element('span', { class: 'state' }, state.currency ?? data.currency),
			selection(say('theme'), ['auto', 'light', 'dark'].map(theme => [theme, say(theme)]), state.theme, theme => keep('theme', theme), 'theme'),
			button(say('language'), () => keep('language', state.language === 'en' ? 'zh' : 'en'), { id: 'language', lang: state.language === 'en' ? 'zh-CN' : 'en' }),
			button(say('print'), () => print(), { id: 'print' })));
}

function footer() {
	const taken = data.slices.filter(slice => slice.taken), count = list => amount.grouped(String(list.reduce((sum, slice) => sum + slice.count, 0)));
	return element('footer', null,
		element('p', null, say('holds', count(taken), count(data.slices), amount.grouped(String(data.tickets.length)), data.madeBy, data.book), ' ', taken.length < data.slices.length && say('leftOut', data.book)),
		element('p', null, say('made', data.version)));
}

function render(focus) {
	const active = focus ?? document.activeElement?.id, top = scrollY;
	document.documentElement.lang = state.language === 'zh' ? 'zh-CN' : 'en';
	document.documentElement.dataset.theme = state.theme;
	document.title = `${data.book} \u00b7 ${say('report')}`;
	forgetDrawings();
	document.getElementById('page').replaceChildren(...[header(),
		element('main', null, [summary(), matrixSection(), cellSection(), ranking(), trendSection(), progressSection(), alertSection()].filter(Boolean)),
		footer()]);
	repaint();
	scrollTo({ top, behavior: 'instant' });
	const wanted = active ? document.getElementById(active) : null;
	wanted?.focus({ preventScroll: true });
	if (focus)
		wanted?.scrollIntoView({ block: focus.endsWith('-title') ? 'start' : 'nearest' });
}

// Paper is light whatever the screen is, and has a width of its own.
const paper = matchMedia('print');
paper.addEventListener('change', () => repaint());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => repaint());
let drawnWidth = 0;
new ResizeObserver(([{ contentRect: { width } }]) => {
	if (width !== drawnWidth)
		repaint();
	drawnWidth = width;
}).observe(document.getElementById('page'));
addEventListener('popstate', () => { readAddress(); render(); });

const remembered = name => { try { return localStorage.getItem(`scrm_settle ${name}`); } catch { return null; } };
state.language = words[remembered('language')] ? remembered('language') : navigator.language.startsWith('zh') ? 'zh' : 'en';
state.theme = ['light', 'dark'].includes(remembered('theme')) ? remembered('theme') : 'auto';
readAddress();
render();
