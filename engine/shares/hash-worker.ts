// The program of a hash worker: a piscina task that runs as long as the pool does. It drains its ring,
// validates records in place and sleeps when there is nothing. It knows no session and no socket.
import { Kernel } from '../../wasm/kernel.js';
import { type HashWorkerTask, RING, RING_CONTROL_BYTES } from './share-ring.js';

/** Records validated between two publications: small enough that answers do not wait for a long batch. */
const CHUNK = 64;
/** A sleeping worker looks around this often even if a wake-up were lost. */
const SLEEP_MS = 1000;

/** Returns when the producer sets `stop`. Throws when the WASM cannot be loaded. */
export default function drain(task: HashWorkerTask): void {
  const kernel = Kernel.load(task.memory, task.workerIndex);
  kernel.warmUp();
  const control = new Int32Array(task.memory.buffer, task.controlOffset, RING_CONTROL_BYTES / 4);
  // A replaced worker resumes where its predecessor had published: the rest is validated again.
  let position = Atomics.load(control, RING.done);
  task.port.postMessage('ready');
  for (;;) {
    const head = Atomics.load(control, RING.head);
    if (head === position || Atomics.load(control, RING.stop) === 1) {
      if (Atomics.load(control, RING.stop) === 1) return;
      Atomics.store(control, RING.asleep, 1);
      Atomics.wait(control, RING.head, head, SLEEP_MS);
      Atomics.store(control, RING.asleep, 0);
      continue;
    }
    const start = Atomics.load(control, RING.start);
    if (((start - position) | 0) > 0) position = start;
    while (position !== head) {
      const offset = position & (task.size - 1);
      const count = Math.min((head - position) | 0, CHUNK, task.size - offset);
      kernel.validate(task.base + offset, count);
      position = (position + count) | 0;
      Atomics.store(control, RING.done, position);
    }
    if (Atomics.exchange(control, RING.bell, 0) === 1) task.port.postMessage(0);
  }
}
