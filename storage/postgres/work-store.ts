// Books what the journal says into Postgres and answers how much was worked. `applyBatch` is the only
// writer of work: one transaction holds the upserts and the compare-and-set of the cursor, so a batch is
// booked once, whatever dies in between. Called by the shipper thread; reads by the API and metrics.
import { EXPECTED_VALUE_SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import type { JournalBatch, JournalPosition } from '../journal/batch.js';
import { AccountDirectory, type AccountPolicy, type WorkerName } from './account-directory.js';
import { type BatchWork, sumBatch } from './batch-work.js';
import type { Database, Transaction } from './connection.js';

/** Name of the cursor that money depends on. */
export const LEDGER_CONSUMER = 'ledger';

export interface WorkCursor {
  /** Sequence number of the next share to book. */
  nextSeq: number;
  position: JournalPosition;
}

export interface VerdictCount {
  /** Code of engine/work/verdict.ts. */
  verdict: number;
  shares: bigint;
  /** Accepted work in hashes; 0 for refused shares. */
  work: bigint;
}

export interface WorkSum {
  shares: bigint;
  /** Hashes. */
  work: bigint;
}

export interface AccountWork extends WorkSum {
  account: string;
  worker: string;
}

/** The journal does not continue where this database stands; booking on would lose or double work. */
export class JournalGapError extends Error {
  override readonly name = 'JournalGapError';
}

export class WorkStore {
  readonly #database: Database;
  readonly #directory: AccountDirectory;

  constructor(database: Database, policy: AccountPolicy) {
    this.#database = database;
    this.#directory = new AccountDirectory(policy);
  }

  /** How far node `nodeId` is booked; null before its first batch. */
  async cursor(nodeId: number): Promise<WorkCursor | null> {
    const [row] = await this.#database<{ nextSeq: bigint; segment: bigint; offset: bigint }[]>`
      select next_seq as "nextSeq", segment, "offset" from shipper_cursor
      where node_id = ${nodeId} and consumer = ${LEDGER_CONSUMER}`;
    if (row === undefined) return null;
    return {
      nextSeq: Number(row.nextSeq),
      position: { segment: Number(row.segment), offset: Number(row.offset) },
    };
  }

  /**
   * Books one batch, or finds that it was booked before. Throws JournalGapError when shares between the
   * cursor and the batch are missing, and on any database error, then with nothing of the batch booked.
   */
  async applyBatch(batch: JournalBatch): Promise<'applied' | 'already'> {
    const work = sumBatch(batch);
    const names = workerNames(batch, work);
    let rows: Awaited<ReturnType<AccountDirectory['resolve']>> = [];
    const identities = [...names.keys()];
    const wanted = [...names.values()];
    const outcome = await this.#database.begin(async (tx) => {
      if (!(await moveCursor(tx, batch))) return 'already' as const;
      rows = await this.#directory.resolve(tx, wanted);
      // The scheme of a share is fixed when it is submitted. Journals from before say none: then the account's.
      const ids = new Map(
        identities.map((identity, index) => {
          const row = rows[index] as (typeof rows)[number];
          return [identity, { ...row, scheme: batch.identities.get(identity)?.scheme ?? row.scheme }];
        }),
      );
      const idsOf = (identity: number) => {
        const found = ids.get(identity);
        if (found === undefined) throw new Error(`identity ${identity} of batch ${batch.token} has no row`);
        return found;
      };
      await upsertSlices(tx, batch.nodeId, work, idsOf);
      await upsertExpected(tx, batch.nodeId, work, idsOf);
      await upsertRejects(tx, batch.nodeId, work, idsOf);
      await upsertTotals(tx, batch.nodeId, work);
      await insertBlocks(tx, batch.nodeId, work, idsOf);
      return 'applied' as const;
    });
    if (outcome === 'applied') this.#directory.remember(wanted, rows);
    return outcome;
  }

  /** All verdicts since the first start, summed over nodes. */
  async totals(): Promise<VerdictCount[]> {
    return await this.#database<VerdictCount[]>`
      select verdict::integer as verdict, sum(shares)::bigint as shares, sum(work) as work
      from share_totals group by verdict order by verdict`;
  }

  /** Accepted shares and work of the whole pool since `since`, to the minute. */
  async poolWork(since: Date): Promise<WorkSum> {
    const [row] = await this.#database<WorkSum[]>`
      select coalesce(sum(shares), 0)::bigint as shares, coalesce(sum(work), 0) as work
      from work_slices where bucket_start >= date_trunc('minute', ${since}::timestamptz)`;
    return row ?? { shares: 0n, work: 0n };
  }

  /** Accepted work by worker since `since`, to the minute, largest first. `limit` rows at most. */
  async workerWork(since: Date, limit: number): Promise<AccountWork[]> {
    return await this.#database<AccountWork[]>`
      select a.name as account, w.name as worker, sum(s.shares)::bigint as shares, sum(s.work) as work
      from work_slices s join accounts a on a.id = s.account_id join workers w on w.id = s.worker_id
      where s.bucket_start >= date_trunc('minute', ${since}::timestamptz)
      group by a.name, w.name order by sum(s.work) desc, a.name, w.name limit ${limit}`;
  }
}

/**
 * True when the cursor stood at the batch and now stands behind it; false when it was behind it already. A
 * batch without shares moves it on in the journal and in rounds.
 */
async function moveCursor(tx: Transaction, batch: JournalBatch): Promise<boolean> {
  const { nodeId, firstSeq, lastSeq, round, next } = batch;
  // A database that never saw this node starts at the oldest batch the journal still has.
  await tx`
    insert into shipper_cursor (node_id, consumer, next_seq, segment, "offset")
    values (${nodeId}, ${LEDGER_CONSUMER}, ${firstSeq}, 0, 0) on conflict do nothing`;
  const moved = await tx`
    update shipper_cursor
    set next_seq = ${lastSeq + 1}, segment = ${next.segment}, "offset" = ${next.offset},
      round = greatest(round, ${round}), updated_at = now()
    where node_id = ${nodeId} and consumer = ${LEDGER_CONSUMER} and next_seq = ${firstSeq}
      and (next_seq, segment, "offset") < (${lastSeq + 1}, ${next.segment}, ${next.offset})`;
  if (moved.count === 1) return true;
  const [row] = await tx<{ nextSeq: bigint }[]>`
    select next_seq as "nextSeq" from shipper_cursor
    where node_id = ${nodeId} and consumer = ${LEDGER_CONSUMER}`;
  const nextSeq = Number(row?.nextSeq ?? -1);
  if (nextSeq > lastSeq) return false;
  throw new JournalGapError(
    `Postgres has booked the shares of node ${nodeId} up to ${nextSeq - 1}, the journal goes on with ${firstSeq} to ${lastSeq}: ` +
      'journal and database do not belong together. Restore the missing journal segments, or start with empty stores',
  );
}

/** Identity -> account and worker, for those that have slices, rejects or blocks. '' is no account. */
function workerNames(batch: JournalBatch, work: BatchWork): Map<number, WorkerName> {
  const names = new Map<number, WorkerName>();
  const add = (identity: number) => {
    const found = batch.identities.get(identity);
    if (found !== undefined) names.set(identity, { account: found.account, worker: found.worker });
  };
  for (const { identity } of work.slices) add(identity);
  for (const { identity } of work.blocks) add(identity);
  // A refused submit may come from someone who never authorized: counted in the totals, booked to nobody.
  work.rejects = work.rejects.filter(({ identity }) => batch.identities.get(identity)?.account !== '');
  for (const { identity } of work.rejects) add(identity);
  return names;
}

type IdsOf = (identity: number) => { accountId: number; workerId: number; scheme: Scheme };

async function upsertSlices(tx: Transaction, nodeId: number, { slices }: BatchWork, idsOf: IdsOf) {
  if (slices.length === 0) return;
  const ids = slices.map(({ identity }) => idsOf(identity));
  // Several sessions may belong to one worker, several heights to one minute: summed here, a row may not be upserted twice at once.
  await tx`
    insert into work_slices as s (node_id, bucket_start, round, account_id, worker_id, scheme,
                                  shares, work, first_seq, last_seq)
    select ${nodeId}, to_timestamp(bucket), round, account_id, worker_id, scheme,
           sum(shares), sum(work), min(first_seq), max(last_seq)
    from unnest(
      ${slices.map((s) => s.bucketStart)}::bigint[], ${slices.map((s) => s.round)}::bigint[],
      ${ids.map((i) => i.accountId)}::integer[], ${ids.map((i) => i.workerId)}::integer[],
      ${ids.map((i) => i.scheme as string)}::text[], ${slices.map((s) => s.shares)}::bigint[],
      ${slices.map((s) => s.work.toString())}::numeric[], ${slices.map((s) => s.firstSeq)}::bigint[],
      ${slices.map((s) => s.lastSeq)}::bigint[]
    ) as fresh (bucket, round, account_id, worker_id, scheme, shares, work, first_seq, last_seq)
    group by bucket, round, account_id, worker_id, scheme
    on conflict (node_id, bucket_start, round, account_id, worker_id, scheme) do update set
      shares = s.shares + excluded.shares, work = s.work + excluded.work,
      first_seq = least(s.first_seq, excluded.first_seq), last_seq = greatest(s.last_seq, excluded.last_seq)`;
}

/** Work that the pool owes for whether it finds blocks or not. Paid by expected-pay-store.ts. */
async function upsertExpected(tx: Transaction, nodeId: number, work: BatchWork, idsOf: IdsOf) {
  const slices = work.slices.filter(({ identity }) => EXPECTED_VALUE_SCHEMES.has(idsOf(identity).scheme));
  if (slices.length === 0) return;
  const ids = slices.map(({ identity }) => idsOf(identity));
  await tx`
    insert into expected_work as e (node_id, account_id, scheme, height, bits,
                                    shares, work, first_seq, last_seq)
    select ${nodeId}, account_id, scheme, height, bits,
           sum(shares), sum(work), min(first_seq), max(last_seq)
    from unnest(
      ${ids.map((i) => i.accountId)}::integer[], ${ids.map((i) => i.scheme as string)}::text[],
      ${slices.map((s) => s.height)}::integer[], ${slices.map((s) => s.bits)}::bigint[],
      ${slices.map((s) => s.shares)}::bigint[], ${slices.map((s) => s.work.toString())}::numeric[],
      ${slices.map((s) => s.firstSeq)}::bigint[], ${slices.map((s) => s.lastSeq)}::bigint[]
    ) as fresh (account_id, scheme, height, bits, shares, work, first_seq, last_seq)
    group by account_id, scheme, height, bits
    on conflict (node_id, account_id, scheme, height, bits) do update set
      shares = e.shares + excluded.shares, work = e.work + excluded.work,
      first_seq = least(e.first_seq, excluded.first_seq), last_seq = greatest(e.last_seq, excluded.last_seq)`;
}

async function upsertRejects(tx: Transaction, nodeId: number, { rejects }: BatchWork, idsOf: IdsOf) {
  if (rejects.length === 0) return;
  const ids = rejects.map(({ identity }) => idsOf(identity));
  await tx`
    insert into reject_slices as s (node_id, bucket_start, account_id, worker_id, verdict, shares)
    select ${nodeId}, to_timestamp(bucket), account_id, worker_id, verdict, sum(shares)
    from unnest(
      ${rejects.map((r) => r.bucketStart)}::bigint[], ${ids.map((i) => i.accountId)}::integer[],
      ${ids.map((i) => i.workerId)}::integer[], ${rejects.map((r) => r.verdict)}::smallint[],
      ${rejects.map((r) => r.shares)}::bigint[]
    ) as fresh (bucket, account_id, worker_id, verdict, shares)
    group by bucket, account_id, worker_id, verdict
    on conflict (node_id, bucket_start, account_id, worker_id, verdict)
    do update set shares = s.shares + excluded.shares`;
}

async function upsertTotals(tx: Transaction, nodeId: number, { totals }: BatchWork) {
  await tx`
    insert into share_totals as t (node_id, verdict, shares, work)
    select ${nodeId}, verdict, shares, work
    from unnest(
      ${totals.map((t) => t.verdict)}::smallint[], ${totals.map((t) => t.shares)}::bigint[],
      ${totals.map((t) => t.work.toString())}::numeric[]
    ) as fresh (verdict, shares, work)
    on conflict (node_id, verdict) do update set
      shares = t.shares + excluded.shares, work = t.work + excluded.work`;
}

/**
 * In the order of hashes, so that lanes that book the same block at once wait for one another in one order.
 * A block found while Postgres was away is booked from the journal: it can be late, not lost.
 */
async function insertBlocks(tx: Transaction, nodeId: number, { blocks }: BatchWork, idsOf: IdsOf) {
  for (const block of blocks.toSorted((a, b) => (a.hash < b.hash ? -1 : 1))) {
    const ids = idsOf(block.identity);
    await tx`
      insert into blocks (hash, height, node_id, seq, round, finder_account_id, finder_worker_id,
                          finder_scheme, found_at, network_target, network_difficulty,
                          coinbase_plan)
      values (${block.hash}, ${block.height}, ${nodeId}, ${block.seq}, ${block.round}, ${ids.accountId},
              ${ids.workerId}, ${ids.scheme}, ${new Date(block.foundAtMs)}, ${block.networkTarget.toString()}::numeric,
              ${block.networkDifficulty}, ${block.plan})
      on conflict (hash) do nothing`;
  }
}
