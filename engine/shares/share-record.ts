// Writes the fields of a share record (storage/journal/record.ts) that validated and refused shares have in common.
import { SHARE } from '../../storage/journal/record.js';
import type { ShareTarget } from './submission.js';

const TARGET_BYTES = 32;

/** `receivedUs` and `turnUs`: wall clock microseconds; `target`: null when unknown, its fields stay zero. */
export function fillShareRecord(
  record: Buffer,
  at: number,
  session: number,
  verdictCode: number,
  target: ShareTarget | null,
  receivedUs: number,
  turnUs: number,
  ntime: number,
  nonce: number,
  version: number,
): void {
  record[at + SHARE.verdict] = verdictCode;
  record.writeUInt32LE(session, at + SHARE.session);
  record.writeUInt32LE(receivedUs % 0x1_0000_0000, at + SHARE.receivedUs);
  record.writeUInt32LE(Math.floor(receivedUs / 0x1_0000_0000), at + SHARE.receivedUs + 4);
  record.writeUInt32LE(ntime, at + SHARE.ntime);
  record.writeUInt32LE(nonce, at + SHARE.nonce);
  record.writeUInt32LE(version, at + SHARE.version);
  const latencyUs = Math.min(0xffffffff, Math.max(0, Math.round(turnUs - receivedUs)));
  record.writeUInt32LE(latencyUs, at + SHARE.latencyUs);
  if (target === null) return;
  record.writeDoubleLE(target.difficulty, at + SHARE.difficulty);
  const { targetLE } = target;
  for (let i = 0; i < TARGET_BYTES; i++) record[at + SHARE.target + i] = targetLE[i] as number;
}
