// Looks at the pages that test/report/check has made, in a headless Chromium, and
// compares every figure it sees with what the views say, read by psql.
'use strict';
const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { resolve } = require('node:path');
const { chromium } = require('playwright-core');

const folder = process.argv[2];
let passed = 0, failed = 0;

// One thing that must hold; several are said as one, with the first that does not.
function ok(holds, name, detail = '') {
	if (holds) passed++;
	else {
		failed++;
		console.log(`not ok ${name}${detail && `: ${detail}`}`);
	}
}
const same = (seen, expected, name) => ok(JSON.stringify(seen) === JSON.stringify(expected), name, `saw ${JSON.stringify(seen)?.slice(0, 400)}, expected ${JSON.stringify(expected)?.slice(0, 400)}`);
function all(list, holds, name) {
	const wrong = list.find(each => !holds(each));
	ok(list.length > 0 && wrong === undefined, `${name} (${list.length})`, JSON.stringify(wrong) ?? 'there is none');
}

// Rows of a query, as objects whose values are text.
function query(sql) {
	const text = execFileSync('psql', ['-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', `SET TimeZone = 'Asia/Shanghai'`, '-c', `SELECT json_agg(q) FROM (${sql}) AS q`], { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, PGUSER: 'page_reader' } });
	return JSON.parse(text || '[]') ?? [];
}
const plain = text => text.replace(/,/g, '').trim();
const empty = '\u2013';

const problems = [];
let browser, requests = 0;
// A page as somebody opens it who has kept nothing yet.
async function open(book, hash = '', settings = {}) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, locale: 'en-GB', colorScheme: 'light', ...settings });
	const file = `file://${resolve(folder, `${book}.html`)}`;
	await context.route('**/*', route => {
		if (route.request().url().split('#')[0] === file)
			return route.continue();
		requests++;
		return route.abort();
	});
	const page = await context.newPage();
	page.on('console', message => problems.push(`${book}: ${message.text()}`));
	page.on('pageerror', error => problems.push(`${book}: ${error}`));
	await page.goto(file + hash);
	await page.waitForSelector('footer');
	return page;
}
const address = chosen => `#${new URLSearchParams(Object.entries(chosen).map(([name, value]) => [name, JSON.stringify(value)]))}`;
const texts = (page, selector) => page.$$eval(selector, list => list.map(each => each.textContent.trim()));
const focused = page => page.evaluate(() => document.activeElement.id);

const measures = ['profit', 'revenue', 'margin', 'tickets'];
const shownAs = { margin: `(margin * 100)::numeric(18,2) || E'\\u202f%'` };

async function figuresOfTheMatrix() {
	const cells = query(`SELECT period, project, region, project_level, region_level, heat, color, ${measures.map(name => `coalesce(${shownAs[name] ?? `${name}::text`}, '${empty}') AS ${name}`).join(', ')} FROM chain.revenue_matrix`);
	const find = new Map(cells.map(cell => [`${cell.period} ${cell.project} ${cell.region}`, cell]));
	const periods = [...new Set(cells.map(cell => cell.period))].sort();
	for (const period of periods)
		for (const measure of measures)
			for (const [projectLevel, regionLevel] of [[1, 2], [2, 3], [3, 2]]) {
				const page = await open('chain', address({ period, measure, projectLevel, regionLevel, view: 'table' }));
				const seen = await page.$$eval('#matrix-table [data-cell]', list => list.map(each => [each.dataset.cell, each.textContent, each.className.includes('cell') ? each.style.backgroundColor : '']));
				const name = `${period}, ${measure} at levels ${projectLevel} and ${regionLevel}`;
				all(seen, ([place, text]) => plain(text) === find.get(`${period} ${place}`)?.[measure], `figures of ${name}`);
				const expected = cells.filter(cell => cell.period === period && cell.project_level === projectLevel && cell.region_level === regionLevel);
				same(seen.filter(([place]) => expected.some(cell => `${cell.project} ${cell.region}` === place)).length, expected.length, `all cells of ${name}`);
				if (measure === 'profit') {
					const rgb = color => `rgb(${color.match(/\w\w/g).map(part => parseInt(part, 16)).join(', ')})`;
					all(seen.filter(([, , color]) => color), ([place, , color]) => color === rgb(find.get(`${period} ${place}`).color), `colours of ${name}`);
				}
				await page.context().close();
			}

	const [period] = periods.slice(-1);
	const page = await open('chain');
	const drawn = (await texts(page, '#matrix-map svg text')).filter(text => /^-?[\d,]+\.\d\d$/.test(text)).map(plain).sort();
	same(drawn, cells.filter(cell => cell.period === period && cell.project_level === 1 && cell.region_level === 2).map(cell => cell.profit).sort(), 'the map draws the profit of every cell');
	const summary = Object.fromEntries(await page.$$eval('#summary [data-figure]', list => list.map(each => [each.dataset.figure, each.textContent])));
	const [total] = query(`SELECT revenue::text, cost::text, payout::text, profit::text, ${shownAs.margin} AS margin, tickets::text FROM chain.revenue_matrix WHERE period = '${period}' AND project_level = 0 AND region_level = 0`);
	same(Object.fromEntries(Object.entries(summary).map(([name, text]) => [name, plain(text)])), total, 'the summary is the whole of the period');
	for (const [id, order] of [['best', 'DESC'], ['worst', 'ASC']])
		same((await texts(page, `#${id} .figure`)).map(plain), query(`SELECT m.profit::text FROM chain.revenue_matrix AS m WHERE period = '${period}' AND project_level = 1 AND region_level = 2 ORDER BY m.profit ${order} LIMIT 10`).map(row => row.profit), `the ten ${id} cells`);
	await page.context().close();
}

