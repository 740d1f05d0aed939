// Real proof of work for simulated miners: tries nonces of one header until a hash meets the target. Has a
// memory of its own (one page), independent of any slab, so any thread may create one.
import { WASM_PAGE_BYTES } from './assembly/layout.js';
import { instantiate, type KernelExports } from './binary.js';

const NONCES = 2 ** 32;
/** Nonces per call into WASM: a u32 that is a multiple of four lanes. */
const PIECE = 2 ** 30;

/** What a search did. */
export interface NonceSearch {
  /** The first nonce that meets the target (header bytes 76..79, little-endian), or null. */
  readonly nonce: number | null;
  /**
   * Nonces tried, up to and including the one found: a search continued at nonce + 1 counts each header
   * once, so hashes summed over searches is the honest effort. (The up to three neighbours of a find that
   * shared its SIMD group are not counted.)
   */
  readonly hashes: number;
}

export class NonceSearcher {
  readonly #exports: KernelExports;
  readonly #input: Uint8Array;

  constructor() {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    this.#exports = instantiate(memory, 0);
    const at = this.#exports.inputAt();
    this.#input = new Uint8Array(memory.buffer, at, WASM_PAGE_BYTES - at);
  }

  /**
   * Tries firstNonce .. firstNonce+count-1 in order, four at a time; ends at nonce 2^32 - 1 when count goes
   * further. Deterministic. Blocks the thread: about 7 million nonces a second.
   * @param header80 the 80-byte header; its own nonce bytes are ignored
   * @param targetLE 32 bytes, little-endian; a hash equal to it is a find
   */
  search(header80: Uint8Array, targetLE: Uint8Array, firstNonce: number, count: number): NonceSearch {
    this.#prepare(header80, targetLE, firstNonce, count);
    return run(this.#exports.search, firstNonce, count);
  }

  /** The same without SIMD, about half as fast; same answers. For benchmarks and tests. */
  searchScalar(header80: Uint8Array, targetLE: Uint8Array, firstNonce: number, count: number): NonceSearch {
    this.#prepare(header80, targetLE, firstNonce, count);
    return run(this.#exports.searchScalar, firstNonce, count);
  }

  #prepare(header80: Uint8Array, targetLE: Uint8Array, firstNonce: number, count: number): void {
    if (header80.length !== 80) throw new RangeError(`a header has 80 bytes, not ${header80.length}`);
    if (targetLE.length !== 32) throw new RangeError(`a target has 32 bytes, not ${targetLE.length}`);
    if (!Number.isInteger(firstNonce) || firstNonce < 0 || firstNonce >= NONCES) {
      throw new RangeError(`first nonce ${firstNonce} is not a 32-bit number`);
    }
    if (!Number.isInteger(count) || count < 0) throw new RangeError(`nonce count ${count} is not a count`);
    this.#input.set(header80);
    this.#input.set(targetLE, 80);
    this.#exports.prepare();
  }
}

function run(
  search: (first: number, count: number) => number,
  firstNonce: number,
  count: number,
): NonceSearch {
  const end = Math.min(firstNonce + count, NONCES);
  for (let at = firstNonce; at < end; at += PIECE) {
    const found = search(at, Math.min(PIECE, end - at));
    if (found >= 0) return { nonce: found, hashes: found - firstNonce + 1 };
  }
  return { nonce: null, hashes: end - firstNonce };
}
