// A pool under attack: the connection thread as a worker, with hash workers and journal, fed with synthetic jobs on
// which every hash is a share. Miners come through a balancer (PROXY header), so that a test can play any address.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { JobMaker } from '../../engine/job-maker.js';
import { type AdmissionCaps, defaultCaps } from '../../engine/stratum/admission.js';
import type {
  ConnectionThreadSettings,
  ConnectionThreadStats,
  FromConnectionThread,
  ToConnectionThread,
} from '../../engine/stratum/thread-messages.js';
import type { BlockTemplate } from '../../engine/work/template.js';
import { benchTemplate } from '../../loadtest/bench/stratum-template.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { ADDRESS, AttackMiner } from './stratum-attack-miner.js';
import type { InjectedFaults } from './stratum-attack-thread.js';

const EVERY_HASH = 1e-10;
const WAIT_MS = 15_000;
const MERKLE_BRANCHES = 12;

export interface AttackedPoolOptions {
  readonly caps?: Partial<AdmissionCaps>;
  readonly banSeconds?: number;
  readonly extranoncesMax?: number;
}

export class AttackedPool {
  port = 0;
  /** What must never happen: the thread died or threw, or logged an error. */
  readonly faults: string[] = [];
  #stats: ConnectionThreadStats | null = null;
  readonly #folder = mkdtempSync(join(tmpdir(), 'millrace-attacks-'));
  readonly #ahead = new Float64Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;
  readonly #jobs: JobMaker;
  #template: BlockTemplate;
  #nextKey = 1;
  #tip = 0;
  #listening: () => void = () => {};
  #drained = false;

  private constructor(options: AttackedPoolOptions) {
    const faults: InjectedFaults = {
      clockAhead: this.#ahead.buffer as SharedArrayBuffer,
      extranoncesMax: options.extranoncesMax ?? Number.POSITIVE_INFINITY,
    };
    this.#worker = new Worker(new URL('./stratum-attack-thread.js', import.meta.url), {
      name: 'connections',
      workerData: { ...threadSettings(options, this.#folder), faults },
    });
    this.#jobs = new JobMaker({
      ...{ script: scriptFromAddress(ADDRESS, 'regtest'), tag: 'attacked' },
      ...{ extranonce1Bytes: 4, extranonce2Bytes: 8, keys: { next: () => this.#nextKey++ } },
    });
    this.#template = this.#newTemplate();
    // Also where a promise of the thread is rejected and nobody looks.
    this.#worker.on('error', (error) => this.faults.push(`the thread threw: ${error.stack}`));
    this.#worker.on('exit', () => {
      if (!this.#drained) this.faults.push('the thread ended');
    });
    this.#worker.on('message', (message: FromConnectionThread) => this.#hear(message));
  }

  static async start(options: AttackedPoolOptions = {}): Promise<AttackedPool> {
    const pool = new AttackedPool(options);
    const listening = new Promise<void>((resolve) => {
      pool.#listening = resolve;
    });
    await Promise.race([listening, sleep(WAIT_MS)]);
    if (pool.port === 0) throw new Error(`the thread does not listen: ${pool.faults.join('; ')}`);
    pool.putUp();
    return pool;
  }

  /** Resolves when the thread has told a newer state than at the call. */
  async stats(): Promise<ConnectionThreadStats> {
    const before = this.#stats;
    await this.#until(() => this.#stats !== before, 'no news of the thread');
    return this.#stats as ConnectionThreadStats;
  }

  /** Connections closed or refused so far for this reason. */
  async closedFor(reason: string): Promise<number> {
    return (await this.stats()).closed[reason] ?? 0;
  }

  /** The monotonic clock of the thread jumps ahead. */
  advance(ms: number): void {
    this.#ahead[0] = (this.#ahead[0] as number) + ms;
  }

  /** Another job of the same tip for everybody. @returns its id */
  putUp(): string {
    const job = this.#jobs.make(this.#template);
    this.#post({ type: 'job', job, audience: 'all', spread: false, tipSeenAtMs: null });
    return job.id;
  }

  newTip(): void {
    this.#tip++;
    this.#template = this.#newTemplate();
    this.putUp();
  }

  /** A connection from that address. Loopback: held by the cap of the whole pool alone. */
  connect(from = '127.0.0.1'): Promise<AttackMiner> {
    return AttackMiner.connect(this.port, from);
  }

  /** A connection that is subscribed, authorized and has a job. */
  async miner(from?: string, worker?: string): Promise<AttackMiner> {
    const miner = await this.connect(from);
    await miner.mine(worker);
    return miner;
  }

  /** Who comes now is served: its share is accepted. */
  async probe(): Promise<void> {
    const miner = await this.miner('127.0.0.1', 'probe');
    const { result, error } = await miner.share();
    if (result !== true) throw new Error(`the share of a probe was refused: ${JSON.stringify(error)}`);
    miner.leave();
  }

  async stop(): Promise<void> {
    this.#post({ type: 'drain' });
    await this.#until(() => this.#drained || this.faults.length > 0, 'the thread does not drain');
    await this.#worker.terminate();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #hear(message: FromConnectionThread): void {
    switch (message.type) {
      case 'listening':
        this.port = message.ports[0]?.port ?? 0;
        this.#listening();
        break;
      case 'stats':
        this.#stats = message.stats;
        break;
      case 'need_job':
        this.#post({
          ...{ type: 'job', job: this.#jobs.make(this.#template), audience: 'retarget' },
          ...{ spread: false, tipSeenAtMs: null },
        });
        break;
      case 'log':
        if (message.level === 'error') this.faults.push(message.message);
        break;
      case 'failed':
        this.faults.push(message.reason);
        this.#listening();
        break;
      case 'drained':
        this.#drained = true;
        break;
      default:
    }
  }

  async #until(wanted: () => boolean, otherwise: string): Promise<void> {
    for (const end = performance.now() + WAIT_MS; !wanted(); ) {
      if (performance.now() > end) throw new Error([otherwise, ...this.faults].join('; '));
      await sleep(5);
    }
  }

  #newTemplate(): BlockTemplate {
    return benchTemplate(MERKLE_BRANCHES, this.#tip, Math.floor(Date.now() / 1000));
  }

  #post(message: ToConnectionThread): void {
    this.#worker.postMessage(message);
  }
}

function threadSettings(options: AttackedPoolOptions, journalFolder: string): ConnectionThreadSettings {
  return {
    host: '127.0.0.1',
    ports: [
      {
        ...{ name: 'attacked', port: 0, kind: 'tcp' },
        ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
      },
    ],
    ...{ tls: null, proxyFrom: ['127.0.0.1'], reusePort: false },
    network: 'regtest',
    software: 'millrace/test',
    caps: { ...defaultCaps(20_000), ...options.caps },
    banSeconds: options.banSeconds ?? 0,
    shareDifficulty: EVERY_HASH,
    vardiff: { enabled: false, sharesPerMinute: 18, floor: EVERY_HASH, ceiling: 1e15, powersOfTwo: false },
    duplicateFilterEntries: 2_000_000,
    hashWorkers: 1,
    journalFolder,
    nodeId: 1,
    rounds: new RoundCounter().memory,
    ...{ lane: 0, epoch: 1 },
    extranonce2Bytes: 8,
  };
}