// What stands on a node itself and not below it keeps rows and columns adding up.
async function whatStandsOnNoLevel() {
	const page = await open('chain', address({ measure: 'revenue', view: 'table', projectLevel: 2, regionLevel: 3 }));
	const cents = text => BigInt(plain(text).replace('.', '').replace(empty, '0'));
	const rows = await page.$$eval('#matrix-table tbody tr, #matrix-table tfoot tr', list => list.map(row => [...row.querySelectorAll('td')].map(each => each.textContent)));
	all(rows, row => row.slice(0, -1).reduce((sum, text) => sum + cents(text), 0n) === cents(row.at(-1)), 'rows add up to their totals');
	all(rows[0].map((_, place) => place), place => rows.slice(0, -1).reduce((sum, row) => sum + cents(row[place]), 0n) === cents(rows.at(-1)[place]), 'columns add up to their totals');
	await page.context().close();
}

async function fromCellToExplanation() {
	const page = await open('chain');
	const [cell] = query(`SELECT * FROM (SELECT m.project, m.region, m.period, m.tickets::text, m.revenue::text, m.cost::text, m.payout::text, m.profit::text, ${shownAs.margin} AS margin FROM chain.revenue_matrix AS m WHERE project_level = 1 AND region_level = 2 ORDER BY period DESC, profit DESC LIMIT 1) AS m`);
	await page.locator('#matrix-map svg text', { hasText: cell.profit.replace(/\B(?=(\d{3})+\.)/g, ',') }).click();
	same(await focused(page), 'cell-title', 'a click on the map opens the tickets of the cell');
	await sameCell(page, cell);

	await page.click('#tickets tbody button');
	const key = await page.textContent('#tickets tbody button');
	same(await focused(page), 'explanation-title', 'a click on a ticket opens its explanation');
	await sameExplanation(page, key);
	ok((await page.textContent('#cell .sql pre')).includes(`settle.drill('chain', '${cell.project}', '${cell.region}', '${cell.period}', 'CNY')`), 'the page says how to ask for all tickets');

	await page.goBack();
	same(await page.$('#explanation'), null, 'going back closes the explanation');
	await page.goBack();
	same(await page.$('#cell'), null, 'and then the cell');

	const name = await page.locator('#matrix-map svg text', { hasText: /^[^\d.,-]+$/ }).first().textContent();
	await page.locator('#matrix-map svg text', { hasText: name }).first().click();
	ok(/(project|region)=/.test(decodeURIComponent(page.url())), 'a click on a name divides it');
	await page.context().close();
}

