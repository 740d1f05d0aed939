// Splits a byte stream into lines without ever looking at a byte twice: one byte per packet costs the
// same work as one line per packet. The line cap is a defence (a peer before `authorize` is hostile).

const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);

export class LineReader {
  readonly #maxBytes: number;
  /** Bytes of a line whose end has not arrived; filled up to `#length`. */
  #partial: Buffer;
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#partial = NOTHING;
  }

  /**
   * Calls `onLine` with each complete line of `chunk`, without its newline. The bytes are only valid
   * during the call. Stops early when `onLine` returns false.
   * @returns false when a line is longer than the cap: the caller must close the connection.
   */
  push(chunk: Buffer, onLine: (line: Buffer) => boolean): boolean {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end < 0) return this.#keep(chunk.subarray(start));
      let line = chunk.subarray(start, end);
      if (line.length + this.#length > this.#maxBytes) return false;
      if (this.#length > 0) {
        this.#append(line);
        line = this.#partial.subarray(0, this.#length);
        this.#length = 0;
      }
      start = end + 1;
      if (!onLine(line)) return true;
    }
  }

  #keep(rest: Buffer): boolean {
    if (rest.length + this.#length > this.#maxBytes) return false;
    if (rest.length > 0) this.#append(rest);
    return true;
  }

  #append(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#partial.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(256, needed * 2)));
      this.#partial.copy(larger, 0, 0, this.#length);
      this.#partial = larger;
    }
    bytes.copy(this.#partial, this.#length);
    this.#length = needed;
  }
}
