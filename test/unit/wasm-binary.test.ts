// What millrace.wasm asks of its host and gives to it: one memory that it never grows, nine functions.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../storage/project-root.js';
import { SLAB_BYTES, WASM_PAGE_BYTES } from '../../wasm/assembly/layout.js';
import { instantiate } from '../../wasm/binary.js';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import {
  RESULT_MEETS_SHARE,
  readShareSlot,
  SHARE_SLOTS,
  writeJobSlot,
  writeShareSlot,
} from '../../wasm/slots.js';
import { headerOf, SeededRandom, sha256d } from './wasm-share-oracle.js';

const module = new WebAssembly.Module(readFileSync(join(projectRoot(), 'dist/wasm/millrace.wasm')));

describe('millrace.wasm', () => {
  it('imports its memory and nothing else: no function of the host, no clock, no random', () => {
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
  });

  it('exports functions only: no allocator, no second memory, no table', () => {
    const exports = WebAssembly.Module.exports(module);
    expect(exports.map(({ name }) => name).sort()).toEqual([
      'absorb',
      'init',
      'inputAt',
      'prepare',
      'search',
      'searchScalar',
      'validate',
      'validateScalar',
      'warmUp',
    ]);
    expect(new Set(exports.map(({ kind }) => kind))).toEqual(new Set(['function']));
  });

  it('works in a memory that could grow, and leaves it at its size', () => {
    const pages = 2;
    const memory = new WebAssembly.Memory({
      initial: pages,
      maximum: SLAB_BYTES / WASM_PAGE_BYTES,
      shared: true,
    });
    const kernel = instantiate(memory, 0);
    kernel.warmUp(20);
    kernel.absorb(0, 16_384, false);
    kernel.absorb(16_384, 16_384, true);
    kernel.prepare();
    kernel.search(0, 10_000);
    kernel.searchScalar(0, 10_000);
    expect(memory.buffer.byteLength).toBe(pages * WASM_PAGE_BYTES);
  });

  it('traps when it is told to work in the scratch of a worker that has none', () => {
    const { init } = instantiate(createSlab(), 0);
    expect(() => init(33)).toThrow();
  });

  it('validates a million shares in the memory it began with, the last like the first', () => {
    const slab = createSlab();
    expect(() => slab.grow(1)).toThrow(RangeError);
    const kernel = Kernel.load(slab, 0);
    const random = new SeededRandom(41);
    const job = {
      coinbase1: random.bytes(120),
      coinbase2: random.bytes(40),
      branch: [],
      previousBlock: random.bytes(32),
      bits: 0x1d00ffff,
      networkTargetLE: new Uint8Array(32),
    };
    const share = {
      jobSlot: 3,
      ntime: 1,
      nonce: 2,
      version: 3,
      extranonce: random.bytes(12),
      shareTargetLE: new Uint8Array(32).fill(0xff),
    };
    writeJobSlot(slab, 3, job);
    for (let slot = 0; slot < SHARE_SLOTS; slot++) writeShareSlot(slab, slot, { ...share, nonce: slot });
    for (let validated = 0; validated < 1_000_000; validated += SHARE_SLOTS) kernel.validate(0, SHARE_SLOTS);
    expect(slab.buffer.byteLength).toBe(SLAB_BYTES);
    for (let slot = 0; slot < SHARE_SLOTS; slot += 4099) {
      const hash = Uint8Array.from(sha256d(headerOf(job, { ...share, nonce: slot })));
      expect(readShareSlot(slab, slot)).toEqual({ result: RESULT_MEETS_SHARE, hash });
    }
  });
});
