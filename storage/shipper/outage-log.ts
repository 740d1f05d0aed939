// Says once when a store goes away and once when it is back, however many lanes wait for it. One per store.

export type Log = (level: 'info' | 'warn' | 'error', message: string) => void;

interface Waiting {
  why: string;
  sinceMs: number;
}

export class OutageLog {
  readonly #store: string;
  readonly #log: Log;
  /** Monotonic milliseconds. */
  readonly #nowMs: () => number;
  readonly #waiting = new Map<number, Waiting>();

  constructor(store: string, log: Log, nowMs: () => number) {
    this.#store = store;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Lane `nodeId` cannot deliver; `why` is one sentence. */
  away(nodeId: number, why: string): void {
    if (!this.#waitsSomeoneFor(why)) {
      const consolation =
        this.#waiting.size === 0 ? '. Shares stay in the journal and are delivered later' : '';
      this.#log('warn', `${this.#store}: ${why}${consolation}`);
    }
    const sinceMs = this.#waiting.get(nodeId)?.sinceMs ?? this.#nowMs();
    this.#waiting.set(nodeId, { why, sinceMs });
  }

  /** Lane `nodeId` delivers, or has nothing left to deliver. */
  back(nodeId: number): void {
    const waited = this.#waiting.get(nodeId);
    if (waited === undefined) return;
    this.#waiting.delete(nodeId);
    // The last one of those that waited for the same.
    if (this.#waitsSomeoneFor(waited.why)) return;
    const seconds = Math.round((this.#nowMs() - waited.sinceMs) / 1000);
    this.#log('info', `${this.#store}: back after ${seconds} s, delivering what waited`);
  }

  #waitsSomeoneFor(why: string): boolean {
    return [...this.#waiting.values()].some((waiting) => waiting.why === why);
  }
}
