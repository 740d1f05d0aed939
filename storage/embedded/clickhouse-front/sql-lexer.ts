// Cuts ClickHouse SQL into tokens, by the rules of the engine's own lexer (src/Parsers/Lexer.cpp), so that
// the front can tell code from strings and comments. Works on Latin-1 text, one character a byte, because
// the bytes behind an INSERT may be anything.
// https://clickhouse.com/docs/sql-reference/syntax

/**
 * word: bare identifier, keyword or number. quoted: identifier in backticks or double quotes. string: in
 * single quotes or a heredoc. punctuation: one character. unclear: something whose meaning to the engine is
 * not certain (bytes beyond ASCII outside quotes, an open quote or comment, `$`, a backslash).
 */
export type TokenKind = 'word' | 'quoted' | 'string' | 'punctuation' | 'unclear';

export interface Token {
  kind: TokenKind;
  /** As written, quotes included. */
  text: string;
  /** Byte offset of its first byte, and of the first byte behind it. */
  start: number;
  end: number;
}

const SPACE = /[\t\n\v\f\r ]/;
const WORD_START = /[A-Za-z0-9_]/;
const WORD = /[A-Za-z0-9_]*/y;
const HEREDOC_TAG = /\$[A-Za-z0-9_]*\$/y;

/** Tokens of `sql` (Latin-1), in order; whitespace and comments are left out. Lazy: it stops where you do. */
export function* tokens(sql: string): Generator<Token, void, undefined> {
  let at = 0;
  while (at < sql.length) {
    const character = sql.charAt(at);
    if (SPACE.test(character)) {
      at++;
      continue;
    }
    const afterComment = skipComment(sql, at);
    if (afterComment === -1) {
      yield token(sql, 'unclear', at, sql.length);
      return;
    }
    if (afterComment > at) {
      at = afterComment;
      continue;
    }
    const next = readToken(sql, at, character);
    yield next;
    at = next.end;
  }
}

/** Offset behind a comment that begins at `at`; `at` when none does; -1 when it is never closed. */
function skipComment(sql: string, at: number): number {
  if (sql.startsWith('--', at) || sql.startsWith('#!', at) || sql.startsWith('# ', at)) {
    const end = sql.indexOf('\n', at);
    return end === -1 ? sql.length : end;
  }
  if (!sql.startsWith('/*', at)) return at;
  // Comments nest, as in the SQL standard.
  let depth = 1;
  for (let position = at + 2; position < sql.length; ) {
    if (sql.startsWith('/*', position)) {
      depth++;
      position += 2;
    } else if (sql.startsWith('*/', position)) {
      depth--;
      position += 2;
      if (depth === 0) return position;
    } else {
      position++;
    }
  }
  return -1;
}

function readToken(sql: string, at: number, character: string): Token {
  if (character === "'" || character === '"' || character === '`') {
    const end = endOfQuoted(sql, at, character);
    if (end === -1) return token(sql, 'unclear', at, sql.length);
    return token(sql, character === "'" ? 'string' : 'quoted', at, end);
  }
  if (WORD_START.test(character)) {
    WORD.lastIndex = at;
    WORD.exec(sql);
    return token(sql, 'word', at, WORD.lastIndex);
  }
  if (character === '$') {
    HEREDOC_TAG.lastIndex = at;
    const tag = HEREDOC_TAG.exec(sql)?.[0];
    const close = tag === undefined ? -1 : sql.indexOf(tag, at + tag.length);
    if (tag === undefined || close === -1) return token(sql, 'unclear', at, at + 1);
    return token(sql, 'string', at, close + tag.length);
  }
  const isPlain = character > ' ' && character < '\x7f' && character !== '\\';
  return token(sql, isPlain ? 'punctuation' : 'unclear', at, at + 1);
}

/** Offset behind the closing quote; a backslash takes the next character, a doubled quote is one. -1: open. */
function endOfQuoted(sql: string, at: number, quote: string): number {
  for (let position = at + 1; position < sql.length; position++) {
    const character = sql.charAt(position);
    if (character === '\\') {
      position++;
    } else if (character === quote) {
      if (sql.charAt(position + 1) !== quote) return position + 1;
      position++;
    }
  }
  return -1;
}

function token(sql: string, kind: TokenKind, start: number, end: number): Token {
  return { kind, text: sql.slice(start, end), start, end };
}
