"""The mutants of the sources, by rules: what each class of fault looks like here.

A mutant is one edit of one file, (class, file, start, end, new text), named by
what stands there and not by its line, so that a list of them lives on when lines
move.  The C core is mutated wholly; locks are looked for in every room, in C and
in SQL, and constraints in every table of a book.  A self-test is no product.

Text of comments, messages and string constants is no code; of the SQL in string
constants only locks and orders are.
"""
import re
import sys
from collections import Counter, namedtuple
from pathlib import Path

CORE = ['amount', 'tier', 'expr', 'rule', 'settle', 'statement']
SAMPLED = ['comparison', 'arithmetic', 'rounding', 'sign', 'order']
COMPLETE = ['lock', 'constraint']

Mutant = namedtuple('Mutant', 'kind file start end new name line')


def blank(text, pattern):
    """Puts blanks in the place of what matches, so that positions stay."""
    return re.sub(pattern, lambda m: re.sub(r'[^\n]', ' ', m.group()), text, flags=re.S | re.M)


def closing(text, opening):
    """Finds the end of what the parenthesis at a position opens; strings count as text."""
    depth, quoted = 0, False
    for i in range(opening, len(text)):
        if text[i] == "'":
            quoted = not quoted
        elif not quoted and text[i] == '(':
            depth += 1
        elif not quoted and text[i] == ')':
            depth -= 1
            if depth == 0:
                return i + 1
    raise ValueError(text[opening:opening + 60])


def c_edits(text):
    """What is mutated in C: (class, start, end, new)."""
    code = blank(text, r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\])\'|^[ \t]*#.*?$|^[ \t]*(?:extern|typedef)\b.*?;')
    # what is not compiled into the product, and how much is asked of the allocator or the stack
    code = blank(code, r'\b(?:Static)?Assert\w*\(.*?\);|\b(?:palloc0?|repalloc|MemoryContextAlloc\w*)\(.*?;')
    code = blank(code, r'^\t+(?:static )?(?:char|bool|int|uint8|Datum)[ \t]+\w+\[[^\]]*\];')
    # of two that are known to differ, which is the greater: < says no more than <=
    code = re.sub(r'(if \((\S+) != (\S+)\)\s+return \2 )[<>]( \3 \? -1 : 1;)', r'\1 \4', code)
    flips = {'<': '<=', '<=': '<', '>': '>=', '>=': '>', '==': '!=', '!=': '=='}
    for m in re.finditer(r' (<=?|>=?|==|!=) ', code):
        yield 'comparison', m.start(1), m.end(1), flips[m.group(1)]
    for m in re.finditer(r'(?<=[\w)\]]) ([+-]=?) ', code):
        yield 'arithmetic', m.start(1), m.end(1), m.group(1).translate(str.maketrans('+-', '-+'))
    for m in re.finditer(r'\bSETTLE_HALF_(UP|EVEN|DOWN)\b', code):
        yield 'rounding', m.start(1), m.end(1), {'UP': 'EVEN', 'EVEN': 'DOWN', 'DOWN': 'UP'}[m.group(1)]
    for m in re.finditer(r'(?<!^)\bsettle_dec_neg(?=\()', code):
        if not text[text.rfind('\n', 0, m.start()) + 1:m.start()].strip() == '':
            yield 'sign', m.start(), m.end(), ''
    for m in re.finditer(r'(?:[=(,?:]|return) ?(-)(?=[a-z])', code):
        yield 'sign', m.start(1), m.end(1), ''
    for m in re.finditer(r'\b(?:qsort|qsort_arg|list_sort|qsort_interruptible)\([^;]*;', code):
        yield 'order', m.start(), m.end(), ';'
    for m in re.finditer(r'\b(?:LockRelationOid|table_tuple_lock|heap_lock_tuple)\(', code):
        end = closing(code, m.end() - 1)
        if code[end] == ';' and not code[:m.start()].endswith('= '):
            yield 'lock', m.start(), end, '(void) 0'
        else:
            yield 'lock', m.start(), end, 'TM_Ok'