async function sameCell(page, cell) {
	const facts = Object.fromEntries(await page.$$eval('#cell .facts dd', list => list.map(each => [each.dataset.figure, each.textContent])));
	same(Object.fromEntries(['tickets', 'revenue', 'cost', 'payout', 'profit', 'margin'].map(name => [name, plain(facts[name])])),
		Object.fromEntries(['tickets', 'revenue', 'cost', 'payout', 'profit', 'margin'].map(name => [name, cell[name]])), 'the cell says what the matrix says');
	const tickets = query(`SELECT ticket_key, revenue::numeric(18,2)::text, cost::numeric(18,2)::text, payout::numeric(18,2)::text, profit::numeric(18,2)::text FROM settle.drill('chain', '${cell.project}', '${cell.region}', '${cell.period}', 'CNY') WHERE source = 'ticket'`);
	const expected = new Map(tickets.map(row => [row.ticket_key, [row.revenue, row.cost, row.payout, row.profit]]));
	const rows = await page.$$eval('#tickets tbody tr', list => list.map(row => [row.querySelector('button').textContent, [...row.querySelectorAll('td.figure')].map(each => each.textContent)]));
	all(rows, ([key, figures]) => JSON.stringify(figures.map(plain)) === JSON.stringify(expected.get(key)), 'tickets say what settle.drill says');
	const sums = await page.$$eval('#tickets tfoot tr', list => list.map(row => [...row.querySelectorAll('td')].map(each => each.textContent)));
	const cents = text => BigInt(plain(text).replace('.', ''));
	all([0, 1, 2, 3], place => rows.reduce((sum, [, figures]) => sum + cents(figures[place]), 0n) === cents(sums[0][place]) && cents(sums[0][place]) + cents(sums[1][place]) === cents(sums[2][place]), 'shown and others add up');
	same(sums[2].map(plain), [cell.revenue, cell.cost, cell.payout, cell.profit], 'to the cell');
	ok((await page.textContent('#tickets caption')).includes(`${rows.length} of ${Number(cell.tickets).toLocaleString('en')} tickets shown`), 'how many of how many is said');
	same((await page.textContent('#tickets tbody button')), tickets.sort((a, b) => Math.abs(b.profit) - Math.abs(a.profit))[0].ticket_key, 'what moved the cell most comes first');
}

async function sameExplanation(page, key) {
	const steps = query(`SELECT name, concat_ws(E' \\u2192 ', payer, payee) AS parties, coalesce(base::text, '${empty}') AS base, coalesce(factor::text, '${empty}') AS factor,
		coalesce(amount::text || CASE WHEN unit <> 'CNY' THEN ' ' || unit ELSE '' END, '${empty}') AS amount, coalesce(detail, '') AS detail FROM settle.explain('chain', 'ticket', '${key}') ORDER BY step`);
	const seen = await page.$$eval('#explanation tbody tr', list => list.map(row => [...row.querySelectorAll('td')].slice(1).map(each => each.textContent)));
	same(seen.map(row => row.map((text, place) => place > 1 && place < 5 ? plain(text) : text)), steps.map(step => Object.values(step)), `the explanation of ${key} is that of settle.explain`);
}

async function byKeyboardAlone() {
	const page = await open('chain');
	const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
	await press('Tab', 'Enter');
	same(await focused(page), 'matrix-map', 'Tab and Enter lead to the matrix');
	await press('ArrowRight', 'ArrowDown');
	const spoken = await page.textContent('.spoken');
	ok(/Revenue [\d,]+\.\d\d/.test(spoken), 'the cell that is reached is spoken', spoken);
	await press('Enter');
	same(await focused(page), 'cell-title', 'Enter opens its tickets');
	const title = await page.textContent('#cell-title');
	ok(title.startsWith(spoken.split(', ')[0]), 'it is the cell that was spoken', title);
	for (let tabs = 0; tabs < 8 && !/^ticket-/.test(await focused(page)); tabs++)
		await press('Tab');
	await press('Enter');
	same(await focused(page), 'explanation-title', 'Tab and Enter lead to an explanation');
	ok((await page.$$('#explanation tbody tr.line')).length > 0, 'it has lines');

	await page.goto(`${page.url().split('#')[0]}${address({ view: 'table' })}`);
	await page.reload();
	await page.focus('#matrix-table [tabindex="0"]');
	same((await page.$$('#matrix-table [tabindex="0"]')).length, 1, 'the table is one stop');
	const place = () => page.evaluate(() => document.activeElement.dataset.cell ?? `head ${document.activeElement.textContent}`);
	const first = await place();
	await press('ArrowRight');
	ok(first !== await place() && !(await place()).startsWith('head'), 'arrow keys move in it');
	await press('Home');
	ok((await place()).startsWith('head'), 'Home reaches the head of the row');
	await press('Enter');
	ok(/region=/.test(decodeURIComponent(page.url())), 'Enter on a head divides it');
	await page.focus('#matrix-table [data-cell]');
	await press('Enter');
	same(await focused(page), 'cell-title', 'Enter in the table opens the tickets');
	await page.context().close();
}

