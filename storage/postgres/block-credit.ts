// What a block is credited by for the first time: the window that ends with its share, or, where its coinbase pays miners
// straight, the plan that it was built by. Called by block-store.ts, within its transaction.
import { EMPTY_WINDOW, fillWindow, windowWork } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { type BlockSplit, splitBlock } from '../../engine/accounting/split-block.js';
import { readTerms } from './account-terms.js';
import type { CreditTerms } from './block-store.js';
import { CreditRefused, creditByPlan, insertPayments } from './coinbase-plans.js';
import type { Transaction } from './connection.js';
import { readWindow } from './window-work.js';

export interface FoundBlock {
  /** Display order hex. */
  hash: string;
  round: bigint;
  finderId: number;
  finderScheme: Scheme | null;
  networkTarget: bigint;
  /** Plan of its coinbase; null: it pays the pool alone. */
  plan: string | null;
}

export interface BlockCredit {
  /** Of what the pool's output holds. */
  split: BlockSplit;
  schemes: Set<Scheme>;
  inputs: Record<string, unknown>;
  /** To be added to the rule. */
  note: string;
}

/** Throws CreditRefused when the coinbase was to pay miners and does not pay them as planned. */
export async function creditOf(tx: Transaction, block: FoundBlock, terms: CreditTerms): Promise<BlockCredit> {
  return block.plan === null
    ? await creditByWindow(tx, block, terms)
    : await creditPlanned(tx, block, block.plan, terms);
}

/** All of the coinbase is the pool's: split over the window that ends with the block's own share. */
async function creditByWindow(tx: Transaction, block: FoundBlock, terms: CreditTerms): Promise<BlockCredit> {
  const { subsidySats, feesSats, windowPermille } = terms;
  const scheme = block.finderScheme ?? terms.defaultScheme;
  const wanted = windowWork(block.networkTarget, windowPermille);
  const window =
    scheme === 'solo' ? EMPTY_WINDOW : fillWindow(await readWindow(tx, block.round, wanted), wanted);
  const accounts = new Set([block.finderId, ...window.parts.map(({ accountId }) => accountId)]);
  const termsOf = await readTerms(tx, accounts, terms.feePpm);
  const finder = { accountId: block.finderId, scheme };
  const parts = window.parts.map(({ accountId, scheme, weight }) => {
    return { account: accountId, scheme, weight, ...termsOf(accountId, scheme) };
  });
  return {
    split: splitBlock({ finder, subsidySats, feesSats, window, termsOf }),
    schemes: new Set(parts.length === 0 ? [scheme] : parts.map((part) => part.scheme)),
    inputs: {
      finder: { account: block.finderId, scheme, ...termsOf(block.finderId, scheme) },
      networkTarget: block.networkTarget,
      windowPermille,
      windowWork: wanted,
      workInWindow: window.work,
      totalWeight: window.totalWeight,
      parts,
    },
    note: '',
  };
}

/** The coinbase pays miners itself: split as it was built, and what it paid to them is kept. */
async function creditPlanned(
  tx: Transaction,
  block: FoundBlock,
  plan: string,
  { subsidySats, feesSats, coinbase }: CreditTerms,
): Promise<BlockCredit> {
  const { hash } = block;
  const scheme = block.finderScheme ?? 'pplns';
  if (coinbase === undefined)
    throw new Error(`block ${hash} pays miners itself: its coinbase must be asked for`);
  if (scheme === 'solo') {
    throw new CreditRefused(
      `block ${hash} was found by SOLO work on a coinbase that pays others (plan ${plan}): please report this`,
    );
  }
  const planned = await creditByPlan(tx, hash, plan, { subsidySats, feesSats, coinbase });
  await insertPayments(tx, hash, planned.payments);
  return {
    split: planned.rest,
    schemes: planned.schemes,
    inputs: { finder: { account: block.finderId, scheme }, ...planned.inputs },
    note: '. The window is that of the coinbase plan; what the coinbase pays straight is not in these lines',
  };
}
