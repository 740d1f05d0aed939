import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bitsFromTarget,
  DIFFICULTY_1_TARGET,
  difficultyFromTarget,
  MAX_TARGET,
  targetFromBits,
  targetFromBytesLE,
  targetFromDifficulty,
  targetToBytesLE,
  workFromTarget,
} from '../../engine/bitcoin/target.js';

const anyTarget = fc
  .tuple(fc.bigInt({ min: 1n, max: MAX_TARGET }), fc.nat(255))
  .map(([value, shift]) => (value >> BigInt(shift) === 0n ? 1n : value >> BigInt(shift)));

describe('compact bits', () => {
  // Bitcoin Core, src/test/arith_uint256_tests.cpp, bignum_SetCompact.
  it.each([
    [0x01123456, 0x12n, 0x01120000],
    [0x02123456, 0x1234n, 0x02123400],
    [0x03123456, 0x123456n, 0x03123456],
    [0x04123456, 0x12345600n, 0x04123456],
    [0x05009234, 0x92340000n, 0x05009234],
    [0x20123456, 0x123456n << 232n, 0x20123456],
    [0x02008000, 0x80n, 0x02008000],
    [0x1d00ffff, DIFFICULTY_1_TARGET, 0x1d00ffff],
    [0x207fffff, 0x7fffffn << 232n, 0x207fffff],
  ])('0x%s reads as Core reads it and goes back to its normal form', (bits, target, normal) => {
    expect(targetFromBits(bits)).toBe(target);
    expect(bitsFromTarget(target)).toBe(normal);
  });

  it.each([
    0, 0x00123456, 0x01003456, 0x02000056, 0x03000000, 0x04000000, 0x00923456, 0x01803456, 0x02800056,
    0x03800000, 0x04800000,
  ])('refuses %i: Core reads zero', (bits) => {
    expect(() => targetFromBits(bits)).toThrow(/zero/);
  });

  it.each([0x01fedcba, 0x04923456])('refuses %i: its sign bit is set', (bits) => {
    expect(() => targetFromBits(bits)).toThrow(/negative/);
  });

  it.each([0xff123456, 0x21010000, 0x22000100, 0x23000001])('refuses %i: it overflows 256 bits', (bits) => {
    expect(() => targetFromBits(bits)).toThrow(/above 256 bits/);
  });

  it.each([0x21000100, 0x2200007f])('takes %i: large exponent, but it still fits 256 bits', (bits) => {
    expect(bitsFromTarget(targetFromBits(bits))).toBeGreaterThan(0);
    expect(targetFromBits(bits) <= MAX_TARGET).toBe(true);
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN])('refuses %d: no uint32', (bits) => {
    expect(() => targetFromBits(bits)).toThrow(RangeError);
  });

  it('of any target stand for the largest compact value not above it', () => {
    fc.assert(
      fc.property(anyTarget, (target) => {
        const compact = targetFromBits(bitsFromTarget(target));
        expect(compact <= target).toBe(true);
        // At least 15 bits of mantissa survive.
        expect((target - compact) * 0x8000n <= target).toBe(true);
        expect(bitsFromTarget(compact)).toBe(bitsFromTarget(target));
      }),
      { seed: 1, numRuns: 1000 },
    );
  });
});

