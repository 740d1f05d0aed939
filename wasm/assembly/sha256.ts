// SHA-256 (FIPS 180-4, https://doi.org/10.6028/NIST.FIPS.180-4), written once for one message (T = u32) and for
// four side by side (T = v128). State and words lie in scratch, word by word, each word sizeof<T>() bytes.
//
// The shape of the code is measured, not taste (V8 of Node 20; other shapes of the same rounds are up to 2x
// slower): every sum is a tree, never a left fold that waits for sum1; maj reuses the a^b of the round before;
// rounds are unrolled with renamed variables, the schedule lives in locals, K comes from a table in memory; the
// three kinds of block (any, constant padding, 32-byte message) are three functions.
import { add, and, constant, rotateRight, shiftRight, xor } from './lanes';
import {
  TABLE_DIGEST,
  TABLE_HEADER_TAIL,
  TABLE_IV,
  TABLE_K,
  TABLE_PADDING_64,
  TABLE_PADDING_WORDS,
  TABLE_ROUND_0,
} from './layout';

/** FIPS 180-4, 4.1.2 (4.6): the small sigma 0 of the message schedule. */
// @ts-ignore: decorator
@inline
export function small0<T>(x: T): T {
  return xor(xor(rotateRight(x, 7), rotateRight(x, 18)), shiftRight(x, 3));
}

/** FIPS 180-4, 4.1.2 (4.7): the small sigma 1 of the message schedule. */
// @ts-ignore: decorator
@inline
export function small1<T>(x: T): T {
  return xor(xor(rotateRight(x, 17), rotateRight(x, 19)), shiftRight(x, 10));
}

/** The next word of the message schedule: w[t-16], w[t-15], w[t-7], w[t-2]. */
// @ts-ignore: decorator
@inline
export function next<T>(w16: T, w15: T, w7: T, w2: T): T {
  return add(add(w16, small0(w15)), add(w7, small1(w2)));
}

/** Round constant plus schedule word. */
// @ts-ignore: decorator
@inline
export function kw<T>(w: T, table: usize, offset: usize): T {
  return add(constant<T>(table, offset), w);
}

/** T1 of a round: h + K + W + Sigma1(e) + Ch(e, f, g). */
// @ts-ignore: decorator
@inline
export function sum1<T>(e: T, f: T, g: T, h: T, k: T): T {
  return add(
    add(h, k),
    add(xor(xor(rotateRight(e, 6), rotateRight(e, 11)), rotateRight(e, 25)), xor(g, and(e, xor(f, g)))),
  );
}

/** T2 of a round: Sigma0(a) + Maj(a, b, c), given ab = a^b and bc = b^c (the ab of the round before). */
// @ts-ignore: decorator
@inline
export function sum0<T>(a: T, b: T, ab: T, bc: T): T {
  return add(
    xor(xor(rotateRight(a, 2), rotateRight(a, 13)), rotateRight(a, 22)),
    xor(b, and(ab, bc)),
  );
}

function row(at: usize, w0: u32, w1: u32, w2: u32, w3: u32): void {
  store<u32>(at, w0, 0);
  store<u32>(at, w1, 4);
  store<u32>(at, w2, 8);
  store<u32>(at, w3, 12);
}

/**
 * Writes the constant tables. A thread may do so while others hash: only final values are written, and they
 * are the same each time.
 * @param scratch 256 bytes for the thread alone
 */
