// The jobs that shares may name: each owns a job slot in the slab and is remembered until its work can
// no longer be credited or be a block. Jobs of an older tip stay for a while: their shares are stale, but
// a stale share is first checked for being a block.
import { JOB_SLOTS, writeJobSlot } from '../../wasm/slots.js';
import type { ShareJob } from '../shares/submission.js';
import type { JobMessage } from './thread-messages.js';

/**
 * How long a job of the current tip stays creditable once a newer one is up. Miners change over within seconds;
 * each second more is memory of the duplicate filter.
 */
const CREDITABLE_MS = 150_000;
/** Such jobs at most, when retargets make one every other second. */
const LIVE_MAX = 300;
/** Jobs of earlier tips kept for the block check. */
const STALE_MAX = 64;

export interface BoardJob extends ShareJob {
  readonly message: JobMessage;
  /** Of the coinbase as miners hash it, extranonces included. */
  readonly coinbaseBytes: number;
  /** mining.notify lines with clean_jobs false and true, newline included: the same bytes for everybody. */
  readonly notify: Buffer;
  readonly notifyClean: Buffer;
  /** Monotonic milliseconds at which a newer job was put up for all; infinite before. */
  supersededAtMs: number;
  stale: boolean;
  /** No longer on the board: its shares are answered "job not found". */
  gone: boolean;
}

export interface JobBoardOptions {
  memory: WebAssembly.Memory;
  /** Both extranonces together. */
  extranonceBytes: number;
  /** Monotonic milliseconds. */
  nowMs: () => number;
  /** The tip moved on: no share of the job is credited any more. */
  onStale: (job: BoardJob) => void;
  /** The job is gone and none of its shares is in flight. */
  onDead: (job: BoardJob) => void;
}

export class JobBoard {
  readonly #memory: WebAssembly.Memory;
  readonly #extranonceBytes: number;
  readonly #nowMs: () => number;
  readonly #onStale: (job: BoardJob) => void;
  readonly #onDead: (job: BoardJob) => void;
  readonly #byId = new Map<string, BoardJob>();
  readonly #freeSlots: number[] = [];
  /** Retired jobs whose shares are still in flight: their slot is not free yet. */
  #leaving: BoardJob[] = [];
  #current: BoardJob | null = null;

  constructor(options: JobBoardOptions) {
    this.#memory = options.memory;
    this.#extranonceBytes = options.extranonceBytes;
    this.#nowMs = options.nowMs;
    this.#onStale = options.onStale;
    this.#onDead = options.onDead;
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

  /**
   * Puts a job up. Jobs of another tip become stale. `forAll`: every session gets it, so that the jobs before
   * it have been replaced for everybody.
   * @throws RangeError when the job breaks a limit of the share path; nothing has changed then.
   */
  add(message: JobMessage, forAll: boolean): BoardJob {
    this.#sweep();
    const slot = this.#freeSlots.pop();
    // LIVE_MAX + STALE_MAX is far below JOB_SLOTS; only shares that never settle could lead here.
    if (slot === undefined) throw new Error('every job slot is in use: shares of dead jobs never settled');
    try {
      writeJobSlot(this.#memory, slot, {
        coinbase1: message.coinbase1,
        coinbase2: message.coinbase2,
        branch: message.branch,
        previousBlock: message.previousBlock,
        bits: message.bits,
        networkTargetLE: message.networkTargetLE,
      });
    } catch (error) {
      this.#freeSlots.push(slot);
      throw error;
    }
    const job: BoardJob = {
      key: message.key,
      slot,
      inFlight: 0,
      message,
      coinbaseBytes: message.coinbase1.length + this.#extranonceBytes + message.coinbase2.length,
      notify: Buffer.from(message.notify, 'latin1'),
      notifyClean: Buffer.from(message.notifyClean, 'latin1'),
      supersededAtMs: Number.POSITIVE_INFINITY,
      stale: false,
      gone: false,
    };
    for (const other of this.#byId.values()) {
      if (other.stale || other.message.previousBlockHash === message.previousBlockHash) continue;
      other.stale = true;
      this.#onStale(other);
    }
    if (forAll) {
      const now = this.#nowMs();
      for (const other of this.#byId.values()) other.supersededAtMs = Math.min(other.supersededAtMs, now);
    }
    this.#byId.set(message.id, job);
    this.#current = job;
    this.#retireBeyond(true, STALE_MAX);
    this.#retireBeyond(false, LIVE_MAX);
    this.retireOld();
    return job;
  }

  /** Takes down jobs whose time to be credited is over; to be called now and then. */
  retireOld(): void {
    const before = this.#nowMs() - CREDITABLE_MS;
    for (const job of this.#byId.values()) if (!job.stale && job.supersededAtMs < before) this.#retire(job);
    this.#sweep();
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

  #retireBeyond(stale: boolean, keep: number): void {
    const jobs = [...this.#byId.values()].filter((job) => job.stale === stale);
    for (const job of jobs.slice(0, Math.max(0, jobs.length - keep))) this.#retire(job);
    this.#sweep();
  }

  #retire(job: BoardJob): void {
    this.#byId.delete(job.message.id);
    job.gone = true;
    this.#leaving.push(job);
  }
}
