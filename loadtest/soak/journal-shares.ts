// Every verdict of a share journal that is closed, in the order of its sequence numbers.
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import type { JournaledShare } from './comparison.js';
import type { Differences } from './differences.js';

const HASH_BYTES = 32;
const NOBODY = '(nobody)';

/** The folders in and below `folder` that hold a journal: each connection thread has one of its own. */
export function findJournals(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return [
    ...new Set(files.filter((file) => file.endsWith('.journal')).map((file) => join(folder, dirname(file)))),
  ];
}

/**
 * Hands each share to `each`; its arrays are only valid during the call. A sequence number that does not follow the one
 * before is a difference.
 * @throws JournalCorruptError when the journal does not read back as it was written
 */
export function readJournal(
  folder: string,
  differences: Differences,
  each: (share: JournaledShare) => void,
): void {
  const reader = new JournalReader(folder, null);
  try {
    let expected = 1;
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      const { records, shares, identities } = batch;
      for (let i = 0; i < shares; i++) {
        const at = i * SHARE_RECORD_BYTES;
        const seq = Number(records.readBigUInt64LE(at + SHARE.seq));
        if (seq !== expected) differences.add('sequence', `${seq} where ${expected} was due, in ${folder}`);
        expected = seq + 1;
        const who = identities.get(records.readUInt32LE(at + SHARE.identity));
        each({
          seq,
          verdict: records.readUInt8(at + SHARE.verdict),
          hash: records.subarray(at + SHARE.hash, at + SHARE.hash + HASH_BYTES),
          difficulty: records.readDoubleLE(at + SHARE.difficulty),
          targetLE: records.subarray(at + SHARE.target, at + SHARE.target + HASH_BYTES),
          user: who === undefined ? NOBODY : `${who.account}.${who.worker}`,
        });
      }
    }
  } finally {
    reader.close();
  }
}
