// Made-up jobs and shares of every shape the kernel takes, and the ways in which one share can travel through
// it. For tests; repeatable by seed.
import type { Kernel } from '../../wasm/kernel.js';
import {
  type JobSlot,
  readShareSlot,
  type ShareInput,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { SeededRandom } from './wasm-share-oracle.js';

export function randomJob(random: SeededRandom): JobSlot {
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

export function randomShare(random: SeededRandom, jobSlot: number): ShareInput {
  return {
    jobSlot,
    ntime: random.u32(),
    nonce: random.u32(),
    version: random.u32(),
    extranonce: random.bytes(random.upTo(32)),
    shareTargetLE: random.bytes(32),
  };
}

export type Judgement = ReturnType<typeof readShareSlot>;
export type Judge = (job: JobSlot, share: ShareInput) => Judgement;

/** Shares in a call, and the place of the one that is looked at: scalar, then each lane of 2, 3 and 4. */
const PATHS = [
  [1, 0],
  [2, 0],
  [2, 1],
  [3, 0],
  [3, 1],
  [3, 2],
  [4, 0],
  [4, 1],
  [4, 2],
  [4, 3],
] as const;

/**
 * Calls `check` once for every way through the kernel. The judge it is given validates one share that way,
 * among strangers of another job; it uses job slots 7 and 8 and share slots 100 to 103 of `slab`.
 */
export function everyPath(slab: WebAssembly.Memory, kernel: Kernel, check: (judge: Judge) => void): void {
  const strangers = new SeededRandom(99);
  for (const [group, lane] of PATHS) {
    check((job, share) => {
      writeJobSlot(slab, 7, job);
      writeJobSlot(slab, 8, randomJob(strangers));
      for (let i = 0; i < group; i++) {
        writeShareSlot(slab, 100 + i, i === lane ? { ...share, jobSlot: 7 } : randomShare(strangers, 8));
      }
      kernel.validate(100, group);
      return readShareSlot(slab, 100 + lane);
    });
  }
}
