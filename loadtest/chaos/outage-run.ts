// The outage run: one pool under load, one outage after the other, and after each the check of all stores. What is
// measured of each is what a miner and an operator would notice.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import { findLanes } from '../../storage/journal/lanes.js';
import { seededRandom } from '../soak/seeded-random.js';
import { RETARGET_MAX } from './answer-times.js';
import { timeSpanMs } from './clickhouse-rows.js';
import { FaultSwitch } from './faults.js';
import { Findings } from './findings.js';
import { FullDisk } from './full-disk.js';
import { pause, until } from './kill-loop.js';
import {
  DIFFICULTY,
  FIRST_SHARES_MS,
  FIRST_START_MS,
  MINER_HASHRATE_HS,
  restMiners,
  type Say,
  SHARES_PER_SECOND,
} from './kill-run.js';
import { Miners } from './miners.js';
import type { OutageOptions } from './options.js';
import { type OutageResult, type ScenarioResult, scenarioLine } from './outage-report.js';
import { ChaosPool } from './pool.js';
import { CLOCK_SPAN_MS, type Scenario, scenario } from './scenarios.js';
import { StoresCheck } from './stores-check.js';
import { Victims } from './victims.js';

/** A miner without an accepted share for longer says that mining stopped. */
const GAP_MAX_MS = 5000;
/** Of the miners: a clock moves all of them, a busy machine a few. */
const LEAPS_MAX = 0.2;
/** Before and after each outage the same load is measured for this long, or for the outage's own length. */
const AROUND_MS_MAX = 10_000;
const JITTER_MS_MAX = 1000;
const CATCHES_UP_WITHIN_MS = 180_000;
/** Shares on their way to a store when all is well, twice over. */
const LAG_MAX_SHARES = 1000;
const LOOK_EVERY_MS = 100;
const WARNINGS_KEPT = 30;
const STEADY_LOOK_MS = 1500;
const STEADY_LOOKS_MAX = 12;
/** Chance alone moves a few miners by less. */
const STEADY_RATIO = 1.6;

export class OutageRun {
  readonly #options: OutageOptions;
  readonly #folder: string;
  readonly #say: Say;
  readonly #pool: ChaosPool;
  readonly #victims: Victims;
  readonly #faults: FaultSwitch;
  readonly #disk: FullDisk | null;
  readonly #check: StoresCheck;
  readonly #random: () => number;
  /** Of the scenario that runs. */
  #findings = new Findings();
  #warnings = new Map<string, number>();
  #miners: Miners | null = null;
  #ports: readonly number[];

