// What comes off an account's earnings: the pool's fee first, then the account's donation off the rest.

export interface Terms {
  /** Pool fee, parts per million of what the work earns: 0 to 1,000,000. 0 is an exemption. */
  feePpm: number;
  /** Parts per million of what is left after the fee that the account gives away: 0 to 1,000,000. */
  donationPpm: number;
}

/** An amount cut into three exact parts that sum to it; each is a numerator over TERMS_DENOMINATOR. */
export interface TermParts {
  miner: bigint;
  fee: bigint;
  donation: bigint;
}

const PPM = 1_000_000n;

export const TERMS_DENOMINATOR = PPM * PPM;

/** Cuts `amount` by `terms`, without rounding. Throws RangeError on terms that are not whole ppm of 0..1,000,000. */
export function applyTerms(amount: bigint, { feePpm, donationPpm }: Terms): TermParts {
  checkPpm(feePpm, 'pool fee');
  checkPpm(donationPpm, 'donation');
  const fee = amount * BigInt(feePpm) * PPM;
  const net = amount * (PPM - BigInt(feePpm));
  const donation = net * BigInt(donationPpm);
  return { fee, donation, miner: net * PPM - donation };
}

function checkPpm(ppm: number, what: string): void {
  if (!Number.isSafeInteger(ppm) || ppm < 0 || ppm > 1_000_000) {
    throw new RangeError(`the ${what} must be 0 to 1000000 ppm, not ${ppm}`);
  }
}
