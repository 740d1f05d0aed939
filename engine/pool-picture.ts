// Gathers the one picture of the pool that the API, the page, the metrics and the live line show. Counts
// of shares come from the journal, ClickHouse and Postgres side by side, so that a difference shows.
import { execFileSync } from 'node:child_process';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { type ClickHouse, openClickHouse } from '../storage/clickhouse/client.js';
import { BlockStore } from '../storage/postgres/block-store.js';
import type { Database } from '../storage/postgres/connection.js';
import { LedgerStore } from '../storage/postgres/ledger-store.js';
import { type AccountFigures, PoolFigures } from '../storage/postgres/pool-figures.js';
import { projectRoot } from '../storage/project-root.js';
import type { Shipper } from '../storage/shipper/shipper.js';
import { SCHEMES } from './accounting/schemes.js';
import type {
  BlockSnapshot,
  ComponentSnapshot,
  ComponentState,
  EventLoopDelay,
  HashrateEstimate,
  HashrateWindowName,
  MinerSnapshot,
  PipelineSnapshot,
  PoolSnapshot,
} from './api/snapshot.js';
import { difficultyFromTarget, workFromTarget } from './bitcoin/target.js';
import type { Config } from './config/config.js';
import type { ReserveState } from './expected-pay-runner.js';
import { type Hashrate, HashrateWindow, hashrateText } from './insight/hashrate.js';
import type { JobMaker } from './job-maker.js';
import type { Money } from './money.js';
import type { NodeRpc } from './node/rpc.js';
import type { Servers } from './servers.js';
import type { SimFleet } from './sim-fleet.js';
import type { PortProfile } from './stratum/port-profile.js';
import type { ConnectionThreadStats } from './stratum/thread-messages.js';
import type { Verification } from './verification.js';
import type { VerificationFigures } from './verify/nightly.js';
import type { BlockTemplate } from './work/template.js';

/** How far a lane's journal is. */
export interface LaneHead {
  nextSeq: number;
  acceptedTotal: number;
}

export interface PoolPictureOptions {
  config: Config;
  version: string;
  servers: Servers;
  database: Database;
  rpc: NodeRpc;
  shipper: Shipper;
  jobs: JobMaker;
  /** Node id of each lane -> how far its journal is. */
  laneHeads: () => ReadonlyMap<number, LaneHead>;
  /** Every port that miners can connect to, the main one first. */
  ports: readonly PortProfile[];
}

const HASHES_PER_DIFFICULTY = 2 ** 32;
const WINDOWS: Record<HashrateWindowName, number> = { m5: 300_000, h1: 3_600_000, h24: 86_400_000 };
const DELAY_SAMPLE_MS = 20;
const BLOCKS_SHOWN = 20;
const MINERS_SHOWN = 100;
/** Figures that read many rows are gathered this seldom. */
const SLOW_FIGURES_MS = 2000;
/** A message of the shipper thread takes far less. */
const MESSAGE_LAG_MS = 250;
/** Accounts are summed over all their history: less often still. */
const ACCOUNTS_MS = 10_000;
/** A miner that sent nothing for this part of the window is silent. */
const SILENT_RATIO = 0.5;

type StoredFigures = Pick<PoolSnapshot, 'blocks' | 'balances' | 'payouts' | 'miners'>;

const EMPTY: StoredFigures = {
  blocks: { found: 0, immature: 0, confirmed: 0, orphaned: 0, rejected: 0, last: [] },
  balances: {
    ...{ immature_sats: '0', confirmed_sats: '0', in_flight_sats: '0', fees_sats: '0', paid_sats: '0' },
    ...{ ledger_imbalance_sats: '0', ledger_mismatches: 0 },
  },
  payouts: {
    by_status: {
      ...{ planned: 0, awaiting_approval: 0, awaiting_signatures: 0 },
      ...{ signed: 0, broadcast: 0, confirmed: 0, failed: 0 },
    },
    ...{ paid_sats: '0', network_fees_sats: '0', last_at: null, last_txid: null },
  },
  miners: [],
};

/** What a miner writes before the host. */
const URL_SCHEMES = { tcp: 'stratum+tcp', tls: 'stratum+ssl', ws: 'stratum+ws' } as const;

export class PoolPicture {
  fleet: SimFleet | null = null;
  verification: Verification | null = null;
  networkDifficulty = 0;

