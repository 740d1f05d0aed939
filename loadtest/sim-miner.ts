// One simulated miner: its connection, its worker name, its place in the search space. It says what is
// to be hashed next (`takeSlice`) and sends what was found (`finishSlice`); when it may hash, and for
// how long, is decided by `fleet.ts`. Comes back with growing pauses when the pool is away.
import { buildHeader, type MiningJob } from './mining-job.js';
import { NonceRoller } from './nonce-roller.js';
import type { ShareLedger } from './share-ledger.js';
import { StratumClient, type SubmitAnswer } from './stratum-client.js';

export const RECONNECT_FIRST_MS = 250;
export const RECONNECT_MAX_MS = 5_000;

/** The bits that BIP 320 leaves to miners. */
const BIP320_MASK = 0x1fffe000;

const USER_AGENT = 'millrace-sim/1';

export interface SimMinerOptions {
  readonly host: string;
  readonly port: number;
  /** As authorized: `<account>.rig1`. */
  readonly workerName: string;
  /** True: negotiates version rolling and extranonce changes, as ASICs do; false: speaks as cpuminer does. */
  readonly speaksExtensions: boolean;
  readonly submitsInFlightMax: number;
  readonly ledger: ShareLedger;
  readonly clockMs: () => number;
  /** Evenly spread in [0, 1): spreads reconnects. */
  readonly random: () => number;
  /** Called when the miner may have become ready to hash. */
  readonly onReady: () => void;
  /** Called with one sentence for the person who runs this. */
  readonly onNotice: (text: string) => void;
}

/** A piece of one miner's work, given to one hash thread. */
export interface SearchSlice {
  readonly job: MiningJob;
  /** 80 bytes, nonce 0. */
  readonly header: Uint8Array;
  readonly extranonce2: Uint8Array;
  readonly versionBits: number;
  readonly versionMask: number;
  readonly firstNonce: number;
  readonly count: number;
  /** Submit slots kept free for it. */
  readonly sharesMax: number;
  /** The miner's work epoch when it was taken: later means the job is void. */
  readonly epoch: number;
}

export class SimMiner {
  readonly #options: SimMinerOptions;
  // Shares that one slice may bring; a quarter of the window keeps several threads on one miner busy.
  readonly #slotsPerSlice: number;
  readonly #roller = new NonceRoller();
  #client: StratumClient | null = null;
  #job: MiningJob | null = null;
  #authorized = false;
  #stopped = false;
  #exhausted = false;
  #epoch = 0;
  #reservedSlots = 0;
  #reconnectMs = RECONNECT_FIRST_MS;
  #reconnectTimer: NodeJS.Timeout | null = null;

  /** Hashes given to this miner so far, as the fleet's measure of whose turn it is. */
  turn = 0;
  /** Whether the fleet saw it ready when it last looked. */
  wasReady = false;

  constructor(options: SimMinerOptions) {
    this.#options = options;
    this.#slotsPerSlice = Math.max(1, Math.floor(options.submitsInFlightMax / 4));
  }

  /** Connects after `delayMs`, and again whenever the connection ends. */
  start(delayMs: number): void {
    this.#reconnectTimer = setTimeout(() => void this.#connect(), delayMs);
  }

  /** Sends no more shares; the connection stays for the answers that are due. */
  stopHashing(): void {
    this.#stopped = true;
  }

  /** Ends the connection for good. */
  close(): void {
    this.#stopped = true;
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#client?.close();
  }

  /** Authorized on a live connection. */
  get connected(): boolean {
    return this.#authorized;
  }

