// When bad work costs a session its connection. Judged about once a second from two counters; pure.
//
// The rule. A score goes up by 1 for each invalid share and down by 3 for each valid one, from 0 to 40. It can
// only grow while more than 3 of 4 shares are bad. A session is struck when its score has been above 0 for
// 60 s, is 20 or more, and the last second was bad too. Then it starts at 0 again, and the next strike needs
// another 60 s and 20 points. The ladder is ckpool's (60, 120, 180 s; its stratifier.c); by share of work, never
// by one reject, it spares honest farms (miningcore#1695).
//   strike   1 new job   2 client.reconnect   3 drop
// Only junk, at 30 a minute or more, is dropped after 180 s and before 195 s.
// Forgiven: 20 valid shares in a row after a strike (60 points down in all), or 30 minutes without a further
// strike. So junk below 40 shares an hour is offered new jobs and no more.
// A miner that recovers leaves 40 points behind with 14 valid shares, 47 s at the usual 18 a minute.
// Flood: a score of its own without upper end; at an average of 50 points a second for 15 s or more, drop at
// once. That is longer than what the fullest proxy has in flight when the tip moves.
//
// Honest farms. For independent rejects at rate p the score is a random walk that steps up by one, so a spell
// that starts with a reject reaches 20 with probability x^-19, where p x + (1-p) x^-3 = 1 and x > 1:
//   p = 2 %: 5e-33   5 %: 2e-25   20 %: 6e-14   40 %: 6e-8
// A proxy with 10,000 shares/s and 2 % rejects has 6e9 such spells a year: 3e-23, and the spell would have to
// last 60 s as well. Rejects that come together (stale after a tip, a farm's network back after a cut) last
// seconds and end with valid work.

/** Strikes that a session and its memory can hold; the next one is the drop. */
const STRIKES_MAX = 2;
const VALID_OUTWEIGHS = 3;
const EVIDENCE = 20;
const SCORE_MAX = 2 * EVIDENCE;
const STEP_MS = 60_000;
const FORGIVEN = 20 * VALID_OUTWEIGHS;
const FORGOTTEN_MS = 30 * 60_000;
const FLOOD_MS = 15_000;
const FLOOD_PER_MS = 50 / 1000;

export type Judgement = 'fine' | 'new_job' | 'reconnect' | 'drop';

const LADDER: readonly Judgement[] = ['new_job', 'reconnect', 'drop'];

/** How long a session dropped for its work should stay away; the ban list doubles it for repetition. */
export const DROPPED_FOR_SECONDS = 600;

export class Conduct {
  #score = 0;
  /** When the score left 0, or the last strike. */
  #sinceMs = 0;
  #strikes = 0;
  #flood = 0;
  #floodSinceMs = 0;
  #valid = 0;
  #invalid = 0;

  /** 0 to 2: strikes that are not forgiven yet. */
  get strikes(): number {
    return this.#strikes;
  }

  /**
   * What to do with this session now. To be called about once a second; each strike is told once.
   * @param nowMs monotonic milliseconds
   * @param valid shares of this session that were good work so far, also such that we could not store
   * @param invalid all other shares answered so far
   */
  judge(nowMs: number, valid: number, invalid: number): Judgement {
    const change = invalid - this.#invalid - VALID_OUTWEIGHS * (valid - this.#valid);
    this.#valid = valid;
    this.#invalid = invalid;
    if (this.#isFlood(nowMs, change)) {
      this.resume(STRIKES_MAX, nowMs);
      return 'drop';
    }
    if (this.#strikes === 0 && this.#score === 0) this.#sinceMs = nowMs;
    const least = this.#strikes === 0 ? 0 : -FORGIVEN;
    this.#score = Math.min(SCORE_MAX, Math.max(least, this.#score + change));
    const ageMs = nowMs - this.#sinceMs;
    if (this.#strikes > 0 && (this.#score === -FORGIVEN || ageMs >= FORGOTTEN_MS)) {
      this.resume(0, nowMs);
      return 'fine';
    }
    if (this.#score < EVIDENCE || change <= 0 || ageMs < STEP_MS) return 'fine';
    const judgement = LADDER[this.#strikes] as Judgement;
    this.resume(Math.min(this.#strikes + 1, STRIKES_MAX), nowMs);
    return judgement;
  }

  #isFlood(nowMs: number, change: number): boolean {
    if (this.#flood === 0) this.#floodSinceMs = nowMs;
    this.#flood = Math.max(0, this.#flood + change);
    const ageMs = nowMs - this.#floodSinceMs;
    return ageMs >= FLOOD_MS && this.#flood >= ageMs * FLOOD_PER_MS;
  }

  /** Goes on with strikes of an earlier session. The next one needs its 60 s and its 20 bad shares anew. */
  resume(strikes: number, nowMs: number): void {
    this.#strikes = strikes;
    this.#score = 0;
    this.#sinceMs = nowMs;
  }
}

/** Peers whose strikes outlive their connection, at most. */
export const STRIKES_REMEMBERED_MAX = 10_000;

/**
 * Carries strikes over a reconnect, which would wipe them out otherwise. Keyed by what the caller takes for
 * the same miner (address and user name). When full, the oldest is forgotten.
 */
export class StrikeMemory {
  readonly #kept = new Map<string, { strikes: number; atMs: number }>();

  get size(): number {
    return this.#kept.size;
  }

  /** At the end of a session. */
  keep(miner: string, conduct: Conduct, nowMs: number): void {
    if (conduct.strikes === 0) return;
    this.#kept.delete(miner);
    if (this.#kept.size >= STRIKES_REMEMBERED_MAX) {
      const oldest = this.#kept.keys().next();
      if (!oldest.done) this.#kept.delete(oldest.value);
    }
    this.#kept.set(miner, { strikes: conduct.strikes, atMs: nowMs });
  }

  /** When a session authorizes. The strikes move: of many machines under one name only the first has them. */
  recall(miner: string, conduct: Conduct, nowMs: number): void {
    const kept = this.#kept.get(miner);
    if (kept === undefined) return;
    this.#kept.delete(miner);
    if (nowMs - kept.atMs < FORGOTTEN_MS) conduct.resume(kept.strikes, nowMs);
  }
}

const STRANGER_BURST = 100;
const AUTHORIZED_BURST = 5000;
const REFILL_PER_MS = 100 / 1000;

/**
 * Bounds the requests that are no shares (subscribe, authorize, unknown methods): 100 a second, and a burst
 * of 100 before a worker is authorized, 5,000 after, since a proxy authorizes its workers one by one in one
 * go. Shares are bounded by what is in flight, and judged above.
 */
export class FloodGuard {
  #burst = STRANGER_BURST;
  #tokens = STRANGER_BURST;
  #filledAtMs: number;

  /** `nowMs` is the monotonic clock. */
  constructor(nowMs: number) {
    this.#filledAtMs = nowMs;
  }

  /** Once the first worker is authorized. Further calls do nothing. */
  authorized(): void {
    this.#tokens += AUTHORIZED_BURST - this.#burst;
    this.#burst = AUTHORIZED_BURST;
  }

  /** Counts one request that is no share. */
  onRequest(nowMs: number): 'fine' | 'drop' {
    const refilled = this.#tokens + (nowMs - this.#filledAtMs) * REFILL_PER_MS;
    this.#filledAtMs = nowMs;
    this.#tokens = Math.min(this.#burst, refilled);
    if (this.#tokens < 1) return 'drop';
    this.#tokens--;
    return 'fine';
  }
}
