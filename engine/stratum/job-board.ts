// The jobs that shares may name: each owns a job slot in the slab and is remembered until its work can
// no longer be credited or be a block. Jobs of an older tip stay for a while: their shares are stale, but
// a stale share is first checked for being a block.
import { JOB_SLOTS, writeJobSlot } from '../../wasm/slots.js';
import type { ShareJob } from '../shares/share-path.js';
import type { JobMessage } from './thread-messages.js';

/** Jobs of the current tip that stay creditable: ten minutes even when each retarget makes one. */
const LIVE_MAX = 300;
/** Jobs of earlier tips kept for the block check. */
const STALE_MAX = 64;

export interface BoardJob extends ShareJob {
  readonly message: JobMessage;
  stale: boolean;
  /** No longer on the board: its shares are answered "job not found". */
  gone: boolean;
}

export class JobBoard {
  readonly #memory: WebAssembly.Memory;
  readonly #onDead: (job: BoardJob) => void;
  readonly #byId = new Map<string, BoardJob>();
  readonly #freeSlots: number[] = [];
  /** Retired jobs whose shares are still in flight: their slot is not free yet. */
  #leaving: BoardJob[] = [];
  #current: BoardJob | null = null;

  /** `onDead`: the job is gone and none of its shares is in flight. */
  constructor(memory: WebAssembly.Memory, onDead: (job: BoardJob) => void) {
    this.#memory = memory;
    this.#onDead = onDead;
    for (let slot = JOB_SLOTS - 1; slot >= 0; slot--) this.#freeSlots.push(slot);
  }

  /** The newest job, or null before the first template. */
  get current(): BoardJob | null {
    return this.#current;
  }

  /** Key of the oldest job that is not forgotten; 0 before the first. */
  get oldestKey(): number {
    const [oldest] = this.#byId.values();
    return oldest?.key ?? 0;
  }

  find(id: string): BoardJob | undefined {
    return this.#byId.get(id);
  }

  /** Puts a job up. Jobs of another tip become stale. */
  add(message: JobMessage): BoardJob {
    this.#sweep();
    const slot = this.#freeSlots.pop();
    // LIVE_MAX + STALE_MAX is far below JOB_SLOTS; only shares that never settle could lead here.
    if (slot === undefined) throw new Error('every job slot is in use: shares of dead jobs never settled');
    writeJobSlot(this.#memory, slot, {
      coinbase1: message.coinbase1,
      coinbase2: message.coinbase2,
      branch: message.branch,
      previousBlock: message.previousBlock,
      bits: message.bits,
      networkTargetLE: message.networkTargetLE,
    });
    const job: BoardJob = { key: message.key, slot, inFlight: 0, message, stale: false, gone: false };
    for (const other of this.#byId.values()) {
      if (other.message.previousBlockHash !== message.previousBlockHash) other.stale = true;
    }
    this.#byId.set(message.id, job);
    this.#current = job;
    this.#retire(true, STALE_MAX);
    this.#retire(false, LIVE_MAX);
    return job;
  }

  /** Frees slots of retired jobs whose last share has been settled. */
  #sweep(): void {
    this.#leaving = this.#leaving.filter((job) => {
      if (job.inFlight > 0) return true;
      this.#freeSlots.push(job.slot);
      this.#onDead(job);
      return false;
    });
  }

  #retire(stale: boolean, keep: number): void {
    const jobs = [...this.#byId.values()].filter((job) => job.stale === stale);
    for (const job of jobs.slice(0, Math.max(0, jobs.length - keep))) {
      this.#byId.delete(job.message.id);
      job.gone = true;
      this.#leaving.push(job);
    }
    this.#sweep();
  }
}
