// What passes between the fleet and its hash threads: one slice of nonces to try, and what it brought.

export interface HashTask {
  readonly id: number;
  /** 80 bytes as hashed; the nonce in it is ignored. */
  readonly header: Uint8Array;
  /** 32 bytes, little-endian. */
  readonly targetLE: Uint8Array;
  readonly firstNonce: number;
  /** At least 1; firstNonce + count does not pass 2^32. */
  readonly count: number;
  /** The slice ends early when it has found so many. */
  readonly sharesMax: number;
}

export interface HashResult {
  readonly id: number;
  /** Nonces whose header meets the target, in ascending order. */
  readonly nonces: readonly number[];
  /** Nonces tried, each counted once. */
  readonly hashes: number;
  readonly elapsedMs: number;
}
