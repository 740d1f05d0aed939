// The journal of JOURNAL_DURABILITY=power: a share is answered when the disk has it. Frames are written at once, as
// always; one fdatasync runs at a time, and what is written meanwhile waits for the next one (group commit).
//
//   segment   [ on the disk ............ ][ being synced ][ waits for the next sync ]  frame being filled
//                                        ^ durable mark
//
// - A batch is sealed only where all of it is on the disk: until then a frame can still be undone, and what the
//   shipper has taken must not be. While a seal is due, new shares stay in the frame being filled.
// - A failed sync leaves the kernel's pages in a state that nobody knows (they may be marked clean, and a second
//   fsync would then lie). So nothing behind the durable mark is trusted: it is cut off, its shares are told that
//   they were not stored, and no share is taken until a new segment, its folder and the cut are on the disk.
import { close, ftruncateSync } from 'node:fs';
import { type DiskSync, GroupSync, REAL_DISK } from './group-sync.js';
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_MAX_BYTES } from './record.js';
import { JournalWriteError, JournalWriter, type JournalWriterOptions, type UnstoredBlock } from './writer.js';

export interface PowerJournalOptions extends JournalWriterOptions {
  disk?: DiskSync;
}

/** Told what became of commits, by their numbers. Neither is called while `commit` of a good frame runs. */
export interface CommitWaiter {
  /** All commits up to number `commit` that were not undone are on the disk. */
  durable(commit: number): void;
  /** No commit after number `commit` is in the journal. */
  undone(commit: number, error: JournalWriteError): void;
}

/** How far the journal is known to be on the disk. */
interface Mark {
  commit: number;
  /** Bytes of the present segment. */
  size: number;
  nextSeq: number;
  acceptedTotal: number;
  round: number;
}

const RETRY_MS = 1000;
/** A disk that has not answered for so long is reported; its shares go on waiting, for neither yes nor no is true. */
const SLOW_MS = 10_000;
/** A frame that waits for a seal is written before it gets too large for a reader. */
const HELD_MAX_BYTES = FRAME_PAYLOAD_MAX_BYTES / 2;

export class PowerJournalWriter extends JournalWriter {
  readonly #sync: GroupSync;
  #waiter: CommitWaiter = { durable: () => {}, undone: () => {} };
  /** Number of the newest frame with shares that was written. */
  #commits = 0;
  #durable: Mark;
  /** Blocks behind the durable mark. */
  #blocksAtRisk: { commit: number; block: UnstoredBlock }[] = [];
  #down: JournalWriteError | null = null;
  /** The segment that a sync failed on, until its cut is on the disk. */
  #broken: { fd: number; undone: boolean; cut: boolean } | null = null;
  #retryAtMs = 0;

  /** As JournalWriter. */
  constructor(options: PowerJournalOptions) {
    super(options);
    this.#sync = new GroupSync(options.folder, options.disk ?? REAL_DISK, options.nowMs);
    this.#durable = this.#mark();
  }

  /** `waiter` is told from now on; there is one. */
  tell(waiter: CommitWaiter): void {
    this.#waiter = waiter;
  }

  /** Number of the commit that the shares being reserved will be part of. */
  get nextCommit(): number {
    return this.#commits + 1;
  }

