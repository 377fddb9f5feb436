// Peer: DuckDB settles by sets with all cores, the way of sets.sql: tickets out by
// COPY into files, read in parallel, joined by hashes, lines written as files and
// taken back by COPY.
//
//   duckdb.js RULES TABLE
//
// Amounts are integers (cents, and fees in the smallest unit that rates and
// coefficients need): exact, and an overflow is an error.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
const { DuckDBInstance } = require('@duckdb/node-api');
const { Client } = require('pg');

const cores = os.cpus().length;
const [size, table] = process.argv.slice(2);

async function main(dir) {
	const connect = async () => {
		const client = new Client({ host: process.env.PGHOST, options: process.env.PGOPTIONS });
		await client.connect();
		return client;
	};
	const clients = await Promise.all(Array.from({ length: cores }, connect));
	const duck = await (await DuckDBInstance.create(':memory:', { threads: String(cores) })).connect();
	await duck.run('SET preserve_insertion_order = false');
	const fixed = performance.now() / 1000;

	const spent = {};
	const start = performance.now(), processor = process.cpuUsage();
	let mark = start;
	const lap = part => {
		const now = performance.now();
		spent[part] = (now - mark) / 1000;
		mark = now;
	};

	// Out: the columns that are needed, each session a part of the tickets.
	const file = name => path.join(dir, name);
	const save = (client, name, query) => client.query(`COPY (${query}) TO '${file(name)}' (FORMAT csv)`);
	const { rows: [{ first, last }] } = await clients[0].query('SELECT coalesce(min(id), 0) AS first, coalesce(max(id) + 1, 0) AS last FROM ' + table);
	const bound = i => BigInt(first) + (BigInt(last) - BigInt(first)) * BigInt(i) / BigInt(cores);
	await save(clients[0], 'rule.csv', `
		SELECT rule, code, component, payee, accumulates, coefficient, project, array_to_string(projects::text[], ' '), region, array_to_string(regions::text[], ' '),
			(amount_from * 100)::bigint, (amount_below * 100)::bigint, channel, level, rush, night, dealer
		FROM bench.rule WHERE rules = ${size}`);
	await save(clients[0], 'tier.csv', `
		SELECT rule, (lower * 100)::bigint, (upper * 100)::bigint, (rate * 1000000)::bigint, ((fee_below + flat) * 100000000)::bigint
		FROM bench.tier WHERE rules = ${size}`);
	await save(clients[0], 'project.csv', 'SELECT n, project FROM bench.project');
	await save(clients[0], 'site.csv', 'SELECT n, region, (factor * 10000)::int, factor FROM bench.site');
	await Promise.all(clients.map((client, i) => save(client, `ticket_${i}.csv`, `
		SELECT id, done_at AT TIME ZONE 'Asia/Shanghai', project_no, site_no, channel, level, worker, dealer, (amount * 100)::int, rush, night
		FROM ${table} WHERE id >= ${bound(i)} AND id < ${bound(i + 1)}`)));
	lap('export');

	const load = (name, files, columns) => duck.run(`CREATE TABLE ${name} AS FROM read_csv('${file(files)}', auto_detect = false, delim = ',', quote = '"', header = false, columns = ${columns})`);
	await load('rule', 'rule.csv', `{rule: 'INT', code: 'VARCHAR', component: 'VARCHAR', payee: 'VARCHAR', accumulates: 'BOOL', coefficient: 'BOOL',
		project: 'VARCHAR', projects: 'VARCHAR', region: 'VARCHAR', regions: 'VARCHAR', amount_from: 'INT', amount_below: 'INT',
		channel: 'VARCHAR', level: 'VARCHAR', rush: 'BOOL', night: 'BOOL', dealer: 'INT'}`);
	await load('tier', 'tier.csv', "{rule: 'INT', lower: 'BIGINT', upper: 'BIGINT', rate: 'BIGINT', fixed: 'BIGINT'}");
	await load('project', 'project.csv', "{n: 'INT', project: 'VARCHAR'}");
	await load('site', 'site.csv', "{n: 'INT', region: 'VARCHAR', factor: 'BIGINT', factor_text: 'VARCHAR'}");
	await load('ticket', 'ticket_*.csv', `{id: 'BIGINT', done_at: 'TIMESTAMP', project_no: 'INT', site_no: 'INT', channel: 'VARCHAR', level: 'VARCHAR',
		worker: 'INT', dealer: 'INT', amount: 'INT', rush: 'BOOL', night: 'BOOL'}`);
	lap('read');

	// Compute: a rule is found by project where it names one, else by region, by dealer, by flags.
	await duck.run(`
		CREATE TABLE offer AS
		SELECT r.* REPLACE (string_split(r.projects, ' ') AS projects, string_split(r.regions, ' ') AS regions), t.* EXCLUDE (rule)
		FROM rule AS r JOIN tier AS t USING (rule) WHERE NOT r.accumulates`);
	for (const [tree, leaf, node, list] of [['project', 'project', 'project', 'projects'], ['site', 'region', 'region', 'regions']]) {
		await duck.run(`
			CREATE TABLE offer_of_${tree} AS
			WITH named AS (${tree === 'project' ? 'FROM offer' : 'FROM offer WHERE project IS NULL AND projects IS NULL'}
			), node AS (
				SELECT n, ${leaf} AS leaf, array_to_string(parts[1:depth], '.') AS node
				FROM (SELECT *, string_split(${leaf}, '.') AS parts FROM ${tree}), generate_series(1, len(parts)) AS g (depth)
			)
			SELECT n.n, o.* FROM named AS o JOIN node AS n ON n.node = o.${node} WHERE o.${list} IS NULL OR list_contains(o.${list}, n.leaf)
			UNION ALL
			SELECT l.n, o.* EXCLUDE (leaf)
			FROM (SELECT *, unnest(${list}) AS leaf FROM named WHERE ${node} IS NULL) AS o JOIN ${tree} AS l ON l.${leaf} = o.leaf`);
	}
	await duck.run('CREATE TABLE offer_of_none AS FROM offer WHERE project IS NULL AND projects IS NULL AND region IS NULL AND regions IS NULL');
	await duck.run(`
		CREATE TABLE offer_of_flags AS
		SELECT f.channel AS of_channel, f.level AS of_level, f.rush AS of_rush, f.night AS of_night, o.*
		FROM (SELECT DISTINCT channel, level, rush, night FROM ticket) AS f
		JOIN offer_of_none AS o ON (o.channel IS NULL OR f.channel = o.channel) AND (o.level IS NULL OR f.level = o.level)
			AND (o.rush IS NULL OR f.rush = o.rush) AND (o.night IS NULL OR f.night = o.night)
		WHERE o.dealer IS NULL`);
	const fee = (quantity, t, factor) => `(((${t}.fixed + (${quantity} - ${t}.lower) * ${t}.rate) * ${factor} + 5000000000) // 10000000000)`;
	const amounts = `t.amount > o.lower AND (o.upper IS NULL OR t.amount <= o.upper)
		AND (o.amount_from IS NULL OR t.amount >= o.amount_from) AND (o.amount_below IS NULL OR t.amount < o.amount_below)
		AND (o.dealer IS NULL OR t.dealer = o.dealer)`;
	const flags = `(o.channel IS NULL OR t.channel = o.channel) AND (o.level IS NULL OR t.level = o.level)
		AND (o.rush IS NULL OR t.rush = o.rush) AND (o.night IS NULL OR t.night = o.night)`;
	const regions = "(o.region IS NULL OR starts_with(s.region || '.', o.region || '.')) AND (o.regions IS NULL OR list_contains(o.regions, s.region))";
	const lines = (join, where) => `
		SELECT t.id, date_trunc('month', t.done_at)::DATE AS period, o.component, o.code,
			CASE o.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END AS payee,
			t.amount AS base, CASE WHEN o.coefficient THEN s.factor_text ELSE '1' END AS factor,
			${fee('t.amount', 'o', 'CASE WHEN o.coefficient THEN s.factor ELSE 10000 END')} AS amount
		FROM ticket AS t JOIN site AS s ON s.n = t.site_no JOIN ${join} WHERE ${where}`;
	await duck.run(`
		CREATE TABLE line AS
		${lines('offer_of_project AS o ON o.n = t.project_no', `${amounts} AND ${flags} AND ${regions}`)}
		UNION ALL
		${lines('offer_of_site AS o ON o.n = t.site_no', `${amounts} AND ${flags}`)}
		UNION ALL
		${lines('offer_of_none AS o ON o.dealer = t.dealer', `${amounts} AND ${flags}`)}
		UNION ALL
		${lines('offer_of_flags AS o ON o.of_channel = t.channel AND o.of_level = t.level AND o.of_rush = t.rush AND o.of_night = t.night', amounts)}
		UNION ALL
		SELECT c.id, c.period, c.component, c.code, 'staff:' || c.worker, c.amount, c.factor_text,
			c.fee - lag(c.fee, 1, 0) OVER (PARTITION BY c.rule, c.worker, c.period ORDER BY c.done_at, c.id)
		FROM (
			SELECT b.*, CASE WHEN b.coefficient THEN b.site_factor_text ELSE '1' END AS factor_text,
				${fee('b.so_far', 'v', 'CASE WHEN b.coefficient THEN b.site_factor ELSE 10000 END')} AS fee
			FROM (
				SELECT t.id, t.done_at, t.worker, t.period, t.amount, s.factor AS site_factor, s.factor_text AS site_factor_text, r.rule, r.component, r.code, r.coefficient,
					sum(t.amount) OVER (PARTITION BY r.rule, t.worker, t.period ORDER BY t.done_at, t.id ROWS UNBOUNDED PRECEDING)::BIGINT AS so_far
				FROM (SELECT *, date_trunc('month', done_at)::DATE AS period FROM ticket) AS t
				JOIN site AS s ON s.n = t.site_no
				CROSS JOIN (FROM rule WHERE accumulates) AS r
			) AS b
			JOIN tier AS v ON v.rule = b.rule AND b.so_far > v.lower AND (v.upper IS NULL OR b.so_far <= v.upper)
		) AS c`);
	lap('compute');

	// Back: a file a thread, which is what COPY reads as text; each session takes some.
	await duck.run(`
		COPY (
			SELECT id, period, component, code, 'hq', payee, base::DECIMAL(16, 0) * 0.01, factor, amount::DECIMAL(16, 0) * 0.01 FROM line
		) TO '${file('line')}' (FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '', ESCAPE '', PER_THREAD_OUTPUT true)`);
	lap('write');
	const files = fs.readdirSync(file('line')).map(name => path.join(file('line'), name));
	await Promise.all(clients.map(async client => {
		for (let next; (next = files.pop()) !== undefined;) await client.query(`COPY bench.line FROM '${next}'`);
	}));
	lap('load');

	console.log(`whole ${((mark - start) / 1000).toFixed(3)}`);
	for (const [part, seconds] of Object.entries(spent)) console.log(`${part} ${seconds.toFixed(3)}`);
	const { user, system } = process.cpuUsage(processor);
	console.log(`processor ${((user + system) / 1e6).toFixed(3)}`);
	console.log(`fixed ${fixed.toFixed(3)}`);
}

// The server writes here, as whatever user it runs.
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'duckdb-'));
fs.chmodSync(dir, 0o777);
main(dir).then(() => 0, error => { console.error(error); return 1; }).then(status => {
	fs.rmSync(dir, { recursive: true, force: true });
	process.exit(status);
});
