// What the process of miners and its parent tell each other.
import type { PhaseAnswers } from './answer-times.js';

export interface MinersSettings {
  readonly miners: number;
  /** Of each miner, hashes a second. */
  readonly hashrateHs: number;
  readonly host: string;
  /** Ports of the pool; miners are spread over them. */
  readonly ports: readonly number[];
  readonly toldFile: string;
  /** The pool adapts difficulties; else another one is a fault. */
  readonly vardiff: boolean;
}

/** Since the process began. */
export interface MinerCounts {
  connected: number;
  connects: number;
  submitted: number;
  /** Sent and neither answered nor cut off yet. */
  open: number;
  accepted: number;
  /** Submits whose answer the end of a connection cut off. */
  cutOff: number;
  /** Shares of an earlier session sent once more after a reconnect, or refused ones sent once more. */
  resent: number;
  faults: number;
}

export type ToMiners =
  | { readonly type: 'start'; readonly settings: MinersSettings }
  /** The pool listens elsewhere now. */
  | { readonly type: 'ports'; readonly ports: readonly number[] }
  /** No more shares; connections stay. */
  | { readonly type: 'rest' }
  /** Shares again after a rest. */
  | { readonly type: 'work' }
  /** What the pool could not store is sent once more. */
  | { readonly type: 'resend' }
  /** A phase ends: asks for its answers. All that was told until now is in the books when they come. */
  | { readonly type: 'phase' }
  /** Close the books. */
  | { readonly type: 'end' };

export type FromMiners =
  | { readonly type: 'counts'; readonly counts: MinerCounts }
  | { readonly type: 'phase'; readonly answers: PhaseAnswers }
  /** The first faults of the process; the rest is only counted. */
  | { readonly type: 'fault'; readonly what: string }
  /** The books are closed; the process ends. */
  | { readonly type: 'ended'; readonly counts: MinerCounts };

export function noCounts(): MinerCounts {
  return {
    ...{ connected: 0, connects: 0, submitted: 0, open: 0, accepted: 0 },
    ...{ cutOff: 0, resent: 0, faults: 0 },
  };
}
