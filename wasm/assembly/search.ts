// Nonce search: SHA-256d of one 80-byte header with nonce after nonce, four at a time, for simulated miners.
// What does not depend on the nonce is done once per header: the first 64 bytes, rounds 0 to 2 of the second
// block, the parts of its schedule that only know the other words. The second hash stops after round 60, when
// the last word of the digest (the top 32 bits of the number) is known; only a hash that can still meet the
// target is computed in full.
//
// The rounds are those of sha256.ts but for the order of additions: here, where no call separates the two
// hashes, the textbook's six additions a round run 7 % faster than sha256.ts's seven.
import { add, constant, swapBytes, xor } from './lanes';
import {
  SCRATCH_DIGEST,
  SCRATCH_LANES,
  SCRATCH_SEARCH,
  SCRATCH_STATE,
  SCRATCH_WORDS,
  TABLE_DIGEST,
  TABLE_HEADER_TAIL,
  TABLE_IV,
  TABLE_K,
  TABLE_PADDING_WORDS,
  TABLE_ROUND_0,
} from './layout';
import { big1, choose, compressFirst, kw, next, padDigest, small0, small1, sum0, sum1 } from './sha256';
import { isAtMost } from './validate';

// What the host writes at SCRATCH_LANES, and what prepareSearch derives at SCRATCH_SEARCH (24 words):
// 0..7 state before round 3 but for two words: 3 and 7 hold e and a after it, short of adding the nonce;
// 8, 9 schedule words 16, 17; 10..14 parts of schedule words 18, 19, 22, 30, 31; 16..23 midstate.
const HEADER: usize = SCRATCH_LANES;
const TARGET: usize = SCRATCH_LANES + 80;

