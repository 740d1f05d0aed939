// Binary layout of the share journal: frames and records. Written by the connection thread
// (`writer.ts`), read by the shipper and the CLI (`reader.ts`). All integers little-endian.
//
// A segment file is a run of frames; a frame is one group commit:
//
//   0        4        8        12    14    15   16        24       28       32              40
//   ┌────────┬────────┬────────┬─────┬─────┬────┬─────────┬────────┬────────┬───────────────┬─────────┐
//   │ 'MRJ1' │payload │ crc32  │node │flags│ 0  │firstSeq │ shares │ round  │ acceptedTotal │ payload │
//   │ u32    │len u32 │ u32    │u16  │ u8  │ u8 │ u64     │ u32    │ u32    │ u64           │         │
//   └────────┴────────┴────────┴─────┴─────┴────┴─────────┴────────┴────────┴───────────────┴─────────┘
//
// crc32 (zlib polynomial) covers bytes 12.. of the frame, payload included. `firstSeq` is the sequence
// number of the frame's first share. `acceptedTotal` counts accepted shares of this node since its
// first start, this frame included: what miners were answered `true` for, durable across restarts.
// `round` is the number of rounds closed in the whole pool when this frame was written (round-counter.ts): every
// later share of this node is of this round or a later one.
// A frame may hold no share: it ends a batch, or says that rounds were closed elsewhere.
// Flag SEAL ends a batch: frames up to a SEAL (or to the end of a segment) are shipped as one insert,
// so the cut is in the data and the same after any restart.
//
// The payload is a run of records, each starting with its kind:
//   kind 1 share     160 bytes, fixed (offsets in SHARE below)
//   kind 2 identity  u8 kind, u8 0, u16 0, u32 id,  u32 length, JSON (who submitted: JournalIdentity)
//   kind 3 job       u8 kind, u8 0, u16 0, u32 key, u32 length, JSON (what was worked on: JournalJob)
// Every segment repeats the identities and jobs that its shares name, before the first such share:
// a segment can be read, verified and recomputed alone.

import type { Scheme } from '../../engine/accounting/schemes.js';

export const FRAME_MAGIC = 0x314a524d; // 'MRJ1'
export const FRAME_HEADER_BYTES = 40;
export const FRAME_CRC_START = 12;
export const FRAME_FLAG_SEAL = 1;

/** Byte offsets in a frame header. */
export const FRAME = {
  magic: 0,
  payloadBytes: 4,
  crc: 8,
  node: 12,
  flags: 14,
  firstSeq: 16,
  shares: 24,
  round: 28,
  acceptedTotal: 32,
} as const;

/** No frame is larger: a reader refuses a length above it without reading on. */
export const FRAME_PAYLOAD_MAX_BYTES = 32 * 1024 * 1024;

export const KIND_SHARE = 1;
export const KIND_IDENTITY = 2;
export const KIND_JOB = 3;

export const SHARE_RECORD_BYTES = 160;
export const EXTRANONCE_MAX_BYTES = 32;

/** Byte offsets in a share record. */
export const SHARE = {
  /** u8, KIND_SHARE */
  kind: 0,
  /** u8, code of `engine/work/verdict.ts` */
  verdict: 1,
  /** u16, bit 0: the header also met the network target */
  flags: 2,
  /** u32, session number of this run */
  session: 4,
  /** u64, one per verdict, without gaps, per node */
  seq: 8,
  /** u64, wall clock, microseconds since 1970 */
  receivedUs: 16,
  /** u32, identity record of the same segment */
  identity: 24,
  /** u32, job record of the same segment; 0 when the submit named no job we know */
  job: 28,
  /** u32 as in the header */
  ntime: 32,
  nonce: 36,
  version: 40,
  /** u32, receipt of the line to the append, microseconds */
  latencyUs: 44,
  /** u32, the round it belongs to: rounds that were closed in the whole pool before it. A block closes its own */
  round: 48,
  /** u8 */
  extranonce1Bytes: 52,
  /** u8 */
  extranonce2Bytes: 53,
  /** 32 bytes: extranonce1 then extranonce2, as in the coinbase; zero padded */
  extranonce: 56,
  /** f64, credited difficulty for display; the exact value is `target` */
  difficulty: 88,
  /** 32 bytes little-endian: the target this job was sent with and the share was judged by */
  target: 96,
  /** 32 bytes as hashed (little-endian); zero when the share never reached hashing */
  hash: 128,
} as const;

export const SHARE_FLAG_BLOCK = 1;

/** Who submitted. `account` is an address or an account name, `worker` may be ''. */
export interface JournalIdentity {
  account: string;
  worker: string;
  agent: string;
  /** IPv4 or IPv6 in text form. */
  remote: string;
  /** What this work earns by, fixed when it was submitted. Absent in old journals: the pool's default. */
  scheme?: Scheme;
  /** Under the protocol. Absent in old journals. */
  transport?: Transport;
  /** What the miner speaks. Absent in old journals. */
  protocol?: MiningProtocol;
}

/** The kind of port a miner came by. */
export type Transport = 'tcp' | 'tls' | 'ws';

/** `v1`: Stratum v1, JSON lines. */
export type MiningProtocol = 'v1';

/** What was worked on; with it every header of the segment can be rebuilt from its share records. */
export interface JournalJob {
  /** As sent in mining.notify. */
  jobId: string;
  height: number;
  /** Display order hex. */
  previousBlock: string;
  version: number;
  bits: number;
  /** Template curtime, seconds. */
  time: number;
  /** Hex: coinbase before extranonce1 and after extranonce2 (no witness). */
  coinbase1: string;
  coinbase2: string;
  /** Hex, as hashed, bottom up. */
  branch: string[];
  networkDifficulty: number;
  /** When miners of this lane were given it, milliseconds since 1970. Absent in old journals. */
  bornMs?: number;
  /** Plan that its coinbase pays miners by (coinbase_plans in Postgres). Absent: it pays the pool alone. */
  plan?: string;
}
