// Writes the page of a book: one HTML file that holds its data, its code and its
// style, and asks for nothing.  Reads the reporting views through psql, so the
// connection is libpq's (PGHOST, PGSERVICE, .pgpass ...).
//
//     node page.js MODULES BOOK FILE [name=number ...]
//
// Everything that comes from the database goes into the page as JSON in which no
// "<" is left, and from there into the document as text, never as HTML.
'use strict';
const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const bounds = { periods: 12, cells: 100000, tickets: 1000, parties: 50, alerts: 200 };
const parts = ['amount', 'words', 'model', 'element', 'matrix', 'tickets', 'trend', 'lists', 'page'];

// Rows of data.sql, as arrays.
function rowsOf(book) {
	const settings = Object.entries({ book, ...bounds }).flatMap(([name, value]) => ['-v', `${name}=${value}`]);
	const { error, status, stdout } = spawnSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', ...settings, '-f', join(__dirname, 'data.sql')], {
		encoding: 'utf8',
		env: { ...process.env, PGCLIENTENCODING: 'UTF8' },
		maxBuffer: 1 << 30,
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	if (error)
		throw error;
	if (status !== 0)
		process.exit(1);
	return stdout.split('\n').filter(line => line !== '').map(line => JSON.parse(line));
}

// A list of different texts, and the place of each in it.
function interned() {
	const texts = [null], places = new Map([[null, 0]]);
	return {
		texts,
		place(text) {
			if (!places.has(text))
				places.set(text, texts.push(text) - 1);
			return places.get(text);
		},
	};
}

// What the page holds.  Paths and the texts of explanations, which repeat, are
// written once and referred to by their place.
function dataOf(rows) {
	const data = { bounds, slices: [], english: { project: {}, region: {} }, projects: [], regions: [], tickets: [], explanations: {}, trend: [], progress: [], alerts: [] };
	const slices = new Map(), nodes = { projects: new Map(), regions: new Map() }, texts = interned();
	const node = (tree, path, name) => {
		if (!nodes[tree].has(path))
			nodes[tree].set(path, data[tree].push([path, name]) - 1);
		return nodes[tree].get(path);
	};
	const kinds = {
		book(name, currency, kind, timeZone, madeAt, madeBy, version, colors, states) {
			Object.assign(data, { book: name, currency, kind, timeZone, madeAt, madeBy, version, colors, states });
		},
		slice(period, currency, projectLevel, regionLevel, count, taken, revenue, profit, margin, tickets) {
			const slice = { period, currency, projectLevel, regionLevel, count, taken, scale: { revenue, profit, margin, tickets }, cells: [] };
			slices.set([period, currency, projectLevel, regionLevel].join(), slice);
			data.slices.push(slice);
		},
		cell(period, currency, projectLevel, regionLevel, project, region, projectName, regionName, ...figures) {
			slices.get([period, currency, projectLevel, regionLevel].join()).cells
				.push([node('projects', project, projectName), node('regions', region, regionName), ...figures]);
		},
		label(tree, path, name) { data.english[tree][path] = name; },
		ticket(...columns) { data.tickets.push(columns); },
		explanation(source, key, steps) {
			data.explanations[`${source} ${key}`] = steps.map(step => step.map(text => texts.place(text)));
		},
		trend(...columns) { data.trend.push(columns); },
		progress(...columns) { data.progress.push(columns); },
		alert(...columns) { data.alerts.push(columns); },
	};
	for (const [kind, ...columns] of rows)
		kinds[kind](...columns);
	data.texts = texts.texts;
	return data;
}

const hashOf = text => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

// Puts code, style and data into the frame page.html.
function pageOf(data, modules) {
	const read = name => readFileSync(join(__dirname, name), 'utf8');
	const library = readFileSync(join(modules, 'echarts', 'dist', 'echarts.min.js'), 'utf8').trim();
	const code = `'use strict';\n(() => {\n${parts.map(part => read(`client/${part}.js`)).join('\n')}})();`;
	const style = read('page.css');
	if (/<\/(script|style)/i.test(library + code + style))
		throw new Error('the code or the style would end its own element');
	const fills = {
		policy: `default-src 'none'; script-src ${hashOf(library)} ${hashOf(code)}; style-src ${hashOf(style)}; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'`,
		title: data.book.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`),
		style,
		data: JSON.stringify(data).replace(/</g, '\\u003c'),
		library,
		code,
	};
	return read('page.html').replace(/\{\{(\w+)\}\}/g, (_, name) => fills[name]);
}

const [modules, book, file, ...settings] = process.argv.slice(2);
for (const setting of settings) {
	const [, name, value] = setting.match(/^(\w+)=(\d+)$/) ?? [];
	if (!Object.hasOwn(bounds, name)) {
		console.error(`"${setting}" is none of ${Object.keys(bounds).map(known => `${known}=${bounds[known]}`).join(', ')}`);
		process.exit(1);
	}
	bounds[name] = Number(value);
}
const data = dataOf(rowsOf(book));
const page = pageOf(data, modules);
writeFileSync(file, page);
const held = data.slices.filter(slice => slice.taken).reduce((sum, slice) => sum + slice.cells.length, 0);
console.log(`${file}: ${held} cells, ${data.tickets.length} tickets, ${(Buffer.byteLength(page) / 1e6).toFixed(1)} MB`);
