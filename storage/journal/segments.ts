// The segment files of the journal folder: their names, their order, and reading one frame.
// Used by the writer (recovery) and the reader; the frame layout is drawn in record.ts.
import { fstatSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  FRAME,
  FRAME_CRC_START,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_PAYLOAD_MAX_BYTES,
} from './record.js';

const NAME = /^(\d{10})\.journal$/;

/** Path of segment `number` in `folder`. */
export function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(10, '0')}.journal`);
}

/** Numbers of the segments present, ascending. */
export function listSegments(folder: string): number[] {
  return readdirSync(folder)
    .map((name) => NAME.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

export interface Frame {
  nodeId: number;
  flags: number;
  firstSeq: number;
  shares: number;
  round: number;
  acceptedTotal: number;
  payload: Buffer;
  /** Offset of the byte after this frame. */
  end: number;
}

/** `torn`: the bytes end inside a frame. `bad`: they are there but are not a frame we wrote. */
export type FrameResult = { frame: Frame } | 'end' | 'torn' | 'bad';

/**
 * Reads the frame at `offset` of an open segment.
 * A torn frame may still be in the middle of being written when the segment is the newest one.
 */
export function readFrame(fd: number, offset: number): FrameResult {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  const got = readFully(fd, header, offset);
  if (got === 0) return 'end';
  if (got < FRAME_HEADER_BYTES) return 'torn';
  if (header.readUInt32LE(FRAME.magic) !== FRAME_MAGIC) return 'bad';
  const payloadBytes = header.readUInt32LE(FRAME.payloadBytes);
  if (payloadBytes > FRAME_PAYLOAD_MAX_BYTES) return 'bad';
  const payload = Buffer.allocUnsafe(payloadBytes);
  if (readFully(fd, payload, offset + FRAME_HEADER_BYTES) < payloadBytes) return 'torn';
  const crc = crc32(payload, crc32(header.subarray(FRAME_CRC_START)));
  if (crc !== header.readUInt32LE(FRAME.crc)) return 'bad';
  return {
    frame: {
      nodeId: header.readUInt16LE(FRAME.node),
      flags: header.readUInt8(FRAME.flags),
      firstSeq: Number(header.readBigUInt64LE(FRAME.firstSeq)),
      shares: header.readUInt32LE(FRAME.shares),
      round: header.readUInt32LE(FRAME.round),
      acceptedTotal: Number(header.readBigUInt64LE(FRAME.acceptedTotal)),
      payload,
      end: offset + FRAME_HEADER_BYTES + payloadBytes,
    },
  };
}

/**
 * True when a good frame lies anywhere behind `offset`: then what is at `offset` is damage, not the end of a
 * write that was cut off.
 */
export function holdsFrameBehind(fd: number, offset: number): boolean {
  const rest = Buffer.alloc(Math.max(0, fstatSync(fd).size - offset));
  readFully(fd, rest, offset);
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  for (let at = rest.indexOf(magic, 1); at >= 0; at = rest.indexOf(magic, at + 1)) {
    if (typeof readFrame(fd, offset + at) === 'object') return true;
  }
  return false;
}

function readFully(fd: number, into: Buffer, position: number): number {
  let done = 0;
  while (done < into.length) {
    const n = readSync(fd, into, done, into.length - done, position + done);
    if (n === 0) break;
    done += n;
  }
  return done;
}
