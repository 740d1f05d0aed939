// The PPLNS window: the last N x network difficulty of work before and including the block's own share,
// counted in hashes. Work that lies on the far edge of the window is pro-rated exactly.
// Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward Systems" (arXiv 1112.4980), section 5: a window in
// units of difficulty pays each unit of work the same, whenever its miner came or left.
import { workFromTarget } from '../bitcoin/target.js';

/** Accepted work of one account, in hashes. */
export interface WorkEntry {
  accountId: number;
  work: bigint;
}

/** Work that is not ordered among itself: the accepted work of one minute of one round. */
export type WorkBucket = readonly WorkEntry[];

/** What part of the window each account holds, as exact fractions with one denominator. */
export interface WindowShares {
  /** Account -> numerator. Only accounts with work in the window. */
  readonly weights: ReadonlyMap<number, bigint>;
  /** Sum of all weights. 0 when there was no work. */
  readonly totalWeight: bigint;
  /** Work found, at most the window, in hashes. */
  readonly work: bigint;
}

/**
 * Length of the window in hashes: N x floor(2^256 / (target + 1)).
 * `windowPermille`: N in thousandths (2000 is N = 2). `networkTarget`: the block's own target.
 */
export function windowWork(networkTarget: bigint, windowPermille: number): bigint {
  if (!Number.isSafeInteger(windowPermille) || windowPermille <= 0) {
    throw new RangeError(`the PPLNS window must be a positive number of thousandths, not ${windowPermille}`);
  }
  return (BigInt(windowPermille) * workFromTarget(networkTarget)) / 1000n;
}

/**
 * Fills a window of `window` hashes from `buckets`, newest first. The bucket that crosses the edge counts
 * in part, each of its entries by the same fraction, so the order inside a bucket and the number of
 * entries (workers, sessions) an account's work is cut into change nothing.
 * A pool that has not yet worked a whole window pays by what there is.
 */
export function fillWindow(buckets: Iterable<WorkBucket>, window: bigint): WindowShares {
  if (window <= 0n) throw new RangeError('the PPLNS window must be positive');
  const whole = new Map<number, bigint>();
  let work = 0n;
  for (const bucket of buckets) {
    const bucketWork = sumOf(bucket);
    if (bucketWork === 0n) continue;
    const room = window - work;
    if (bucketWork <= room) {
      for (const { accountId, work } of bucket) add(whole, accountId, work);
      work += bucketWork;
      if (work === window) break;
      continue;
    }
    // Scale everything by the work of the bucket that crosses the edge: its entries count room/bucketWork.
    const weights = new Map<number, bigint>();
    for (const [accountId, work] of whole) weights.set(accountId, work * bucketWork);
    for (const { accountId, work } of bucket) add(weights, accountId, work * room);
    return { weights, totalWeight: window * bucketWork, work: window };
  }
  return { weights: whole, totalWeight: work, work };
}

function sumOf(bucket: WorkBucket): bigint {
  let sum = 0n;
  for (const { accountId, work } of bucket) {
    if (work < 0n) throw new RangeError(`work of account ${accountId} is negative`);
    sum += work;
  }
  return sum;
}

function add(to: Map<number, bigint>, accountId: number, amount: bigint): void {
  if (amount > 0n) to.set(accountId, (to.get(accountId) ?? 0n) + amount);
}
