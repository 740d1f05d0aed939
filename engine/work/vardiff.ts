// Variable difficulty of one session: how hard its shares must be to arrive at the wished rate. Pure; the caller
// gives the monotonic clock and asks about once a second, also while nothing arrives.
//
// Shares of a steady miner are a Poisson process, so a count n where E was expected says how far off the difficulty is:
// the new one is the old one times (n + 1) / E. It is changed only where chance hardly explains n:
//
//   surge     72 shares before the time of 36 has passed                       p = 8e-8 each 2 min, answer within 1 s
//   silence   no share for the time of 16, and not just few before it          p = 1e-7 each share, answer after 53 s
//   window    n off E by more than 4 sqrt(E), at E = 36 and, summed up,        p = 1e-4 each test
//             at 72, 144 and 288: small errors take longer, below 24 % is left alone
//
// At 18 shares a minute that is one needless retarget in 11.3 days of a session (exact Poisson tails, computed
// in the tests), and two or three to take it back. 18 a minute gives a hashrate with about 10 % noise over 5 minutes, the
// figure ckpool's author argues with.
//
// In steps of powers of two the same lines are drawn from a factor of sqrt(2) off instead of 1: a miner between two
// steps stays on the one it has.

/** Default of `sharesPerMinute`. */
export const SHARES_PER_MINUTE = 18;

const WINDOW_SHARES = 36;
const SURGE_SHARES = 2 * WINDOW_SHARES;
const SILENCE_SHARES = 16;
const DEVIATIONS = 4;
/** Expected shares at which the sum of windows is tested; after the last one it starts again. */
const SUM_TESTS = [72, 144, 288];
/** A burst from a full socket is no surge before this time has passed. */
const SURGE_MIN_MS = 1000;
/** Silences answered at full speed; from then on each waits twice as long, so a farm that only paused is not flooded. */
const QUICK_SILENCES = 3;

/** Of one session: floor and ceiling may be those of its port, or narrower by its own wish. */
export interface VardiffSettings {
  /** Shares a minute to aim at. */
  readonly sharesPerMinute: number;
  /** Lowest difficulty that is ever proposed, unless a block is easier. */
  readonly floor: number;
  /** Highest difficulty that is ever proposed. */
  readonly ceiling: number;
  /** Proposes powers of two only, as far as floor and ceiling leave one. */
  readonly powersOfTwo?: boolean;
}

export class Vardiff {
  readonly #settings: VardiffSettings;
  readonly #sharesPerMs: number;
  /** How many times off is still right. */
  readonly #slack: number;
  #difficulty: number;
  #windowStartMs: number;
  #windowShares = 0;
  #sumStartMs: number;
  #sumShares = 0;
  #sumTest = 0;
  #lastShareMs: number;
  #silences = 0;

  /** `startDifficulty` is what the session was told first, `nowMs` the monotonic clock. */
  constructor(settings: VardiffSettings, startDifficulty: number, nowMs: number) {
    this.#settings = settings;
    this.#sharesPerMs = settings.sharesPerMinute / 60_000;
    this.#slack = settings.powersOfTwo === true ? Math.SQRT2 : 1;
    this.#difficulty = startDifficulty;
    this.#windowStartMs = nowMs;
    this.#sumStartMs = nowMs;
    this.#lastShareMs = nowMs;
  }

  /** Difficulty in force: the last one proposed, or the one reported by `announced` since. */
  get difficulty(): number {
    return this.#difficulty;
  }

  /**
   * Counts an accepted share. `difficulty` is the one its job was sent with: shares of older, easier jobs that
   * arrive after a raise count for less, or the raise would be made twice.
   */
  onShare(nowMs: number, difficulty: number = this.#difficulty): void {
    this.#lastShareMs = nowMs;
    if (this.#silences > 0) {
      // The miner is back: what it does from now on counts, not how long it was away.
      this.#silences = 0;
      this.#restart(this.#difficulty, nowMs);
      return;
    }
    this.#windowShares += Math.min(1, difficulty / this.#difficulty);
  }

