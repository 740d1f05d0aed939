import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundedDifficulty, SHARES_PER_MINUTE, Vardiff } from '../../engine/work/vardiff.js';

const settings = { sharesPerMinute: SHARES_PER_MINUTE, floor: 1e-10, ceiling: 1e15 };
const MINUTE = 60_000;

/** A miner in simulated time: Poisson shares at the rate its difficulty gives, asked for a retarget every second. */
class SimulatedMiner {
  readonly vardiff: Vardiff;
  readonly retargets: { atMs: number; difficulty: number }[] = [];
  /** Difficulty at which this miner would send exactly the wished rate; 0: it is silent. */
  wanted: number;
  nowMs = 0;
  shares = 0;
  #state: number;

  constructor(wanted: number, start: number, seed: number, more: Partial<typeof settings> = {}) {
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

const seeds = Array.from({ length: 200 }, (_, i) => i + 1);

describe('a miner whose difficulty is 1000 times too low', () => {
  it('is brought within a factor of 2 by at most 3 retargets and within a minute', () => {
    for (const seed of seeds) {
      const miner = new SimulatedMiner(1000, 1, seed).run(MINUTE);
      expect(miner.retargets.length).toBeLessThanOrEqual(3);
      expect(miner.vardiff.difficulty).toBeGreaterThan(500);
      expect(miner.vardiff.difficulty).toBeLessThan(2000);
    }
  });

  it('sends no more than a few hundred shares too many', () => {
    for (const seed of seeds) expect(new SimulatedMiner(1000, 1, seed).run(MINUTE).shares).toBeLessThan(600);
  });
});

describe('a miner whose difficulty is 1000 times too high', () => {
  it('is brought within a factor of 8 by 3 retargets of elapsed silence', () => {
    for (const seed of seeds) {
      const { retargets, vardiff } = new SimulatedMiner(64, 64_000, seed).run(5 * MINUTE);
      const third = retargets[2]?.difficulty ?? vardiff.difficulty;
      expect(third).toBeLessThan(64 * 8);
      expect(third).toBeGreaterThan(64 / 8);
    }
  });

  it('is held within a factor of 2 after 20 minutes', () => {
    for (const seed of seeds) {
      const { difficulty } = new SimulatedMiner(64, 64_000, seed).run(20 * MINUTE).vardiff;
      expect(difficulty).toBeGreaterThan(32);
      expect(difficulty).toBeLessThan(128);
    }
  });
});

describe('a miner at the right difficulty', () => {
  it('is left alone: of 200 days of sessions fewer than 30 see a needless retarget (19 are expected)', () => {
    const disturbed = seeds.filter(
      (seed) => new SimulatedMiner(512, 512, seed).run(1440 * MINUTE).retargets.length > 0,
    );
    expect(disturbed.length).toBeLessThan(30);
  });

  it.each([1.6, 0.6])('%d times off is corrected within half an hour', (factor) => {
    for (const seed of seeds) {
      const { difficulty } = new SimulatedMiner(factor * 512, 512, seed).run(30 * MINUTE).vardiff;
      expect(difficulty / (factor * 512)).toBeGreaterThan(0.65);
      expect(difficulty / (factor * 512)).toBeLessThan(1.55);
    }
  });

  it.each([
    [1.2, false],
    [1.3, true],
    [0.8, false],
    [0.7, true],
  ])('%d times off within 20 minutes of even shares: corrected %s', (factor, corrected) => {
    const vardiff = new Vardiff(settings, 512, 0);
    const gapMs = MINUTE / SHARES_PER_MINUTE / factor;
    let proposed: number | null = null;
    // Four hours for those that must be left alone.
    for (let i = 1; i * gapMs < (corrected ? 20 : 240) * MINUTE && proposed === null; i++) {
      vardiff.onShare(i * gapMs);
      proposed = vardiff.retarget(i * gapMs);
    }
    expect(proposed !== null).toBe(corrected);
    if (proposed !== null) expect(proposed / 512).toBeCloseTo(factor, 1);
  });

  it('that grows tenfold in the middle of a long window is answered within 2 minutes', () => {
    for (const seed of seeds.slice(0, 50)) {
      const miner = new SimulatedMiner(512, 512, seed).run(7 * MINUTE);
      miner.wanted *= 10;
      miner.run(2.1 * MINUTE);
      expect(miner.vardiff.difficulty).toBeGreaterThan(512 * 5);
    }
  });
});

describe('silence', () => {
  it('lowers the difficulty by time alone', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    expect(vardiff.retarget(53_000)).toBeNull();
    expect(vardiff.retarget(53_334)).toBe(roundedDifficulty(4096 / 16));
    expect(vardiff.retarget(2 * 53_334)).toBe(roundedDifficulty(4096 / 256));
  });

  it('that goes on is answered more and more slowly: a farm that pauses ten minutes keeps a usable difficulty', () => {
    const miner = new SimulatedMiner(0, 1e6, 1).run(10 * MINUTE);
    expect(miner.retargets).toHaveLength(5);
    miner.run(10 * MINUTE);
    expect(miner.retargets).toHaveLength(6);
    expect(miner.vardiff.difficulty).toBeGreaterThan(0.01);
  });

  it('that ends is not held against the miner: its first share starts the count', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    let nowMs = 0;
    for (let retargets = 0; retargets < 4; nowMs += 1000) if (vardiff.retarget(nowMs) !== null) retargets++;
    // Now it waits for 213 s of silence; the miner is back after 200 and sends what is wished.
    nowMs += 200_000;
    for (let i = 0; i < 100; i++, nowMs += MINUTE / SHARES_PER_MINUTE) {
      vardiff.onShare(nowMs);
      expect(vardiff.retarget(nowMs + 1)).toBeNull();
    }
  });

  it('that ends is forgotten: the miner who is back gets its difficulty back', () => {
    for (const seed of seeds.slice(0, 50)) {
      const miner = new SimulatedMiner(1e6, 1e6, seed).run(5 * MINUTE);
      miner.wanted = 0;
      miner.run(10 * MINUTE);
      expect(miner.vardiff.difficulty).toBeLessThan(1e4);
      miner.wanted = 1e6;
      miner.run(2 * MINUTE);
      expect(miner.vardiff.difficulty).toBeGreaterThan(3e5);
      expect(miner.vardiff.difficulty).toBeLessThan(3e6);
    }
  });
});

