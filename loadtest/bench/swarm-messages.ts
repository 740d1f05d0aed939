// What the benchmark and its client process (swarm.ts) tell each other. Every command gets one result.

/** The pool that is measured. */
export interface SwarmTarget {
  readonly host: string;
  readonly port: number;
  /** Account; each connection adds `.NUMBER`. */
  readonly user: string;
  readonly pid: number;
  /** Thread id of the connection thread, where it is known. */
  readonly connectionThread: number | null;
  /** The pool's children do its work too. */
  readonly withChildren: boolean;
}

export type SwarmCommand =
  | { readonly type: 'connect'; readonly target: SwarmTarget; readonly connections: number }
  /** Closed loop: an answer is followed by the next submit. */
  | {
      readonly type: 'closed_loop';
      readonly inFlight: number;
      readonly warmupMs: number;
      readonly ms: number;
    }
  /** Open loop: so many submits a second in all, whatever the pool does. */
  | {
      readonly type: 'open_loop';
      readonly perSecond: number;
      readonly warmupMs: number;
      readonly ms: number;
    }
  /** Says `armed`, then waits for the clean job that follows, submitting meanwhile. */
  | { readonly type: 'tip'; readonly perSecond: number }
  | { readonly type: 'leave' };

// `clientCores`: cores that the client itself was busy with in the measured time. From about 1 on, it set the pace.

export interface Connected {
  /** Seconds from the first connect until the last session was subscribed, authorized and had a job. */
  readonly readyS: number;
  readonly clientCores: number;
}

/** Of the measured time, warm-up left out. */
export interface LoadResult {
  readonly answered: number;
  readonly accepted: number;
  /** The last refusal as the pool wrote it; empty when there was none. */
  readonly lastRefusal: string;
  readonly answeredPerS: number;
  /** CPU microseconds of the pool per answered submit. */
  readonly cpuUs: number;
  /** Of these the connection thread's; null where it is not known. */
  readonly connectionThreadUs: number | null;
  readonly clientCores: number;
  /** From the planned time to the answer, milliseconds; all 0 in a closed loop. */
  readonly ackMs: AckTimes;
}

export interface AckTimes {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export interface TipResult {
  /** Monotonic milliseconds of the machine at which the first and the last connection had the job. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** Submits planned between these two, answered, and how long that took. */
  readonly submits: number;
  readonly ackMs: AckTimes;
  readonly clientCores: number;
}

/** All of the client's life. */
export interface Left {
  readonly submitted: number;
  readonly accepted: number;
  readonly refused: number;
}

export type FromSwarm =
  | { readonly type: 'done'; readonly result: Connected | LoadResult | TipResult | Left }
  | { readonly type: 'armed' }
  | { readonly type: 'failed'; readonly reason: string };
