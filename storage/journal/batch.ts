// What the shipper gets from the journal: one sealed batch of frames. See record.ts for the layout.
import type { JournalIdentity, JournalJob } from './record.js';

export interface JournalPosition {
  /** Number of the segment file. */
  segment: number;
  /** Byte offset of the next unread frame in it. */
  offset: number;
}

export interface JournalBatch {
  nodeId: number;
  /** Sequence numbers of the first and last share, inclusive. */
  firstSeq: number;
  lastSeq: number;
  /** Number of share records. Never 0. */
  shares: number;
  /** `shares` records of SHARE_RECORD_BYTES, in sequence order. */
  records: Buffer;
  identities: ReadonlyMap<number, JournalIdentity>;
  jobs: ReadonlyMap<number, JournalJob>;
  /** Accepted shares of the node since its first start, up to the end of this batch. */
  acceptedTotal: number;
  /** The same for the same batch after any restart: deduplication token of its inserts. */
  token: string;
  /** Where the next batch starts. */
  next: JournalPosition;
}