describe('shares of older jobs', () => {
  it('that arrive after a raise do not make the raise twice', () => {
    const vardiff = new Vardiff(settings, 1, 0);
    for (let i = 0; i < 300; i++) vardiff.onShare(i * 3);
    const raised = vardiff.retarget(1000);
    expect(raised).toBeGreaterThan(200);
    // Ten seconds of what was already on its way, at the old difficulty and the old rate.
    for (let i = 0; i < 3000; i++) vardiff.onShare(1000 + i * 3, 1);
    expect(vardiff.retarget(11_000)).toBeNull();
  });

  it('that arrive after a cut count as one share each, not as many', () => {
    const vardiff = new Vardiff(settings, 1000, 0);
    expect(vardiff.retarget(54_000)).toBeLessThan(100);
    for (let i = 0; i < 8; i++) vardiff.onShare(60_000 + i * 100, 1000);
    expect(vardiff.retarget(62_000)).toBeNull();
  });
});

describe('bounds', () => {
  it('keeps floor and ceiling, and says nothing when they leave nothing to change', () => {
    expect(new SimulatedMiner(1e4, 1, 1, { ceiling: 64 }).run(5 * MINUTE).vardiff.difficulty).toBe(64);
    const low = new SimulatedMiner(0, 100, 1, { floor: 33 }).run(60 * MINUTE);
    expect(low.retargets.map(({ difficulty }) => difficulty)).toEqual([33]);
  });

  it('proposes nothing harder than a block, however fast the miner', () => {
    const vardiff = new Vardiff(settings, 0.001, 0);
    for (let i = 0; i < 5000; i++) vardiff.onShare(i);
    expect(vardiff.retarget(5000, 0.0011)).toBe(0.0011);
    for (let i = 0; i < 5000; i++) vardiff.onShare(5000 + i);
    expect(vardiff.retarget(10_000, 0.0011)).toBeNull();
    expect(vardiff.difficulty).toBe(0.0011);
  });

  it('starts again from what the miner was really sent', () => {
    const vardiff = new Vardiff(settings, 8, 0);
    for (let i = 0; i < 71; i++) vardiff.onShare(i * 10);
    vardiff.announced(16, 800);
    expect(vardiff.difficulty).toBe(16);
    vardiff.onShare(900);
    expect(vardiff.retarget(1900)).toBeNull();
  });

  it('answers no burst of a full socket before a second has passed', () => {
    const vardiff = new Vardiff(settings, 8, 0);
    for (let i = 0; i < 500; i++) vardiff.onShare(10);
    expect(vardiff.retarget(20)).toBeNull();
    expect(vardiff.retarget(1000)).toBeGreaterThan(8);
  });
});

describe('a proposed difficulty', () => {
  it('has eight significant bits and is whole from 1 up, so firmware with floats or integers agrees', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-10, max: 1e15, noNaN: true }), (difficulty) => {
        const rounded = roundedDifficulty(difficulty);
        expect(Math.fround(rounded)).toBe(rounded);
        if (rounded >= 1) expect(Number.isInteger(rounded)).toBe(true);
        if (difficulty < 1 || difficulty >= 128)
          expect(Math.abs(rounded / difficulty - 1)).toBeLessThan(0.004);
        else expect(Math.abs(rounded - difficulty)).toBeLessThanOrEqual(0.5);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
