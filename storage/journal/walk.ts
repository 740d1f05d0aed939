// Reads a journal from its oldest segment to what was committed when the walk began, frame by frame, also while
// the pool writes it. Never writes. Used by `millrace journal` (engine/cli/journal.ts).
import { closeSync, openSync, statSync } from 'node:fs';
import { type Descriptions, readPayload } from './frame-payload.js';
import { SHARE, SHARE_RECORD_BYTES } from './record.js';
import { type Frame, holdsFrameBehind, listSegments, readFrame, segmentPath } from './segments.js';

/** The first thing in a journal that is not as it was written; the message begins with its place. */
export class JournalFault extends Error {
  override readonly name = 'JournalFault';
}

export interface WalkedFrame {
  segment: number;
  /** Path of the segment, and where the frame begins in it. */
  file: string;
  offset: number;
  frame: Frame;
  /** Its share records, SHARE_RECORD_BYTES each, in sequence order. */
  records: Buffer[];
  /** What its segment has named up to here. */
  known: Descriptions;
}

export interface WalkSegment {
  number: number;
  file: string;
  /** When the walk began. */
  bytes: number;
}

/** The segments in `folder` as they are now, ascending. */
export function segmentsOf(folder: string): WalkSegment[] {
  return listSegments(folder).map((number) => {
    const file = segmentPath(folder, number);
    return { number, file, bytes: statSync(file).size };
  });
}

/**
 * Every frame of `segments`. A segment that retention removed meanwhile is passed over; a tail that is not written
 * whole ends the newest one.
 * @throws JournalFault at a wrong checksum, a cut, a gap in the sequence numbers or totals that do not add up.
 */
export function* walkJournal(segments: readonly WalkSegment[]): Generator<WalkedFrame> {
  let before: Frame | null = null;
  for (const { number, file, bytes } of segments) {
    const fd = openIfThere(file);
    if (fd === null) continue;
    const known: Descriptions = { identities: new Map(), jobs: new Map() };
    const newest = number === segments.at(-1)?.number;
    try {
      for (let offset = 0; offset < bytes; ) {
        const result = readFrame(fd, offset);
        const fault = (what: string) => new JournalFault(`${file}, byte ${offset}: ${what}`);
        if (typeof result !== 'object') {
          if (newest && (result !== 'bad' || !holdsFrameBehind(fd, offset))) break;
          throw fault(result === 'bad' ? 'a frame with a wrong checksum' : 'a frame cut short');
        }
        const { frame } = result;
        let records: Buffer[];
        try {
          records = readPayload(frame.payload, frame.shares, known).flatMap(cutRecords);
        } catch (error) {
          throw fault((error as Error).message);
        }
        checkOrder(before, frame, records, fault);
        yield { segment: number, file, offset, frame, records, known };
        before = frame;
        offset = frame.end;
      }
    } finally {
      closeSync(fd);
    }
  }
}

function cutRecords(run: Buffer): Buffer[] {
  return Array.from({ length: run.length / SHARE_RECORD_BYTES }, (_, index) =>
    run.subarray(index * SHARE_RECORD_BYTES, (index + 1) * SHARE_RECORD_BYTES),
  );
}

function checkOrder(
  before: Frame | null,
  frame: Frame,
  records: readonly Buffer[],
  fault: (what: string) => JournalFault,
): void {
  if (before !== null) {
    const due = before.firstSeq + before.shares;
    if (frame.firstSeq !== due) throw fault(`share ${frame.firstSeq} where ${due} is due`);
    if (frame.nodeId !== before.nodeId) throw fault(`a frame of node ${frame.nodeId}, not ${before.nodeId}`);
    if (frame.round < before.round) throw fault(`round ${frame.round} behind round ${before.round}`);
  }
  let accepted = 0;
  for (const [index, record] of records.entries()) {
    const seq = Number(record.readBigUInt64LE(SHARE.seq));
    if (seq !== frame.firstSeq + index) throw fault(`share ${seq} where ${frame.firstSeq + index} is due`);
    if (record[SHARE.verdict] === 1) accepted++;
  }
  if (before !== null && frame.acceptedTotal !== before.acceptedTotal + accepted) {
    const sum = before.acceptedTotal + accepted;
    throw fault(`${frame.acceptedTotal} shares accepted in all, where ${sum} are`);
  }
}

function openIfThere(file: string): number | null {
  try {
    return openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
