// Who submitted (identity) and what was worked on (job), as the records that stand in a segment before the first share
// that names them. Made once, copied into each segment that needs it. Layout: record.ts.
import type { JournalIdentity, JournalJob } from './record.js';

/** u8 kind, u8 0, u16 0, u32 id, u32 length of the JSON behind it. */
export const DESCRIPTION_HEADER_BYTES = 12;

/** A description (identity or job) as its record bytes, and the segment that last repeated it. */
export interface Description {
  record: Buffer;
  writtenIn: number;
}

/** @param kind KIND_IDENTITY or KIND_JOB */
export function describe(kind: number, id: number, value: JournalIdentity | JournalJob): Description {
  const json = Buffer.from(JSON.stringify(value));
  const record = Buffer.alloc(DESCRIPTION_HEADER_BYTES + json.length);
  record[0] = kind;
  record.writeUInt32LE(id, 4);
  record.writeUInt32LE(json.length, 8);
  json.copy(record, DESCRIPTION_HEADER_BYTES);
  return { record, writtenIn: 0 };
}
