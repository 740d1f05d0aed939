// What the share path is given and gives back: shares, who sent them, blocks.
import type { ShareVerdict, VerdictFacts } from '../work/verdict.js';

/** Who submitted; told the verdict once, after the share is in the journal. */
export interface ShareOwner {
  /** Number of the session in the journal. */
  readonly sessionNumber: number;
  /** @param requestId what `submit` was given. */
  settle(requestId: string, verdict: VerdictFacts, difficulty: number): void;
}

/** The target a share is judged by: what its job was announced with, to this session. */
export interface ShareTarget {
  readonly difficulty: number;
  /** 32 bytes little-endian. */
  readonly targetLE: Uint8Array;
}

/** What the share path must know of a job. */
export interface ShareJob {
  /** Journal key and identity of the job; grows. */
  readonly key: number;
  /** Job slot in the slab. */
  readonly slot: number;
  /** Shares of it in flight: its slot must not be reused before this is 0. */
  inFlight: number;
}

/** A header that met the network target. Sent to the node before anything else. */
export interface BlockCandidate {
  jobKey: number;
  sessionNumber: number;
  identity: number;
  extranonce1: Uint8Array;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  /** 32 bytes as hashed. */
  hash: Uint8Array;
  /** Sequence number of its share in the journal. */
  seq: number;
}

/** What `submit` is given. It is copied: one object may be filled anew for each share. */
export interface Submission {
  owner: ShareOwner;
  requestId: string;
  /** Journal identity. */
  identity: number;
  job: ShareJob;
  target: ShareTarget;
  /** The tip had moved when the share arrived: only a block is still worth something. */
  stale: boolean;
  extranonce1: Uint8Array;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  /** Wall clock microseconds at which the line was read. */
  receivedUs: number;
}

/** A submit that failed a cheap check, before hashing. */
export interface Refusal {
  owner: ShareOwner;
  requestId: string;
  identity: number;
  jobKey: number;
  verdict: ShareVerdict;
  /** What it would have been judged by; null when that is unknown. */
  target: ShareTarget | null;
  version: number;
  ntime: number;
  nonce: number;
  receivedUs: number;
}
