"""What a tool sees through psqlODBC: columns or rows of relations of a schema,
as lines for COPY; the same lines as Jdbc.java."""
import datetime
import decimal
import os
import sys

import pyodbc

TYPES = {-10: 'WLONGVARCHAR', -9: 'WVARCHAR', -8: 'WCHAR', -7: 'BIT', -5: 'BIGINT', -4: 'LONGVARBINARY', -3: 'VARBINARY',
         -1: 'LONGVARCHAR', 1: 'CHAR', 2: 'NUMERIC', 4: 'INTEGER', 5: 'SMALLINT', 8: 'DOUBLE', 12: 'VARCHAR',
         9: 'DATE', 11: 'TIMESTAMP', 91: 'DATE', 93: 'TIMESTAMP'}


def text(value):
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, decimal.Decimal):
        return format(value, 'f')
    if isinstance(value, datetime.datetime):
        return value.strftime('%Y-%m-%d %H:%M:%S.%f')
    if isinstance(value, bytes):
        return '\\x' + value.hex()
    return str(value)


def escape(value):
    if value is None:
        return '\\N'
    for raw, written in (('\\', '\\\\'), ('\t', '\\t'), ('\n', '\\n'), ('\r', '\\r')):
        value = str(value).replace(raw, written)
    return value


def show(*fields):
    sys.stdout.write('\t'.join(map(escape, fields)) + '\n')


sys.stdout.reconfigure(encoding='utf-8')
connection = pyodbc.connect(
    'Driver={PostgreSQL Unicode};Servername=%s;Port=5432;Database=%s;Username=bi_reader;BoolsAsChar=0;'
    "ConnSettings=SET TIME ZONE 'UTC'" % (os.environ['PGHOST'], os.environ['PGDATABASE']))
cursor = connection.cursor()
if sys.argv[1] == 'version':
    print('psqlODBC', connection.getinfo(pyodbc.SQL_DRIVER_VER), 'under pyodbc', pyodbc.version)
elif sys.argv[1] == 'columns':
    for row in cursor.tables(schema='chain').fetchall():
        show(row.table_name, None, row.table_type, None, None, row.remarks)
    for row in cursor.columns(schema='chain').fetchall():
        show(row.table_name, row.column_name, TYPES.get(row.data_type, row.data_type), row.column_size, row.decimal_digits, row.remarks)
else:
    for relation, in cursor.execute('SELECT relation FROM reading').fetchall():
        for row in cursor.execute('SELECT * FROM chain.' + relation):
            show(relation, '|'.join(map(text, row)))
