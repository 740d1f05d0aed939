// PPS, PPS+ and FPPS: a share is paid its expected value out of the reserve, block or no block. Values are whole
// numbers of 2^-64 satoshi; the fractions of a satoshi that a credit leaves are carried to the account's next one, so
// an account that earns a millionth of a satoshi a credit is still paid in full.
// Rosenfeld (arXiv 1112.4980), section 2.2: a share of difficulty d is worth d / D of a block.
import { workFromTarget } from '../bitcoin/target.js';
import { EXPECTED_VALUE_SCHEMES, type Scheme } from './schemes.js';
import { applyTerms, TERMS_DENOMINATOR, type Terms } from './terms.js';

const Q64_BITS = 64n;
const Q64_MASK = (1n << Q64_BITS) - 1n;

export interface WorkValueInput {
  /** An expected-value scheme. */
  scheme: Scheme;
  /** Accepted work in hashes. */
  work: bigint;
  /** Of the height that the work was done for. */
  subsidySats: bigint;
  /** What FPPS adds to the subsidy (fee-average.ts). Not read for PPS and PPS+. */
  averageFeesSats: bigint;
  /** Target of the blocks that the work was done for. */
  networkTarget: bigint;
}

/**
 * Expected value of work in 2^-64 sat, before fee and donation: floor(work x reward x 2^64 / networkWork) with
 * networkWork = floor(2^256 / (networkTarget + 1)). Throws RangeError on negative numbers and on other schemes.
 */
export function expectedValue(input: WorkValueInput): bigint {
  const { scheme, work, subsidySats, averageFeesSats, networkTarget } = input;
  if (!EXPECTED_VALUE_SCHEMES.has(scheme)) throw new RangeError(`${scheme} pays no expected value`);
  if (work < 0n || subsidySats < 0n || averageFeesSats < 0n) {
    throw new RangeError(
      `work ${work}, subsidy ${subsidySats} and fees ${averageFeesSats} must not be negative`,
    );
  }
  const rewardSats = scheme === 'fpps' ? subsidySats + averageFeesSats : subsidySats;
  return ((work * rewardSats) << Q64_BITS) / workFromTarget(networkTarget);
}

/** What an account was not paid yet for lack of a whole satoshi, in 2^-64 sat; each part below 2^64. */
export interface CarryQ64 {
  minerQ64: bigint;
  feeQ64: bigint;
  donationQ64: bigint;
}

export interface ExpectedPayEntry extends Terms {
  accountId: number;
  scheme: Scheme;
  /** From `expectedValue`, or a sum of such values. */
  valueQ64: bigint;
}

/** What one account's work brings in one credit; parts may be 0. */
export interface ExpectedPay {
  accountId: number;
  minerSats: bigint;
  feeSats: bigint;
  donationSats: bigint;
}

export type ExpectedSettlement =
  | {
      short: false;
      /** One for each account of the entries, by account id, ascending. */
      pays: ExpectedPay[];
      /** All that leaves the reserve. 0: nothing makes a whole satoshi yet; better left owed than posted. */
      totalSats: bigint;
      /** What to keep for each account of the entries in place of what it had. */
      carries: Map<number, CarryQ64>;
    }
  | {
      /** The reserve does not cover it: nothing is paid and carries stay. */
      short: true;
      totalSats: bigint;
    };

/**
 * Turns values into whole satoshis of miner, fee and donation. Order of the entries, and how many an account's value
 * is cut into, change nothing. `carries`: what the last credit left; an account that is not in it has none.
 * Throws RangeError on a negative value, carry or reserve.
 */
export function settleExpectedPay(
  entries: readonly ExpectedPayEntry[],
  carries: ReadonlyMap<number, CarryQ64>,
  reserveSats: bigint,
): ExpectedSettlement {
  if (reserveSats < 0n) throw new RangeError(`the reserve holds ${reserveSats} satoshis`);
  const accounts = new Map<number, { value: bigint; fee: bigint; donation: bigint }>();
  for (const entry of entries) {
    if (entry.valueQ64 < 0n) throw new RangeError(`work of account ${entry.accountId} has a negative value`);
    const cut = applyTerms(entry.valueQ64, entry);
    const sum = accounts.get(entry.accountId) ?? { value: 0n, fee: 0n, donation: 0n };
    sum.value += entry.valueQ64;
    sum.fee += cut.fee;
    sum.donation += cut.donation;
    accounts.set(entry.accountId, sum);
  }

  const pays: ExpectedPay[] = [];
  const left = new Map<number, CarryQ64>();
  let totalSats = 0n;
  for (const [accountId, sum] of accounts) {
    const carry = carries.get(accountId) ?? { minerQ64: 0n, feeQ64: 0n, donationQ64: 0n };
    checkCarry(accountId, carry);
    const feeQ64 = sum.fee / TERMS_DENOMINATOR;
    const donationQ64 = sum.donation / TERMS_DENOMINATOR;
    const owed = {
      minerQ64: carry.minerQ64 + sum.value - feeQ64 - donationQ64,
      feeQ64: carry.feeQ64 + feeQ64,
      donationQ64: carry.donationQ64 + donationQ64,
    };
    const pay = {
      accountId,
      minerSats: owed.minerQ64 >> Q64_BITS,
      feeSats: owed.feeQ64 >> Q64_BITS,
      donationSats: owed.donationQ64 >> Q64_BITS,
    };
    pays.push(pay);
    totalSats += pay.minerSats + pay.feeSats + pay.donationSats;
    left.set(accountId, {
      minerQ64: owed.minerQ64 & Q64_MASK,
      feeQ64: owed.feeQ64 & Q64_MASK,
      donationQ64: owed.donationQ64 & Q64_MASK,
    });
  }
  if (totalSats > reserveSats) return { short: true, totalSats };
  pays.sort((a, b) => a.accountId - b.accountId);
  return { short: false, pays, totalSats, carries: left };
}

function checkCarry(accountId: number, { minerQ64, feeQ64, donationQ64 }: CarryQ64): void {
  for (const part of [minerQ64, feeQ64, donationQ64]) {
    if (part < 0n || part > Q64_MASK)
      throw new RangeError(`account ${accountId} carries ${part} of 2^-64 sat`);
  }
}
