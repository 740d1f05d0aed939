// The round that the whole pool is in: how many block candidates were found so far. All connection threads
// share it, so that shares of different journals have one order where it matters: before or after a block.
// Written by the journal writers; memory shared between threads, nothing on disk (writer.ts recovers it).

const ROUND_MAX = 0xffff_ffff;

export class RoundCounter {
  /** 4 bytes, one u32. To be handed to other threads: `new RoundCounter(memory)` there is the same counter. */
  readonly memory: SharedArrayBuffer;
  readonly #round: Uint32Array;

  /** `memory`: that of a counter in another thread; absent: a counter of its own, at round 0. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.#round = new Uint32Array(memory);
  }

  /** The round that a share appended now belongs to. Never falls. */
  current(): number {
    return Atomics.load(this.#round, 0);
  }

  /** Closes the present round: returns it, to its block alone, and moves on to the one after. */
  next(): number {
    const taken = Atomics.add(this.#round, 0, 1);
    if (taken === ROUND_MAX) throw new RangeError('the pool has counted 2^32 rounds');
    return taken;
  }

  /** Moves on to round `round`, unless the counter is there or further. */
  raiseTo(round: number): void {
    if (!Number.isInteger(round) || round < 0 || round > ROUND_MAX) {
      throw new RangeError(`${round} is no round`);
    }
    let seen = this.current();
    while (seen < round) {
      const before = Atomics.compareExchange(this.#round, 0, seen, round);
      if (before === seen) return;
      seen = before;
    }
  }
}
