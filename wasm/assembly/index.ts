// What millrace.wasm exports. One instance per thread, all on the same shared memory; an instance owns the
// scratch of its worker index and nothing else. See layout.ts for the map.
import { swapBytes } from './lanes';
import {
  CHUNK_BYTES_MAX,
  JOB_BRANCHES,
  JOB_HEAD_HASHED_BYTES,
  JOB_REMAINDER_BYTES,
  JOB_TAIL_BYTES,
  SCRATCH_BYTES,
  SCRATCH_LANES,
  SCRATCH_OFFSET,
  SCRATCH_STATE,
  SCRATCH_WARM_JOB,
  SCRATCH_WARM_SHARES,
  SCRATCH_WORDS,
  SHARE_EXTRANONCE_BYTES,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  TABLE_IV,
  WORKERS_MAX,
} from './layout';
import { prepareSearch, searchFours, searchOnes } from './search';
import { compress, compressFirst, padDigest, writeTables } from './sha256';
import { judgeLanes, layCoinbase, validateRange, validateRangeScalar } from './validate';

let scratch: usize = 0;

/** Must be called once before anything else. Traps when `worker` has no scratch. */
export function init(worker: u32): void {
  if (worker >= <u32>WORKERS_MAX) unreachable();
  scratch = <usize>worker * SCRATCH_BYTES + SCRATCH_OFFSET;
  writeTables(scratch);
}

/** Validates share slots first .. first+count-1 in place, wrapping at SHARE_SLOTS; count is cut off there. */
export function validate(first: u32, count: u32): void {
  validateRange(scratch, first, min<u32>(count, SHARE_SLOTS));
}

/** The same by the scalar path alone. */
export function validateScalar(first: u32, count: u32): void {
  validateRangeScalar(scratch, first, min<u32>(count, SHARE_SLOTS));
}

/**
 * Validates made-up shares (12 branches, 4 coinbase blocks) that live in this worker's scratch, so that the
 * engine's compiler has seen the code before real shares come.
 */
export function warmUp(rounds: u32): void {
  const job = scratch + SCRATCH_WARM_JOB;
  const shares = scratch + SCRATCH_WARM_SHARES;
  store<u32>(job, 64, JOB_HEAD_HASHED_BYTES);
  store<u32>(job, 10, JOB_REMAINDER_BYTES);
  store<u32>(job, 158, JOB_TAIL_BYTES);
  store<u32>(job, 12, JOB_BRANCHES);
  for (let i: u32 = 0; i < rounds; i++) {
    for (let lane: u32 = 0; lane < 4; lane++) {
      const share = shares + <usize>lane * SHARE_SLOT_BYTES;
      store<u32>(share, 12, SHARE_EXTRANONCE_BYTES);
      layCoinbase(scratch, lane, share, job);
    }
    judgeLanes<v128>(scratch, 4);
    judgeLanes<u32>(scratch, 1);
  }
}

/** Where the host puts the input of `absorb` and of a nonce search, and finds the digest. */
export function inputAt(): usize {
  return scratch + SCRATCH_LANES;
}

/**
 * Double SHA-256 of a message in pieces of at most CHUNK_BYTES_MAX at inputAt(), each but the last a multiple
 * of 64 bytes.
 * @param before bytes absorbed so far; 0 starts a new message
 * @param last pads, hashes again, and leaves the 32-byte digest at inputAt()
 */
export function absorb(before: f64, bytes: u32, last: bool): void {
  if (bytes > <u32>CHUNK_BYTES_MAX) unreachable();
  const input = inputAt();
  const state = scratch + SCRATCH_STATE;
  if (before == 0) {
    v128.store(state, v128.load(TABLE_IV));
    v128.store(state, v128.load(TABLE_IV, 16), 16);
  }
  let blocks = bytes >> 6;
  if (last) {
    blocks = (bytes + 1 + 8 + 63) >> 6;
    const end = input + bytes;
    store<u8>(end, 0x80);
    for (let at: usize = 1; at < 80; at++) store<u8>(end + at, 0);
    store<u64>(input + <usize>(blocks << 6) - 8, bswap<u64>((<u64>before + bytes) << 3));
  }
  const words = scratch + SCRATCH_WORDS;
  for (let block = input; block < input + <usize>(blocks << 6); block += 64) {
    for (let at: usize = 0; at < 64; at += 16) {
      v128.store(words + at, swapBytes<v128>(v128.load(block + at)));
    }
    compress<u32>(state, words);
  }
  if (last) {
    padDigest<u32>(state);
    compressFirst<u32>(words, state);
    v128.store(input, swapBytes<v128>(v128.load(words)));
    v128.store(input, swapBytes<v128>(v128.load(words, 16)), 16);
  }
}

/** Takes the 80-byte header and the 32-byte little-endian target that lie, in this order, at inputAt(). */
export function prepare(): void {
  prepareSearch(scratch);
}

/** First nonce of first .. first+count-1 whose hash is at most the target, or -1; by four lanes. */
export function search(first: u32, count: u32): f64 {
  return searchFours(scratch, first, count);
}

/** The same by the scalar path. */
export function searchScalar(first: u32, count: u32): f64 {
  return searchOnes(scratch, first, count);
}
