// Non-custodial coinbase: who of a split is paid by the block itself, on an output of their own, as far as mining
// firmware can take the longer coinbase (firmware profiles, coinbaseBytesMax). Pure; scripts come from the caller.
//
// A coinbase is fixed before its block is found, so its block is split by the window as it was then: a plan holds
// that window, the terms of everybody in it, and who is paid straight. How much follows from the plan and from what
// a coinbase pays, and nothing else: the job and the credit of its block compute the same.
import { encodeVarint, type TransactionOutput } from '../bitcoin/transaction.js';
import type { WindowPart } from './pplns-window.js';
import { type BlockSplit, splitBlock } from './split-block.js';
import type { Terms } from './terms.js';

/** Where the block pays an account, and from how much on. */
export interface DirectTarget {
  accountId: number;
  script: Uint8Array;
  /** Less than this stays with the pool. */
  minimumSats: bigint;
}

export interface CoinbasePlan {
  /** The PPLNS window, each part with the terms of its account under its scheme. Not empty, nothing of SOLO. */
  parts: readonly (WindowPart & Terms)[];
  totalWeight: bigint;
  poolScript: Uint8Array;
  direct: readonly DirectTarget[];
}

export interface DirectChoice {
  split: BlockSplit;
  /** Bytes without witness, extranonces included, of the coinbase that pays all to the pool. */
  baseBytes: number;
  /** Outputs of that coinbase: the pool's, and the witness commitment where there is one. */
  baseOutputs: number;
  /** Longest coinbase that the firmware takes. */
  coinbaseBytesMax: number;
  /** Null when the account has no address that may be paid to. */
  targetOf: (accountId: number) => Omit<DirectTarget, 'accountId'> | null;
}

export interface DirectPayment {
  accountId: number;
  script: Uint8Array;
  amountSats: bigint;
}

export interface CoinbaseOutputs {
  /** Largest first; equal ones by account id. */
  direct: DirectPayment[];
  /** The pool's output: all the rest. Always above 0. */
  poolSats: bigint;
  /** The split without what is paid directly: what the pool holds for others, `poolSats` in all. */
  rest: BlockSplit;
}

/** Value of an output on the wire. */
const VALUE_BYTES = 8;

/**
 * Chooses the accounts that the coinbase pays straight: largest first, as many as fit. One whose script is too long
 * for the room left is passed over for smaller ones. Throws RangeError when not even the coinbase without direct
 * payments fits.
 */
export function chooseDirect(choice: DirectChoice): DirectTarget[] {
  const { split, baseBytes, baseOutputs, coinbaseBytesMax, targetOf } = choice;
  if (baseBytes > coinbaseBytesMax) {
    throw new RangeError(
      `the coinbase has ${baseBytes} bytes before any miner is paid, COINBASE_MAX_SIZE allows ${coinbaseBytesMax}: shorten COINBASE_TAG`,
    );
  }
  const direct: DirectTarget[] = [];
  let outputBytes = 0;
  for (const { accountId, amountSats } of split.credits.toSorted(largestFirst)) {
    const target = targetOf(accountId);
    if (target === null || amountSats < target.minimumSats) continue;
    const { length } = target.script;
    const bytes = outputBytes + VALUE_BYTES + encodeVarint(length).length + length;
    const countBytes =
      encodeVarint(baseOutputs + direct.length + 1).length - encodeVarint(baseOutputs).length;
    if (baseBytes + bytes + countBytes > coinbaseBytesMax) continue;
    outputBytes = bytes;
    direct.push({ accountId, ...target });
  }
  return direct;
}

/**
 * What a coinbase of `subsidySats + feesSats` pays by `plan`. `direct` and `poolSats` sum to it. The smallest direct
 * payment stays with the pool when else nothing would: each credit has something to book.
 */
export function coinbaseOutputs(plan: CoinbasePlan, subsidySats: bigint, feesSats: bigint): CoinbaseOutputs {
  const [first] = plan.parts;
  if (first === undefined) throw new RangeError('a coinbase plan without work pays nobody');
  const terms = new Map(plan.parts.map((part) => [`${part.accountId} ${part.scheme}`, part]));
  const split = splitBlock({
    // Not read: the window has work. Blocks of SOLO shares have no plan.
    finder: first,
    subsidySats,
    feesSats,
    window: { parts: plan.parts, totalWeight: plan.totalWeight, work: 0n },
    termsOf: (accountId, scheme) => terms.get(`${accountId} ${scheme}`) as Terms,
  });
  const targets = new Map(plan.direct.map((target) => [target.accountId, target]));
  const direct: DirectPayment[] = [];
  let poolSats = subsidySats + feesSats;
  for (const { accountId, amountSats } of split.credits.toSorted(largestFirst)) {
    const target = targets.get(accountId);
    if (target === undefined || amountSats < target.minimumSats || amountSats === poolSats) continue;
    direct.push({ accountId, script: target.script, amountSats });
    poolSats -= amountSats;
  }
  const paid = new Set(direct.map(({ accountId }) => accountId));
  const rest = { ...split, credits: split.credits.filter(({ accountId }) => !paid.has(accountId)) };
  return { direct, poolSats, rest };
}

/**
 * What a job needs of `plan`: the same direct payments and the same output of the pool come of it, at the cost of those
 * who are paid (10,000 accounts in the window: 24 ms without). `rest` is of no use then.
 */
export function forJobs(plan: CoinbasePlan): CoinbasePlan {
  const paid = new Set(plan.direct.map(({ accountId }) => accountId));
  const parts = plan.parts.filter(({ accountId }) => paid.has(accountId));
  const others = parts.reduce((left, { weight }) => left - weight, plan.totalWeight);
  // Everybody else as one: work that the reserve has paid for leaves its part with the pool.
  const terms = { feePpm: 0, donationPpm: 0 };
  if (others > 0n) parts.push({ accountId: 0, scheme: 'fpps', weight: others, ...terms });
  return { ...plan, parts };
}

/** The outputs of the transaction, in order, without the witness commitment. */
export function transactionOutputs(
  { poolScript }: Pick<CoinbasePlan, 'poolScript'>,
  { direct, poolSats }: CoinbaseOutputs,
): TransactionOutput[] {
  return [
    { script: poolScript, sats: poolSats },
    ...direct.map(({ script, amountSats }) => ({ script, sats: amountSats })),
  ];
}

/**
 * What of `coinbaseSats` is new coins and what is fees. A coinbase may pay less than it could: never more subsidy than
 * it pays.
 */
export function subsidyAndFees(
  coinbaseSats: bigint,
  allowedSats: bigint,
): { subsidySats: bigint; feesSats: bigint } {
  const feesSats = coinbaseSats > allowedSats ? coinbaseSats - allowedSats : 0n;
  return { subsidySats: coinbaseSats - feesSats, feesSats };
}

function largestFirst(
  a: { accountId: number; amountSats: bigint },
  b: { accountId: number; amountSats: bigint },
): number {
  if (a.amountSats === b.amountSats) return a.accountId - b.accountId;
  return a.amountSats > b.amountSats ? -1 : 1;
}
