// Job and share records of the slab as the engine writes and reads them. Jobs are written whole and checked
// here; the hot path fills share slots through its own typed arrays with the offsets in SHARE_SLOT.
// The drawing of both records is in wasm/assembly/layout.ts.
import {
  BRANCHES_MAX,
  EXTRANONCE_BYTES_MAX,
  HEAD_HASHED_BYTES_MAX,
  JOB_BITS,
  JOB_BRANCH,
  JOB_BRANCHES,
  JOB_HEAD_HASHED_BYTES,
  JOB_MIDSTATE,
  JOB_NETWORK_TARGET,
  JOB_PREVIOUS_BLOCK,
  JOB_REMAINDER,
  JOB_REMAINDER_BYTES,
  JOB_SLOT_BYTES,
  JOB_SLOTS,
  JOB_SLOTS_OFFSET,
  JOB_TAIL,
  JOB_TAIL_BYTES,
  SHARE_ENGINE,
  SHARE_EXTRANONCE,
  SHARE_EXTRANONCE_BYTES,
  SHARE_HASH,
  SHARE_JOB,
  SHARE_NONCE,
  SHARE_NTIME,
  SHARE_RESULT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
  SHARE_TARGET,
  SHARE_VERSION,
  TAIL_BYTES_MAX,
} from './assembly/layout.js';
import { midstate } from './midstate.js';

export {
  BRANCHES_MAX,
  CONTROL_BYTES,
  CONTROL_OFFSET,
  EXTRANONCE_BYTES_MAX,
  JOB_SLOTS,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
  TAIL_BYTES_MAX,
  WORKERS_MAX,
} from './assembly/layout.js';

/** Byte offsets inside a share slot; slot i begins at SHARE_SLOTS_OFFSET + i * SHARE_SLOT_BYTES. */
export const SHARE_SLOT = {
  /** u32, index of the job slot */
  jobSlot: SHARE_JOB,
  /** u32 written by the kernel: bits RESULT_* */
  result: SHARE_RESULT,
  /** u32 */
  ntime: SHARE_NTIME,
  /** u32 */
  nonce: SHARE_NONCE,
  /** u32, the rolled version as it stands in the header */
  version: SHARE_VERSION,
  /** u32, length of extranonce1 + extranonce2 together, 0..32 */
  extranonceBytes: SHARE_EXTRANONCE_BYTES,
  /** 32 bytes: extranonce1 directly followed by extranonce2 */
  extranonce: SHARE_EXTRANONCE,
  /** 32 bytes, little-endian: the share target */
  target: SHARE_TARGET,
  /** 32 bytes written by the kernel: the header hash as hashed (as a number: little-endian) */
  hash: SHARE_HASH,
  /** 64 bytes of the engine's own */
  engine: SHARE_ENGINE,
} as const;

/** What the kernel needs to know of a job. */
export interface JobSlot {
  /** Coinbase without witness, up to where extranonce1 begins. */
  readonly coinbase1: Uint8Array;
  /** Coinbase after extranonce2: at most TAIL_BYTES_MAX (7,168) bytes. */
  readonly coinbase2: Uint8Array;
  /** At most 16 hashes of 32 bytes, as hashed, bottom up. */
  readonly branch: readonly Uint8Array[];
  /** 32 bytes in header order (as hashed; not the word order of mining.notify, not the displayed order). */
  readonly previousBlock: Uint8Array;
  /** Compact network target, as in the header. */
  readonly bits: number;
  /** 32 bytes, little-endian: what bits stands for. */
  readonly networkTargetLE: Uint8Array;
}

/**
 * Writes a job into slot `slot` of the slab, with the SHA-256 midstate of the whole blocks of coinbase1. The
 * caller makes sure that no share still waiting refers to what stood there before.
 * Throws RangeError, and writes nothing, when a length or number does not fit the record.
 */
