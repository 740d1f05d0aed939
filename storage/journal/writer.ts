// Appends every verdict to the share journal: the record behind each `true` that a miner is sent.
// Owned by the connection thread: it fills the records of one tick in place, commits them as one frame
// with one write, and only then answers. Survives kill -9 of any process (the page cache keeps what
// write() took). Layout: record.ts. Rule: DESIGN.md, "the journey of a share", step 6.
import {
  close,
  closeSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  statSync,
  writeSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import { verdictByName } from '../../engine/work/verdict.js';
import {
  FRAME,
  FRAME_CRC_START,
  FRAME_FLAG_SEAL,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  type JournalIdentity,
  type JournalJob,
  KIND_IDENTITY,
  KIND_JOB,
  KIND_SHARE,
  SHARE,
  SHARE_FLAG_BLOCK,
  SHARE_RECORD_BYTES,
} from './record.js';
import { recoverTail } from './recovery.js';
import { RoundCounter } from './round-counter.js';
import { listSegments, segmentPath } from './segments.js';

export interface JournalWriterOptions {
  folder: string;
  /** 0..65535, unique among the nodes of a pool. */
  nodeId: number;
  /** Monotonic milliseconds. */
  nowMs: () => number;
  /** Shared by all lanes of the pool. Absent: a counter of its own, for a pool of one lane. */
  rounds?: RoundCounter;
  /** A segment that has grown past this is closed at the next batch end. */
  segmentBytes?: number;
  /** Age at which an open batch is sealed for the shipper. */
  sealAfterMs?: number;
  /** Shares at which an open batch is sealed before its time. */
  sealAfterShares?: number;
  /** The write call; tests put a disk that fails here. */
  write?: (fd: number, bytes: Buffer, offset: number) => number;
}

/** The disk did not take a frame. Nothing of that frame is in the journal; do not answer `true`. */
export class JournalWriteError extends Error {
  override readonly name = 'JournalWriteError';
}

const SEGMENT_BYTES = 64 * 1024 * 1024;
const SEAL_AFTER_MS = 1000;
const SEAL_AFTER_SHARES = 100_000;
const DESCRIPTION_HEADER_BYTES = 12;
const FIRST_BUFFER_BYTES = 1024 * 1024;
const ACCEPTED = verdictByName('accepted').code;
const STORAGE_FAILED = verdictByName('storage_failed').code;

/** What a frame says of itself beside its payload. */
export interface FrameHeader {
  shares: number;
  accepted: number;
  round: number;
  seal: boolean;
}

/** A description (identity or job) as its record bytes, and the segment that last repeated it. */
export interface Description {
  record: Buffer;
  writtenIn: number;
}

/** The record of a block whose frame the disk refused: the block went to the node, so it must be booked. */
export interface UnstoredBlock {
  record: Buffer;
  identity: Description | undefined;
  job: Description | undefined;
}

export class JournalWriter {
  /** Sequence number the next share will get. Starts at 1. */
  nextSeq = 1;
  /** Accepted shares since the first start of this node, committed frames only. */
  acceptedTotal = 0;
  /** Bytes in all segments that this writer knows of. */
  totalBytes = 0;

  protected readonly folder: string;
  readonly #nodeId: number;
  protected readonly nowMs: () => number;
  protected readonly rounds: RoundCounter;
  readonly #segmentBytes: number;
  protected readonly sealAfterMs: number;
  protected readonly sealAfterShares: number;
  readonly #write: (fd: number, bytes: Buffer, offset: number) => number;
  readonly #identities = new Map<number, Description>();
  readonly #jobs = new Map<number, Description>();

  protected fd = -1;
  /** Number of the segment being written. */
  segment = 0;
  protected segmentSize = 0;
  /** The frame being filled: header, descriptions and shares in the order they came. */
  #buffer = Buffer.allocUnsafe(FIRST_BUFFER_BYTES);
  protected used = FRAME_HEADER_BYTES;
  protected shares = 0;
  protected accepted = 0;
  /** Round in the header of the newest frame: what the shipper can know of this lane. */
  protected writtenRound = 0;
  protected firstSeq = 1;
  /** Blocks in the frame being filled: where their records are. */
  protected blocks: { at: number; identity: Description | undefined; job: Description | undefined }[] = [];
  protected unstored: UnstoredBlock[] = [];
  protected batchShares = 0;
  protected batchSince = 0;

  /**
   * Opens the journal in `folder` (made when absent). A torn tail left by a crash is cut off, then a new
   * segment is begun: nothing is ever appended behind a tail that was not written whole. The shared counter is
   * raised to the round this journal had come to; all lanes of a pool must have done so before one appends.
   * @throws Error when the newest segment is damaged in a way no crash of ours explains.
   */
  constructor(options: JournalWriterOptions) {
    this.folder = options.folder;
    this.#nodeId = options.nodeId;
    this.nowMs = options.nowMs;
    this.rounds = options.rounds ?? new RoundCounter();
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.sealAfterMs = options.sealAfterMs ?? SEAL_AFTER_MS;
    this.sealAfterShares = options.sealAfterShares ?? SEAL_AFTER_SHARES;
    this.#write = options.write ?? writeSync;
    mkdirSync(this.folder, { recursive: true });
    const tail = recoverTail(this.folder);
    this.segment = tail.segment;
    this.nextSeq = tail.nextSeq;
    this.acceptedTotal = tail.acceptedTotal;
    this.writtenRound = tail.round;
    this.rounds.raiseTo(this.writtenRound);
    for (const number of listSegments(this.folder)) {
      this.totalBytes += statSync(segmentPath(this.folder, number)).size;
    }
    this.openSegment(this.segment + 1);
    this.firstSeq = this.nextSeq;
  }

  /** Rounds that are closed: block candidates of all lanes, and those whose frame a disk refused. */
  get round(): number {
    return this.rounds.current();
  }

  /** True while shares wait for `commit`. */
  get hasUncommitted(): boolean {
    return this.shares > 0;
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

  /**
   * Writes the reserved shares as one frame. When it returns, they survive the death of this process.
   * @throws JournalWriteError when the disk refused: the frame is undone, sequence numbers included. Only
   *   its blocks are kept, as shares that were not credited, and written with the next frame that succeeds.
   */
  commit(): void {
    this.appendUnstoredBlocks();
    if (this.shares === 0) return;
    if (this.batchShares === 0) this.batchSince = this.nowMs();
    const full = this.batchShares + this.shares >= this.sealAfterShares;
    const seal = full || this.nowMs() - this.batchSince >= this.sealAfterMs;
    const shares = this.shares;
    try {
      this.writeReserved(seal);
    } catch (error) {
      this.keepBlocks();
      this.discard();
      throw error;
    }
    this.acceptedTotal += this.accepted;
    this.batchShares = seal ? 0 : this.batchShares + shares;
    this.startFrame();
    if (seal) this.rotateWhenLarge();
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

  /**
   * To be called about once a second: seals a batch whose time has come although no share arrives. A lane
   * without shares says with an empty batch that rounds were closed elsewhere: their blocks wait for its word.
   */
  sealWhenDue(): void {
    if (this.unstored.length > 0) this.commit();
    if (this.shares > 0) return;
    if (this.batchShares > 0 && this.nowMs() - this.batchSince < this.sealAfterMs) return;
    this.seal();
  }

  /** Ends the open batch now, so that the shipper can take it. Writes nothing when there is nothing to say. */
  seal(): void {
    this.commit();
    if (this.batchShares === 0 && this.rounds.current() === this.writtenRound) return;
    this.writeReserved(true);
    this.batchShares = 0;
    this.startFrame();
    this.rotateWhenLarge();
  }

  /** Commits, seals, makes it durable and closes the segment. */
  close(): void {
    if (this.fd < 0) return;
    this.seal();
    fsyncSync(this.fd);
    closeSync(this.fd);
    this.fd = -1;
  }

  /** Blocks of the frame being filled are kept for a frame that the disk takes. */
  protected keepBlocks(): void {
    this.unstored.push(...this.blocksOfFrame());
  }

  /** Copies of the records of its blocks, none of them credited. */
  protected blocksOfFrame(): UnstoredBlock[] {
    return this.blocks.map(({ at, identity, job }) => {
      const record = Buffer.from(this.#buffer.subarray(at, at + SHARE_RECORD_BYTES));
      if (record[SHARE.verdict] === ACCEPTED) record[SHARE.verdict] = STORAGE_FAILED;
      return { record, identity, job };
    });
  }

  /**
   * They keep their rounds, so their windows end where they were found. No frame of this lane was written in
   * between: what its last header says of later shares stays true.
   */
  protected appendUnstoredBlocks(): void {
    const unstored = this.unstored;
    this.unstored = [];
    for (const { record, identity, job } of unstored) {
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

  protected openSegment(number: number): void {
    this.fd = openSync(segmentPath(this.folder, number), 'ax');
    this.segment = number;
    this.segmentSize = 0;
    const folder = openSync(this.folder, 'r');
    fsync(folder, () => close(folder));
  }

  protected rotateWhenLarge(): void {
    if (this.segmentSize < this.#segmentBytes) return;
    // 64 MiB take the disk half a second: never wait for that on the thread that answers miners.
    const full = this.fd;
    try {
      this.openSegment(this.segment + 1);
    } catch {
      // No room for a new file: this one grows on, and the next batch end tries again.
      return;
    }
    fsync(full, () => close(full));
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

  /** Fills the header of `frame` (its payload is there already) and writes it whole, or undoes what got written. */
  protected writeFrame(frame: Buffer, header: FrameHeader): void {
    const { shares, accepted, round, seal } = header;
    frame.writeUInt32LE(FRAME_MAGIC, FRAME.magic);
    frame.writeUInt32LE(frame.length - FRAME_HEADER_BYTES, FRAME.payloadBytes);
    frame.writeUInt16LE(this.#nodeId, FRAME.node);
    frame[FRAME.flags] = seal ? FRAME_FLAG_SEAL : 0;
    frame[FRAME.flags + 1] = 0;
    writeU64(frame, this.firstSeq, FRAME.firstSeq);
    frame.writeUInt32LE(shares, FRAME.shares);
    frame.writeUInt32LE(round, FRAME.round);
    writeU64(frame, this.acceptedTotal + accepted, FRAME.acceptedTotal);
    frame.writeUInt32LE(crc32(frame.subarray(FRAME_CRC_START)), FRAME.crc);
    let written = 0;
    try {
      while (written < frame.length) written += this.#write(this.fd, frame, written);
    } catch (error) {
      this.undoPartialWrite();
      throw new JournalWriteError(
        `The share journal in ${this.folder} could not be written (${(error as Error).message}): ` +
          'shares are refused until it can. Free disk space or mend the disk.',
        { cause: error },
      );
    }
    this.writtenRound = round;
    this.segmentSize += frame.length;
    this.totalBytes += frame.length;
  }

  /** Part of a frame may have reached the file: cut it, or leave this segment for good if that fails too. */
  protected undoPartialWrite(): void {
    try {
      ftruncateSync(this.fd, this.segmentSize);
    } catch {
      try {
        const broken = this.fd;
        this.openSegment(this.segment + 1);
        close(broken);
      } catch {
        // Nothing can be written: the next frame fails like this one, and is undone like this one.
      }
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

function describe(kind: number, id: number, value: JournalIdentity | JournalJob): Description {
  const json = Buffer.from(JSON.stringify(value));
  const record = Buffer.alloc(DESCRIPTION_HEADER_BYTES + json.length);
  record[0] = kind;
  record.writeUInt32LE(id, 4);
  record.writeUInt32LE(json.length, 8);
  json.copy(record, DESCRIPTION_HEADER_BYTES);
  return { record, writtenIn: 0 };
}

/** Writes a safe non-negative integer as u64 without a BigInt (this runs per share). */
function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}
