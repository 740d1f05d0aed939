// The frame being filled: share records reserved in place, behind the identities and jobs that this segment does not
// hold yet. The middle layer of writer.ts. Inheritance rather than parts: a share costs no step from object to object.
import { verdictByName } from '../../engine/work/verdict.js';
import { DESCRIPTION_HEADER_BYTES, type Description, describe } from './description.js';
import {
  FRAME_HEADER_BYTES,
  type JournalIdentity,
  type JournalJob,
  KIND_IDENTITY,
  KIND_JOB,
  KIND_SHARE,
  SHARE,
  SHARE_FLAG_BLOCK,
  SHARE_RECORD_BYTES,
} from './record.js';
import { RoundCounter } from './round-counter.js';
import { SegmentWriter, type SegmentWriterOptions, writeU64 } from './segment-writer.js';

export interface FrameWriterOptions extends SegmentWriterOptions {
  /** Shared by all lanes of the pool. Absent: a counter of its own, for a pool of one lane. */
  rounds?: RoundCounter;
}

/** The record of a block whose frame the disk refused: the block went to the node, so it must be booked. */
export interface UnstoredBlock {
  record: Buffer;
  identity: Description | undefined;
  job: Description | undefined;
}

const FIRST_BUFFER_BYTES = 1024 * 1024;
const ACCEPTED = verdictByName('accepted').code;
const STORAGE_FAILED = verdictByName('storage_failed').code;

export class FrameWriter extends SegmentWriter {
  protected readonly rounds: RoundCounter;
  readonly #identities = new Map<number, Description>();
  readonly #jobs = new Map<number, Description>();
  /** Header, descriptions and shares in the order they came. */
  #buffer = Buffer.allocUnsafe(FIRST_BUFFER_BYTES);
  protected used = FRAME_HEADER_BYTES;
  protected shares = 0;
  protected accepted = 0;
  /** Blocks in the frame being filled: where their records are. */
  protected blocks: { at: number; identity: Description | undefined; job: Description | undefined }[] = [];

  /** As SegmentWriter; raises the counter to the round this journal had come to. */
  constructor(options: FrameWriterOptions) {
    super(options);
    this.rounds = options.rounds ?? new RoundCounter();
    this.rounds.raiseTo(this.writtenRound);
  }

  /** Makes `id` usable in share records. `id` must be new. */
  defineIdentity(id: number, identity: JournalIdentity): void {
    this.#identities.set(id, describe(KIND_IDENTITY, id, identity));
  }

  /** The session behind `id` is gone and no share of it is in flight. */
  forgetIdentity(id: number): void {
    this.#identities.delete(id);
  }

  /** Makes `key` usable in share records. `key` must be new. */
  defineJob(key: number, job: JournalJob): void {
    this.#jobs.set(key, describe(KIND_JOB, key, job));
  }

  knowsJob(key: number): boolean {
    return this.#jobs.has(key);
  }

  /** The job is dead and no share of it is in flight. */
  forgetJob(key: number): void {
    this.#jobs.delete(key);
  }

  /**
   * Reserves the next share record and fills what the journal itself knows: kind, sequence number, round.
   * The caller writes the other fields (offsets SHARE, relative to the returned offset) into `buffer`,
   * which may be another object after each call. 0 for `identity` or `job` means none.
   */
  appendShare(identity: number, job: number, accepted: boolean, block: boolean): number {
    const who = this.#identities.get(identity);
    const what = this.#jobs.get(job);
    // A share that nobody could be credited for, or recomputed, must not get into the journal at all.
    if (identity !== 0 && who === undefined)
      throw new Error(`share of identity ${identity}, which is not defined`);
    if (job !== 0 && what === undefined) throw new Error(`share of job ${job}, which is not defined`);
    this.#repeat(who);
    this.#repeat(what);
    this.#reserve(SHARE_RECORD_BYTES);
    const at = this.used;
    const buffer = this.#buffer;
    buffer.fill(0, at, at + SHARE_RECORD_BYTES);
    buffer[at + SHARE.kind] = KIND_SHARE;
    buffer.writeUInt16LE(block ? SHARE_FLAG_BLOCK : 0, at + SHARE.flags);
    writeU64(buffer, this.nextSeq, at + SHARE.seq);
    buffer.writeUInt32LE(identity, at + SHARE.identity);
    buffer.writeUInt32LE(job, at + SHARE.job);
    // Taken at the append, so the rounds of a lane never fall: shares behind a frame are of its round or later.
    buffer.writeUInt32LE(block ? this.rounds.next() : this.rounds.current(), at + SHARE.round);
    this.used += SHARE_RECORD_BYTES;
    this.shares++;
    this.nextSeq++;
    if (accepted) this.accepted++;
    if (block) this.blocks.push({ at, identity: who, job: what });
    return at;
  }

