// A fleet of simulated miners that share the machine's hash threads. Work is given out in short slices:
// the miner that hashed least goes next, a token bucket holds the sum to the set rate, and a slice is so
// short that a new tip is on all threads within 20 ms. Used by `sim-miners.ts`.
//
//   SimMiner ──takeSlice──► fleet ──HashTask──► hash thread (two slices each: one running, one waiting)
//      ▲                                           │
//      └──────finishSlice (submit)◄──HashResult────┘
import { Worker } from 'node:worker_threads';
import type { HashResult, HashTask } from './hash-task.js';
import { type LedgerTotals, ShareLedger } from './share-ledger.js';
import { type SearchSlice, SimMiner } from './sim-miner.js';
import { TokenBucket } from './token-bucket.js';

/** Time that one slice takes on an unthrottled thread. */
const SLICE_MS = 10;
const SLICES_PER_THREAD = 2;

/** First guess of a thread's speed; corrected with every result. */
const FIRST_GUESS_HS = 1_000_000;

/** Part of a second's hashes in one slice of a throttled fleet: 50 slices a second. */
const THROTTLED_SLICE_SECONDS = 0.02;

/** A timer cannot wait for more than 24 days, which a tiny hash rate would ask for. */
const LOOK_AGAIN_MS = 60_000;

/** Between the first connections of two miners, so that a large fleet does not overrun a listen backlog. */
const CONNECT_SPACING_MS = 2;

/** Time given to the pool at the end to answer what was sent. */
const LAST_ANSWERS_MS = 500;

export interface FleetOptions {
  readonly host: string;
  readonly port: number;
  readonly miners: number;
  /** Payout addresses or account names, taken in turn. */
  readonly accounts: readonly string[];
  /** Hashes per second of the whole fleet; null: as fast as the machine allows. */
  readonly hashrateHs: number | null;
  readonly threads: number;
  /** Most unanswered shares of each connection. */
  readonly submitsInFlightMax: number;
  readonly clockMs: () => number;
  readonly random: () => number;
  /** One sentence for the person who runs this. */
  readonly onNotice: (text: string) => void;
  /** A hash thread died: nothing can go on. */
  readonly onFatal: (error: Error) => void;
}

export interface FleetTotals extends LedgerTotals {
  readonly miners: number;
  readonly connected: number;
  /** Nonces tried. */
  readonly hashes: number;
}

interface HashThread {
  readonly worker: Worker;
  slicesInFlight: number;
  hashesPerMs: number;
}

interface SliceInFlight {
  readonly miner: SimMiner;
  readonly slice: SearchSlice;
  readonly thread: HashThread;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #bucket: TokenBucket;
  readonly #miners: SimMiner[] = [];
  readonly #ledgers: ShareLedger[] = [];
  readonly #threads: HashThread[] = [];
  readonly #inFlight = new Map<number, SliceInFlight>();
  #nextTaskId = 1;
  #hashes = 0;
  #turnFloor = 0;
  #stopped = false;
  #pumpIsDue = false;
  #tokenTimer: NodeJS.Timeout | null = null;

