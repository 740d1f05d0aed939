// Share validation in place: share slot + job slot -> header hash, compared on 256 bits with both targets.
// Coinbase (from the job's midstate), merkle branch, header (version, ntime, nonce of the share), SHA-256d at
// every step. Four shares run side by side; they may belong to different jobs and carry different targets.
//
// A slot is checked before its lengths are used, and the lengths are read once: whatever the other threads
// write meanwhile, no access leaves the slot.
import { everywhere, swapBytes } from './lanes';
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
  LANE_BYTES,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  SCRATCH_DIGEST,
  SCRATCH_HEADER,
  SCRATCH_LANE_BLOCKS,
  SCRATCH_LANE_BRANCHES,
  SCRATCH_LANE_JOBS,
  SCRATCH_LANE_SHARES,
  SCRATCH_LANES,
  SCRATCH_STATE,
  SCRATCH_WORDS,
  SHARE_EXTRANONCE,
  SHARE_EXTRANONCE_BYTES,
  SHARE_HASH,
  SHARE_JOB,
  SHARE_NTIME,
  SHARE_RESULT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
  SHARE_TARGET,
  TAIL_BYTES_MAX,
} from './layout';
import { compress, compressFirst, compressPadding64, padDigest } from './sha256';

/**
 * Validates share slots first .. first+count-1 (wrapping at SHARE_SLOTS), four at a time; a single share left
 * over takes the scalar path, which costs half of a call for four.
 * @param scratch this worker's own
 */
export function validateRange(scratch: usize, first: u32, count: u32): void {
  let waiting: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    if (!admit(scratch, first + i, waiting)) continue;
    waiting++;
    if (waiting == 4) {
      judgeLanes<v128>(scratch, 4);
      waiting = 0;
    }
  }
  if (waiting == 1) judgeLanes<u32>(scratch, 1);
  else if (waiting != 0) judgeLanes<v128>(scratch, waiting);
}

/** The same, one share at a time: what a host without SIMD would pay. For benchmarks and tests. */
export function validateRangeScalar(scratch: usize, first: u32, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    if (admit(scratch, first + i, 0)) judgeLanes<u32>(scratch, 1);
  }
}

/** Takes share slot `slot` into `lane`, or answers it with "refused". */
function admit(scratch: usize, slot: u32, lane: u32): bool {
  const share = <usize>(slot & (SHARE_SLOTS - 1)) * SHARE_SLOT_BYTES + SHARE_SLOTS_OFFSET;
  const jobSlot = load<u32>(share, SHARE_JOB);
  if (jobSlot < <u32>JOB_SLOTS && layCoinbase(scratch, lane, share, <usize>jobSlot * JOB_SLOT_BYTES + JOB_SLOTS_OFFSET)) {
    return true;
  }
  // A hash left over from the slot's last use must not look like this share's.
  v128.store(share, i32x4.splat(0), SHARE_HASH);
  v128.store(share, i32x4.splat(0), SHARE_HASH + 16);
  store<u32>(share, <u32>RESULT_REFUSED, SHARE_RESULT);
  return false;
}

/**
 * Lays what is still to be hashed of a share's coinbase into a lane, padded to whole blocks: head remainder,
 * extranonce, tail. Copies run in steps of 16 bytes and may overshoot; what follows overwrites that.
 * @returns false when a length in either slot is out of range
 */
