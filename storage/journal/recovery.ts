// What a journal says when it is opened again: where its numbering goes on. Called by the writer, once, before
// it begins a segment of its own.
import { closeSync, fsyncSync, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { holdsFrameBehind, listSegments, readFrame, segmentPath } from './segments.js';

export interface JournalTail {
  /** Number of the newest segment that was ever begun; 0 when there is none. */
  segment: number;
  nextSeq: number;
  /** Accepted shares since the first start of the node. */
  acceptedTotal: number;
  /** Round in the header of the newest frame. */
  round: number;
}

/**
 * Reads the newest segment that holds a frame, cuts a torn tail off it, and removes empty ones behind it. What a
 * killed process left is on the disk when this returns: later frames, which may be, must not be there without it.
 * @throws Error when the newest segment is damaged in a way no crash of ours explains.
 */
export function recoverTail(folder: string): JournalTail {
  const tail: JournalTail = { segment: 0, nextSeq: 1, acceptedTotal: 0, round: 0 };
  const segments = listSegments(folder);
  // The newest segment may be empty (opened, then killed): walk back to one that says where we were.
  for (let i = segments.length - 1; i >= 0; i--) {
    const number = segments[i] as number;
    const path = segmentPath(folder, number);
    tail.segment = Math.max(tail.segment, number);
    const fd = openSync(path, 'r+');
    try {
      const frames = readToTheEnd(fd, path, tail);
      fsyncSync(fd);
      if (frames > 0) return tail;
    } finally {
      closeSync(fd);
    }
    unlinkSync(path);
  }
  return tail;
}

/** Reads every frame into `tail` and cuts what is behind the last whole one; returns how many there are. */
function readToTheEnd(fd: number, path: string, tail: JournalTail): number {
  let offset = 0;
  for (let frames = 0; ; frames++) {
    const result = readFrame(fd, offset);
    if (result === 'end') return frames;
    if (result === 'bad' && holdsFrameBehind(fd, offset)) {
      throw new Error(
        `The share journal is damaged: ${path} holds bytes at ${offset} that are no frame, and good frames ` +
          'behind them. No crash of ours does that: check the disk, and restore the file or move it away.',
      );
    }
    if (result === 'torn' || result === 'bad') {
      ftruncateSync(fd, offset);
      return frames;
    }
    const { frame } = result;
    tail.nextSeq = frame.firstSeq + frame.shares;
    tail.acceptedTotal = frame.acceptedTotal;
    tail.round = frame.round;
    offset = frame.end;
  }
}
