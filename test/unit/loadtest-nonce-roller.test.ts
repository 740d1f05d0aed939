import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../engine/bitcoin/hex.js';
import { depositBits, NONCES_PER_HEADER, NonceRoller } from '../../loadtest/nonce-roller.js';

describe('search space of one miner', () => {
  it('never gives out the same extranonce2 and nonce twice, however the pool changes mask and length', () => {
    const step = fc.record({
      count: fc.integer({ min: 1, max: 2 * NONCES_PER_HEADER }),
      extranonce2Bytes: fc.constantFrom(0, 1, 4, 8),
      mask: fc.constantFrom(0, 0x1fffe000, 0x00002000, 0xffffffff),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 400 }), (steps) => {
        const roller = new NonceRoller();
        const nextFree = new Map<string, number>();
        for (const { count, extranonce2Bytes, mask } of steps) {
          const range = roller.next(count, extranonce2Bytes, mask);
          if (range === null) throw new Error('such a small walk cannot exhaust the space');
          expect(range.extranonce2).toHaveLength(extranonce2Bytes);
          expect(range.count).toBeGreaterThanOrEqual(1);
          expect(range.count).toBeLessThanOrEqual(count);
          expect((range.versionBits & ~mask) >>> 0).toBe(0);
          const key = `${extranonce2Bytes}:${bytesToHex(range.extranonce2)}`;
          expect(range.firstNonce).toBeGreaterThanOrEqual(nextFree.get(key) ?? 0);
          nextFree.set(key, range.firstNonce + range.count);
        }
      }),
      { seed: 20261121, numRuns: 100 },
    );
  });

  it('walks every nonce of every extranonce2 once, then says that nothing is left', () => {
    const roller = new NonceRoller();
    let visited = 0;
    let last = -1;
    for (;;) {
      const range = roller.next(NONCES_PER_HEADER, 0, 0);
      if (range === null) break;
      expect(range.firstNonce).toBe(last + 1);
      last = range.firstNonce + range.count - 1;
      visited += range.count;
    }
    expect(visited).toBe(2 ** 32);
    expect(roller.next(1, 0, 0x1fffe000)).toBeNull();
    expect(roller.next(1, 1, 0)).not.toBeNull();
  });

  it('rolls extranonce2 with each header, most significant byte first, and version bits with it', () => {
    const roller = new NonceRoller();
    const ranges = Array.from({ length: 300 }, () => roller.next(NONCES_PER_HEADER, 2, 0x1fffe000));
    expect(ranges.map((range) => range && bytesToHex(range.extranonce2))).toEqual(
      Array.from({ length: 300 }, (_, i) => i.toString(16).padStart(4, '0')),
    );
    expect(new Set(ranges.map((range) => range?.versionBits)).size).toBe(300);
  });

  it('puts the bits of a number into the set bits of a mask', () => {
    expect(depositBits(0b101, 0x1fffe000)).toBe(0b101 << 13);
    expect(depositBits(0b11, 0x80000001)).toBe(0x80000001);
    expect(depositBits(7, 0)).toBe(0);
    expect(depositBits(2 ** 40 + 1, 0xffffffff)).toBe(1);
  });
});