export function layCoinbase(scratch: usize, lane: u32, share: usize, job: usize): bool {
  const hashedBytes = load<u32>(job, JOB_HEAD_HASHED_BYTES);
  const remainderBytes = load<u32>(job, JOB_REMAINDER_BYTES);
  const tailBytes = load<u32>(job, JOB_TAIL_BYTES);
  const branches = load<u32>(job, JOB_BRANCHES);
  const extranonceBytes = load<u32>(share, SHARE_EXTRANONCE_BYTES);
  if (
    (hashedBytes | remainderBytes | tailBytes) == 0 || // a slot never written
    hashedBytes > <u32>HEAD_HASHED_BYTES_MAX ||
    (hashedBytes & 63) != 0 ||
    remainderBytes > 63 ||
    tailBytes > <u32>TAIL_BYTES_MAX ||
    branches > <u32>BRANCHES_MAX ||
    extranonceBytes > <u32>EXTRANONCE_BYTES_MAX
  ) {
    return false;
  }

  const message = scratch + SCRATCH_LANES + <usize>lane * LANE_BYTES;
  v128.store(message, v128.load(job, JOB_REMAINDER), 0);
  v128.store(message, v128.load(job, JOB_REMAINDER + 16), 16);
  v128.store(message, v128.load(job, JOB_REMAINDER + 32), 32);
  v128.store(message, v128.load(job, JOB_REMAINDER + 48), 48);
  let to: usize = message + remainderBytes;
  v128.store(to, v128.load(share, SHARE_EXTRANONCE), 0);
  v128.store(to, v128.load(share, SHARE_EXTRANONCE + 16), 16);
  to += extranonceBytes;
  const end = to + tailBytes;
  for (let from = job + JOB_TAIL; to < end; from += 16, to += 16) v128.store(to, v128.load(from));

  const bytes = remainderBytes + extranonceBytes + tailBytes;
  const blocks = (bytes + 1 + 8 + 63) >> 6;
  const zero = i32x4.splat(0);
  store<u8>(end, 0x80);
  v128.store(end, zero, 1);
  v128.store(end, zero, 17);
  v128.store(end, zero, 33);
  v128.store(end, zero, 49);
  v128.store(end, zero, 65);
  store<u32>(message + <usize>(blocks << 6) - 4, bswap<u32>((hashedBytes + bytes) << 3));

  const at = scratch + (<usize>lane << 2);
  store<u32>(at, <u32>share, SCRATCH_LANE_SHARES);
  store<u32>(at, <u32>job, SCRATCH_LANE_JOBS);
  store<u32>(at, blocks, SCRATCH_LANE_BLOCKS);
  store<u32>(at, branches, SCRATCH_LANE_BRANCHES);
  return true;
}

/**
 * Hashes and judges the shares laid into lanes 0..count-1 and writes hash and result into their slots.
 * T = v128 takes two to four, T = u32 takes one. An empty lane hashes what was left in it, with the job and the
 * lengths of lane 0, and is thrown away.
 */
