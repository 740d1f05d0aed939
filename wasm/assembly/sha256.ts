// SHA-256 (FIPS 180-4, https://doi.org/10.6028/NIST.FIPS.180-4), written once for one message (T = u32) and for
// four side by side (T = v128). State and words lie in scratch, word by word, each word sizeof<T>() bytes.
//
// The shape of the code is measured, not taste: other shapes of the same rounds were 10 to 100 % slower in V8.
// - A new e waits for two additions after sum1 and no more: d + (h + K + W) is ready before. That is one addition
//   more than the textbook has, and still 10 % faster, because a round is a chain of dependent instructions.
// - Maj reuses the a^b of the round before; K comes from a table in memory; the schedule lives in locals.
// - The first 16 rounds are unrolled with renamed variables, the other 48 are a loop of 16: unrolled to the end
//   they outgrow the 32 KiB instruction cache together with their neighbours (8 % slower, scalar 45 %).
import { add, and, constant, everywhere, rotateRight, shiftRight, xor } from './lanes';
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
  return add(add(w16, w7), add(small0(w15), small1(w2)));
}

/** Round constant plus schedule word. */
// @ts-ignore: decorator
@inline
export function kw<T>(w: T, table: usize, offset: usize): T {
  return add(constant<T>(table, offset), w);
}

/** FIPS 180-4, 4.1.2 (4.5): Sigma 1. */
// @ts-ignore: decorator
@inline
export function big1<T>(e: T): T {
  return xor(xor(rotateRight(e, 6), rotateRight(e, 11)), rotateRight(e, 25));
}

/** FIPS 180-4, 4.1.2 (4.2): Ch, with one instruction less. */
// @ts-ignore: decorator
@inline
export function choose<T>(e: T, f: T, g: T): T {
  return xor(g, and(e, xor(f, g)));
}

/** Sigma1(e) + Ch(e, f, g): the part of T1 that waits for the round before. */
// @ts-ignore: decorator
@inline
export function sum1<T>(e: T, f: T, g: T): T {
  return add(big1(e), choose(e, f, g));
}

