// A block's coinbase split by plain fractions: each part of the window earns its part of what the block pays to its
// scheme, fee off that, donation off the rest; every line is rounded down once, as a whole.
import { Fraction, ppm, ZERO } from './fraction.js';
import { addLine, type Lines } from './ledger-credits.js';
import { RULES, type Scheme } from './scheme-rules.js';
import type { ShortSlices } from './short-slices.js';
import type { Terms } from './terms-check.js';

export interface SplitPart extends Terms {
  account: number;
  scheme: Scheme;
  /** Of the whole, exact. */
  share: Fraction;
}

/** The ledger lines of a block whose parts sum to 1. */
export async function splitLines(
  parts: readonly SplitPart[],
  subsidySats: bigint,
  feesSats: bigint,
  slices: ShortSlices,
): Promise<Lines> {
  const coinbaseSats = subsidySats + feesSats;
  const miners = new Map<number, Fraction>();
  let reserve = ZERO;
  let fees = ZERO;
  let donations = ZERO;
  for (const { account, scheme, share, feePpm, donationPpm } of parts) {
    await slices.pause();
    const { blockSubsidy, blockFees } = RULES[scheme];
    const toMiner = (blockSubsidy ? subsidySats : 0n) + (blockFees ? feesSats : 0n);
    const earned = share.times(new Fraction(toMiner));
    const fee = earned.times(ppm(feePpm));
    const donation = earned.minus(fee).times(ppm(donationPpm));
    miners.set(account, (miners.get(account) ?? ZERO).plus(earned.minus(fee).minus(donation)));
    fees = fees.plus(fee);
    donations = donations.plus(donation);
    reserve = reserve.plus(share.times(new Fraction(coinbaseSats - toMiner)));
  }

  const lines: Lines = new Map();
  let paid = 0n;
  const pay = (kind: string, account: number | null, sats: bigint) => {
    addLine(lines, kind, account, sats);
    paid += sats;
  };
  for (const [account, earned] of miners) pay('miner_immature', account, earned.floor());
  pay('reserve_immature', null, reserve.floor());
  pay('pool_fee_immature', null, fees.floor());
  pay('donation_immature', null, donations.floor());
  addLine(lines, 'remainder_immature', null, coinbaseSats - paid);
  addLine(lines, 'coinbase_immature', null, -coinbaseSats);
  return lines;
}
