import { describe, expect, it } from 'vitest';
import { nextReserveMode, type ReserveMode, recordedScheme } from '../../engine/accounting/reserve-policy.js';
import { reserveForRuin, ruinExponent, ruinProbability } from '../../engine/accounting/ruin.js';
import { SCHEMES } from '../../engine/accounting/schemes.js';
import { seededRandom } from './accounting-random.js';

const BLOCK = 3_1250_0000n;

describe('the ruin exponent', () => {
  it('solves (1 - f) x = 1 - exp(-x) over the whole range of f', () => {
    for (let f = 0.001; f < 1; f += 0.001) {
      const x = ruinExponent(f);
      expect(Math.abs((1 - f) * x + Math.expm1(-x))).toBeLessThan(4e-16 * Math.max(1, x));
      expect(x).toBeGreaterThan(0);
    }
  });

  it('gives back the x that f was made from, to 13 digits', () => {
    for (const x of [1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.999, 1.001, 2, 5, 20]) {
      // f = 1 - (1 - exp(-x)) / x = sum of (-1)^(k+1) x^k / (k+1)!, without cancellation for small x.
      let f = 1 + Math.expm1(-x) / x;
      if (x < 1) {
        f = 0;
        for (let k = 25; k >= 1; k--) f = ((1 - f) * x) / (k + 1);
      }
      expect(Math.abs(ruinExponent(f) / x - 1)).toBeLessThan(1e-13 / (1 - f));
    }
  });

  it('goes to 2f for small f, to 1 / (1 - f) near 1, and stays put at the ends', () => {
    for (const f of [1e-300, 1e-15, 1e-9]) expect(ruinExponent(f) / (2 * f)).toBeCloseTo(1, 8);
    expect(ruinExponent(0.001) / (0.002 * (1 + 0.002 / 3))).toBeCloseTo(1, 5);
    for (const rest of [2 ** -53, 1e-9, 1e-3]) expect(ruinExponent(1 - rest) * rest).toBeCloseTo(1, 6);
    expect(ruinExponent(0)).toBe(0);
    expect(ruinExponent(-0.1)).toBe(0);
    expect(ruinExponent(1)).toBe(Number.POSITIVE_INFINITY);
    expect(() => ruinExponent(Number.NaN)).toThrow(RangeError);
  });

  it('grows with f', () => {
    let last = 0;
    for (let f = 0; f < 1; f += 0.0001) {
      const x = ruinExponent(f);
      expect(x).toBeGreaterThanOrEqual(last);
      last = x;
    }
  });
});

