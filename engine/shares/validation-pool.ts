// Hands share records to the hash workers (piscina threads) through rings in shared memory, and small
// batches to the same WASM inline. Owned by the connection thread. A call through piscina costs 50 us,
// a ring 1 to 7 us a batch (measured), so piscina only keeps the threads: each runs one endless task.
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { Kernel } from '../../wasm/kernel.js';
import { CONTROL_BYTES, CONTROL_OFFSET, SHARE_SLOTS } from '../../wasm/slots.js';
import { type HashWorkerTask, RING, RING_CONTROL_BYTES, WORKER } from './share-ring.js';

/**
 * Work up to this long is done inline: handing it over costs the connection thread 22 to 36 us for being woken
 * with the results, and the worker a wake-up besides.
 */
const INLINE_MAX_US = 40;
/** The same while results are fetched in passing and nobody is woken. */
const INLINE_MAX_FLOWING_US = 8;
/** Before anything was measured: a share with a dozen merkle branches. */
const FIRST_SHARE_US = 3;
/** Shares hashed at once; fewer in a measurement say nothing of the cost of many. */
const LANES = 4;
const MEASURE_WEIGHT = 0.05;
const WORKERS_MAX = 32;

interface Ring {
  control: Int32Array;
  base: number;
  /** Next position to fill. */
  next: number;
  /** Published head. */
  head: number;
  /** Positions below it were settled. */
  settled: number;
  port: MessagePort;
}

export interface ValidationPoolOptions {
  memory: WebAssembly.Memory;
  /** 0 = one less than the processor has cores, at least one. */
  workers: number;
  /** The worker program; tests put one here that dies. */
  workerFile?: URL;
  /** Called (from the event loop) when results may be ready. */
  onDoorbell: () => void;
  /** A worker died and was replaced; for the log. */
  onWorkerLost: (error: Error) => void;
}

export class ValidationPool {
  /** Slots in each ring. */
  readonly ringSize: number;
  readonly workers: number;
  readonly #rings: Ring[] = [];
  readonly #kernel: Kernel;
  readonly #piscina: Piscina;
  readonly #options: ValidationPoolOptions;
  #current = 0;
  /** What a share costs inline, measured: it follows the job's merkle branches and the machine. */
  #shareUs = FIRST_SHARE_US;
  #stopping = false;
  readonly #ready: Promise<void>[] = [];
  readonly #tasks: Promise<void>[] = [];