async function trendProgressAlerts() {
	for (const grain of ['period', 'day', 'week', 'month']) {
		const page = await open('chain', address({ grain }));
		const rows = await page.$$eval('#trend-figures tbody tr', list => list.map(row => [row.querySelector('th').textContent, [...row.querySelectorAll('td')].map(each => [each.dataset.region, each.dataset.kind, each.textContent])]));
		const views = new Map(query(grain === 'period' ? `SELECT period AS start, region, revenue::text FROM chain.revenue_matrix WHERE project_level = 0`
			: `SELECT start, region, coalesce(revenue::text, '${empty}') AS revenue, coalesce(moving_average::text, '${empty}') AS moving, coalesce(year_before::text, '${empty}') AS before FROM chain.trend WHERE grain = '${grain}'`).map(row => [`${row.start} ${row.region}`, row]));
		all(rows.flatMap(([start, cells]) => cells.map(cell => [start, ...cell])), ([start, region, kind, text]) => {
			const row = views.get(`${start.length === 7 ? `${start}-01` : start} ${region}`);
			return plain(text) === (row ? row[{ moving: 'moving', before: 'before' }[kind] ?? 'revenue'] : empty);
		}, `the trend by ${grain}`);
		await page.context().close();
	}

	const page = await open('chain', address({ period: '2025-11-01' }));
	const components = await page.$$eval('#component option', list => list.map(each => each.value));
	for (const component of components) {
		await page.selectOption('#component', component);
		const trimmed = text => plain(text).replace(/ \u00b7 .*/, '').replace(/(\.\d*?)0+(?=\D|$)/g, '$1').replace(/\.(?=\D|$)/g, '');
		const [name, kind] = component.split(' \u00b7 ');
		const rows = await page.$$eval('#progress-table tbody tr', list => list.map(row => [(row.querySelector('th small') ?? row.querySelector('th')).textContent, ...[...row.querySelectorAll('td.figure, .tier .figure')].map(each => each.textContent)]));
		const views = new Map(query(`SELECT party, concat_ws(' ', coalesce(rank::text, '${empty}'), coalesce(tickets::text, '${empty}'), amount::text, coalesce(trim_scale(quantity) || CASE WHEN next_tier_at IS NULL THEN '' ELSE ' of ' || trim_scale(next_tier_at) END), coalesce(trim_scale(to_next_tier)::text, '${empty}'), coalesce(trim_scale(next_rate)::text, '${empty}'), coalesce(next_gain::text, '${empty}')) AS figures FROM chain.progress WHERE period = '2025-11-01' AND component = '${name}' AND party ~ '^${kind}(:|$)'`).map(row => [row.party, row.figures]));
		all(rows, ([party, ...figures]) => figures.map((text, place) => place < 3 || place > 5 ? plain(text) : trimmed(text)).join(' ') === views.get(party), `progress in ${component}`);
	}
	const bar = await page.$eval('#progress-table .tier', tier => [tier.textContent, Number(tier.querySelector('[role=meter]').getAttribute('aria-valuenow')), tier.querySelector('i').getBoundingClientRect().width / tier.querySelector('.bar').clientWidth]);
	ok(Math.abs(bar[1] / 100 - bar[2]) < 0.02, 'a bar is as long as it says', JSON.stringify(bar));
	const party = await page.$eval('#progress-table tbody th', th => th.textContent);
	await page.fill('#find', party.slice(-4));
	ok((await texts(page, '#progress-table tbody th')).every(text => text.includes(party.slice(-4))), 'a party is found by part of its name');
	await page.context().close();
}

