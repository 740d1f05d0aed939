// Holds the simulated miners to a set hash rate. Tokens are hashes: they flow in at the set rate and
// are spent before the work is done. Because a late caller finds what flowed in meanwhile (up to one
// burst), the average over seconds is the set rate even when single slices come late.

/** Longest time, in seconds, for which unspent hashes are kept: the most that a stall can catch up. */
export const BURST_SECONDS = 1;

export class TokenBucket {
  readonly #clockMs: () => number;
  #ratePerSecond: number | null;
  #tokens = 0;
  #filledAtMs: number;

  /**
   * @param ratePerSecond tokens per second, above 0; null: no limit
   * @param clockMs monotonic clock in milliseconds
   * @throws RangeError on a rate that is not above 0 and finite
   */
  constructor(ratePerSecond: number | null, clockMs: () => number) {
    this.#clockMs = clockMs;
    this.#filledAtMs = clockMs();
    this.#ratePerSecond = checkedRate(ratePerSecond);
  }

  /** Tokens per second; null: no limit. */
  get ratePerSecond(): number | null {
    return this.#ratePerSecond;
  }

  /** Changes the rate from now on. What flowed in before stays, up to one burst of the new rate. */
  setRate(ratePerSecond: number | null): void {
    const checked = checkedRate(ratePerSecond);
    this.#fill();
    this.#ratePerSecond = checked;
    this.#tokens = Math.min(this.#tokens, this.#capacity());
  }

  /** Takes `tokens` if they are there; false leaves the bucket as it was. Always true without a limit. */
  tryTake(tokens: number): boolean {
    if (this.#ratePerSecond === null) return true;
    this.#fill();
    if (this.#tokens < tokens) return false;
    this.#tokens -= tokens;
    return true;
  }

  /** Gives back tokens that were taken and not used. */
  giveBack(tokens: number): void {
    if (this.#ratePerSecond === null) return;
    this.#tokens = Math.min(this.#tokens + tokens, this.#capacity());
  }

  /** Milliseconds until `tokens` can be taken, 0 when they are there, Infinity when they never fit. */
  waitMs(tokens: number): number {
    if (this.#ratePerSecond === null) return 0;
    if (tokens > this.#capacity()) return Number.POSITIVE_INFINITY;
    this.#fill();
    if (this.#tokens >= tokens) return 0;
    return ((tokens - this.#tokens) / this.#ratePerSecond) * 1000;
  }

  #capacity(): number {
    // At least one hash fits, or a rate below one a second would never work.
    return this.#ratePerSecond === null ? 0 : Math.max(1, this.#ratePerSecond * BURST_SECONDS);
  }

  #fill(): void {
    const nowMs = this.#clockMs();
    if (this.#ratePerSecond !== null) {
      const flowed = ((nowMs - this.#filledAtMs) / 1000) * this.#ratePerSecond;
      this.#tokens = Math.min(this.#tokens + flowed, this.#capacity());
    }
    this.#filledAtMs = nowMs;
  }
}

function checkedRate(ratePerSecond: number | null): number | null {
  if (ratePerSecond !== null && !(ratePerSecond > 0 && Number.isFinite(ratePerSecond))) {
    throw new RangeError(`a rate must be above 0 and finite, or null for no limit; got ${ratePerSecond}`);
  }
  return ratePerSecond;
}
