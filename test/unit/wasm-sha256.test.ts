// The kernel's SHA-256 against FIPS 180-4 and node:crypto.
import { describe, expect, it } from 'vitest';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import { midstate } from '../../wasm/midstate.js';
import { readShareSlot, writeJobSlot, writeShareSlot } from '../../wasm/slots.js';
import { SeededRandom, sha256, sha256d } from './wasm-share-oracle.js';

const slab = createSlab();
const kernel = Kernel.load(slab, 0);
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

// NIST, "Descriptions of SHA-256", and FIPS 180-2 appendix B: message, single SHA-256.
const VECTORS: [string, Uint8Array, string][] = [
  ['no bytes', text(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', text('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    '448 bits, where the padding needs a second block',
    text('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
  [
    '896 bits',
    text(
      'abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu',
    ),
    'cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1',
  ],
  [
    'a million times a',
    new Uint8Array(1_000_000).fill(0x61),
    'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
  ],
];

describe('double SHA-256', () => {
  it.each(VECTORS)('hashes the FIPS 180-4 example: %s', (_name, message, single) => {
    expect(sha256(message).toString('hex')).toBe(single);
    expect(kernel.sha256d(message)).toEqual(Uint8Array.from(sha256(Buffer.from(single, 'hex'))));
  });

  it('agrees with node:crypto at every length up to 300 bytes and around the chunk size', () => {
    const random = new SeededRandom(1);
    const lengths = [...Array(301).keys(), 16_383, 16_384, 16_385, 16_439, 16_440, 32_768, 100_000];
    for (const length of lengths) {
      const data = random.bytes(length);
      expect(kernel.sha256d(data), `${length} bytes`).toEqual(Uint8Array.from(sha256d(data)));
    }
  });

  it('hands out a digest that the next call does not overwrite', () => {
    const first = kernel.sha256d(text('abc'));
    kernel.sha256d(text('abd'));
    expect(first).toEqual(Uint8Array.from(sha256d(text('abc'))));
  });
});

describe('the compression function', () => {
  // As coinbases: what a share's header hash is made of shows whether the digest was right. The first SHA-256
  // of each is the published one, node:crypto only goes on from there.
  const messages = VECTORS.filter(([, message]) => message.length > 0);
  const job = { branch: [], previousBlock: new Uint8Array(32), bits: 0, networkTargetLE: new Uint8Array(32) };
  const share = { ntime: 0, nonce: 0, version: 0, shareTargetLE: new Uint8Array(32) };
  const headerHash = (single: string): Uint8Array => {
    const header = Buffer.alloc(80);
    header.set(sha256(Buffer.from(single, 'hex')), 36);
    return Uint8Array.from(sha256d(header));
  };
  const lay = (slot: number, message: Uint8Array, tailBytes: number): void => {
    const cut = Math.max(0, message.length - tailBytes);
    writeJobSlot(slab, slot, {
      ...job,
      coinbase1: message.subarray(0, cut),
      coinbase2: message.subarray(cut),
    });
    writeShareSlot(slab, slot, { ...share, jobSlot: slot, extranonce: new Uint8Array(0) });
  };

  it.each(['validate', 'validateScalar'] as const)('hashes the FIPS 180-4 examples: %s', (method) => {
    // Every example in every lane, beside examples of other lengths; cut so that none, some or all of it is
    // hashed by the kernel rather than by the job's midstate.
    for (const tailBytes of [1, 60, 7168]) {
      for (let shift = 0; shift < messages.length; shift++) {
        const four = [0, 1, 2, 3].map((lane) => messages[(shift + lane) % messages.length]);
        four.forEach((vector, lane) => {
          lay(lane, vector?.[1] ?? text(''), tailBytes);
        });
        kernel[method](0, 4);
        four.forEach((vector, lane) => {
          expect(readShareSlot(slab, lane).hash, vector?.[0]).toEqual(headerHash(vector?.[2] ?? ''));
        });
      }
    }
  });
});

describe('midstate', () => {
  it('is the initial hash value while there is no whole block', () => {
    expect([...midstate(new Uint8Array(63))]).toEqual([
      0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    ]);
  });

  it('after a hand-padded message is the digest of that message', () => {
    const message = new SeededRandom(2).bytes(100);
    const padded = Buffer.alloc(128);
    padded.set(message);
    padded[100] = 0x80;
    padded.writeUInt32BE(800, 124);
    const state = Buffer.alloc(32);
    midstate(padded).forEach((word, i) => {
      state.writeUInt32BE(word, 4 * i);
    });
    expect(state).toEqual(sha256(message));
  });
});

describe('loading', () => {
  it('refuses a worker index without scratch and a memory that is not a slab', () => {
    const slab = createSlab();
    for (const index of [-1, 33, 1.5, Number.NaN]) expect(() => Kernel.load(slab, index)).toThrow(RangeError);
    const page = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    expect(() => Kernel.load(page, 0)).toThrow(RangeError);
  });

  it('keeps two workers on one slab apart', () => {
    const slab = createSlab();
    const kernels = [Kernel.load(slab, 1), Kernel.load(slab, 32)];
    const data = new SeededRandom(3).bytes(500);
    for (const one of kernels) expect(one.sha256d(data)).toEqual(Uint8Array.from(sha256d(data)));
  });
});
