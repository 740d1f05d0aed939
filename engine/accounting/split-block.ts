// Who gets what of one block: scheme, fee and floor rounding. Pure; storage/postgres/block-store.ts gives
// it the window and posts the result. Rule of the ledger: fee + credits + remainder = coinbase, exactly.
import type { WindowShares } from './pplns-window.js';

export type Scheme = 'pplns' | 'solo';

export interface SplitInput {
  /** Scheme of the account that found the block. */
  scheme: Scheme;
  /** All that the coinbase pays: subsidy and fees. */
  coinbaseSats: bigint;
  /** Pool fee in parts per million of the coinbase; rounded down. */
  feePpm: number;
  /** Account that found the block. */
  finderId: number;
  /** The PPLNS window that ends with the block's own share. Not read for SOLO. */
  window: WindowShares;
}

export interface Credit {
  accountId: number;
  /** Always > 0. */
  amountSats: bigint;
}

export interface BlockSplit {
  /** By account id, ascending. */
  credits: Credit[];
  feeSats: bigint;
  /** What floor rounding left: fewer satoshis than there are credited accounts. */
  remainderSats: bigint;
}

const PPM = 1_000_000n;

/**
 * Splits a coinbase. PPLNS: after the fee, each account gets floor(net x weight / totalWeight). SOLO, or
 * a PPLNS block with an empty window: all of the net goes to the finder.
 * Throws RangeError on a fee outside 0..1,000,000 ppm or a coinbase below 1 sat.
 */
export function splitBlock(input: SplitInput): BlockSplit {
  const { coinbaseSats, feePpm, window } = input;
  if (!Number.isSafeInteger(feePpm) || feePpm < 0 || feePpm > 1_000_000) {
    throw new RangeError(`the pool fee must be 0 to 1000000 ppm, not ${feePpm}`);
  }
  if (coinbaseSats <= 0n) throw new RangeError(`a coinbase of ${coinbaseSats} satoshis cannot be split`);

  const feeSats = (coinbaseSats * BigInt(feePpm)) / PPM;
  const net = coinbaseSats - feeSats;
  const credits: Credit[] = [];
  if (input.scheme === 'solo' || window.totalWeight === 0n) {
    if (net > 0n) credits.push({ accountId: input.finderId, amountSats: net });
  } else {
    for (const [accountId, weight] of window.weights) {
      const amountSats = (net * weight) / window.totalWeight;
      if (amountSats > 0n) credits.push({ accountId, amountSats });
    }
    credits.sort((a, b) => a.accountId - b.accountId);
  }
  const credited = credits.reduce((sum, credit) => sum + credit.amountSats, 0n);
  const remainderSats = net - credited;
  if (remainderSats < 0n || remainderSats > BigInt(window.weights.size)) {
    throw new Error(`split of ${coinbaseSats} satoshis leaves ${remainderSats}: window and weights disagree`);
  }
  return { credits, feeSats, remainderSats };
}