describe('difficulty', () => {
  it('1 is the target 0xffff * 2^208', () => {
    expect(difficultyFromTarget(0xffffn << 208n)).toBe(1);
    expect(targetFromDifficulty(1)).toBe(0xffffn << 208n);
  });

  it.each([
    // getdifficulty of Bitcoin Core for these bits.
    [0x1b04864c, 14484.1623612254],
    [0x1d00ffff, 1],
    [0x207fffff, 4.656542373906925e-10],
    [0x1e0377ae, 0.001126515290698186],
    [0x1b0404cb, 16307.420938523983],
  ])('of bits %i is what the node says', (bits, difficulty) => {
    expect(Math.abs(difficultyFromTarget(targetFromBits(bits)) / difficulty - 1)).toBeLessThan(1e-14);
  });

  it('is the exact integer quotient where there is one', () => {
    expect(targetFromDifficulty(2)).toBe(DIFFICULTY_1_TARGET / 2n);
    expect(targetFromDifficulty(0.5)).toBe(DIFFICULTY_1_TARGET * 2n);
    expect(targetFromDifficulty(3)).toBe(DIFFICULTY_1_TARGET / 3n);
    expect(targetFromDifficulty(2 ** 100)).toBe(DIFFICULTY_1_TARGET >> 100n);
  });

  it('is taken as the double it is: the target is the floor of the exact quotient', () => {
    fc.assert(
      fc.property(fc.double({ min: 3e-10, max: 1e60, noNaN: true }), (difficulty) => {
        const target = targetFromDifficulty(difficulty);
        // difficulty = numerator / 2^1074 exactly; target * difficulty <= D1 < (target + 1) * difficulty.
        const numerator = exactNumerator(difficulty);
        const scaledD1 = DIFFICULTY_1_TARGET << 1074n;
        expect(target * numerator <= scaledD1).toBe(true);
        expect((target + 1n) * numerator > scaledD1).toBe(true);
      }),
      { seed: 2, numRuns: 1000 },
    );
  });

  it('of a target is the nearest double: no neighbour is closer', () => {
    fc.assert(
      fc.property(anyTarget, (target) => {
        const difficulty = difficultyFromTarget(target);
        const distance = (d: number): bigint => {
          const off = target * exactNumerator(d) - (DIFFICULTY_1_TARGET << 1074n);
          return off < 0n ? -off : off;
        };
        expect(distance(difficulty) <= distance(neighbour(difficulty, 1n))).toBe(true);
        expect(distance(difficulty) <= distance(neighbour(difficulty, -1n))).toBe(true);
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  it('of a target whose quotient lies just above the middle of two doubles is rounded up, once', () => {
    expect(difficultyFromTarget(0x4ae716d76de06e5en << 128n)).toBe(14678976376.336939);
  });

  it.each([1e-9, 2.5e-10, 0.001, 0.37, 1, 512, 8192.5, 1e6, 1.2e14])(
    '%d survives the way to a target and back',
    (d) => {
      expect(difficultyFromTarget(targetFromDifficulty(d))).toBe(d);
    },
  );

  it('below one hash a share is capped at the target every hash meets', () => {
    expect(targetFromDifficulty(1e-10)).toBe(MAX_TARGET);
    expect(targetFromDifficulty(1e-12)).toBe(MAX_TARGET);
    expect(workFromTarget(targetFromDifficulty(1e-10))).toBe(1n);
  });

  it.each([0, -1, 9e-13, Number.NaN, Number.POSITIVE_INFINITY, 1e300])('refuses %d', (difficulty) => {
    expect(() => targetFromDifficulty(difficulty)).toThrow(RangeError);
  });

  it('of a target outside 1 .. 2^256-1 does not exist', () => {
    for (const target of [0n, -1n, MAX_TARGET + 1n]) {
      expect(() => difficultyFromTarget(target)).toThrow(RangeError);
      expect(() => bitsFromTarget(target)).toThrow(RangeError);
    }
  });
});

describe('target bytes', () => {
  it('are little-endian: the leading zeros of a hard target come last', () => {
    const bytes = targetToBytesLE(DIFFICULTY_1_TARGET);
    expect([...bytes.subarray(26)]).toEqual([0xff, 0xff, 0, 0, 0, 0]);
    expect(bytes.subarray(0, 26).every((byte) => byte === 0)).toBe(true);
  });

  it('go there and back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAX_TARGET }), (target) => {
        expect(targetFromBytesLE(targetToBytesLE(target))).toBe(target);
      }),
      { seed: 4, numRuns: 500 },
    );
  });

  it('are exactly 32', () => {
    expect(() => targetFromBytesLE(new Uint8Array(31))).toThrow(/32/);
    expect(() => targetToBytesLE(MAX_TARGET + 1n)).toThrow(RangeError);
    expect(() => targetToBytesLE(-1n)).toThrow(RangeError);
  });
});

describe('work', () => {
  it('of difficulty 1 is what Core books for the genesis block', () => {
    expect(workFromTarget(DIFFICULTY_1_TARGET)).toBe(0x100010001n);
  });

  it('is never less than the one hash that was made', () => {
    expect(workFromTarget(MAX_TARGET)).toBe(1n);
    expect(workFromTarget(0n)).toBe(1n << 256n);
    expect(() => workFromTarget(MAX_TARGET + 1n)).toThrow(RangeError);
  });
});

/** value * 2^1074, which is an integer for every double. */
function exactNumerator(value: number): bigint {
  const bits = doubleBits(value);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xfffffffffffffn;
  return exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
}

function neighbour(value: number, step: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, doubleBits(value) + step);
  return view.getFloat64(0);
}

function doubleBits(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}
