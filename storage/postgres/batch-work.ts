// Sums one journal batch into the rows of Postgres: work slices, refused shares, totals by verdict, block
// candidates. Pure; reads the binary records in place. Called by work-store.ts once a batch.
import { targetFromBits, targetFromBytesLE, workFromTarget } from '../../engine/bitcoin/target.js';
import type { JournalBatch } from '../journal/batch.js';
import { SHARE, SHARE_FLAG_BLOCK, SHARE_RECORD_BYTES } from '../journal/record.js';

/** Accepted shares of one identity in one minute of one round, on one height. */
export interface WorkSlice {
  identity: number;
  /** Unix seconds, a whole minute. */
  bucketStart: number;
  round: number;
  /** Height and compact target of the block that was worked on. */
  height: number;
  bits: number;
  shares: number;
  /** Hashes, exact. */
  work: bigint;
  firstSeq: number;
  lastSeq: number;
}

export interface RejectSlice {
  identity: number;
  bucketStart: number;
  verdict: number;
  shares: number;
}

export interface VerdictTotal {
  verdict: number;
  shares: number;
  work: bigint;
}

export interface FoundBlock {
  /** Display order hex. */
  hash: string;
  height: number;
  seq: number;
  round: number;
  identity: number;
  /** Unix milliseconds. */
  foundAtMs: number;
  networkTarget: bigint;
  networkDifficulty: number;
  /** Plan of its coinbase; null: it pays the pool alone. */
  plan: string | null;
}

export interface BatchWork {
  slices: WorkSlice[];
  rejects: RejectSlice[];
  totals: VerdictTotal[];
  blocks: FoundBlock[];
}

const ACCEPTED = 1;
const MINUTE_US = 60_000_000;
/** A verdict is a byte in the record. */
const VERDICTS_MAX = 256;

/**
 * Sums a batch. Throws when a record contradicts the journal's own rules (an accepted share without an
 * identity or a job, a sequence number out of order): money must not be booked from a damaged journal.
 */
export function sumBatch(batch: JournalBatch): BatchWork {
  const { records } = batch;
  const slices: OpenSlice[] = [];
  const byIdentity = new Map<number, IdentitySlices>();
  const rejects: RejectSlice[] = [];
  /** Identity and verdict -> its minutes. */
  const refused = new Map<number, RejectSlice[]>();
  const totals = new Map<number, VerdictTotal>();
  const blocks: FoundBlock[] = [];

  for (let index = 0, at = 0; index < batch.shares; index++, at += SHARE_RECORD_BYTES) {
    const seq = readU64(records, at + SHARE.seq);
    if (seq !== batch.firstSeq + index) {
      throw new Error(`journal batch ${batch.token}: share ${index} has sequence number ${seq}`);
    }
    const verdict = records[at + SHARE.verdict] as number;
    const identity = records.readUInt32LE(at + SHARE.identity);
    const receivedUs = readU64(records, at + SHARE.receivedUs);
    const bucketStart = Math.floor(receivedUs / MINUTE_US) * 60;
    let total = totals.get(verdict);
    if (total === undefined) {
      total = { verdict, shares: 0, work: 0n };
      totals.set(verdict, total);
    }
    total.shares++;
    if ((records.readUInt16LE(at + SHARE.flags) & SHARE_FLAG_BLOCK) !== 0) {
      blocks.push(foundBlock(batch, at, seq, identity, receivedUs));
    }

    if (verdict === ACCEPTED) {
      const round = records.readUInt32LE(at + SHARE.round);
      const jobKey = records.readUInt32LE(at + SHARE.job);
      let own = byIdentity.get(identity);
      let open = own?.current;
      if (
        open === undefined ||
        open.jobKey !== jobKey ||
        open.slice.bucketStart !== bucketStart ||
        open.slice.round !== round
      ) {
        const job = batch.jobs.get(jobKey);
        if (job === undefined || !batch.identities.has(identity)) {
          throw new Error(`journal batch ${batch.token}: accepted share ${seq} names no identity or no job`);
        }
        const { height, bits } = job;
        open = own?.all.findLast(
          ({ slice }) =>
            slice.bucketStart === bucketStart &&
            slice.round === round &&
            slice.height === height &&
            slice.bits === bits,
        );
        if (open === undefined) {
          const sums = { shares: 0, work: 0n, firstSeq: seq, lastSeq: seq };
          const slice = { identity, bucketStart, round, height, bits, ...sums };
          open = { slice, jobKey, targetAt: at + SHARE.target, run: 0 };
          slices.push(open);
          if (own === undefined) {
            own = { current: open, all: [] };
            byIdentity.set(identity, own);
          }
          own.all.push(open);
        }
        open.jobKey = jobKey;
        if (own !== undefined) own.current = open;
      }
      if (!sameTarget(records, open.targetAt, at + SHARE.target)) {
        closeRun(records, open);
        open.targetAt = at + SHARE.target;
      }
      open.run++;
      open.slice.shares++;
      open.slice.lastSeq = seq;
    } else if (batch.identities.has(identity)) {
      const key = identity * VERDICTS_MAX + verdict;
      const minutes = refused.get(key) ?? [];
      if (minutes.length === 0) refused.set(key, minutes);
      let slice = minutes.findLast((minute) => minute.bucketStart === bucketStart);
      if (slice === undefined) {
        slice = { identity, bucketStart, verdict, shares: 0 };
        minutes.push(slice);
        rejects.push(slice);
      }
      slice.shares++;
    }
  }

  const accepted = totals.get(ACCEPTED);
  for (const open of slices) {
    closeRun(records, open);
    if (accepted !== undefined) accepted.work += open.slice.work;
  }
  return {
    slices: slices.map(({ slice }) => slice),
    rejects,
    totals: [...totals.values()],
    blocks,
  };
}