  /**
   * Writes the reserved shares as one frame, or keeps them until a seal that is due is written.
   * @throws JournalWriteError when the disk refused or is not trusted; the waiter was told before.
   */
  override commit(): void {
    this.appendUnstoredBlocks();
    if (this.shares === 0) return;
    try {
      if (this.#down !== null) throw this.#down;
      if (this.#sealDue(this.shares)) {
        if (this.#idle) this.#writeSeal();
        // A block does not wait in memory: the death of the process must not take it.
        else if (this.blocks.length === 0 && this.used < HELD_MAX_BYTES) return;
      }
      this.writeReserved(false);
    } catch (error) {
      if (!(error instanceof JournalWriteError)) throw error;
      this.keepBlocks();
      this.discard();
      this.#waiter.undone(this.#commits, error);
      if (this.#broken?.undone === false && !this.#sync.running) this.#undo(error);
      throw error;
    }
    if (this.batchShares === 0) this.batchSince = this.nowMs();
    this.acceptedTotal += this.accepted;
    this.batchShares += this.shares;
    this.#commits++;
    for (const block of this.blocksOfFrame()) this.#blocksAtRisk.push({ commit: this.#commits, block });
    this.startFrame();
    this.#startSync();
  }

  /**
   * As JournalWriter, and tries to get a journal that is down going again.
   * @throws JournalWriteError also while it is down, and while the disk has not answered for 10 s.
   */
  override sealWhenDue(): void {
    if (this.#down !== null) {
      if (this.nowMs() >= this.#retryAtMs) this.#replaceSegment();
      throw this.#down;
    }
    if (this.#sync.runningMs > SLOW_MS) {
      throw new JournalWriteError(
        `The disk of the share journal in ${this.folder} has not confirmed a write for ` +
          `${Math.round(this.#sync.runningMs / 1000)} s: shares wait for it. Check the disk.`,
      );
    }
    this.commit();
    super.sealWhenDue();
  }

  /** Ends the open batch now, when all of it is on the disk; else the sync that runs ends it in its time. */
  override seal(): void {
    this.commit();
    if (!this.#idle || this.shares > 0) return;
    if (this.batchShares === 0 && this.round === this.writtenRound) return;
    this.#writeSeal();
  }

  /**
   * Seals and closes. To be called when every commit was told of.
   * @throws JournalWriteError when shares still wait for the disk, or it is not trusted: nothing is closed then.
   */
  override close(): void {
    if (this.fd < 0) return;
    if (this.#down !== null) throw this.#down;
    if (!this.#idle || this.shares > 0) {
      throw new JournalWriteError(
        `The share journal in ${this.folder} ends with shares that the disk has not confirmed: ` +
          'their miners got no answer. Check the disk.',
      );
    }
    super.close();
  }

  /** What may be left of a frame cannot be cut off: this segment is not to be trusted any more. */
  protected override undoPartialWrite(): void {
    try {
      ftruncateSync(this.fd, this.segmentSize);
    } catch (error) {
      this.#distrust(error as Error);
    }
  }

  /** Nothing that was written waits for the disk. */
  get #idle(): boolean {
    return !this.#sync.running && this.#commits === this.#durable.commit;
  }

  #sealDue(shares: number): boolean {
    if (this.batchShares === 0) return false;
    const full = this.batchShares + shares >= this.sealAfterShares;
    return full || this.nowMs() - this.batchSince >= this.sealAfterMs;
  }

  /** Only when all frames before it are on the disk. A frame that waits stays behind it. */
  #writeSeal(): void {
    // Shares that wait may be of an older round than the counter has now, never than the last header.
    const round = this.shares > 0 ? this.writtenRound : this.round;
    this.writeFrame(Buffer.alloc(FRAME_HEADER_BYTES), { shares: 0, accepted: 0, round, seal: true });
    this.batchShares = 0;
    const waiting = this.sharesOfFrame();
    const before = this.segment;
    if (waiting !== null) this.rotateWhenLarge();
    if (this.segment !== before) {
      this.#sync.segmentBegun();
      if (waiting !== null) this.refill(waiting);
    }
    this.#durable = this.#mark();
  }

  /** Where the journal stands, frames written included. */
  #mark(): Mark {
    const { segmentSize, firstSeq, acceptedTotal, writtenRound } = this;
    return {
      commit: this.#commits,
      size: segmentSize,
      nextSeq: firstSeq,
      acceptedTotal,
      round: writtenRound,
    };
  }

  #startSync(): void {
    if (this.#down !== null || this.#sync.running || this.#idle) return;
    const mark = this.#mark();
    this.#sync.start([this.fd], (error) => this.#synced(mark, error));
  }

  #synced(mark: Mark, error: Error | null): void {
    if (error !== null) this.#distrust(error);
    if (this.#down !== null) {
      this.#undo(this.#down);
      return;
    }
    this.#durable = mark;
    this.#blocksAtRisk = this.#blocksAtRisk.filter(({ commit }) => commit > mark.commit);
    this.#waiter.durable(mark.commit);
    try {
      if (this.#idle && this.#sealDue(this.shares)) this.#writeSeal();
      this.commit();
    } catch (refused) {
      // The waiter knows. A seal that was refused is tried again with the next commit.
      if (!(refused instanceof JournalWriteError)) throw refused;
    }
    this.#startSync();
  }

  #distrust(error: Error): void {
    this.#down = new JournalWriteError(
      `The disk did not confirm what was written to the share journal in ${this.folder} (${error.message}): ` +
        'shares are refused until it has a new segment. Check the disk.',
      { cause: error },
    );
    this.#broken ??= { fd: this.fd, undone: false, cut: false };
  }

  /** As if nothing behind the durable mark had been committed; its blocks went to the node and are kept. */
  #undo(error: JournalWriteError): void {
    const { commit, size, nextSeq, acceptedTotal, round } = this.#durable;
    this.unstored.push(...this.#blocksAtRisk.map(({ block }) => block));
    this.#blocksAtRisk = [];
    this.keepBlocks();
    this.totalBytes -= this.segmentSize - size;
    this.segmentSize = size;
    this.acceptedTotal = acceptedTotal;
    this.writtenRound = round;
    this.firstSeq = nextSeq;
    this.batchShares = 0;
    this.discard();
    this.#commits = commit;
    if (this.#broken !== null) this.#broken.undone = true;
    this.#waiter.undone(commit, error);
    this.#replaceSegment();
  }

  /** Cuts the broken segment and begins another; shares are taken again when the disk has confirmed both. */
  #replaceSegment(): void {
    const broken = this.#broken;
    if (broken === null || this.#sync.running) return;
    this.#retryAtMs = this.nowMs() + RETRY_MS;
    try {
      if (!broken.cut) ftruncateSync(broken.fd, this.#durable.size);
      broken.cut = true;
      // Not before the cut: a later segment makes what is in this one final.
      if (this.fd === broken.fd) this.openSegment(this.segment + 1);
    } catch {
      return;
    }
    this.#sync.segmentBegun();
    this.#sync.start([broken.fd, this.fd], (error) => {
      if (error !== null) return;
      close(broken.fd);
      this.#broken = null;
      this.#down = null;
      this.#durable = this.#mark();
    });
  }
}
