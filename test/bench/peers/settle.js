// What the rule engines that run in Node share: tickets out of the database in
// batches, rules, exact prices, lines back by COPY.  An engine only says which
// rules apply to each ticket of a batch:
//
//   settle(async rules => ({ match: batch => promise of one array of rules a ticket, inFlight }))
//
// Amounts are integers in doubles.  Every product is checked against 2^53, below
// which doubles are exact integers, so that a result is exact or there is none.
'use strict';
const { once } = require('node:events');
const { performance } = require('node:perf_hooks');
const { Client } = require('pg');
const copy = require('pg-copy-streams');

const BATCH = 5000;

// The number of a decimal text in units of 10^-scale.
function scaled(text, scale) {
	const value = Math.round(Number(text) * 10 ** scale);
	if (!Number.isSafeInteger(value) || Math.abs(Number(text) * 10 ** scale - value) > 1e-6) {
		throw new Error(`${text} has more than ${scale} places`);
	}
	return value;
}

const places = texts => Math.max(0, ...texts.map(t => (t && t.split('.')[1] || '').replace(/0+$/, '').length));

function exact(value) {
	if (!Number.isSafeInteger(value)) throw new Error(`${value} is beyond 2^53`);
	return value;
}

// The text of an amount in cents.
function money(cents) {
	const sign = cents < 0 ? '-' : '';
	const c = Math.abs(cents), rest = c % 100;
	return `${sign}${(c - rest) / 100}.${rest < 10 ? '0' : ''}${rest}`;
}

// The levels of a path: 'a.b.c' gives ['a', 'a.b', 'a.b.c'].
function levels(path) {
	const found = [];
	for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', dot + 1)) found.push(path.slice(0, dot));
	found.push(path);
	return found;
}

async function readRules(client, size) {
	const rows = (await client.query(`
		SELECT r.rule, r.code, r.component, r.payee, r.accumulates, r.coefficient, r.project::text, r.projects::text[], r.region::text, r.regions::text[],
			r.amount_from::text, r.amount_below::text, r.channel, r.level, r.rush, r.night, r.dealer,
			t.tiers
		FROM bench.rule AS r
		CROSS JOIN LATERAL (
			SELECT json_agg(json_build_array(t.lower::text, t.upper::text, t.rate::text, t.flat::text, t.fee_below::text) ORDER BY t.lower) AS tiers
			FROM bench.tier AS t WHERE t.rules = r.rules AND t.rule = r.rule
		) AS t
		WHERE r.rules = $1 ORDER BY r.rule`, [size])).rows;
	const provinces = (await client.query('SELECT region::text, factor::text FROM bench.province')).rows;
	const factorPlaces = places(provinces.map(p => p.factor));
	const ratePlaces = places(rows.flatMap(r => r.tiers.map(t => t[2])));

	const unit = 2 + ratePlaces;	// fees are in 10^-unit
	const one = 10 ** factorPlaces;
	const divisor = 10 ** (unit - 2) * one, half = divisor / 2;
	for (const r of rows) {
		r.tiers = r.tiers.map(([lower, upper, rate, flat, below]) => ({
			lower: scaled(lower, 2), upper: upper === null ? Infinity : scaled(upper, 2),
			rate: scaled(rate, ratePlaces), fixed: scaled(flat, unit) + scaled(below, unit),
		}));
		// cents of the graduated fee of an amount in cents, times a factor in 1/one, rounded half up
		r.fee = (amount, factor) => {
			for (const t of r.tiers) {
				if (amount > t.lower && amount <= t.upper) {
					return Math.floor((exact((t.fixed + (amount - t.lower) * t.rate) * factor) + half) / divisor);
				}
			}
			return null;
		};
		for (const bound of ['amount_from', 'amount_below']) r[bound] = r[bound] === null ? null : scaled(r[bound], 2);
	}
	return {
		rows, one,
		factors: new Map(provinces.map(p => [p.region, { text: p.factor, value: scaled(p.factor, factorPlaces) }])),
	};
}

