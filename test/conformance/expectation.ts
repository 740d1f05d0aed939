// How a case ends otherwise than well: it saw something else than the rule says, or it cannot be judged here.

/** Longest text of the pool that a report shows. */
const SHOWN_MAX = 240;

/** The pool did something else than the rule says. */
export class CaseFailure extends Error {
  readonly expected: string;
  readonly got: string;

  constructor(expected: string, got: string) {
    super(`expected ${expected}, got ${got}`);
    this.expected = expected;
    this.got = got;
  }
}

/** The case cannot be judged against this pool; the reason goes into the report. */
export class CaseSkipped extends Error {}

/** @throws CaseFailure unless `holds`. */
export function expectThat(holds: boolean, expected: string, got: unknown): asserts holds {
  if (!holds) throw new CaseFailure(expected, typeof got === 'string' ? cut(got) : shown(got));
}

/** A value as JSON, cut to what fits into a report. */
export function shown(value: unknown): string {
  return cut(value === undefined ? 'nothing' : JSON.stringify(value));
}

/** `text` or its first characters and its length. */
export function cut(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}... (${text.length} characters)` : text;
}
