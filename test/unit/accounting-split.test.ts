import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_WINDOW, fillWindow, type WorkBucket } from '../../engine/accounting/pplns-window.js';
import { isScheme, SCHEME_RULES, SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import { type BlockSplit, type SplitInput, splitBlock } from '../../engine/accounting/split-block.js';
import type { Fraction } from './accounting-fraction.js';
import { exactSplit, type Round } from './accounting-oracle.js';
import { ROUNDS, roundsOf } from './accounting-rounds.js';

const SEED = 413567;

const flat =
  (feePpm: number, donationPpm = 0) =>
  () => ({ feePpm, donationPpm });

const splitOf = (round: Round): BlockSplit =>
  splitBlock({ ...round, window: fillWindow(round.buckets, round.windowHashes) });

/** A block of 1,000 subsidy and 200 fees, found by account 1, no fee. */
const small = (finder: Scheme, work: [accountId: number, scheme: Scheme, work: bigint][]): SplitInput => ({
  finder: { accountId: 1, scheme: finder },
  subsidySats: 1000n,
  feesSats: 200n,
  window: fillWindow([work.map(([accountId, scheme, work]) => ({ accountId, scheme, work }))], 100n),
  termsOf: flat(0),
});

describe('splitting a block', () => {
  it('pays PPLNS by the part of the window, less the fee, the rest of rounding to the remainder', () => {
    const window = fillWindow(
      [[{ accountId: 1, scheme: 'pplns', work: 1n }], [{ accountId: 2, scheme: 'pplns', work: 2n }]],
      10n,
    );
    const block = { finder: { accountId: 2, scheme: 'pplns' as const }, window, termsOf: flat(10_000) };
    expect(splitBlock({ ...block, subsidySats: 4_999_000_000n, feesSats: 1_000_000n })).toEqual({
      credits: [
        { accountId: 1, amountSats: 1_650_000_000n },
        { accountId: 2, amountSats: 3_300_000_000n },
      ],
      feeSats: 50_000_000n,
      reserveSats: 0n,
      donationSats: 0n,
      remainderSats: 0n,
    });
    // 100 sat: 33.0 and 66.0 after a fee of 1; 101 sat: 33.33, 66.66 and 1.01.
    expect(splitBlock({ ...block, subsidySats: 101n, feesSats: 0n })).toEqual({
      credits: [
        { accountId: 1, amountSats: 33n },
        { accountId: 2, amountSats: 66n },
      ],
      feeSats: 1n,
      reserveSats: 0n,
      donationSats: 0n,
      remainderSats: 1n,
    });
  });

  it('pays SOLO blocks to the finder less fee and donation, whatever is in the window', () => {
    const block = small('solo', [[2, 'pplns', 100n]]);
    // 1,200 sat: fee 1.5 % is 18, donation 10 % of 1,182 is 118.2.
    expect(splitBlock({ ...block, termsOf: flat(15_000, 100_000) })).toEqual({
      credits: [{ accountId: 1, amountSats: 1063n }],
      feeSats: 18n,
      donationSats: 118n,
      reserveSats: 0n,
      remainderSats: 1n,
    });
  });

  it('sends what PPS and FPPS work holds to the reserve, and of PPS+ work the subsidy, fees to the miner', () => {
    const split = splitBlock(
      small('pplns', [
        [1, 'pplns', 10n],
        [2, 'pps', 20n],
        [3, 'fpps', 30n],
        [4, 'ppsplus', 40n],
      ]),
    );
    expect(split.credits).toEqual([
      { accountId: 1, amountSats: 120n },
      { accountId: 4, amountSats: 80n },
    ]);
    expect(split.reserveSats).toBe(240n + 360n + 400n);
    expect(split.remainderSats).toBe(0n);
  });

  it('takes no fee of what goes to the reserve: it came off when the share was paid', () => {
    const block = small('pps', [
      [2, 'pps', 50n],
      [3, 'fpps', 50n],
    ]);
    const split = splitBlock({ ...block, termsOf: flat(20_000, 10_000) });
    expect(split).toEqual({
      credits: [],
      reserveSats: 1200n,
      feeSats: 0n,
      donationSats: 0n,
      remainderSats: 0n,
    });
  });

  it('pays one account that worked under two schemes in one line, each part by its own terms', () => {
    const block = small('pplns', [
      [1, 'pplns', 50n],
      [1, 'ppsplus', 50n],
    ]);
    const split = splitBlock({
      ...block,
      termsOf: (_, scheme) => ({ feePpm: scheme === 'pplns' ? 10_000 : 0, donationPpm: 0 }),
    });
    expect(split.credits).toEqual([{ accountId: 1, amountSats: 594n + 100n }]);
    expect(split.feeSats).toBe(6n);
    expect(split.reserveSats).toBe(500n);
  });

  it('leaves an exempt account its whole part while others pay the fee', () => {
    const block = small('pplns', [
      [1, 'pplns', 50n],
      [2, 'pplns', 50n],
    ]);
    const split = splitBlock({
      ...block,
      termsOf: (accountId) => ({ feePpm: accountId === 1 ? 0 : 20_000, donationPpm: 0 }),
    });
    expect(split.credits).toEqual([
      { accountId: 1, amountSats: 600n },
      { accountId: 2, amountSats: 588n },
    ]);
  });

  it('treats a block with nobody in the window as the finder’s own work', () => {
    const paid = (scheme: Scheme) => splitBlock({ ...small(scheme, []), window: EMPTY_WINDOW });
    expect(paid('pplns').credits).toEqual([{ accountId: 1, amountSats: 1200n }]);
    expect(paid('pps').reserveSats).toBe(1200n);
    expect(paid('fpps').reserveSats).toBe(1200n);
    expect(paid('ppsplus').credits).toEqual([{ accountId: 1, amountSats: 200n }]);
    expect(paid('ppsplus').reserveSats).toBe(1000n);
  });

  it('refuses fees, donations and coinbases that make no sense', () => {
    const block = small('solo', []);
    for (const terms of [flat(1_000_001), flat(-1), flat(0.5), flat(0, 1_000_001), flat(0, Number.NaN)]) {
      expect(() => splitBlock({ ...block, termsOf: terms })).toThrow(RangeError);
    }
    expect(() => splitBlock({ ...block, subsidySats: 0n, feesSats: 0n })).toThrow(RangeError);
    expect(() => splitBlock({ ...block, feesSats: -1n })).toThrow(RangeError);
    expect(() => splitBlock({ ...block, subsidySats: -1n })).toThrow(RangeError);
  });
});

describe('schemes', () => {
  it('are known by name, and each says what it pays', () => {
    expect(SCHEMES.every(isScheme)).toBe(true);
    for (const value of ['', 'PPLNS', 'prop', 0, null, undefined, {}]) expect(isScheme(value)).toBe(false);
    for (const scheme of SCHEMES) expect(SCHEME_RULES[scheme].length).toBeGreaterThan(10);
  });
});

/** What is wrong with the split of a round, in words. */
function violations(round: Round): string[] {
  const found: string[] = [];
  const split = splitOf(round);
  const exact = exactSplit(round);
  const credits = new Map(split.credits.map(({ accountId, amountSats }) => [accountId, amountSats]));
  const check = (what: string, sats: bigint, fraction: Fraction) => {
    if (!fraction.hasFloor(sats)) found.push(`${what}: ${sats} for ${fraction.n}/${fraction.d}`);
  };
  check('reserve', split.reserveSats, exact.reserve);
  check('fee', split.feeSats, exact.fee);
  check('donation', split.donationSats, exact.donation);
  for (const [accountId, fraction] of exact.miners) {
    check(`account ${accountId}`, credits.get(accountId) ?? 0n, fraction);
    credits.delete(accountId);
  }
  if (credits.size > 0) found.push(`paid but not owed: ${[...credits.keys()]}`);
  const credited = split.credits.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const sum = credited + split.reserveSats + split.feeSats + split.donationSats + split.remainderSats;
  if (sum !== round.subsidySats + round.feesSats) found.push(`sum ${sum}`);
  if (split.remainderSats < 0n) found.push(`remainder ${split.remainderSats}`);
  return found;
}

/** The same work in other entries: each cut in two, the entries of a bucket in reverse. */
function recut(bucket: WorkBucket, permille: bigint): WorkBucket {
  return bucket
    .flatMap((entry) => {
      const part = (entry.work * permille) / 1000n;
      return [
        { ...entry, work: part },
        { ...entry, work: entry.work - part },
      ];
    })
    .reverse();
}

describe.each(SCHEMES)('random rounds found by %s work', (scheme) => {
  it(
    `agree with exact fractions: every line its floor, the sum the coinbase (${ROUNDS} rounds)`,
    () => {
      fc.assert(
        fc.property(roundsOf(scheme), fc.bigInt({ min: 0n, max: 1000n }), (round, permille) => {
          expect(violations(round)).toEqual([]);
          const again = { ...round, buckets: round.buckets.map((bucket) => recut(bucket, permille)) };
          expect(splitOf(again)).toEqual(splitOf(round));
        }),
        { seed: SEED, numRuns: ROUNDS },
      );
    },
    60_000 + ROUNDS * 10,
  );
});