export function judgeLanes<T>(scratch: usize, count: u32): void {
  for (let lane: u32 = count; lane < 4; lane++) {
    const at = scratch + (<usize>lane << 2);
    store<u32>(at, load<u32>(scratch, SCRATCH_LANE_SHARES), SCRATCH_LANE_SHARES);
    store<u32>(at, load<u32>(scratch, SCRATCH_LANE_JOBS), SCRATCH_LANE_JOBS);
    store<u32>(at, load<u32>(scratch, SCRATCH_LANE_BLOCKS), SCRATCH_LANE_BLOCKS);
    store<u32>(at, load<u32>(scratch, SCRATCH_LANE_BRANCHES), SCRATCH_LANE_BRANCHES);
  }
  const job0: usize = load<u32>(scratch, SCRATCH_LANE_JOBS);
  const job1: usize = load<u32>(scratch, SCRATCH_LANE_JOBS + 4);
  const job2: usize = load<u32>(scratch, SCRATCH_LANE_JOBS + 8);
  const job3: usize = load<u32>(scratch, SCRATCH_LANE_JOBS + 12);
  const state = scratch + SCRATCH_STATE;
  const words = scratch + SCRATCH_WORDS;
  const header = scratch + SCRATCH_HEADER;
  const digest = scratch + SCRATCH_DIGEST;

  // From here on compressFirst(to, state) is the second SHA-256 of a double one: state is written 8 words deep.
  padDigest<T>(state);

  // Coinbase. A lane whose message has ended keeps its state while the others go on.
  gatherNative<T>(job0 + JOB_MIDSTATE, job1 + JOB_MIDSTATE, job2 + JOB_MIDSTATE, job3 + JOB_MIDSTATE, state);
  gatherNative<T>(
    job0 + JOB_MIDSTATE + 16,
    job1 + JOB_MIDSTATE + 16,
    job2 + JOB_MIDSTATE + 16,
    job3 + JOB_MIDSTATE + 16,
    state + 4 * sizeof<T>(),
  );
  let everyLane = least<T>(scratch + SCRATCH_LANE_BLOCKS);
  let anyLane = most<T>(scratch + SCRATCH_LANE_BLOCKS);
  let lane0 = scratch + SCRATCH_LANES;
  for (let i: u32 = 0; i < anyLane; i++) {
    const lane1 = lane0 + LANE_BYTES;
    const lane2 = lane1 + LANE_BYTES;
    const lane3 = lane2 + LANE_BYTES;
    for (let part: usize = 0; part < 4; part++) {
      const at = part << 4;
      gather<T>(lane0 + at, lane1 + at, lane2 + at, lane3 + at, words + part * 4 * sizeof<T>());
    }
    if (i < everyLane) {
      compress<T>(state, words);
    } else {
      copyWords<T>(state, digest, 8);
      compress<T>(digest, words);
      takeUnfinished<T>(state, digest, scratch + SCRATCH_LANE_BLOCKS, i);
    }
    lane0 += 64;
  }
  compressFirst<T>(words, state);

  // Merkle root: words 0..7 hold the hash so far, words 8..15 take the branch.
  everyLane = least<T>(scratch + SCRATCH_LANE_BRANCHES);
  anyLane = most<T>(scratch + SCRATCH_LANE_BRANCHES);
  let branch: usize = JOB_BRANCH;
  for (let i: u32 = 0; i < anyLane; i++) {
    gather<T>(job0 + branch, job1 + branch, job2 + branch, job3 + branch, words + 8 * sizeof<T>());
    branch += 16;
    gather<T>(job0 + branch, job1 + branch, job2 + branch, job3 + branch, words + 12 * sizeof<T>());
    branch += 16;
    compressFirst<T>(state, words);
    compressPadding64<T>(state);
    if (i < everyLane) {
      compressFirst<T>(words, state);
    } else {
      compressFirst<T>(digest, state);
      takeUnfinished<T>(words, digest, scratch + SCRATCH_LANE_BRANCHES, i);
    }
  }

  // Header: version, previous block, merkle root | end of the root, ntime, bits, nonce, padding.
  const share0: usize = load<u32>(scratch, SCRATCH_LANE_SHARES);
  const share1: usize = load<u32>(scratch, SCRATCH_LANE_SHARES + 4);
  const share2: usize = load<u32>(scratch, SCRATCH_LANE_SHARES + 8);
  const share3: usize = load<u32>(scratch, SCRATCH_LANE_SHARES + 12);
  const previous: usize = JOB_PREVIOUS_BLOCK;
  gather<T>(share0 + SHARE_NTIME, share1 + SHARE_NTIME, share2 + SHARE_NTIME, share3 + SHARE_NTIME, digest);
  gather<T>(job0 + JOB_BITS, job1 + JOB_BITS, job2 + JOB_BITS, job3 + JOB_BITS, digest + 4 * sizeof<T>());
  const ntime = load<T>(digest, 0 * sizeof<T>());
  const nonce = load<T>(digest, 1 * sizeof<T>());
  const bits = load<T>(digest, 4 * sizeof<T>());
  store<T>(header, load<T>(digest, 2 * sizeof<T>()), 0);
  gather<T>(job0 + previous, job1 + previous, job2 + previous, job3 + previous, header + sizeof<T>());
  gather<T>(
    job0 + previous + 16,
    job1 + previous + 16,
    job2 + previous + 16,
    job3 + previous + 16,
    header + 5 * sizeof<T>(),
  );
  copyWords<T>(words, header + 9 * sizeof<T>(), 7);
  compressFirst<T>(state, header);
  store<T>(header, load<T>(words, 7 * sizeof<T>()), 0);
  store<T>(header, ntime, 1 * sizeof<T>());
  store<T>(header, bits, 2 * sizeof<T>());
  store<T>(header, nonce, 3 * sizeof<T>());
  store<T>(header, everywhere<T>(0x80000000), 4 * sizeof<T>());
  for (let at: usize = 5; at < 15; at++) store<T>(header + at * sizeof<T>(), everywhere<T>(0));
  store<T>(header, everywhere<T>(640), 15 * sizeof<T>());
  compress<T>(state, header);
  compressFirst<T>(digest, state);

  scatter<T>(digest, words);
  for (let lane: u32 = 0; lane < count; lane++) {
    const at = scratch + (<usize>lane << 2);
    judge(load<u32>(at, SCRATCH_LANE_SHARES), load<u32>(at, SCRATCH_LANE_JOBS), words + (<usize>lane << 5));
  }
}

/** Writes hash and result of one share. */
function judge(share: usize, job: usize, hash: usize): void {
  v128.store(share, v128.load(hash), SHARE_HASH);
  v128.store(share, v128.load(hash, 16), SHARE_HASH + 16);
  let result: u32 = 0;
  if (isAtMost(hash, share + SHARE_TARGET)) result |= RESULT_MEETS_SHARE;
  if (isAtMost(hash, job + JOB_NETWORK_TARGET)) result |= RESULT_MEETS_NETWORK;
  store<u32>(share, result, SHARE_RESULT);
}

