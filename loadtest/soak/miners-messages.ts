// What a process of simulated miners and its parent tell each other.
import type { Transport } from './habits.js';
import type { Endpoint } from './link.js';

/** Figures of one process of miners since it began. */
export interface MinerCounts {
  connected: number;
  connects: number;
  disconnects: number;
  resumptions: number;
  /** Changes of difficulty within a session. */
  retargets: number;
  slowReadings: number;
  hashes: number;
  submitted: number;
  /** Shares sent again although they had been answered `true`. */
  repeats: number;
  /** By code of the verdict, and UNANSWERED and UNKNOWN_ANSWER of told-shares.ts. */
  answers: Record<number, number>;
  faults: number;
}

export interface MinersSettings {
  readonly seed: number;
  readonly firstMiner: number;
  readonly miners: number;
  readonly medianHs: number;
  readonly startDifficulty: number;
  /** Time over which the miners connect. */
  readonly rampMs: number;
  readonly endpoints: Readonly<Record<Transport, Endpoint>>;
  readonly toldFile: string;
}

export type ToMiners =
  | { readonly type: 'start'; readonly settings: MinersSettings }
  /** The pool is about to end: who loses its session does not wonder and does not come back. */
  | { readonly type: 'stop' }
  /** Close the books. */
  | { readonly type: 'end' };

export type FromMiners =
  | { readonly type: 'counts'; readonly counts: MinerCounts }
  /** The first faults of the process; the rest is only counted. */
  | { readonly type: 'fault'; readonly what: string }
  /** The books are closed; the process ends. */
  | { readonly type: 'ended'; readonly counts: MinerCounts };
