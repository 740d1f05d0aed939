// What the shipper would book: sealed batches of shares, each under the scheme it was submitted for, with the blocks
// that are among them.
import type { Scheme } from '../../engine/accounting/schemes.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { TEST_JOB, testBatch } from '../fixtures/journal-batch.js';

export interface MoneyShare {
  account: string;
  scheme: Scheme;
  /** What its hash is below. */
  target: bigint;
  minute: number;
  round: number;
  /** Hash of the block that it is, display order hex. */
  block?: string;
}

/** Hashes that a share stands for: floor(2^256 / (target + 1)). */
export const hashesOf = (target: bigint): bigint => (1n << 256n) / (target + 1n);

/** The batch of node `nodeId` whose first share has number `firstSeq`; all on a job of this height and these bits. */
export function moneyBatch(
  firstSeq: number,
  shares: readonly MoneyShare[],
  { height, bits, nodeId = 0 }: { height: number; bits: number; nodeId?: number },
): JournalBatch {
  const batch = testBatch(
    firstSeq,
    shares.map(({ account, scheme, target, minute, round, block }) => ({
      who: `${account}.${scheme}`,
      target,
      atMs: Date.UTC(2026, 0, 1) + minute * 60_000,
      round,
      block: block !== undefined,
    })),
    nodeId,
  );
  for (const [index, { block }] of shares.entries()) {
    const at = index * SHARE_RECORD_BYTES + SHARE.hash;
    if (block !== undefined) Buffer.from(block, 'hex').reverse().copy(batch.records, at);
  }
  return {
    ...batch,
    identities: new Map(
      [...batch.identities].map(([id, identity]) => [id, { ...identity, scheme: identity.worker as Scheme }]),
    ),
    jobs: new Map([[1, { ...TEST_JOB, height, bits }]]),
  };
}