async function languagesAndColours() {
	const read = new Function(`${readFileSync('src/report/page/client/words.js', 'utf8')}; return words;`);
	const keys = dictionary => Object.entries(dictionary).flatMap(([key, value]) => typeof value === 'string' ? [key] : Object.keys(value).map(inner => `${key}.${inner}`)).sort();
	same(keys(read().zh), keys(read().en), 'every word is there in both languages');

	const page = await open('chain', address({ cell: ['install', 'cn.east'], ticket: 0 }));
	const english = await texts(page, 'h2:not(#cell-title), h3');
	await page.click('#language');
	same(await page.getAttribute('html', 'lang'), 'zh-CN', 'the switch changes the language');
	const chinese = await texts(page, 'h2:not(#cell-title), h3');
	ok(english.length === chinese.length && chinese.every((text, place) => text !== english[place] && /[\u4e00-\u9fff]/.test(text)), 'every heading with it', chinese.join(' | '));
	await page.reload();
	same(await page.getAttribute('html', 'lang'), 'zh-CN', 'it is remembered');
	ok(!/undefined|\{\d\}|NaN|\[object/.test(await page.innerText('body')), 'no word is missing');
	await page.context().close();
	const native = await open('chain', '', { locale: 'zh-CN' });
	same(await native.textContent('#language'), 'English', 'a Chinese browser begins in Chinese');
	await native.context().close();

	const papers = [];
	for (const [system, chosen] of [['light', 'auto'], ['dark', 'auto'], ['light', 'dark'], ['dark', 'light']]) {
		const page = await open('chain', address({ cell: ['install', 'cn.east'], ticket: 0, view: 'table' }), { colorScheme: system });
		await page.selectOption('#theme', chosen);
		papers.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
		all(await page.evaluate(contrasts), ({ ratio }) => ratio >= 4.5, `text can be read, ${system} system, ${chosen} chosen`);
		const lines = await page.evaluate(() => ['card', ...Array.from({ length: 13 }, (_, place) => `line-${place}`)].map(name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()));
		all(lines.slice(1), color => contrast(rgbOf(color), rgbOf(lines[0])) >= 3, `lines stand out, ${system} system, ${chosen} chosen`);
		await page.context().close();
	}
	ok(papers[0] === papers[3] && papers[1] === papers[2] && papers[0] !== papers[1], 'light and dark, by the system and by choice', papers.join(' '));

	// Lightness alone tells the steps of the heat apart, for every kind of eye
	// (simulation of Machado, Oliveira and Fernandes, 2009).
	const colors = query('SELECT settle.heat_color(level) AS color FROM generate_series(0, 9) AS level').map(row => rgbOf(row.color));
	const eyes = {
		normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
		protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
		deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
		tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
	};
	for (const [eye, matrix] of Object.entries(eyes)) {
		const light = colors.map(color => 0.2126 * matrix[0].reduce((sum, part, place) => sum + part * linear(color[place]), 0) + 0.7152 * matrix[1].reduce((sum, part, place) => sum + part * linear(color[place]), 0)
			+ 0.0722 * matrix[2].reduce((sum, part, place) => sum + part * linear(color[place]), 0)).map(value => 116 * Math.cbrt(Math.max(value, 0)) - 16);
		all(light.slice(1).map((value, place) => light[place] - value), step => step > 4, `steps of the heat by lightness, ${eye}`);
	}
}

const rgbOf = color => color.startsWith('#') ? color.replace(/^#(.)(.)(.)$/, '#$1$1$2$2$3$3').match(/\w\w/g).map(part => parseInt(part, 16)) : color.match(/[\d.]+/g).map(Number);
const linear = part => part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);

// In the page: the contrast of every text with what is painted behind it.
function contrasts() {
	const linear = part => part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
	const parse = color => color.match(/[\d.]+/g).map(Number);
	const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
	const behind = element => {
		for (let at = element; at; at = at.parentElement) {
			const color = parse(getComputedStyle(at).backgroundColor);
			if (color[3] !== 0)
				return color;
		}
		return [255, 255, 255];
	};
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const found = [];
	while (walker.nextNode()) {
		const element = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || element.closest('svg, script, noscript, :disabled, .tip') || !element.getClientRects().length)
			continue;
		const [ink, paper] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))];
		found.push({ text: walker.currentNode.data.slice(0, 40), ratio: (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) });
	}
	return found;
}

