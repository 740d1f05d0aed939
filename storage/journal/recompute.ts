// Recomputes a share from its journal record alone: coinbase, merkle root, header, hash (node:crypto, not the WASM
// kernel that judged it). Called by `millrace journal verify`. Merkle and header: engine/bitcoin.
import { isScheme } from '../../engine/accounting/schemes.js';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { encodeHeader, headerHash } from '../../engine/bitcoin/header.js';
import { hashFromDisplay } from '../../engine/bitcoin/hex.js';
import { rootFromBranch } from '../../engine/bitcoin/merkle.js';
import { targetFromBits, targetFromBytesLE } from '../../engine/bitcoin/target.js';
import { VERDICTS, verdictByName } from '../../engine/work/verdict.js';
import type { Descriptions } from './frame-payload.js';
import { type JournalJob, SHARE, SHARE_FLAG_BLOCK } from './record.js';

const HASH_BYTES = 32;
const ACCEPTED = verdictByName('accepted').code;
const LOW = verdictByName('low_difficulty').code;
const NO_HASH = Buffer.alloc(HASH_BYTES);

interface PreparedJob {
  coinbase1: Buffer;
  coinbase2: Buffer;
  branch: Buffer[];
  previousBlock: Uint8Array;
  networkTarget: bigint;
}

const prepared = new WeakMap<JournalJob, PreparedJob>();

/** What is wrong with share `record`, in words; null when nothing is. `recomputed` says whether it was hashed. */
export function faultOfShare(
  record: Buffer,
  known: Descriptions,
): { fault: string | null; recomputed: boolean } {
  const no = (fault: string) => ({ fault, recomputed: false });
  const verdict = record[SHARE.verdict] as number;
  if (!VERDICTS.some(({ code }) => code === verdict)) return no(`a verdict of code ${verdict}`);
  const identity = record.readUInt32LE(SHARE.identity);
  if (identity !== 0 && !known.identities.has(identity))
    return no(`identity ${identity} is not named before it`);
  const scheme = known.identities.get(identity)?.scheme;
  if (scheme !== undefined && !isScheme(scheme)) return no(`a scheme ${scheme}, which is none`);
  const jobKey = record.readUInt32LE(SHARE.job);
  const job = known.jobs.get(jobKey);
  if (jobKey !== 0 && job === undefined) return no(`job ${jobKey} is not named before it`);
  const hash = record.subarray(SHARE.hash, SHARE.hash + HASH_BYTES);
  if (hash.equals(NO_HASH)) {
    // Refused before it was hashed.
    return verdict === ACCEPTED ? no('accepted without a hash') : { fault: null, recomputed: false };
  }
  if (job === undefined) return no('a hash, and no job it was found on');
  const found = hashOfShare(record, job);
  const value = targetFromBytesLE(hash);
  const target = targetFromBytesLE(record.subarray(SHARE.target, SHARE.target + HASH_BYTES));
  const block = (record.readUInt16LE(SHARE.flags) & SHARE_FLAG_BLOCK) !== 0;
  let fault: string | null = null;
  if (!hash.equals(found)) fault = 'its header has another hash';
  else if (verdict === ACCEPTED && value > target && !block) fault = 'accepted above its target';
  else if (verdict === LOW && value <= target) fault = 'called low, and meets its target';
  else if (block && value > prepare(job).networkTarget) fault = 'called a block, and is none';
  return { fault, recomputed: true };
}

/** Hash of the header that the record and its job describe: 32 bytes as hashed. */
export function hashOfShare(record: Buffer, job: JournalJob): Uint8Array {
  const { coinbase1, coinbase2, branch, previousBlock } = prepare(job);
  const first = record[SHARE.extranonce1Bytes] as number;
  const second = record[SHARE.extranonce2Bytes] as number;
  const extranonce = record.subarray(SHARE.extranonce, SHARE.extranonce + first + second);
  const merkleRoot = rootFromBranch(sha256d(Buffer.concat([coinbase1, extranonce, coinbase2])), branch);
  return headerHash(
    encodeHeader({
      ...{ version: record.readUInt32LE(SHARE.version), previousBlock, merkleRoot, bits: job.bits },
      ...{ time: record.readUInt32LE(SHARE.ntime), nonce: record.readUInt32LE(SHARE.nonce) },
    }),
  );
}

function prepare(job: JournalJob): PreparedJob {
  let ready = prepared.get(job);
  if (ready === undefined) {
    ready = {
      coinbase1: Buffer.from(job.coinbase1, 'hex'),
      coinbase2: Buffer.from(job.coinbase2, 'hex'),
      branch: job.branch.map((hash) => Buffer.from(hash, 'hex')),
      previousBlock: hashFromDisplay(job.previousBlock),
      networkTarget: targetFromBits(job.bits),
    };
    prepared.set(job, ready);
  }
  return ready;
}
