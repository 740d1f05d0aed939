// The newest segment of a journal and what its frames are numbered by: recovers where the journal left off, writes a
// frame whole or not at all, goes on to the next segment. The lowest of three layers of writer.ts; it knows no share.
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
import { FRAME, FRAME_CRC_START, FRAME_FLAG_SEAL, FRAME_HEADER_BYTES, FRAME_MAGIC } from './record.js';
import { recoverTail } from './recovery.js';
import { listSegments, segmentPath } from './segments.js';

export interface SegmentWriterOptions {
  folder: string;
  /** 0..65535, unique among the nodes of a pool. */
  nodeId: number;
  /** A segment that has grown past this is closed at the next batch end. */
  segmentBytes?: number;
  /** The write call; tests put a disk that fails here. */
  write?: (fd: number, bytes: Buffer, offset: number) => number;
}

/** The disk did not take a frame. Nothing of that frame is in the journal; do not answer `true`. */
export class JournalWriteError extends Error {
  override readonly name = 'JournalWriteError';
}

/** What a frame says of itself beside its payload. */
export interface FrameHeader {
  shares: number;
  accepted: number;
  round: number;
  seal: boolean;
}

const SEGMENT_BYTES = 64 * 1024 * 1024;

export class SegmentWriter {
  /** Sequence number the next share will get. Starts at 1. */
  nextSeq: number;
  /** Accepted shares since the first start of this node, committed frames only. */
  acceptedTotal: number;
  /** Bytes in all segments that this writer knows of. */
  totalBytes = 0;
  /** Number of the segment being written. */
  segment: number;

  protected readonly folder: string;
  protected fd = -1;
  protected segmentSize = 0;
  /** Round in the header of the newest frame: what the shipper can know of this lane. */
  protected writtenRound: number;
  /** Number of the first share of the next frame. */
  protected firstSeq: number;
  readonly #nodeId: number;
  readonly #segmentBytes: number;
  readonly #write: (fd: number, bytes: Buffer, offset: number) => number;

  /**
   * Opens the journal in `folder` (made when absent). A torn tail left by a crash is cut off, then a new
   * segment is begun: nothing is ever appended behind a tail that was not written whole.
   * @throws Error when the newest segment is damaged in a way no crash of ours explains.
   */
  constructor({ folder, nodeId, segmentBytes, write }: SegmentWriterOptions) {
    this.folder = folder;
    this.#nodeId = nodeId;
    this.#segmentBytes = segmentBytes ?? SEGMENT_BYTES;
    this.#write = write ?? writeSync;
    mkdirSync(folder, { recursive: true });
    const tail = recoverTail(folder);
    this.segment = tail.segment;
    this.nextSeq = tail.nextSeq;
    this.firstSeq = tail.nextSeq;
    this.acceptedTotal = tail.acceptedTotal;
    this.writtenRound = tail.round;
    for (const number of listSegments(folder)) this.totalBytes += statSync(segmentPath(folder, number)).size;
    this.openSegment(this.segment + 1);
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

  /** Makes it durable and closes it. */
  protected closeSegment(): void {
    fsyncSync(this.fd);
    closeSync(this.fd);
    this.fd = -1;
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
}

/** Writes a safe non-negative integer as u64 without a BigInt (this runs per share). */
export function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}
