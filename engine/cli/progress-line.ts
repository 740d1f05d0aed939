// How far a long command is: one line on standard error that is drawn anew, where that is a terminal.
const DRAW_EVERY_MS = 200;
const BAR_CELLS = 30;

export class ProgressLine {
  readonly #startedMs = performance.now();
  #drawnMs = Number.NEGATIVE_INFINITY;

  /**
   * @param part how much is done, 0 to 1; the time left follows from it
   * @param text what stands behind it; called only when the line is drawn
   */
  show(part: number, text: (elapsedS: number) => string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#drawnMs < DRAW_EVERY_MS) return;
    this.#drawnMs = now;
    const done = Math.min(1, Math.max(0, part));
    const elapsedS = (now - this.#startedMs) / 1000;
    const left = done > 0 ? `${Math.ceil(elapsedS * (1 / done - 1))} s left` : '';
    const bar = '█'.repeat(Math.floor(done * BAR_CELLS)).padEnd(BAR_CELLS, '░');
    process.stderr.write(`\r${bar} ${(done * 100).toFixed(1)} %  ${text(elapsedS)}  ${left}\u001b[K`);
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}
