// Cuts a byte stream into lines for `stratum-client.ts`. A line is bounded: a pool that never sends a
// line end cannot fill the miner's memory.

/** A notify with a 16 KB coinbase in hex and a full branch stays below 40 KB. */
export const LINE_MAX_BYTES = 256 * 1024;

export class LineTooLongError extends Error {
  constructor() {
    super(`a line from the pool is longer than ${LINE_MAX_BYTES} bytes`);
    this.name = 'LineTooLongError';
  }
}

const LINE_FEED = 0x0a;

export class LineReader {
  #parts: Uint8Array[] = [];
  #held = 0;

  /**
   * Takes the next bytes and calls `onLine` for each complete line, without its line end; empty lines
   * are left out. Bytes that are not UTF-8 become U+FFFD and fail in the JSON parser behind.
   * @throws LineTooLongError; the reader must not be used after that
   */
  push(chunk: Uint8Array, onLine: (line: string) => void): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      if (this.#held + piece.length > LINE_MAX_BYTES) throw new LineTooLongError();
      if (end === -1) {
        if (piece.length > 0) {
          // A copy: the socket may use its buffer again.
          this.#parts.push(Uint8Array.from(piece));
          this.#held += piece.length;
        }
        return;
      }
      this.#parts.push(piece);
      const line = Buffer.concat(this.#parts).toString('utf8').trim();
      this.#parts = [];
      this.#held = 0;
      start = end + 1;
      if (line.length > 0) onLine(line);
    }
  }
}
