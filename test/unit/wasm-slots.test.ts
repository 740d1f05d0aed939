// What happens at the borders of the slab: malformed slots, wrapping, and memory that is not the kernel's.
import { describe, expect, it } from 'vitest';
import * as layout from '../../wasm/assembly/layout.js';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import {
  isShareSlotSound,
  type JobSlot,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  readShareSlot,
  SHARE_SLOT,
  type ShareInput,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { headerOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const random = new SeededRandom(11);
const JOB: JobSlot = {
  coinbase1: random.bytes(150),
  coinbase2: random.bytes(150),
  branch: Array.from({ length: 12 }, () => random.bytes(32)),
  previousBlock: random.bytes(32),
  bits: 0x1d00ffff,
  networkTargetLE: new Uint8Array(32),
};
const SHARE: ShareInput = {
  jobSlot: 5,
  ntime: 1,
  nonce: 2,
  version: 3,
  extranonce: random.bytes(12),
  shareTargetLE: new Uint8Array(32).fill(0xff),
};
const HASH = Uint8Array.from(sha256d(headerOf(JOB, SHARE)));

const jobAt = (slot: number): number => layout.JOB_SLOTS_OFFSET + slot * layout.JOB_SLOT_BYTES;
const shareAt = (slot: number): number => layout.SHARE_SLOTS_OFFSET + slot * layout.SHARE_SLOT_BYTES;

describe('the memory map', () => {
  it('is made of 64-byte aligned regions that follow each other without overlap', () => {
    const regions: [string, number, number][] = [
      ['tables', layout.TABLES_OFFSET, 4096 - layout.TABLES_OFFSET],
      ['scratch', layout.SCRATCH_OFFSET, layout.WORKERS_MAX * layout.SCRATCH_BYTES],
      ['control', layout.CONTROL_OFFSET, layout.CONTROL_BYTES],
      ['jobs', layout.JOB_SLOTS_OFFSET, layout.JOB_SLOTS * layout.JOB_SLOT_BYTES],
      ['shares', layout.SHARE_SLOTS_OFFSET, layout.SHARE_SLOTS * layout.SHARE_SLOT_BYTES],
    ];
    let end = 1024;
    for (const [name, offset, bytes] of regions) {
      expect(offset % 64, name).toBe(0);
      expect(offset, name).toBe(end);
      end = offset + bytes;
    }
    expect(layout.SLAB_BYTES).toBeGreaterThanOrEqual(end);
    expect(layout.SLAB_BYTES % layout.WASM_PAGE_BYTES).toBe(0);
    expect(createSlab().buffer.byteLength).toBe(layout.SLAB_BYTES);
  });

  it('has room in a lane for the longest coinbase, its padding and the overshoot of a copy', () => {
    const longest = 63 + layout.EXTRANONCE_BYTES_MAX + layout.TAIL_BYTES_MAX;
    expect(longest + 1 + 80).toBeLessThanOrEqual(layout.LANE_BYTES);
    expect(layout.SCRATCH_LANES + 4 * layout.LANE_BYTES).toBeLessThanOrEqual(layout.SCRATCH_WARM_JOB);
    expect(layout.SCRATCH_WARM_JOB + layout.JOB_SLOT_BYTES).toBeLessThanOrEqual(layout.SCRATCH_WARM_SHARES);
    expect(layout.SCRATCH_WARM_SHARES + 4 * layout.SHARE_SLOT_BYTES).toBeLessThanOrEqual(
      layout.SCRATCH_BYTES,
    );
    expect(layout.JOB_TAIL + layout.TAIL_BYTES_MAX + 15).toBeLessThanOrEqual(layout.JOB_SLOT_BYTES);
  });
});

describe('writing a job', () => {
  const slab = createSlab();
  const hash32 = new Uint8Array(32);
  it.each<[string, number, Partial<JobSlot>]>([
    ['a slot that does not exist', layout.JOB_SLOTS, {}],
    ['a negative slot', -1, {}],
    ['a coinbase2 longer than its room', 5, { coinbase2: new Uint8Array(layout.TAIL_BYTES_MAX + 1) }],
    ['a coinbase1 beyond 1 MiB', 5, { coinbase1: new Uint8Array(layout.HEAD_HASHED_BYTES_MAX + 1) }],
    ['no coinbase at all', 5, { coinbase1: new Uint8Array(0), coinbase2: new Uint8Array(0) }],
    ['17 branches', 5, { branch: Array.from({ length: 17 }, () => hash32) }],
    ['a branch hash of 31 bytes', 5, { branch: [hash32, hash32.subarray(1)] }],
    ['a previous block of 33 bytes', 5, { previousBlock: new Uint8Array(33) }],
    ['bits beyond 32 bits', 5, { bits: 2 ** 32 }],
    ['negative bits', 5, { bits: -1 }],
    ['a network target of 31 bytes', 5, { networkTargetLE: new Uint8Array(31) }],
  ])('refuses %s and leaves the slot as it was', (_what, slot, change) => {
    writeJobSlot(slab, 5, JOB);
    const before = new Uint8Array(slab.buffer).slice();
    expect(() => writeJobSlot(slab, slot, { ...JOB, ...change })).toThrow(RangeError);
    expect(Buffer.compare(before, new Uint8Array(slab.buffer).slice())).toBe(0);
  });

  it('takes the largest coinbase it promises to take', () => {
    const kernel = Kernel.load(slab, 0);
    const job = {
      ...JOB,
      coinbase1: random.bytes(layout.HEAD_HASHED_BYTES_MAX - 1),
      coinbase2: random.bytes(7168),
    };
    const share = { ...SHARE, extranonce: random.bytes(32) };
    writeJobSlot(slab, 5, job);
    for (const count of [1, 4]) {
      for (let i = 0; i < count; i++) writeShareSlot(slab, i, share);
      kernel.validate(0, count);
      expect(readShareSlot(slab, count - 1).hash).toEqual(Uint8Array.from(sha256d(headerOf(job, share))));
    }
  });
});

describe('writing a share', () => {
  const slab = createSlab();
  it.each<[string, number, Partial<ShareInput>]>([
    ['a slot that does not exist', layout.SHARE_SLOTS, {}],
    ['a negative slot', -1, {}],
    ['half a slot', 0.5, {}],
    ['a job slot that does not exist', 9, { jobSlot: layout.JOB_SLOTS }],
    ['a negative job slot', 9, { jobSlot: -1 }],
    ['ntime beyond 32 bits', 9, { ntime: 2 ** 32 }],
    ['a negative nonce', 9, { nonce: -1 }],
    ['a version that is no number', 9, { version: Number.NaN }],
    ['33 bytes of extranonce', 9, { extranonce: new Uint8Array(33) }],
    ['a share target of 31 bytes', 9, { shareTargetLE: new Uint8Array(31) }],
    ['a share target of 33 bytes', 9, { shareTargetLE: new Uint8Array(33) }],
  ])('refuses %s and leaves the slot as it was', (_what, slot, change) => {
    writeShareSlot(slab, 9, SHARE);
    const before = new Uint8Array(slab.buffer).slice();
    expect(() => writeShareSlot(slab, slot, { ...SHARE, ...change })).toThrow(RangeError);
    expect(Buffer.compare(before, new Uint8Array(slab.buffer).slice())).toBe(0);
  });

  it('and reading one back refuses a slot that does not exist', () => {
    for (const slot of [-1, layout.SHARE_SLOTS, 1.5])
      expect(() => readShareSlot(slab, slot)).toThrow(RangeError);
  });
});

describe('malformed slots', () => {
  const slab = createSlab();
  const kernel = Kernel.load(slab, 0);
  const view = new DataView(slab.buffer);
  const broken: [string, number, number][] = [
    ['a job slot that does not exist', shareAt(21) + SHARE_SLOT.jobSlot, layout.JOB_SLOTS],
    ['the largest job slot number', shareAt(21) + SHARE_SLOT.jobSlot, 0xffffffff],
    ['a job slot never written', shareAt(21) + SHARE_SLOT.jobSlot, 900],
    ['33 bytes of extranonce', shareAt(21) + SHARE_SLOT.extranonceBytes, 33],
    ['a huge extranonce', shareAt(21) + SHARE_SLOT.extranonceBytes, 0xffffffff],
    ['a head that is not whole blocks', jobAt(6) + layout.JOB_HEAD_HASHED_BYTES, 65],
    ['a head of 2 GiB', jobAt(6) + layout.JOB_HEAD_HASHED_BYTES, 0x80000000],
    ['a remainder of a whole block', jobAt(6) + layout.JOB_REMAINDER_BYTES, 64],
    ['a tail one byte too long', jobAt(6) + layout.JOB_TAIL_BYTES, layout.TAIL_BYTES_MAX + 1],
    ['a tail that wraps around', jobAt(6) + layout.JOB_TAIL_BYTES, 0xfffffff0],
    ['17 branches', jobAt(6) + layout.JOB_BRANCHES, 17],
    ['a negative branch count', jobAt(6) + layout.JOB_BRANCHES, 0xffffffff],
  ];

  for (const method of ['validate', 'validateScalar'] as const) {
    it.each(broken)(
      `${method} refuses %s, and its neighbours are judged all the same`,
      (_what, at, value) => {
        writeJobSlot(slab, 5, JOB);
        writeJobSlot(slab, 6, JOB);
        for (let i = 20; i < 25; i++) writeShareSlot(slab, i, SHARE);
        writeShareSlot(slab, 21, { ...SHARE, jobSlot: 6 });
        new Uint8Array(slab.buffer).fill(
          0x77,
          shareAt(21) + SHARE_SLOT.hash,
          shareAt(21) + SHARE_SLOT.hash + 32,
        );
        view.setUint32(at, value, true);
        kernel[method](20, 5);
        expect(readShareSlot(slab, 21)).toEqual({ result: RESULT_REFUSED, hash: new Uint8Array(32) });
        for (const good of [20, 22, 23, 24]) {
          expect(readShareSlot(slab, good)).toEqual({ result: RESULT_MEETS_SHARE, hash: HASH });
        }
      },
    );
  }

  it('are told beforehand by isShareSlotSound', () => {
    expect(isShareSlotSound(0, 0)).toBe(true);
    expect(isShareSlotSound(layout.JOB_SLOTS - 1, 32)).toBe(true);
    expect(isShareSlotSound(layout.JOB_SLOTS, 8)).toBe(false);
    expect(isShareSlotSound(0, 33)).toBe(false);
    expect(isShareSlotSound(-1, 8)).toBe(false);
  });
});

describe('the rest of the slab', () => {
  /** Everything but the tables, this worker's scratch, and result and hash of the validated slots. */
  function validateInPoison(poison: number, worker: number, first: number, count: number): Uint8Array[] {
    const slab = createSlab();
    const bytes = new Uint8Array(slab.buffer);
    bytes.fill(poison);
    writeJobSlot(slab, 5, JOB);
    const slots = Array.from({ length: count }, (_, i) => (first + i) % layout.SHARE_SLOTS);
    for (const slot of slots) writeShareSlot(slab, slot, SHARE);
    const kernel = Kernel.load(slab, worker);
    const before = bytes.slice();
    kernel.validate(first, count);
    const hashes = slots.map((slot) => readShareSlot(slab, slot).hash);
    kernel.validateScalar(first, count);
    kernel.sha256d(new Uint8Array(40_000));

    const after = bytes.slice();
    const forget = (at: number, length: number): void => {
      before.fill(0, at, at + length);
      after.fill(0, at, at + length);
    };
    forget(layout.SCRATCH_OFFSET + worker * layout.SCRATCH_BYTES, layout.SCRATCH_BYTES);
    for (const slot of slots) {
      forget(shareAt(slot) + SHARE_SLOT.result, 4);
      forget(shareAt(slot) + SHARE_SLOT.hash, 32);
    }
    expect(Buffer.compare(before, after)).toBe(0);
    return hashes;
  }

  it('is not written, nor does what lies there change an answer', () => {
    for (const [worker, first, count] of [
      [0, 0, 1],
      [7, 300, 6],
      [32, layout.SHARE_SLOTS - 3, 7],
    ] as const) {
      for (const poison of [0x00, 0x5a, 0xff]) {
        for (const hash of validateInPoison(poison, worker, first, count)) expect(hash).toEqual(HASH);
      }
    }
  });

  it('is not touched by the warm-up either', () => {
    const slab = createSlab();
    const bytes = new Uint8Array(slab.buffer);
    bytes.fill(0x5a);
    Kernel.load(slab, 2).warmUp();
    const outside = bytes.slice(layout.CONTROL_OFFSET);
    expect(outside.every((byte) => byte === 0x5a)).toBe(true);
    expect(bytes.slice(0, layout.TABLES_OFFSET).every((byte) => byte === 0x5a)).toBe(true);
    const neighbour = layout.SCRATCH_OFFSET + 3 * layout.SCRATCH_BYTES;
    expect(bytes.slice(neighbour, layout.CONTROL_OFFSET).every((byte) => byte === 0x5a)).toBe(true);
  });

  it('wraps from the last share slot to the first, and takes a count of zero', () => {
    const slab = createSlab();
    const kernel = Kernel.load(slab, 0);
    writeJobSlot(slab, 5, JOB);
    writeShareSlot(slab, layout.SHARE_SLOTS - 1, SHARE);
    writeShareSlot(slab, 0, SHARE);
    writeShareSlot(slab, 1, SHARE);
    kernel.validate(layout.SHARE_SLOTS - 1, 0);
    expect(readShareSlot(slab, layout.SHARE_SLOTS - 1).result).toBe(0);
    kernel.validate(layout.SHARE_SLOTS - 1, 2);
    expect(readShareSlot(slab, layout.SHARE_SLOTS - 1)).toEqual({ result: RESULT_MEETS_SHARE, hash: HASH });
    expect(readShareSlot(slab, 0)).toEqual({ result: RESULT_MEETS_SHARE, hash: HASH });
    expect(readShareSlot(slab, 1).result).toBe(0);
  });
});
