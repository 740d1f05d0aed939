import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CarryQ64,
  type ExpectedPayEntry,
  expectedValue,
  settleExpectedPay,
} from '../../engine/accounting/expected-pay.js';
import { averageFees, feeEpoch, feeEpochHeights, paidFeeEpoch } from '../../engine/accounting/fee-average.js';
import { expectedPayLines } from '../../engine/accounting/ledger-entries.js';
import { EXPECTED_VALUE_SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import { workFromTarget } from '../../engine/bitcoin/target.js';
import { Fraction, ZERO } from './accounting-fraction.js';
import { exactTerms } from './accounting-oracle.js';
import { ROUNDS, termTables } from './accounting-rounds.js';

const SEED = 8301;
const Q64 = 1n << 64n;
/** Difficulty 1: 2^32 + 2^16 + 1 hashes a block, rounded down. */
const TARGET = 0xffffn << 208n;
/** More than anything here is worth. */
const RICH = 1n << 200n;

const block = { subsidySats: 3_1250_0000n, averageFeesSats: 1000_0000n, networkTarget: TARGET };

function settle(entries: ExpectedPayEntry[], carries = new Map<number, CarryQ64>(), reserve = RICH) {
  const settled = settleExpectedPay(entries, carries, reserve);
  if (settled.short) throw new Error(`short of ${settled.totalSats}`);
  return settled;
}

describe('the expected value of work', () => {
  it('is the whole reward for the work of a block: the subsidy for PPS and PPS+, average fees too for FPPS', () => {
    const work = workFromTarget(TARGET);
    expect(expectedValue({ ...block, scheme: 'pps', work })).toBe(3_1250_0000n * Q64);
    expect(expectedValue({ ...block, scheme: 'ppsplus', work })).toBe(3_1250_0000n * Q64);
    expect(expectedValue({ ...block, scheme: 'fpps', work })).toBe(3_2250_0000n * Q64);
  });

  it('is within 2^-64 satoshi of the exact fraction for a single hash', () => {
    const value = expectedValue({ ...block, scheme: 'pps', work: 1n });
    expect(new Fraction(3_1250_0000n * Q64, workFromTarget(TARGET)).hasFloor(value)).toBe(true);
    expect(value > 0n).toBe(true);
  });

  it('is refused for schemes that pay by blocks, and for negative numbers', () => {
    for (const scheme of ['pplns', 'solo'] as Scheme[]) {
      expect(() => expectedValue({ ...block, scheme, work: 1n })).toThrow(RangeError);
    }
    expect(() => expectedValue({ ...block, scheme: 'pps', work: -1n })).toThrow(RangeError);
    expect(() => expectedValue({ ...block, scheme: 'pps', work: 1n, subsidySats: -1n })).toThrow(RangeError);
  });
});

describe('paying expected values', () => {
  const entry = (accountId: number, valueQ64: bigint, feePpm = 0, donationPpm = 0): ExpectedPayEntry => ({
    accountId,
    scheme: 'pps',
    valueQ64,
    feePpm,
    donationPpm,
  });

  it('pays whole satoshis less fee and donation and carries the fractions', () => {
    // 1000.5 sat: fee 2 % is 20.01, donation 10 % of 980.49 is 98.049, the miner 882.441.
    const settled = settle([entry(7, (2001n * Q64) / 2n, 20_000, 100_000)]);
    expect(settled.pays).toEqual([{ accountId: 7, minerSats: 882n, feeSats: 20n, donationSats: 98n }]);
    expect(settled.totalSats).toBe(1000n);
    const carry = settled.carries.get(7);
    if (carry === undefined) throw new Error('no carry');
    expect(carry.minerQ64 + carry.feeQ64 + carry.donationQ64).toBe(Q64 / 2n);
    expect(Number(carry.minerQ64) / 2 ** 64).toBeCloseTo(0.441, 12);
    expect(expectedPayLines(settled.pays)).toEqual([
      { kind: 'miner_confirmed', accountId: 7, amountSats: 882n },
      { kind: 'pool_fee', accountId: null, amountSats: 20n },
      { kind: 'donation', accountId: null, amountSats: 98n },
      { kind: 'reserve', accountId: null, amountSats: -1000n },
    ]);
  });

  it('pays nothing and leaves carries alone while the reserve does not cover all of it', () => {
    const entries = [entry(1, 10n * Q64), entry(2, 5n * Q64)];
    expect(settleExpectedPay(entries, new Map(), 14n)).toEqual({ short: true, totalSats: 15n });
    expect(settle(entries, new Map(), 15n).totalSats).toBe(15n);
  });

  it('has no ledger lines while nothing makes a whole satoshi', () => {
    const settled = settle([entry(1, Q64 - 1n)]);
    expect(settled.totalSats).toBe(0n);
    expect(settled.carries.get(1)?.minerQ64).toBe(Q64 - 1n);
    expect(() => expectedPayLines(settled.pays)).toThrow(RangeError);
  });

  it('pays a miner of a millionth of a satoshi a credit the floor of its exact total', () => {
    // 1.7 hashes' worth each: about 1.4e-6 sat.
    const value = (17n * Q64) / 12_345_678n;
    const credits = 1_000_000;
    let carries = new Map<number, CarryQ64>();
    let paid = 0n;
    for (let i = 0; i < credits; i++) {
      const settled = settle([entry(3, value)], carries);
      paid += settled.totalSats;
      carries = settled.carries;
    }
    expect(paid).toBe((value * BigInt(credits)) / Q64);
    expect(paid).toBe((17n * BigInt(credits)) / 12_345_678n);
    expect(paid).toBe(1n);
  }, 60_000);

  it('refuses negative values, broken carries, terms and reserves', () => {
    expect(() => settle([entry(1, -1n)])).toThrow(RangeError);
    expect(() => settle([entry(1, 1n, 1_000_001)])).toThrow(RangeError);
    expect(() =>
      settle([entry(1, 1n)], new Map([[1, { minerQ64: Q64, feeQ64: 0n, donationQ64: 0n }]])),
    ).toThrow(RangeError);
    expect(() => settle([], new Map(), -1n)).toThrow(RangeError);
  });
});

interface Work {
  accountId: number;
  work: bigint;
  feesSats: bigint;
}

const credits = fc.record({
  subsidySats: fc.bigInt({ min: 0n, max: 50_0000_0000n }),
  networkTarget: fc.bigInt({ min: 1n << 170n, max: 1n << 240n }),
  termsOf: termTables,
  rounds: fc.array(
    fc.array(
      fc.record({
        accountId: fc.integer({ min: 1, max: 3 }),
        work: fc.bigInt({ min: 0n, max: 1n << 80n }),
        feesSats: fc.bigInt({ min: 0n, max: 1_0000_0000n }),
      }),
      { maxLength: 4 },
    ),
    { minLength: 1, maxLength: 4 },
  ),
});

describe.each([...EXPECTED_VALUE_SCHEMES])('random credits of %s', (scheme) => {
  it(
    `pay each account, fee and donation the floor of all that was ever owed (${ROUNDS} runs)`,
    () => {
      fc.assert(
        fc.property(credits, ({ subsidySats, networkTarget, termsOf, rounds }) => {
          const networkWork = workFromTarget(networkTarget);
          const entryOf = ({ accountId, work, feesSats }: Work): ExpectedPayEntry => ({
            accountId,
            scheme,
            valueQ64: expectedValue({ scheme, work, subsidySats, averageFeesSats: feesSats, networkTarget }),
            ...termsOf(accountId, scheme),
          });
          const carries = new Map<number, CarryQ64>();
          const paid = new Map<number, { miner: bigint; fee: bigint; donation: bigint }>();
          const exact = new Map<number, Fraction>();
          for (const round of rounds) {
            const entries = round.map(entryOf);
            const settled = settle(entries, carries);
            expect(settle(entries.toReversed(), carries)).toEqual(settled);
            for (const [accountId, carry] of settled.carries) carries.set(accountId, carry);
            for (const pay of settled.pays) {
              const sum = paid.get(pay.accountId) ?? { miner: 0n, fee: 0n, donation: 0n };
              sum.miner += pay.minerSats;
              sum.fee += pay.feeSats;
              sum.donation += pay.donationSats;
              paid.set(pay.accountId, sum);
            }
            for (const { accountId, work, feesSats } of round) {
              const reward = scheme === 'fpps' ? subsidySats + feesSats : subsidySats;
              const value = new Fraction(work * reward, networkWork);
              exact.set(accountId, (exact.get(accountId) ?? ZERO).plus(value));
            }
          }
          // Each entry's value is floored to 2^-64 sat, and fee and donation of each credit once more.
          const slack = new Fraction(BigInt(2 * rounds.flat().length), Q64);
          for (const [accountId, gross] of exact) {
            const owed = exactTerms(gross, termsOf(accountId, scheme));
            const got = paid.get(accountId);
            const carry = carries.get(accountId);
            if (got === undefined || carry === undefined)
              throw new Error(`account ${accountId} was left out`);
            near(owed.miner, got.miner, carry.minerQ64, slack);
            near(owed.fee, got.fee, carry.feeQ64, slack);
            near(owed.donation, got.donation, carry.donationQ64, slack);
          }
        }),
        { seed: SEED, numRuns: ROUNDS },
      );
    },
    60_000 + ROUNDS * 10,
  );
});

/** Paid and carried together are what is owed, but for `slack`; so what was paid is within one satoshi of it. */
function near(owed: Fraction, paidSats: bigint, carryQ64: bigint, slack: Fraction): void {
  expect(carryQ64 >= 0n && carryQ64 < Q64).toBe(true);
  const off = owed.minus(new Fraction(paidSats * Q64 + carryQ64, Q64));
  expect(off.minus(slack).n <= 0n && off.plus(slack).n >= 0n).toBe(true);
}

describe('the fees that FPPS pays', () => {
  it('are the average of the epoch of 144 blocks before the one that the work is for', () => {
    expect([0, 143, 144, 287, 288].map(feeEpoch)).toEqual([0, 0, 1, 1, 2]);
    expect([0, 143, 144, 287, 288].map(paidFeeEpoch)).toEqual([null, null, 0, 0, 1]);
    expect(feeEpochHeights(0)).toEqual({ first: 0, last: 143 });
    expect(feeEpochHeights(6000)).toEqual({ first: 864_000, last: 864_143 });
    for (const { first, last } of [feeEpochHeights(3)])
      expect([feeEpoch(first), feeEpoch(last)]).toEqual([3, 3]);
  });

  it('are rounded down once, over all 144 blocks and no fewer', () => {
    expect(averageFees(Array.from({ length: 144 }, (_, i) => BigInt(i)))).toBe(71n);
    expect(averageFees(new Array(144).fill(0n))).toBe(0n);
    expect(() => averageFees(new Array(143).fill(5n))).toThrow(RangeError);
    expect(() => averageFees(new Array(145).fill(5n))).toThrow(RangeError);
    expect(() => averageFees([...new Array(143).fill(5n), -1n])).toThrow(RangeError);
    expect(() => feeEpoch(-1)).toThrow(RangeError);
  });
});