  /** Whether there is work to hash and room to submit what it brings. */
  get ready(): boolean {
    if (this.#stopped || this.#exhausted || !this.#authorized || this.#job === null) return false;
    return this.#freeSlots() >= this.#slotsPerSlice;
  }

  /**
   * Takes the next piece of work, at most `hashesMax` nonces (1 or more), and keeps submit slots for it.
   * It is shorter where shares are so easy that more would not fit into those slots. Null when the miner
   * is not ready or has searched everything.
   */
  takeSlice(hashesMax: number): SearchSlice | null {
    const job = this.#job;
    const client = this.#client;
    if (!this.ready || job === null || client === null) return null;
    const count = Math.max(1, Math.min(hashesMax, Math.ceil((this.#slotsPerSlice * 2) / shareChance(job))));
    const versionMask = client.versionMask;
    const range = this.#roller.next(count, job.extranonce2Bytes, versionMask);
    if (range === null) {
      this.#exhausted = true;
      return null;
    }
    // Twice the expected number and two: hardly ever too few, and then the slice just ends early.
    const sharesMax = Math.min(this.#slotsPerSlice, Math.ceil(2 * range.count * shareChance(job)) + 2);
    this.#reservedSlots += sharesMax;
    const { extranonce2, versionBits, firstNonce } = range;
    const choice = { extranonce2, versionBits, versionMask, time: job.time, nonce: 0 };
    return {
      ...{ job, extranonce2, versionBits, versionMask, firstNonce, count: range.count, sharesMax },
      header: buildHeader(job, choice),
      epoch: this.#epoch,
    };
  }

  /** Sends what a slice brought, unless its job became void meanwhile, and frees its slots. */
  finishSlice(slice: SearchSlice, nonces: readonly number[]): void {
    this.#reservedSlots -= slice.sharesMax;
    const client = this.#client;
    if (this.#stopped || client === null || slice.epoch !== this.#epoch) return;
    // A mask changed by the pool holds at once (BIP 310): shares outside of it are no longer sent.
    if (client.versionMask !== slice.versionMask) return;
    for (const nonce of nonces) {
      if (client.submitSlots <= 0) return;
      const { job, extranonce2, versionBits, versionMask } = slice;
      void client
        .submit(this.#options.workerName, job, {
          extranonce2,
          versionBits,
          versionMask,
          time: job.time,
          nonce,
        })
        .then((answer) => this.#onAnswer(answer));
    }
  }

  #freeSlots(): number {
    return (this.#client?.submitSlots ?? 0) - this.#reservedSlots;
  }

  #onAnswer(answer: SubmitAnswer): void {
    if (answer.outcome === 'rejected') {
      this.#options.onNotice(`the pool rejected a share: ${answer.code} ${answer.message}`);
    }
    if (this.ready) this.#options.onReady();
  }

  async #connect(): Promise<void> {
    const { host, port, workerName, ledger, clockMs, submitsInFlightMax } = this.#options;
    const userAgent = USER_AGENT;
    const client = new StratumClient({ host, port, userAgent, ledger, clockMs, submitsInFlightMax });
    this.#client = client;
    client.on('job', (job) => this.#onJob(job));
    client.on('fault', (what) => this.#options.onNotice(`the pool sent something odd: ${what}`));
    client.on('message', (text) => this.#options.onNotice(`the pool says: ${text}`));
    client.once('close', (reason) => this.#onClose(reason));
    try {
      await client.connect();
      if (this.#options.speaksExtensions) await client.configure(BIP320_MASK);
      await client.subscribe();
      if (this.#options.speaksExtensions) await client.subscribeExtranonce().catch(() => false);
      if (!(await client.authorize(workerName, 'x')))
        throw new Error(`the pool refused worker ${workerName}`);
      this.#authorized = true;
      this.#reconnectMs = RECONNECT_FIRST_MS;
      this.#options.onReady();
    } catch (error) {
      client.close();
      if (this.#stopped) return;
      this.#options.onNotice(`${error instanceof Error ? error.message : String(error)}; trying again`);
    }
  }

  #onJob(job: MiningJob): void {
    if (job.cleanJobs) this.#epoch++;
    this.#job = job;
    this.#exhausted = false;
    this.#options.onReady();
  }

  #onClose(reason: string): void {
    // What is still being hashed belongs to a session that is gone.
    this.#epoch++;
    this.#job = null;
    this.#client = null;
    const wasAuthorized = this.#authorized;
    this.#authorized = false;
    if (this.#stopped) return;
    if (wasAuthorized) this.#options.onNotice(`connection lost: ${reason}; trying again`);
    // Half to all of the pause, so that a fleet does not come back in one wave.
    const delayMs = this.#reconnectMs * (0.5 + this.#options.random() / 2);
    this.#reconnectMs = Math.min(this.#reconnectMs * 2, RECONNECT_MAX_MS);
    this.#reconnectTimer = setTimeout(() => void this.#connect(), delayMs);
  }
}

/** Chance that one hash is a share of this job, at most 1. */
function shareChance(job: MiningJob): number {
  return Math.min(1, 1 / (job.difficulty * 2 ** 32));
}