  constructor(options: OutageOptions, folder: string, port: number, say: Say) {
    this.#options = options;
    this.#folder = folder;
    this.#say = say;
    this.#random = seededRandom(options.seed);
    this.#ports = Array.from({ length: options.threads }, (_, i) => port + i);
    const dataFolder = this.#dataFolder;
    mkdirSync(dataFolder);
    const faultsFile = join(folder, 'faults.json');
    this.#faults = new FaultSwitch(faultsFile);
    const needsDisk = options.only.includes('disk-full');
    this.#disk = needsDisk ? new FullDisk(dataFolder, options.threads, this.#faults) : null;
    this.#pool = new ChaosPool({
      ...{ folder: dataFolder, logFile: join(folder, 'pool.log') },
      ...{ threads: options.threads, port, difficulty: DIFFICULTY, vardiff: SHARES_PER_SECOND * 60 },
      faultsFile,
      onStarted: (ports) => {
        this.#ports = ports;
        this.#miners?.movedTo(ports);
      },
      onWarning: (message) => this.#takeWarning(message),
      onOwnEnd: (how) => this.#findings.add('the pool ended by itself', how),
    });
    this.#victims = new Victims(dataFolder, this.#pool);
    this.#check = new StoresCheck(this.#pool, folder);
  }

  get #dataFolder(): string {
    return join(this.#folder, 'data');
  }

  async run(): Promise<OutageResult> {
    const startMs = performance.now();
    this.#say('starting the pool');
    await until(() => this.#pool.started || this.#pool.starts > 1, FIRST_START_MS);
    if (!this.#pool.started) throw new Error('the pool does not start');
    const miners = this.#startMiners();
    const enough = this.#options.miners * SHARES_PER_SECOND;
    if (!(await until(() => miners.counts.accepted >= enough, FIRST_SHARES_MS))) {
      throw new Error(`no share in ${FIRST_SHARES_MS / 1000} s: ${JSON.stringify(miners.counts)}`);
    }
    const scenarios: ScenarioResult[] = [];
    for (const name of this.#options.only) {
      const result = await Promise.race([this.#outage(miners, scenario(name)), miners.failed]);
      scenarios.push(result);
      this.#say(scenarioLine(result));
    }
    this.#findings = new Findings();
    await miners.end();
    const code = await this.#pool.stop();
    if (code !== 0) this.#findings.add('the pool did not end in order', `exit code ${code}`);
    this.#disk?.unmount();
    const last = scenarios.at(-1);
    const findings = this.#findings.list();
    if (last !== undefined && findings.length > 0) {
      scenarios[scenarios.length - 1] = { ...last, findings: [...last.findings, ...findings] };
    }
    const seconds = (performance.now() - startMs) / 1000;
    return { options: this.#options, scenarios, seconds, starts: this.#pool.starts };
  }

  /** Leaves no process and no mount behind. */
  abandon(): void {
    this.#victims.release();
    this.#pool.abandon();
    this.#miners?.kill();
    this.#disk?.unmount();
  }

  #startMiners(): Miners {
    const miners = new Miners(
      {
        ...{ miners: this.#options.miners, host: '127.0.0.1', ports: this.#ports },
        ...{ hashrateHs: MINER_HASHRATE_HS, vardiff: true, toldFile: join(this.#folder, 'told') },
      },
      (what) => this.#findings.add('what the pool must not do to a miner', what),
    );
    this.#miners = miners;
    return miners;
  }

  async #outage(miners: Miners, what: Scenario): Promise<ScenarioResult> {
    this.#findings = new Findings();
    this.#warnings = new Map();
    const findings = this.#findings;
    const outageMs = this.#options.minutes * 60_000;
    const aroundMs = Math.min(AROUND_MS_MAX, outageMs);
    this.#say(`${what.name}: ${what.what}`);
    await miners.endPhase();
    if (what.name === 'clock') await steady(miners);
    await pause(aroundMs + this.#random() * JITTER_MS_MAX);
    const before = await miners.endPhase();
    const grewFrom = this.#journalBytes();
    const jobsBefore = (await this.#pool.stats())?.node.jobs_total ?? 0;
    await what.run({ victims: this.#victims, faults: this.#faults, disk: this.#disk }, outageMs);
    const backMs = performance.now();
    const during = await miners.endPhase();
    const journalBytes = this.#journalBytes() - grewFrom;
    const jobsAtEnd = (await this.#pool.stats())?.node.jobs_total ?? jobsBefore;
    if (what.refusesShares) miners.resendRefused();
    const needsJob = what.name.startsWith('node');
    const { catchUpS, newJobS } = await this.#caughtUp(backMs, jobsAtEnd, needsJob);
    if (catchUpS === null) {
      findings.add('the pool has not caught up', `within ${CATCHES_UP_WITHIN_MS / 1000} s`);
    }
    await pause(aroundMs);
    const after = await miners.endPhase();
    await restMiners(miners, findings);
    await miners.endPhase();
    await this.#check.drain(findings);
    const { clickhouse, sums } = await this.#check.compareClickHouse(findings);
    const { work, ...ledger } = await this.#check.auditLedger(sums, findings, true);
    const journal = this.#check.compareJournal(findings);
    // Rows say whether the clock was moved at all.
    if (what.name === 'clock' && (await timeSpanMs(this.#pool.clickhouse)) < CLOCK_SPAN_MS) {
      findings.add('the clock was not moved', 'times in ClickHouse');
    }
    this.#judge(what, { before, during, after });
    miners.work();
    return {
      ...{ name: what.name, what: what.what, before, during, after, journalBytes, catchUpS, newJobS },
      jobsDuring: jobsAtEnd - jobsBefore,
      ...{ clickhouse, journal, ledger: { ...ledger, work: work.toString() } },
      how: what.name === 'disk-full' ? (this.#disk?.how ?? null) : null,
      warnings: [...this.#warnings].map(([text, count]) => ({ text, count })),
      findings: findings.list(),
    };
  }

  #judge(
    { name, refusesShares }: Scenario,
    { before, during, after }: Pick<ScenarioResult, 'before' | 'during' | 'after'>,
  ): void {
    const findings = this.#findings;
    for (const [when, phase] of Object.entries({ before, during, after })) {
      const isRefusing = refusesShares && when !== 'before';
      if (phase.dropped > 0)
        findings.add('sessions were dropped', `${when}: ${phase.dropped}`, phase.dropped);
      // The phase after the full disk begins with the gap of the disk.
      if (!isRefusing && phase.gapMs > GAP_MAX_MS) {
        findings.add('mining stopped', `${when}: no share accepted for ${(phase.gapMs / 1000).toFixed(1)} s`);
      }
      if (!isRefusing && phase.notStored > 0) {
        findings.add('shares were refused as not stored', `${when}: ${phase.notStored}`, phase.notStored);
      }
      if (when !== 'during' && phase.accepted === 0) findings.add('no share was accepted', when);
    }
    if (refusesShares && during.notStored === 0) {
      findings.add('a full disk refused no share', `${during.accepted} accepted`);
    }
    if (refusesShares && ![...this.#warnings.keys()].some((text) => text.includes('journal'))) {
      findings.add('the operator was told nothing of the full disk', 'no warning names the journal');
    }
    const leaps = during.leaps + after.leaps;
    if (name === 'clock' && leaps > LEAPS_MAX * this.#options.miners) {
      const most = Math.max(during.retargetMax, after.retargetMax).toFixed(2);
      findings.add(`vardiff moved miners by more than ${RETARGET_MAX} at once`, `by up to ${most}`, leaps);
    }
  }

  /**
   * From the end of the outage until both stores were fed and the node answered, null when that takes too long, and
   * until the first new job, null when none came by then.
   */
  async #caughtUp(
    backMs: number,
    jobs: number,
    needsJob: boolean,
  ): Promise<{ catchUpS: number | null; newJobS: number | null }> {
    let newJobS: number | null = null;
    // The first picture may be one of the time before.
    const pictures = new Set<string>();
    while (performance.now() - backMs < CATCHES_UP_WITHIN_MS) {
      const snapshot = await this.#pool.stats();
      const sinceS = (performance.now() - backMs) / 1000;
      if (snapshot !== null) {
        pictures.add(snapshot.as_of);
        if (snapshot.node.jobs_total > jobs) newJobS ??= sinceS;
        const isDone = pictures.size > 2 && isWell(snapshot) && (newJobS !== null || !needsJob);
        if (isDone) return { catchUpS: sinceS, newJobS };
      }
      await pause(LOOK_EVERY_MS);
    }
    return { catchUpS: null, newJobS };
  }

  #journalBytes(): number {
    return findLanes(this.#dataFolder)
      .flatMap(({ journalFolder }) => readdirSync(journalFolder).map((file) => join(journalFolder, file)))
      .filter((file) => file.endsWith('.journal'))
      .reduce((sum, file) => sum + statSync(file).size, 0);
  }

  #takeWarning(text: string): void {
    const count = this.#warnings.get(text) ?? 0;
    if (count > 0 || this.#warnings.size < WARNINGS_KEPT) this.#warnings.set(text, count + 1);
  }
}

/** Until vardiff has brought all miners back from the rest of the check before. */
async function steady(miners: Miners): Promise<void> {
  for (let quiet = 0, looks = 0; quiet < 2 && looks < STEADY_LOOKS_MAX; looks++) {
    await pause(STEADY_LOOK_MS);
    quiet = (await miners.endPhase()).retargetMax > STEADY_RATIO ? 0 : quiet + 1;
  }
}

function isWell({ pipelines, node }: PoolSnapshot): boolean {
  return node.state === 'ok' && pipelines.every(({ state, lag }) => state === 'ok' && lag <= LAG_MAX_SHARES);
}
