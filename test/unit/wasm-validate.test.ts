// Share validation in place, against node:crypto (wasm-share-oracle.ts) and BigInt (wasm-bigint-sha256.ts).
// MILLRACE_PROPERTY_SHARES=1000000 checks a million random shares instead of a few thousand.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
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
import { sha256dByIntegers } from './wasm-bigint-sha256.js';
import { everyPath, type Judge, randomJob, randomShare } from './wasm-random-shares.js';
import { bytesOf, displayed, headerOf, meets, numberOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const BOTH = RESULT_MEETS_SHARE | RESULT_MEETS_NETWORK;
const slab = createSlab();
const kernel = Kernel.load(slab, 1);

describe('targets', () => {
  const random = new SeededRandom(5);
  const job = randomJob(random);
  const share = randomShare(random, 7);
  const value = numberOf(sha256d(headerOf(job, share)));
  const judgeBy = (judge: Judge, shareTarget: bigint, network: bigint): number =>
    judge({ ...job, networkTargetLE: bytesOf(network) }, { ...share, shareTargetLE: bytesOf(shareTarget) })
      .result;

  it('accepts a hash equal to the target and refuses one above it', () => {
    everyPath(slab, kernel, (judge) => {
      expect(judgeBy(judge, value, value)).toBe(BOTH);
      expect(judgeBy(judge, value - 1n, value - 1n)).toBe(0);
      expect(judgeBy(judge, value + 1n, value + 1n)).toBe(BOTH);
    });
  });

  it('judges the share target and the network target apart', () => {
    everyPath(slab, kernel, (judge) => {
      expect(judgeBy(judge, value, value - 1n)).toBe(RESULT_MEETS_SHARE);
      expect(judgeBy(judge, value - 1n, value)).toBe(RESULT_MEETS_NETWORK);
    });
  });

  it('compares all 256 bits: a target that differs by one in any byte decides', () => {
    everyPath(slab, kernel, (judge) => {
      for (let byte = 0n; byte < 32n; byte++) {
        const step = 1n << (8n * byte);
        if (value + step < 1n << 256n) expect(judgeBy(judge, value + step, 0n)).toBe(RESULT_MEETS_SHARE);
        if (value >= step) expect(judgeBy(judge, value - step, 0n)).toBe(0);
      }
    });
  });

  it('lets the highest byte that differs decide, whatever stands below it', () => {
    const hash = bytesOf(value);
    for (let byte = 0; byte < 32; byte++) {
      // Bytes below say the opposite; the byte itself differs by one or by its top bit (a sign, if misread).
      for (const differs of [1, 0x80]) {
        const changed = (hash[byte] ?? 0) ^ differs;
        const above = changed > (hash[byte] ?? 0);
        const target = Uint8Array.from(hash).fill(above ? 0x00 : 0xff, 0, byte);
        target[byte] = changed;
        everyPath(slab, kernel, (judge) => {
          const asShare = judge({ ...job, networkTargetLE: hash }, { ...share, shareTargetLE: target });
          expect(asShare.result).toBe(RESULT_MEETS_NETWORK | (above ? RESULT_MEETS_SHARE : 0));
          const asNetwork = judge({ ...job, networkTargetLE: target }, { ...share, shareTargetLE: hash });
          expect(asNetwork.result).toBe(RESULT_MEETS_SHARE | (above ? RESULT_MEETS_NETWORK : 0));
        });
      }
    }
  });

  it('never meets target 0 and always meets the target of all ones', () => {
    everyPath(slab, kernel, (judge) => {
      expect(judgeBy(judge, 0n, 0n)).toBe(0);
      expect(judgeBy(judge, (1n << 256n) - 1n, (1n << 256n) - 1n)).toBe(BOTH);
    });
  });

  it('takes every hash at a difficulty below 2^-32, and at 2^-32 all but the highest', () => {
    // The first nonce whose hash begins with the 16 bits that difficulty 2^-32 leaves out.
    const header = headerOf(job, share);
    let nonce = 0;
    do header.writeUInt32LE(++nonce, 76);
    while (numberOf(sha256d(header)) >> 240n !== 0xffffn);
    const highest = { ...share, nonce };
    const at = (difficulty: number): Uint8Array => targetToBytesLE(targetFromDifficulty(difficulty));
    everyPath(slab, kernel, (judge) => {
      const noBlock = { ...job, networkTargetLE: bytesOf(0n) };
      const resultAt = (difficulty: number): number =>
        judge(noBlock, { ...highest, shareTargetLE: at(difficulty) }).result;
      expect(resultAt(2 ** -32)).toBe(0);
      expect(resultAt(2 ** -32 * (1 - 2 ** -15))).toBe(RESULT_MEETS_SHARE);
      expect(resultAt(2 ** -33)).toBe(RESULT_MEETS_SHARE);
      expect(resultAt(1e-12)).toBe(RESULT_MEETS_SHARE);
      expect(judge(noBlock, { ...share, shareTargetLE: at(2 ** -32) }).result).toBe(RESULT_MEETS_SHARE);
    });
  });
});

function resultOf(meetsShare: boolean, meetsNetwork: boolean): number {
  return (meetsShare ? RESULT_MEETS_SHARE : 0) | (meetsNetwork ? RESULT_MEETS_NETWORK : 0);
}

describe('random shares', () => {
  const shares = Number(process.env.MILLRACE_PROPERTY_SHARES ?? 4096);
  const perRun = 128;

  it(
    `judges ${shares} shares of mixed jobs, lengths and targets as node:crypto and plain integers do`,
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
          const layShares = (): void =>
            expected.forEach(({ share }, i) => {
              writeShareSlot(slab, (first + i) % SHARE_SLOTS, share);
            });

          layShares();
          for (let done = 0; done < perRun; ) {
            const count = Math.min(1 + random.upTo(random.upTo(1) === 0 ? 6 : 40), perRun - done);
            kernel.validate((first + done) % SHARE_SLOTS, count);
            done += count;
          }
          const simd = expected.map((_, i) => readShareSlot(slab, (first + i) % SHARE_SLOTS));
          layShares();
          kernel.validateScalar(first, perRun);
          const scalar = expected.map((_, i) => readShareSlot(slab, (first + i) % SHARE_SLOTS));

          expected.forEach(({ hash, share, jobSlot }, i) => {
            const job = jobs.get(jobSlot) as JobSlot;
            const { shareTargetLE } = share;
            const byBytes = resultOf(meets(hash, shareTargetLE), meets(hash, job.networkTargetLE));
            // Hashing with integers takes a few milliseconds a share: one in 64.
            const value = numberOf(
              i % 64 === 0 ? sha256dByIntegers(headerOf(job, share, sha256dByIntegers)) : hash,
            );
            const byIntegers = resultOf(
              value <= numberOf(shareTargetLE),
              value <= numberOf(job.networkTargetLE),
            );
            for (const got of [simd[i], scalar[i]]) {
              if (
                got?.result !== byBytes ||
                got.result !== byIntegers ||
                !hash.equals(got.hash) ||
                value !== numberOf(got.hash)
              ) {
                throw new Error(
                  `share ${i}: expected ${byBytes} ${byIntegers} ${displayed(hash)}, got ${got?.result} ${displayed(got?.hash ?? hash)}`,
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