  constructor(options: ValidationPoolOptions) {
    this.#options = options;
    const wanted = options.workers > 0 ? options.workers : Math.max(1, availableParallelism() - 1);
    this.workers = Math.min(wanted, WORKERS_MAX, Math.floor(CONTROL_BYTES / RING_CONTROL_BYTES));
    this.ringSize = 2 ** Math.floor(Math.log2(SHARE_SLOTS / this.workers));
    this.#kernel = Kernel.load(options.memory, 0);
    this.#kernel.warmUp();
    this.#piscina = new Piscina({
      filename: (options.workerFile ?? new URL('./hash-worker.js', import.meta.url)).href,
      minThreads: this.workers,
      maxThreads: this.workers,
      concurrentTasksPerWorker: 1,
      // The task blocks its thread on purpose; it takes no further task while it runs.
      atomics: 'disabled',
    });
    for (let index = 0; index < this.workers; index++) this.#startRing(index);
  }

  /** Resolves when every worker has loaded and warmed its code. */
  async ready(): Promise<void> {
    await Promise.all(this.#ready);
  }

  /** Slot for the next share, or -1 when every ring is full (back-pressure: stop reading sockets). */
  nextSlot(): number {
    const ring = this.#rings[this.#current] as Ring;
    if (((ring.next - ring.settled) | 0) >= this.ringSize) return -1;
    const slot = ring.base + (ring.next & (this.ringSize - 1));
    ring.next = (ring.next + 1) | 0;
    return slot;
  }

  /**
   * Ends the batch of this event-loop turn. Small batches are validated here and now when nothing is
   * ahead of them; others are published to their worker, and the next batch goes to the least loaded.
   *
   * @param flowing the caller will come back to `drain` within a fraction of a millisecond, without a doorbell.
   */
  flush(flowing: boolean): void {
    const ring = this.#rings[this.#current] as Ring;
    const count = (ring.next - ring.head) | 0;
    if (count === 0) return;
    const idle = Atomics.load(ring.control, RING.done) === ring.head;
    if (idle && this.#costUs(count) <= (flowing ? INLINE_MAX_FLOWING_US : INLINE_MAX_US)) {
      this.#validateInline(ring, count);
      return;
    }
    ring.head = ring.next;
    Atomics.store(ring.control, RING.head, ring.head);
    const worker = Atomics.load(ring.control, RING.worker);
    if (worker === WORKER.asleep || (worker === WORKER.dozing && !flowing)) {
      Atomics.notify(ring.control, RING.head, 1);
    }
    this.#current = this.#leastLoaded();
  }

  /**
   * Calls `settle(slot)` for each validated share, in the order of submission within a ring.
   * @returns how many were settled.
   */
  drain(settle: (slot: number) => void): number {
    let settled = 0;
    for (const ring of this.#rings) {
      const done = Atomics.load(ring.control, RING.done);
      while (((done - ring.settled) | 0) > 0) {
        settle(ring.base + (ring.settled & (this.ringSize - 1)));
        ring.settled = (ring.settled + 1) | 0;
        settled++;
      }
    }
    return settled;
  }

  /** Asks for one doorbell when the outstanding work is done. Returns false when nothing is outstanding. */
  armDoorbell(): boolean {
    let outstanding = false;
    for (const ring of this.#rings) {
      if (ring.head === ring.settled) continue;
      outstanding = true;
      Atomics.store(ring.control, RING.bell, 1);
      // Finished between our drain and this line: the worker may already have looked at the bell.
      if (Atomics.load(ring.control, RING.done) === ring.head) this.#options.onDoorbell();
    }
    return outstanding;
  }

  /** Shares of the batch that is being collected. */
  get collecting(): number {
    const ring = this.#rings[this.#current] as Ring;
    return (ring.next - ring.head) | 0;
  }

  /** Shares handed out by `nextSlot` that are not settled yet. */
  get outstanding(): number {
    let sum = 0;
    for (const ring of this.#rings) sum += (ring.next - ring.settled) | 0;
    return sum;
  }

  /** Stops the workers; call after the last drain. */
  async close(): Promise<void> {
    this.#stopping = true;
    for (const ring of this.#rings) {
      Atomics.store(ring.control, RING.stop, 1);
      Atomics.notify(ring.control, RING.head, 1);
    }
    await Promise.allSettled(this.#tasks);
    for (const ring of this.#rings) ring.port.close();
    await this.#piscina.destroy();
  }

  #validateInline(ring: Ring, count: number): void {
    const startMs = performance.now();
    const offset = ring.next - count;
    const first = offset & (this.ringSize - 1);
    const head = Math.min(count, this.ringSize - first);
    this.#kernel.validate(ring.base + first, head);
    if (head < count) this.#kernel.validate(ring.base, count - head);
    // The worker is idle and reads `start` after `head`: it skips what was done here.
    ring.head = ring.next;
    Atomics.store(ring.control, RING.start, ring.head);
    Atomics.store(ring.control, RING.done, ring.head);
    Atomics.store(ring.control, RING.head, ring.head);
    if (count < LANES) return;
    const us = ((performance.now() - startMs) * 1000) / count;
    // Time that the thread was not running is no cost of a share.
    this.#shareUs += (Math.min(us, FIRST_SHARE_US * 4) - this.#shareUs) * MEASURE_WEIGHT;
  }

  /** One share is validated by scalar code at twice the price; two and three cost what four do. */
  #costUs(shares: number): number {
    return (shares === 1 ? 2 : Math.max(LANES, shares)) * this.#shareUs;
  }

  #leastLoaded(): number {
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (const [index, ring] of this.#rings.entries()) {
      const load = (ring.next - ring.settled) | 0;
      if (load < least) {
        least = load;
        best = index;
      }
    }
    return best;
  }

  #startRing(index: number): void {
    const { memory } = this.#options;
    const controlOffset = CONTROL_OFFSET + index * RING_CONTROL_BYTES;
    const control = new Int32Array(memory.buffer, controlOffset, RING_CONTROL_BYTES / 4);
    // What an earlier pool on this slab left there means nothing to this one.
    control.fill(0);
    const { port1, port2 } = new MessageChannel();
    const ring: Ring = { control, base: index * this.ringSize, next: 0, head: 0, settled: 0, port: port1 };
    this.#rings.push(ring);
    let markReady: () => void = () => {};
    this.#ready.push(
      new Promise<void>((resolve) => {
        markReady = resolve;
      }),
    );
    this.#tasks.push(this.#keepRunning(index, ring, controlOffset, port2, markReady));
  }

  /** Runs the drain task of one ring, again and again when its thread dies. */
  async #keepRunning(
    index: number,
    ring: Ring,
    controlOffset: number,
    firstPort: MessagePort,
    markReady: () => void,
  ): Promise<void> {
    let port = firstPort;
    for (;;) {
      ring.port.on('message', (message) => {
        if (message === 'ready') markReady();
        else this.#options.onDoorbell();
      });
      const task: HashWorkerTask = {
        memory: this.#options.memory,
        workerIndex: index + 1,
        controlOffset,
        base: ring.base,
        size: this.ringSize,
        port,
      };
      try {
        await this.#piscina.run(task, { transferList: [port] });
      } catch (error) {
        if (!this.#stopping) this.#options.onWorkerLost(error as Error);
      }
      if (this.#stopping) return;
      // A worker that cannot even start must not turn this into a busy loop.
      await new Promise((resolve) => setTimeout(resolve, 100));
      ring.port.close();
      const channel = new MessageChannel();
      ring.port = channel.port1;
      port = channel.port2;
      Atomics.store(ring.control, RING.worker, WORKER.awake);
    }
  }
}