/** Reads the 80-byte header and the 32-byte little-endian target at SCRATCH_LANES; call before searching. */
export function prepareSearch(scratch: usize): void {
  const words = scratch + SCRATCH_WORDS;
  const at = scratch + SCRATCH_SEARCH;
  const midstate = at + 64;
  for (let i: usize = 0; i < 64; i += 4) store<u32>(words + i, bswap<u32>(load<u32>(scratch + HEADER + i)));
  compressFirst<u32>(midstate, words);

  let a = load<u32>(midstate, 0), b = load<u32>(midstate, 4), c = load<u32>(midstate, 8), d = load<u32>(midstate, 12);
  let e = load<u32>(midstate, 16), f = load<u32>(midstate, 20), g = load<u32>(midstate, 24), h = load<u32>(midstate, 28);
  for (let i: usize = 0; i < 12; i += 4) {
    const t1 = h + sum1<u32>(e, f, g) + load<u32>(i + TABLE_K) + bswap<u32>(load<u32>(scratch + HEADER + 64 + i));
    const newA = sum0<u32>(t1, a, b, a ^ b, b ^ c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = newA;
  }
  const t = h + sum1<u32>(e, f, g) + load<u32>(TABLE_K, 12);
  store<u32>(at, a, 0);
  store<u32>(at, b, 4);
  store<u32>(at, c, 8);
  store<u32>(at, d + t, 12);
  store<u32>(at, e, 16);
  store<u32>(at, f, 20);
  store<u32>(at, g, 24);
  store<u32>(at, sum0<u32>(t, a, b, a ^ b, b ^ c), 28);

  // Words 0..2 are the header's, 3 the nonce, 4 is 0x80000000, 15 is 640, the rest zero.
  const w0 = bswap<u32>(load<u32>(scratch + HEADER, 64));
  const w1 = bswap<u32>(load<u32>(scratch + HEADER, 68));
  const w2 = bswap<u32>(load<u32>(scratch + HEADER, 72));
  const w16 = w0 + small0<u32>(w1);
  const w17 = w1 + small0<u32>(w2) + small1<u32>(640);
  store<u32>(at, w16, 32);
  store<u32>(at, w17, 36);
  store<u32>(at, w2 + small1<u32>(w16), 40);
  store<u32>(at, small0<u32>(0x80000000) + small1<u32>(w17), 44);
  store<u32>(at, 640, 48);
  store<u32>(at, small0<u32>(640), 52);
  store<u32>(at, 640 + small0<u32>(w16), 56);
}

/**
 * The first nonce among first .. first+count-1 whose header hash is at most the target, or -1. Four lanes.
 * first + count must not pass 2^32.
 */
export function searchFours(scratch: usize, first: u32, count: u32): f64 {
  const constants = scratch + SCRATCH_SEARCH;
  const state = scratch + SCRATCH_STATE;
  const top = i32x4.splat(load<u32>(scratch + TARGET, 28));
  const step = i32x4.splat(4);
  let nonces = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  const whole = count & ~3;
  for (let i: u32 = 0; i < whole; i += 4) {
    headerTail<v128>(swapBytes<v128>(nonces), constants, state);
    if (v128.any_true(i32x4.le_u(swapBytes<v128>(digestLastWord<v128>(state)), top))) {
      const found = searchOnes(scratch, first + i, 4);
      if (found >= 0) return found;
    }
    nonces = i32x4.add(nonces, step);
  }
  return searchOnes(scratch, first + whole, count - whole);
}

/** The same with one nonce at a time. */
export function searchOnes(scratch: usize, first: u32, count: u32): f64 {
  const constants = scratch + SCRATCH_SEARCH;
  const state = scratch + SCRATCH_STATE;
  const digest = scratch + SCRATCH_DIGEST;
  const top = load<u32>(scratch + TARGET, 28);
  padDigest<u32>(state);
  for (let i: u32 = 0; i < count; i++) {
    headerTail<u32>(bswap<u32>(first + i), constants, state);
    if (bswap<u32>(digestLastWord<u32>(state)) > top) continue;
    compressFirst<u32>(digest, state);
    v128.store(digest, swapBytes<v128>(v128.load(digest)));
    v128.store(digest, swapBytes<v128>(v128.load(digest, 16)), 16);
    if (isAtMost(digest, scratch + TARGET)) return <f64>(first + i);
  }
  return -1;
}

/** SHA-256 state after the whole header; w3 is the nonce as a big-endian word. */
function headerTail<T>(w3: T, constants: usize, to: usize): void {
  let f = constant<T>(constants, 0);
  let g = constant<T>(constants, 4);
  let h = constant<T>(constants, 8);
  let b = constant<T>(constants, 16);
  let c = constant<T>(constants, 20);
  let d = constant<T>(constants, 24);
  let a = add(constant<T>(constants, 12), w3);
  let e = add(constant<T>(constants, 28), w3);
  let t: T, y = xor(f, g), x = y;
  t = add(add(add(d, constant<T>(TABLE_HEADER_TAIL, 16)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  t = add(add(add(c, constant<T>(TABLE_HEADER_TAIL, 20)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  t = add(add(add(b, constant<T>(TABLE_HEADER_TAIL, 24)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  t = add(add(add(a, constant<T>(TABLE_HEADER_TAIL, 28)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  t = add(add(add(h, constant<T>(TABLE_HEADER_TAIL, 32)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  t = add(add(add(g, constant<T>(TABLE_HEADER_TAIL, 36)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  t = add(add(add(f, constant<T>(TABLE_HEADER_TAIL, 40)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  t = add(add(add(e, constant<T>(TABLE_HEADER_TAIL, 44)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  t = add(add(add(d, constant<T>(TABLE_HEADER_TAIL, 48)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  t = add(add(add(c, constant<T>(TABLE_HEADER_TAIL, 52)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  t = add(add(add(b, constant<T>(TABLE_HEADER_TAIL, 56)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  t = add(add(add(a, constant<T>(TABLE_HEADER_TAIL, 60)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  let w0 = constant<T>(constants, 32);
  t = add(add(add(h, kw(w0, TABLE_K, 64)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  let w1 = constant<T>(constants, 36);
  t = add(add(add(g, kw(w1, TABLE_K, 68)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  let w2 = add(small0(w3), constant<T>(constants, 40));
  t = add(add(add(f, kw(w2, TABLE_K, 72)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  w3 = add(w3, constant<T>(constants, 44));
  t = add(add(add(e, kw(w3, TABLE_K, 76)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  let w4 = add(constant<T>(TABLE_PADDING_WORDS, 0), small1(w2));
  t = add(add(add(d, kw(w4, TABLE_K, 80)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  let w5 = small1(w3);
  t = add(add(add(c, kw(w5, TABLE_K, 84)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  let w6 = add(constant<T>(constants, 48), small1(w4));
  t = add(add(add(b, kw(w6, TABLE_K, 88)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  let w7 = add(w0, small1(w5));
  t = add(add(add(a, kw(w7, TABLE_K, 92)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  let w8 = add(w1, small1(w6));
  t = add(add(add(h, kw(w8, TABLE_K, 96)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  let w9 = add(w2, small1(w7));
  t = add(add(add(g, kw(w9, TABLE_K, 100)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  let w10 = add(w3, small1(w8));
  t = add(add(add(f, kw(w10, TABLE_K, 104)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  let w11 = add(w4, small1(w9));
  t = add(add(add(e, kw(w11, TABLE_K, 108)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  let w12 = add(w5, small1(w10));
  t = add(add(add(d, kw(w12, TABLE_K, 112)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  let w13 = add(w6, small1(w11));
  t = add(add(add(c, kw(w13, TABLE_K, 116)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  let w14 = add(add(constant<T>(constants, 52), w7), small1(w12));
  t = add(add(add(b, kw(w14, TABLE_K, 120)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  let w15 = add(constant<T>(constants, 56), add(w8, small1(w13)));
  t = add(add(add(a, kw(w15, TABLE_K, 124)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  for (let k: usize = TABLE_K + 128; k < <usize>(TABLE_K + 256); k += 64) {
    w0 = next(w0, w1, w9, w14);
    t = add(add(add(h, kw(w0, k, 0)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
    w1 = next(w1, w2, w10, w15);
    t = add(add(add(g, kw(w1, k, 4)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
    w2 = next(w2, w3, w11, w0);
    t = add(add(add(f, kw(w2, k, 8)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
    w3 = next(w3, w4, w12, w1);
    t = add(add(add(e, kw(w3, k, 12)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
    w4 = next(w4, w5, w13, w2);
    t = add(add(add(d, kw(w4, k, 16)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
    w5 = next(w5, w6, w14, w3);
    t = add(add(add(c, kw(w5, k, 20)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
    w6 = next(w6, w7, w15, w4);
    t = add(add(add(b, kw(w6, k, 24)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
    w7 = next(w7, w8, w0, w5);
    t = add(add(add(a, kw(w7, k, 28)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
    w8 = next(w8, w9, w1, w6);
    t = add(add(add(h, kw(w8, k, 32)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
    w9 = next(w9, w10, w2, w7);
    t = add(add(add(g, kw(w9, k, 36)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
    w10 = next(w10, w11, w3, w8);
    t = add(add(add(f, kw(w10, k, 40)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
    w11 = next(w11, w12, w4, w9);
    t = add(add(add(e, kw(w11, k, 44)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
    w12 = next(w12, w13, w5, w10);
    t = add(add(add(d, kw(w12, k, 48)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
    w13 = next(w13, w14, w6, w11);
    t = add(add(add(c, kw(w13, k, 52)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
    w14 = next(w14, w15, w7, w12);
    t = add(add(add(b, kw(w14, k, 56)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
    w15 = next(w15, w0, w8, w13);
    t = add(add(add(a, kw(w15, k, 60)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  }
  store<T>(to, add(a, constant<T>(constants, 64)), 0 * sizeof<T>());
  store<T>(to, add(b, constant<T>(constants, 68)), 1 * sizeof<T>());
  store<T>(to, add(c, constant<T>(constants, 72)), 2 * sizeof<T>());
  store<T>(to, add(d, constant<T>(constants, 76)), 3 * sizeof<T>());
  store<T>(to, add(e, constant<T>(constants, 80)), 4 * sizeof<T>());
  store<T>(to, add(f, constant<T>(constants, 84)), 5 * sizeof<T>());
  store<T>(to, add(g, constant<T>(constants, 88)), 6 * sizeof<T>());
  store<T>(to, add(h, constant<T>(constants, 92)), 7 * sizeof<T>());
}

/** Last word of the SHA-256 of the 32-byte message at `from`: three rounds less than the whole. */
function digestLastWord<T>(from: usize): T {
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
  t = add(add(add(g, kw(w1, TABLE_K, 4)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  t = add(add(add(f, kw(w2, TABLE_K, 8)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  t = add(add(add(e, kw(w3, TABLE_K, 12)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  t = add(add(add(d, kw(w4, TABLE_K, 16)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  t = add(add(add(c, kw(w5, TABLE_K, 20)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  t = add(add(add(b, kw(w6, TABLE_K, 24)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  t = add(add(add(a, kw(w7, TABLE_K, 28)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  t = add(add(add(h, constant<T>(TABLE_DIGEST, 32)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  t = add(add(add(g, constant<T>(TABLE_DIGEST, 36)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  t = add(add(add(f, constant<T>(TABLE_DIGEST, 40)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  t = add(add(add(e, constant<T>(TABLE_DIGEST, 44)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  t = add(add(add(d, constant<T>(TABLE_DIGEST, 48)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  t = add(add(add(c, constant<T>(TABLE_DIGEST, 52)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  t = add(add(add(b, constant<T>(TABLE_DIGEST, 56)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  t = add(add(add(a, constant<T>(TABLE_DIGEST, 60)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  w0 = add(w0, small0(w1));
  t = add(add(add(h, kw(w0, TABLE_K, 64)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  w1 = add(add(w1, small0(w2)), constant<T>(TABLE_PADDING_WORDS, 16));
  t = add(add(add(g, kw(w1, TABLE_K, 68)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  w2 = add(add(w2, small0(w3)), small1(w0));
  t = add(add(add(f, kw(w2, TABLE_K, 72)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  w3 = add(add(w3, small0(w4)), small1(w1));
  t = add(add(add(e, kw(w3, TABLE_K, 76)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  w4 = add(add(w4, small0(w5)), small1(w2));
  t = add(add(add(d, kw(w4, TABLE_K, 80)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  w5 = add(add(w5, small0(w6)), small1(w3));
  t = add(add(add(c, kw(w5, TABLE_K, 84)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  w6 = add(add(w6, small0(w7)), add(constant<T>(TABLE_PADDING_WORDS, 8), small1(w4)));
  t = add(add(add(b, kw(w6, TABLE_K, 88)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  w7 = add(add(w7, constant<T>(TABLE_PADDING_WORDS, 4)), add(w0, small1(w5)));
  t = add(add(add(a, kw(w7, TABLE_K, 92)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  let w8 = add(add(constant<T>(TABLE_PADDING_WORDS, 0), w1), small1(w6));
  t = add(add(add(h, kw(w8, TABLE_K, 96)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  let w9 = add(w2, small1(w7));
  t = add(add(add(g, kw(w9, TABLE_K, 100)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  let w10 = add(w3, small1(w8));
  t = add(add(add(f, kw(w10, TABLE_K, 104)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  let w11 = add(w4, small1(w9));
  t = add(add(add(e, kw(w11, TABLE_K, 108)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  let w12 = add(w5, small1(w10));
  t = add(add(add(d, kw(w12, TABLE_K, 112)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  let w13 = add(w6, small1(w11));
  t = add(add(add(c, kw(w13, TABLE_K, 116)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  let w14 = add(add(constant<T>(TABLE_PADDING_WORDS, 12), w7), small1(w12));
  t = add(add(add(b, kw(w14, TABLE_K, 120)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  let w15 = add(add(constant<T>(TABLE_PADDING_WORDS, 8), small0(w0)), add(w8, small1(w13)));
  t = add(add(add(a, kw(w15, TABLE_K, 124)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  for (let k: usize = TABLE_K + 128; k < <usize>(TABLE_K + 192); k += 64) {
    w0 = next(w0, w1, w9, w14);
    t = add(add(add(h, kw(w0, k, 0)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
    w1 = next(w1, w2, w10, w15);
    t = add(add(add(g, kw(w1, k, 4)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
    w2 = next(w2, w3, w11, w0);
    t = add(add(add(f, kw(w2, k, 8)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
    w3 = next(w3, w4, w12, w1);
    t = add(add(add(e, kw(w3, k, 12)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
    w4 = next(w4, w5, w13, w2);
    t = add(add(add(d, kw(w4, k, 16)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
    w5 = next(w5, w6, w14, w3);
    t = add(add(add(c, kw(w5, k, 20)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
    w6 = next(w6, w7, w15, w4);
    t = add(add(add(b, kw(w6, k, 24)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
    w7 = next(w7, w8, w0, w5);
    t = add(add(add(a, kw(w7, k, 28)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
    w8 = next(w8, w9, w1, w6);
    t = add(add(add(h, kw(w8, k, 32)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
    w9 = next(w9, w10, w2, w7);
    t = add(add(add(g, kw(w9, k, 36)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
    w10 = next(w10, w11, w3, w8);
    t = add(add(add(f, kw(w10, k, 40)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
    w11 = next(w11, w12, w4, w9);
    t = add(add(add(e, kw(w11, k, 44)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
    w12 = next(w12, w13, w5, w10);
    t = add(add(add(d, kw(w12, k, 48)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
    w13 = next(w13, w14, w6, w11);
    t = add(add(add(c, kw(w13, k, 52)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
    w14 = next(w14, w15, w7, w12);
    t = add(add(add(b, kw(w14, k, 56)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
    w15 = next(w15, w0, w8, w13);
    t = add(add(add(a, kw(w15, k, 60)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  }
  w0 = next(w0, w1, w9, w14);
  t = add(add(add(h, kw(w0, TABLE_K, 192)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  w1 = next(w1, w2, w10, w15);
  t = add(add(add(g, kw(w1, TABLE_K, 196)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  w2 = next(w2, w3, w11, w0);
  t = add(add(add(f, kw(w2, TABLE_K, 200)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  w3 = next(w3, w4, w12, w1);
  t = add(add(add(e, kw(w3, TABLE_K, 204)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  w4 = next(w4, w5, w13, w2);
  t = add(add(add(d, kw(w4, TABLE_K, 208)), big1(a)), choose(a, b, c)); h = add(h, t); x = xor(e, f); d = sum0(t, e, f, x, y);
  w5 = next(w5, w6, w14, w3);
  t = add(add(add(c, kw(w5, TABLE_K, 212)), big1(h)), choose(h, a, b)); g = add(g, t); y = xor(d, e); c = sum0(t, d, e, y, x);
  w6 = next(w6, w7, w15, w4);
  t = add(add(add(b, kw(w6, TABLE_K, 216)), big1(g)), choose(g, h, a)); f = add(f, t); x = xor(c, d); b = sum0(t, c, d, x, y);
  w7 = next(w7, w8, w0, w5);
  t = add(add(add(a, kw(w7, TABLE_K, 220)), big1(f)), choose(f, g, h)); e = add(e, t); y = xor(b, c); a = sum0(t, b, c, y, x);
  w8 = next(w8, w9, w1, w6);
  t = add(add(add(h, kw(w8, TABLE_K, 224)), big1(e)), choose(e, f, g)); d = add(d, t); x = xor(a, b); h = sum0(t, a, b, x, y);
  w9 = next(w9, w10, w2, w7);
  t = add(add(add(g, kw(w9, TABLE_K, 228)), big1(d)), choose(d, e, f)); c = add(c, t); y = xor(h, a); g = sum0(t, h, a, y, x);
  w10 = next(w10, w11, w3, w8);
  t = add(add(add(f, kw(w10, TABLE_K, 232)), big1(c)), choose(c, d, e)); b = add(b, t); x = xor(g, h); f = sum0(t, g, h, x, y);
  w11 = next(w11, w12, w4, w9);
  t = add(add(add(e, kw(w11, TABLE_K, 236)), big1(b)), choose(b, c, d)); a = add(a, t); y = xor(f, g); e = sum0(t, f, g, y, x);
  w12 = next(w12, w13, w5, w10);
  t = add(add(add(d, kw(w12, TABLE_K, 240)), big1(a)), choose(a, b, c)); h = add(h, t);
  return add(h, constant<T>(TABLE_IV, 28));
}
