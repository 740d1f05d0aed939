// Pure rules of a payout's outputs: an amount split over an account's addresses, what an output weighs, and
// who bears which part of the network fee. Money is floored for each, the rest goes to the first.

/** One address of an account and its part of the revenue; the parts of an account sum to 1,000,000. */
export interface PayoutTarget {
  address: string;
  sharePpm: number;
}

export interface TargetAmount {
  address: string;
  sats: bigint;
}

/**
 * Below this an output costs more to spend than it is worth, and nodes do not relay it: P2PKH at 3 sat/vB, the
 * highest limit of any usual script (Bitcoin Core policy/policy.cpp, GetDustThreshold).
 */
export const DUST_SATS = 546n;

const PPM = 1_000_000n;
/** Value, length byte and the longest script an address can mean: 42 bytes (BIP141), 4 weight units each. */
const OUTPUT_WEIGHT_MAX = (8 + 1 + 42) * 4;

/**
 * `amountSats` over `targets`: floor(amount x share) for each that gets no less than the dust limit; the rest goes to
 * the first of these, or all to the first target when there is none. Sums to the amount. Throws RangeError unless
 * shares are 1 or more and sum to 1,000,000.
 */
export function splitOverTargets(amountSats: bigint, targets: readonly PayoutTarget[]): TargetAmount[] {
  const total = targets.reduce((sum, { sharePpm }) => sum + sharePpm, 0);
  const whole = targets.every(({ sharePpm }) => Number.isSafeInteger(sharePpm) && sharePpm > 0);
  if (!whole || total !== 1_000_000)
    throw new RangeError(`shares of addresses sum to ${total}, not 1000000 ppm`);
  const parts = targets.map(({ address, sharePpm }) => ({
    address,
    sats: (amountSats * BigInt(sharePpm)) / PPM,
  }));
  const paid = parts.filter(({ sats }) => sats >= DUST_SATS);
  const [first, ...others] = (paid.length > 0 ? paid : parts.slice(0, 1)) as [
    TargetAmount,
    ...TargetAmount[],
  ];
  first.sats = amountSats - others.reduce((sum, { sats }) => sum + sats, 0n);
  return [first, ...others];
}

/** Weight units of an output (BIP141). `scriptBytes`: null where the script is not known; the longest is taken. */
export function outputWeight(scriptBytes: number | null): number {
  return scriptBytes === null ? OUTPUT_WEIGHT_MAX : (8 + 1 + scriptBytes) * 4;
}

export interface FeePayer {
  amountSats: bigint;
  /** Weight units of its output. */
  weight: number;
}

/**
 * What each payee bears of a network fee: floor(fee x weight / all weights), the rest from the first ones, one
 * satoshi each. No payee is left with less than the dust limit: what that spares them, the pool bears. Without
 * such payees the parts sum to the fee exactly.
 */
export function splitFee(feeSats: bigint, payers: readonly FeePayer[]): bigint[] {
  const total = payers.reduce((sum, { weight }) => sum + BigInt(weight), 0n);
  if (total === 0n) return [];
  const parts = payers.map(({ weight }) => (feeSats * BigInt(weight)) / total);
  let rest = feeSats - parts.reduce((sum, part) => sum + part, 0n);
  return parts.map((part, index) => {
    const payer = payers[index] as FeePayer;
    const asked = rest > 0n ? part + 1n : part;
    if (rest > 0n) rest--;
    const room = payer.amountSats - DUST_SATS;
    return room <= 0n ? 0n : asked < room ? asked : room;
  });
}
