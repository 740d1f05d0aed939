import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillWindow, type WorkBucket, windowWork } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';

const SEED = 20261121;

const pplns = (accountId: number, work: bigint) => ({ accountId, scheme: 'pplns' as const, work });

const bucketsOf = (accounts: number) =>
  fc.array(
    fc.array(
      fc.record({
        accountId: fc.integer({ min: 1, max: accounts }),
        scheme: fc.constantFrom<Scheme>('pplns', 'fpps'),
        work: fc.bigInt({ min: 1n, max: 1n << 70n }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    { maxLength: 12 },
  );

const windowSize = fc.bigInt({ min: 1n, max: 1n << 73n });

/** Equality of fractions a/b = c/d. */
const sameFraction = (a: bigint, b: bigint, c: bigint, d: bigint) => a * d === c * b;

describe('PPLNS window length', () => {
  it('is N times the expected hashes of a block, rounded down', () => {
    const target = 0xffffn << 208n;
    const blockWork = (1n << 256n) / (target + 1n);
    expect(windowWork(target, 1000)).toBe(blockWork);
    expect(windowWork(target, 2000)).toBe(2n * blockWork);
    expect(windowWork(target, 1500)).toBe((3n * blockWork) / 2n);
  });

  it('refuses a window of nothing', () => {
    expect(() => windowWork(1n << 200n, 0)).toThrow(RangeError);
    expect(() => windowWork(1n << 200n, 0.5)).toThrow(RangeError);
    expect(() => fillWindow([], 0n)).toThrow(RangeError);
  });
});

describe('filling the PPLNS window', () => {
  it('takes the newest work first and nothing beyond the window', () => {
    const buckets: WorkBucket[] = [[pplns(1, 60n)], [pplns(2, 40n)], [pplns(3, 9n)]];
    const window = fillWindow(buckets, 100n);
    expect(window.parts).toEqual([
      { accountId: 1, scheme: 'pplns', weight: 60n },
      { accountId: 2, scheme: 'pplns', weight: 40n },
    ]);
    expect(window.totalWeight).toBe(100n);
  });

  it('counts the bucket that crosses the edge by the exact fraction that is inside', () => {
    // 30 of 70 hashes of the older bucket are inside: account 2 holds 30 x 20/70, account 3 30 x 50/70.
    const buckets: WorkBucket[] = [[pplns(1, 70n)], [pplns(2, 20n), pplns(3, 50n)]];
    const { parts, totalWeight, work } = fillWindow(buckets, 100n);
    expect(parts.map(({ accountId }) => accountId)).toEqual([1, 2, 3]);
    const weights = parts.map(({ weight }) => weight);
    expect(sameFraction(weights[0] ?? 0n, totalWeight, 70n, 100n)).toBe(true);
    expect(sameFraction(weights[1] ?? 0n, totalWeight, 30n * 20n, 70n * 100n)).toBe(true);
    expect(sameFraction(weights[2] ?? 0n, totalWeight, 30n * 50n, 70n * 100n)).toBe(true);
    expect(work).toBe(100n);
  });

  it('keeps the work of one account under two schemes apart', () => {
    const buckets: WorkBucket[] = [
      [{ accountId: 5, scheme: 'fpps', work: 1n }, pplns(5, 2n)],
      [pplns(4, 3n), { accountId: 5, scheme: 'fpps', work: 4n }],
    ];
    expect(fillWindow(buckets, 100n).parts).toEqual([
      { accountId: 4, scheme: 'pplns', weight: 3n },
      { accountId: 5, scheme: 'pplns', weight: 2n },
      { accountId: 5, scheme: 'fpps', weight: 5n },
    ]);
  });

  it('refuses solo work and negative work', () => {
    expect(() => fillWindow([[{ accountId: 1, scheme: 'solo', work: 1n }]], 10n)).toThrow(RangeError);
    expect(() => fillWindow([[pplns(1, -1n)]], 10n)).toThrow(RangeError);
  });

  it('pays by what there is while the pool is younger than its window', () => {
    const window = fillWindow([[pplns(7, 3n)], [pplns(8, 1n)]], 1000n);
    expect(window.totalWeight).toBe(4n);
    expect(window.work).toBe(4n);
  });

  it('has weights that sum to the total, and never more work than the window', () => {
    fc.assert(
      fc.property(bucketsOf(5), windowSize, (buckets, size) => {
        const { parts, totalWeight, work } = fillWindow(buckets, size);
        expect(parts.reduce((sum, { weight }) => sum + weight, 0n)).toBe(totalWeight);
        const all = buckets.flat().reduce((sum, entry) => sum + entry.work, 0n);
        if (all < size) expect(work).toBe(all);
        else expect(work).toBe(size);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('gives an account the same however its work is cut into workers and sessions, in any order', () => {
    fc.assert(
      fc.property(bucketsOf(4), windowSize, fc.bigInt({ min: 0n, max: 1000n }), (buckets, size, permille) => {
        const whole = fillWindow(buckets, size);
        const cut = buckets.map((bucket) =>
          bucket
            .flatMap((entry) => {
              const part = (entry.work * permille) / 1000n;
              return [
                { ...entry, work: part },
                { ...entry, work: entry.work - part },
              ];
            })
            .reverse(),
        );
        expect(fillWindow(cut, size)).toEqual(whole);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('pays a unit of work the same whenever it was done, once all blocks that see it are found (hop-proof)', () => {
    // A steady pool finds a block after every bucket; account 9 mines one bucket only, at any moment.
    const size = 700n;
    const bucket = 100n;
    const earned = (joinsAt: number) => {
      let numerator = 0n;
      for (let blockAt = 0; blockAt < 40; blockAt++) {
        const history: WorkBucket[] = [];
        for (let at = blockAt; at >= 0; at--) {
          const mine = at === joinsAt ? 40n : 0n;
          history.push([pplns(1, bucket - mine), pplns(9, mine)]);
        }
        const { parts, totalWeight } = fillWindow(history, size);
        // Early windows are not full; only full ones are compared.
        if (totalWeight === size) numerator += parts.find((part) => part.accountId === 9)?.weight ?? 0n;
      }
      return numerator;
    };
    for (let joinsAt = 8; joinsAt < 30; joinsAt++) expect(earned(joinsAt)).toBe(40n * 7n);
  });
});