  /**
   * Starts again at what the miner was really sent, where that is not what `retarget` proposed (network difficulty, a
   * wish of the miner). It need not lie between floor and ceiling: they hold for what is proposed.
   */
  announced(difficulty: number, nowMs: number): void {
    if (difficulty !== this.#difficulty) this.#restart(difficulty, nowMs);
  }

  /**
   * The difficulty this session should get now, or null to leave it. `ceiling` replaces that of the settings where
   * it is lower: a share harder than a block would hide blocks.
   */
  retarget(nowMs: number, ceiling: number = this.#settings.ceiling): number | null {
    const ratio = this.#ratio(nowMs);
    if (ratio === null) return null;
    const before = this.#difficulty;
    const next = this.#allowed(before * ratio, ceiling);
    this.#restart(next, nowMs);
    return next === before ? null : next;
  }

  #bounded(difficulty: number, ceiling: number): number {
    const { floor, ceiling: highest } = this.#settings;
    return Math.min(ceiling, highest, Math.max(floor, difficulty));
  }

  /** The nearest difficulty that may be announced. */
  #allowed(difficulty: number, ceiling: number): number {
    if (this.#settings.powersOfTwo !== true) return this.#bounded(roundedDifficulty(difficulty), ceiling);
    const bounded = this.#bounded(difficulty, ceiling);
    const power = Math.round(Math.log2(bounded));
    const step = [power, power - 1, power + 1].find((n) => this.#bounded(2 ** n, ceiling) === 2 ** n);
    return step === undefined ? bounded : 2 ** step;
  }

  /** How many times the wished rate the miner delivers, once the evidence is strong; else null. */
  #ratio(nowMs: number): number | null {
    const windowMs = nowMs - this.#windowStartMs;
    const expected = windowMs * this.#sharesPerMs;
    if (this.#windowShares >= SURGE_SHARES * this.#slack && expected < WINDOW_SHARES) {
      return windowMs >= SURGE_MIN_MS ? ratioOf(this.#windowShares, expected) : null;
    }
    const silence = (nowMs - Math.max(this.#lastShareMs, this.#windowStartMs)) * this.#sharesPerMs;
    const patience = SILENCE_SHARES * this.#slack * 2 ** Math.max(0, this.#silences - QUICK_SILENCES + 1);
    // Few shares so far are those of a slow miner: the end of the window says how slow.
    const isSlow = this.#windowShares >= 1 && this.#windowShares < expected / 3;
    if (silence >= patience && !isSlow) {
      this.#silences++;
      return ratioOf(0, SILENCE_SHARES);
    }
    // An empty window is a silence, and that has its own pace.
    if (expected < WINDOW_SHARES || this.#windowShares === 0) return null;
    if (isOff(this.#windowShares, expected, this.#slack)) return ratioOf(this.#windowShares, expected);
    return this.#closeWindow(nowMs);
  }

  #closeWindow(nowMs: number): number | null {
    this.#sumShares += this.#windowShares;
    this.#windowShares = 0;
    this.#windowStartMs = nowMs;
    const expected = (nowMs - this.#sumStartMs) * this.#sharesPerMs;
    if (expected < (SUM_TESTS[this.#sumTest] ?? 0)) return null;
    if (isOff(this.#sumShares, expected, this.#slack)) return ratioOf(this.#sumShares, expected);
    this.#sumTest++;
    if (this.#sumTest === SUM_TESTS.length) this.#restartSum(nowMs);
    return null;
  }

  #restart(difficulty: number, nowMs: number): void {
    this.#difficulty = difficulty;
    this.#windowStartMs = nowMs;
    this.#windowShares = 0;
    this.#restartSum(nowMs);
  }

  #restartSum(nowMs: number): void {
    this.#sumStartMs = nowMs;
    this.#sumShares = 0;
    this.#sumTest = 0;
  }
}

/**
 * Eight significant bits, and whole numbers from 1 up: firmware that keeps the difficulty in a float or an integer then
 * works to the very same target as the pool. Off by at most 0.4 % below 1 and above 128, by at most 0.5 between.
 */
export function roundedDifficulty(difficulty: number): number {
  const eightBits = 2 ** (Math.floor(Math.log2(difficulty)) - 7);
  const unit = difficulty < 1 ? eightBits : Math.max(1, eightBits);
  return Math.round(difficulty / unit) * unit;
}

function ratioOf(shares: number, expected: number): number {
  return (shares + 1) / expected;
}

function isOff(shares: number, expected: number, slack: number): boolean {
  const most = expected * slack;
  const least = expected / slack;
  return shares > most + DEVIATIONS * Math.sqrt(most) || shares < least - DEVIATIONS * Math.sqrt(least);
}