describe('ruin of a reserve', () => {
  it('is certain without a reserve or without a margin, and impossible when blocks stay whole', () => {
    expect(ruinProbability({ reserveSats: 0n, blockSats: BLOCK, keptShare: 0.5 })).toBe(1);
    expect(ruinProbability({ reserveSats: 10n * BLOCK, blockSats: BLOCK, keptShare: 0 })).toBe(1);
    expect(ruinProbability({ reserveSats: 10n * BLOCK, blockSats: BLOCK, keptShare: -0.1 })).toBe(1);
    expect(ruinProbability({ reserveSats: 1n, blockSats: BLOCK, keptShare: 1 })).toBe(0);
    expect(() => ruinProbability({ reserveSats: 1n, blockSats: 0n, keptShare: 0.1 })).toThrow(RangeError);
  });

  it('turns into the reserve that makes it unlikely enough, and back', () => {
    for (const keptShare of [1e-6, 0.01, 0.02, 0.5, 0.99]) {
      for (const probability of [0.5, 0.01, 1e-6]) {
        const reserveSats = reserveForRuin(probability, BLOCK, keptShare);
        if (reserveSats === null) throw new Error('a reserve exists');
        const back = ruinProbability({ reserveSats, blockSats: BLOCK, keptShare });
        expect(back).toBeLessThanOrEqual(probability * (1 + 1e-9));
        expect(back / probability).toBeCloseTo(1, 5);
      }
    }
    expect(reserveForRuin(0.01, BLOCK, 0)).toBeNull();
    expect(reserveForRuin(1, BLOCK, 0)).toBe(0n);
    expect(reserveForRuin(0.01, BLOCK, 1)).toBe(0n);
    expect(() => reserveForRuin(0, BLOCK, 0.1)).toThrow(RangeError);
    // 2 % kept, one ruin in a thousand: 171 blocks, where exp(-2 f R / B) would say 173.
    expect(Number((reserveForRuin(0.001, BLOCK, 0.02) ?? 0n) / BLOCK)).toBe(170);
  });

  it.each([
    { keptShare: 0.03, blocks: 15, trials: 3_000 },
    { keptShare: 0.1, blocks: 5, trials: 20_000 },
    { keptShare: 0.3, blocks: 1.5, trials: 40_000 },
    { keptShare: 0.7, blocks: 0.4, trials: 40_000 },
    { keptShare: 0.9, blocks: 0.05, trials: 40_000 },
  ])('happens as often as in a simulation: $keptShare kept, $blocks blocks in reserve', (row) => {
    const random = seededRandom(51);
    const { keptShare, blocks, trials } = row;
    // A reserve that got this far is ruined in less than one of 10^5 cases.
    const safe = Math.log(1e5) / ruinExponent(keptShare);
    let ruined = 0;
    for (let trial = 0; trial < trials; trial++) {
      let reserve = blocks;
      while (reserve < safe) {
        // Work until the next block, in units of a block's work, is exponential with mean 1.
        reserve += (1 - keptShare) * Math.log(1 - random());
        if (reserve < 0) {
          ruined++;
          break;
        }
        reserve += 1;
      }
    }
    const exact = ruinProbability({
      reserveSats: BigInt(Math.round(blocks * 1e9)),
      blockSats: 1_000_000_000n,
      keptShare,
    });
    const standardError = Math.sqrt((exact * (1 - exact)) / trials);
    expect(standardError).toBeLessThan(0.01);
    expect(Math.abs(ruined / trials - exact)).toBeLessThan(4 * standardError);
  });
});

describe('the reserve policy', () => {
  it('falls back below the limit, returns only above 1.25 times it, and announces each change once', () => {
    const heard: string[] = [];
    let mode: ReserveMode = 'covered';
    const modes = [100n, 99n, 50n, 100n, 110n, 125n, 126n, 110n, 100n, 99n].map((reserveSats) => {
      const step = nextReserveMode(mode, reserveSats, 100n);
      mode = step.mode;
      if (step.announcement !== null) heard.push(step.announcement);
      return mode;
    });
    expect(modes).toEqual([
      'covered',
      'fall_back',
      'fall_back',
      'fall_back',
      'fall_back',
      'fall_back',
      'covered',
      'covered',
      'covered',
      'fall_back',
    ]);
    expect(heard).toHaveLength(3);
    expect(heard[0]).toContain('99 satoshis is below its limit of 100');
    expect(heard[1]).toContain('126 satoshis is above 125 again');
  });

  it('never falls back with a limit of 0, and refuses a negative one', () => {
    expect(nextReserveMode('covered', 0n, 0n)).toEqual({ mode: 'covered', announcement: null });
    expect(nextReserveMode('fall_back', 1n, 0n).mode).toBe('covered');
    expect(() => nextReserveMode('covered', 0n, -1n)).toThrow(RangeError);
  });

  it('records PPS, PPS+ and FPPS work as PPLNS while fallen back, and nothing else differently', () => {
    expect(SCHEMES.map((scheme) => recordedScheme(scheme, 'fall_back'))).toEqual([
      'pplns',
      'solo',
      'pplns',
      'pplns',
      'pplns',
    ]);
    expect(SCHEMES.map((scheme) => recordedScheme(scheme, 'covered'))).toEqual([...SCHEMES]);
  });
});
