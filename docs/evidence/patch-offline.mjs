// duckdb-wasm 1.28.0 has Parquet built in; later ones fetch it from the network,
// when sources are read and again in the browser of everybody who looks.  The
// older one does not know two settings, whose lines go.  npm runs this after
// installing; it fails where the lines are not what they were.
import { readFileSync, writeFileSync } from 'node:fs';

const folder = 'node_modules/@evidence-dev/universal-sql/src/client-duckdb/';
const setting = /^\s*await connection\.query\('SET (ieee_floating_point_ops|old_implicit_casting) = .*'\);\n/gm;

for (const name of ['node.js', 'browser.js']) {
	const file = folder + name;
	const text = readFileSync(file, 'utf8');
	const found = text.match(setting)?.length ?? 0;
	if (found === 2) {
		writeFileSync(file, text.replace(setting, ''));
	} else if (found !== 0 || /ieee_floating_point_ops|old_implicit_casting/.test(text)) {
		throw new Error(`${file}: two settings expected, found ${found}`);
	}
}