  readonly #options: PoolPictureOptions;
  readonly #clickhouse: ClickHouse;
  readonly #figures: PoolFigures;
  readonly #ledger: LedgerStore;
  readonly #blocks: BlockStore;
  readonly #startedAt = new Date();
  readonly #commit = commitOfCheckout();
  #windows: Record<HashrateWindowName, HashrateWindow>;
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_SAMPLE_MS });
  readonly #since = new Map<ComponentSnapshot['name'], { state: ComponentState; since: Date }>();
  #stats: ConnectionThreadStats | null = null;
  #template: BlockTemplate | null = null;
  #templateAtMs = 0;
  #nodeState: ComponentState = 'starting';
  #nodeMessage: string | null = 'waiting for the first template';
  #nodeVersion = '';
  #payoutsOff: string | null = 'not started';
  #payoutsFrom = '';
  #reserve: ReserveState | null = null;
  #payoutTrouble: string | null = null;
  #stored: StoredFigures = EMPTY;
  #storedAtMs = Number.NEGATIVE_INFINITY;
  #accounts: AccountFigures[] = [];
  #accountsAtMs = Number.NEGATIVE_INFINITY;
  #postgresTrouble: string | null = null;
  #clickhouseTrouble: string | null = null;
  /** Of the last comparison between the journal and the stores; null before the first. */
  #difference: number | null = null;
  #last: PoolSnapshot | null = null;

  constructor(options: PoolPictureOptions) {
    this.#options = options;
    this.#clickhouse = openClickHouse({ ...options.servers.clickhouse, timeoutS: 5 });
    this.#figures = new PoolFigures(options.database);
    this.#ledger = new LedgerStore(options.database);
    this.#blocks = new BlockStore(options.database);
    this.#windows = emptyWindows(performance.now());
    this.#delay.enable();
  }

  /** The latest picture, null before the first. */
  get last(): PoolSnapshot | null {
    return this.#last;
  }

  /** Fills the hashrate windows with what Postgres knows of the time before this start. */
  async recall(): Promise<void> {
    const now = performance.now();
    const wall = Date.now();
    const minutes = await this.#figures.minutes(new Date(wall - WINDOWS.h24));
    const [first] = minutes;
    if (first === undefined) return;
    for (const name of windowNames()) {
      // The window counts from the first work it can know of: what was before is not silence but absence.
      const start = Math.max(wall - WINDOWS[name], first.minute.getTime());
      const window = new HashrateWindow(WINDOWS[name], now - (wall - start));
      for (const { minute, work, shares } of minutes) {
        const at = minute.getTime() + 30_000;
        if (at >= start) window.add(now - Math.max(0, wall - at), work, shares);
      }
      this.#windows[name] = window;
    }
  }

  /** Takes the counts of all connection threads together, about once a second. */
  connections(stats: ConnectionThreadStats): void {
    const before = this.#stats;
    this.#stats = stats;
    const shares = (stats.verdicts.accepted ?? 0) - (before?.verdicts.accepted ?? 0);
    if (shares <= 0) return;
    const work = (stats.acceptedDifficulty - (before?.acceptedDifficulty ?? 0)) * HASHES_PER_DIFFICULTY;
    const squares = (stats.acceptedSquares - (before?.acceptedSquares ?? 0)) * HASHES_PER_DIFFICULTY ** 2;
    const heaviest = Math.min(work, Math.sqrt(squares), stats.heaviestDifficulty * HASHES_PER_DIFFICULTY);
    const now = performance.now();
    for (const name of windowNames()) this.#windows[name].add(now, work, shares, squares, heaviest);
  }

  template(template: BlockTemplate): void {
    this.#template = template;
    this.#templateAtMs = performance.now();
    this.networkDifficulty = difficultyFromTarget(template.target);
    this.node('ok', null);
  }

  node(state: ComponentState, message: string | null): void {
    this.#nodeState = state;
    this.#nodeMessage = message;
  }

  /** `trouble`: why blocks and payouts do not move on. */
  money(money: Money, trouble: string | null): void {
    this.#payoutsOff = money.payoutsOff;
    this.#payoutsFrom = money.payoutsFrom;
    this.#reserve = money.reserve;
    this.#payoutTrouble = trouble;
  }

  /** Hashrate of the last five minutes, for the live line. */
  hashrate(): Hashrate {
    return this.#windows.m5.estimate(performance.now());
  }

  /** Gathers a picture. Never throws for a store that is away: its figures are null and its part is down. */
  async take(): Promise<PoolSnapshot> {
    const { config, servers, ports, jobs } = this.#options;
    const now = performance.now();
    const shippedBefore = this.#shippedSeqs();
    const [clickhouse, stored] = await Promise.all([this.#readClickHouse(), this.#readPostgres(now)]);
    const stats = this.#stats;
    const template = this.#template;
    const pipelines = this.#pipelines();
    const heads = [...this.#options.laneHeads().values()];
    const answered = heads.reduce((sum, { acceptedTotal }) => sum + acceptedTotal, 0);
    const host =
      config.stratumHost === '0.0.0.0' || config.stratumHost === '::' ? '127.0.0.1' : config.stratumHost;
    const delay: EventLoopDelay = {
      p50_s: delaySeconds(this.#delay.percentile(50)),
      p99_s: delaySeconds(this.#delay.percentile(99)),
      max_s: delaySeconds(this.#delay.max),
    };
    this.#delay.reset();
    const snapshot: PoolSnapshot = {
      as_of: new Date().toISOString(),
      started_at: this.#startedAt.toISOString(),
      update_interval_s: config.statsUpdateIntervalMs / 1000,
      build: { version: this.#options.version, commit: this.#commit, node_version: process.version },
      network: config.network,
      scheme: config.payoutScheme,
      fee_ratio: config.feePpm[config.payoutScheme] / 1e6,
      fee_ratios: Object.fromEntries(
        SCHEMES.map((scheme) => [scheme, config.feePpm[scheme] / 1e6]),
      ) as PoolSnapshot['fee_ratios'],
      payout_threshold_sats: config.autoPayoutThresholdSats.toString(),
      node: {
        state: this.#nodeState,
        chain: await this.#chain(),
        height: template === null ? 0 : template.height - 1,
        best_hash: template?.previousBlockHash ?? '',
        version: this.#nodeVersion,
        network_difficulty: this.networkDifficulty,
        template_age_s: template === null ? null : (now - this.#templateAtMs) / 1000,
        template_transactions: template?.transactions.length ?? 0,
        template_fees_sats: (template?.fees ?? 0n).toString(),
        jobs_total: jobs.made,
      },
      stratum: {
        port: ports[0]?.port ?? 0,
        host: config.stratumHost,
        // Several threads may share one port.
        urls: [
          ...new Set(
            ports.map(
              ({ kind, port }) => `${URL_SCHEMES[kind]}://${host.includes(':') ? `[${host}]` : host}:${port}`,
            ),
          ),
        ],
        connections: stats?.connections ?? 0,
        sessions_authorized: stats?.sessions ?? 0,
        miners: stats?.miners ?? 0,
        workers: stats?.workers ?? 0,
        accepted_total: stats?.accepted ?? 0,
        closed_total: stats?.closed ?? {},
        bans: stats?.bans.length ?? 0,
        tip: tipSpeed(stats),
      },
      shares: {
        answered_true: answered,
        verdicts: stats?.verdicts ?? {},
        difficulty_sum: stats?.acceptedDifficulty ?? 0,
        clickhouse_rows: clickhouse === null ? null : sumOf(clickhouse.rows),
        clickhouse_difficulty: clickhouse?.difficulty ?? null,
        postgres_accepted: stored === null ? null : sumOf(stored.accepted),
        difference: null,
      },
      hashrate: {
        m5: this.#estimate('m5', now),
        h1: this.#estimate('h1', now),
        h24: this.#estimate('h24', now),
      },
      ...this.#stored,
      round: this.#round(stored?.round ?? null),
      reserve: reserveSnapshot(this.#reserve),
      verification: verificationSnapshot(this.verification?.figures),
      journal: {
        bytes: stats?.journal.bytes ?? 0,
        last_seq: heads.reduce((sum, { nextSeq }) => sum + nextSeq - 1, 0),
        failing: stats?.journal.failing ?? null,
      },
      pipelines,
      components: [],
      event_loop: {
        coordinator: delay,
        connections: {
          p50_s: (stats?.eventLoopDelayMs.p50 ?? 0) / 1000,
          p99_s: (stats?.eventLoopDelayMs.p99 ?? 0) / 1000,
          max_s: (stats?.eventLoopDelayMs.max ?? 0) / 1000,
        },
      },
    };
    snapshot.shares.difference = await this.#reconcile(shippedBefore, clickhouse?.rows, stored?.accepted);
    snapshot.components = this.#components(snapshot, servers);
    this.#last = snapshot;
    return snapshot;
  }

  async close(): Promise<void> {
    this.#delay.disable();
    await this.#clickhouse.close();
  }

  async #readClickHouse(): Promise<{ rows: Map<number, number>; difficulty: number } | null> {
    try {
      const lanes = await this.#clickhouse.rows<{ node: number; rows: string; difficulty: number }>(
        'SELECT node, rows, difficulty FROM share_counts',
      );
      this.#clickhouseTrouble = null;
      return {
        rows: new Map(lanes.map(({ node, rows }) => [node, Number(rows)])),
        difficulty: lanes.reduce((sum, { difficulty }) => sum + Number(difficulty), 0),
      };
    } catch (error) {
      this.#clickhouseTrouble = (error as Error).message;
      return null;
    }
  }

  async #readPostgres(now: number) {
    try {
      const [accepted, round] = await Promise.all([this.#figures.acceptedByNode(), this.#figures.round()]);
      if (now - this.#storedAtMs >= SLOW_FIGURES_MS) {
        this.#stored = await this.#readSlowFigures();
        this.#storedAtMs = now;
      }
      this.#postgresTrouble = null;
      return { accepted, round };
    } catch (error) {
      this.#postgresTrouble = (error as Error).message;
      return null;
    }
  }

  async #readSlowFigures(): Promise<StoredFigures> {
    // Work is stored by the minute: the window begins with one, and with the account's first share.
    const now = Date.now();
    const windowS = this.#options.config.hashrateWindowS;
    const windowStart = new Date(Math.floor((now - windowS * 1000) / 60_000) * 60_000);
    const [totals, counts, latest, payouts, accounts, balances] = await Promise.all([
      this.#ledger.totals(),
      this.#blocks.countByStatus(),
      this.#blocks.latestBlocks(BLOCKS_SHOWN),
      this.#figures.payouts(),
      this.#readAccounts(windowStart),
      this.#ledger.balances(MINERS_SHOWN),
    ]);
    const { immature = 0, confirmed = 0, orphaned = 0, rejected = 0 } = counts;
    const sats = (kind: keyof typeof totals.balances) => (totals.balances[kind] ?? 0n).toString();
    const balanceOf = new Map(balances.map((balance) => [balance.account, balance]));
    const connected = new Map(this.#stats?.workersByAccount ?? []);
    return {
      blocks: {
        found: immature + confirmed + orphaned,
        ...{ immature, confirmed, orphaned, rejected },
        last: latest.map(
          (block): BlockSnapshot => ({
            height: block.height,
            hash: block.hash,
            found_at: block.foundAt.toISOString(),
            finder: block.account,
            worker: block.worker,
            status: block.status,
            confirmations: block.confirmations,
            network_difficulty: block.networkDifficulty,
            effort: block.effort,
            reward:
              block.subsidySats === null || block.feesSats === null
                ? null
                : { subsidy_sats: block.subsidySats.toString(), fees_sats: block.feesSats.toString() },
            reason: block.reason,
          }),
        ),
      },
      balances: {
        immature_sats: sats('miner_immature'),
        confirmed_sats: sats('miner_confirmed'),
        in_flight_sats: sats('miner_in_flight'),
        fees_sats: sats('pool_fee'),
        paid_sats: payouts.paidSats.toString(),
        ledger_imbalance_sats: totals.sumSats.toString(),
        ledger_mismatches: totals.mismatches,
      },
      payouts: {
        by_status: { ...EMPTY.payouts.by_status, ...payouts.byStatus },
        paid_sats: payouts.paidSats.toString(),
        network_fees_sats: payouts.networkFeesSats.toString(),
        last_at: payouts.lastAt?.toISOString() ?? null,
        last_txid: payouts.lastTxid,
      },
      miners: accounts.map((account): MinerSnapshot => {
        const balance = balanceOf.get(account.account);
        const workers = connected.get(account.account) ?? 0;
        const silentS = (now - account.lastShareAt.getTime()) / 1000;
        const from = Math.max(windowStart.getTime(), account.firstShareAt.getTime());
        const seconds = Math.max(1, (now - from) / 1000);
        return {
          account: account.account,
          workers,
          state:
            workers === 0 ? 'offline' : silentS > Math.max(120, windowS * SILENT_RATIO) ? 'silent' : 'mining',
          hashrate_hs: String(Math.round(account.windowWork / seconds)),
          shares: account.shares,
          last_share_at: account.lastShareAt.toISOString(),
          immature_sats: (balance?.immatureSats ?? 0n).toString(),
          balance_sats: (balance?.confirmedSats ?? 0n).toString(),
          paid_sats: (balance?.paidSats ?? 0n).toString(),
        };
      }),
    };
  }

  async #readAccounts(windowStart: Date): Promise<AccountFigures[]> {
    const now = performance.now();
    if (now - this.#accountsAtMs >= ACCOUNTS_MS) {
      this.#accounts = await this.#figures.accounts(windowStart, MINERS_SHOWN);
      this.#accountsAtMs = now;
    }
    return this.#accounts;
  }

  async #chain(): Promise<string> {
    if (this.#nodeVersion === '') {
      try {
        this.#nodeVersion = (await this.#options.rpc.getNetworkInfo({ retryForMs: 0 })).subversion;
      } catch {
        // Shown when the node answers; its state is watched by the template source.
      }
    }
    return this.#options.config.network === 'private' ? 'signet' : this.#options.config.network;
  }

  #estimate(name: HashrateWindowName, now: number): HashrateEstimate {
    const { hs, low, high, shares, seconds: span } = this.#windows[name].estimate(now);
    return {
      hs: hashrateText(hs) ?? '0',
      ci95_low: hashrateText(low) ?? '0',
      ci95_high: hashrateText(high),
      shares,
      window_s: Math.round(span),
    };
  }

  #round(round: { work: bigint; startedAt: Date | null } | null): PoolSnapshot['round'] {
    const expected = this.#template === null ? 1n : workFromTarget(this.#template.target);
    const work = round?.work ?? 0n;
    return {
      work: work.toString(),
      effort: Number(work) / Number(expected),
      started_at: (round?.startedAt ?? this.#startedAt).toISOString(),
    };
  }

  /** By store: all lanes together, and the trouble of the first lane that has one. */
  #pipelines(): PipelineSnapshot[] {
    const heads = this.#options.laneHeads();
    const all = [...this.#options.shipper.status.values()];
    return [...new Set(all.map(({ consumer }) => consumer))].map((consumer) => {
      const lanes = all.filter((status) => status.consumer === consumer);
      const lag = lanes.reduce(
        (sum, { nodeId, shippedSeq }) =>
          sum + Math.max(0, (heads.get(nodeId)?.nextSeq ?? 1) - 1 - shippedSeq),
        0,
      );
      const away = lanes.find(({ state }) => state !== 'ok');
      return {
        consumer,
        state: away === undefined ? 'ok' : 'retrying',
        shipped_seq: lanes.reduce((sum, { shippedSeq }) => sum + shippedSeq, 0),
        lag,
        lag_s: lag === 0 ? 0 : null,
        error: away?.error ?? null,
      };
    });
  }

  #shippedSeqs(): string {
    return [...this.#options.shipper.status.values()].map(({ shippedSeq }) => shippedSeq).join();
  }

  /**
   * Compares each store with the journal at the very share up to which that store was fed. Only counts that
   * were read while nothing was delivered can be compared; else the last comparison stands. Null while a
   * store does not answer.
   */
  async #reconcile(
    shippedBefore: string,
    clickhouse?: ReadonlyMap<number, number>,
    postgres?: ReadonlyMap<number, number>,
  ): Promise<number | null> {
    if (clickhouse === undefined || postgres === undefined) return null;
    const statuses = [...this.#options.shipper.status.values()];
    if (statuses.length === 0) return this.#difference;
    const counts = { clickhouse, ledger: postgres };
    const heads = this.#options.laneHeads();
    let worst = 0;
    for (const { consumer, nodeId, acceptedTotal, shippedSeq } of statuses) {
      const head = heads.get(nodeId);
      const all = shippedSeq === (head?.nextSeq ?? 0) - 1 ? head?.acceptedTotal : undefined;
      const expected = acceptedTotal ?? all;
      if (expected === undefined) return this.#difference;
      const difference = expected - (counts[consumer].get(nodeId) ?? 0);
      if (Math.abs(difference) > Math.abs(worst)) worst = difference;
    }
    // A delivery may be in the store but its message still on the way: wait for it before crying wolf.
    if (worst !== 0) await new Promise((resolve) => setTimeout(resolve, MESSAGE_LAG_MS));
    if (this.#shippedSeqs() === shippedBefore) this.#difference = worst;
    return this.#difference;
  }

  #stratumTrouble(): string | null {
    if (this.#stats === null) return 'starting';
    if (!this.#stats.duplicateFilterFull) return null;
    return 'the duplicate filter is full and good shares are refused. Raise SHARE_CACHE_SIZE';
  }

  #components(snapshot: PoolSnapshot, servers: Servers): ComponentSnapshot[] {
    const { config } = this.#options;
    const part = (
      name: ComponentSnapshot['name'],
      essential: boolean,
      where: string,
      trouble: string | null,
      troubled: ComponentState = 'down',
    ): ComponentSnapshot => {
      const state = trouble === null ? 'ok' : troubled;
      const before = this.#since.get(name);
      const since = before?.state === state ? before.since : new Date();
      this.#since.set(name, { state, since });
      return { name, state, essential, where, message: trouble, since: since.toISOString() };
    };
    const away = snapshot.pipelines.filter(({ state }) => state !== 'ok');
    const { difference } = snapshot.shares;
    const list = [
      part(
        'stratum',
        true,
        `${config.stratumHost}:${snapshot.stratum.port}`,
        this.#stratumTrouble(),
        this.#stats === null ? 'starting' : 'degraded',
      ),
      part(
        'node',
        true,
        servers.nodeWhere,
        this.#nodeState === 'ok' ? null : (this.#nodeMessage ?? 'away'),
        this.#nodeState,
      ),
      // Mining goes on without either store: the journal keeps what they miss.
      part('postgres', false, servers.postgresWhere, this.#postgresTrouble),
      part('clickhouse', false, servers.clickhouseWhere, this.#clickhouseTrouble),
      part('journal', true, config.dataDir, snapshot.journal.failing),
      part(
        'shares',
        false,
        'journal, ClickHouse and Postgres compared',
        difference !== null && difference !== 0
          ? `the stores differ by ${difference} shares`
          : (away[0]?.error ?? null),
        'degraded',
      ),
      part(
        'payouts',
        false,
        this.#payoutsOff === null ? this.#payoutsFrom : 'off',
        this.#payoutTrouble,
        'degraded',
      ),
    ];
    if (config.simMiners > 0) {
      const stopped = this.fleet === null ? 'starting' : null;
      list.push(
        part('miners', false, `${config.simMiners} simulated, a process of their own`, stopped, 'starting'),
      );
    }
    return list;
  }
}

function sumOf(counts: ReadonlyMap<number, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

function windowNames(): HashrateWindowName[] {
  return ['m5', 'h1', 'h24'];
}

function emptyWindows(startMs: number): Record<HashrateWindowName, HashrateWindow> {
  return {
    m5: new HashrateWindow(WINDOWS.m5, startMs),
    h1: new HashrateWindow(WINDOWS.h1, startMs),
    h24: new HashrateWindow(WINDOWS.h24, startMs, 288),
  };
}

/** The histogram holds the time between two samples: what exceeds their interval is delay. */
const delaySeconds = (sampledNs: number): number =>
  Number.isFinite(sampledNs) ? Math.max(0, sampledNs / 1e9 - DELAY_SAMPLE_MS / 1000) : 0;

/** Short commit of a checkout; empty where there is none. */
function commitOfCheckout(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: projectRoot(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return '';
  }
}

function tipSpeed(stats: ConnectionThreadStats | null): PoolSnapshot['stratum']['tip'] {
  if (stats?.tip == null) return null;
  const { connections, firstMs, lastMs } = stats.tip;
  return { connections, first_s: firstMs / 1000, last_s: lastMs / 1000 };
}

function reserveSnapshot(state: ReserveState | null): PoolSnapshot['reserve'] {
  if (state === null) return null;
  return {
    mode: state.mode,
    available_sats: state.reserveSats.toString(),
    immature_sats: state.reserveImmatureSats.toString(),
    owed_sats: state.owedSats.toString(),
    ruin_probability: state.ruinProbability,
  };
}

function verificationSnapshot(figures: VerificationFigures | undefined): PoolSnapshot['verification'] {
  return {
    last_at: figures?.lastAt?.toISOString() ?? null,
    credits: figures?.credits ?? 0,
    different: figures?.different ?? 0,
    difference_sats: (figures?.differenceSats ?? 0n).toString(),
    incomplete: figures?.incomplete ?? 0,
    running: figures?.running ?? false,
  };
}
