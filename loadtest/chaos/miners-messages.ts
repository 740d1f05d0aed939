// What the process of miners and its parent tell each other.

export interface MinersSettings {
  readonly miners: number;
  /** Of each miner, hashes a second. */
  readonly hashrateHs: number;
  readonly host: string;
  /** Ports of the pool; miners are spread over them. */
  readonly ports: readonly number[];
  readonly toldFile: string;
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
  /** Shares of an earlier session, sent once more after a reconnect. */
  resent: number;
  faults: number;
}

export type ToMiners =
  | { readonly type: 'start'; readonly settings: MinersSettings }
  /** The pool listens elsewhere now. */
  | { readonly type: 'ports'; readonly ports: readonly number[] }
  /** No more shares; connections stay. */
  | { readonly type: 'rest' }
  /** Close the books. */
  | { readonly type: 'end' };

export type FromMiners =
  | { readonly type: 'counts'; readonly counts: MinerCounts }
  /** The first faults of the process; the rest is only counted. */
  | { readonly type: 'fault'; readonly what: string }
  /** The books are closed; the process ends. */
  | { readonly type: 'ended'; readonly counts: MinerCounts };
