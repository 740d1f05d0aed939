// Blocks of the main chain mined again by the whole share path of the kernel: job slot, share slot, validate.
import { describe, expect, it } from 'vitest';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { encodeHeader, headerHash } from '../../engine/bitcoin/header.js';
import { displayHash } from '../../engine/bitcoin/hex.js';
import { rootFromBranch } from '../../engine/bitcoin/merkle.js';
import { targetFromBytesLE } from '../../engine/bitcoin/target.js';
import { createSlab, Kernel, NonceSearcher } from '../../wasm/kernel.js';
import {
  BRANCHES_MAX,
  EXTRANONCE_BYTES_MAX,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  readShareSlot,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { asJobAndShare, block413567, SAMPLE } from './wasm-mainnet-sample.js';
import { everyPath } from './wasm-random-shares.js';
import { SeededRandom } from './wasm-share-oracle.js';

const BOTH = RESULT_MEETS_SHARE | RESULT_MEETS_NETWORK;
const slab = createSlab();
const kernel = Kernel.load(slab, 1);
const searcher = new NonceSearcher();
const fullBlock = block413567();
const blocks = fullBlock === undefined ? SAMPLE : [...SAMPLE, fullBlock];

describe.each(blocks)('mainnet block $height', (block) => {
  it('is found to be a block, whatever group its share travels in', () => {
    const [job, share] = asJobAndShare(block, 42, 8);
    everyPath(slab, kernel, (judge) => {
      const { result, hash } = judge(job, share);
      expect(displayHash(hash)).toBe(block.hash);
      expect(result).toBe(BOTH);
    });
  });

  it('is no share at all with one bit of its header or coinbase changed', () => {
    const [job, share] = asJobAndShare(block, 42, 8);
    const extranonce = Uint8Array.from(share.extranonce);
    extranonce[7] = (extranonce[7] ?? 0) ^ 1;
    const coinbase2 = Uint8Array.from(job.coinbase2);
    coinbase2[coinbase2.length - 1] = 1;
    everyPath(slab, kernel, (judge) => {
      expect(judge(job, { ...share, nonce: (share.nonce ^ 1) >>> 0 }).result).toBe(0);
      expect(judge(job, { ...share, ntime: (share.ntime ^ 0x80000000) >>> 0 }).result).toBe(0);
      expect(judge(job, { ...share, version: share.version ^ 0x2000 }).result).toBe(0);
      expect(judge(job, { ...share, extranonce }).result).toBe(0);
      expect(judge({ ...job, coinbase2 }, share).result).toBe(0);
      expect(judge({ ...job, bits: job.bits ^ 1 }, share).result).toBe(0);
    });
  });

  it('has the same hash wherever its coinbase is split, with extranonces of 0 to 32 bytes', () => {
    for (let extranonceBytes = 0; extranonceBytes <= EXTRANONCE_BYTES_MAX; extranonceBytes++) {
      const splits = block.coinbase.length - extranonceBytes + 1;
      for (let at = 0; at < splits; at++) {
        const [job, share] = asJobAndShare(block, at, extranonceBytes);
        writeJobSlot(slab, at, job);
        writeShareSlot(slab, at, { ...share, jobSlot: at });
      }
      for (const method of ['validate', 'validateScalar'] as const) {
        kernel[method](0, splits);
        for (let at = 0; at < splits; at++) {
          const { result, hash } = readShareSlot(slab, at);
          const where = `${method}: ${extranonceBytes} bytes at ${at}`;
          if (displayHash(hash) !== block.hash || result !== BOTH) throw new Error(`${where}: ${result}`);
          writeShareSlot(slab, at, { ...asJobAndShare(block, at, extranonceBytes)[1], jobSlot: at });
        }
      }
    }
  });

  it('is mined again by the nonce search, in whichever lane its nonce falls', () => {
    const [job, share] = asJobAndShare(block, 42, 8);
    for (const before of [0, 1, 2, 3, 1001]) {
      const first = Math.max(0, share.nonce - before);
      const hashes = share.nonce - first + 1;
      for (const method of ['search', 'searchScalar'] as const) {
        expect(searcher[method](block.header, job.networkTargetLE, first, 1100)).toEqual({
          nonce: share.nonce,
          hashes,
        });
      }
    }
  });
});

describe('a real coinbase under any number of branches', () => {
  const block = blocks.at(-1) ?? (SAMPLE[0] as (typeof SAMPLE)[number]);
  const random = new SeededRandom(413_567);
  const branch = [...block.branch];
  while (branch.length < BRANCHES_MAX) branch.push(random.bytes(32));

  it.each(Array.from({ length: BRANCHES_MAX + 1 }, (_, count) => count))(
    'gives the header of %i',
    (count) => {
      const [whole, share] = asJobAndShare(block, 42, 12);
      const job = { ...whole, branch: branch.slice(0, count) };
      const header = encodeHeader({
        version: share.version,
        previousBlock: job.previousBlock,
        merkleRoot: rootFromBranch(sha256d(block.coinbase), job.branch),
        time: share.ntime,
        bits: job.bits,
        nonce: share.nonce,
      });
      const hash = headerHash(header);
      const isBlock = targetFromBytesLE(hash) <= targetFromBytesLE(job.networkTargetLE);
      expect(isBlock).toBe(count === block.branch.length);
      everyPath(slab, kernel, (judge) => {
        expect(judge(job, share)).toEqual({ result: isBlock ? BOTH : 0, hash });
      });
    },
  );
});
