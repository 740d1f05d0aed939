// What a share's hash and result must be, computed the slow and obvious way: node:crypto for SHA-256, whole
// buffers instead of midstates, BigInt for the comparison. Shares no code with wasm/.
import { createHash } from 'node:crypto';
import type { JobSlot, ShareInput } from '../../wasm/slots.js';

export function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

export function sha256d(data: Uint8Array): Buffer {
  return sha256(sha256(data));
}

/** The 80-byte header of a share (version, ntime and nonce are its own), by any double SHA-256. */
export function headerOf(
  job: JobSlot,
  share: ShareInput,
  hashTwice: (data: Uint8Array) => Uint8Array = sha256d,
): Buffer {
  let root = hashTwice(Buffer.concat([job.coinbase1, share.extranonce, job.coinbase2]));
  for (const hash of job.branch) root = hashTwice(Buffer.concat([root, hash]));
  const header = Buffer.alloc(80);
  header.writeUInt32LE(share.version, 0);
  header.set(job.previousBlock, 4);
  header.set(root, 36);
  header.writeUInt32LE(share.ntime, 68);
  header.writeUInt32LE(job.bits, 72);
  header.writeUInt32LE(share.nonce, 76);
  return header;
}

/** hash <= target, byte by byte from the highest: no integers, for a judge that is not the BigInt one. */
export function meets(hash: Uint8Array, targetLE: Uint8Array): boolean {
  return Buffer.from(displayed(hash), 'hex').compare(Buffer.from(displayed(targetLE), 'hex')) <= 0;
}

/** 32 little-endian bytes as a number. */
export function numberOf(bytesLE: Uint8Array): bigint {
  return BigInt(`0x${displayed(bytesLE)}`);
}

/** A number as 32 little-endian bytes, cut off at the ends of the range. */
export function bytesOf(value: bigint): Uint8Array {
  const most = (1n << 256n) - 1n;
  const clamped = value < 0n ? 0n : value > most ? most : value;
  return Uint8Array.from(Buffer.from(clamped.toString(16).padStart(64, '0'), 'hex')).reverse();
}

/** A hash as block explorers show it: bytes reversed, hex. */
export function displayed(hash: Uint8Array): string {
  return Buffer.from(Uint8Array.from(hash).reverse()).toString('hex');
}

/** Repeatable randomness for tests: xorshift32 (Marsaglia 2003). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 1;
    for (let i = 0; i < 8; i++) this.u32();
  }

  u32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** An integer in 0..most. */
  upTo(most: number): number {
    return this.u32() % (most + 1);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u32() >>> 11);
  }
}
