// Hex and byte order. Hashes live in memory as they are hashed; people, RPC and block explorers read them
// with the bytes reversed. Decoding is strict: a decoder that stops quietly at the first bad digit lets one
// share be written in many ways, and each of them was once paid.

const HEX = /^[0-9a-fA-F]*$/;

/** Lower-case hex of `bytes`. */
export function bytesToHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** True when `text` is whole bytes of hex in either case. The empty string is. */
export function isHex(text: string): boolean {
  return text.length % 2 === 0 && HEX.test(text);
}

/** Bytes of a hex string in either case. Throws RangeError on an odd length or any other character. */
export function hexToBytes(hex: string): Uint8Array {
  if (hex.length % 2 !== 0) throw new RangeError(`hex has an odd number of digits (${hex.length})`);
  if (!HEX.test(hex)) throw new RangeError('hex has a character outside 0-9, a-f, A-F');
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

/** A copy of `bytes` in the opposite order. */
export function reversed(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes).reverse();
}

/** Hash as people know it: `hashLE` (32 bytes as hashed) reversed, in hex. Throws RangeError on another length. */
export function displayHash(hashLE: Uint8Array): string {
  if (hashLE.length !== 32) throw new RangeError(`a hash has 32 bytes, not ${hashLE.length}`);
  return bytesToHex(reversed(hashLE));
}

/** 32 bytes as hashed, from the 64 hex digits people know. Throws RangeError on anything else. */
export function hashFromDisplay(hex: string): Uint8Array {
  if (hex.length !== 64) throw new RangeError(`a hash has 64 hex digits, not ${hex.length}`);
  return hexToBytes(hex).reverse();
}
