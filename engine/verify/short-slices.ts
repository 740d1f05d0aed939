// Long loops in short slices: the coordinator, whose thread the nightly run shares, gets its turn between them.
import { setImmediate } from 'node:timers/promises';

const SLICE_MS = 2;

export class ShortSlices {
  #sinceMs = performance.now();

  /** To be awaited in every pass of a loop: gives the thread away when the slice is used up. */
  pause(): Promise<void> | undefined {
    if (performance.now() - this.#sinceMs < SLICE_MS) return undefined;
    return setImmediate().then(() => this.begin());
  }

  /** A new slice begins: something was waited for. */
  begin(): void {
    this.#sinceMs = performance.now();
  }
}