// The tickets of a table in the order of the month, in batches.
async function* readTickets(client, table) {
	const stream = client.query(copy.to(`
		COPY (
			SELECT id, date_trunc('month', done_at AT TIME ZONE 'Asia/Shanghai')::date, project, region, channel, level, worker, dealer, amount, rush, night
			FROM ${table} ORDER BY done_at, id
		) TO STDOUT`));
	stream.setEncoding('utf8');
	let rest = '', batch = [];
	for await (const chunk of stream) {
		const rows = (rest + chunk).split('\n');
		rest = rows.pop();
		for (const row of rows) {
			const [id, period, project, region, channel, level, worker, dealer, amount, rush, night] = row.split('\t');
			batch.push({
				id, period, project: levels(project), region: levels(region), channel, level, worker, dealer: Number(dealer),
				base: amount, amount: scaled(amount, 2), rush: rush === 't', night: night === 't',
			});
			if (batch.length === BATCH) {
				yield batch;
				batch = [];
			}
		}
	}
	if (batch.length > 0) yield batch;
}

async function settle(makeEngine) {
	const [size, table] = process.argv.slice(2);
	const options = { host: process.env.PGHOST, options: process.env.PGOPTIONS };
	const reader = new Client(options), writer = new Client(options);
	await Promise.all([reader.connect(), writer.connect()]);
	const { rows, one, factors } = await readRules(reader, size);
	const accumulating = rows.filter(r => r.accumulates);
	const engine = await makeEngine(rows.filter(r => !r.accumulates));
	const fixed = performance.now() / 1000;

	const spent = { read: 0, decide: 0, price: 0, write: 0 };
	let mark = performance.now();
	const start = mark, processor = process.cpuUsage();
	const lap = part => {
		const now = performance.now();
		spent[part] += now - mark;
		mark = now;
	};

	const months = new Map();	// what a worker has so far, by period and rule
	const neutral = { text: '1', value: one };
	const price = (batch, found) => {
		let text = '';
		const line = (t, r, payee, factor, cents) => {
			text += `${t.id}\t${t.period}\t${r.component}\t${r.code}\thq\t${payee}\t${t.base}\t${factor.text}\t${money(cents)}\n`;
		};
		batch.forEach((t, i) => {
			const payees = { staff: `staff:${t.worker}`, dealer: `dealer:${t.dealer}`, channel: `channel:${t.channel}` };
			const regional = factors.get(t.region[2]);
			for (const r of accumulating) {
				const key = `${t.worker} ${t.period} ${r.rule}`;
				let month = months.get(key);
				if (month === undefined) months.set(key, month = { base: 0, fee: 0 });
				const factor = r.coefficient ? regional : neutral;
				// a worker's coefficient is that of the home province
				month.base += t.amount;
				const fee = r.fee(month.base, factor.value);
				line(t, r, payees[r.payee], factor, fee - month.fee);
				month.fee = fee;
			}
			for (const r of found[i]) {
				const factor = r.coefficient ? regional : neutral;
				const fee = r.fee(t.amount, factor.value);
				if (fee !== null) line(t, r, payees[r.payee], factor, fee);
			}
		});
		return text;
	};

	const out = writer.query(copy.from('COPY bench.line FROM STDIN'));
	const done = once(out, 'finish');
	done.catch(() => {});
	let tickets = 0;
	const waiting = [];
	const finish = async () => {
		const { batch, found } = waiting.shift();
		const rules = await found;
		lap('decide');
		const text = price(batch, rules);
		lap('price');
		if (!out.write(text)) await Promise.race([once(out, 'drain'), done]);
		lap('write');
		tickets += batch.length;
	};
	for await (const batch of readTickets(reader, table)) {
		lap('read');
		waiting.push({ batch, found: engine.match(batch) });
		if (waiting.length >= (engine.inFlight || 1)) await finish();
	}
	while (waiting.length > 0) await finish();
	out.end();
	await done;
	lap('write');
	const whole = (mark - start) / 1000;

	console.log(`whole ${whole.toFixed(3)}`);
	for (const [part, ms] of Object.entries(spent)) console.log(`${part} ${(ms / 1000).toFixed(3)}`);
	const { user, system } = process.cpuUsage(processor);
	console.log(`processor ${((user + system) / 1e6).toFixed(3)}`);
	console.log(`fixed ${fixed.toFixed(3)}`);
	console.log(`tickets ${tickets}`);
	await Promise.all([reader.end(), writer.end()]);
}

module.exports = { settle: make => settle(make).catch(error => { console.error(error); process.exit(1); }) };
