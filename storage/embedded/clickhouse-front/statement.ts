// What one request asks for: an INSERT whose rows follow behind it, or anything else. The engine reads rows
// that stand in the SQL text only up to a blank line and runs the rest as SQL, so rows never reach it that
// way: the front cuts here, between the statement and its data, and hands the data over in a file.
import { exception } from './exception.js';
import { type Token, tokens } from './sql-lexer.js';

export interface InsertWithData {
  kind: 'insert';
  /** Everything before SETTINGS, VALUES or FORMAT: `INSERT INTO t (a, b)`. */
  head: string;
  /** `SETTINGS a = 1`, or empty. */
  settings: string;
  /** `Native`, `Values`, ... */
  format: string;
  /** Offset of the first byte behind the statement; the caller skips one line end there. */
  dataStart: number;
}

export interface PlainStatement {
  kind: 'plain';
  tokens: Token[];
  /** Of its FORMAT clause, as far as can be told. */
  format: string | undefined;
}

export type Statement = InsertWithData | PlainStatement;

/**
 * Reads `sql` (Latin-1) up to its end or to where the rows of an INSERT begin. Throws a ClickHouse syntax
 * error for several statements, none, or a statement that names files of the server's machine.
 */
export function parseStatement(sql: string): Statement {
  const source = tokens(sql);
  const seen: Token[] = [];
  const first = source.next();
  if (first.done) throw exception('SYNTAX_ERROR', 'Empty query');
  seen.push(first.value);
  if (isWord(first.value, 'INSERT')) {
    const insert = readInsert(sql, source, seen);
    if (insert !== undefined) return insert;
  }
  for (const token of source) seen.push(token);
  const statement = requireOneStatement(seen);
  requireNoHiddenRows(statement);
  return { kind: 'plain', tokens: statement, format: formatClause(statement) };
}

/** True for that bare keyword, in any case. */
export function isWord(token: Token | undefined, keyword: string): boolean {
  return token?.kind === 'word' && token.text.toUpperCase() === keyword;
}

/** Undefined when the INSERT takes its rows from a SELECT. Tokens that were read are added to `seen`. */
function readInsert(sql: string, source: Iterator<Token>, seen: Token[]): InsertWithData | undefined {
  let depth = 0;
  let settings: Token | undefined;
  // A table may be called "format" or "values": the word behind INTO, TABLE, FUNCTION or a dot is a name.
  let nameComes = true;
  for (;;) {
    const next = source.next();
    if (next.done) throw exception('SYNTAX_ERROR', 'INSERT without VALUES, FORMAT or SELECT');
    const token = next.value;
    seen.push(token);
    if (token.kind === 'punctuation') {
      if ('([{'.includes(token.text)) depth++;
      else if (')]}'.includes(token.text)) depth--;
      else if (token.text === ';') throw exception('SYNTAX_ERROR', 'INSERT without VALUES, FORMAT or SELECT');
      nameComes = token.text === '.';
      continue;
    }
    if (depth > 0 || token.kind !== 'word') {
      nameComes = false;
      continue;
    }
    const keyword = token.text.toUpperCase();
    if (nameComes) {
      nameComes = (keyword === 'INTO' || keyword === 'TABLE' || keyword === 'FUNCTION') && seen.length <= 4;
      continue;
    }
    if (keyword === 'SELECT' || keyword === 'WITH') return undefined;
    if (keyword === 'FROM') throw fileRefused('FROM INFILE reads');
    if (keyword === 'SETTINGS') settings = token;
    if (keyword !== 'VALUES' && keyword !== 'FORMAT') continue;
    const format = keyword === 'VALUES' ? token : readFormatName(source);
    return {
      kind: 'insert',
      head: sql.slice(0, settings?.start ?? token.start),
      settings: settings === undefined ? '' : sql.slice(settings.start, token.start),
      format: keyword === 'VALUES' ? 'Values' : format.text,
      dataStart: format.end,
    };
  }
}

function readFormatName(source: Iterator<Token>): Token {
  const name = source.next();
  if (name.done || name.value.kind !== 'word') throw exception('SYNTAX_ERROR', 'FORMAT without a name');
  return name.value;
}

/** The tokens without a trailing semicolon. */
function requireOneStatement(all: Token[]): Token[] {
  const end = all.findIndex((token) => token.text === ';' && token.kind === 'punctuation');
  if (end !== -1 && all.slice(end).some((token) => token.text !== ';')) {
    throw exception('SYNTAX_ERROR', 'Syntax error (Multi-statements are not allowed)');
  }
  const statement = end === -1 ? all : all.slice(0, end);
  if (statement.length === 0) throw exception('SYNTAX_ERROR', 'Empty query');
  for (const token of statement) {
    if (isWord(token, 'OUTFILE')) throw fileRefused('INTO OUTFILE writes');
    if (isWord(token, 'INFILE')) throw fileRefused('FROM INFILE reads');
  }
  return statement;
}

/** Rows in the SQL text can also stand behind EXPLAIN INSERT, WITH ... INSERT and INSERT ... SELECT ... FORMAT. */
function requireNoHiddenRows(statement: readonly Token[]): void {
  const isInsert = isWord(statement[0], 'INSERT');
  const select = statement.findIndex((token) => isWord(token, 'SELECT'));
  for (const [index, token] of statement.entries()) {
    const follower = statement[index + 1];
    if (index > 0 && isWord(token, 'INSERT') && isWord(follower, 'INTO')) {
      throw exception('NOT_IMPLEMENTED', 'INSERT must be the first word of its statement');
    }
    if (
      isInsert &&
      index > select &&
      (isWord(token, 'INPUT') || isWord(token, 'FORMAT')) &&
      follower !== undefined
    ) {
      throw exception('NOT_IMPLEMENTED', 'INSERT ... SELECT takes no input() and no FORMAT clause here');
    }
  }
}

function fileRefused(what: string): Error {
  return exception('READONLY', `${what} files of the server's machine and is refused: use the HTTP body`);
}

function formatClause(all: readonly Token[]): string | undefined {
  for (let index = all.length - 2; index > 0; index--) {
    const name = all[index + 1];
    if (!isWord(all[index], 'FORMAT') || name?.kind !== 'word') continue;
    const follower = all[index + 2];
    if (follower === undefined || isWord(follower, 'SETTINGS')) return name.text;
  }
  return undefined;
}
