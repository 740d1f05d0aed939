// What the coordinator (main thread) and the connection thread tell each other.
import type { Scheme } from '../accounting/schemes.js';
import type { NetworkName } from '../bitcoin/networks.js';
import type { BlockCandidate } from '../shares/submission.js';
import type { AdmissionCaps } from './admission.js';
import type { Ban } from './ban-list.js';
import type { PortProfile } from './port-profile.js';
import type { SchemeSettings } from './scheme-choice.js';

/** A job as the connection thread needs it: everything but the transactions. */
export interface JobMessage {
  /** Grows, never repeats; journal key. */
  key: number;
  /** As sent in mining.notify. */
  id: string;
  height: number;
  /** Display order hex. */
  previousBlockHash: string;
  /** 32 bytes, header order. */
  previousBlock: Uint8Array;
  version: number;
  bits: number;
  /** 32 bytes little-endian. */
  networkTargetLE: Uint8Array;
  networkDifficulty: number;
  curtime: number;
  mintime: number;
  coinbase1: Uint8Array;
  coinbase2: Uint8Array;
  branch: readonly Uint8Array[];
  /** mining.notify lines, newline included, for clean_jobs false and true. */
  notify: string;
  notifyClean: string;
  /** Plan of its coinbase, for the journal; absent: it pays the pool alone. */
  plan?: string;
}

export interface ConnectionThreadSettings {
  host: string;
  ports: readonly PortProfile[];
  tls: { certFile: string; keyFile: string } | null;
  /** Balancers that begin each connection with a PROXY header; never banned. */
  proxyFrom: readonly string[];
  /** Several threads share the ports. */
  reusePort: boolean;
  network: NetworkName;
  /** Name and version of the pool, for client.get_version. */
  software: string;
  caps: AdmissionCaps;
  /** Seconds of a first ban; 0: nobody is banned. */
  banSeconds: number;
  shareDifficulty: number;
  vardiff: {
    enabled: boolean;
    sharesPerMinute: number;
    floor: number;
    ceiling: number;
    powersOfTwo: boolean;
  };
  duplicateFilterEntries: number;
  hashWorkers: number;
  journalFolder: string;
  /** `power`: a share is answered when the disk has it. Absent: `process`. */
  journalDurability?: 'process' | 'power';
  nodeId: number;
  /** How work is paid where neither account nor port says. Absent: pplns. */
  defaultScheme?: Scheme;
  /** Known before the first miner comes. Absent: nobody chose, and nothing is recorded by expected value. */
  schemes?: SchemeSettings;
  /** Memory of the pool's RoundCounter: the same for every thread. */
  rounds: SharedArrayBuffer;
  /** Extranonce lane: one per connection thread. */
  lane: number;
  /** Changes with every start: keeps extranonces and job ids of two runs apart. */
  epoch: number;
  extranonce2Bytes: number;
}

export type ToConnectionThread =
  | {
      type: 'job';
      job: JobMessage;
      /** Not urgent: the job before is as good for a while, so it may reach sessions over some seconds. */
      spread: boolean;
      /** When the pool first heard of its tip, epoch milliseconds with fraction; null where the tip is not new. */
      tipSeenAtMs: number | null;
      /** `retarget`: a fresh job made only to carry new difficulties, for the sessions that wait for one. */
      audience: 'all' | 'retarget';
    }
  /** How accounts are paid from now on. */
  | ({ type: 'schemes' } & SchemeSettings)
  /** Stop accepting, answer what is in flight, seal and close the journal. */
  | { type: 'drain' };

/** Who a candidate's finder is, resolved to names for the ledger. */
export interface CandidateMessage extends BlockCandidate {
  account: string;
  worker: string;
}

export interface ConnectionThreadStats {
  connections: number;
  accepted: number;
  /** Connections closed or refused since this start, by reason. */
  closed: Record<string, number>;
  /** Addresses that may not connect now, at most 100. */
  bans: Ban[];
  sessions: number;
  miners: number;
  workers: number;
  /** Answers by verdict name since this start. */
  verdicts: Record<string, number>;
  /** Sum of credited difficulty since this start. */
  acceptedDifficulty: number;
  /** Sum of the squares of credited difficulties since this start, and the largest of them. */
  acceptedSquares: number;
  heaviestDifficulty: number;
  /** Connected workers of each account, at most 1000 accounts. */
  workersByAccount: [account: string, workers: number][];
  duplicateFilterEntries: number;
  /** Good shares were refused in the last second because the filter is full. */
  duplicateFilterFull: boolean;
  /** How long the last new tip took to the first and the last connection, written out; null before the first. */
  tip: { connections: number; firstMs: number; lastMs: number } | null;
  journal: {
    nextSeq: number;
    acceptedTotal: number;
    bytes: number;
    failing: string | null;
  };
  eventLoopDelayMs: { p50: number; p99: number; max: number };
}

export type FromConnectionThread =
  | { type: 'listening'; ports: readonly PortProfile[]; hashWorkers: number }
  | { type: 'failed'; reason: string }
  | { type: 'candidate'; candidate: CandidateMessage }
  /** Sessions wait for a new difficulty and the last job is too old to carry it. */
  | { type: 'need_job' }
  | { type: 'stats'; stats: ConnectionThreadStats }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields?: Record<string, unknown> }
  | { type: 'drained' };
