// The memory map of the share slab: one shared WebAssembly.Memory for the connection thread and all hash
// workers. Read by both sides: AssemblyScript compiles it into millrace.wasm, TypeScript imports the same
// constants (hence no AssemblyScript-only types here). Everything is 64-byte aligned, nothing is allocated.
//
//   byte         region                                              written by
//   0            guard: 1 KiB that nothing uses                      nobody
//   1,024        constant tables (K, padding schedules)              init(), the same bytes each time
//   4,096        scratch of worker 0 (connection thread)             that thread alone
//     + 40 KiB   scratch of worker 1 ... 32                          that thread alone
//   1,355,776    CONTROL, 64 KiB: the engine's rings and counters    the engine; the kernel never looks
//   1,421,312    job slots, 1,024 x 8,192                            connection thread (writeJobSlot)
//   9,809,920    share slots, 65,536 x 192                           connection thread; result, hash: worker
//   22,413,312   end, 342 pages of 64 KiB
//
// A nonce search has a small memory of its own: the same map cut off after the scratch of worker 0.
//
//   share slot (192 bytes)                            job slot (8,192 bytes)
//   +0   u32 job slot                                 +0    u32 head bytes already hashed (64 x n)
//   +4   u32 result (RESULT_*)                        +4    u32 head remainder, bytes (0..63)
//   +8   u32 ntime                                    +8    u32 tail, bytes
//   +12  u32 nonce                                    +12   u32 branch count (0..16)
//   +16  u32 version                                  +16   u32 bits
//   +20  u32 extranonce1 + extranonce2, bytes         +32   8 x u32 midstate after the hashed head
//   +24  32 bytes extranonce                          +64   64 bytes head remainder
//   +56  8 bytes unused                               +128  32 bytes previous block, as in the header
//   +64  32 bytes share target, little-endian         +160  32 bytes network target, little-endian
//   +96  32 bytes header hash, as hashed              +192  16 x 32 bytes merkle branch, as hashed
//   +128 64 bytes of the engine, never touched        +704  tail: what follows extranonce2 (coinbase2)
//
// Integers are little-endian in both slots, as WebAssembly and every supported host store them.

// Constant tables; each is 64 words (256 bytes) unless said otherwise.
export const TABLES_OFFSET = 1024;
export const TABLE_K = 1024; // the round constants
export const TABLE_PADDING_64 = 1280; // K + schedule of the block that pads a 64-byte message
export const TABLE_DIGEST = 1536; // K + the padding words of a 32-byte message (rounds 8..15)
export const TABLE_HEADER_TAIL = 1792; // K + the padding words of the last 16 header bytes (rounds 4..15)
export const TABLE_IV = 2048; // 8 words: the initial hash value
export const TABLE_ROUND_0 = 2080; // 2 words: e and a after round 0 from the initial value, but for w0
export const TABLE_PADDING_WORDS = 2112; // 5 words: padding words and their sigmas, see sha256.ts

export const WORKERS_MAX = 33;
export const SCRATCH_OFFSET = 4096;
export const SCRATCH_BYTES = 40960;

export const CONTROL_OFFSET = 1355776;
export const CONTROL_BYTES = 65536;

export const JOB_SLOTS_OFFSET = 1421312;
export const JOB_SLOTS = 1024;
export const JOB_SLOT_BYTES = 8192;

export const SHARE_SLOTS_OFFSET = 9809920;
export const SHARE_SLOTS = 65536;
export const SHARE_SLOT_BYTES = 192;

export const SLAB_BYTES = 22413312;
export const WASM_PAGE_BYTES = 65536;

// Fields of a job slot.
export const JOB_HEAD_HASHED_BYTES = 0;
export const JOB_REMAINDER_BYTES = 4;
export const JOB_TAIL_BYTES = 8;
export const JOB_BRANCHES = 12;
export const JOB_BITS = 16;
export const JOB_MIDSTATE = 32;
export const JOB_REMAINDER = 64;
export const JOB_PREVIOUS_BLOCK = 128;
export const JOB_NETWORK_TARGET = 160;
export const JOB_BRANCH = 192;
export const JOB_TAIL = 704;

// Limits of a job. The tail may be read up to 15 bytes past its end, which still lies inside the slot.
export const HEAD_HASHED_BYTES_MAX = 1048576;
export const TAIL_BYTES_MAX = 7168;
export const BRANCHES_MAX = 16;

// Fields of a share slot.
export const SHARE_JOB = 0;
export const SHARE_RESULT = 4;
export const SHARE_NTIME = 8;
export const SHARE_NONCE = 12;
export const SHARE_VERSION = 16;
export const SHARE_EXTRANONCE_BYTES = 20;
export const SHARE_EXTRANONCE = 24;
export const SHARE_TARGET = 64;
export const SHARE_HASH = 96;
export const SHARE_ENGINE = 128;

export const EXTRANONCE_BYTES_MAX = 32;

// Bits of a share's result. Refused (slot or job malformed) stands alone: not hashed, the hash zeroed.
export const RESULT_MEETS_SHARE = 1;
export const RESULT_MEETS_NETWORK = 2;
export const RESULT_REFUSED = 0x80000000;

// Inside one worker's scratch. A lane holds one coinbase from the first unhashed byte to the end of its
// padding (63 + 32 + 7,168 + 72 bytes) and the overshoot of 16-byte copies.
export const SCRATCH_STATE = 0; // 16 words a lane: 8 of state, 8 of padding behind it
export const SCRATCH_WORDS = 256; // 16 words a lane
export const SCRATCH_HEADER = 512; // 16 words a lane
export const SCRATCH_DIGEST = 768; // 8 words a lane
export const SCRATCH_SEARCH = 896; // 24 words, see search.ts
export const SCRATCH_LANE_SHARES = 1088; // per lane: address of its share slot
export const SCRATCH_LANE_JOBS = 1104; // per lane: address of its job slot
export const SCRATCH_LANE_BLOCKS = 1120; // per lane: coinbase blocks still to hash
export const SCRATCH_LANE_BRANCHES = 1136; // per lane: merkle branches
export const SCRATCH_LANES = 1152; // four of LANE_BYTES; also the host's window for sha256d and search
export const LANE_BYTES = 7488;
export const SCRATCH_WARM_JOB = 31104;
export const SCRATCH_WARM_SHARES = 39296;

// What the host passes to sha256d at a time, through the lanes' room: whole blocks, room for padding behind.
export const CHUNK_BYTES_MAX = 16384;
