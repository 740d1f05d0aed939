import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256, sha256d } from '../../engine/bitcoin/hash.js';
import {
  bytesToHex,
  displayHash,
  hashFromDisplay,
  hexToBytes,
  isHex,
  reversed,
} from '../../engine/bitcoin/hex.js';

const abc = new TextEncoder().encode('abc');

describe('hash', () => {
  it('gives the SHA-256 of FIPS 180-4', () => {
    expect(bytesToHex(sha256(abc))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(bytesToHex(sha256(new Uint8Array(0)))).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
  });

  it('doubles it', () => {
    expect(sha256d(abc)).toEqual(sha256(sha256(abc)));
  });

  it('hashes a view, not the memory behind it', () => {
    const wide = new Uint8Array([9, ...abc, 9]);
    expect(sha256(wide.subarray(1, 4))).toEqual(sha256(abc));
  });
});

describe('hex', () => {
  it('reads both cases and writes the lower one', () => {
    expect([...hexToBytes('00fFAb')]).toEqual([0, 255, 171]);
    expect(bytesToHex(Uint8Array.of(0, 255, 171))).toBe('00ffab');
    expect(hexToBytes('')).toHaveLength(0);
  });

  it.each(['0', 'abc', '0x12', '0g', 'zz', '12 3', ' 12', '12\n', '１２'])(
    'refuses %j instead of stopping quietly',
    (text) => {
      expect(() => hexToBytes(text)).toThrow(RangeError);
      expect(isHex(text)).toBe(false);
    },
  );

  it('goes there and back for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(hexToBytes(bytesToHex(bytes))).toEqual(bytes);
        expect(reversed(reversed(bytes))).toEqual(bytes);
      }),
      { seed: 1 },
    );
  });

  it('shows a hash as people know it and reads that back', () => {
    const hash = sha256(abc);
    expect(displayHash(hash)).toBe('ad1500f261ff10b49c7a1796a36103b02322ae5dde404141eacf018fbf1678ba');
    expect(hashFromDisplay(displayHash(hash))).toEqual(hash);
    expect(hash).toEqual(sha256(abc));
  });

  it('shows only hashes of 32 bytes', () => {
    expect(() => displayHash(new Uint8Array(31))).toThrow(/32/);
    expect(() => hashFromDisplay('00'.repeat(33))).toThrow(/64/);
  });
});
