// How the ClickHouse front reads SQL: what is code, what is text, where the rows of an INSERT begin.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quoteIdentifier, quoteString } from '../../storage/embedded/clickhouse-front/settings.js';
import { tokens } from '../../storage/embedded/clickhouse-front/sql-lexer.js';
import { parseStatement } from '../../storage/embedded/clickhouse-front/statement.js';

const latin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
const read = (sql: string) => [...tokens(latin1(sql))];

describe('tokens of SQL', () => {
  it('are words, quoted names, strings and signs; comments and blanks are nothing', () => {
    const found = read(
      "SELECT `a\\`b`, \"c\"\"d\" -- e\n, 'f''\\'g' /* h /* i */ j */ + $x$ k' $x$ # l\n#! m\n;",
    );
    expect(found.map(({ kind, text }) => `${kind}:${text}`)).toEqual([
      ...['word:SELECT', 'quoted:`a\\`b`', 'punctuation:,', 'quoted:"c""d"', 'punctuation:,'],
      ...["string:'f''\\'g'", 'punctuation:+', "string:$x$ k' $x$", 'punctuation:;'],
    ]);
  });

  it('are unclear where the engine may read something else: open quotes, typographic ones, odd bytes', () => {
    for (const sql of ["'open", '`open', '/* open', '‘', '\\', '\0', 'é', '$', '\u00a0', '−']) {
      expect(
        read(sql).some(({ kind }) => kind === 'unclear'),
        JSON.stringify(sql),
      ).toBe(true);
    }
  });

  it('lie in order, do not overlap and hold the bytes they claim, for any input', () => {
    const soup = fc
      .array(
        fc.constantFrom(
          "'",
          '"',
          '`',
          '\\',
          '/*',
          '*/',
          '--',
          '\n',
          '#',
          '$',
          '$a$',
          ' ',
          ';',
          'a',
          '\0',
          'é',
        ),
      )
      .map((pieces) => latin1(pieces.join('')));
    fc.assert(
      fc.property(fc.oneof(soup, fc.string().map(latin1)), (sql) => {
        let end = 0;
        for (const token of tokens(sql)) {
          expect(token.start).toBeGreaterThanOrEqual(end);
          expect(token.end).toBeGreaterThan(token.start);
          expect(token.text).toBe(sql.slice(token.start, token.end));
          end = token.end;
        }
        expect(end).toBeLessThanOrEqual(sql.length);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  it('keep any text that we quote in one string, any name in one name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(read(quoteString(text)).map(({ kind }) => kind)).toEqual(['string']);
        expect(read(quoteIdentifier(text)).map(({ kind }) => kind)).toEqual(['quoted']);
      }),
      { seed: 2, numRuns: 1000 },
    );
  });
});

describe('an INSERT', () => {
  it.each([
    ['INSERT INTO t VALUES (1)', 'INSERT INTO t ', '', 'Values', ' (1)'],
    ['insert into db . t (a, b) format Native\nX', 'insert into db . t (a, b) ', '', 'Native', '\nX'],
    ['INSERT INTO t SETTINGS a=1, b=2 FORMAT CSV', 'INSERT INTO t ', 'SETTINGS a=1, b=2 ', 'CSV', ''],
    ['INSERT INTO TABLE format VALUES(1)', 'INSERT INTO TABLE format ', '', 'Values', '(1)'],
    ['INSERT INTO values (format) FORMAT TSV x', 'INSERT INTO values (format) ', '', 'TSV', ' x'],
    [
      '/* a */ INSERT INTO `t` -- FORMAT b\n FORMAT TSV',
      '/* a */ INSERT INTO `t` -- FORMAT b\n ',
      '',
      'TSV',
      '',
    ],
    [
      "INSERT INTO FUNCTION url('x', CSV) FORMAT CSV 1",
      "INSERT INTO FUNCTION url('x', CSV) ",
      '',
      'CSV',
      ' 1',
    ],
    ["INSERT INTO t FORMAT RowBinary '\n\n;", 'INSERT INTO t ', '', 'RowBinary', " '\n\n;"],
  ])('%j is cut before its rows', (sql, head, settings, format, rows) => {
    const statement = parseStatement(sql);
    expect(statement).toMatchObject({ kind: 'insert', head, settings, format });
    if (statement.kind === 'insert') expect(sql.slice(statement.dataStart)).toBe(rows);
  });

  it.each([
    'INSERT INTO t SELECT 1',
    'INSERT INTO t (a) WITH 1 AS b SELECT b',
    'INSERT INTO format SELECT 1',
  ])('%j has no rows of its own', (sql) => expect(parseStatement(sql).kind).toBe('plain'));

  it.each([
    ['INSERT INTO t', /Code: 62/],
    ['INSERT INTO t; SELECT 1', /Code: 62/],
    ["INSERT INTO t FROM INFILE 'x' FORMAT TSV", /Code: 164/],
    ["INSERT INTO t SELECT * FROM input('a Int8') FORMAT TSV\n1\n\nDROP TABLE t", /Code: 48/],
    ['INSERT INTO t SELECT 1 FORMAT TSV\n1\n\nDROP TABLE t', /Code: 48/],
    ['EXPLAIN INSERT INTO t FORMAT TSV\n1\n\nDROP TABLE t', /Code: 48/],
    ['WITH 1 AS a INSERT INTO t FORMAT TSV\n1\n\nDROP TABLE t', /Code: 48/],
    ['SELECT 1; SELECT 2', /Code: 62.*Multi-statements/],
    [" -- nothing\n /* ' */ ;", /Code: 62.*Empty/],
  ])('%j is refused', (sql, error) => expect(() => parseStatement(sql)).toThrow(error));
});
