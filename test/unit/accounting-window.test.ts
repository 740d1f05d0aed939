import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillWindow, type WorkBucket, windowWork } from '../../engine/accounting/pplns-window.js';

const SEED = 20261121;

const bucketsOf = (accounts: number) =>
  fc.array(
    fc.array(
      fc.record({
        accountId: fc.integer({ min: 1, max: accounts }),
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
    const buckets: WorkBucket[] = [
      [{ accountId: 1, work: 60n }],
      [{ accountId: 2, work: 40n }],
      [{ accountId: 3, work: 9n }],
    ];
    const window = fillWindow(buckets, 100n);
    expect([...window.weights]).toEqual([
      [1, 60n],
      [2, 40n],
    ]);
    expect(window.totalWeight).toBe(100n);
  });

  it('counts the bucket that crosses the edge by the exact fraction that is inside', () => {
    // 30 of 70 hashes of the older bucket are inside: account 2 holds 30 x 20/70, account 3 30 x 50/70.
    const buckets: WorkBucket[] = [
      [{ accountId: 1, work: 70n }],
      [
        { accountId: 2, work: 20n },
        { accountId: 3, work: 50n },
      ],
    ];
    const { weights, totalWeight, work } = fillWindow(buckets, 100n);
    expect(sameFraction(weights.get(1) ?? 0n, totalWeight, 70n, 100n)).toBe(true);
    expect(sameFraction(weights.get(2) ?? 0n, totalWeight, 30n * 20n, 70n * 100n)).toBe(true);
    expect(sameFraction(weights.get(3) ?? 0n, totalWeight, 30n * 50n, 70n * 100n)).toBe(true);
    expect(work).toBe(100n);
  });

  it('pays by what there is while the pool is younger than its window', () => {
    const window = fillWindow([[{ accountId: 7, work: 3n }], [{ accountId: 8, work: 1n }]], 1000n);
    expect(window.totalWeight).toBe(4n);
    expect(window.work).toBe(4n);
  });

  it('has weights that sum to the total, and never more work than the window', () => {
    fc.assert(
      fc.property(bucketsOf(5), windowSize, (buckets, size) => {
        const { weights, totalWeight, work } = fillWindow(buckets, size);
        expect([...weights.values()].reduce((a, b) => a + b, 0n)).toBe(totalWeight);
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
            .flatMap(({ accountId, work }) => {
              const part = (work * permille) / 1000n;
              return [
                { accountId, work: part },
                { accountId, work: work - part },
              ];
            })
            .reverse(),
        );
        const split = fillWindow(cut, size);
        expect(split.totalWeight).toBe(whole.totalWeight);
        expect(new Map([...split.weights].sort())).toEqual(new Map([...whole.weights].sort()));
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
          history.push([
            { accountId: 1, work: bucket - mine },
            { accountId: 9, work: mine },
          ]);
        }
        const { weights, totalWeight } = fillWindow(history, size);
        // Early windows are not full; only full ones are compared.
        if (totalWeight === size) numerator += weights.get(9) ?? 0n;
      }
      return numerator;
    };
    for (let joinsAt = 8; joinsAt < 30; joinsAt++) expect(earned(joinsAt)).toBe(40n * 7n);
  });
});