  /** The frame being filled; valid until the next `appendShare`. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Forgets the reserved shares, as if `appendShare` had not been called since the last commit. */
  discard(): void {
    this.nextSeq = this.firstSeq;
    // What this frame would have repeated was not written: have it repeated again.
    for (const all of [this.#identities, this.#jobs]) {
      for (const description of all.values()) description.writtenIn = 0;
    }
    this.startFrame();
  }

  protected startFrame(): void {
    this.used = FRAME_HEADER_BYTES;
    this.shares = 0;
    this.accepted = 0;
    this.firstSeq = this.nextSeq;
    this.blocks = [];
  }

  /** Writes what was reserved. Its round is read once all shares are in: what this lane appends later is no older. */
  protected writeReserved(seal: boolean): void {
    const frame = this.#buffer.subarray(0, this.used);
    this.writeFrame(frame, {
      shares: this.shares,
      accepted: this.accepted,
      round: this.rounds.current(),
      seal,
    });
  }

  /** Copies of the records of its blocks, none of them credited. */
  protected blocksOfFrame(): UnstoredBlock[] {
    return this.blocks.map(({ at, identity, job }) => {
      const record = Buffer.from(this.#buffer.subarray(at, at + SHARE_RECORD_BYTES));
      if (record[SHARE.verdict] === ACCEPTED) record[SHARE.verdict] = STORAGE_FAILED;
      return { record, identity, job };
    });
  }

  /** Appends a block that was in a frame before. It keeps its round: its window ends where it was found. */
  protected appendAgain({ record, identity, job }: UnstoredBlock): void {
    // A frame that was to repeat them may have been undone after they were forgotten.
    for (const description of [identity, job]) if (description !== undefined) description.writtenIn = 0;
    this.#repeat(identity);
    this.#repeat(job);
    this.#reserve(SHARE_RECORD_BYTES);
    const at = this.used;
    record.copy(this.#buffer, at);
    writeU64(this.#buffer, this.nextSeq, at + SHARE.seq);
    this.used += SHARE_RECORD_BYTES;
    this.shares++;
    this.nextSeq++;
    this.blocks.push({ at, identity, job });
  }

  /** The reserved shares as records, for `refill`; null when one names what was forgotten meanwhile. */
  protected sharesOfFrame(): Buffer[] | null {
    const payload = Buffer.from(this.#buffer.subarray(FRAME_HEADER_BYTES, this.used));
    const records: Buffer[] = [];
    for (let at = 0; at < payload.length; ) {
      if (payload[at] !== KIND_SHARE) {
        at += DESCRIPTION_HEADER_BYTES + payload.readUInt32LE(at + 8);
        continue;
      }
      const record = payload.subarray(at, at + SHARE_RECORD_BYTES);
      const identity = record.readUInt32LE(SHARE.identity);
      const job = record.readUInt32LE(SHARE.job);
      if (identity !== 0 && !this.#identities.has(identity)) return null;
      if (job !== 0 && !this.#jobs.has(job)) return null;
      records.push(record);
      at += SHARE_RECORD_BYTES;
    }
    return records;
  }

  /** Fills the frame anew with the same shares: a segment begun after they were reserved must repeat what they name. */
  protected refill(records: readonly Buffer[]): void {
    this.used = FRAME_HEADER_BYTES;
    for (const record of records) {
      this.#repeat(this.#identities.get(record.readUInt32LE(SHARE.identity)));
      this.#repeat(this.#jobs.get(record.readUInt32LE(SHARE.job)));
      this.#reserve(SHARE_RECORD_BYTES);
      record.copy(this.#buffer, this.used);
      this.used += SHARE_RECORD_BYTES;
    }
  }

  #repeat(description: Description | undefined): void {
    if (description === undefined || description.writtenIn === this.segment) return;
    description.writtenIn = this.segment;
    this.#reserve(description.record.length);
    description.record.copy(this.#buffer, this.used);
    this.used += description.record.length;
  }

  #reserve(bytes: number): void {
    if (this.used + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.used + bytes));
    this.#buffer.copy(larger, 0, 0, this.used);
    this.#buffer = larger;
  }
}
