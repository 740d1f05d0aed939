// Loads millrace.wasm, which the build puts beside this file, and binds it to a memory.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What the binary exports; wasm/assembly/index.ts describes each function. */
export interface KernelExports {
  init(worker: number): void;
  validate(first: number, count: number): void;
  validateScalar(first: number, count: number): void;
  warmUp(rounds: number): void;
  inputAt(): number;
  absorb(before: number, bytes: number, last: boolean): void;
  prepare(): void;
  search(first: number, count: number): number;
  searchScalar(first: number, count: number): number;
}

let compiled: WebAssembly.Module | undefined;

/**
 * A new instance on `memory`, working in the scratch of `worker`. Synchronous: the first call of a thread
 * compiles (1-2 ms), later ones reuse that. Throws when the binary has not been built.
 */
export function instantiate(memory: WebAssembly.Memory, worker: number): KernelExports {
  compiled ??= compile();
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  const exports = instance.exports as unknown as KernelExports;
  exports.init(worker);
  return exports;
}

function compile(): WebAssembly.Module {
  const path = fileURLToPath(new URL('./millrace.wasm', import.meta.url));
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new Error(
      `The hashing kernel ${path} cannot be read: it has probably not been built. Run "npm run build".`,
      { cause },
    );
  }
  return new WebAssembly.Module(bytes);
}
