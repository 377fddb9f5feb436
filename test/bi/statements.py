"""Makes pgTAP of the statements of docs/bi.md: macros and variables become what
Grafana and Metabase put in their place, $1 is bound, and there must be rows."""
import re

BOUND = {'the matrix': "'2025-10-01', 'CNY'",
         'the tickets of a cell': "'install.ac', '', '2025-10-01', NULL",
         'the lines of a ticket': "'ticket', '690000000000012345'"}
MATRIX = '"chain"."revenue_matrix".'
PLACES = [
    (r"\$__timeGroupAlias\(([^)]*), '1h'\)", r'floor(extract(epoch from \1)/3600)*3600 AS "time"'),
    (r'\$__timeFilter\(([^)]*)\)', r"\1 BETWEEN '2025-10-01T00:00:00Z' AND '2025-12-31T23:59:59Z'"),
    (r'\$__timeFrom\(\)', "'2025-10-01T00:00:00Z'"),
    (r'\$\{project(:raw)?\}', 'install.ac'), (r'\$\{region(:raw)?\}', 'cn'), (r'\$\{month\}', '2025-10-01'),
    (r'\[\[|\]\]', ''),
    (r'\{\{period\}\}', MATRIX + '"period" BETWEEN date \'2025-10-01\' AND date \'2025-12-31\''),
    (r'\{\{area\}\}', MATRIX + '"region" IN (\'cn.east\', \'cn.south\')'),
    (r'\{\{currency\}\}', "'CNY'"), (r'\{\{project\}\}', "'install.ac'"), (r'\{\{region\}\}', "'cn'"), (r'\{\{month\}\}', "'2025-10-01'"),
]

with open('docs/bi.md', encoding='utf-8') as file:
    blocks = re.findall(r'```sql\n-- ([^\n]*)\n(.*?);\n```', file.read(), re.S)
print('SET ROLE bi_reader;\nSELECT plan(%d);' % len(blocks))
for number, (title, statement) in enumerate(blocks):
    for place, value in PLACES:
        statement = re.sub(place, value, statement)
    bound = next((values for begin, values in BOUND.items() if title.startswith(begin)), None)
    print('PREPARE s%d AS %s;' % (number, statement))
    print('SELECT isnt_empty($$ EXECUTE s%d%s $$, $$docs/bi.md: %s$$);' % (number, '(%s)' % bound if bound else '', title))
print('SELECT * FROM finish();')
