// Shares of the generated pool (storage-data.ts) at a given rate, each due at the time it carries, appended to a
// journal through its real writer. Used by the storage measures that begin with a journal.
import { verdictByName } from '../../engine/work/verdict.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { SHARE, SHARE_FLAG_BLOCK, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import type { JournalWriter } from '../../storage/journal/writer.js';
import { poolDay, rowsOfDay } from './storage-data.js';

export interface FeedOptions {
  sharesPerSecond: number;
  workers: number;
  seed: number;
  /** When the first share is due, whole Unix milliseconds. At most a day of shares follows. */
  startMs: number;
}

const ACCEPTED = verdictByName('accepted').code;
/** Made ahead at a time: a millisecond of shares, so that making them holds nobody up. */
const AHEAD_S = 0.001;

export class ShareFeed {
  readonly #batches: Generator<JournalBatch>;
  #batch: JournalBatch;
  #row = 0;

  constructor({ sharesPerSecond, workers, seed, startMs }: FeedOptions) {
    const batchRows = Math.max(1, Math.round(sharesPerSecond * AHEAD_S));
    this.#batches = poolDay({ rows: rowsOfDay(sharesPerSecond), workers, seed, startMs, batchRows });
    this.#batch = this.#next();
  }

  /** Makes every identity and job usable in `journal`. */
  define(journal: JournalWriter): void {
    for (const [id, identity] of this.#batch.identities) journal.defineIdentity(id, identity);
    for (const [key, job] of this.#batch.jobs) journal.defineJob(key, job);
  }

  /** When the next share is due, Unix microseconds. */
  get dueUs(): number {
    return Number(this.#batch.records.readBigUInt64LE(this.#row * SHARE_RECORD_BYTES + SHARE.receivedUs));
  }

  /** Appends the next share. */
  append(journal: JournalWriter): void {
    appendRecord(journal, this.#batch.records, this.#row * SHARE_RECORD_BYTES);
    this.#row++;
    if (this.#row === this.#batch.shares) {
      this.#batch = this.#next();
      this.#row = 0;
    }
  }

  #next(): JournalBatch {
    const { value, done } = this.#batches.next();
    if (done === true) throw new Error('the generated day has no more shares');
    return value;
  }
}

/** Appends the share record at byte `from` of `records`; number and round are the journal's own. */
export function appendRecord(journal: JournalWriter, records: Buffer, from: number): void {
  const verdict = records[from + SHARE.verdict] as number;
  const at = journal.appendShare(
    records.readUInt32LE(from + SHARE.identity),
    records.readUInt32LE(from + SHARE.job),
    verdict === ACCEPTED,
    (records.readUInt16LE(from + SHARE.flags) & SHARE_FLAG_BLOCK) !== 0,
  );
  fillRecord(journal.buffer, at, records, from);
}

/** What the caller of `appendShare` fills in. */
export function fillRecord(into: Buffer, at: number, records: Buffer, from: number): void {
  into[at + SHARE.verdict] = records[from + SHARE.verdict] as number;
  records.copy(into, at + SHARE.session, from + SHARE.session, from + SHARE.seq);
  records.copy(into, at + SHARE.receivedUs, from + SHARE.receivedUs, from + SHARE.identity);
  records.copy(into, at + SHARE.ntime, from + SHARE.ntime, from + SHARE.round);
  records.copy(into, at + SHARE.extranonce1Bytes, from + SHARE.extranonce1Bytes, from + SHARE_RECORD_BYTES);
}
