// Reads the work that a PPLNS window is filled from (engine/accounting/pplns-window.ts): all schemes but SOLO, all
// nodes, newest first.

import type { WorkBucket, WorkEntry } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import type { Transaction } from './connection.js';

const FIRST_STEP_MINUTES = 60;
const MAX_STEP_MINUTES = 7 * 24 * 60;

/**
 * Work of round `lastRound` and earlier, by (minute, round), newest first, until `wanted` hashes are read.
 * Reads backwards in growing steps: a window of a busy pool costs minutes of rows, not history.
 */
export async function readWindow(tx: Transaction, lastRound: bigint, wanted: bigint): Promise<WorkBucket[]> {
  const [range] = await tx<{ newest: Date | null; oldest: Date | null }[]>`
    select max(bucket_start) as newest, min(bucket_start) as oldest from work_slices
    where scheme <> 'solo' and round <= ${lastRound}`;
  if (!range?.newest || !range.oldest) return [];
  const buckets: WorkBucket[] = [];
  let read = 0n;
  let until = range.newest.getTime() + 60_000;
  for (let minutes = FIRST_STEP_MINUTES; read < wanted && until > range.oldest.getTime(); ) {
    const from = until - minutes * 60_000;
    const rows = await tx<{ bucket: Date; round: bigint; accountId: number; scheme: Scheme; work: bigint }[]>`
      select bucket_start as bucket, round, account_id as "accountId", scheme, sum(work) as work
      from work_slices
      where scheme <> 'solo' and round <= ${lastRound}
        and bucket_start >= ${new Date(from)} and bucket_start < ${new Date(until)}
      group by bucket_start, round, account_id, scheme
      order by bucket_start desc, round desc, account_id, scheme`;
    let current: WorkEntry[] = [];
    let currentKey = '';
    for (const { bucket, round, ...entry } of rows) {
      const key = `${bucket.getTime()} ${round}`;
      if (key !== currentKey) {
        current = [];
        currentKey = key;
        buckets.push(current);
      }
      current.push(entry);
      read += entry.work;
    }
    until = from;
    minutes = Math.min(minutes * 2, MAX_STEP_MINUTES);
  }
  return buckets;
}
