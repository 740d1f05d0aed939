// Nonce search of the simulated miners: finds exactly what a plain scan finds.
import { describe, expect, it } from 'vitest';
import { NonceSearcher } from '../../wasm/kernel.js';
import { bytesOf, numberOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const GENESIS = Buffer.from(
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c',
  'hex',
);
const GENESIS_NONCE = 2083236893;
const searcher = new NonceSearcher();
const methods = ['search', 'searchScalar'] as const;

function hashAt(header: Uint8Array, nonce: number): bigint {
  const copy = Buffer.from(header);
  copy.writeUInt32LE(nonce, 76);
  return numberOf(sha256d(copy));
}

describe.each(methods)('%s', (method) => {
  it('finds the nonce of the genesis block and no earlier one, in whichever lane it falls', () => {
    for (const before of [0, 1, 2, 3, 4, 5, 20_000]) {
      const found = searcher[method](GENESIS, bytesOf(0xffffn << 208n), GENESIS_NONCE - before, 30_000);
      expect(found).toEqual({ nonce: GENESIS_NONCE, hashes: before + 1 });
    }
  });

  it('ignores the nonce that the header carries', () => {
    const header = Buffer.from(GENESIS);
    header.writeUInt32LE(0xdeadbeef, 76);
    expect(searcher[method](header, bytesOf(0xffffn << 208n), GENESIS_NONCE - 9, 10).nonce).toBe(
      GENESIS_NONCE,
    );
  });

  it('finds nothing when the range ends before the nonce, and tells the hashes it did', () => {
    for (const count of [0, 1, 2, 3, 4, 5, 1000]) {
      const found = searcher[method](GENESIS, bytesOf(0xffffn << 208n), GENESIS_NONCE - count, count);
      expect(found).toEqual({ nonce: null, hashes: count });
    }
  });

  it('takes a hash equal to the target, not one above it', () => {
    const value = hashAt(GENESIS, GENESIS_NONCE);
    expect(searcher[method](GENESIS, bytesOf(value), GENESIS_NONCE - 2, 8).nonce).toBe(GENESIS_NONCE);
    expect(searcher[method](GENESIS, bytesOf(value - 1n), GENESIS_NONCE - 2, 8).nonce).toBeNull();
  });

  it('agrees with a plain scan of random headers at easy targets', () => {
    const random = new SeededRandom(21);
    for (let i = 0; i < 60; i++) {
      const header = random.bytes(80);
      const target = (1n << 256n) / BigInt(1 + random.upTo(400)) - 1n;
      let at = random.upTo(0xfffff000);
      const count = random.upTo(900);
      const end = at + count;
      // Continued after each find, the search meets every nonce of the range once.
      let hashes = 0;
      const found: number[] = [];
      while (at < end) {
        const one = searcher[method](header, bytesOf(target), at, end - at);
        hashes += one.hashes;
        if (one.nonce === null) break;
        found.push(one.nonce);
        at = one.nonce + 1;
      }
      const plain: number[] = [];
      for (let nonce = end - count; nonce < end; nonce++)
        if (hashAt(header, nonce) <= target) plain.push(nonce);
      expect(found).toEqual(plain);
      expect(hashes).toBe(count);
    }
  });

  it('loses no nonce to the early reject: targets that equal one hash of the range, or miss it by one', () => {
    const random = new SeededRandom(22);
    for (let i = 0; i < 150; i++) {
      const header = random.bytes(80);
      // Around 2^31 too, where a nonce turns negative for whoever takes it as signed.
      const first = i % 3 === 0 ? 2 ** 31 - random.upTo(60) : random.upTo(0xffffff00);
      const hashes = Array.from({ length: 61 }, (_, offset) => hashAt(header, first + offset));
      const value = hashes[random.upTo(60)] ?? 0n;
      for (const target of [value, value - 1n, value + 1n]) {
        const found = hashes.findIndex((hash) => hash <= target);
        expect(searcher[method](header, bytesOf(target), first, 61)).toEqual(
          found < 0 ? { nonce: null, hashes: 61 } : { nonce: first + found, hashes: found + 1 },
        );
      }
    }
  });

  it('does not begin again at nonce 0 when the range ends at 2^32', () => {
    const random = new SeededRandom(23);
    for (let cases = 0; cases < 20; ) {
      const header = random.bytes(80);
      // A target that nonce 0 meets and the last ones do not.
      const target = hashAt(header, 0);
      const last = 2 ** 32 - 1 - random.upTo(6);
      let misses = true;
      for (let nonce = last; nonce < 2 ** 32; nonce++) misses &&= hashAt(header, nonce) > target;
      if (!misses) continue;
      cases++;
      expect(searcher[method](header, bytesOf(target), last, 64)).toEqual({
        nonce: null,
        hashes: 2 ** 32 - last,
      });
    }
  });

  it('ends at the last nonce when asked for more', () => {
    const found = searcher[method](GENESIS, new Uint8Array(32), 0xffffffff - 5, 1_000_000);
    expect(found).toEqual({ nonce: null, hashes: 6 });
    expect(searcher[method](GENESIS, new Uint8Array(32).fill(0xff), 0xffffffff, 2 ** 32)).toEqual({
      nonce: 0xffffffff,
      hashes: 1,
    });
  });
});

describe('input of a search', () => {
  it('is refused when a length or number is out of range', () => {
    const target = new Uint8Array(32);
    expect(() => searcher.search(GENESIS.subarray(1), target, 0, 1)).toThrow(RangeError);
    expect(() => searcher.search(GENESIS, target.subarray(1), 0, 1)).toThrow(RangeError);
    expect(() => searcher.search(GENESIS, target, -1, 1)).toThrow(RangeError);
    expect(() => searcher.search(GENESIS, target, 2 ** 32, 1)).toThrow(RangeError);
    expect(() => searcher.search(GENESIS, target, 0, -1)).toThrow(RangeError);
    expect(() => searcher.search(GENESIS, target, 0, 0.5)).toThrow(RangeError);
  });

  it('does not depend on what an earlier search left behind', () => {
    const other = new NonceSearcher();
    searcher.search(new Uint8Array(80).fill(7), new Uint8Array(32), 0, 50);
    const target = bytesOf((1n << 256n) / 500n);
    expect(searcher.search(GENESIS, target, 0, 20_000)).toEqual(other.search(GENESIS, target, 0, 20_000));
  });
});
