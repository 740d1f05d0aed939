// What went over the wire in one case, with times: the evidence beside each failure.

/** Entries kept of one case; the rest is counted. */
const ENTRIES_MAX = 4000;
/** Characters kept of one line. */
const LINE_MAX = 2000;

export type TranscriptKind = 'opened' | 'sent' | 'received' | 'closed';

const SIGNS: Readonly<Record<TranscriptKind, string>> = {
  opened: '--',
  sent: '->',
  received: '<-',
  closed: '--',
};

export class Transcript {
  readonly #startMs = performance.now();
  readonly #lines: string[] = [];
  #left = 0;

  /** @param connection number of the connection within the case */
  add(connection: number, kind: TranscriptKind, text: string): void {
    if (this.#lines.length >= ENTRIES_MAX) {
      this.#left++;
      return;
    }
    const at = (performance.now() - this.#startMs).toFixed(1).padStart(9);
    const shown = text.length > LINE_MAX ? `${text.slice(0, LINE_MAX)}... (${text.length} characters)` : text;
    this.#lines.push(`${at} ms  #${connection} ${SIGNS[kind]} ${printable(shown)}`);
  }

  get lines(): readonly string[] {
    return this.#left === 0 ? this.#lines : [...this.#lines, `(${this.#left} more not kept)`];
  }
}

/** Control characters as \xNN: a hostile line must not reach the terminal as it is. */
function printable(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
