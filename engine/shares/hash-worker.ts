// The program of a hash worker: a piscina task that runs as long as the pool does. It drains its ring,
// validates records in place and sleeps when there is nothing. It knows no session and no socket.
import { Kernel } from '../../wasm/kernel.js';
import { type HashWorkerTask, RING, RING_CONTROL_BYTES, WORKER } from './share-ring.js';

/** Records validated between two publications: small enough that answers do not wait for a long batch. */
const CHUNK = 64;
/**
 * While shares flow the worker looks for more by itself: waking it costs the connection thread 3 to 5 us
 * a batch, looking costs this thread 2 % of a core and a share a quarter of a millisecond at most.
 */
const DOZE_MS = 0.25;
/** Looks in vain after which it sleeps: 10 ms and more. */
const DOZES = 40;
/** A sleeping worker looks around this often even if a wake-up were lost. */
const SLEEP_MS = 1000;

/** Returns when the producer sets `stop`. Throws when the WASM cannot be loaded. */
export default function drain(task: HashWorkerTask): void {
  const kernel = Kernel.load(task.memory, task.workerIndex);
  kernel.warmUp();
  const control = new Int32Array(task.memory.buffer, task.controlOffset, RING_CONTROL_BYTES / 4);
  // A replaced worker resumes where its predecessor had published: the rest is validated again.
  let position = Atomics.load(control, RING.done);
  let dozes = 0;
  task.port.postMessage('ready');
  for (;;) {
    const head = Atomics.load(control, RING.head);
    if (head === position || Atomics.load(control, RING.stop) === 1) {
      if (Atomics.load(control, RING.stop) === 1) return;
      const dozing = dozes < DOZES;
      if (dozing) dozes++;
      Atomics.store(control, RING.worker, dozing ? WORKER.dozing : WORKER.asleep);
      Atomics.wait(control, RING.head, head, dozing ? DOZE_MS : SLEEP_MS);
      Atomics.store(control, RING.worker, WORKER.awake);
      continue;
    }
    const start = Atomics.load(control, RING.start);
    if (((start - position) | 0) > 0) position = start;
    while (position !== head) {
      dozes = 0;
      const offset = position & (task.size - 1);
      const count = Math.min((head - position) | 0, CHUNK, task.size - offset);
      kernel.validate(task.base + offset, count);
      position = (position + count) | 0;
      Atomics.store(control, RING.done, position);
    }
    if (Atomics.exchange(control, RING.bell, 0) === 1) task.port.postMessage(0);
  }
}
