// A job as a miner receives it and the header it hashes: `mining.notify` parsed, coinbase and merkle
// root put together, version bits rolled. Written from the miner's side only, so that it can disagree
// with the pool. Word order of the previous hash as cgminer and cpuminer take it; version rolling as
// https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki
import { sha256d } from '../engine/bitcoin/hash.js';
import { encodeHeader } from '../engine/bitcoin/header.js';
import { hexToBytes } from '../engine/bitcoin/hex.js';

/** A valid branch of a full block has 16 levels or fewer; more is a broken pool. */
const BRANCH_MAX = 32;

/** The session's state when a job arrives: bound to the job as long as it lives. */
export interface SessionWork {
  /** As announced; 1 until the pool says otherwise. */
  readonly difficulty: number;
  /** 32 bytes, little-endian: a header whose hash is not above it is a share of `difficulty`. */
  readonly targetLE: Uint8Array;
  readonly extranonce1: Uint8Array;
  readonly extranonce2Bytes: number;
}

export interface MiningJob extends SessionWork {
  readonly jobId: string;
  /** 32 bytes in header order. */
  readonly previousHash: Uint8Array;
  readonly coinbase1: Uint8Array;
  readonly coinbase2: Uint8Array;
  /** Siblings of the coinbase, lowest level first, 32 bytes each, as hashed. */
  readonly merkleBranch: readonly Uint8Array[];
  readonly version: number;
  readonly bits: number;
  readonly time: number;
  /** True: work on every earlier job is void. */
  readonly cleanJobs: boolean;
}

/** What one share adds to its job. */
export interface HeaderChoice {
  /** `extranonce2Bytes` long. */
  readonly extranonce2: Uint8Array;
  readonly time: number;
  readonly nonce: number;
  /** Rolled bits and the mask they lie in; both 0 where nothing is rolled. */
  readonly versionBits: number;
  readonly versionMask: number;
}

/**
 * Reads the parameters of `mining.notify` and binds the session's state to them.
 * @throws Error that names the bad field; the pool's text is hostile until parsed
 */
export function parseNotify(params: readonly unknown[], session: SessionWork): MiningJob {
  const [jobId, previousHash, coinbase1, coinbase2, branch, version, bits, time, cleanJobs] = params;
  if (typeof jobId !== 'string' || jobId.length === 0 || jobId.length > 256) {
    throw new Error('mining.notify: the job id is not a text of 1 to 256 characters');
  }
  if (!Array.isArray(branch) || branch.length > BRANCH_MAX) {
    throw new Error(`mining.notify: the merkle branch is not a list of at most ${BRANCH_MAX} hashes`);
  }
  if (typeof cleanJobs !== 'boolean') throw new Error('mining.notify: clean_jobs is not true or false');
  return {
    jobId,
    previousHash: swapWords(hexField(previousHash, 'the previous hash', 32)),
    coinbase1: hexField(coinbase1, 'coinbase part 1'),
    coinbase2: hexField(coinbase2, 'coinbase part 2'),
    merkleBranch: branch.map((hash: unknown) => hexField(hash, 'a merkle branch hash', 32)),
    version: wordField(version, 'the version'),
    bits: wordField(bits, 'nbits'),
    time: wordField(time, 'ntime'),
    cleanJobs,
    ...session,
  };
}

/** Merkle root as hashed, 32 bytes: sha256d of the coinbase, folded with each sibling on the right. */
export function merkleRootOf(job: MiningJob, extranonce2: Uint8Array): Uint8Array {
  let root = sha256d(Buffer.concat([job.coinbase1, job.extranonce1, extranonce2, job.coinbase2]));
  for (const sibling of job.merkleBranch) root = sha256d(Buffer.concat([root, sibling]));
  return root;
}

/**
 * The header that a share stands for, 80 bytes as hashed.
 * Version = (job & ~mask) | (bits & mask), BIP 310.
 */
export function buildHeader(job: MiningJob, choice: HeaderChoice): Uint8Array {
  const version = (job.version & ~choice.versionMask) | (choice.versionBits & choice.versionMask);
  return encodeHeader({
    version: version >>> 0,
    previousBlock: job.previousHash,
    merkleRoot: merkleRootOf(job, choice.extranonce2),
    time: choice.time,
    bits: job.bits,
    nonce: choice.nonce,
  });
}

/** A 32-bit value as Stratum writes it: 8 hex digits, most significant first. */
export function wordHex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** Bytes of a hex field of the pool. @throws Error that names `what` when it is not hex of that length */
export function hexField(value: unknown, what: string, bytes?: number): Uint8Array {
  if (typeof value !== 'string' || !/^(?:[0-9a-fA-F]{2})*$/.test(value)) {
    throw new Error(`the pool sent ${what} that is not hex`);
  }
  const result = hexToBytes(value);
  if (bytes !== undefined && result.length !== bytes) {
    throw new Error(`the pool sent ${what} of ${result.length} bytes instead of ${bytes}`);
  }
  return result;
}

/** A 32-bit field of the pool. @throws Error that names `what` when it is not 1 to 8 hex digits */
export function wordField(value: unknown, what: string): number {
  if (typeof value !== 'string' || !/^[0-9a-fA-F]{1,8}$/.test(value)) {
    throw new Error(`the pool sent ${what} that is not a 32-bit hex number`);
  }
  return Number.parseInt(value, 16);
}

// Each 4-byte word reversed: mining.notify writes the header's words as big-endian numbers.
function swapWords(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes).swap32();
}
