// The terms that payouts are made on, as the operator sets them, and how an output is handed to a rail.
import type { Payout } from '../../storage/postgres/payout-store.js';
import { FEE_POLICY, type FeePolicy } from './fee-policy.js';
import type { RailOutput } from './rail.js';

export interface PayoutTerms {
  /** Accounts without a threshold of their own are paid from this confirmed balance on. */
  thresholdSats: bigint;
  /** Smallest payment ever made; less is carried forward. */
  minimumSats: bigint;
  /** Outputs in one transaction at most. */
  outputsMax: number;
  /** Weight units of all outputs of one transaction at most; the rest of 400,000 is for inputs. */
  weightMax: number;
  /** Reserved within 24 hours at most; null: no cap. */
  dailyCapSats: bigint | null;
  /** A payout of more than this needs the approval of two people; null: none does. */
  approvalAboveSats: bigint | null;
  fees: FeePolicy;
}

export const PAYOUT_TERMS: Omit<PayoutTerms, 'thresholdSats'> = {
  minimumSats: 546n,
  outputsMax: 500,
  weightMax: 150_000,
  dailyCapSats: null,
  approvalAboveSats: null,
  fees: FEE_POLICY,
};

/**
 * The outputs of a payout's transaction: one for each address, for wallets refuse an address that comes twice.
 * `sentSats`: in the order of `payout.outputs`; default what is stored.
 */
export function railOutputs(payout: Payout, sentSats?: readonly bigint[]): RailOutput[] {
  const byAddress = new Map<string, bigint>();
  for (const [index, output] of payout.outputs.entries()) {
    const address = canonical(output.address);
    const sats = sentSats?.[index] ?? output.sentSats;
    byAddress.set(address, (byAddress.get(address) ?? 0n) + sats);
  }
  return [...byAddress].map(([address, sats]) => ({ address, sats }));
}

/** One spelling for each address: bech32 may be written in upper case (BIP173). */
export function canonical(address: string): string {
  return /^(bc|tb|bcrt)1/i.test(address) ? address.toLowerCase() : address;
}
