// Appends every verdict to the share journal: the record behind each `true` that a miner is sent.
// Owned by the connection thread: it fills the records of one tick in place, commits them as one frame
// with one write, and only then answers. Survives kill -9 of any process (the page cache keeps what
// write() took). Layout: record.ts. Rule: DESIGN.md, "the journey of a share", step 6.
//
//   SegmentWriter   the file: a frame whole or not at all, recovery, rotation     segment-writer.ts
//   FrameWriter     the frame being filled: shares and what they name             frame-writer.ts
//   JournalWriter   commits, batches, blocks that the disk refused                here
import { FrameWriter, type FrameWriterOptions, type UnstoredBlock } from './frame-writer.js';

export type { UnstoredBlock } from './frame-writer.js';
export { JournalWriteError } from './segment-writer.js';

export interface JournalWriterOptions extends FrameWriterOptions {
  /** Monotonic milliseconds. */
  nowMs: () => number;
  /** Age at which an open batch is sealed for the shipper. */
  sealAfterMs?: number;
  /** Shares at which an open batch is sealed before its time. */
  sealAfterShares?: number;
}

const SEAL_AFTER_MS = 1000;
const SEAL_AFTER_SHARES = 100_000;

export class JournalWriter extends FrameWriter {
  protected readonly nowMs: () => number;
  protected readonly sealAfterMs: number;
  protected readonly sealAfterShares: number;
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
    super(options);
    this.nowMs = options.nowMs;
    this.sealAfterMs = options.sealAfterMs ?? SEAL_AFTER_MS;
    this.sealAfterShares = options.sealAfterShares ?? SEAL_AFTER_SHARES;
  }

  /** Rounds that are closed: block candidates of all lanes, and those whose frame a disk refused. */
  get round(): number {
    return this.rounds.current();
  }

  /** True while shares wait for `commit`. */
  get hasUncommitted(): boolean {
    return this.shares > 0;
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
    this.closeSegment();
  }

  /** Blocks of the frame being filled are kept for a frame that the disk takes. */
  protected keepBlocks(): void {
    this.unstored.push(...this.blocksOfFrame());
  }

  /**
   * They keep their rounds, so their windows end where they were found. No frame of this lane was written in
   * between: what its last header says of later shares stays true.
   */
  protected appendUnstoredBlocks(): void {
    const unstored = this.unstored;
    this.unstored = [];
    for (const block of unstored) this.appendAgain(block);
  }
}
