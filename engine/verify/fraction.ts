// Exact rational numbers: plain, and nothing of the code that posts credits.

/** From here on a fraction is brought to lowest terms; below, that costs more than it saves. */
const LONG = 1n << 2048n;

export class Fraction {
  readonly n: bigint;
  /** Above 0. Not in lowest terms. */
  readonly d: bigint;

  constructor(n: bigint, d = 1n) {
    if (d <= 0n) throw new RangeError('a denominator must be positive');
    if (d < LONG) {
      this.n = n;
      this.d = d;
      return;
    }
    const common = greatestDivisor(n < 0n ? -n : n, d);
    this.n = n / common;
    this.d = d / common;
  }

  plus(other: Fraction): Fraction {
    if (this.d === other.d) return new Fraction(this.n + other.n, this.d);
    if (this.d % other.d === 0n) return new Fraction(this.n + other.n * (this.d / other.d), this.d);
    if (other.d % this.d === 0n) return new Fraction(this.n * (other.d / this.d) + other.n, other.d);
    return new Fraction(this.n * other.d + other.n * this.d, this.d * other.d);
  }

  minus(other: Fraction): Fraction {
    return this.plus(new Fraction(-other.n, other.d));
  }

  times(other: Fraction): Fraction {
    return new Fraction(this.n * other.n, this.d * other.d);
  }

  equals(other: Fraction): boolean {
    return this.n * other.d === other.n * this.d;
  }

  /** The greatest whole number that is not above this one. */
  floor(): bigint {
    const towardsZero = this.n / this.d;
    return this.n < 0n && towardsZero * this.d !== this.n ? towardsZero - 1n : towardsZero;
  }
}

export const ZERO = new Fraction(0n);

/** Parts per million as a fraction. */
export function ppm(parts: number): Fraction {
  return new Fraction(BigInt(parts), 1_000_000n);
}

function greatestDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x === 0n ? 1n : x;
}
