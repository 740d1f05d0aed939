// Reads the usual mining.submit from its bytes, without JSON tree or strings: most of what a pool ever
// receives. Anything unusual (escapes, other keys, string ids, spaces where nobody puts them) is left to the
// complete path, which decides and explains; the two must agree, see test/unit/stratum-submit-scanner.test.ts.
// Measured: JSON.parse, regular expressions and strings cost 1.3 us a share more.

/** Where the parts of a submit lie in its line; ends are exclusive. One object is used for all lines. */
export class SubmitParts {
  idStart = 0;
  idEnd = 0;
  /** Start and end of each parameter, inside its quotes. */
  readonly starts = new Int32Array(6);
  readonly ends = new Int32Array(6);
  /** 5, or 6 with version bits. */
  count = 0;
}

/** Positions in SubmitParts. */
export const PARAM = { user: 0, job: 1, extranonce2: 2, ntime: 3, nonce: 4, versionBits: 5 } as const;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const RETURN = 0x0d;
const ZERO = 0x30;
const NINE = 0x39;
const DELETE = 0x7f;

const METHOD = Buffer.from('mining.submit');
const ID_DIGITS_MAX = 15;
const SEEN_ID = 1;
const SEEN_METHOD = 2;
const SEEN_PARAMS = 4;

/** True when `line` (without newline) is a plain submit; its parts are then in `parts`. */
export function scanSubmit(line: Buffer, parts: SubmitParts): boolean {
  let at = skipSpace(line, 0);
  if (line[at++] !== OPEN_OBJECT) return false;
  let seen = 0;
  for (;;) {
    at = skipSpace(line, at);
    if (line[at] !== QUOTE) return false;
    const key = line[at + 1];
    // id, method, params: told apart by first letter and length, then checked whole.
    if (key === 0x69 && isKey(line, at, ID_KEY)) {
      at = scanId(line, skipColon(line, at + ID_KEY.length), parts);
      if (at < 0 || (seen & SEEN_ID) !== 0) return false;
      seen |= SEEN_ID;
    } else if (key === 0x6d && isKey(line, at, METHOD_KEY)) {
      at = scanMethod(line, skipColon(line, at + METHOD_KEY.length));
      if (at < 0 || (seen & SEEN_METHOD) !== 0) return false;
      seen |= SEEN_METHOD;
    } else if (key === 0x70 && isKey(line, at, PARAMS_KEY)) {
      at = scanParams(line, skipColon(line, at + PARAMS_KEY.length), parts);
      if (at < 0 || (seen & SEEN_PARAMS) !== 0) return false;
      seen |= SEEN_PARAMS;
    } else {
      return false;
    }
    at = skipSpace(line, at);
    const next = line[at++];
    if (next === COMMA) continue;
    if (next !== CLOSE_OBJECT || seen !== (SEEN_ID | SEEN_METHOD | SEEN_PARAMS)) return false;
    at = skipSpace(line, at);
    if (line[at] === RETURN) at++;
    return at === line.length;
  }
}

const ID_KEY = Buffer.from('"id"');
const METHOD_KEY = Buffer.from('"method"');
const PARAMS_KEY = Buffer.from('"params"');

function isKey(line: Buffer, at: number, key: Buffer): boolean {
  for (let i = 0; i < key.length; i++) if (line[at + i] !== key[i]) return false;
  return true;
}

function skipSpace(line: Buffer, from: number): number {
  let at = from;
  while (line[at] === SPACE) at++;
  return at;
}

/** Position of the value behind the colon, or beyond the line when there is no colon. */
function skipColon(line: Buffer, from: number): number {
  const at = skipSpace(line, from);
  return line[at] === COLON ? skipSpace(line, at + 1) : line.length;
}

/** A whole number as JSON writes it; position behind it, -1 for anything else. */
function scanId(line: Buffer, from: number, parts: SubmitParts): number {
  let at = from;
  for (let byte = line[at]; byte !== undefined && byte >= ZERO && byte <= NINE; byte = line[++at]);
  const digits = at - from;
  if (digits === 0 || digits > ID_DIGITS_MAX || (digits > 1 && line[from] === ZERO)) return -1;
  parts.idStart = from;
  parts.idEnd = at;
  return at;
}

function scanMethod(line: Buffer, from: number): number {
  if (line[from] !== QUOTE || !isKey(line, from + 1, METHOD)) return -1;
  const end = from + 1 + METHOD.length;
  return line[end] === QUOTE ? end + 1 : -1;
}

function scanParams(line: Buffer, from: number, parts: SubmitParts): number {
  if (line[from] !== OPEN_LIST) return -1;
  let at = from + 1;
  for (let count = 0; count < 6; ) {
    at = skipSpace(line, at);
    if (line[at++] !== QUOTE) return -1;
    parts.starts[count] = at;
    for (let byte = line[at]; byte !== QUOTE; byte = line[++at]) {
      if (byte === undefined || byte < SPACE || byte >= DELETE || byte === BACKSLASH) return -1;
    }
    parts.ends[count] = at;
    count++;
    at = skipSpace(line, at + 1);
    const next = line[at++];
    if (next === CLOSE_LIST) {
      parts.count = count;
      return count >= 5 ? at : -1;
    }
    if (next !== COMMA) return -1;
  }
  return -1;
}

/** Index that stands for a byte beyond the line. */
const OUTSIDE = 256;
/** Value of a hex digit, -1 for any other byte. */
const NIBBLE = new Int8Array(OUTSIDE + 1).fill(-1);
for (let i = 0; i < 16; i++) {
  NIBBLE[i.toString(16).charCodeAt(0)] = i;
  NIBBLE[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

/** The uint32 that 8 hex digits at `at` stand for, -1 when one of them is none. */
export function hexWord(line: Buffer, at: number): number {
  let high = 0;
  let low = 0;
  let bad = 0;
  for (let i = 0; i < 4; i++) {
    const a = NIBBLE[line[at + i] ?? OUTSIDE] as number;
    const b = NIBBLE[line[at + 4 + i] ?? OUTSIDE] as number;
    bad |= a | b;
    high = (high << 4) | a;
    low = (low << 4) | b;
  }
  return bad < 0 ? -1 : high * 0x10000 + low;
}

/** Decodes `bytes` x 2 hex digits at `at` into `into`. False when one of them is none. */
export function hexInto(line: Buffer, at: number, bytes: number, into: Uint8Array): boolean {
  let bad = 0;
  for (let i = 0; i < bytes; i++) {
    const a = NIBBLE[line[at + 2 * i] ?? OUTSIDE] as number;
    const b = NIBBLE[line[at + 2 * i + 1] ?? OUTSIDE] as number;
    bad |= a | b;
    into[i] = (a << 4) | b;
  }
  return bad >= 0;
}
