"""Holds files that were exported against the rows of psql, and prints TAP: what
LibreOffice made of NAME.csv is NAME.xlsx, with the types of columns said, and
NAME.plain.xlsx, without.  Arguments are the folder, where control.xlsx shows that
LibreOffice does evaluate what is not guarded, and the names."""
import decimal
import json
import re
import sys
import xml.etree.ElementTree as xml
import zipfile

NAMESPACE = {'m': 'http://schemas.openxmlformats.org/spreadsheetml/2006/main'}
NUMBER = re.compile(r'-?[0-9]+(\.[0-9]+)?')
UNESCAPE = {'\\\\': '\\', '\\t': '\t', '\\n': '\n', '\\r': '\r'}
failed = 0
number = 0


def ok(holds, what, *seen):
    global failed, number
    number += 1
    print('%sok %d - %s' % ('' if holds else 'not ', number, what))
    if not holds:
        failed += 1
        print('#', *(repr(value)[:300] for value in seen))


def rows_of(name):
    """Rows of a file of COPY, None for null."""
    with open(name, encoding='utf-8', newline='\n') as file:
        return [[None if field == '\\N' else re.sub(r'\\[\\tnr]', lambda part: UNESCAPE[part[0]], field)
                 for field in line.rstrip('\n').split('\t')] for line in file]


def sheet_of(name):
    """Cells of the first sheet as (type, text), and how many formulas stand in it."""
    with zipfile.ZipFile(name) as book:
        shared = [''.join(part.text or '' for part in entry.iter('{%(m)s}t' % NAMESPACE))
                  for entry in xml.fromstring(book.read('xl/sharedStrings.xml')).findall('m:si', NAMESPACE)]
        sheet = xml.fromstring(book.read('xl/worksheets/sheet1.xml'))
    rows = []
    for row in sheet.findall('.//m:row', NAMESPACE):
        cells = {}
        for cell in row.findall('m:c', NAMESPACE):
            place = 0
            for letter in re.match('[A-Z]+', cell.get('r'))[0]:
                place = place * 26 + ord(letter) - 64
            value = cell.find('m:v', NAMESPACE)
            if value is not None:
                text = shared[int(value.text)] if cell.get('t') == 's' else value.text
                cells[place - 1] = (cell.get('t', 'n'), text)
        rows.append(cells)
    return rows, len(sheet.findall('.//m:f', NAMESPACE))


def guarded(text):
    return "'" + text if re.match('[-=+@\t\n\r＝＋－＠]', text) else text


def check(stem):
    view = stem.rsplit('/', 1)[-1]
    text = rows_of(stem + '.text')
    with open(stem + '.filter', encoding='utf-8') as file:
        kinds = file.read().strip().split('/')[1::2]
    with open(stem + '.csv', 'rb') as file:
        ok(file.read(3) == b'\xef\xbb\xbf', view + '.csv begins with a byte order mark')

    sheet, formulas = sheet_of(stem + '.xlsx')
    ok(formulas == 0, view + ': no cell is a formula')
    ok(len(sheet) == len(text) + 1, view + ': a row of the sheet for each row, and the names', len(sheet), len(text))
    texts, amounts, dates = [], [], []
    for cells, row in zip(sheet[1:], text):
        for place, (kind, value) in enumerate(zip(kinds, row)):
            cell = cells.get(place, ('s', ''))
            if kind == '2' and (cell[0] != 's' or cell[1] != guarded(value or '')):
                texts.append((row, value, cell))
            if kind == '1' and NUMBER.fullmatch(value or '') and len(re.sub('[^0-9]', '', value)) <= 15:
                if cell[0] != 'n' or format(decimal.Decimal(float(cell[1])), '.%df' % len(value.partition('.')[2])) != value:
                    amounts.append((row, value, cell))
            if kind == '5' and value and cell[0] != 'n':
                dates.append((row, value, cell))
    ok(not texts, view + ': numbers of tickets, codes and Chinese are text as it is', *texts[:2])
    ok(not amounts, view + ': amounts of up to 15 digits are exact', *amounts[:2])
    ok(not dates, view + ': days are days', *dates[:2])

    plain, formulas = sheet_of(stem + '.plain.xlsx')
    ok(formulas == 0, view + ' as it comes: no cell is a formula')
    seen = {value for cells in plain for kind, value in cells.values() if kind == 's'}
    wanted = {guarded(value) for row in text for kind, value in zip(kinds, row) if kind == '2' and value and re.search('[\u4e00-\u9fff]', value)}
    ok(wanted <= seen, view + ' as it comes: Chinese is right', wanted - seen)

    with open(stem + '.json', encoding='utf-8') as file:
        objects = [json.loads(line) for line in file]
    ok(all(isinstance(value, (str, bool, type(None))) for entry in objects for value in entry.values()), view + ': JSON has amounts as text')
    names = [sheet[0][place][1].lstrip('\ufeff') for place in range(len(kinds))]
    differing = [(row, entry) for row, entry in zip(text, objects) for name, kind, value in zip(names, kinds, row)
                 if kind == '1' and NUMBER.fullmatch(value or '') and entry[name] != value]
    ok(len(objects) == len(text) and not differing, view + ': and all their digits', *differing[:2])


ok(sheet_of(sys.argv[1] + '/control.xlsx')[1] == 1, 'a formula without a guard is one')
for stem in sys.argv[2:]:
    check(stem)
print('1..%d' % number)
sys.exit(failed > 0)
