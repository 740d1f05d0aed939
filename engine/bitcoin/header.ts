// The 80-byte block header: the thing that is hashed, for a share as for a block.
//
//   0        4                      36                     68     72     76     80
//   | version | previous block hash  | merkle root          | time | bits | nonce |
//   all integers uint32 little-endian, both hashes in the order they were hashed

import { sha256d } from './hash.js';

/** Bytes of a block header. */
export const HEADER_BYTES = 80;

export interface BlockHeader {
  /** uint32; the chain's signed version is taken modulo 2^32. */
  readonly version: number;
  /** 32 bytes as hashed. */
  readonly previousBlock: Uint8Array;
  /** 32 bytes as hashed. */
  readonly merkleRoot: Uint8Array;
  /** Unix seconds, uint32. */
  readonly time: number;
  /** Compact target, uint32. */
  readonly bits: number;
  /** uint32. */
  readonly nonce: number;
}

/** The 80 bytes of `header`. Throws RangeError when a hash is not 32 bytes. */
export function encodeHeader(header: BlockHeader): Uint8Array {
  if (header.previousBlock.length !== 32)
    throw new RangeError('previousBlock of a header must have 32 bytes');
  if (header.merkleRoot.length !== 32) throw new RangeError('merkleRoot of a header must have 32 bytes');
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, header.version, true);
  bytes.set(header.previousBlock, 4);
  bytes.set(header.merkleRoot, 36);
  view.setUint32(68, header.time, true);
  view.setUint32(72, header.bits, true);
  view.setUint32(76, header.nonce, true);
  return bytes;
}

/** The fields of an 80-byte header. Throws RangeError on another length. */
export function decodeHeader(bytes: Uint8Array): BlockHeader {
  if (bytes.length !== HEADER_BYTES)
    throw new RangeError(`a header has ${HEADER_BYTES} bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    version: view.getUint32(0, true),
    previousBlock: new Uint8Array(bytes.subarray(4, 36)),
    merkleRoot: new Uint8Array(bytes.subarray(36, 68)),
    time: view.getUint32(68, true),
    bits: view.getUint32(72, true),
    nonce: view.getUint32(76, true),
  };
}

/** Hash of an 80-byte header: 32 bytes as hashed (little-endian when compared with a target). */
export function headerHash(header: Uint8Array): Uint8Array {
  if (header.length !== HEADER_BYTES)
    throw new RangeError(`a header has ${HEADER_BYTES} bytes, not ${header.length}`);
  return sha256d(header);
}
