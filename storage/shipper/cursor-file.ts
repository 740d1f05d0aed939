// How far ClickHouse has been fed: a small file beside the journal, replaced whole. ClickHouse itself has
// no transaction that could hold rows and cursor together; a batch sent twice is dropped by its token.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { JournalPosition } from '../journal/batch.js';

export interface FileCursor {
  nodeId: number;
  /** Sequence number of the next share to send. */
  nextSeq: number;
  position: JournalPosition;
  /**
   * A batch that was joined from several and may be on its way: it is sent again with this cut. Absent: what may be on
   * its way is one batch as the journal sealed it.
   */
  sending?: Cut;
}

/** Numbers of the first and the last share. */
export interface Cut {
  firstSeq: number;
  lastSeq: number;
}

/** The cursor, or null when there is none yet. Throws when the file is not what `writeCursor` wrote. */
export function readCursor(path: string): FileCursor | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  let value: Partial<FileCursor> | null = null;
  try {
    value = JSON.parse(text) as Partial<FileCursor> | null;
  } catch {
    // Judged below, with every other wrong content.
  }
  const numbers = [value?.nodeId, value?.nextSeq, value?.position?.segment, value?.position?.offset];
  if (value?.sending !== undefined) numbers.push(value.sending?.firstSeq, value.sending?.lastSeq);
  if (!numbers.every((number) => Number.isSafeInteger(number))) {
    throw new Error(`${path} is damaged. Delete it: what ClickHouse has already is then found by asking it`);
  }
  return value as FileCursor;
}

/** Replaces the cursor; when it returns, the new one survives a power cut. */
export function writeCursor(path: string, cursor: FileCursor): void {
  const next = `${path}.next`;
  const file = openSync(next, 'w', 0o644);
  try {
    writeSync(file, `${JSON.stringify(cursor)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
