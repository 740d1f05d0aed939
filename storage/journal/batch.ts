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
  /** Sequence numbers of the first and last share, inclusive. Without shares lastSeq is firstSeq - 1. */
  firstSeq: number;
  lastSeq: number;
  /** Number of share records. 0 when the batch only says how far the rounds have come. */
  shares: number;
  /** `shares` records of SHARE_RECORD_BYTES, in sequence order. */
  records: Buffer;
  identities: ReadonlyMap<number, JournalIdentity>;
  jobs: ReadonlyMap<number, JournalJob>;
  /** Accepted shares of the node since its first start, up to the end of this batch. */
  acceptedTotal: number;
  /** Rounds of the pool that were closed when it ended: all later shares of the node are of this round or later. */
  round: number;
  /** The same for the same batch after any restart: deduplication token of its insert. */
  token: string;
  /** Where the next batch starts. */
  next: JournalPosition;
}
