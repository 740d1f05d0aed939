// The kill loop: a whole pool under load, killed and frozen part by part, then every share that a miner was answered
// `true` for is looked for in each store. `node dist/loadtest/chaos/main.js --help`
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeRpc } from '../../engine/node/rpc.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import type { Database } from '../../storage/postgres/connection.js';
import { requireProcFiles } from '../bench/process-usage.js';
import { type ComparedCounts, Comparison } from '../soak/comparison.js';
import { Differences } from '../soak/differences.js';
import { findJournals, readJournal } from '../soak/journal-shares.js';
import { readToldShares } from '../soak/told-shares.js';
import { type ClickHouseSums, compareRollups, readClickHouse } from './clickhouse-rows.js';
import { Findings } from './findings.js';
import { type Hit, KillLoop, pause, until } from './kill-loop.js';
import { auditLedger, type LedgerCounts, openBlocks, openLedger } from './ledger-rows.js';
import { Miners } from './miners.js';
import { HELP, type KillOptions, readOptions, UsageError } from './options.js';
import { planRounds } from './plan.js';
import { ChaosPool } from './pool.js';
import { Recovery } from './recovery.js';
import { hitLine, type KillResult, resultTable } from './report.js';
import { Victims } from './victims.js';

/** 4,295 hashes a share: 50 miners find 500 a second with a third of a core, and a block every 2 s. */
const DIFFICULTY = 1e-6;
const HASHES_PER_DIFFICULTY = 2 ** 32;
const SHARES_PER_SECOND = 10;
const FIRST_START_MS = 180_000;
const FIRST_SHARES_MS = 30_000;
/** After the last recovery miners work on, so that the end of the run is like its beginning. */
const LAST_WORK_MS = 2000;
const ANSWERS_WITHIN_MS = 20_000;
const RECOVERS_WITHIN_MS = 120_000;
const DRAINS_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;

type Say = (line: string) => void;

