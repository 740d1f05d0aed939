// Quantiles of the gamma distribution (scale 1), which give the exact bounds of Poisson counts: a chi-square quantile
// with 2k degrees of freedom is twice the gamma quantile of shape k. Used by hashrate.ts.
// Incomplete gamma by its series and continued fraction: NIST Digital Library of Mathematical Functions 8.7.1, 8.9.2
// (https://dlmf.nist.gov/8); first guess by Wilson and Hilferty, PNAS 17 (1931) 684.

/** From this shape on the first guess is used as it is: its relative error is below 1e-7 for the tails we ask for. */
const APPROXIMATE_FROM_SHAPE = 20_000;
const ROUNDS_MAX = 100;
const SERIES_TERMS_MAX = 5000;
const PRECISION = 1e-13;

/** Lanczos coefficients (g = 7, n = 9) of ln Gamma, good to 1e-15. */
const LANCZOS = [
  0.999_999_999_999_809_9, 676.520_368_121_885_1, -1259.139_216_722_402_8, 771.323_428_777_653_1,
  -176.615_029_162_140_6, 12.507_343_278_686_905, -0.138_571_095_265_720_12, 9.984_369_578_019_572e-6,
  1.505_632_735_149_311_6e-7,
] as const;

/**
 * x such that a gamma variable of `shape` (scale 1) is below x with `probability`.
 * @param shape > 0
 * @param z the standard normal quantile of `probability`: for 0.975 that is 1.959964
 * @throws RangeError outside those ranges
 */
export function gammaQuantile(probability: number, shape: number, z: number): number {
  if (!(shape > 0) || !Number.isFinite(shape))
    throw new RangeError(`shape ${shape} is not a positive number`);
  if (!(probability > 0 && probability < 1))
    throw new RangeError(`probability ${probability} is not within 0..1`);
  const guess = shape * (1 - 1 / (9 * shape) + z / (3 * Math.sqrt(shape))) ** 3;
  if (shape >= APPROXIMATE_FROM_SHAPE) return guess;

  // Newton steps, kept inside a bracket that halves when a step would leave it.
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  let x = guess > 0 ? guess : (probability * Math.exp(lnGamma(shape + 1))) ** (1 / shape);
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const excess = lowerGamma(shape, x) - probability;
    if (excess > 0) high = x;
    else low = x;
    const density = Math.exp((shape - 1) * Math.log(x) - x - lnGamma(shape));
    let next = x - excess / density;
    if (!(next > low && next < high)) next = high === Number.POSITIVE_INFINITY ? x * 2 : (low + high) / 2;
    if (Math.abs(next - x) <= PRECISION * x) return next;
    x = next;
  }
  return x;
}

/** Regularized lower incomplete gamma function P(shape, x): the chance that the variable is below x. */
export function lowerGamma(shape: number, x: number): number {
  if (x <= 0) return 0;
  const scale = Math.exp(shape * Math.log(x) - x - lnGamma(shape));
  if (x < shape + 1) {
    let term = 1 / shape;
    let sum = term;
    for (let n = 1; n < SERIES_TERMS_MAX && term > sum * 1e-16; n++) {
      term *= x / (shape + n);
      sum += term;
    }
    return scale * sum;
  }
  // Modified Lentz evaluation of the continued fraction of the upper function.
  const tiny = 1e-300;
  let b = x + 1 - shape;
  let c = 1 / tiny;
  let d = 1 / b;
  let h = d;
  for (let n = 1; n < SERIES_TERMS_MAX; n++) {
    const a = -n * (n - shape);
    b += 2;
    d = 1 / nonZero(a * d + b, tiny);
    c = nonZero(b + a / c, tiny);
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return 1 - scale * h;
}

/** Natural logarithm of the gamma function, for x > 0. */
function lnGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - lnGamma(1 - x);
  const y = x - 1;
  let sum: number = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i++) sum += (LANCZOS[i] as number) / (y + i);
  const t = y + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (y + 0.5) * Math.log(t) - t + Math.log(sum);
}

function nonZero(value: number, tiny: number): number {
  return Math.abs(value) < tiny ? tiny : value;
}
