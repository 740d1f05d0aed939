// Whatever stands in its slots, the kernel stays inside its map: slots are filled with hostile lengths at
// random, everything around them with poison, and a second thread rewrites them while they are read.
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as layout from '../../wasm/assembly/layout.js';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import {
  type JobSlot,
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  readShareSlot,
  SHARE_SLOT,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { type Judgement, randomJob, randomShare } from './wasm-random-shares.js';
import { headerOf, numberOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const WORKER = 4;
const SHARES = 24;
const JOBS = 6;
/** The ends of every range that is checked, the values just beyond them, and what overflows in a sum. */
const HOSTILE = [
  0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 1023, 1024, 7167, 7168, 7169, 1_048_576, 1_048_577,
  1_048_640, 0x7fffffff, 0x80000000, 0xffffffc0, 0xfffffff0, 0xffffffff,
];
const JOB_LENGTHS = [
  layout.JOB_HEAD_HASHED_BYTES,
  layout.JOB_REMAINDER_BYTES,
  layout.JOB_TAIL_BYTES,
  layout.JOB_BRANCHES,
];
const SHARE_LENGTHS = [SHARE_SLOT.jobSlot, SHARE_SLOT.extranonceBytes];

const jobAt = (slot: number): number => layout.JOB_SLOTS_OFFSET + slot * layout.JOB_SLOT_BYTES;
const shareAt = (slot: number): number => layout.SHARE_SLOTS_OFFSET + slot * layout.SHARE_SLOT_BYTES;
// Both ends of the job slots, and the shares around the end of the slab.
const jobSlots = Array.from({ length: JOBS }, (_, i) =>
  i % 2 === 0 ? i / 2 : layout.JOB_SLOTS - (i + 1) / 2,
);
const FIRST = layout.SHARE_SLOTS - SHARES / 2;
const shareSlots = Array.from({ length: SHARES }, (_, i) => (FIRST + i) % layout.SHARE_SLOTS);

interface Scene {
  readonly slab: WebAssembly.Memory;
  /** Whole blocks at the head of each job's coinbase, which the slot holds only as a midstate. */
  readonly heads: Map<number, Uint8Array>;
}

/** Jobs and shares of which `hostileOf100` percent of the lengths lie; the rest of the slab is `poison`. */
function layScene(seed: number, poison: number, hostileOf100: number): Scene {
  const random = new SeededRandom(seed);
  const slab = createSlab();
  new Uint8Array(slab.buffer).fill(poison);
  // A job slot never written is all zeros in life: slot 300 stands for those.
  new Uint8Array(slab.buffer, jobAt(300), layout.JOB_SLOT_BYTES).fill(0);
  const view = new DataView(slab.buffer);
  const perhapsLie = (at: number): void => {
    if (random.upTo(99) >= hostileOf100) return;
    const value = random.upTo(3) === 0 ? random.u32() : (HOSTILE[random.upTo(HOSTILE.length - 1)] ?? 0);
    view.setUint32(at, value, true);
  };
  const heads = new Map<number, Uint8Array>();
  for (const slot of jobSlots) {
    const job = randomJob(random);
    // Every byte of the record is written: what lies in it may be hashed, what lies around it may not.
    new Uint8Array(slab.buffer).set(random.bytes(layout.JOB_SLOT_BYTES), jobAt(slot));
    writeJobSlot(slab, slot, job);
    heads.set(slot, job.coinbase1.subarray(0, job.coinbase1.length & ~63));
    for (const field of JOB_LENGTHS) perhapsLie(jobAt(slot) + field);
  }
  for (const slot of shareSlots) {
    const from = jobSlots[random.upTo(JOBS - 1)] ?? 0;
    new Uint8Array(slab.buffer).set(random.bytes(layout.SHARE_SLOT_BYTES), shareAt(slot));
    writeShareSlot(slab, slot, randomShare(random, random.upTo(9) === 0 ? 300 : from));
    for (const field of SHARE_LENGTHS) perhapsLie(shareAt(slot) + field);
  }
  return { slab, heads };
}

/** What a share must be answered, from the bytes of its slots read as the drawing in layout.ts says. */
function expectedOf({ slab, heads }: Scene, slot: number): Judgement | 'any hash' {
  const refused = { result: RESULT_REFUSED, hash: new Uint8Array(32) };
  const view = new DataView(slab.buffer);
  const at = shareAt(slot);
  const jobSlot = view.getUint32(at + SHARE_SLOT.jobSlot, true);
  const extranonceBytes = view.getUint32(at + SHARE_SLOT.extranonceBytes, true);
  if (jobSlot >= layout.JOB_SLOTS || extranonceBytes > layout.EXTRANONCE_BYTES_MAX) return refused;
  const job = jobAt(jobSlot);
  const [head = 0, remainder = 0, tail = 0, branches = 0] = JOB_LENGTHS.map((field) =>
    view.getUint32(job + field, true),
  );
  if (head + remainder + tail === 0 || head > layout.HEAD_HASHED_BYTES_MAX || head % 64 !== 0) return refused;
  if (remainder > 63 || tail > layout.TAIL_BYTES_MAX || branches > layout.BRANCHES_MAX) return refused;
  const hashedHead = heads.get(jobSlot);
  // The midstate is of another head than the length says: some hash, from inside the slot.
  if (hashedHead?.length !== head) return 'any hash';

  const bytes = (from: number, length: number): Uint8Array =>
    new Uint8Array(slab.buffer).slice(from, from + length);
  const facts: JobSlot = {
    coinbase1: Buffer.concat([hashedHead, bytes(job + layout.JOB_REMAINDER, remainder)]),
    coinbase2: bytes(job + layout.JOB_TAIL, tail),
    branch: Array.from({ length: branches }, (_, i) => bytes(job + layout.JOB_BRANCH + 32 * i, 32)),
    previousBlock: bytes(job + layout.JOB_PREVIOUS_BLOCK, 32),
    bits: view.getUint32(job + layout.JOB_BITS, true),
    networkTargetLE: bytes(job + layout.JOB_NETWORK_TARGET, 32),
  };
  const share = {
    jobSlot,
    ntime: view.getUint32(at + SHARE_SLOT.ntime, true),
    nonce: view.getUint32(at + SHARE_SLOT.nonce, true),
    version: view.getUint32(at + SHARE_SLOT.version, true),
    extranonce: bytes(at + SHARE_SLOT.extranonce, extranonceBytes),
    shareTargetLE: bytes(at + SHARE_SLOT.target, 32),
  };
  const hash = Uint8Array.from(sha256d(headerOf(facts, share)));
  const result =
    (numberOf(hash) <= numberOf(share.shareTargetLE) ? RESULT_MEETS_SHARE : 0) |
    (numberOf(hash) <= numberOf(facts.networkTargetLE) ? RESULT_MEETS_NETWORK : 0);
  return { result, hash };
}

/** A copy of the slab without what the kernel may write: its scratch, result and hash of the shares. */
function theRest(slab: WebAssembly.Memory): Uint8Array {
  const rest = new Uint8Array(slab.buffer).slice();
  const scratch = layout.SCRATCH_OFFSET + WORKER * layout.SCRATCH_BYTES;
  rest.fill(0, scratch, scratch + layout.SCRATCH_BYTES);
  for (const slot of shareSlots) {
    rest.fill(0, shareAt(slot) + SHARE_SLOT.result, shareAt(slot) + SHARE_SLOT.result + 4);
    rest.fill(0, shareAt(slot) + SHARE_SLOT.hash, shareAt(slot) + SHARE_SLOT.hash + 32);
  }
  return rest;
}

describe('slots with hostile lengths, poison around them', () => {
  it('are judged by what stands in them alone, or refused, and nothing else is written', () => {
    let refused = 0;
    let judged = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const answers: Judgement[][] = [];
        for (const poison of [0x00, 0xff]) {
          const scene = layScene(seed, poison, 12);
          const kernel = Kernel.load(scene.slab, WORKER);
          const before = theRest(scene.slab);
          const expected = shareSlots.map((slot) => expectedOf(scene, slot));
          for (const method of ['validate', 'validateScalar'] as const) {
            kernel[method](FIRST, SHARES);
            const got = shareSlots.map((slot) => readShareSlot(scene.slab, slot));
            answers.push(got);
            got.forEach((answer, i) => {
              if (expected[i] === 'any hash') expect(answer.result).not.toBe(RESULT_REFUSED);
              else expect(answer, `share ${i}`).toEqual(expected[i]);
              if (answer.result === RESULT_REFUSED) refused++;
              else judged++;
            });
          }
          expect(Buffer.compare(before, theRest(scene.slab))).toBe(0);
        }
        // Neither the poison nor the way through the kernel shows in an answer.
        for (const others of answers) expect(others).toEqual(answers[0]);
      }),
      { seed: 3, numRuns: 16 },
    );
    // The scenes are worth their name only when both outcomes are frequent.
    expect(Math.min(refused, judged)).toBeGreaterThan(300);
  });

  it('never make it take share slots, which begin where job slot 1,024 would, for a job', () => {
    const { slab } = layScene(9, 0x00, 0);
    const kernel = Kernel.load(slab, WORKER);
    const sound = jobAt(jobSlots[0] ?? 0);
    new Uint8Array(slab.buffer).copyWithin(jobAt(layout.JOB_SLOTS), sound, sound + layout.JOB_SLOT_BYTES);
    new DataView(slab.buffer).setUint32(shareAt(500) + SHARE_SLOT.jobSlot, layout.JOB_SLOTS, true);
    for (const method of ['validate', 'validateScalar'] as const) {
      kernel[method](500, 1);
      expect(readShareSlot(slab, 500)).toEqual({ result: RESULT_REFUSED, hash: new Uint8Array(32) });
    }
  });

  it('never lead it outside, also when they change between its look and its use', async () => {
    const scene = layScene(7, 0xa5, 0);
    const kernel = Kernel.load(scene.slab, WORKER);
    const lengths = [
      ...jobSlots.flatMap((slot) => JOB_LENGTHS.map((field) => jobAt(slot) + field)),
      ...shareSlots.flatMap((slot) => SHARE_LENGTHS.map((field) => shareAt(slot) + field)),
    ];
    const zeroed = (): Uint8Array => {
      const rest = theRest(scene.slab);
      for (const at of lengths) rest.fill(0, at, at + 4);
      return rest;
    };
    const before = zeroed();
    const scribbler = new Worker(SCRIBBLER, {
      eval: true,
      workerData: { buffer: scene.slab.buffer, lengths, hostile: HOSTILE },
    });
    await new Promise((resolve) => scribbler.once('message', resolve));
    // Until the other thread was seen at work often enough; the bound is for a machine that never runs it.
    let changes = 0;
    let seen = 0;
    for (let round = 0; round < 200_000 && changes < 250; round++) {
      kernel.validate(FIRST, SHARES);
      const refused = shareSlots.filter(
        (slot) => readShareSlot(scene.slab, slot).result === RESULT_REFUSED,
      ).length;
      if (refused !== seen) changes++;
      seen = refused;
    }
    await scribbler.terminate();
    expect(changes).toBe(250);
    expect(Buffer.compare(before, zeroed())).toBe(0);
  });
});

/** Makes one length after the other lie for a moment, until it is terminated. */
const SCRIBBLER = `
const { parentPort, workerData } = require('node:worker_threads');
const { buffer, lengths, hostile } = workerData;
const words = new Uint32Array(buffer);
parentPort.postMessage('writing');
for (let i = 0; ; i++) {
  const at = lengths[i % lengths.length] / 4;
  const sound = words[at];
  for (let times = 0; times < 200; times++) {
    Atomics.store(words, at, hostile[(i + times) % hostile.length]);
    Atomics.store(words, at, sound);
  }
}
`;
