// The ledger lines of a Lightning payment that arrived. Pure. Coins in our channels are hot funds of the pool
// and are in the kind `wallet`: opening a channel moves coins inside it and costs `network_fees`.
//
//   pool pays the fee    miner_in_flight -a   wallet +(s + f)   network_fees -f          (a = s)
//   miner pays the fee   miner_in_flight -a   wallet +(s + f)   miner_confirmed +(a - s - c)   network_fees +(c - f)
//
// a: taken from the balance, s: what the invoice asked for, f: the fee booked, c: the fee charged, which is
// the fee rounded up, but never more than was kept back for it; should the node break its limit, the pool bears
// the rest.
import type { LedgerLine } from '../../engine/accounting/ledger-entries.js';

export interface LightningTerms {
  accountId: number;
  amountSats: bigint;
  sentSats: bigint;
  feePayer: 'pool' | 'miner';
}

export interface LightningFee {
  /** Satoshis that leave the wallet with this payment. */
  bookedSats: bigint;
  /** Satoshis of the fee that the miner bears; 0 when the pool pays. */
  chargedSats: bigint;
  /** Millisatoshi, 0 to 999, for the next payment. */
  carryMsat: bigint;
}

/**
 * Books a fee of millisatoshi in satoshis: `carryMsat` (0 to 999) is what earlier fees left over, so that
 * the sum of all that is booked never differs from the sum of all fees by a whole satoshi.
 */
export function splitLightningFee(
  feeMsat: bigint,
  carryMsat: bigint,
  { amountSats, sentSats, feePayer }: LightningTerms,
): LightningFee {
  const total = feeMsat + carryMsat;
  const roundedUp = (feeMsat + 999n) / 1000n;
  const keptBack = feePayer === 'miner' ? amountSats - sentSats : 0n;
  return {
    bookedSats: total / 1000n,
    chargedSats: roundedUp < keptBack ? roundedUp : keptBack,
    carryMsat: total % 1000n,
  };
}

/** Sums to zero. `fee` is that of `splitLightningFee` for the same terms. */
export function lightningPaidLines(terms: LightningTerms, fee: LightningFee): LedgerLine[] {
  const { accountId, amountSats, sentSats } = terms;
  const back = amountSats - sentSats - fee.chargedSats;
  const lines: LedgerLine[] = [
    { kind: 'miner_in_flight', accountId, amountSats: -amountSats },
    { kind: 'wallet', accountId: null, amountSats: sentSats + fee.bookedSats },
  ];
  if (back > 0n) lines.push({ kind: 'miner_confirmed', accountId, amountSats: back });
  const poolPart = fee.chargedSats - fee.bookedSats;
  if (poolPart !== 0n) lines.push({ kind: 'network_fees', accountId: null, amountSats: poolPart });
  return lines;
}
