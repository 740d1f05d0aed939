// How likely it is that a reserve ever runs out, and what reserve makes that unlikely enough. The reserve creeps down
// with every share and jumps up with every block, blocks being a Poisson process. Let a block bring B on average and
// the shares until then take (1 - f) B: with jumps only upwards, reaching zero from R has probability exp(-x R / B),
// exactly, where x > 0 is the root of (1 - f) x = 1 - exp(-x) (Lundberg's equation for this process; Rosenfeld,
// arXiv 1112.4980, section 2.2 and appendix C, has exp(-2 f R / B) for small f).

export interface RuinInput {
  /** What the reserve holds, and what else stands in for it. */
  reserveSats: bigint;
  /** B: what an average block brings to the reserve. With a part of the pool's work in PPLNS, only the other part. */
  blockSats: bigint;
  /** f: the share of B that stays: 1 - (paid out for one block's worth of shares) / B. */
  keptShare: number;
}

/** Probability that the reserve ever runs out; 1 when nothing stays of a block (f <= 0), however large the reserve. */
export function ruinProbability({ reserveSats, blockSats, keptShare }: RuinInput): number {
  checkBlock(blockSats);
  if (reserveSats <= 0n) return 1;
  return Math.exp((-ruinExponent(keptShare) * Number(reserveSats)) / Number(blockSats));
}

/**
 * The smallest reserve in satoshis, to double precision, that runs out with at most `probability` (above 0, at most 1).
 * Null when no reserve is large enough: f <= 0.
 */
export function reserveForRuin(probability: number, blockSats: bigint, keptShare: number): bigint | null {
  checkBlock(blockSats);
  if (!(probability > 0 && probability <= 1)) throw new RangeError(`ruin probability ${probability}`);
  if (probability === 1) return 0n;
  const exponent = ruinExponent(keptShare);
  if (exponent === 0) return null;
  return BigInt(Math.ceil((-Math.log(probability) * Number(blockSats)) / exponent));
}

/**
 * x: the positive root of (1 - f) x = 1 - exp(-x); about 2f for small f, 1 / (1 - f) for f near 1. 0 for f <= 0,
 * Infinity for f >= 1. Throws RangeError when f is not a number.
 */
export function ruinExponent(keptShare: number): number {
  if (Number.isNaN(keptShare)) throw new RangeError('the kept share of a block is not a number');
  if (keptShare <= 0) return 0;
  if (keptShare >= 1) return Number.POSITIVE_INFINITY;
  // Newton from the right of the root on a convex function: each step goes down until doubles have no smaller one.
  let x = (2 * keptShare) / (1 - keptShare);
  for (let step = 0; step < 100; step++) {
    const next = x - (x * excess(x, keptShare)) / (-Math.expm1(-x) - keptShare);
    if (!(next < x)) break;
    x = next;
  }
  return x;
}

/** 1 - (1 - exp(-x)) / x - f, without the cancellation at either end. */
function excess(x: number, f: number): number {
  if (x >= 1) return 1 - f + Math.expm1(-x) / x;
  let term = 1;
  let sum = 0;
  for (let k = 1; Math.abs(term) > 1e-18 * sum || k === 1; k++) {
    term *= (k === 1 ? x : -x) / (k + 1);
    sum += term;
  }
  return sum - f;
}

function checkBlock(blockSats: bigint): void {
  if (blockSats <= 0n) throw new RangeError(`a block that brings ${blockSats} satoshis keeps no reserve`);
}
