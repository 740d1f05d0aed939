// Extranonce1 is leased, never drawn at random: two sessions with the same one would search the same headers and
// their shares would be each other's duplicates (random 32 bits collide among 10,000 sessions in 1 case of 86).
// A lease outlives its session until the last job that can be credited under it is dead.
//
//    31         25 24       20 19                                   0
//   |   lane (7)  | epoch (5) |             counter (20)              |   4 bytes on the wire, big-endian
//
//   lane     one per connection thread and node: they share nothing and never meet
//   epoch    another one at every start: work of the run before can still be creditable (journal, stale jobs)
//   counter  next free slot, round robin: what was given back rests longest

/** Bytes of an extranonce1. */
export const EXTRANONCE1_BYTES = 4;
/** Lanes are 0 .. LANES - 1. */
export const LANES = 1 << 7;
/** Epochs are taken modulo this. */
export const EPOCHS = 1 << 5;
/** Leases that one lane can have out at a time, resting ones included. */
export const LEASES_MAX = 1 << 20;

const COUNTER_MASK = LEASES_MAX - 1;

export interface ExtranonceLane {
  /** 0 .. LANES - 1. */
  readonly lane: number;
  /** Any whole number that grows by one each start. */
  readonly epoch: number;
}

interface Resting {
  readonly slot: number;
  readonly lastJobKey: number;
}

export class ExtranonceLeases {
  readonly #prefix: number;
  /** One bit a slot: leased or resting. 128 kB. */
  readonly #taken = new Uint32Array(LEASES_MAX / 32);
  /** One bit a slot: given back, waiting for its last job to die. */
  readonly #resting = new Uint32Array(LEASES_MAX / 32);
  /** In the order they were given back; `#restingHead` is the first still waiting. */
  #queue: Resting[] = [];
  #queueHead = 0;
  #next = 0;
  #count = 0;

  /** Throws RangeError on a lane out of range or an epoch that is no whole number. */
  constructor(settings: ExtranonceLane) {
    const { lane, epoch } = settings;
    if (!Number.isInteger(lane) || lane < 0 || lane >= LANES)
      throw new RangeError(`lane ${lane} of ${LANES}`);
    if (!Number.isSafeInteger(epoch) || epoch < 0) throw new RangeError(`epoch ${epoch} is no whole number`);
    this.#prefix = ((lane << 25) | ((epoch % EPOCHS) << 20)) >>> 0;
  }

  /** Slots that cannot be leased now: leased or resting. */
  get taken(): number {
    return this.#count;
  }

  /** An extranonce1 (4 bytes) that no other lease holds; null when all 2^20 are taken. */
  lease(): Uint8Array | null {
    const slot = this.#freeSlot();
    if (slot === null) return null;
    setBit(this.#taken, slot);
    this.#count++;
    this.#next = (slot + 1) & COUNTER_MASK;
    const bytes = new Uint8Array(EXTRANONCE1_BYTES);
    new DataView(bytes.buffer).setUint32(0, this.#prefix | slot);
    return bytes;
  }

  /**
   * Gives a lease back. It rests until `expire` says that the job `lastJobKey`, the newest its session can have worked
   * on, is dead. Keys must not fall from call to call. Throws when it is not leased here, or was given back before.
   */
  release(extranonce1: Uint8Array, lastJobKey: number): void {
    const value = new DataView(extranonce1.buffer, extranonce1.byteOffset, extranonce1.length).getUint32(0);
    const slot = value & COUNTER_MASK;
    const ours = (value & ~COUNTER_MASK) >>> 0 === this.#prefix;
    if (!ours || !hasBit(this.#taken, slot) || hasBit(this.#resting, slot)) {
      throw new Error(`extranonce1 ${value.toString(16).padStart(8, '0')} is not leased`);
    }
    setBit(this.#resting, slot);
    this.#queue.push({ slot, lastJobKey });
  }

  /** All jobs with a key below `oldestJobKey` are dead: what rested for them can be leased again. */
  expire(oldestJobKey: number): void {
    for (; this.#queueHead < this.#queue.length; this.#queueHead++) {
      const { slot, lastJobKey } = this.#queue[this.#queueHead] as Resting;
      if (lastJobKey >= oldestJobKey) break;
      clearBit(this.#taken, slot);
      clearBit(this.#resting, slot);
      this.#count--;
    }
    // Cut off what is done once it is half of the queue: constant cost per lease, memory bounded by LEASES_MAX.
    if (this.#queueHead * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead);
      this.#queueHead = 0;
    }
  }

  #freeSlot(): number | null {
    if (this.#count === LEASES_MAX) return null;
    // A whole word of 32 taken slots is one step.
    for (let slot = this.#next; ; ) {
      if (this.#taken[slot >>> 5] === 0xffffffff) slot = ((slot | 31) + 1) & COUNTER_MASK;
      else if (hasBit(this.#taken, slot)) slot = (slot + 1) & COUNTER_MASK;
      else return slot;
    }
  }
}

function hasBit(bits: Uint32Array, slot: number): boolean {
  return (((bits[slot >>> 5] as number) >>> (slot & 31)) & 1) === 1;
}

function setBit(bits: Uint32Array, slot: number): void {
  bits[slot >>> 5] = (bits[slot >>> 5] as number) | (1 << (slot & 31));
}

function clearBit(bits: Uint32Array, slot: number): void {
  bits[slot >>> 5] = (bits[slot >>> 5] as number) & ~(1 << (slot & 31));
}
