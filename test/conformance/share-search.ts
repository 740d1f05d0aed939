// Real proof of work for cases that need a share, with the project's WASM nonce search.
import { setImmediate as turn } from 'node:timers/promises';
import { headerHash } from '../../engine/bitcoin/header.js';
import {
  difficultyFromTarget,
  targetFromBits,
  targetFromBytesLE,
  targetFromDifficulty,
  targetToBytesLE,
} from '../../engine/bitcoin/target.js';
import { NonceSearcher } from '../../wasm/nonce-searcher.js';
import { CaseSkipped } from './expectation.js';

/** Nonces between two looks at the sockets: about 20 ms of one core. */
const PIECE = 2 ** 17;
const NONCES = 2 ** 32;
/** Hashes tried beyond the expected ones: a miss has a chance of e^-16. */
const PATIENCE = 16;

let searcher: NonceSearcher | null = null;

/**
 * A nonce with which the header is a share of `difficulty`.
 * @param header80 80 bytes, nonce ignored
 * @param butNot the hash must miss the target of this difficulty; null: it may be as good as it likes
 * @throws CaseSkipped when none is found in reasonable time
 */
export async function findNonce(
  header80: Uint8Array,
  difficulty: number,
  butNot: number | null,
): Promise<number> {
  searcher ??= new NonceSearcher();
  const targetLE = targetToBytesLE(targetFromDifficulty(difficulty));
  const missed = butNot === null ? null : targetFromDifficulty(butNot);
  const limit = Math.min(NONCES, Math.ceil(PATIENCE * effortOf(difficulty, butNot) * NONCES) + PIECE);
  for (let first = 0; first < limit; ) {
    const { nonce, hashes } = searcher.search(header80, targetLE, first, PIECE);
    if (nonce !== null && (missed === null || hashOf(header80, nonce) > missed)) return nonce;
    first += hashes;
    await turn();
  }
  throw new CaseSkipped(`no share of difficulty ${difficulty} was found in ${limit} hashes`);
}

/** Difficulty of finding a hash that meets `difficulty` and, where given, misses the harder `butNot`. */
export function effortOf(difficulty: number, butNot: number | null): number {
  return butNot === null ? difficulty : 1 / (1 / difficulty - 1 / butNot);
}

/** Difficulty of a block as the job's nbits say it. */
export function networkDifficulty(bits: number): number {
  return difficultyFromTarget(targetFromBits(bits));
}

/** A nonce with which the header misses the target of `difficulty`. @throws CaseSkipped where every hash meets it */
export function findMiss(header80: Uint8Array, difficulty: number): number {
  const target = targetFromDifficulty(difficulty);
  for (let nonce = 0; nonce < 1000; nonce++) if (hashOf(header80, nonce) > target) return nonce;
  throw new CaseSkipped(`difficulty ${difficulty} is met by every hash`);
}

function hashOf(header80: Uint8Array, nonce: number): bigint {
  const header = Uint8Array.from(header80);
  new DataView(header.buffer).setUint32(76, nonce, true);
  return targetFromBytesLE(headerHash(header));
}
