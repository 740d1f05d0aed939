// 32-bit words, one (u32) or four side by side (v128). SHA-256 above this file is written once, generic over T;
// the compiler makes a scalar and a four-lane version of it. Everything here inlines: no call costs anything.
// WebAssembly has no vector rotate, so a rotation of four lanes is three instructions.

// @ts-ignore: decorator
@inline
export function add<T>(x: T, y: T): T {
  if (isVector<T>()) return i32x4.add(x, y);
  return x + y;
}

// @ts-ignore: decorator
@inline
export function xor<T>(x: T, y: T): T {
  if (isVector<T>()) return v128.xor(x, y);
  return x ^ y;
}

// @ts-ignore: decorator
@inline
export function and<T>(x: T, y: T): T {
  if (isVector<T>()) return v128.and(x, y);
  return x & y;
}

// @ts-ignore: decorator
@inline
export function shiftRight<T>(x: T, bits: i32): T {
  if (isVector<T>()) return i32x4.shr_u(x, bits);
  return x >> bits;
}

// @ts-ignore: decorator
@inline
export function rotateRight<T>(x: T, bits: i32): T {
  if (isVector<T>()) return v128.or(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits));
  return rotr<u32>(x, bits);
}

/** `word` in every lane. */
// @ts-ignore: decorator
@inline
export function everywhere<T>(word: u32): T {
  if (isVector<T>()) return i32x4.splat(word);
  return word;
}

/** The u32 at `table + offset`, the same in every lane. */
// @ts-ignore: decorator
@inline
export function constant<T>(table: usize, offset: usize): T {
  if (isVector<T>()) return v128.load_splat<u32>(table + offset);
  return load<u32>(table + offset);
}

/** Reverses the four bytes of each word: the SHA-256 word order is big-endian, memory is not. */
// @ts-ignore: decorator
@inline
export function swapBytes<T>(x: T): T {
  if (isVector<T>()) return v128.shuffle<u8>(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
  return bswap<u32>(x);
}