/** hash <= target, both 256-bit little-endian integers in memory. Equal counts as meeting the target. */
export function isAtMost(hash: usize, target: usize): bool {
  for (let at: usize = 32; at != 0; ) {
    at -= 8;
    const h = load<u64>(hash + at);
    const t = load<u64>(target + at);
    if (h != t) return h < t;
  }
  return true;
}

/** 16 bytes of each lane, as four big-endian words: word i of all lanes at to + i * sizeof<T>(). */
// @ts-ignore: decorator
@inline
function gather<T>(p0: usize, p1: usize, p2: usize, p3: usize, to: usize): void {
  if (isVector<T>()) {
    transpose(
      swapBytes<v128>(v128.load(p0)),
      swapBytes<v128>(v128.load(p1)),
      swapBytes<v128>(v128.load(p2)),
      swapBytes<v128>(v128.load(p3)),
      to, to + 16, to + 32, to + 48,
    );
  } else {
    v128.store(to, swapBytes<v128>(v128.load(p0)));
  }
}

/** The same for words that lie in memory as this machine reads them (a midstate). */
// @ts-ignore: decorator
@inline
function gatherNative<T>(p0: usize, p1: usize, p2: usize, p3: usize, to: usize): void {
  if (isVector<T>()) {
    transpose(v128.load(p0), v128.load(p1), v128.load(p2), v128.load(p3), to, to + 16, to + 32, to + 48);
  } else {
    v128.store(to, v128.load(p0));
  }
}

/** The way back: 8 words of all lanes to 32 bytes per lane, lane after lane. */
// @ts-ignore: decorator
@inline
function scatter<T>(from: usize, to: usize): void {
  if (isVector<T>()) {
    for (let half: usize = 0; half < 2; half++) {
      const at = from + (half << 6);
      const out = to + (half << 4);
      transpose(
        swapBytes<v128>(v128.load(at)),
        swapBytes<v128>(v128.load(at, 16)),
        swapBytes<v128>(v128.load(at, 32)),
        swapBytes<v128>(v128.load(at, 48)),
        out, out + 32, out + 64, out + 96,
      );
    }
  } else {
    v128.store(to, swapBytes<v128>(v128.load(from)));
    v128.store(to, swapBytes<v128>(v128.load(from, 16)), 16);
  }
}

/** 4 x 4 words, rows to columns. */
// @ts-ignore: decorator
@inline
function transpose(r0: v128, r1: v128, r2: v128, r3: v128, to0: usize, to1: usize, to2: usize, to3: usize): void {
  const low01 = v128.shuffle<u32>(r0, r1, 0, 4, 1, 5);
  const low23 = v128.shuffle<u32>(r2, r3, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(r0, r1, 2, 6, 3, 7);
  const high23 = v128.shuffle<u32>(r2, r3, 2, 6, 3, 7);
  v128.store(to0, v128.shuffle<u64>(low01, low23, 0, 2));
  v128.store(to1, v128.shuffle<u64>(low01, low23, 1, 3));
  v128.store(to2, v128.shuffle<u64>(high01, high23, 0, 2));
  v128.store(to3, v128.shuffle<u64>(high01, high23, 1, 3));
}

// @ts-ignore: decorator
@inline
function copyWords<T>(from: usize, to: usize, count: usize): void {
  for (let at: usize = 0; at < count * sizeof<T>(); at += sizeof<T>()) store<T>(to + at, load<T>(from + at));
}

/** Overwrites 8 words of `kept` with those of `fresh` in the lanes whose count is above i. */
function takeUnfinished<T>(kept: usize, fresh: usize, counts: usize, i: u32): void {
  if (!isVector<T>()) return;
  const unfinished = i32x4.gt_u(v128.load(counts), i32x4.splat(i));
  for (let at: usize = 0; at < 128; at += 16) {
    v128.store(kept + at, v128.bitselect(v128.load(fresh + at), v128.load(kept + at), unfinished));
  }
}

// @ts-ignore: decorator
@inline
function least<T>(counts: usize): u32 {
  if (!isVector<T>()) return load<u32>(counts);
  return min(min(load<u32>(counts), load<u32>(counts, 4)), min(load<u32>(counts, 8), load<u32>(counts, 12)));
}

// @ts-ignore: decorator
@inline
function most<T>(counts: usize): u32 {
  if (!isVector<T>()) return load<u32>(counts);
  return max(max(load<u32>(counts), load<u32>(counts, 4)), max(load<u32>(counts, 8), load<u32>(counts, 12)));
}