export function writeJobSlot(memory: WebAssembly.Memory, slot: number, job: JobSlot): void {
  const hashedBytes = job.coinbase1.length & ~63;
  const remainder = job.coinbase1.subarray(hashedBytes);
  requireRange('job slot', slot, 0, JOB_SLOTS - 1);
  requireRange('coinbase1 length', job.coinbase1.length, 0, HEAD_HASHED_BYTES_MAX);
  requireRange('coinbase2 length', job.coinbase2.length, 0, TAIL_BYTES_MAX);
  requireRange('coinbase length', job.coinbase1.length + job.coinbase2.length, 1, Number.MAX_SAFE_INTEGER);
  requireRange('merkle branch length', job.branch.length, 0, BRANCHES_MAX);
  for (const hash of job.branch) requireRange('length of a branch hash', hash.length, 32, 32);
  requireRange('previous block length', job.previousBlock.length, 32, 32);
  requireRange('bits', job.bits, 0, 0xffffffff);
  requireRange('network target length', job.networkTargetLE.length, 32, 32);

  const bytes = new Uint8Array(memory.buffer, JOB_SLOTS_OFFSET + slot * JOB_SLOT_BYTES, JOB_SLOT_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, JOB_SLOT_BYTES);
  view.setUint32(JOB_HEAD_HASHED_BYTES, hashedBytes, true);
  view.setUint32(JOB_REMAINDER_BYTES, remainder.length, true);
  view.setUint32(JOB_TAIL_BYTES, job.coinbase2.length, true);
  view.setUint32(JOB_BRANCHES, job.branch.length, true);
  view.setUint32(JOB_BITS, job.bits, true);
  midstate(job.coinbase1).forEach((word, i) => {
    view.setUint32(JOB_MIDSTATE + 4 * i, word, true);
  });
  bytes.set(remainder, JOB_REMAINDER);
  bytes.set(job.previousBlock, JOB_PREVIOUS_BLOCK);
  bytes.set(job.networkTargetLE, JOB_NETWORK_TARGET);
  job.branch.forEach((hash, i) => {
    bytes.set(hash, JOB_BRANCH + 32 * i);
  });
  bytes.set(job.coinbase2, JOB_TAIL);
}

/**
 * Whether a share slot with these values can be validated; the kernel answers any other with "refused".
 * Cheap enough for every share.
 */
export function isShareSlotSound(jobSlot: number, extranonceBytes: number): boolean {
  return (
    jobSlot >= 0 && jobSlot < JOB_SLOTS && extranonceBytes >= 0 && extranonceBytes <= EXTRANONCE_BYTES_MAX
  );
}

/** The input half of a share slot. */
export interface ShareInput {
  readonly jobSlot: number;
  readonly ntime: number;
  readonly nonce: number;
  readonly version: number;
  /** extranonce1 followed by extranonce2, 0..32 bytes. */
  readonly extranonce: Uint8Array;
  /** 32 bytes, little-endian. */
  readonly shareTargetLE: Uint8Array;
}

/** Fills a share slot from an object: for callers that are not the hot path. Throws RangeError as above. */
export function writeShareSlot(memory: WebAssembly.Memory, slot: number, share: ShareInput): void {
  requireRange('share slot', slot, 0, SHARE_SLOTS - 1);
  requireRange('job slot', share.jobSlot, 0, JOB_SLOTS - 1);
  requireRange('ntime', share.ntime, 0, 0xffffffff);
  requireRange('nonce', share.nonce, 0, 0xffffffff);
  requireRange('version', share.version, 0, 0xffffffff);
  requireRange('extranonce length', share.extranonce.length, 0, EXTRANONCE_BYTES_MAX);
  requireRange('share target length', share.shareTargetLE.length, 32, 32);
  const bytes = new Uint8Array(memory.buffer, SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES, SHARE_SLOT_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SHARE_SLOT_BYTES);
  view.setUint32(SHARE_JOB, share.jobSlot, true);
  view.setUint32(SHARE_RESULT, 0, true);
  view.setUint32(SHARE_NTIME, share.ntime, true);
  view.setUint32(SHARE_NONCE, share.nonce, true);
  view.setUint32(SHARE_VERSION, share.version, true);
  view.setUint32(SHARE_EXTRANONCE_BYTES, share.extranonce.length, true);
  bytes.set(share.extranonce, SHARE_EXTRANONCE);
  bytes.set(share.shareTargetLE, SHARE_TARGET);
}

/** What the kernel left in a share slot: result bits, and a copy of the 32-byte header hash as hashed. */
export function readShareSlot(
  memory: WebAssembly.Memory,
  slot: number,
): { result: number; hash: Uint8Array } {
  requireRange('share slot', slot, 0, SHARE_SLOTS - 1);
  const at = SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES;
  const result = new DataView(memory.buffer).getUint32(at + SHARE_RESULT, true);
  return { result, hash: new Uint8Array(memory.buffer).slice(at + SHARE_HASH, at + SHARE_HASH + 32) };
}

function requireRange(what: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${what} ${value} is not in ${least}..${most}`);
  }
}
