// What `readonly = 1` does not stop in this engine, found by trying: SELECT ... INTO OUTFILE writes a file;
// the scalar function file() reads any file of the machine, also as `* APPLY(file)`; DESCRIBE of a table
// function opens files and network addresses. A read-only request therefore passes here first, and
// whatever cannot be understood with certainty is refused.
import { type ClickHouseException, exception } from './exception.js';
import type { Token } from './sql-lexer.js';

/** How a statement that only reads may begin. */
const READING_STATEMENTS = new Set([
  'SELECT',
  'WITH',
  'FROM',
  'SHOW',
  'DESCRIBE',
  'DESC',
  'EXPLAIN',
  'EXISTS',
  '(',
]);

/** Scalar functions that leave the database: refused wherever the name stands, APPLY takes it without brackets. */
const REFUSED_NAMES = new Set(['file', 'catboostevaluate', 'infile', 'outfile']);
const REFUSED_PREFIX = /^ai(classify|embed|extract|generate|translate)/;

/** Table functions that stay inside the database. All others the engine knows are refused when called. */
const INNOCENT_TABLE_FUNCTIONS = new Set([
  ...['numbers', 'numbers_mt', 'zeros', 'zeros_mt', 'primes', 'generateseries', 'generate_series'],
  ...['generaterandom', 'values', 'sqlstandardvalues', 'null', 'view', 'merge', 'format'],
  ...['mergetreeindex', 'mergetreeprojection', 'mergetreetextindex', 'mergetreeanalyzeindexes'],
]);

/** Names (lower case) that may not be called, of all table functions that the engine lists. */
export function refusedTableFunctions(all: readonly string[]): ReadonlySet<string> {
  return new Set(all.map((name) => name.toLowerCase()).filter((name) => !INNOCENT_TABLE_FUNCTIONS.has(name)));
}

/** Throws READONLY when the statement could do more than read tables. */
export function requireReading(statement: readonly Token[], refusedCalls: ReadonlySet<string>): void {
  const [first] = statement;
  if (first === undefined || !READING_STATEMENTS.has(first.text.toUpperCase())) {
    throw refused(`Cannot execute query in readonly mode: ${first?.text ?? ''} is not a reading statement`);
  }
  for (const [index, token] of statement.entries()) {
    if (token.kind === 'unclear' || (token.kind === 'string' && token.text.startsWith('$'))) {
      throw refused(
        `Cannot execute query in readonly mode: near byte ${token.start}, characters beyond ASCII, backslashes, ` +
          'dollar signs and open quotes are understood only inside quotes',
      );
    }
    if (token.kind !== 'word' && token.kind !== 'quoted') continue;
    const name = plainName(token);
    if (name === undefined || REFUSED_NAMES.has(name) || REFUSED_PREFIX.test(name)) {
      throw refused(`Cannot execute query in readonly mode: ${token.text} could reach beyond the database`);
    }
    if (refusedCalls.has(name) && statement[index + 1]?.text === '(') {
      throw refused(`Cannot execute query in readonly mode: ${token.text}() could reach beyond the database`);
    }
  }
}

/** Lower-case name without its quotes; undefined when it holds escapes. */
function plainName(token: Token): string | undefined {
  if (token.kind === 'word') return token.text.toLowerCase();
  const inner = token.text.slice(1, -1);
  return /[\\"`]/.test(inner) ? undefined : inner.toLowerCase();
}

function refused(message: string): ClickHouseException {
  return exception('READONLY', message);
}