export function writeTables(scratch: usize): void {
  row(TABLE_K + 0, 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5);
  row(TABLE_K + 16, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5);
  row(TABLE_K + 32, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3);
  row(TABLE_K + 48, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174);
  row(TABLE_K + 64, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc);
  row(TABLE_K + 80, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da);
  row(TABLE_K + 96, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7);
  row(TABLE_K + 112, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967);
  row(TABLE_K + 128, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13);
  row(TABLE_K + 144, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85);
  row(TABLE_K + 160, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3);
  row(TABLE_K + 176, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070);
  row(TABLE_K + 192, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5);
  row(TABLE_K + 208, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3);
  row(TABLE_K + 224, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208);
  row(TABLE_K + 240, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2);
  row(TABLE_IV, 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a);
  row(TABLE_IV + 16, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19);


  // 64-byte message: the second block is 0x80, zeros, 512 bits, so its whole schedule is known.
  memory.fill(scratch, 0, 64);
  store<u32>(scratch, 0x80000000, 0);
  store<u32>(scratch, 512, 60);
  for (let i: usize = 64; i < 256; i += 4) {
    const at = scratch + i;
    store<u32>(at, next<u32>(load<u32>(at - 64), load<u32>(at - 60), load<u32>(at - 28), load<u32>(at - 8)));
  }
  for (let i: usize = 0; i < 256; i += 4) {
    store<u32>(i + TABLE_PADDING_64, load<u32>(i + TABLE_K) + load<u32>(scratch + i));
    // 32-byte message: words 8..15 are 0x80, zeros, 256 bits. Last 16 header bytes: words 4..15, 640 bits.
    const digestWord: u32 = i == 32 ? 0x80000000 : i == 60 ? 256 : 0;
    store<u32>(i + TABLE_DIGEST, load<u32>(i + TABLE_K) + digestWord);
    const headerWord: u32 = i == 16 ? 0x80000000 : i == 60 ? 640 : 0;
    store<u32>(i + TABLE_HEADER_TAIL, load<u32>(i + TABLE_K) + headerWord);
  }

  const a: u32 = load<u32>(TABLE_IV, 0);
  const b: u32 = load<u32>(TABLE_IV, 4);
  const c: u32 = load<u32>(TABLE_IV, 8);
  const t = sum1<u32>(
    load<u32>(TABLE_IV, 16), load<u32>(TABLE_IV, 20), load<u32>(TABLE_IV, 24), load<u32>(TABLE_IV, 28),
    load<u32>(TABLE_K),
  );
  store<u32>(TABLE_ROUND_0, load<u32>(TABLE_IV, 12) + t, 0);
  store<u32>(TABLE_ROUND_0, t + sum0<u32>(a, b, a ^ b, b ^ c), 4);

  store<u32>(TABLE_PADDING_WORDS, 0x80000000, 0);
  store<u32>(TABLE_PADDING_WORDS, small0<u32>(0x80000000), 4);
  store<u32>(TABLE_PADDING_WORDS, 256, 8);
  store<u32>(TABLE_PADDING_WORDS, small0<u32>(256), 12);
  store<u32>(TABLE_PADDING_WORDS, small1<u32>(256), 16);
}

/**
 * One block into a running state.
 * @param state 8 words, updated in place
 * @param words 16 words of message
 */
