// The same shares judged in every way that is compared: the kernel, and what a JavaScript pool would do with
// node:crypto or @noble/hashes, each written as fast as its library allows (one reused buffer per message, no
// concatenation). The share is the one of the project's goals: 244-byte coinbase whose extranonce lies in
// the second block.

import * as crypto from 'node:crypto';
import { createHash, randomBytes } from 'node:crypto';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { type JobSlot, RESULT_MEETS_SHARE, type ShareInput } from '../../wasm/slots.js';

const COINBASE_BYTES = 244;
/** Into the second 64-byte block, as the height and a pool tag put it. */
const COINBASE1_BYTES = 100;
const EXTRANONCE_BYTES = 12;
const HEADER_BYTES = 80;

/** SHA-256 of `message`, 32 bytes. */
export type Sha256 = (message: Uint8Array) => Uint8Array;

export const createHashSha256: Sha256 = (message) => createHash('sha256').update(message).digest();

/** The one-shot function, which Node has since 20.12; null before. */
export const oneShotSha256: Sha256 | null =
  'hash' in crypto ? (message) => crypto.hash('sha256', message, 'buffer') : null;

export { nobleSha256 };

/** A job with random contents and `branches` merkle branches; its network target is met by no hash. */
export function benchJob(branches: number): JobSlot {
  return {
    coinbase1: randomBytes(COINBASE1_BYTES),
    coinbase2: randomBytes(COINBASE_BYTES - COINBASE1_BYTES - EXTRANONCE_BYTES),
    branch: Array.from({ length: branches }, () => randomBytes(32)),
    previousBlock: randomBytes(32),
    bits: 0x1d00ffff,
    networkTargetLE: new Uint8Array(32),
  };
}

/**
 * Random shares of a job with targets that allow one mistake nowhere: every second share's target is exactly
 * its hash (it must be accepted), the others' is one below (it must not).
 */
export function benchShares(job: JobSlot, jobSlot: number, count: number): ShareInput[] {
  return Array.from({ length: count }, (_, index) => {
    const bytes = randomBytes(12);
    const share = {
      jobSlot,
      ntime: bytes.readUInt32LE(0),
      nonce: bytes.readUInt32LE(4),
      version: bytes.readUInt32LE(8),
      extranonce: randomBytes(EXTRANONCE_BYTES),
    };
    const target = Uint8Array.from(plainHash(job, share));
    if (index % 2 === 1) subtractOne(target);
    return { ...share, shareTargetLE: target };
  });
}

/** Throws unless hash and result bits of each share are those of node:crypto. */
export function checkShares(
  way: string,
  job: JobSlot,
  shares: readonly ShareInput[],
  judged: (share: ShareInput, index: number) => { result: number; hash: Uint8Array },
): void {
  for (const [index, share] of shares.entries()) {
    const { result, hash } = judged(share, index);
    const expected = index % 2 === 0 ? RESULT_MEETS_SHARE : 0;
    if (!plainHash(job, share).equals(hash) || result !== expected) {
      throw new Error(
        `${way} judges share ${index} wrongly: a benchmark of it would be worthless. Run "npm test".`,
      );
    }
  }
}

/** The header hash of a share, the slow and obvious way. */
export function plainHash(job: JobSlot, share: Omit<ShareInput, 'shareTargetLE'>): Buffer {
  const twice = (data: Uint8Array) =>
    createHash('sha256').update(createHash('sha256').update(data).digest()).digest();
  let root = twice(Buffer.concat([job.coinbase1, share.extranonce, job.coinbase2]));
  for (const hash of job.branch) root = twice(Buffer.concat([root, hash]));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(share.version, 0);
  header.set(job.previousBlock, 4);
  header.set(root, 36);
  header.writeUInt32LE(share.ntime, 68);
  header.writeUInt32LE(job.bits, 72);
  header.writeUInt32LE(share.nonce, 76);
  return twice(header);
}

/** Judges shares of one job with calls of a hash function. */
export class LibraryJudge {
  readonly #sha256: Sha256;
  readonly #extranonceAt: number;
  readonly #coinbase: Buffer;
  readonly #pair = Buffer.alloc(64);
  readonly #branch: readonly Uint8Array[];
  readonly #header = Buffer.alloc(HEADER_BYTES);

  constructor(sha256: Sha256, job: JobSlot) {
    this.#sha256 = sha256;
    this.#extranonceAt = job.coinbase1.length;
    this.#coinbase = Buffer.concat([job.coinbase1, Buffer.alloc(EXTRANONCE_BYTES), job.coinbase2]);
    this.#branch = job.branch;
    this.#header.set(job.previousBlock, 4);
    this.#header.writeUInt32LE(job.bits, 72);
  }

  /** @returns as the kernel leaves it in a share slot (the network target is not looked at). */
  judge(share: ShareInput): { result: number; hash: Uint8Array } {
    const header = this.#header;
    this.#coinbase.set(share.extranonce, this.#extranonceAt);
    let root = this.#twice(this.#coinbase);
    for (const hash of this.#branch) {
      this.#pair.set(root, 0);
      this.#pair.set(hash, 32);
      root = this.#twice(this.#pair);
    }
    header.writeUInt32LE(share.version, 0);
    header.set(root, 36);
    header.writeUInt32LE(share.ntime, 68);
    header.writeUInt32LE(share.nonce, 76);
    const hash = this.#twice(header);
    return { result: isAtMost(hash, share.shareTargetLE) ? RESULT_MEETS_SHARE : 0, hash };
  }

  #twice(message: Uint8Array): Uint8Array {
    return this.#sha256(this.#sha256(message));
  }
}

function isAtMost(hash: Uint8Array, target: Uint8Array): boolean {
  for (let at = 31; at >= 0; at--) {
    const difference = (hash[at] as number) - (target[at] as number);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function subtractOne(numberLE: Uint8Array): void {
  for (const [at, byte] of numberLE.entries()) {
    numberLE[at] = byte - 1;
    if (byte !== 0) return;
  }
}
