// Reads the share journal batch by batch, also while it is being written. Used by the shipper (each
// consumer has its own reader) and by the CLI. Layout: record.ts. The cut into batches is the writer's
// (seal flags and segment ends), so it is the same after any restart.
import { closeSync, fdatasyncSync, fstatSync, openSync } from 'node:fs';
import type { JournalBatch, JournalPosition } from './batch.js';
import { readPayload } from './frame-payload.js';
import { FRAME_FLAG_SEAL, type JournalIdentity, type JournalJob } from './record.js';
import { type Frame, listSegments, readFrame, segmentPath } from './segments.js';

/** A sealed part of the journal does not read back as it was written: a disk fault or a foreign hand. */
export class JournalCorruptError extends Error {
  override readonly name = 'JournalCorruptError';
}

export class JournalReader {
  readonly #folder: string;
  #segment: number;
  #offset: number;
  /** Where the batch that is being collected starts in the segment. */
  #batchOffset = 0;
  #fd = -1;
  #identities = new Map<number, JournalIdentity>();
  #jobs = new Map<number, JournalJob>();
  /** Share records of frames read since the last batch end. */
  #parts: Buffer[] = [];
  #shares = 0;
  #firstSeq = 0;
  #lastSeq = 0;
  #nodeId = 0;
  #acceptedTotal = 0;
  #round = 0;
  #atEnd = false;

  /** `position`: `next` of the last batch that was consumed, or null to start at the oldest segment. */
  constructor(folder: string, position: JournalPosition | null) {
    this.#folder = folder;
    this.#segment = position?.segment ?? 0;
    this.#offset = position?.offset ?? 0;
  }

  /**
   * The next sealed batch, or null when none is complete yet (call again later).
   * @throws JournalCorruptError when a segment that is no longer being written ends inside a frame, or a
   *   frame's checksum is wrong.
   */
  next(): JournalBatch | null {
    this.#atEnd = false;
    for (;;) {
      if (this.#fd < 0 && !this.#open()) return null;
      const result = readFrame(this.#fd, this.#offset);
      if (typeof result === 'object') {
        this.#take(result.frame);
        this.#offset = result.frame.end;
        if ((result.frame.flags & FRAME_FLAG_SEAL) !== 0) return this.#batch();
        continue;
      }
      // Not a whole frame: final only when the writer has moved on to a later segment. In the newest one
      // it may be half written, or about to be undone after the disk refused the rest.
      const later = listSegments(this.#folder).find((number) => number > this.#segment);
      if (later === undefined) {
        this.#atEnd = result === 'end' && this.#shares === 0;
        return null;
      }
      // It may have written here between our read and the listing.
      const again = readFrame(this.#fd, this.#offset);
      if (typeof again === 'object') continue;
      if (again !== 'end') {
        throw this.#corrupt(again === 'bad' ? 'a frame with a wrong checksum' : 'a frame cut short');
      }
      if (fstatSync(this.#fd).size < this.#offset) {
        // Frames behind the last seal were undone after we read them: their sync failed (power-writer.ts).
        this.#startBatch(this.#batchOffset);
        continue;
      }
      const batch = this.#shares > 0 ? this.#batch() : null;
      this.#moveTo(later);
      if (batch !== null) return { ...batch, next: { segment: later, offset: 0 } };
    }
  }

  /** True when the last `next` found the journal read to its very end, with nothing behind the last batch. */
  get atEnd(): boolean {
    return this.#atEnd;
  }

  /**
   * Waits until the disk has what was read so far: a store must never be ahead of the journal, or a power cut
   * leaves it with shares that the journal does not know.
   */
  sync(): void {
    if (this.#fd >= 0) fdatasyncSync(this.#fd);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #open(): boolean {
    const segments = listSegments(this.#folder);
    const wanted = segments.find((number) => number >= this.#segment);
    if (wanted === undefined) return false;
    this.#startBatch(wanted === this.#segment ? this.#offset : 0);
    this.#segment = wanted;
    this.#fd = openSync(segmentPath(this.#folder, wanted), 'r');
    this.#identities = new Map();
    this.#jobs = new Map();
    // Resuming inside a segment: learn the identities and jobs that it named before.
    let offset = 0;
    while (offset < this.#offset) {
      const result = readFrame(this.#fd, offset);
      if (typeof result !== 'object') throw this.#corrupt('no frame where one was read before');
      this.#describe(result.frame);
      offset = result.frame.end;
    }
    return true;
  }

  #moveTo(segment: number): void {
    this.close();
    this.#segment = segment;
    this.#startBatch(0);
  }

  #startBatch(offset: number): void {
    this.#offset = offset;
    this.#batchOffset = offset;
    this.#parts = [];
    this.#shares = 0;
  }

  #take(frame: Frame): void {
    const shares = this.#describe(frame);
    if (this.#shares === 0) this.#firstSeq = frame.firstSeq;
    this.#parts.push(...shares);
    this.#shares += frame.shares;
    this.#lastSeq = frame.firstSeq + frame.shares - 1;
    this.#nodeId = frame.nodeId;
    this.#acceptedTotal = frame.acceptedTotal;
    this.#round = frame.round;
  }

  /** Learns the descriptions in a frame; returns its runs of share records. */
  #describe(frame: Frame): Buffer[] {
    try {
      return readPayload(frame.payload, frame.shares, { identities: this.#identities, jobs: this.#jobs });
    } catch (error) {
      throw this.#corrupt((error as Error).message);
    }
  }

  #batch(): JournalBatch {
    const batch: JournalBatch = {
      nodeId: this.#nodeId,
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      shares: this.#shares,
      records: this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts),
      // Later frames of the segment add to the same maps; they never change what is there.
      identities: this.#identities,
      jobs: this.#jobs,
      acceptedTotal: this.#acceptedTotal,
      round: this.#round,
      token: `${this.#nodeId}-${this.#firstSeq}-${this.#lastSeq}`,
      next: { segment: this.#segment, offset: this.#offset },
    };
    this.#startBatch(this.#offset);
    return batch;
  }

  #corrupt(what: string): JournalCorruptError {
    return new JournalCorruptError(
      `The share journal is damaged: ${segmentPath(this.#folder, this.#segment)} holds ${what} at byte ` +
        `${this.#offset}. Check the disk; keep the file, the shares before that byte are intact.`,
    );
  }
}
