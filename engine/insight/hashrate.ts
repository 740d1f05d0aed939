// Hashrate from credited shares, with the band that honest statistics allow. A share of target t arrives as a Poisson
// event and stands for 2^256/(t+1) hashes, so
//     hashrate = sum of credited work / seconds
// and its uncertainty is that of a weighted sum of Poisson counts. Band: Fay and Feuer, "Confidence intervals for
// directly standardized rates: a method based on the gamma distribution", Statistics in Medicine 16 (1997) 791-801.
// With y = sum of w, v = sum of w^2, m = the largest w, all w being the work of one share:
//     low  = (v / y) * gamma(0.025; y^2 / v)
//     high = ((v + m^2) / (y + m)) * gamma(0.975; (y + m)^2 / (v + m^2))
// Where all shares weigh the same these are Garwood's exact bounds, chi2(0.025; 2n)/2 and chi2(0.975; 2n+2)/2 times
// w. Without any share low is 0 and high 3.69 m: silence, too, is information.
import { gammaQuantile } from './gamma-quantile.js';

const TAIL = 0.025;
/** Standard normal quantile of 0.975. */
const Z = 1.959_963_984_540_054;

/** What was credited in some span of time; `work` in hashes. */
export interface CreditedWork {
  readonly work: number;
  readonly shares: number;
  /** Sum of the squares of the work of each share. */
  readonly squares: number;
  /** Work of the heaviest share; without shares: of the share that would be sent next, 0 when not known. */
  readonly heaviest: number;
}

/** Hashes per second, with a 95 % confidence band. */
export interface Hashrate {
  readonly hs: number;
  readonly low: number;
  /** Infinity when there was no share and no difficulty is known. */
  readonly high: number;
  readonly shares: number;
  readonly seconds: number;
}

/**
 * Hashrate over `seconds` (> 0, monotonic time).
 * @throws RangeError on a span that is not positive
 */
export function estimateHashrate(credited: CreditedWork, seconds: number): Hashrate {
  if (!(seconds > 0)) throw new RangeError(`a hashrate needs a span of time, not ${seconds} s`);
  const { work: y, squares: v, heaviest: m, shares } = credited;
  const high =
    m > 0
      ? ((v + m * m) / (y + m)) * gammaQuantile(1 - TAIL, (y + m) ** 2 / (v + m * m), Z)
      : Number.POSITIVE_INFINITY;
  const low = y > 0 ? (v / y) * gammaQuantile(TAIL, (y * y) / v, -Z) : 0;
  return { hs: y / seconds, low: low / seconds, high: high / seconds, shares, seconds };
}

/**
 * Credited work over a sliding window, in a fixed number of time buckets: memory does not grow with shares. The
 * oldest bucket leaves as a whole, so the span is exact to one bucket and `seconds` says what it really is.
 *
 *      oldest                                newest
 *     | bucket | bucket |   ...   | bucket | bucket (filling) |
 *              '------ window: the last N buckets -----'
 */
export class HashrateWindow {
  readonly #bucketMs: number;
  readonly #size: number;
  readonly #startMs: number;
  /** Number of the newest bucket, counted from #startMs. */
  #newest = 0;
  readonly #work: Float64Array;
  readonly #squares: Float64Array;
  readonly #heaviest: Float64Array;
  readonly #shares: Float64Array;

  /**
   * @param windowMs length of the window
   * @param startMs monotonic time from which on shares would have been seen
   * @param buckets parts that the window moves in; 60: its length is exact to 1.7 %
   */
  constructor(windowMs: number, startMs: number, buckets = 60) {
    if (!(windowMs > 0) || !(buckets >= 1))
      throw new RangeError('a window needs a length and at least one bucket');
    this.#bucketMs = windowMs / buckets;
    this.#size = buckets + 1;
    this.#startMs = startMs;
    this.#work = new Float64Array(this.#size);
    this.#squares = new Float64Array(this.#size);
    this.#heaviest = new Float64Array(this.#size);
    this.#shares = new Float64Array(this.#size);
  }

  /**
   * Adds `shares` shares of together `work` hashes, credited at `atMs` (monotonic). Where they do not all weigh the
   * same, say what the squares of their works sum to and what the heaviest was, or the band comes out too narrow.
   */
  add(
    atMs: number,
    work: number,
    shares: number,
    squares: number = (work * work) / shares,
    heaviest: number = work / shares,
  ): void {
    if (shares <= 0) return;
    const bucket = Math.floor((atMs - this.#startMs) / this.#bucketMs);
    this.#moveTo(bucket);
    // Late news of a time that left the window would stretch the estimate.
    if (bucket < 0 || bucket <= this.#newest - this.#size) return;
    const place = bucket % this.#size;
    this.#work[place] = (this.#work[place] ?? 0) + work;
    this.#squares[place] = (this.#squares[place] ?? 0) + squares;
    this.#shares[place] = (this.#shares[place] ?? 0) + shares;
    this.#heaviest[place] = Math.max(this.#heaviest[place] ?? 0, heaviest);
  }

  /**
   * The estimate at `nowMs` (monotonic).
   * @param nextShareWork work of the share that a miner would send now: bounds the hashrate of one that sent none
   */
  estimate(nowMs: number, nextShareWork = 0): Hashrate {
    const bucket = Math.floor((nowMs - this.#startMs) / this.#bucketMs);
    this.#moveTo(bucket);
    const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
    const oldestMs = this.#startMs + Math.max(0, this.#newest - this.#size + 1) * this.#bucketMs;
    const credited = {
      work: sum(this.#work),
      squares: sum(this.#squares),
      shares: sum(this.#shares),
      heaviest: this.#heaviest.reduce((most, value) => Math.max(most, value), nextShareWork),
    };
    // At the very start a span of nearly nothing would make any share look like a huge hashrate.
    return estimateHashrate(credited, Math.max(1, nowMs - oldestMs) / 1000);
  }

  /** Empties the buckets that time has passed over. */
  #moveTo(bucket: number): void {
    if (bucket <= this.#newest) return;
    const steps = Math.min(bucket - this.#newest, this.#size);
    for (let step = 0; step < steps; step++) {
      const place = (bucket - step) % this.#size;
      this.#work[place] = 0;
      this.#squares[place] = 0;
      this.#shares[place] = 0;
      this.#heaviest[place] = 0;
    }
    this.#newest = bucket;
  }
}

const UNITS = ['H/s', 'kH/s', 'MH/s', 'GH/s', 'TH/s', 'PH/s', 'EH/s', 'ZH/s'] as const;

/** For people: `81.2 kH/s`, three digits. The API itself carries plain H/s. */
export function formatHashrate(hs: number): string {
  if (!Number.isFinite(hs)) return 'unknown';
  let value = hs;
  let unit = 0;
  // 999.5 would be shown as 1000 of the smaller unit.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = value >= 99.95 || value === 0 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** For the API: a whole number of H/s as decimal text, never in exponent form. Null for an unknown bound. */
export function hashrateText(hs: number): string | null {
  return Number.isFinite(hs) ? BigInt(Math.round(hs)).toString() : null;
}
