// The hashing kernel as the engine sees it: the shared slab, and one Kernel per thread that validates shares
// in place. Records in the slab are written with wasm/slots.ts; the map is in wasm/assembly/layout.ts.
import { CHUNK_BYTES_MAX, SLAB_BYTES, WASM_PAGE_BYTES, WORKERS_MAX } from './assembly/layout.js';
import { instantiate, type KernelExports } from './binary.js';

export { NonceSearcher } from './nonce-searcher.js';

/** Rounds of one warm-up call: about 1 ms once the code is optimized. */
const WARM_UP_ROUNDS = 50;
const WARM_UP_MS = 80;

/** The one memory (21 MiB, fixed) that the connection thread and all hash workers of a process share. */
export function createSlab(): WebAssembly.Memory {
  const pages = SLAB_BYTES / WASM_PAGE_BYTES;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

export class Kernel {
  readonly #exports: KernelExports;
  readonly #window: Uint8Array;

  private constructor(exports: KernelExports, memory: WebAssembly.Memory) {
    this.#exports = exports;
    this.#window = new Uint8Array(memory.buffer, exports.inputAt());
  }

  /**
   * Binds the kernel to a slab, synchronously.
   * @param memory from createSlab(), handed to a worker as it is (it is shared, not copied)
   * @param workerIndex 0 for the connection thread, 1 to 32 for hash workers; two live kernels on one slab
   *   must not have the same index, they would overwrite each other's scratch
   */
  static load(memory: WebAssembly.Memory, workerIndex: number): Kernel {
    if (!Number.isInteger(workerIndex) || workerIndex < 0 || workerIndex >= WORKERS_MAX) {
      throw new RangeError(`worker index ${workerIndex} is not in 0..${WORKERS_MAX - 1}`);
    }
    if (memory.buffer.byteLength !== SLAB_BYTES) {
      throw new RangeError(`a slab has ${SLAB_BYTES} bytes, this memory ${memory.buffer.byteLength}`);
    }
    return new Kernel(instantiate(memory, workerIndex), memory);
  }

  /**
   * Validates the share slots firstSlot .. firstSlot+count-1 (wrapping at SHARE_SLOTS) in place: writes result
   * and header hash of each. Plain writes: the caller publishes them to other threads (Atomics).
   * @param count at most SHARE_SLOTS
   */
  validate(firstSlot: number, count: number): void {
    this.#exports.validate(firstSlot, count);
  }

  /** The same one share at a time without SIMD, about half as fast. Same answers; for benchmarks and tests. */
  validateScalar(firstSlot: number, count: number): void {
    this.#exports.validateScalar(firstSlot, count);
  }

  /** Double SHA-256 of any bytes: 32 bytes as hashed (block explorers show them reversed). */
  sha256d(data: Uint8Array): Uint8Array {
    let before = 0;
    for (;;) {
      const piece = data.subarray(before, before + CHUNK_BYTES_MAX);
      const last = before + piece.length === data.length;
      this.#window.set(piece);
      this.#exports.absorb(before, piece.length, last);
      if (last) return this.#window.slice(0, 32);
      before += piece.length;
    }
  }

  /**
   * Hashes made-up shares in this worker's scratch for about 80 ms, so that the code runs at full speed when
   * the first real share comes (a cold call costs 7 times as much). Touches no slot.
   */
  warmUp(): void {
    const end_ms = performance.now() + WARM_UP_MS;
    while (performance.now() < end_ms) this.#exports.warmUp(WARM_UP_ROUNDS);
  }
}
