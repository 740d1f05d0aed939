// Exact rational numbers for the money oracle: plain, slow, and nothing of the code under test.
export class Fraction {
  readonly n: bigint;
  /** Above 0; n/d in lowest terms. */
  readonly d: bigint;

  constructor(n: bigint, d = 1n) {
    if (d <= 0n) throw new RangeError('a denominator must be positive');
    const g = gcd(n < 0n ? -n : n, d);
    this.n = n / g;
    this.d = d / g;
  }

  plus(other: Fraction): Fraction {
    return new Fraction(this.n * other.d + other.n * this.d, this.d * other.d);
  }

  minus(other: Fraction): Fraction {
    return new Fraction(this.n * other.d - other.n * this.d, this.d * other.d);
  }

  times(other: Fraction): Fraction {
    return new Fraction(this.n * other.n, this.d * other.d);
  }

  /** Whether `whole` is the floor of this. */
  hasFloor(whole: bigint): boolean {
    return whole * this.d <= this.n && this.n < (whole + 1n) * this.d;
  }
}

export const ZERO = new Fraction(0n);
export const ONE = new Fraction(1n);

export function ppm(parts: number): Fraction {
  return new Fraction(BigInt(parts), 1_000_000n);
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x === 0n ? 1n : x;
}
