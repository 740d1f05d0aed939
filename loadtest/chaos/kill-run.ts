// The kill loop: a whole pool under load, killed and frozen part by part, then every share that a miner was answered
// `true` for is looked for in each store.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Findings } from './findings.js';
import { type Hit, KillLoop, pause, until } from './kill-loop.js';
import { Miners } from './miners.js';
import type { KillOptions } from './options.js';
import { planRounds } from './plan.js';
import { ChaosPool } from './pool.js';
import { Recovery } from './recovery.js';
import { hitLine, type KillResult } from './report.js';
import { StoresCheck } from './stores-check.js';
import { Victims } from './victims.js';

/** 4,295 hashes a share: 50 miners find 500 a second with a third of a core, and a block every 2 s. */
export const DIFFICULTY = 1e-6;
export const SHARES_PER_SECOND = 10;
const HASHES_PER_DIFFICULTY = 2 ** 32;
/** Hashes a second of a miner that finds that many shares. */
export const MINER_HASHRATE_HS = DIFFICULTY * HASHES_PER_DIFFICULTY * SHARES_PER_SECOND;
export const FIRST_START_MS = 180_000;
export const FIRST_SHARES_MS = 30_000;
/** After the last recovery miners work on, so that the end of the run is like its beginning. */
const LAST_WORK_MS = 2000;
const ANSWERS_WITHIN_MS = 20_000;
/** Counts come five times a second. */
const COUNTS_AGE_MS = 500;
const RECOVERS_WITHIN_MS = 120_000;

export type Say = (line: string) => void;

export class KillRun {
  readonly #options: KillOptions;
  readonly #folder: string;
  readonly #say: Say;
  readonly #findings = new Findings();
  readonly #recovery = new Recovery();
  readonly #hits: Hit[] = [];
  readonly #pool: ChaosPool;
  readonly #victims: Victims;
  readonly #loop: KillLoop;
  readonly #check: StoresCheck;
  #miners: Miners | null = null;
  #ports: readonly number[];
  #startsGivenUp = 0;

  constructor(options: KillOptions, folder: string, port: number, say: Say) {
    this.#options = options;
    this.#folder = folder;
    this.#say = say;
    this.#ports = Array.from({ length: options.threads }, (_, i) => port + i);
    const dataFolder = this.#dataFolder;
    mkdirSync(dataFolder);
    this.#pool = new ChaosPool({
      ...{ folder: dataFolder, logFile: join(folder, 'pool.log') },
      ...{ threads: options.threads, port, difficulty: DIFFICULTY },
      ...{ vardiff: null, faultsFile: null, onWarning: () => {} },
      onStarted: (ports) => {
        this.#ports = ports;
        this.#miners?.movedTo(ports);
      },
      onOwnEnd: (how, starting) => this.#ownEnd(how, starting),
    });
    this.#check = new StoresCheck(this.#pool, folder);
    this.#victims = new Victims(dataFolder, this.#pool);
    this.#loop = new KillLoop({
      ...{ pool: this.#pool, victims: this.#victims, recovery: this.#recovery },
      rounds: planRounds(options.seed, options.rounds),
      onHit: (hit) => {
        this.#hits.push(hit);
        if (this.#miners !== null) say(hitLine(hit, this.#miners.counts));
      },
    });
  }

  get #dataFolder(): string {
    return join(this.#folder, 'data');
  }

  async run(): Promise<KillResult> {
    const startMs = performance.now();
    this.#say('starting the pool');
    await until(() => this.#pool.started || this.#pool.starts > 1, FIRST_START_MS);
    if (!this.#pool.started) throw new Error('the pool does not start');
    const miners = this.#startMiners();
    await Promise.race([this.#work(miners), miners.failed]);
    const drainMs = performance.now();
    await Promise.race([this.#drain(miners), miners.failed]);
    const drainS = (performance.now() - drainMs) / 1000;
    await miners.end();
    this.#say('comparing the stores with the books of the miners');
    const { clickhouse, sums } = await this.#check.compareClickHouse(this.#findings);
    const { work, ...ledger } = await this.#check.auditLedger(sums, this.#findings, false);
    const code = await this.#pool.stop();
    if (code !== 0) this.#findings.add('the pool did not end in order', `exit code ${code}`);
    const journal = this.#check.compareJournal(this.#findings);
    const { faults } = miners.counts;
    if (faults > 0) this.#findings.add('what the pool must not do to a miner, in all', `${faults} faults`);
    return {
      ...{ options: this.#options, hits: this.#hits, drainS, clickhouse, journal },
      ...{ ledger: { ...ledger, work: work.toString() }, miners: miners.counts },
      ...{ starts: this.#pool.starts, startsGivenUp: this.#startsGivenUp },
      seconds: (performance.now() - startMs) / 1000,
      findings: this.#findings.list(),
    };
  }

  /** Leaves no process behind. */
  abandon(): void {
    this.#victims.release();
    this.#pool.abandon();
    this.#miners?.kill();
  }

  #startMiners(): Miners {
    const miners = new Miners(
      {
        ...{ miners: this.#options.miners, host: '127.0.0.1', ports: this.#ports },
        hashrateHs: MINER_HASHRATE_HS,
        vardiff: false,
        toldFile: join(this.#folder, 'told'),
      },
      (what) => this.#findings.add('what the pool must not do to a miner', what),
    );
    this.#miners = miners;
    return miners;
  }

  async #work(miners: Miners): Promise<void> {
    const enough = this.#options.miners * SHARES_PER_SECOND;
    if (!(await until(() => miners.counts.accepted >= enough, FIRST_SHARES_MS))) {
      throw new Error(`no share in ${FIRST_SHARES_MS / 1000} s: ${JSON.stringify(miners.counts)}`);
    }
    await this.#loop.run();
    this.#victims.release();
    if (!(await this.#loop.settle(RECOVERS_WITHIN_MS))) {
      const text = `${RECOVERS_WITHIN_MS / 1000} s after the last hit: ${this.#recovery.state(this.#pool.started)}`;
      this.#findings.add('the pool has not recovered', text);
    }
    await pause(LAST_WORK_MS);
  }

  /** Until all is answered, shipped and credited. */
  async #drain(miners: Miners): Promise<void> {
    this.#say('draining');
    await restMiners(miners, this.#findings);
    await this.#check.drain(this.#findings);
  }

  /** A start may fail when a part was taken away during it. Nothing else may end the pool. */
  #ownEnd(how: string, starting: boolean): void {
    this.#say(`      the pool ended by itself (${how})`);
    if (starting && this.#loop.childHitMs > this.#pool.spawnedAtMs) this.#startsGivenUp++;
    else this.#findings.add(`the pool ended by itself while ${starting ? 'starting' : 'running'}`, how);
  }
}

/** Until no share waits for its answer. */
export async function restMiners(miners: Miners, findings: Findings): Promise<void> {
  miners.rest();
  await pause(COUNTS_AGE_MS);
  if (await until(() => miners.counts.open === 0, ANSWERS_WITHIN_MS)) return;
  findings.add('shares without an answer', `${miners.counts.open} of them`);
}
