// Hashrate and its band: against published tables of Poisson bounds, and against simulated miners.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gammaQuantile, lowerGamma } from '../../engine/insight/gamma-quantile.js';
import {
  estimateHashrate,
  formatHashrate,
  HashrateWindow,
  hashrateText,
} from '../../engine/insight/hashrate.js';

const Z = 1.959963984540054;

/** Of `n` shares of `w` hashes each. */
const equal = (n: number, w: number) => ({ work: n * w, shares: n, squares: n * w * w, heaviest: w });

/** Deterministic uniform numbers (mulberry32): the same simulation each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe('band', () => {
  it.each([
    // 95 % limits of a Poisson count as in published tables (Garwood 1936; Ulm 1990).
    [0, 0, 3.689],
    [1, 0.0253, 5.572],
    [2, 0.2422, 7.225],
    [3, 0.6187, 8.767],
    [5, 1.623, 11.668],
    [10, 4.795, 18.39],
    [20, 12.217, 30.888],
    [50, 37.11, 65.92],
    [100, 81.36, 121.63],
  ])('of %i equal shares is the exact one of Poisson tables', (n, low, high) => {
    const rate = estimateHashrate(equal(n, 1), 1);
    expect(rate.low).toBeCloseTo(low, low < 1 ? 3 : 2);
    expect(rate.high).toBeCloseTo(high, 2);
    expect(rate.hs).toBe(n);
  });

  it('scales with work and time: 12 shares of 2^32 hashes in 300 s', () => {
    const rate = estimateHashrate(equal(12, 2 ** 32), 300);
    expect(rate.hs).toBeCloseTo((12 * 2 ** 32) / 300, 3);
    expect(rate.low / rate.hs).toBeCloseTo(6.2006 / 12, 4);
    expect(rate.high / rate.hs).toBeCloseTo(20.9616 / 12, 4);
  });

  it('gives silence an upper bound once the difficulty is known, and none before', () => {
    const silent = { work: 0, shares: 0, squares: 0 };
    expect(estimateHashrate({ ...silent, heaviest: 2 ** 32 }, 600)).toMatchObject({ hs: 0, low: 0 });
    expect(estimateHashrate({ ...silent, heaviest: 2 ** 32 }, 600).high).toBeCloseTo(
      (3.6889 * 2 ** 32) / 600,
      -3,
    );
    expect(estimateHashrate({ ...silent, heaviest: 0 }, 600).high).toBe(Number.POSITIVE_INFINITY);
  });

  it('holds the true hashrate in about 95 of 100 windows, also when shares differ a hundredfold', () => {
    const next = random(20261121);
    let covered = 0;
    const runs = 2000;
    for (let run = 0; run < runs; run++) {
      // Two miners, 6 heavy and 8 light shares expected in 100 s.
      let work = 0;
      let shares = 0;
      let squares = 0;
      for (const [perSecond, weight] of [
        [0.06, 100],
        [0.08, 1],
      ] as const) {
        for (let t = -Math.log(1 - next()) / perSecond; t < 100; t += -Math.log(1 - next()) / perSecond) {
          work += weight;
          shares++;
          squares += weight * weight;
        }
      }
      const { low, high } = estimateHashrate({ work, shares, squares, heaviest: 100 }, 100);
      if (low <= 6.08 && 6.08 <= high) covered++;
    }
    // These bounds are known to be on the safe side: at least 95 %, not always.
    expect(covered / runs).toBeGreaterThan(0.94);
    expect(covered / runs).toBeLessThan(0.995);
  });

  it('always encloses the estimate, and narrows as shares come in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2_000_000 }),
        fc.double({ min: 1, max: 1e12, noNaN: true }),
        (n, w) => {
          const rate = estimateHashrate(equal(n, w), 60);
          expect(rate.low).toBeLessThan(rate.hs);
          expect(rate.high).toBeGreaterThan(rate.hs);
          const more = estimateHashrate(equal(n * 4, w), 240);
          expect(more.high - more.low).toBeLessThan(rate.high - rate.low);
        },
      ),
      { seed: 5, numRuns: 300 },
    );
  });

  it('refuses a span of no time', () => {
    expect(() => estimateHashrate(equal(1, 1), 0)).toThrow(RangeError);
  });
});

describe('gamma quantile', () => {
  it('is the inverse of the distribution', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 5000, noNaN: true }), fc.boolean(), (shape, upper) => {
        const p = upper ? 0.975 : 0.025;
        expect(lowerGamma(shape, gammaQuantile(p, shape, upper ? Z : -Z))).toBeCloseTo(p, 8);
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  it('has no step where the approximation takes over', () => {
    for (const [p, z] of [
      [0.975, Z],
      [0.025, -Z],
    ] as const) {
      const before = gammaQuantile(p, 19_999.999, z);
      const after = gammaQuantile(p, 20_000, z);
      expect(Math.abs(after - before) / before).toBeLessThan(2e-7);
    }
  });
});

describe('window', () => {
  it('measures what came in the window, and forgets what came before', () => {
    const window = new HashrateWindow(60_000, 0);
    for (let second = 0.5; second < 100; second++) window.add(second * 1000, 1000, 1);
    const rate = window.estimate(100_000);
    expect(rate.hs).toBeCloseTo(1000, 0);
    expect(rate.seconds).toBeCloseTo(60, 0);
    expect(window.estimate(300_000)).toMatchObject({ hs: 0, shares: 0, low: 0 });
  });

  it('divides by the time it has really watched while it is young', () => {
    const window = new HashrateWindow(300_000, 5_000);
    window.add(9_000, 8000, 8);
    expect(window.estimate(15_000)).toMatchObject({ hs: 800, seconds: 10, shares: 8 });
  });

  it('counts shares of different difficulty by their own weight', () => {
    const window = new HashrateWindow(60_000, 0);
    window.add(1000, 100, 1);
    window.add(1000, 100, 100);
    const mixed = window.estimate(10_000);
    const even = new HashrateWindow(60_000, 0);
    even.add(1000, 200, 101);
    const same = even.estimate(10_000);
    expect(mixed.hs).toBe(same.hs);
    expect(mixed.high - mixed.low).toBeGreaterThan(3 * (same.high - same.low));
  });

  it('bounds a silent miner by the difficulty it was given', () => {
    const window = new HashrateWindow(60_000, 0);
    expect(window.estimate(60_000).high).toBe(Number.POSITIVE_INFINITY);
    expect(window.estimate(60_000, 6e6).high).toBeCloseTo(368_888, -1);
  });

  it('agrees with a plain list of shares, whatever the times', () => {
    const shares = fc.array(fc.tuple(fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 1, max: 1000 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(shares, (steps) => {
        const window = new HashrateWindow(60_000, 0, 6);
        const list: { at: number; work: number }[] = [];
        let now = 0;
        for (const [step, work] of steps) {
          now += step;
          window.add(now, work, 1);
          list.push({ at: now, work });
        }
        now += 1;
        // Seven buckets of 10 s: six whole ones and the one that is filling.
        const oldest = Math.max(0, (Math.floor(now / 10_000) - 6) * 10_000);
        const expected = list.filter(({ at }) => at >= oldest).reduce((sum, { work }) => sum + work, 0);
        const rate = window.estimate(now);
        expect(rate.seconds).toBeCloseTo((now - oldest) / 1000, 9);
        expect(rate.hs * rate.seconds).toBeCloseTo(expected, 6);
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  it('ignores shares of a time that has left the window', () => {
    const window = new HashrateWindow(60_000, 0);
    window.add(200_000, 10, 1);
    window.add(100_000, 1e9, 1);
    expect(window.estimate(200_001).shares).toBe(1);
  });
});

describe('text', () => {
  it.each([
    [0, '0 H/s'],
    [999.4, '999 H/s'],
    [999.6, '1.00 kH/s'],
    [81_234, '81.2 kH/s'],
    [2.5e6, '2.50 MH/s'],
    [1.2e14, '120 TH/s'],
    [6.1e20, '610 EH/s'],
    [Number.POSITIVE_INFINITY, 'unknown'],
  ])('shows %d H/s as %s', (hs, text) => {
    expect(formatHashrate(hs)).toBe(text);
  });

  it('sends whole numbers without exponent', () => {
    expect(hashrateText(1e21)).toBe('1000000000000000000000');
    expect(hashrateText(0.4)).toBe('0');
    expect(hashrateText(Number.POSITIVE_INFINITY)).toBeNull();
  });
});