export function compress<T>(state: usize, words: usize): void {
  let w0 = load<T>(words, 0 * sizeof<T>());
  let w1 = load<T>(words, 1 * sizeof<T>());
  let w2 = load<T>(words, 2 * sizeof<T>());
  let w3 = load<T>(words, 3 * sizeof<T>());
  let w4 = load<T>(words, 4 * sizeof<T>());
  let w5 = load<T>(words, 5 * sizeof<T>());
  let w6 = load<T>(words, 6 * sizeof<T>());
  let w7 = load<T>(words, 7 * sizeof<T>());
  let w8 = load<T>(words, 8 * sizeof<T>());
  let w9 = load<T>(words, 9 * sizeof<T>());
  let w10 = load<T>(words, 10 * sizeof<T>());
  let w11 = load<T>(words, 11 * sizeof<T>());
  let w12 = load<T>(words, 12 * sizeof<T>());
  let w13 = load<T>(words, 13 * sizeof<T>());
  let w14 = load<T>(words, 14 * sizeof<T>());
  let w15 = load<T>(words, 15 * sizeof<T>());
  let a = load<T>(state, 0 * sizeof<T>());
  let b = load<T>(state, 1 * sizeof<T>());
  let c = load<T>(state, 2 * sizeof<T>());
  let d = load<T>(state, 3 * sizeof<T>());
  let e = load<T>(state, 4 * sizeof<T>());
  let f = load<T>(state, 5 * sizeof<T>());
  let g = load<T>(state, 6 * sizeof<T>());
  let h = load<T>(state, 7 * sizeof<T>());
  let t: T, x = xor(b, c), y = x;
  t = sum1(e, f, g, h, kw(w0, TABLE_K, 0)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  t = sum1(d, e, f, g, kw(w1, TABLE_K, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, kw(w2, TABLE_K, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, kw(w3, TABLE_K, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, kw(w4, TABLE_K, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, kw(w5, TABLE_K, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, kw(w6, TABLE_K, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, kw(w7, TABLE_K, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  t = sum1(e, f, g, h, kw(w8, TABLE_K, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  t = sum1(d, e, f, g, kw(w9, TABLE_K, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, kw(w10, TABLE_K, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, kw(w11, TABLE_K, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, kw(w12, TABLE_K, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, kw(w13, TABLE_K, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, kw(w14, TABLE_K, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, kw(w15, TABLE_K, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  for (let k: usize = TABLE_K + 64; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    t = sum1(e, f, g, h, kw(w0, k, 0)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w1 = next(w1, w2, w10, w15);
    t = sum1(d, e, f, g, kw(w1, k, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w2 = next(w2, w3, w11, w0);
    t = sum1(c, d, e, f, kw(w2, k, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w3 = next(w3, w4, w12, w1);
    t = sum1(b, c, d, e, kw(w3, k, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w4 = next(w4, w5, w13, w2);
    t = sum1(a, b, c, d, kw(w4, k, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w5 = next(w5, w6, w14, w3);
    t = sum1(h, a, b, c, kw(w5, k, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w6 = next(w6, w7, w15, w4);
    t = sum1(g, h, a, b, kw(w6, k, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w7 = next(w7, w8, w0, w5);
    t = sum1(f, g, h, a, kw(w7, k, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
    w8 = next(w8, w9, w1, w6);
    t = sum1(e, f, g, h, kw(w8, k, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w9 = next(w9, w10, w2, w7);
    t = sum1(d, e, f, g, kw(w9, k, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w10 = next(w10, w11, w3, w8);
    t = sum1(c, d, e, f, kw(w10, k, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w11 = next(w11, w12, w4, w9);
    t = sum1(b, c, d, e, kw(w11, k, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w12 = next(w12, w13, w5, w10);
    t = sum1(a, b, c, d, kw(w12, k, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w13 = next(w13, w14, w6, w11);
    t = sum1(h, a, b, c, kw(w13, k, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w14 = next(w14, w15, w7, w12);
    t = sum1(g, h, a, b, kw(w14, k, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w15 = next(w15, w0, w8, w13);
    t = sum1(f, g, h, a, kw(w15, k, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  }
  store<T>(state, add(a, load<T>(state, 0 * sizeof<T>())), 0 * sizeof<T>());
  store<T>(state, add(b, load<T>(state, 1 * sizeof<T>())), 1 * sizeof<T>());
  store<T>(state, add(c, load<T>(state, 2 * sizeof<T>())), 2 * sizeof<T>());
  store<T>(state, add(d, load<T>(state, 3 * sizeof<T>())), 3 * sizeof<T>());
  store<T>(state, add(e, load<T>(state, 4 * sizeof<T>())), 4 * sizeof<T>());
  store<T>(state, add(f, load<T>(state, 5 * sizeof<T>())), 5 * sizeof<T>());
  store<T>(state, add(g, load<T>(state, 6 * sizeof<T>())), 6 * sizeof<T>());
  store<T>(state, add(h, load<T>(state, 7 * sizeof<T>())), 7 * sizeof<T>());
}

/** One block into the initial hash value: `to` receives the 8 words of state, `words` holds the block. */
export function compressFirst<T>(to: usize, words: usize): void {
  let w0 = load<T>(words, 0 * sizeof<T>());
  let w1 = load<T>(words, 1 * sizeof<T>());
  let w2 = load<T>(words, 2 * sizeof<T>());
  let w3 = load<T>(words, 3 * sizeof<T>());
  let w4 = load<T>(words, 4 * sizeof<T>());
  let w5 = load<T>(words, 5 * sizeof<T>());
  let w6 = load<T>(words, 6 * sizeof<T>());
  let w7 = load<T>(words, 7 * sizeof<T>());
  let w8 = load<T>(words, 8 * sizeof<T>());
  let w9 = load<T>(words, 9 * sizeof<T>());
  let w10 = load<T>(words, 10 * sizeof<T>());
  let w11 = load<T>(words, 11 * sizeof<T>());
  let w12 = load<T>(words, 12 * sizeof<T>());
  let w13 = load<T>(words, 13 * sizeof<T>());
  let w14 = load<T>(words, 14 * sizeof<T>());
  let w15 = load<T>(words, 15 * sizeof<T>());
  let a = constant<T>(TABLE_IV, 0);
  let b = constant<T>(TABLE_IV, 4);
  let c = constant<T>(TABLE_IV, 8);
  let e = constant<T>(TABLE_IV, 16);
  let f = constant<T>(TABLE_IV, 20);
  let g = constant<T>(TABLE_IV, 24);
  let d = add(constant<T>(TABLE_ROUND_0, 0), w0);
  let h = add(constant<T>(TABLE_ROUND_0, 4), w0);
  let t: T, x = xor(a, b), y = x;
  t = sum1(d, e, f, g, kw(w1, TABLE_K, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, kw(w2, TABLE_K, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, kw(w3, TABLE_K, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, kw(w4, TABLE_K, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, kw(w5, TABLE_K, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, kw(w6, TABLE_K, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, kw(w7, TABLE_K, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  t = sum1(e, f, g, h, kw(w8, TABLE_K, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  t = sum1(d, e, f, g, kw(w9, TABLE_K, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, kw(w10, TABLE_K, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, kw(w11, TABLE_K, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, kw(w12, TABLE_K, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, kw(w13, TABLE_K, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, kw(w14, TABLE_K, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, kw(w15, TABLE_K, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  for (let k: usize = TABLE_K + 64; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    t = sum1(e, f, g, h, kw(w0, k, 0)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w1 = next(w1, w2, w10, w15);
    t = sum1(d, e, f, g, kw(w1, k, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w2 = next(w2, w3, w11, w0);
    t = sum1(c, d, e, f, kw(w2, k, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w3 = next(w3, w4, w12, w1);
    t = sum1(b, c, d, e, kw(w3, k, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w4 = next(w4, w5, w13, w2);
    t = sum1(a, b, c, d, kw(w4, k, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w5 = next(w5, w6, w14, w3);
    t = sum1(h, a, b, c, kw(w5, k, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w6 = next(w6, w7, w15, w4);
    t = sum1(g, h, a, b, kw(w6, k, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w7 = next(w7, w8, w0, w5);
    t = sum1(f, g, h, a, kw(w7, k, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
    w8 = next(w8, w9, w1, w6);
    t = sum1(e, f, g, h, kw(w8, k, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w9 = next(w9, w10, w2, w7);
    t = sum1(d, e, f, g, kw(w9, k, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w10 = next(w10, w11, w3, w8);
    t = sum1(c, d, e, f, kw(w10, k, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w11 = next(w11, w12, w4, w9);
    t = sum1(b, c, d, e, kw(w11, k, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w12 = next(w12, w13, w5, w10);
    t = sum1(a, b, c, d, kw(w12, k, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w13 = next(w13, w14, w6, w11);
    t = sum1(h, a, b, c, kw(w13, k, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w14 = next(w14, w15, w7, w12);
    t = sum1(g, h, a, b, kw(w14, k, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w15 = next(w15, w0, w8, w13);
    t = sum1(f, g, h, a, kw(w15, k, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  }
  store<T>(to, add(a, constant<T>(TABLE_IV, 0)), 0 * sizeof<T>());
  store<T>(to, add(b, constant<T>(TABLE_IV, 4)), 1 * sizeof<T>());
  store<T>(to, add(c, constant<T>(TABLE_IV, 8)), 2 * sizeof<T>());
  store<T>(to, add(d, constant<T>(TABLE_IV, 12)), 3 * sizeof<T>());
  store<T>(to, add(e, constant<T>(TABLE_IV, 16)), 4 * sizeof<T>());
  store<T>(to, add(f, constant<T>(TABLE_IV, 20)), 5 * sizeof<T>());
  store<T>(to, add(g, constant<T>(TABLE_IV, 24)), 6 * sizeof<T>());
  store<T>(to, add(h, constant<T>(TABLE_IV, 28)), 7 * sizeof<T>());
}

/** The block that pads a 64-byte message, into `state` in place. Its schedule is a table: a third less work. */
export function compressPadding64<T>(state: usize): void {
  let a = load<T>(state, 0 * sizeof<T>());
  let b = load<T>(state, 1 * sizeof<T>());
  let c = load<T>(state, 2 * sizeof<T>());
  let d = load<T>(state, 3 * sizeof<T>());
  let e = load<T>(state, 4 * sizeof<T>());
  let f = load<T>(state, 5 * sizeof<T>());
  let g = load<T>(state, 6 * sizeof<T>());
  let h = load<T>(state, 7 * sizeof<T>());
  let t: T, x = xor(b, c), y = x;
  for (let k: usize = TABLE_PADDING_64; k < <usize>(TABLE_PADDING_64 + 256); k += 32) {
    t = sum1(e, f, g, h, constant<T>(k, 0)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    t = sum1(d, e, f, g, constant<T>(k, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    t = sum1(c, d, e, f, constant<T>(k, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    t = sum1(b, c, d, e, constant<T>(k, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    t = sum1(a, b, c, d, constant<T>(k, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    t = sum1(h, a, b, c, constant<T>(k, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    t = sum1(g, h, a, b, constant<T>(k, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    t = sum1(f, g, h, a, constant<T>(k, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  }
  store<T>(state, add(a, load<T>(state, 0 * sizeof<T>())), 0 * sizeof<T>());
  store<T>(state, add(b, load<T>(state, 1 * sizeof<T>())), 1 * sizeof<T>());
  store<T>(state, add(c, load<T>(state, 2 * sizeof<T>())), 2 * sizeof<T>());
  store<T>(state, add(d, load<T>(state, 3 * sizeof<T>())), 3 * sizeof<T>());
  store<T>(state, add(e, load<T>(state, 4 * sizeof<T>())), 4 * sizeof<T>());
  store<T>(state, add(f, load<T>(state, 5 * sizeof<T>())), 5 * sizeof<T>());
  store<T>(state, add(g, load<T>(state, 6 * sizeof<T>())), 6 * sizeof<T>());
  store<T>(state, add(h, load<T>(state, 7 * sizeof<T>())), 7 * sizeof<T>());
}

/** SHA-256 of a 32-byte message: 8 words at `from` to 8 words at `to` (which may be the same place). */
export function digest32<T>(from: usize, to: usize): void {
  let w0 = load<T>(from, 0 * sizeof<T>());
  let w1 = load<T>(from, 1 * sizeof<T>());
  let w2 = load<T>(from, 2 * sizeof<T>());
  let w3 = load<T>(from, 3 * sizeof<T>());
  let w4 = load<T>(from, 4 * sizeof<T>());
  let w5 = load<T>(from, 5 * sizeof<T>());
  let w6 = load<T>(from, 6 * sizeof<T>());
  let w7 = load<T>(from, 7 * sizeof<T>());
  let a = constant<T>(TABLE_IV, 0);
  let b = constant<T>(TABLE_IV, 4);
  let c = constant<T>(TABLE_IV, 8);
  let e = constant<T>(TABLE_IV, 16);
  let f = constant<T>(TABLE_IV, 20);
  let g = constant<T>(TABLE_IV, 24);
  let d = add(constant<T>(TABLE_ROUND_0, 0), w0);
  let h = add(constant<T>(TABLE_ROUND_0, 4), w0);
  let t: T, x = xor(a, b), y = x;
  t = sum1(d, e, f, g, kw(w1, TABLE_K, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, kw(w2, TABLE_K, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, kw(w3, TABLE_K, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, kw(w4, TABLE_K, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, kw(w5, TABLE_K, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, kw(w6, TABLE_K, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, kw(w7, TABLE_K, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  t = sum1(e, f, g, h, constant<T>(TABLE_DIGEST, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  t = sum1(d, e, f, g, constant<T>(TABLE_DIGEST, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  t = sum1(c, d, e, f, constant<T>(TABLE_DIGEST, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  t = sum1(b, c, d, e, constant<T>(TABLE_DIGEST, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  t = sum1(a, b, c, d, constant<T>(TABLE_DIGEST, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  t = sum1(h, a, b, c, constant<T>(TABLE_DIGEST, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  t = sum1(g, h, a, b, constant<T>(TABLE_DIGEST, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  t = sum1(f, g, h, a, constant<T>(TABLE_DIGEST, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  w0 = add(w0, small0(w1));
  t = sum1(e, f, g, h, kw(w0, TABLE_K, 64)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  w1 = add(add(w1, small0(w2)), constant<T>(TABLE_PADDING_WORDS, 16));
  t = sum1(d, e, f, g, kw(w1, TABLE_K, 68)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  w2 = add(add(w2, small0(w3)), small1(w0));
  t = sum1(c, d, e, f, kw(w2, TABLE_K, 72)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  w3 = add(add(w3, small0(w4)), small1(w1));
  t = sum1(b, c, d, e, kw(w3, TABLE_K, 76)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  w4 = add(add(w4, small0(w5)), small1(w2));
  t = sum1(a, b, c, d, kw(w4, TABLE_K, 80)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  w5 = add(add(w5, small0(w6)), small1(w3));
  t = sum1(h, a, b, c, kw(w5, TABLE_K, 84)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  w6 = add(add(w6, small0(w7)), add(constant<T>(TABLE_PADDING_WORDS, 8), small1(w4)));
  t = sum1(g, h, a, b, kw(w6, TABLE_K, 88)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  w7 = add(add(w7, constant<T>(TABLE_PADDING_WORDS, 4)), add(w0, small1(w5)));
  t = sum1(f, g, h, a, kw(w7, TABLE_K, 92)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  let w8 = add(add(constant<T>(TABLE_PADDING_WORDS, 0), w1), small1(w6));
  t = sum1(e, f, g, h, kw(w8, TABLE_K, 96)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
  let w9 = add(w2, small1(w7));
  t = sum1(d, e, f, g, kw(w9, TABLE_K, 100)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
  let w10 = add(w3, small1(w8));
  t = sum1(c, d, e, f, kw(w10, TABLE_K, 104)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
  let w11 = add(w4, small1(w9));
  t = sum1(b, c, d, e, kw(w11, TABLE_K, 108)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
  let w12 = add(w5, small1(w10));
  t = sum1(a, b, c, d, kw(w12, TABLE_K, 112)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
  let w13 = add(w6, small1(w11));
  t = sum1(h, a, b, c, kw(w13, TABLE_K, 116)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
  let w14 = add(add(constant<T>(TABLE_PADDING_WORDS, 12), w7), small1(w12));
  t = sum1(g, h, a, b, kw(w14, TABLE_K, 120)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
  let w15 = add(add(constant<T>(TABLE_PADDING_WORDS, 8), small0(w0)), add(w8, small1(w13)));
  t = sum1(f, g, h, a, kw(w15, TABLE_K, 124)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  for (let k: usize = TABLE_K + 128; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    t = sum1(e, f, g, h, kw(w0, k, 0)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w1 = next(w1, w2, w10, w15);
    t = sum1(d, e, f, g, kw(w1, k, 4)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w2 = next(w2, w3, w11, w0);
    t = sum1(c, d, e, f, kw(w2, k, 8)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w3 = next(w3, w4, w12, w1);
    t = sum1(b, c, d, e, kw(w3, k, 12)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w4 = next(w4, w5, w13, w2);
    t = sum1(a, b, c, d, kw(w4, k, 16)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w5 = next(w5, w6, w14, w3);
    t = sum1(h, a, b, c, kw(w5, k, 20)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w6 = next(w6, w7, w15, w4);
    t = sum1(g, h, a, b, kw(w6, k, 24)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w7 = next(w7, w8, w0, w5);
    t = sum1(f, g, h, a, kw(w7, k, 28)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
    w8 = next(w8, w9, w1, w6);
    t = sum1(e, f, g, h, kw(w8, k, 32)); d = add(d, t); x = xor(a, b); h = add(t, sum0(a, b, x, y));
    w9 = next(w9, w10, w2, w7);
    t = sum1(d, e, f, g, kw(w9, k, 36)); c = add(c, t); y = xor(h, a); g = add(t, sum0(h, a, y, x));
    w10 = next(w10, w11, w3, w8);
    t = sum1(c, d, e, f, kw(w10, k, 40)); b = add(b, t); x = xor(g, h); f = add(t, sum0(g, h, x, y));
    w11 = next(w11, w12, w4, w9);
    t = sum1(b, c, d, e, kw(w11, k, 44)); a = add(a, t); y = xor(f, g); e = add(t, sum0(f, g, y, x));
    w12 = next(w12, w13, w5, w10);
    t = sum1(a, b, c, d, kw(w12, k, 48)); h = add(h, t); x = xor(e, f); d = add(t, sum0(e, f, x, y));
    w13 = next(w13, w14, w6, w11);
    t = sum1(h, a, b, c, kw(w13, k, 52)); g = add(g, t); y = xor(d, e); c = add(t, sum0(d, e, y, x));
    w14 = next(w14, w15, w7, w12);
    t = sum1(g, h, a, b, kw(w14, k, 56)); f = add(f, t); x = xor(c, d); b = add(t, sum0(c, d, x, y));
    w15 = next(w15, w0, w8, w13);
    t = sum1(f, g, h, a, kw(w15, k, 60)); e = add(e, t); y = xor(b, c); a = add(t, sum0(b, c, y, x));
  }
  store<T>(to, add(a, constant<T>(TABLE_IV, 0)), 0 * sizeof<T>());
  store<T>(to, add(b, constant<T>(TABLE_IV, 4)), 1 * sizeof<T>());
  store<T>(to, add(c, constant<T>(TABLE_IV, 8)), 2 * sizeof<T>());
  store<T>(to, add(d, constant<T>(TABLE_IV, 12)), 3 * sizeof<T>());
  store<T>(to, add(e, constant<T>(TABLE_IV, 16)), 4 * sizeof<T>());
  store<T>(to, add(f, constant<T>(TABLE_IV, 20)), 5 * sizeof<T>());
  store<T>(to, add(g, constant<T>(TABLE_IV, 24)), 6 * sizeof<T>());
  store<T>(to, add(h, constant<T>(TABLE_IV, 28)), 7 * sizeof<T>());
}