/** A slice being summed. Big integers are dear, so shares of one target are counted and multiplied once. */
interface OpenSlice {
  slice: WorkSlice;
  /** Job of the latest share. */
  jobKey: number;
  /** Offset of the target of the shares in `run`. */
  targetAt: number;
  /** Shares whose work is not yet in the slice. */
  run: number;
}

interface IdentitySlices {
  /** Where its last share went. */
  current: OpenSlice;
  all: OpenSlice[];
}

function closeRun(records: Buffer, open: OpenSlice): void {
  const target = targetFromBytesLE(records.subarray(open.targetAt, open.targetAt + 32));
  open.slice.work += BigInt(open.run) * workFromTarget(target);
  open.run = 0;
}

function sameTarget(records: Buffer, a: number, b: number): boolean {
  for (let word = 28; word >= 0; word -= 4) {
    if (records.readUInt32LE(a + word) !== records.readUInt32LE(b + word)) return false;
  }
  return true;
}

/** Exact up to 2^53: sequence numbers and microseconds since 1970. */
function readU64(records: Buffer, at: number): number {
  return records.readUInt32LE(at) + records.readUInt32LE(at + 4) * 0x1_0000_0000;
}

function foundBlock(
  batch: JournalBatch,
  at: number,
  seq: number,
  identity: number,
  receivedUs: number,
): FoundBlock {
  const { records } = batch;
  const job = batch.jobs.get(records.readUInt32LE(at + SHARE.job));
  if (job === undefined || !batch.identities.has(identity)) {
    throw new Error(`journal batch ${batch.token}: block candidate ${seq} names no job or no identity`);
  }
  const hash = Buffer.from(records.subarray(at + SHARE.hash, at + SHARE.hash + 32))
    .reverse()
    .toString('hex');
  return {
    hash,
    height: job.height,
    seq,
    round: records.readUInt32LE(at + SHARE.round),
    identity,
    foundAtMs: Math.floor(receivedUs / 1000),
    networkTarget: targetFromBits(job.bits),
    networkDifficulty: job.networkDifficulty,
    plan: job.plan ?? null,
  };
}
