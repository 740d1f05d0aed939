// One process of the wasm suite: CPU time of share validation, nonce search and their references, in turns.
// Prints one JSON object. Arguments: turns, milliseconds of a turn.
import { createHash } from 'node:crypto';
import { createSlab, Kernel, NonceSearcher } from '../../wasm/kernel.js';
import { readShareSlot, writeJobSlot, writeShareSlot } from '../../wasm/slots.js';
import { measureInTurns, type Variant } from './cpu-time.js';
import {
  benchJob,
  benchShares,
  checkShares,
  createHashSha256,
  LibraryJudge,
  nobleSha256,
  oneShotSha256,
  type Sha256,
} from './share-paths.js';

const BRANCHES = 12;
const SHARES = 256;
const LARGE_BYTES = 1 << 20;
/** Compressions of one share: coinbase 3 + 1 (its first block is the midstate), branches 12 x 3, header 3. */
const COMPRESSIONS = 43;

const slab = createSlab();
const kernel = Kernel.load(slab, 0);

const [turns = 1, turnMs = 1] = process.argv.slice(2).map(Number);
const { variant: native, compressions } = nativeVariant();
const perShare = measureInTurns(
  [
    kernelVariant('share_simd', 'validate', 0, BRANCHES),
    kernelVariant('share_simd_0_branches', 'validate', 1, 0),
    kernelVariant('share_scalar', 'validateScalar', 2, BRANCHES),
    libraryVariant('share_create_hash', createHashSha256),
    ...(oneShotSha256 === null ? [] : [libraryVariant('share_one_shot', oneShotSha256)]),
    libraryVariant('share_noble', nobleSha256),
    searchVariant('nonce_search_simd', 'search'),
    searchVariant('nonce_search_scalar', 'searchScalar'),
    native,
  ],
  turns,
  turnMs,
);
const { native: perBuffer = 0, ...times } = perShare;
process.stdout.write(JSON.stringify({ ...times, native: (perBuffer / compressions) * COMPRESSIONS }));

/** Shares in slots of their own, validated in place, in batches as the engine would. */
function kernelVariant(
  name: string,
  method: 'validate' | 'validateScalar',
  jobSlot: number,
  branches: number,
): Variant {
  const job = benchJob(branches);
  const shares = benchShares(job, jobSlot, SHARES);
  const first = jobSlot * SHARES;
  writeJobSlot(slab, jobSlot, job);
  for (const [index, share] of shares.entries()) writeShareSlot(slab, first + index, share);
  kernel[method](first, SHARES);
  checkShares(`the kernel (${name})`, job, shares, (_, index) => readShareSlot(slab, first + index));
  return {
    name,
    run: (count) => {
      for (let left = count; left > 0; left -= SHARES) kernel[method](first, Math.min(left, SHARES));
    },
  };
}

function libraryVariant(name: string, sha256: Sha256): Variant {
  const job = benchJob(BRANCHES);
  const judge = new LibraryJudge(sha256, job);
  const shares = benchShares(job, 0, SHARES);
  checkShares(name, job, shares, (share) => judge.judge(share));
  return {
    name,
    run: (count) => {
      let accepted = 0;
      for (let i = 0; i < count; i++)
        accepted += judge.judge(shares[i % SHARES] as (typeof shares)[0]).result;
      // Half of the shares meet their target. Looked at, so that no compiler drops the work.
      if (accepted === 0) throw new Error(`${name} accepts nothing`);
    },
  };
}

/** Hashes of one header; no nonce meets the target, as good as always in real life. */
function searchVariant(name: string, method: 'search' | 'searchScalar'): Variant {
  const searcher = new NonceSearcher();
  const header = Buffer.alloc(80, 3);
  const easy = new Uint8Array(32).fill(0xff, 0, 30);
  easy[30] = 0x3f; // one hash in 1,024
  const { nonce } = searcher[method](header, easy, 1, 1 << 20);
  if (nonce !== firstNonce(header, 1)) {
    throw new Error(`${name} misses the first nonce: a benchmark of it would be worthless. Run "npm test".`);
  }
  const never = new Uint8Array(32);
  return { name, run: (count) => void searcher[method](header, never, 0, count) };
}

/** The first nonce whose hash is below 2^246, by node:crypto. */
function firstNonce(header: Buffer, from: number): number {
  const copy = Buffer.from(header);
  for (let nonce = from; ; nonce++) {
    copy.writeUInt32LE(nonce, 76);
    const hash = createHashSha256(createHashSha256(copy));
    if (hash[31] === 0 && (hash[30] as number) <= 0x3f) return nonce;
  }
}

/** What the processor can do at all: SHA-256 of a large buffer in OpenSSL, with SHA instructions if it has them. */
function nativeVariant(): { variant: Variant; compressions: number } {
  const buffer = Buffer.alloc(LARGE_BYTES, 7);
  return {
    compressions: LARGE_BYTES / 64,
    variant: {
      name: 'native',
      run: (count) => {
        for (let i = 0; i < count; i++) createHash('sha256').update(buffer).digest();
      },
    },
  };
}
