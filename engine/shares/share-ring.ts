// Counters of one ring in the CONTROL region of the slab, shared by the connection thread (producer) and
// one hash worker (consumer). Positions only grow (mod 2^32); a position's slot is base + position % size.
//
//        done            head            next (producer's own)
//   ──────┴───────────────┴───────────────┴──────►  position
//   results to settle │ being validated │ being filled
//
// One 64-byte line per counter that two threads write, so that neither slows the other.

export const RING_CONTROL_BYTES = 256;

/** Int32 offsets inside a ring's control block. */
export const RING = {
  /** Published by the producer: records below it may be validated. */
  head: 0,
  /** Where validation resumes; moved by the producer only while the ring is empty (inline batches). */
  start: 1,
  /** Published by the worker: records below it are validated. */
  done: 16,
  /** A value of WORKER: what a producer must do for new records to be seen. */
  worker: 32,
  /** 1 when the producer wants one message at the end of the batch. */
  bell: 48,
  /** 1 asks the worker to return. */
  stop: 49,
} as const;

/** States of a hash worker. A dozing one looks at `head` by itself every DOZE_MS; a sleeping one must be woken. */
export const WORKER = { awake: 0, dozing: 1, asleep: 2 } as const;

/** What a hash worker is started with. */
export interface HashWorkerTask {
  memory: WebAssembly.Memory;
  /** 1.. ; 0 is the connection thread's own kernel. */
  workerIndex: number;
  /** Byte offset of the ring's control block in `memory`. */
  controlOffset: number;
  /** First share slot of the ring. */
  base: number;
  /** Slots in the ring, a power of two. */
  size: number;
  /** The doorbell: a message here wakes the connection thread. */
  port: import('node:worker_threads').MessagePort;
}