class KillRun {
  readonly #options: KillOptions;
  readonly #folder: string;
  readonly #say: Say;
  readonly #findings = new Findings();
  readonly #recovery = new Recovery();
  readonly #hits: Hit[] = [];
  readonly #pool: ChaosPool;
  readonly #victims: Victims;
  readonly #loop: KillLoop;
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
      onStarted: (ports) => {
        this.#ports = ports;
        this.#miners?.movedTo(ports);
      },
      onOwnEnd: (how, starting) => this.#ownEnd(how, starting),
    });
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
    const { clickhouse, sums } = await this.#compareClickHouse();
    const { work, ...ledger } = await this.#auditLedger(sums);
    const code = await this.#pool.stop();
    if (code !== 0) this.#findings.add('the pool did not end in order', `exit code ${code}`);
    const journal = this.#compareJournal();
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
    this.#victims.thawAll();
    this.#pool.abandon();
    this.#miners?.kill();
  }

  #startMiners(): Miners {
    const miners = new Miners(
      {
        ...{ miners: this.#options.miners, host: '127.0.0.1', ports: this.#ports },
        hashrateHs: DIFFICULTY * HASHES_PER_DIFFICULTY * SHARES_PER_SECOND,
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
    this.#victims.thawAll();
    if (!(await this.#loop.settle(RECOVERS_WITHIN_MS))) {
      const text = `${RECOVERS_WITHIN_MS / 1000} s after the last hit: ${this.#recovery.state(this.#pool.started)}`;
      this.#findings.add('the pool has not recovered', text);
    }
    await pause(LAST_WORK_MS);
  }

  /** Until all is answered, shipped and credited. */
  async #drain(miners: Miners): Promise<void> {
    this.#say('draining');
    miners.rest();
    await pause(LOOK_EVERY_MS);
    if (!(await until(() => miners.counts.open === 0, ANSWERS_WITHIN_MS))) {
      this.#findings.add('shares without an answer', `${miners.counts.open} of them`);
    }
    const ledger = openLedger(this.#dataFolder);
    const node = this.#pool.openNode();
    try {
      const end = performance.now() + DRAINS_WITHIN_MS;
      for (;;) {
        const left = await this.#undrained(ledger, node);
        if (left === null) return;
        if (performance.now() > end) {
          this.#findings.add(`not drained within ${DRAINS_WITHIN_MS / 1000} s`, left);
          return;
        }
        await pause(LOOK_EVERY_MS);
      }
    } finally {
      node.close();
      await ledger.end({ timeout: 2 });
    }
  }

  /** What is still on its way, in words; null when nothing is. */
  async #undrained(ledger: Database, node: NodeRpc): Promise<string | null> {
    const snapshot = await this.#pool.stats();
    if (snapshot === null) return 'the pool does not answer';
    const { answered_true, clickhouse_rows, postgres_accepted, difference } = snapshot.shares;
    const behind = snapshot.pipelines.filter(({ lag, state }) => lag > 0 || state !== 'ok');
    const isEqual = clickhouse_rows === answered_true && postgres_accepted === answered_true;
    if (behind.length > 0 || difference !== 0 || !isEqual) {
      return JSON.stringify({ ...snapshot.shares, verdicts: undefined, behind });
    }
    const open = await openBlocks(ledger, node);
    return open === 0 ? null : `${open} blocks are not credited`;
  }

  async #compareClickHouse(): Promise<{ clickhouse: ComparedCounts; sums: ClickHouseSums }> {
    const differences = new Differences();
    const comparison = new Comparison(differences);
    const sums = await readClickHouse(this.#pool.clickhouse, this.#findings, (share) =>
      comparison.addJournaled(share),
    );
    const clickhouse = this.#finish(comparison);
    this.#findings.addAll(differences.list(), 'ClickHouse');
    await compareRollups(this.#pool.clickhouse, sums, this.#findings);
    return { clickhouse, sums };
  }

  async #auditLedger(sums: ClickHouseSums): Promise<LedgerCounts> {
    const ledger = openLedger(this.#dataFolder);
    const node = this.#pool.openNode();
    try {
      return await auditLedger(ledger, node, sums, this.#findings);
    } finally {
      node.close();
      await ledger.end({ timeout: 2 });
    }
  }

  /** Only once nobody writes it any more. */
  #compareJournal(): ComparedCounts {
    const differences = new Differences();
    const comparison = new Comparison(differences);
    for (const folder of findJournals(this.#dataFolder)) {
      readJournal(folder, differences, (share) => comparison.addJournaled(share));
    }
    const journal = this.#finish(comparison);
    this.#findings.addAll(differences.list(), 'the journal');
    return journal;
  }

  #finish(comparison: Comparison): ComparedCounts {
    for (const share of readToldShares(join(this.#folder, 'told'))) comparison.addTold(share);
    return comparison.finish(null);
  }

  /** A start may fail when a part was taken away during it. Nothing else may end the pool. */
  #ownEnd(how: string, starting: boolean): void {
    this.#say(`      the pool ended by itself (${how})`);
    if (starting && this.#loop.childHitMs > this.#pool.spawnedAtMs) this.#startsGivenUp++;
    else this.#findings.add(`the pool ended by itself while ${starting ? 'starting' : 'running'}`, how);
  }
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(HELP);
    return;
  }
  requireProcFiles();
  const folder = mkdtempSync(join(tmpdir(), 'millrace-chaos-'));
  const run = new KillRun(options, folder, await findFreePort(), (line) => process.stderr.write(`${line}\n`));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      run.abandon();
      process.exit(1);
    });
  }
  let isClean = false;
  try {
    const result = await run.run();
    process.stdout.write(`${resultTable(result)}\n`);
    if (options.jsonFile !== null) writeFileSync(options.jsonFile, `${JSON.stringify(result, null, 2)}\n`);
    isClean = result.findings.length === 0;
  } finally {
    run.abandon();
    if (isClean) rmSync(folder, { recursive: true });
    else {
      process.exitCode = 1;
      process.stdout.write(`\nData folder, log and books are kept in ${folder}\n`);
    }
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    error instanceof UsageError
      ? `${error.message}. See --help.\n`
      : `the kill loop failed: ${(error as Error).stack}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