def sql_edits(text, in_c):
    """What is mutated in SQL, in its own files or in the string constants of C."""
    if in_c:
        comments = re.compile(r'/\*.*?\*/', re.S)
    else:
        comments = re.compile(r'/\*.*?\*/|--[^\n]*', re.S)
    code = blank(text, comments.pattern)
    for m in re.finditer(r' FOR (?:NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)(?: OF \w+)?(?: SKIP LOCKED| NOWAIT)?', code):
        if not code[m.end():].startswith(' with'):
            yield 'lock', m.start(), m.end(), ''
    for m in re.finditer(r'\bLOCK TABLE (\S+) IN [A-Z ]+ MODE', code):
        yield 'lock', m.start(), m.end(), 'SET LOCAL extra_float_digits = 1'
    for m in re.finditer(r'\bpg_advisory\w*lock\w*\(', code):
        yield 'lock', m.start(), m.end(), 'pg_typeof('
    # the order of an aggregate or a query, to its end
    for m in re.finditer(r'\s?\bORDER BY ', code):
        depth = 0
        for end in range(m.end(), len(code)):
            if code[end] == '(':
                depth += 1
            elif code[end] == ')':
                depth -= 1
            if depth < 0 or code[end] in ';"' or (depth == 0 and re.match(r'\s(?:LIMIT|FOR|ROWS|RANGE|OFFSET)\b|\n\t*(?:LOOP|LIMIT|FOR)\b|\$', code[end:end + 12])):
                break
        if '%' not in code[m.end():end] or not in_c:
            yield 'order', m.start(), end, ''


def constraint_edits(text):
    """What is mutated in the tables of a book: each constraint becomes CHECK (true)."""
    for function in re.finditer(r'^CREATE FUNCTION settle\._create_\w+\(.*?^\$function\$;', text, re.S | re.M):
        at = function.start()
        code = blank(function.group(), r'--[^\n]*|/\*.*?\*/|COMMENT ON .*?;\n')
        for m in re.finditer(r'\bPRIMARY KEY(?: \(|\b)|\bUNIQUE(?: NULLS NOT DISTINCT)?(?: \(|\b(?! INDEX))|\bCHECK \(|\bEXCLUDE USING gist \(|\bFOREIGN KEY \(|(?<!\) )\bREFERENCES [%\w$.]+(?: \(\w+\))?|\bCREATE UNIQUE INDEX', code):
            start, end = m.start(), m.end()
            if m.group() == 'CREATE UNIQUE INDEX':
                yield 'constraint', at + start, at + end, 'CREATE INDEX'
                continue
            if not m.group().startswith('REFERENCES') and m.group().endswith('('):
                end = closing(code, end - 1)
                rest = re.match(r' WHERE \(|(?: NOT)? DEFERRABLE[A-Z ]*| REFERENCES [%\w$.]+(?: \([\w, ]+\))?', code[end:])
                if rest:
                    end += rest.end()
            yield 'constraint', at + start, at + end, 'CHECK (true)'


def mutants():
    """Every mutant of the sources, in the order of files and positions."""
    found = []
    for path in sorted(Path('src').glob('*/*.[ch]')) + sorted(Path('src').glob('*/*.sql')):
        text = path.read_text()
        room = path.parts[1]
        edits = []
        if path.stem == 'selftest':
            continue
        if path.suffix in ('.c', '.h'):
            edits = [e for e in c_edits(text) if e[0] == 'lock' or room in CORE]
        edits += [e for e in sql_edits(text, path.suffix != '.sql') if e[0] == 'lock' or room in CORE]
        if path.suffix == '.sql':
            edits += constraint_edits(text)
        names = Counter()
        for kind, start, end, new in sorted(edits, key=lambda e: (e[1], e[0])):
            first = text.rfind('\n', 0, start) + 1
            last = text.find('\n', start)
            near = ' '.join(text[first:last].split())
            old = ' '.join(text[start:end].split())
            name = f'{near[:90]} [{old[:50]} -> {new or "nothing"}]'
            names[name] += 1
            if names[name] > 1:
                name += f' #{names[name]}'
            found.append(Mutant(kind, str(path), start, end, new, name, text.count('\n', 0, start) + 1))
    return found


if __name__ == '__main__':
    count = Counter()
    for m in mutants():
        count[m.kind] += 1
        if len(sys.argv) == 1 or m.kind in sys.argv[1:]:
            print(f'{m.kind}\t{m.file}:{m.line}\t{m.name}')
    print(dict(count), file=sys.stderr)