/** T1 + T2 of a round, the new a: t1 + Maj(a, b, c) + Sigma0(a), given ab = a^b and bc = b^c. */
// @ts-ignore: decorator
@inline
export function sum0<T>(t1: T, a: T, b: T, ab: T, bc: T): T {
  return add(add(t1, xor(b, and(ab, bc))), xor(xor(rotateRight(a, 2), rotateRight(a, 13)), rotateRight(a, 22)));
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
  const s = sum1<u32>(load<u32>(TABLE_IV, 16), load<u32>(TABLE_IV, 20), load<u32>(TABLE_IV, 24));
  const t = load<u32>(TABLE_IV, 28) + load<u32>(TABLE_K) + s;
  store<u32>(TABLE_ROUND_0, load<u32>(TABLE_IV, 12) + t, 0);
  store<u32>(TABLE_ROUND_0, sum0<u32>(t, a, b, a ^ b, b ^ c), 4);

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
  let s: T, u: T, x = xor(b, c), y = x;
  u = add(h, kw(w0, TABLE_K, 0)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
  u = add(g, kw(w1, TABLE_K, 4)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
  u = add(f, kw(w2, TABLE_K, 8)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
  u = add(e, kw(w3, TABLE_K, 12)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
  u = add(d, kw(w4, TABLE_K, 16)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
  u = add(c, kw(w5, TABLE_K, 20)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
  u = add(b, kw(w6, TABLE_K, 24)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
  u = add(a, kw(w7, TABLE_K, 28)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
  u = add(h, kw(w8, TABLE_K, 32)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
  u = add(g, kw(w9, TABLE_K, 36)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
  u = add(f, kw(w10, TABLE_K, 40)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
  u = add(e, kw(w11, TABLE_K, 44)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
  u = add(d, kw(w12, TABLE_K, 48)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
  u = add(c, kw(w13, TABLE_K, 52)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
  u = add(b, kw(w14, TABLE_K, 56)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
  u = add(a, kw(w15, TABLE_K, 60)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
  for (let k: usize = TABLE_K + 64; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    u = add(h, kw(w0, k, 0)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    w1 = next(w1, w2, w10, w15);
    u = add(g, kw(w1, k, 4)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    w2 = next(w2, w3, w11, w0);
    u = add(f, kw(w2, k, 8)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    w3 = next(w3, w4, w12, w1);
    u = add(e, kw(w3, k, 12)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    w4 = next(w4, w5, w13, w2);
    u = add(d, kw(w4, k, 16)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    w5 = next(w5, w6, w14, w3);
    u = add(c, kw(w5, k, 20)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    w6 = next(w6, w7, w15, w4);
    u = add(b, kw(w6, k, 24)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    w7 = next(w7, w8, w0, w5);
    u = add(a, kw(w7, k, 28)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
    w8 = next(w8, w9, w1, w6);
    u = add(h, kw(w8, k, 32)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    w9 = next(w9, w10, w2, w7);
    u = add(g, kw(w9, k, 36)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    w10 = next(w10, w11, w3, w8);
    u = add(f, kw(w10, k, 40)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    w11 = next(w11, w12, w4, w9);
    u = add(e, kw(w11, k, 44)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    w12 = next(w12, w13, w5, w10);
    u = add(d, kw(w12, k, 48)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    w13 = next(w13, w14, w6, w11);
    u = add(c, kw(w13, k, 52)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    w14 = next(w14, w15, w7, w12);
    u = add(b, kw(w14, k, 56)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    w15 = next(w15, w0, w8, w13);
    u = add(a, kw(w15, k, 60)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
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
  let s: T, u: T, x = xor(a, b), y = x;
  u = add(g, kw(w1, TABLE_K, 4)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
  u = add(f, kw(w2, TABLE_K, 8)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
  u = add(e, kw(w3, TABLE_K, 12)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
  u = add(d, kw(w4, TABLE_K, 16)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
  u = add(c, kw(w5, TABLE_K, 20)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
  u = add(b, kw(w6, TABLE_K, 24)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
  u = add(a, kw(w7, TABLE_K, 28)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
  u = add(h, kw(w8, TABLE_K, 32)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
  u = add(g, kw(w9, TABLE_K, 36)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
  u = add(f, kw(w10, TABLE_K, 40)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
  u = add(e, kw(w11, TABLE_K, 44)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
  u = add(d, kw(w12, TABLE_K, 48)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
  u = add(c, kw(w13, TABLE_K, 52)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
  u = add(b, kw(w14, TABLE_K, 56)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
  u = add(a, kw(w15, TABLE_K, 60)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
  for (let k: usize = TABLE_K + 64; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    u = add(h, kw(w0, k, 0)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    w1 = next(w1, w2, w10, w15);
    u = add(g, kw(w1, k, 4)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    w2 = next(w2, w3, w11, w0);
    u = add(f, kw(w2, k, 8)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    w3 = next(w3, w4, w12, w1);
    u = add(e, kw(w3, k, 12)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    w4 = next(w4, w5, w13, w2);
    u = add(d, kw(w4, k, 16)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    w5 = next(w5, w6, w14, w3);
    u = add(c, kw(w5, k, 20)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    w6 = next(w6, w7, w15, w4);
    u = add(b, kw(w6, k, 24)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    w7 = next(w7, w8, w0, w5);
    u = add(a, kw(w7, k, 28)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
    w8 = next(w8, w9, w1, w6);
    u = add(h, kw(w8, k, 32)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    w9 = next(w9, w10, w2, w7);
    u = add(g, kw(w9, k, 36)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    w10 = next(w10, w11, w3, w8);
    u = add(f, kw(w10, k, 40)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    w11 = next(w11, w12, w4, w9);
    u = add(e, kw(w11, k, 44)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    w12 = next(w12, w13, w5, w10);
    u = add(d, kw(w12, k, 48)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    w13 = next(w13, w14, w6, w11);
    u = add(c, kw(w13, k, 52)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    w14 = next(w14, w15, w7, w12);
    u = add(b, kw(w14, k, 56)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    w15 = next(w15, w0, w8, w13);
    u = add(a, kw(w15, k, 60)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
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
  let s: T, u: T, x = xor(b, c), y = x;
  for (let k: usize = TABLE_PADDING_64; k < <usize>(TABLE_PADDING_64 + 256); k += 64) {
    u = add(h, constant<T>(k, 0)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    u = add(g, constant<T>(k, 4)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    u = add(f, constant<T>(k, 8)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    u = add(e, constant<T>(k, 12)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    u = add(d, constant<T>(k, 16)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    u = add(c, constant<T>(k, 20)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    u = add(b, constant<T>(k, 24)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    u = add(a, constant<T>(k, 28)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
    u = add(h, constant<T>(k, 32)); s = sum1(e, f, g); d = add(add(d, u), s); x = xor(a, b); h = sum0(add(u, s), a, b, x, y);
    u = add(g, constant<T>(k, 36)); s = sum1(d, e, f); c = add(add(c, u), s); y = xor(h, a); g = sum0(add(u, s), h, a, y, x);
    u = add(f, constant<T>(k, 40)); s = sum1(c, d, e); b = add(add(b, u), s); x = xor(g, h); f = sum0(add(u, s), g, h, x, y);
    u = add(e, constant<T>(k, 44)); s = sum1(b, c, d); a = add(add(a, u), s); y = xor(f, g); e = sum0(add(u, s), f, g, y, x);
    u = add(d, constant<T>(k, 48)); s = sum1(a, b, c); h = add(add(h, u), s); x = xor(e, f); d = sum0(add(u, s), e, f, x, y);
    u = add(c, constant<T>(k, 52)); s = sum1(h, a, b); g = add(add(g, u), s); y = xor(d, e); c = sum0(add(u, s), d, e, y, x);
    u = add(b, constant<T>(k, 56)); s = sum1(g, h, a); f = add(add(f, u), s); x = xor(c, d); b = sum0(add(u, s), c, d, x, y);
    u = add(a, constant<T>(k, 60)); s = sum1(f, g, h); e = add(add(e, u), s); y = xor(b, c); a = sum0(add(u, s), b, c, y, x);
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

/**
 * Makes 16 words of the 8 at `state` and the padding of a 32-byte message: from then on
 * compressFirst(to, state) is SHA-256 of the digest at `state`. A function of its own for that message
 * would save 4 % of its instructions, but cost 4 % in time: a merkle step must stay in the instruction cache.
 */
export function padDigest<T>(state: usize): void {
  store<T>(state, everywhere<T>(0x80000000), 8 * sizeof<T>());
  for (let at: usize = 9; at < 15; at++) store<T>(state + at * sizeof<T>(), everywhere<T>(0));
  store<T>(state, everywhere<T>(256), 15 * sizeof<T>());
}
