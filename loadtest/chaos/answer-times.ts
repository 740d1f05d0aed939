// How long miners wait for answers, and whether answers ever stop coming: of one phase of an outage run, all miners
// together. Pure but for the times it is given.

/** Answers counted in buckets of a factor 2^(1/8): a quantile is at most 9 % too high. */
const BUCKETS_PER_DOUBLING = 8;
const BUCKETS = 8 * 24;
/** Lower edge of the first bucket. */
const FIRST_MS = 0.01;
/** A process that was held up for so long may rightly make vardiff think that a miner changed. */
const HELD_UP_MS = 1500;
const HELD_UP_FOR_MS = 5000;

export interface PhaseAnswers {
  readonly seconds: number;
  readonly accepted: number;
  readonly stale: number;
  /** Refused because the pool could not store them. */
  readonly notStored: number;
  /** Sessions that ended. */
  readonly dropped: number;
  /** Longest time without an accepted share; one that began in the phase before counts in full. */
  readonly gapMs: number;
  /** Of all answers; 0 when there were none. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Largest ratio of two difficulties of one session, one after the other, while no process was held up. */
  readonly retargetMax: number;
  /** How often that ratio was above RETARGET_MAX. */
  readonly leaps: number;
}

/** Vardiff may move a steady miner by so much at once. */
export const RETARGET_MAX = 2;

export class AnswerTimes {
  readonly #counts = new Uint32Array(BUCKETS);
  #sinceMs: number;
  #lastAcceptedMs: number;
  #answers = 0;
  #accepted = 0;
  #gapMs = 0;
  #maxMs = 0;
  #retargetMax = 1;
  #leaps = 0;
  #heldUpMs = Number.NEGATIVE_INFINITY;
  stale = 0;
  notStored = 0;
  dropped = 0;

  /** @param nowMs monotonic milliseconds, as everywhere here */
  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
    this.#lastAcceptedMs = nowMs;
  }

  answered(nowMs: number, tookMs: number): void {
    this.waited(nowMs, tookMs);
    const bucket = Math.floor(Math.log2(Math.max(tookMs, FIRST_MS) / FIRST_MS) * BUCKETS_PER_DOUBLING);
    const index = Math.min(bucket, BUCKETS - 1);
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#answers++;
    this.#maxMs = Math.max(this.#maxMs, tookMs);
  }

  accepted(nowMs: number): void {
    this.#accepted++;
    this.#gapMs = Math.max(this.#gapMs, nowMs - this.#lastAcceptedMs);
    this.#lastAcceptedMs = nowMs;
  }

  /** A miner was told another difficulty. @param ratio of the two */
  retargeted(nowMs: number, ratio: number): void {
    if (nowMs - this.#heldUpMs < HELD_UP_FOR_MS) return;
    const move = Math.max(ratio, 1 / ratio);
    this.#retargetMax = Math.max(this.#retargetMax, move);
    if (move > RETARGET_MAX) this.#leaps++;
  }

  /** Somebody was late by `ms`. */
  waited(nowMs: number, ms: number): void {
    if (ms > HELD_UP_MS) this.#heldUpMs = nowMs;
  }

  /** What came since the phase began; the next one begins now. */
  next(nowMs: number): PhaseAnswers {
    const phase = {
      seconds: (nowMs - this.#sinceMs) / 1000,
      ...{ accepted: this.#accepted, stale: this.stale, notStored: this.notStored, dropped: this.dropped },
      gapMs: Math.max(this.#gapMs, nowMs - this.#lastAcceptedMs),
      ...{ p50Ms: this.#quantile(0.5), p99Ms: this.#quantile(0.99), maxMs: this.#maxMs },
      ...{ retargetMax: this.#retargetMax, leaps: this.#leaps },
    };
    this.#counts.fill(0);
    this.#sinceMs = nowMs;
    this.#answers = this.#accepted = this.#gapMs = this.#maxMs = 0;
    this.#retargetMax = 1;
    this.#leaps = 0;
    this.stale = this.notStored = this.dropped = 0;
    return phase;
  }

  /** After a rest that was asked for: no gap. */
  resume(nowMs: number): void {
    this.#lastAcceptedMs = nowMs;
  }

  /** Upper edge of the bucket that holds it. */
  #quantile(q: number): number {
    let left = Math.ceil(this.#answers * q);
    if (left === 0) return 0;
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#counts[i] as number;
      if (left <= 0) return FIRST_MS * 2 ** ((i + 1) / BUCKETS_PER_DOUBLING);
    }
    return this.#maxMs;
  }
}
