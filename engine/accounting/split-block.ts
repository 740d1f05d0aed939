// Who gets what of one block: schemes, fees, donations and floor rounding. Pure; storage/postgres/block-store.ts
// gives it the window and posts the result.
//
// A block that solo work found is its finder's. Any other one is split over one window of all work that is not
// solo, and each part g of the coinbase goes where the scheme of its work says:
//
//   pplns       subsidy + fees -> the miner, less fee and donation
//   pps, fpps   subsidy + fees -> the reserve, which has paid for the shares (expected-pay.ts)
//   ppsplus     subsidy -> the reserve, fees -> the miner, less fee and donation
//
// Each line is the floor of its exact rational; what floors leave is the remainder. So fee + donation + reserve +
// credits + remainder = coinbase, exactly. Reserve-bound parts bear no fee: it came off when the share was paid.
import type { WindowPart, WindowShares } from './pplns-window.js';
import type { Scheme } from './schemes.js';
import { applyTerms, TERMS_DENOMINATOR, type Terms } from './terms.js';

export interface SplitInput {
  /** Account that found the block, and the scheme of the share that did. */
  finder: { accountId: number; scheme: Scheme };
  /** New coins and transaction fees of the block: together what its coinbase pays, at least 1. */
  subsidySats: bigint;
  feesSats: bigint;
  /** The PPLNS window that ends with the block's own share. Not read when the finder's scheme is SOLO. */
  window: WindowShares;
  /** Fee and donation of an account under a scheme. Asked only where a miner is paid by the block. */
  termsOf: (accountId: number, scheme: Scheme) => Terms;
}

export interface Credit {
  accountId: number;
  /** Always > 0. */
  amountSats: bigint;
}

export interface BlockSplit {
  /** One an account, by account id, ascending. */
  credits: Credit[];
  reserveSats: bigint;
  feeSats: bigint;
  donationSats: bigint;
  /** What floor rounding left: at most the number of credited accounts and 2. */
  remainderSats: bigint;
}

/**
 * Splits a coinbase. A block found by solo work, or with an empty window, is one whole part of its finder under the
 * finder's scheme: with an empty window an expected-value finder's block goes to the reserve like its work would.
 * Throws RangeError on negative amounts, a coinbase below 1 sat, and terms outside 0..1,000,000 ppm.
 */
export function splitBlock(input: SplitInput): BlockSplit {
  const { finder, subsidySats, feesSats, window, termsOf } = input;
  const coinbaseSats = subsidySats + feesSats;
  if (subsidySats < 0n || feesSats < 0n || coinbaseSats === 0n) {
    throw new RangeError(`a subsidy of ${subsidySats} and fees of ${feesSats} satoshis cannot be split`);
  }
  const whole = finder.scheme === 'solo' || window.totalWeight === 0n;
  const parts: readonly WindowPart[] = whole ? [{ ...finder, weight: 1n }] : window.parts;
  const totalWeight = whole ? 1n : window.totalWeight;

  // Numerators over totalWeight x TERMS_DENOMINATOR: rounding happens once, for each line as a whole.
  const miners = new Map<number, bigint>();
  let reserve = 0n;
  let fee = 0n;
  let donation = 0n;
  for (const { accountId, scheme, weight } of parts) {
    const toMiner = minerSats(scheme, subsidySats, feesSats);
    reserve += (coinbaseSats - toMiner) * weight * TERMS_DENOMINATOR;
    if (toMiner === 0n) continue;
    const cut = applyTerms(toMiner * weight, termsOf(accountId, scheme));
    fee += cut.fee;
    donation += cut.donation;
    miners.set(accountId, (miners.get(accountId) ?? 0n) + cut.miner);
  }

  const denominator = totalWeight * TERMS_DENOMINATOR;
  const credits: Credit[] = [];
  for (const [accountId, numerator] of miners) {
    const amountSats = numerator / denominator;
    if (amountSats > 0n) credits.push({ accountId, amountSats });
  }
  credits.sort((a, b) => a.accountId - b.accountId);
  const split = {
    credits,
    reserveSats: reserve / denominator,
    feeSats: fee / denominator,
    donationSats: donation / denominator,
  };
  const remainderSats = coinbaseSats - paidBy(split);
  if (remainderSats < 0n || remainderSats > BigInt(miners.size) + 2n) {
    throw new Error(`split of ${coinbaseSats} satoshis leaves ${remainderSats}: window and weights disagree`);
  }
  return { ...split, remainderSats };
}

/** What of a coinbase the block itself pays to work of `scheme`, fee and donation still in it. */
function minerSats(scheme: Scheme, subsidySats: bigint, feesSats: bigint): bigint {
  switch (scheme) {
    case 'pplns':
    case 'solo':
      return subsidySats + feesSats;
    case 'ppsplus':
      return feesSats;
    case 'pps':
    case 'fpps':
      return 0n;
  }
}

function paidBy(split: Omit<BlockSplit, 'remainderSats'>): bigint {
  const credited = split.credits.reduce((sum, credit) => sum + credit.amountSats, 0n);
  return credited + split.reserveSats + split.feeSats + split.donationSats;
}
