// What a block must pay, by the words of engine/accounting/README.md, in fractions and without a rounding anywhere.
import type { WorkBucket } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import type { Terms } from '../../engine/accounting/terms.js';
import { Fraction, ONE, ppm, ZERO } from './accounting-fraction.js';

export interface Round {
  finder: { accountId: number; scheme: Scheme };
  subsidySats: bigint;
  feesSats: bigint;
  /** Newest first. */
  buckets: WorkBucket[];
  windowHashes: bigint;
  termsOf: (accountId: number, scheme: Scheme) => Terms;
}

export interface ExactSplit {
  miners: Map<number, Fraction>;
  reserve: Fraction;
  fee: Fraction;
  donation: Fraction;
}

export function exactSplit(round: Round): ExactSplit {
  const result: ExactSplit = { miners: new Map(), reserve: ZERO, fee: ZERO, donation: ZERO };
  if (round.finder.scheme === 'solo') {
    toMiner(result, round, round.finder.accountId, 'solo', new Fraction(round.subsidySats + round.feesSats));
    return result;
  }
  const all = round.buckets.flat().reduce((sum, { work }) => sum + work, 0n);
  if (all === 0n) {
    pay(result, round, round.finder.accountId, round.finder.scheme, ONE);
    return result;
  }
  let counted = all;
  if (counted > round.windowHashes) counted = round.windowHashes;
  let before = 0n;
  for (const bucket of round.buckets) {
    const here = bucket.reduce((sum, { work }) => sum + work, 0n);
    const room = round.windowHashes - before;
    const inside = here <= room ? here : room > 0n ? room : 0n;
    for (const { accountId, scheme, work } of bucket) {
      if (work === 0n || inside === 0n) continue;
      pay(result, round, accountId, scheme, new Fraction(work * inside, here * counted));
    }
    before += here;
  }
  return result;
}

/** One part of the coinbase, by the scheme of the work that holds it. */
function pay(result: ExactSplit, round: Round, accountId: number, scheme: Scheme, part: Fraction): void {
  const subsidy = part.times(new Fraction(round.subsidySats));
  const fees = part.times(new Fraction(round.feesSats));
  if (scheme === 'pplns') toMiner(result, round, accountId, scheme, subsidy.plus(fees));
  if (scheme === 'ppsplus') {
    result.reserve = result.reserve.plus(subsidy);
    toMiner(result, round, accountId, scheme, fees);
  }
  if (scheme === 'pps' || scheme === 'fpps') result.reserve = result.reserve.plus(subsidy).plus(fees);
}

function toMiner(result: ExactSplit, round: Round, accountId: number, scheme: Scheme, gross: Fraction): void {
  const cut = exactTerms(gross, round.termsOf(accountId, scheme));
  result.fee = result.fee.plus(cut.fee);
  result.donation = result.donation.plus(cut.donation);
  result.miners.set(accountId, (result.miners.get(accountId) ?? ZERO).plus(cut.miner));
}

export function exactTerms(
  gross: Fraction,
  { feePpm, donationPpm }: Terms,
): { miner: Fraction; fee: Fraction; donation: Fraction } {
  const fee = gross.times(ppm(feePpm));
  const donation = gross.minus(fee).times(ppm(donationPpm));
  return { fee, donation, miner: gross.minus(fee).minus(donation) };
}
