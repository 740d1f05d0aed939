// Takes the payload of a frame apart: descriptions are learned, share records returned. Used by every reader of the
// journal; layout in record.ts.
import {
  type JournalIdentity,
  type JournalJob,
  KIND_IDENTITY,
  KIND_JOB,
  KIND_SHARE,
  SHARE_RECORD_BYTES,
} from './record.js';

const DESCRIPTION_HEADER_BYTES = 12;

/** What the frames of one segment have named so far. */
export interface Descriptions {
  identities: Map<number, JournalIdentity>;
  jobs: Map<number, JournalJob>;
}

/**
 * Adds the descriptions in `payload` to `known` and returns its runs of share records, views into `payload`.
 * @throws Error that says what it holds instead, when it is not what we write or has not `shares` shares.
 */
export function readPayload(payload: Buffer, shares: number, known: Descriptions): Buffer[] {
  const runs: Buffer[] = [];
  let at = 0;
  let runStart = 0;
  let counted = 0;
  while (at < payload.length) {
    const kind = payload[at];
    if (kind === KIND_SHARE) {
      at += SHARE_RECORD_BYTES;
      counted++;
      continue;
    }
    if (at > runStart) runs.push(payload.subarray(runStart, at));
    if (kind !== KIND_IDENTITY && kind !== KIND_JOB) throw new Error(`a record of kind ${kind}`);
    const id = payload.readUInt32LE(at + 4);
    const end = at + DESCRIPTION_HEADER_BYTES + payload.readUInt32LE(at + 8);
    const value: unknown = JSON.parse(payload.toString('utf8', at + DESCRIPTION_HEADER_BYTES, end));
    if (kind === KIND_IDENTITY) known.identities.set(id, value as JournalIdentity);
    else known.jobs.set(id, value as JournalJob);
    at = end;
    runStart = end;
  }
  if (at > runStart) runs.push(payload.subarray(runStart, at));
  if (counted !== shares || at !== payload.length) {
    throw new Error(`a frame of ${counted} shares that says ${shares}`);
  }
  return runs;
}
