// Calls for several shares: what one share is answered may not depend on its neighbours, on its place in the
// call, or on where in the slab the call begins.
import { describe, expect, it } from 'vitest';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import {
  type JobSlot,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  readShareSlot,
  SHARE_SLOT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
  type ShareInput,
  TAIL_BYTES_MAX,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { type Judgement, randomJob, randomShare } from './wasm-random-shares.js';
import { bytesOf, headerOf, numberOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const NEVER_WRITTEN = 900;
const UNTOUCHED = 0x1234;
const slab = createSlab();
const kernel = Kernel.load(slab, 3);
const view = new DataView(slab.buffer);
const random = new SeededRandom(31);

// The shapes that lie furthest apart, and what is usual: no branch and 16, one block of coinbase and 116.
const shapes: Pick<JobSlot, 'coinbase1' | 'coinbase2' | 'branch'>[] = [
  [0, 1, 0],
  [250, 200, 12],
  [63, TAIL_BYTES_MAX, 1],
  [1000, 90, 16],
].map(([head = 0, tail = 0, branches = 0]) => ({
  coinbase1: random.bytes(head),
  coinbase2: random.bytes(tail),
  branch: Array.from({ length: branches }, () => random.bytes(32)),
}));
const jobs = shapes.map((shape) => ({ ...randomJob(random), ...shape }));
jobs.forEach((job, i) => {
  writeJobSlot(slab, 10 + i, job);
});

interface Case {
  readonly share: ShareInput;
  readonly expected: Judgement;
}

/** Share of job `i`; every difficulty from "each hash counts" to "this one just does" and "just does not". */
function caseOf(i: number): Case {
  const job = jobs[i % jobs.length] as JobSlot;
  const share = randomShare(random, 10 + (i % jobs.length));
  const hash = sha256d(headerOf(job, share));
  const value = numberOf(hash);
  const target = [value, value - 1n, (1n << 256n) - 1n, value >> 1n, value + 1n][i % 5] ?? 0n;
  const result =
    (value <= target ? RESULT_MEETS_SHARE : 0) |
    (value <= numberOf(job.networkTargetLE) ? RESULT_MEETS_NETWORK : 0);
  return {
    share: { ...share, shareTargetLE: bytesOf(target) },
    expected: { result, hash: Uint8Array.from(hash) },
  };
}

function refusedCase(): Case {
  return {
    share: randomShare(random, NEVER_WRITTEN),
    expected: { result: RESULT_REFUSED, hash: new Uint8Array(32) },
  };
}

const resultAt = (slot: number): number => SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES + SHARE_SLOT.result;

function expectBatch(method: 'validate' | 'validateScalar', first: number, cases: readonly Case[]): void {
  const slot = (i: number): number => (first + i + SHARE_SLOTS) % SHARE_SLOTS;
  cases.forEach(({ share }, i) => {
    writeShareSlot(slab, slot(i), share);
  });
  const outside = [slot(-1), slot(cases.length)];
  for (const each of outside) {
    writeShareSlot(slab, each, randomShare(random, 10));
    view.setUint32(resultAt(each), UNTOUCHED, true);
  }
  kernel[method](first, cases.length);
  cases.forEach(({ expected }, i) => {
    expect(readShareSlot(slab, slot(i)), `share ${i} of ${cases.length} from ${first}`).toEqual(expected);
  });
  for (const each of outside) expect(readShareSlot(slab, each).result).toBe(UNTOUCHED);
}

describe.each(['validate', 'validateScalar'] as const)('%s of a mixed batch', (method) => {
  const cases = Array.from({ length: 40 }, (_, i) => caseOf(i));

  it('judges every share of it, with 0 to 3 left over behind the fours', () => {
    for (let count = 1; count <= 13; count++) {
      for (let from = 0; from < 12; from++) expectBatch(method, 500, cases.slice(from, from + count));
    }
  });

  it('judges four shares of every combination of jobs', () => {
    for (let mix = 0; mix < jobs.length ** 4; mix++) {
      const four = [0, 1, 2, 3].map((lane) => {
        const job = Math.floor(mix / jobs.length ** lane) % jobs.length;
        return cases[job + jobs.length * ((mix + lane) % 10)] as Case;
      });
      expectBatch(method, 700, four);
    }
  });

  it('goes on at the first slot behind the last one, wherever in the batch that falls', () => {
    for (let count = 1; count <= 9; count++) {
      for (let before = 0; before <= count; before++) {
        const first = (SHARE_SLOTS - before) % SHARE_SLOTS;
        expectBatch(method, first, cases.slice(before, before + count));
      }
    }
  });

  it('answers refused shares among the others, and gives their lanes to those', () => {
    for (let mask = 0; mask < 256; mask++) {
      const eight = cases.slice(mask % 30, (mask % 30) + 8);
      expectBatch(
        method,
        2 ** 15,
        eight.map((each, i) => ((mask >> i) & 1 ? refusedCase() : each)),
      );
    }
  });

  it('takes a call for more than all slots as one for all', () => {
    const [share] = cases as [Case];
    const looked = [76, 77, 0, SHARE_SLOTS - 1];
    for (const slot of looked) writeShareSlot(slab, slot, share.share);
    kernel[method](77, SHARE_SLOTS + 5);
    for (const slot of looked) expect(readShareSlot(slab, slot)).toEqual(share.expected);
  });
});
