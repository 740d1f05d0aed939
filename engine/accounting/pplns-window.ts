// The PPLNS window: the last N x network difficulty of work before and including the block's own share,
// counted in hashes. Work that lies on the far edge of the window is pro-rated exactly. One window holds the
// work of all schemes but SOLO; what its parts are paid by is the split's (split-block.ts).
// Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward Systems" (arXiv 1112.4980), section 5.3: a window in
// units of difficulty pays each unit of work the same, whenever its miner came or left.
import { workFromTarget } from '../bitcoin/target.js';
import { SCHEMES, type Scheme } from './schemes.js';

/** Accepted work of one account under one scheme, in hashes. */
export interface WorkEntry {
  accountId: number;
  /** Not `solo`: solo work is in no window. */
  scheme: Scheme;
  work: bigint;
}

/** Work that is not ordered among itself: the accepted work of one minute of one round. */
export type WorkBucket = readonly WorkEntry[];

/** What one account holds of the window by the work of one scheme. */
export interface WindowPart {
  accountId: number;
  scheme: Scheme;
  /** Numerator over `totalWeight`, above 0. */
  weight: bigint;
}

/** What part of the window each account holds under each scheme, as exact fractions with one denominator. */
export interface WindowShares {
  /** One for each account and scheme with work in the window; by account, then in the order of SCHEMES. */
  readonly parts: readonly WindowPart[];
  /** Sum of all weights. 0 when there was no work. */
  readonly totalWeight: bigint;
  /** Work found, at most the window, in hashes. */
  readonly work: bigint;
}

/** The window of a block that is split without one. */
export const EMPTY_WINDOW: WindowShares = { parts: [], totalWeight: 0n, work: 0n };

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
 * Throws RangeError on negative work, and on solo work: who reads it would also count its length.
 */
export function fillWindow(buckets: Iterable<WorkBucket>, window: bigint): WindowShares {
  if (window <= 0n) throw new RangeError('the PPLNS window must be positive');
  const weights = new Weights();
  let work = 0n;
  for (const bucket of buckets) {
    const bucketWork = sumOf(bucket);
    if (bucketWork === 0n) continue;
    const room = window - work;
    if (bucketWork <= room) {
      for (const entry of bucket) weights.add(entry, 1n);
      work += bucketWork;
      if (work === window) break;
      continue;
    }
    // All is scaled by the work of the bucket that crosses the edge: its own entries count room / bucketWork.
    weights.scale(bucketWork);
    for (const entry of bucket) weights.add(entry, room);
    return { parts: weights.parts(), totalWeight: window * bucketWork, work: window };
  }
  return { parts: weights.parts(), totalWeight: work, work };
}

function sumOf(bucket: WorkBucket): bigint {
  let sum = 0n;
  for (const { accountId, scheme, work } of bucket) {
    if (work < 0n) throw new RangeError(`work of account ${accountId} is negative`);
    if (scheme === 'solo') throw new RangeError(`solo work of account ${accountId} was read into a window`);
    sum += work;
  }
  return sum;
}

class Weights {
  readonly #byScheme = new Map<Scheme, Map<number, bigint>>();

  add({ accountId, scheme, work }: WorkEntry, factor: bigint): void {
    if (work === 0n) return;
    let byAccount = this.#byScheme.get(scheme);
    if (byAccount === undefined) {
      byAccount = new Map();
      this.#byScheme.set(scheme, byAccount);
    }
    byAccount.set(accountId, (byAccount.get(accountId) ?? 0n) + work * factor);
  }

  scale(factor: bigint): void {
    for (const byAccount of this.#byScheme.values()) {
      for (const [accountId, weight] of byAccount) byAccount.set(accountId, weight * factor);
    }
  }

  parts(): WindowPart[] {
    const parts = SCHEMES.flatMap((scheme) =>
      [...(this.#byScheme.get(scheme) ?? [])].map(([accountId, weight]) => ({ accountId, scheme, weight })),
    );
    return parts.sort((a, b) => a.accountId - b.accountId);
  }
}
