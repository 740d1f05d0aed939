// Compact bits, 256-bit targets, difficulty and work. A share or block counts when its header hash, read as a
// little-endian integer, is at most the target. Everything credited is an integer target; a difficulty is
// a double only where miners and people read it.
// Rules: Bitcoin Core arith_uint256.cpp (SetCompact, GetCompact) and chain.cpp (GetBlockProof).

/** Target of difficulty 1: 0xffff * 2^208, what bits 0x1d00ffff stand for. */
export const DIFFICULTY_1_TARGET = 0xffffn << 208n;

/** The largest 256-bit integer: the target that every hash meets. */
export const MAX_TARGET = (1n << 256n) - 1n;

/** Smallest difficulty that is accepted as a number. Below about 2.3e-10 every hash counts anyway. */
export const MIN_DIFFICULTY = 1e-12;

/**
 * Target that compact `bits` (uint32, nBits of a header) stand for.
 * Throws RangeError when it is negative, larger than 256 bits, or zero: no header may carry such bits.
 */
export function targetFromBits(bits: number): bigint {
  if (!Number.isInteger(bits) || bits < 0 || bits > 0xffffffff)
    throw new RangeError(`bits ${bits} are not a uint32`);
  const size = bits >>> 24;
  let word = bits & 0x007fffff;
  if (size < 3) word >>>= 8 * (3 - size);
  const shown = `bits 0x${bits.toString(16).padStart(8, '0')}`;
  if (word === 0) throw new RangeError(`${shown} are a target of zero`);
  if ((bits & 0x00800000) !== 0) throw new RangeError(`${shown} are a negative target`);
  if (size > 34 || (word > 0xff && size > 33) || (word > 0xffff && size > 32)) {
    throw new RangeError(`${shown} are a target above 256 bits`);
  }
  return size <= 3 ? BigInt(word) : BigInt(word) << BigInt(8 * (size - 3));
}

/** Compact bits of `target` (1 .. 2^256-1), rounded down to 23 bits of mantissa as consensus does. */
export function bitsFromTarget(target: bigint): number {
  checkTarget(target);
  let size = Math.ceil(target.toString(2).length / 8);
  let word = Number(size <= 3 ? target << BigInt(8 * (3 - size)) : target >> BigInt(8 * (size - 3)));
  // The top mantissa bit is a sign: where the value needs it, one byte moves to the exponent.
  if ((word & 0x00800000) !== 0) {
    word >>>= 8;
    size += 1;
  }
  return ((size << 24) | word) >>> 0;
}

/** Difficulty of `target` (1 .. 2^256-1): 0xffff * 2^208 / target, rounded once to the nearest double. */
export function difficultyFromTarget(target: bigint): number {
  checkTarget(target);
  // At least 64 quotient bits, the last one sticky: the conversion to double then rounds exactly once.
  const shift = Math.max(0, target.toString(2).length - DIFFICULTY_1_TARGET.toString(2).length + 66);
  const numerator = DIFFICULTY_1_TARGET << BigInt(shift);
  const quotient = numerator / target;
  const sticky = quotient * target === numerator ? 0n : 1n;
  return Number(quotient | sticky) * 2 ** -shift;
}

/**
 * The exact target that a difficulty announces: floor(0xffff * 2^208 / difficulty), the double taken as the
 * rational number it is, at most 2^256-1.
 * Throws RangeError unless the difficulty is finite, at least 1e-12 and small enough to leave a target of 1.
 */
export function targetFromDifficulty(difficulty: number): bigint {
  if (!Number.isFinite(difficulty) || difficulty < MIN_DIFFICULTY) {
    throw new RangeError(`difficulty ${difficulty} is not a finite number of at least ${MIN_DIFFICULTY}`);
  }
  const { mantissa, exponent } = exactDouble(difficulty);
  const target =
    exponent >= 0
      ? DIFFICULTY_1_TARGET / (mantissa << BigInt(exponent))
      : (DIFFICULTY_1_TARGET << BigInt(-exponent)) / mantissa;
  if (target === 0n) throw new RangeError(`difficulty ${difficulty} leaves no hash that could meet it`);
  return target > MAX_TARGET ? MAX_TARGET : target;
}

/** `target` (0 .. 2^256-1) as 32 bytes, little-endian: compares with a header hash from the last byte down. */
export function targetToBytesLE(target: bigint): Uint8Array {
  if (target < 0n || target > MAX_TARGET) throw new RangeError(`target ${target} does not fit 256 bits`);
  return new Uint8Array(Buffer.from(target.toString(16).padStart(64, '0'), 'hex')).reverse();
}

/** The 256-bit integer of 32 little-endian bytes: a target, or a header hash to compare with one. */
export function targetFromBytesLE(bytes: Uint8Array): bigint {
  if (bytes.length !== 32) throw new RangeError(`a target has 32 bytes, not ${bytes.length}`);
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

/** Expected hashes to meet `target` (0 .. 2^256-1): floor(2^256 / (target + 1)), at least 1. */
export function workFromTarget(target: bigint): bigint {
  if (target < 0n || target > MAX_TARGET) throw new RangeError(`target ${target} does not fit 256 bits`);
  return (1n << 256n) / (target + 1n);
}

function checkTarget(target: bigint): void {
  if (target <= 0n || target > MAX_TARGET)
    throw new RangeError(`target ${target} is not within 1 .. 2^256-1`);
}

/** mantissa * 2^exponent === value, exactly, for a positive normal double. */
function exactDouble(value: number): { mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn) - 1075;
  return { mantissa: (bits & 0xfffffffffffffn) | 0x10000000000000n, exponent };
}
