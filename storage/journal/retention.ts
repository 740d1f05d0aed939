// Deletes journal segments that nobody needs any more: both stores have them, and they are old enough that
// a store which lost its disk could have been fed again from them. Called by the coordinator now and then.
import { rmSync, statSync } from 'node:fs';
import { listSegments, segmentPath } from './segments.js';

/** How long a segment is kept after both stores confirmed it. */
export const RETENTION_MS = 24 * 3_600_000;

export interface Retention {
  /** How long a segment is kept after its last write. */
  keepMs: number;
  /** Above this the oldest go before their time. What a consumer still needs is kept at any size. */
  bytesMax: number;
}

/**
 * Removes segments below `neededSegment` (the lowest that a consumer still reads) whose last write is
 * older than `keepMs`, and older ones first while the folder holds more than `bytesMax`. The newest segment with a frame in it always stays: it says where numbering goes on.
 * @param nowMs wall clock, as file times are
 * @returns how many were removed, and their bytes
 */
export function removeConsumedSegments(
  folder: string,
  neededSegment: number,
  nowMs: number,
  { keepMs, bytesMax }: Retention,
): { segments: number; bytes: number } {
  const removed = { segments: 0, bytes: 0 };
  const segments = listSegments(folder);
  const newest = segments.findLast((number) => statSync(segmentPath(folder, number)).size > 0) ?? 0;
  let held = segments.reduce((sum, number) => sum + statSync(segmentPath(folder, number)).size, 0);
  for (const number of segments) {
    if (number >= neededSegment || number >= newest) break;
    const path = segmentPath(folder, number);
    const { mtimeMs, size } = statSync(path);
    // Segments age in order: what follows is younger.
    if (nowMs - mtimeMs < keepMs && held <= bytesMax) break;
    rmSync(path);
    removed.segments++;
    removed.bytes += size;
    held -= size;
  }
  return removed;
}
