// Share validation in place, against node:crypto and BigInt (wasm-share-oracle.ts).
// MILLRACE_PROPERTY_SHARES=1000000 checks a million random shares instead of a few thousand.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../storage/project-root.js';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import {
  JOB_SLOTS,
  type JobSlot,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  readShareSlot,
  SHARE_SLOTS,
  type ShareInput,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { bytesOf, displayed, headerOf, numberOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const BOTH = RESULT_MEETS_SHARE | RESULT_MEETS_NETWORK;
const slab = createSlab();
const kernel = Kernel.load(slab, 1);

/** Every way a share can travel through the kernel: alone, in each lane of a group, in groups of 2, 3 and 4. */
function everyPath(
  check: (run: (job: JobSlot, share: ShareInput) => ReturnType<typeof readShareSlot>) => void,
) {
  const filler = new SeededRandom(99);
  for (const [group, lane] of [
    [1, 0],
    [2, 0],
    [2, 1],
    [3, 2],
    [4, 0],
    [4, 1],
    [4, 2],
    [4, 3],
  ] as const) {
    check((job, share) => {
      writeJobSlot(slab, 7, job);
      writeJobSlot(slab, 8, randomJob(filler));
      for (let i = 0; i < group; i++) {
        writeShareSlot(slab, 100 + i, i === lane ? { ...share, jobSlot: 7 } : randomShare(filler, 8));
      }
      kernel.validate(100, group);
      return readShareSlot(slab, 100 + lane);
    });
  }
}

function randomJob(random: SeededRandom): JobSlot {
  const long = random.upTo(15) === 0;
  return {
    coinbase1: random.bytes(random.upTo(long ? 1500 : 200)),
    coinbase2: random.bytes(1 + random.upTo(long ? 7167 : 300)),
    branch: Array.from({ length: random.upTo(16) }, () => random.bytes(32)),
    previousBlock: random.bytes(32),
    bits: random.u32(),
    networkTargetLE: random.bytes(32),
  };
}

function randomShare(random: SeededRandom, jobSlot: number): ShareInput {
  return {
    jobSlot,
    ntime: random.u32(),
    nonce: random.u32(),
    version: random.u32(),
    extranonce: random.bytes(random.upTo(32)),
    shareTargetLE: random.bytes(32),
  };
}

const GENESIS: JobSlot = {
  coinbase1: Buffer.from(
    '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73',
    'hex',
  ),
  coinbase2: Buffer.from(
    'ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000',
    'hex',
  ),
  branch: [],
  previousBlock: new Uint8Array(32),
  bits: 0x1d00ffff,
  networkTargetLE: bytesOf(0xffffn << 208n),
};
const GENESIS_SHARE: ShareInput = {
  jobSlot: 7,
  ntime: 1231006505,
  nonce: 2083236893,
  version: 1,
  extranonce: new Uint8Array(0),
  shareTargetLE: bytesOf(0xffffn << 208n),
};
const GENESIS_HASH = '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f';

describe('known blocks', () => {
  it('finds the genesis block to be a block, whatever group it travels in', () => {
    everyPath((run) => {
      const { result, hash } = run(GENESIS, GENESIS_SHARE);
      expect(displayed(hash)).toBe(GENESIS_HASH);
      expect(result).toBe(BOTH);
    });
  });

  it('finds one wrong bit of the genesis block to be no share at all', () => {
    everyPath((run) => expect(run(GENESIS, { ...GENESIS_SHARE, nonce: 2083236892 }).result).toBe(0));
  });

  const path = join(projectRoot(), '../shared/vectors/mainnet_block_413567.json');
  if (!existsSync(path)) console.log(`${path} is absent: mainnet block 413567 is not rebuilt`);
  describe.skipIf(!existsSync(path))('mainnet block 413567', () => {
    const block = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
    const header = Buffer.from(block.header ?? '', 'hex');
    const coinbase = Buffer.from(block.coinbase_tx ?? '', 'hex');
    const splitAt = (at: number, extranonceBytes: number): [JobSlot, ShareInput] => [
      {
        coinbase1: coinbase.subarray(0, at),
        coinbase2: coinbase.subarray(at + extranonceBytes),
        branch: block.merkle_branch.map((hex: string) => Buffer.from(hex, 'hex')),
        previousBlock: header.subarray(4, 36),
        bits: header.readUInt32LE(72),
        networkTargetLE: bytesOf(0x058436n << 168n), // bits 0x18058436
      },
      {
        jobSlot: 7,
        version: header.readUInt32LE(0),
        ntime: header.readUInt32LE(68),
        nonce: header.readUInt32LE(76),
        extranonce: coinbase.subarray(at, at + extranonceBytes),
        shareTargetLE: bytesOf(numberOf(Buffer.from(block.hash_be, 'hex').reverse())),
      },
    ];

    it('has the same hash when its coinbase is split at any byte, with extranonces of 0 to 32 bytes', () => {
      for (const extranonceBytes of [0, 1, 4, 8, 12, 31, 32]) {
        const last = coinbase.length - extranonceBytes;
        for (let at = 0; at <= last; at++) {
          const [job, share] = splitAt(at, extranonceBytes);
          writeJobSlot(slab, at % 512, job);
          writeShareSlot(slab, at, { ...share, jobSlot: at % 512 });
        }
        kernel.validate(0, last + 1);
        for (let at = 0; at <= last; at++) {
          const { result, hash } = readShareSlot(slab, at);
          expect(displayed(hash), `split at ${at}, ${extranonceBytes} bytes`).toBe(block.hash_be);
          expect(result).toBe(BOTH);
        }
      }
    });

    it('trap: the previous block hash of mining.notify has its eight words swapped, the header has not', () => {
      const [job, share] = splitAt(60, 12);
      const asNotified = Buffer.from(job.previousBlock).swap32();
      everyPath((run) => {
        expect(displayed(run({ ...job, previousBlock: asNotified }, share).hash)).not.toBe(block.hash_be);
        const headerOrder = Buffer.from(asNotified).swap32();
        expect(displayed(run({ ...job, previousBlock: headerOrder }, share).hash)).toBe(block.hash_be);
      });
    });

    it('trap: version, ntime and nonce are hex numbers on the wire and little-endian in the header', () => {
      const [job, share] = splitAt(60, 12);
      const hex = (offset: number): string =>
        Buffer.from(header.subarray(offset, offset + 4))
          .reverse()
          .toString('hex');
      expect(hex(0)).toBe('00000004');
      const parsed = {
        version: Number.parseInt(hex(0), 16),
        ntime: Number.parseInt(hex(68), 16),
        nonce: Number.parseInt(hex(76), 16),
      };
      everyPath((run) => expect(displayed(run(job, { ...share, ...parsed }).hash)).toBe(block.hash_be));
    });

    it('trap: extranonce2 goes into the coinbase in the order in which its bytes were sent', () => {
      const [job, share] = splitAt(60, 12);
      const reversed = Uint8Array.from(share.extranonce).reverse();
      everyPath((run) => {
        expect(displayed(run(job, share).hash)).toBe(block.hash_be);
        expect(displayed(run(job, { ...share, extranonce: reversed }).hash)).not.toBe(block.hash_be);
      });
    });

    it('trap: the hash is stored as hashed, the displayed hash is the reverse', () => {
      const [job, share] = splitAt(60, 12);
      everyPath((run) => {
        const { hash } = run(job, share);
        expect(Buffer.from(hash)).toEqual(sha256d(header));
        expect(Buffer.from(hash).reverse().toString('hex')).toBe(block.hash_be);
      });
    });
  });
});

describe('targets', () => {
  const random = new SeededRandom(5);
  const job = randomJob(random);
  const share = randomShare(random, 7);
  const value = numberOf(sha256d(headerOf(job, share)));
  const judge = (
    run: (job: JobSlot, share: ShareInput) => { result: number },
    shareTarget: bigint,
    network: bigint,
  ) =>
    run({ ...job, networkTargetLE: bytesOf(network) }, { ...share, shareTargetLE: bytesOf(shareTarget) })
      .result;

  it('accepts a hash equal to the target and refuses one above it', () => {
    everyPath((run) => {
      expect(judge(run, value, value)).toBe(BOTH);
      expect(judge(run, value - 1n, value - 1n)).toBe(0);
      expect(judge(run, value + 1n, value + 1n)).toBe(BOTH);
    });
  });

  it('judges the share target and the network target apart', () => {
    everyPath((run) => {
      expect(judge(run, value, value - 1n)).toBe(RESULT_MEETS_SHARE);
      expect(judge(run, value - 1n, value)).toBe(RESULT_MEETS_NETWORK);
    });
  });

  it('compares all 256 bits: a target that differs by one in any byte decides', () => {
    everyPath((run) => {
      for (let byte = 0n; byte < 32n; byte++) {
        const step = 1n << (8n * byte);
        if (value + step < 1n << 256n) expect(judge(run, value + step, 0n)).toBe(RESULT_MEETS_SHARE);
        if (value >= step) expect(judge(run, value - step, 0n)).toBe(0);
      }
    });
  });

  it('never meets target 0 and always meets the largest (difficulty below 2^-32)', () => {
    everyPath((run) => {
      expect(judge(run, 0n, 0n)).toBe(0);
      expect(judge(run, (1n << 256n) - 1n, (1n << 256n) - 1n)).toBe(BOTH);
    });
  });
});

describe('random shares', () => {
  const shares = Number(process.env.MILLRACE_PROPERTY_SHARES ?? 4096);
  const perRun = 128;

  it(
    `judges ${shares} shares of mixed jobs, lengths and targets as node:crypto and BigInt do`,
    () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => {
          const random = new SeededRandom(seed);
          const first = random.upTo(SHARE_SLOTS - 1);
          const jobs = new Map<number, JobSlot>();
          for (let i = 0; i <= random.upTo(20); i++) jobs.set(random.upTo(JOB_SLOTS - 1), randomJob(random));
          const slots = [...jobs.keys()];
          const expected: { hash: Buffer; share: ShareInput; jobSlot: number }[] = [];
          for (let i = 0; i < perRun; i++) {
            const jobSlot = slots[random.upTo(slots.length - 1)] ?? 0;
            const job = jobs.get(jobSlot) as JobSlot;
            let share = randomShare(random, jobSlot);
            const hash = sha256d(headerOf(job, share));
            const edge = [0n, 1n, -1n][random.upTo(5)];
            if (edge !== undefined) share = { ...share, shareTargetLE: bytesOf(numberOf(hash) + edge) };
            const networkEdge = [0n, 1n, -1n][random.upTo(40)];
            if (networkEdge !== undefined) {
              jobs.set(jobSlot, { ...job, networkTargetLE: bytesOf(numberOf(hash) + networkEdge) });
            }
            expected.push({ hash, share, jobSlot });
          }
          for (const [slot, job] of jobs) writeJobSlot(slab, slot, job);
          expected.forEach(({ share }, i) => {
            writeShareSlot(slab, (first + i) % SHARE_SLOTS, share);
          });

          for (let done = 0; done < perRun; ) {
            const count = Math.min(1 + random.upTo(random.upTo(1) === 0 ? 6 : 40), perRun - done);
            kernel.validate((first + done) % SHARE_SLOTS, count);
            done += count;
          }
          const simd = expected.map((_, i) => readShareSlot(slab, (first + i) % SHARE_SLOTS));
          kernel.validateScalar(first, perRun);
          const scalar = expected.map((_, i) => readShareSlot(slab, (first + i) % SHARE_SLOTS));

          expected.forEach(({ hash, share, jobSlot }, i) => {
            const value = numberOf(hash);
            const network = (jobs.get(jobSlot) as JobSlot).networkTargetLE;
            const result =
              (value <= numberOf(share.shareTargetLE) ? RESULT_MEETS_SHARE : 0) |
              (value <= numberOf(network) ? RESULT_MEETS_NETWORK : 0);
            for (const got of [simd[i], scalar[i]]) {
              if (got?.result !== result || !hash.equals(got.hash)) {
                throw new Error(
                  `share ${i}: expected ${result} ${displayed(hash)}, got ${JSON.stringify(got)}`,
                );
              }
            }
          });
        }),
        { seed: 413567, numRuns: Math.ceil(shares / perRun), endOnFailure: true },
      );
    },
    30_000 + shares,
  );
});