async function onPaperAndSmall() {
	const page = await open('chain', address({ cell: ['install', 'cn.east'], ticket: 0 }), { colorScheme: 'dark', viewport: { width: 1030, height: 720 } });
	await page.emulateMedia({ media: 'print' });
	await page.waitForTimeout(300);
	same(await page.$$eval('button:not(.link), select', list => list.filter(each => each.getClientRects().length).length), 0, 'paper has no buttons');
	ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'paper is wide enough');
	ok(await page.evaluate(() => [...document.querySelectorAll('.scroll')].every(each => each.scrollHeight <= each.clientHeight + 1)), 'nothing is cut off on paper');
	same(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()), '#1d1c1a', 'paper is light whatever the screen is');
	ok((await page.pdf({ preferCSSPageSize: true })).length > 20000, 'it prints');
	await page.context().close();

	for (const width of [390, 768]) {
		for (const hash of ['', address({ view: 'table', projectLevel: 2, regionLevel: 3, cell: ['install', 'cn.east'], ticket: 0 })]) {
			const small = await open('chain', hash, { viewport: { width, height: 800 } });
			ok(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing hangs over at ${width} pixels`);
			await small.context().close();
		}
	}
}

async function otherBooks() {
	const wide = await open('wide', address({ view: 'table' }));
	same([await wide.$$eval('#matrix-table tbody tr', list => list.length), await wide.$$eval('#matrix-table thead th', list => list.length)], [40, 33], 'a thousand projects in all provinces: forty rows at a time');
	ok((await wide.textContent('.pagers')).includes('Rows 1 to 40 of 1,000'), 'and the rest a page away', await wide.textContent('.pagers'));
	await wide.click('#rows-next');
	const best = query(`SELECT m.profit::text FROM wide.revenue_matrix AS m WHERE project_level = 1 AND region_level = 0 ORDER BY m.profit DESC, project OFFSET 40 LIMIT 1`)[0];
	same(plain(await wide.$eval('#matrix-table tbody tr td:last-child', each => each.textContent)), best.profit, 'highest first');
	await wide.click('#matrix-table tbody td[data-cell]');
	ok((await wide.$$('#tickets, #cell .note')).length > 0, 'a cell opens');
	await wide.context().close();

	const one = await open('one', address({ cell: ['repair', 'cn'], ticket: 0 }));
	same(await one.evaluate(() => [window.broken ?? null, document.images.length, document.querySelectorAll('svg[onload], a[href^="//"]').length, document.scripts.length]), [null, 0, 0, 3], 'hostile names are no HTML');
	for (const text of ['<img src=x onerror="window.broken=1">', '</script><script>window.broken=2</script>', '<img src=x onerror="window.broken=3">', '</script><script>window.broken=4</script>',
		'<svg onload="window.broken=5">', '</td><script>window.broken=6</script>', 'javascript:window.broken=7 <!-- <a href=//x>', '{{data}}$&'])
		ok((await one.textContent('main')).includes(text), `but text: ${text}`);
	await one.click('#matrix-map');
	await one.context().close();

	const none = await open('none');
	ok((await none.textContent('main')).includes('No figures stand here'), 'a book without tickets says so');
	same(await none.textContent('h1'), 'none', 'and has its name');
	await none.context().close();
}

async function asksForNothing() {
	same(problems, [], 'no page has said anything to the console');
	same(requests, 0, 'no request has left a page');
	const page = await open('chain');
	const refused = await page.evaluate(() => Promise.all([
		fetch('https://example.org/').then(() => 'fetched', () => 'refused'),
		new Promise(done => { const image = new Image(); image.onload = () => done('loaded'); image.onerror = () => done('refused'); image.src = 'https://example.org/x.png'; }),
		new Promise(done => { const script = document.createElement('script'); script.textContent = 'window.injected = 1'; document.body.append(script); done(window.injected ? 'ran' : 'refused'); }),
	]));
	same([refused, requests], [['refused', 'refused', 'refused'], 0], 'and the page forbids it');
	await page.context().close();
}

(async () => {
	browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
	try {
		for (const part of [figuresOfTheMatrix, whatStandsOnNoLevel, fromCellToExplanation, byKeyboardAlone, trendProgressAlerts, languagesAndColours, onPaperAndSmall, otherBooks, asksForNothing]) {
			try {
				await part();
			} catch (error) {
				ok(false, part.name, error.stack);
			}
		}
	} finally {
		await browser.close();
	}
	console.log(`${passed} passed, ${failed} failed`);
	process.exitCode = failed > 0 ? 1 : 0;
})();
