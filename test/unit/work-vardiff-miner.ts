// A miner in simulated time, for the tests of vardiff: Poisson shares, a chance that a seed decides.
import { SHARES_PER_MINUTE, Vardiff, type VardiffSettings } from '../../engine/work/vardiff.js';

export const settings = { sharesPerMinute: SHARES_PER_MINUTE, floor: 1e-10, ceiling: 1e15 };
export const MINUTE = 60_000;

/** A miner in simulated time: Poisson shares at the rate its difficulty gives, asked for a retarget every second. */
export class SimulatedMiner {
  readonly vardiff: Vardiff;
  readonly retargets: { atMs: number; difficulty: number }[] = [];
  /** Difficulty at which this miner would send exactly the wished rate; 0: it is silent. */
  wanted: number;
  nowMs = 0;
  shares = 0;
  #state: number;

  constructor(wanted: number, start: number, seed: number, more: Partial<VardiffSettings> = {}) {
    this.vardiff = new Vardiff({ ...settings, ...more }, start, 0);
    this.wanted = wanted;
    this.#state = seed * 2 + 1;
  }

  run(ms: number): this {
    const end = this.nowMs + ms;
    let nextAsk = this.nowMs + 1000;
    while (this.nowMs < end) {
      const perMs = (SHARES_PER_MINUTE / MINUTE) * (this.wanted / this.vardiff.difficulty);
      const share =
        perMs === 0 ? Number.POSITIVE_INFINITY : this.nowMs - Math.log(1 - this.#random()) / perMs;
      if (share < nextAsk) {
        this.nowMs = share;
        this.shares++;
        this.vardiff.onShare(share);
      } else {
        this.nowMs = nextAsk;
        nextAsk += 1000;
        const difficulty = this.vardiff.retarget(this.nowMs);
        if (difficulty !== null) this.retargets.push({ atMs: this.nowMs, difficulty });
      }
    }
    return this;
  }

  /** Uniform in [0, 1): mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let z = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }
}

export const seeds = Array.from({ length: 200 }, (_, i) => i + 1);