  /** Builds the miners; nothing runs before `start`. */
  constructor(options: FleetOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options.hashrateHs, options.clockMs);
    const names = workerNames(options.accounts, options.miners);
    for (const [index, workerName] of names.entries()) {
      const ledger = new ShareLedger();
      const { host, port, submitsInFlightMax, clockMs, random, onNotice } = options;
      this.#ledgers.push(ledger);
      this.#miners.push(
        new SimMiner({
          ...{ host, port, workerName, submitsInFlightMax, ledger, clockMs, random },
          // Every second miner is an ASIC by its manners, the others are plain.
          speaksExtensions: index % 2 === 1,
          onReady: () => this.#pumpSoon(),
          onNotice: (text) => onNotice(`${workerName}: ${text}`),
        }),
      );
    }
  }

  /** Starts the hash threads and the connections. */
  start(): void {
    for (let i = 0; i < this.#options.threads; i++) this.#startThread();
    for (const [index, miner] of this.#miners.entries()) miner.start(index * CONNECT_SPACING_MS);
  }

  /** Changes the hash rate of the whole fleet from now on; null: as fast as the machine allows. */
  setHashrate(hashrateHs: number | null): void {
    this.#bucket.setRate(hashrateHs);
    this.#pumpSoon();
  }

  totals(): FleetTotals {
    const sum = new ShareLedger();
    for (const ledger of this.#ledgers) sum.add(ledger.totals());
    let connected = 0;
    for (const miner of this.#miners) if (miner.connected) connected++;
    return { ...sum.totals(), miners: this.#miners.length, connected, hashes: this.#hashes };
  }

  /** Stops hashing, waits up to 0.5 s for the answers that are due, ends connections and threads. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#tokenTimer !== null) clearTimeout(this.#tokenTimer);
    for (const miner of this.#miners) miner.stopHashing();
    const deadlineMs = this.#options.clockMs() + LAST_ANSWERS_MS;
    while (this.#options.clockMs() < deadlineMs && this.#ledgers.some((ledger) => ledger.pending > 0)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const miner of this.#miners) miner.close();
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #startThread(): void {
    const worker = new Worker(new URL('./hash-thread.js', import.meta.url));
    const thread: HashThread = { worker, slicesInFlight: 0, hashesPerMs: FIRST_GUESS_HS / 1000 };
    worker.on('message', (result: HashResult) => this.#onResult(result));
    worker.on('error', (error) => this.#options.onFatal(error));
    this.#threads.push(thread);
  }

  #onResult(result: HashResult): void {
    const found = this.#inFlight.get(result.id);
    if (found === undefined) throw new Error(`result of a slice ${result.id} that was never given out`);
    this.#inFlight.delete(result.id);
    const { miner, slice, thread } = found;
    const unused = slice.count - result.hashes;
    thread.slicesInFlight--;
    // Tiny slices measure the call, not the speed.
    if (result.elapsedMs > SLICE_MS / 10) {
      thread.hashesPerMs += (result.hashes / result.elapsedMs - thread.hashesPerMs) / 4;
    }
    this.#hashes += result.hashes;
    this.#bucket.giveBack(unused);
    miner.turn -= unused;
    miner.finishSlice(slice, result.nonces);
    this.#pump();
  }

  // Many answers and jobs come in one loop turn; one look at the fleet serves them all.
  #pumpSoon(): void {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#stopped) {
      const thread = this.#freeThread();
      if (thread === null) return;
      const miner = this.#nextMiner();
      if (miner === null) return;
      const wanted = this.#sliceHashes(thread);
      if (!this.#bucket.tryTake(wanted)) {
        this.#pumpWhenPaid(wanted);
        return;
      }
      const slice = miner.takeSlice(wanted);
      this.#bucket.giveBack(wanted - (slice?.count ?? 0));
      if (slice !== null) this.#giveOut(thread, miner, slice);
    }
  }

  #giveOut(thread: HashThread, miner: SimMiner, slice: SearchSlice): void {
    const id = this.#nextTaskId++;
    const { header, firstNonce, count, sharesMax } = slice;
    const task: HashTask = { id, header, targetLE: slice.job.targetLE, firstNonce, count, sharesMax };
    this.#inFlight.set(id, { miner, slice, thread });
    thread.slicesInFlight++;
    miner.turn += count;
    thread.worker.postMessage(task);
  }

  #pumpWhenPaid(hashes: number): void {
    if (this.#tokenTimer !== null) clearTimeout(this.#tokenTimer);
    const waitMs = Math.ceil(this.#bucket.waitMs(hashes));
    this.#tokenTimer = setTimeout(() => this.#pump(), Math.min(Math.max(1, waitMs), LOOK_AGAIN_MS));
  }

  #freeThread(): HashThread | null {
    let best: HashThread | null = null;
    for (const thread of this.#threads) {
      if (thread.slicesInFlight >= SLICES_PER_THREAD) continue;
      if (best === null || thread.slicesInFlight < best.slicesInFlight) best = thread;
    }
    return best;
  }

  #nextMiner(): SimMiner | null {
    let best: SimMiner | null = null;
    for (const miner of this.#miners) {
      const ready = miner.ready;
      // Who was away gets no turns for the time it missed, or it would starve all others.
      if (ready && !miner.wasReady) miner.turn = Math.max(miner.turn, this.#turnFloor);
      miner.wasReady = ready;
      if (ready && (best === null || miner.turn < best.turn)) best = miner;
    }
    if (best !== null) this.#turnFloor = Math.max(this.#turnFloor, best.turn);
    return best;
  }

  #sliceHashes(thread: HashThread): number {
    const fits = Math.max(1, Math.floor(thread.hashesPerMs * SLICE_MS));
    const rate = this.#bucket.ratePerSecond;
    return rate === null ? fits : Math.max(1, Math.min(fits, Math.floor(rate * THROTTLED_SLICE_SECONDS)));
  }
}

/** `<account>.rig1`, ... for `miners` miners that take the accounts in turn. */
export function workerNames(accounts: readonly string[], miners: number): string[] {
  return Array.from({ length: miners }, (_, index) => {
    const account = accounts[index % accounts.length];
    if (account === undefined) throw new RangeError('a fleet needs at least one account');
    return `${account}.rig${Math.floor(index / accounts.length) + 1}`;
  });
}
