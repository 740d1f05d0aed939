// Latencies of many shares in fixed memory: counts in steps of 10 us up to a second, and the longest exactly.

const STEP_US = 10;
const STEPS = 100_000;

export interface LatencySummary {
  shares: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

export class Latencies {
  readonly #counts = new Uint32Array(STEPS);
  #shares = 0;
  #maxUs = 0;

  add(us: number): void {
    const step = us <= 0 ? 0 : Math.min(STEPS - 1, Math.floor(us / STEP_US));
    this.#counts[step] = (this.#counts[step] as number) + 1;
    this.#shares++;
    if (us > this.#maxUs) this.#maxUs = us;
  }

  /** What was added since the last call; percentiles to the upper end of their step. */
  take(): LatencySummary {
    const summary = {
      shares: this.#shares,
      p50Ms: this.#percentileMs(0.5),
      p99Ms: this.#percentileMs(0.99),
      maxMs: this.#maxUs / 1000,
    };
    this.#counts.fill(0);
    this.#shares = 0;
    this.#maxUs = 0;
    return summary;
  }

  #percentileMs(part: number): number {
    let left = Math.ceil(this.#shares * part);
    for (let step = 0; step < STEPS; step++) {
      left -= this.#counts[step] as number;
      if (left <= 0) return this.#shares === 0 ? 0 : ((step + 1) * STEP_US) / 1000;
    }
    return this.#maxUs / 1000;
  }
}
