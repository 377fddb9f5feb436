-- Text that leaves for a spreadsheet.
BEGIN;
SELECT plan(4);
SELECT results_eq(
    $$ SELECT settle.csv_text(v) FROM unnest(ARRAY['=1+1', '+86 138', '-5', '@SUM(A1)', E'\t=1', E'\r=1', E'\n=1', '＝1', '＋1', '－1', '＠x']) WITH ORDINALITY AS t (v, n) ORDER BY n $$,
    ARRAY['''=1+1', '''+86 138', '''-5', '''@SUM(A1)', E'''\t=1', E'''\r=1', E'''\n=1', '''＝1', '''＋1', '''－1', '''＠x'],
    'what a spreadsheet would evaluate gets an apostrophe before it');
SELECT results_eq(
    $$ SELECT settle.csv_text(v) FROM unnest(ARRAY['', 'T-1', '0012', '安装', 'a=b', ' =1', '''=1', 'x' || E'\n=1']) WITH ORDINALITY AS t (v, n) ORDER BY n $$,
    ARRAY['', 'T-1', '0012', '安装', 'a=b', ' =1', '''=1', 'x' || E'\n=1'],
    'all else stays as it is');
SELECT is(settle.csv_text(NULL), NULL, 'null is null');
SELECT is(settle.csv_text(settle.csv_text('=1')), '''=1', 'twice is once');
SELECT * FROM finish();
ROLLBACK;
