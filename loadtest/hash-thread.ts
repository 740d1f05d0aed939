// Entry of a hash thread: tries slices of nonces with the WASM kernel, one after the other. Started by
// `fleet.ts`; knows nothing of miners, jobs or pools.
import { parentPort } from 'node:worker_threads';
import { NonceSearcher } from '../wasm/kernel.js';
import type { HashResult, HashTask } from './hash-task.js';

if (parentPort === null) throw new Error('hash-thread runs as a worker thread of the simulated miners only');
const port = parentPort;
const searcher = new NonceSearcher();

port.on('message', (task: HashTask) => port.postMessage(hashSlice(task)));

function hashSlice(task: HashTask): HashResult {
  const startedMs = performance.now();
  const end = task.firstNonce + task.count;
  const nonces: number[] = [];
  let next = task.firstNonce;
  while (next < end && nonces.length < task.sharesMax) {
    const { nonce } = searcher.search(task.header, task.targetLE, next, end - next);
    if (nonce === null) {
      next = end;
      break;
    }
    nonces.push(nonce);
    next = nonce + 1;
  }
  // Counted by nonces, not by the kernel's lanes: a nonce that shared a vector with a hit is tried again.
  return { id: task.id, nonces, hashes: next - task.firstNonce, elapsedMs: performance.now() - startedMs };
}
