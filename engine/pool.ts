// The coordinator: starts the parts in order, carries jobs down to the connection thread and found blocks
// up to the node, keeps the books moving, and stops everything in reverse. Runs on the main thread; no
// share passes through it.
import { DataFolder } from '../storage/data-folder.js';
import {
  laneFolder,
  type RecoveredLane,
  type RecoveredLanes,
  recoverLanes,
} from '../storage/journal/lanes.js';
import { RETENTION_MS, removeConsumedSegments } from '../storage/journal/retention.js';
import { CoinbasePlanStore } from '../storage/postgres/coinbase-plans.js';
import { type Database, explainPostgresError, openPostgres } from '../storage/postgres/connection.js';
import { activateLanes } from '../storage/postgres/ledger-lanes.js';
import { migratePostgres } from '../storage/postgres/migrate.js';
import { Shipper } from '../storage/shipper/shipper.js';
import type { BlockSubmitResult } from './api/thread-messages.js';
import { ApiThread } from './api-thread-handle.js';
import { scriptFromAddress } from './bitcoin/address.js';
import { displayHash } from './bitcoin/hex.js';
import { blockSubsidy } from './bitcoin/subsidy.js';
import { CoinbasePlanner, poolCoinbase } from './coinbase-plan.js';
import type { Config } from './config/config.js';
import type { Logger } from './config/log.js';
import { ConnectionThreads } from './connection-threads.js';
import { JobMaker } from './job-maker.js';
import { Money, type MoneyEvent } from './money.js';
import { pendingCandidates } from './node/block-candidates.js';
import { BlockSubmitter, type SubmitOutcome } from './node/block-submitter.js';
import { checkChainIdentity } from './node/chain-identity.js';
import { NodeRpc } from './node/rpc.js';
import type { RpcEndpoint } from './node/rpc-endpoint.js';
import { NodeRpcError } from './node/rpc-error.js';
import { type TemplateEvent, TemplateSource } from './node/template-source.js';
import { type LaneHead, PoolPicture } from './pool-picture.js';
import { type Part, type Servers, startServers } from './servers.js';
import { SimFleet } from './sim-fleet.js';
import { defaultCaps } from './stratum/admission.js';
import type { SchemeSettings } from './stratum/scheme-choice.js';
import type { CandidateMessage, JobMessage } from './stratum/thread-messages.js';
import { Verification } from './verification.js';
import { Wallets } from './wallets.js';

/** What happened, for the live feed and the log. */
export type PoolEvent =
  | {
      type: 'block_found';
      height: number;
      hash: string;
      account: string;
      worker: string;
      status: string;
      reason: string;
    }
  | MoneyEvent;

export interface PoolOptions {
  config: Config;
  log: Logger;
  version: string;
  onEvent: (event: PoolEvent) => void;
  /** A part without which the pool serves nobody is gone: it must be stopped and end as failed. */
  onFatal: () => void;
}

const KIND_NAMES = { tcp: '(TCP)', tls: '(TLS)', ws: '(WebSocket)' } as const;
const EXTRANONCE1_BYTES = 4;
const EXTRANONCE2_BYTES = 8;
const SIM_ACCOUNTS = 2;
const STORE_WAIT_MS = 30_000;
/** What a Postgres says that is not up yet, or dies while we ask and is brought back. */
const STARTING_POSTGRES = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'CONNECT_TIMEOUT', 'CONNECTION_CLOSED', 'CONNECTION_ENDED'],
  ...['CONNECTION_DESTROYED', 'ENOTFOUND', 'EAI_AGAIN', '57P01', '57P03'],
]);
const STEP_MS = 1000;
/** Until Postgres was asked: nobody chose, and the reserve promises nothing. */
const NO_CHOICES: SchemeSettings = { chosen: [], fallback: true };
const FIRST_JOB_MS = 10_000;
const BLOCK_WORK_MS = 10_000;
const STEP_STOP_MS = 3000;
const TRIM_JOURNAL_MS = 60_000;
/** Between two plans of what coinbases pay. */
const PLAN_EVERY_MS = { own: 1000, open: 60_000 };

export class Pool {
  readonly parts: Part[] = [];
  /** Port that miners connect to, and the API's; known once started. */
  stratumPort = 0;
  apiPort = 0;
  servers!: Servers;
  picture!: PoolPicture;
  fleet: SimFleet | null = null;

  readonly #config: Config;
  readonly #log: Logger;
  readonly #options: PoolOptions;
  /** What to stop, last started first. */
  readonly #stops: { what: string; stop: () => Promise<unknown> }[] = [];
  #rpc!: NodeRpc;
  #connections!: ConnectionThreads;
  #api: ApiThread | null = null;
  #jobs!: JobMaker;
  /** Null: coinbases pay the pool alone. */
  #planner: CoinbasePlanner | null = null;
  #templates!: TemplateSource;
  #submitter!: BlockSubmitter;
  #money!: Money;
  #schemes: SchemeSettings | null = null;
  #tipHash: string | null = null;
  #stepping: Promise<void> = Promise.resolve();
  #stepBusy = false;
  #picturing = false;
  #stepTrouble: string | null = null;
  #stepTimer: NodeJS.Timeout | undefined;
  #pictureTimer: NodeJS.Timeout | undefined;
  #retentionTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | null = null;
  readonly #blockWork = new Set<Promise<void>>();

  private constructor(options: PoolOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#log = options.log;
  }

  /**
   * Brings the whole pool up.
   * @throws Error with cause and cure when a part cannot be had; what was started is stopped again.
   */
  static async start(options: PoolOptions): Promise<Pool> {
    const pool = new Pool(options);
    try {
      await pool.#start();
    } catch (error) {
      await pool.stop();
      throw error;
    }
    return pool;
  }

  /** Drains and stops every part, last started first. May be called again. Never rejects. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const config = this.#config;
    const folder = DataFolder.open(config.dataDir);
    this.#onStop('data folder', async () => folder.close());

    this.servers = await startServers(config, this.#log);
    this.#onStop('servers', () => this.servers.stop());
    this.parts.push(...this.servers.parts);

    const rpcs = this.servers.nodes.map((endpoint) => new NodeRpc({ endpoint }));
    const [rpc] = rpcs as [NodeRpc, ...NodeRpc[]];
    this.#rpc = rpc;
    this.#onStop('node client', async () => {
      for (const each of rpcs) each.close();
    });
    await checkChainIdentity(rpc, config.network);
    const database = openPostgres({
      url: this.servers.postgresUrl,
      poolSize: config.dbPoolSize,
      timeoutS: config.dbPoolTimeoutS,
    });
    this.#onStop('Postgres client', () => database.end({ timeout: 2 }));
    await this.#oncePostgresIsUp(() => migratePostgres(database));
    const lanes = await this.#oncePostgresIsUp(() => this.#openLanes(database, config.dataDir));

    const wallets = new Wallets(rpc, folder, config.network);
    const poolAddress = config.poolAddress ?? (await wallets.poolAddress());
    const epoch = folder.nextEpoch();
    const script = scriptFromAddress(poolAddress, config.network);
    if (config.coinbasePays === 'miners')
      this.#planner = this.#openPlanner(database, script, wallets.ownChain);
    this.#jobs = new JobMaker({
      script,
      tag: config.coinbaseTag,
      extranonce1Bytes: EXTRANONCE1_BYTES,
      extranonce2Bytes: EXTRANONCE2_BYTES,
      keys: folder.jobKeys(),
      ...(this.#planner === null ? {} : { planner: this.#planner }),
    });
    await this.#openMoney(database, rpc, wallets, poolAddress);

    const candidateDir = folder.file('blocks');
    const submitRpcs = this.servers.nodes.map((endpoint) => new NodeRpc({ endpoint }));
    this.#onStop('block client', async () => {
      for (const each of submitRpcs) each.close();
    });
    this.#submitter = new BlockSubmitter({
      nodes: submitRpcs,
      candidateDir,
      onDiskError: (error) => this.#log.error(`a found block could not be written to disk: ${error.message}`),
    });

    await this.#startConnections(lanes, epoch);
    const shipper = new Shipper(
      {
        lanes: lanes.lanes.map(({ nodeId, journalFolder }) => ({ nodeId, journalFolder })),
        network: config.network,
        defaultScheme: config.payoutScheme,
        clickhouse: {
          ...this.servers.clickhouse,
          ...(config.clickhouseCluster === null ? {} : { cluster: config.clickhouseCluster }),
          keep: config.keepDays,
        },
        postgresUrl: this.servers.postgresUrl,
        timeoutS: config.dbPoolTimeoutS,
      },
      { log: (level, message) => this.#log[level]({ part: 'shipper' }, message) },
    );
    // Stopped after the connection thread has sealed the journal: everything answered gets into both stores.
    this.#insertStop('connections', 'shipper', () => shipper.stop());

    this.picture = new PoolPicture({
      config,
      version: this.#options.version,
      servers: this.servers,
      database,
      rpc,
      shipper,
      jobs: this.#jobs,
      laneHeads: () => this.#laneHeads(lanes.lanes),
      ports: this.#connections.ports.flat(),
    });
    this.#onStop('picture', () => this.picture.close());
    const verification = new Verification(config, this.servers, database, rpc, this.#log);
    this.#onStop('verification', () => verification.close());
    this.picture.verification = verification;
    await this.#oncePostgresIsUp(() => this.picture.recall());
    await this.#startApi();
    await this.#startTemplates();
    for (const block of await pendingCandidates(candidateDir)) this.#resubmit(block);
    await this.#startMiners(wallets);

    this.#stepTimer = setInterval(() => this.#step(), STEP_MS);
    this.#retentionTimer = setInterval(() => this.#trimJournals(lanes.lanes, shipper), TRIM_JOURNAL_MS);
    this.#pictureTimer = setInterval(() => void this.#sendPicture(), config.statsUpdateIntervalMs);
    this.#onStop('timers', async () => {
      clearInterval(this.#stepTimer);
      clearInterval(this.#pictureTimer);
      clearInterval(this.#retentionTimer);
      // A store that hangs must not keep the pool, and its miners, running.
      await within(this.#stepping, STEP_STOP_MS);
    });
    await this.#sendPicture();
  }

  /** A Postgres that is not up yet, or comes back from a crash, is waited for. `work` may be done more than once. */
  async #oncePostgresIsUp<Result>(work: () => Promise<Result>): Promise<Result> {
    const until = performance.now() + STORE_WAIT_MS;
    for (let told = false; ; told = true) {
      try {
        return await work();
      } catch (error) {
        const code = (error as { code?: string }).code ?? '';
        if (!STARTING_POSTGRES.has(code)) throw error;
        const reason = explainPostgresError(error);
        if (performance.now() > until) throw new Error(reason, { cause: error });
        if (!told) this.#log.warn(`waiting for Postgres: ${reason}`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  async #openMoney(database: Database, rpc: NodeRpc, wallets: Wallets, poolAddress: string): Promise<void> {
    const { onEvent } = this.#options;
    const endpoint = this.servers.nodes[0] as RpcEndpoint;
    const options = { config: this.#config, database, rpc, endpoint, wallets, poolAddress, onEvent };
    const onSchemes = (choices: SchemeSettings) => {
      this.#schemes = choices;
      this.#connections?.setSchemes(choices);
    };
    this.#money = await this.#oncePostgresIsUp(() => Money.open({ ...options, onSchemes }));
    this.#onStop('money', () => this.#money.close());
    const { payoutsOff, warnings } = this.#money;
    for (const warning of warnings) this.#log.warn(warning);
    if (payoutsOff !== null) this.#log.warn(`payouts are off: ${payoutsOff}. Balances grow meanwhile`);
    // Before any share: nothing is recorded by a scheme that the reserve does not cover, nor by one not chosen.
    await this.#oncePostgresIsUp(() => this.#money.sendSchemes());
  }

  #openPlanner(database: Database, script: Uint8Array, ownChain: boolean): CoinbasePlanner {
    const { network, coinbaseTag, coinbaseBytesMax, minPayoutSats, feePpm, pplnsWindowPermille } =
      this.#config;
    const extranonceBytes = EXTRANONCE1_BYTES + EXTRANONCE2_BYTES;
    const planner = new CoinbasePlanner({
      store: new CoinbasePlanStore(database, {
        network,
        poolScript: script,
        feePpm: (scheme) => feePpm[scheme],
        windowPermille: pplnsWindowPermille,
        minimumSats: minPayoutSats,
        ...poolCoinbase({ script, tag: coinbaseTag, extranonceBytes }),
        coinbaseBytesMax,
      }),
      subsidySats: (height) => blockSubsidy(height, network),
      everyMs: ownChain ? PLAN_EVERY_MS.own : PLAN_EVERY_MS.open,
      nowMs: () => performance.now(),
      log: (level, message) => this.#log[level](message),
    });
    this.#onStop('coinbase plans', () => planner.settle());
    return planner;
  }

  /** Every journal is whole and the ledger waits for each before any share can flow. */
  async #openLanes(database: Database, dataDir: string): Promise<RecoveredLanes> {
    const recovered = recoverLanes(dataDir, this.#config.connectionThreads);
    const ids = (running: boolean) =>
      recovered.lanes.filter((lane) => lane.running === running).map(({ nodeId }) => nodeId);
    const { round, missing } = await activateLanes(database, { running: ids(true), former: ids(false) });
    recovered.rounds.raiseTo(round);
    for (const nodeId of missing) {
      this.#log.error(
        `blocks are not credited: the ledger waits for shares of node ${nodeId}, and ${laneFolder(dataDir, nodeId)} ` +
          'is gone. Put it back; if it is lost, see "A block waits for every lane" in storage/README.md',
      );
    }
    return recovered;
  }

  /** Where each lane's journal stands; former lanes stand where they were left. */
  #laneHeads(lanes: readonly RecoveredLane[]): Map<number, LaneHead> {
    const stats = this.#connections.stats;
    return new Map(
      lanes.map((lane, index) => [lane.nodeId, lane.running ? (stats[index]?.journal ?? lane) : lane]),
    );
  }

  async #startConnections({ lanes, rounds }: RecoveredLanes, epoch: number): Promise<void> {
    const config = this.#config;
    const threads = config.connectionThreads;
    const share = (count: number): number => Math.ceil(count / threads);
    this.#connections = await ConnectionThreads.start({
      settings: {
        host: config.stratumHost,
        ports: config.stratumPorts,
        tls: config.tls,
        proxyFrom: config.proxyProtocolFrom,
        network: config.network,
        software: `millrace/${this.#options.version}`,
        caps: {
          ...defaultCaps(share(config.maxConnections)),
          perAddress: share(config.maxConnectionsPerAddress),
        },
        banSeconds: config.banDurationS,
        shareDifficulty: config.shareDifficulty,
        vardiff: config.vardiff,
        duplicateFilterEntries: share(config.duplicateFilterEntries),
        hashWorkers: share(config.hashWorkers),
        epoch,
        extranonce2Bytes: EXTRANONCE2_BYTES,
        rounds: rounds.memory,
        defaultScheme: config.payoutScheme,
        schemes: this.#schemes ?? NO_CHOICES,
        journalDurability: config.journalDurability,
      },
      lanes: lanes
        .filter(({ running }) => running)
        .map(({ nodeId, journalFolder }, lane) => ({ lane, nodeId, journalFolder })),
      onCandidate: (candidate) => this.#track(this.#submitCandidate(candidate)),
      onNeedJob: (lane) => this.#renewJob(lane),
      onStats: (stats) => this.picture?.connections(stats),
      onLog: (level, message, fields) => this.#log[level]({ part: 'stratum', ...fields }, message),
      onFailed: (error) => {
        this.#log.fatal({ err: error }, 'a connection thread failed: the pool cannot serve miners and ends');
        this.#options.onFatal();
      },
    });
    this.#onStop('connections', async () => {
      await this.#connections.drain();
      // Blocks are on disk: what no node takes now is submitted again at the next start.
      await within(Promise.allSettled(this.#blockWork), BLOCK_WORK_MS);
    });
    this.#listPorts();
  }

  /** Adds the ports to the startup table. */
  #listPorts(): void {
    const { stratumHost, stratumPorts } = this.#config;
    const [first = [], ...others] = this.#connections.ports;
    for (const [index, { name, kind, port }] of first.entries()) {
      const wanted = stratumPorts[index]?.port ?? 0;
      if (wanted !== 0 && port !== wanted) {
        this.#log.warn(`port ${wanted} is busy: miners connect to ${port}`);
      }
      const more = others.map((ports) => ports[index]?.port).filter((other) => other !== port);
      const workers = this.#connections.hashWorkers;
      this.parts.push({
        name: index === 0 ? 'Stratum V1' : `Stratum V1 ${KIND_NAMES[kind]}`,
        where:
          [`${stratumHost}:${port}`, ...more].join(' ') +
          (index === 0 ? `, ${workers} hash worker${workers === 1 ? '' : 's'}` : ` (${name})`),
        setting: index === 0 ? 'STRATUM_PORT' : 'STRATUM_PORTS',
      });
    }
    this.stratumPort = first[0]?.port ?? 0;
  }

  /** Sessions of that thread wait for a new difficulty, and it goes out with a fresh job only. */
  #renewJob(lane: number): void {
    const template = this.#templates?.current;
    const job = template === undefined ? null : this.#makeJob(template);
    if (job !== null) this.#connections.putUpForWaiting(lane, job);
  }

  /** Resolves with the first job, or after a while without one: the node may come later. */
  async #startTemplates(): Promise<void> {
    this.#templates = new TemplateSource({
      endpoints: this.servers.nodes,
      network: this.#config.network,
      refreshIntervalMs: this.#config.jobRefreshIntervalMs,
    });
    this.#templates.on('template', (event) => this.#takeTemplate(event));
    this.#templates.on('lost', ({ node, reason }) => {
      this.#log.error(`the node at ${node} is lost: ${reason}. Miners keep their last job until it is back`);
      this.picture.node('down', reason);
    });
    this.#templates.on('recovered', ({ node }) => {
      this.#log.info(`the node at ${node} gives templates again`);
      this.picture.node('ok', null);
    });
    this.#templates.on('switched', ({ node, reason }) => {
      this.#log.info(`templates come from the node at ${node} now: ${reason}`);
    });
    this.#templates.on('unfit', ({ node, reason }) => {
      this.#log.warn(`the node at ${node} could not take over: ${reason}`);
    });
    this.#templates.on('hints', ({ node, reason, isConnected }) => {
      if (isConnected) this.#log.info(`the node at ${node} tells of new blocks by ZMQ (${reason})`);
      else this.#log.warn(`the node at ${node} tells no more by ZMQ: ${reason}. Its long poll does`);
    });
    this.#templates.on('stale', ({ reason }) => {
      this.#log.error(`no node for a minute: the present work is probably wasted (${reason})`);
    });
    this.#onStop('templates', () => this.#templates.stop());
    // Their rows may still be candidates: the pool may have ended before it could book the refusal.
    for (const { hash, reason } of await this.#submitter.refusedBlocks()) this.#money.refuse(hash, reason);
    const first = new Promise((resolve) => this.#templates.once('template', resolve));
    this.#templates.start();
    await within(first, FIRST_JOB_MS);
  }

  #takeTemplate({ template, reason, isEmpty, spread, tipSeenMs }: TemplateEvent): void {
    // Compared here and not taken from the event: the tip may have moved more than once since the last job.
    const clean = template.previousBlockHash !== this.#tipHash;
    this.#tipHash = template.previousBlockHash;
    const job = this.#makeJob(template);
    const seenAtMs = clean ? performance.timeOrigin + tipSeenMs : null;
    if (job !== null) this.#connections.putUp(job, spread, seenAtMs);
    if (!isEmpty) this.#planner?.renew(template);
    // Nobody else has our own chain: it must survive its only node being killed. It keeps the node from all
    // else, so not while the full template behind an empty one is on its way.
    const isNewTip = clean || reason === 'full';
    if (isNewTip && !isEmpty && this.servers.ownNode) this.#track(this.#rpc.flushChainToDisk());
    this.picture.template(template);
    this.fleet?.pace(template.height, this.picture.networkDifficulty);
  }

  #makeJob(template: TemplateEvent['template']): JobMessage | null {
    try {
      return this.#jobs.make(template);
    } catch (error) {
      this.#log.error(
        `no job can be made of the template at height ${template.height}: ${(error as Error).message}`,
      );
      return null;
    }
  }

  /** A block goes to the nodes before anything else happens with it. */
  async #submitCandidate(candidate: CandidateMessage): Promise<void> {
    const made = this.#jobs.assemble(candidate);
    const hash = displayHash(candidate.hash);
    if (made === null) {
      this.#log.error(`block ${hash} was found on a job that is forgotten and cannot be submitted`);
      return;
    }
    const { height } = made.job;
    const outcome = await this.#submitter.submitBlock({ height, hash, hex: made.block.blockHex });
    this.#settleSubmission(hash, outcome);
    this.#options.onEvent({
      type: 'block_found',
      height,
      hash,
      account: candidate.account,
      worker: candidate.worker,
      status: outcome.status,
      reason: outcome.reason,
    });
  }

  #settleSubmission(hash: string, outcome: SubmitOutcome): void {
    if (outcome.status === 'rejected') this.#money.refuse(hash, outcome.reason);
    const result: BlockSubmitResult = outcome.isPending ? 'error' : outcome.status;
    this.#api?.send({ type: 'block_submitted', result, durationS: outcome.durationMs / 1000 });
    this.#step();
  }

  /** Blocks that an earlier run found but could not bring to a node. */
  #resubmit(block: { height: number; hash: string; hex: string }): void {
    this.#log.warn(`submitting block ${block.hash} (height ${block.height}) of an earlier run again`);
    const submitted = this.#submitter.submitBlock(block);
    this.#track(submitted.then((outcome) => this.#settleSubmission(block.hash, outcome)));
  }

  /** Work on a block that the end of the pool waits for. */
  #track(work: Promise<void>): void {
    const guarded = work
      .catch((error: Error) => this.#log.error({ err: error }, `block: ${error.message}`))
      .finally(() => this.#blockWork.delete(guarded));
    this.#blockWork.add(guarded);
  }

  async #startMiners(wallets: Wallets): Promise<void> {
    const config = this.#config;
    if (config.simMiners === 0) return;
    const accounts = await wallets.minerAddresses(Math.min(SIM_ACCOUNTS, config.simMiners));
    // Without a wallet for them the simulated miners work for the pool itself.
    if (accounts.length === 0 && config.poolAddress !== null) accounts.push(config.poolAddress);
    this.fleet = new SimFleet({
      host:
        config.stratumHost === '0.0.0.0' || config.stratumHost === '::' ? '127.0.0.1' : config.stratumHost,
      port: this.stratumPort,
      accounts,
      miners: config.simMiners,
      hashrateHs: config.simHashrateHs,
      log: (level, message) => this.#log[level]({ part: 'miners' }, message),
    });
    const template = this.#templates.current;
    if (template !== undefined) this.fleet.pace(template.height, this.picture.networkDifficulty);
    this.#onStop('simulated miners', async () => this.fleet?.stop());
    this.picture.fleet = this.fleet;
    this.parts.push({
      name: 'Simulated miners',
      where: `${config.simMiners}, a process of their own (pid ${this.fleet.pid})`,
      setting: '--sim-miners 0',
    });
  }

  async #startApi(): Promise<void> {
    const { apiHost, apiPort } = this.#config;
    const api = await ApiThread.start(apiHost, apiPort, this.servers.clickhouseReader, this.#log);
    this.#api = api;
    this.#onStop('API', () => api.stop());
    this.apiPort = api.port;
    this.parts.push({ name: 'API and page', where: `${apiHost}:${api.port}`, setting: 'API_PORT' });
  }

  /** Moves blocks and payouts on; one at a time, and an outage is reported once. */
  #step(): void {
    if (this.#stepBusy) return;
    this.#stepBusy = true;
    this.#stepping = (async () => {
      try {
        await this.#money.step();
        if (this.#stepTrouble !== null) this.#log.info('blocks and payouts move on again');
        this.#stepTrouble = null;
      } catch (error) {
        const { code = '' } = error as { code?: string };
        const isPostgres = !(error instanceof NodeRpcError) && STARTING_POSTGRES.has(code);
        const trouble = isPostgres ? explainPostgresError(error) : (error as Error).message;
        if (this.#stepTrouble === null) this.#log.error(`blocks and payouts wait: ${trouble}`);
        this.#stepTrouble = trouble;
      } finally {
        this.#stepBusy = false;
      }
      this.picture?.money(this.#money, this.#stepTrouble);
    })();
  }

  #trimJournals(lanes: readonly RecoveredLane[], shipper: Shipper): void {
    const rule = { keepMs: RETENTION_MS, bytesMax: this.#config.journalBytesMax / lanes.length };
    for (const { nodeId, journalFolder } of lanes) {
      try {
        const needed = shipper.neededSegment(nodeId);
        const { segments, bytes } = removeConsumedSegments(journalFolder, needed, Date.now(), rule);
        if (segments > 0) this.#log.info({ nodeId, segments, bytes }, 'old journal segments removed');
      } catch (error) {
        this.#log.warn(`old journal segments could not be removed: ${(error as Error).message}`);
      }
    }
  }

  async #sendPicture(): Promise<void> {
    if (this.#picturing) return;
    this.#picturing = true;
    try {
      this.#api?.send({ type: 'snapshot', snapshot: await this.picture.take() });
    } catch (error) {
      this.#log.error({ err: error }, 'statistics could not be gathered');
    } finally {
      this.#picturing = false;
    }
  }

  #onStop(what: string, stop: () => Promise<unknown>): void {
    this.#stops.push({ what, stop });
  }

  /** Adds a stop that runs right after that of `after`. */
  #insertStop(after: string, what: string, stop: () => Promise<unknown>): void {
    const index = this.#stops.findIndex((each) => each.what === after);
    this.#stops.splice(index, 0, { what, stop });
  }

  async #stopAll(): Promise<void> {
    for (const { what, stop } of this.#stops.reverse()) {
      try {
        await stop();
      } catch (error) {
        this.#log.warn(`${what} did not stop cleanly: ${(error as Error).message}`);
      }
    }
  }
}

/** Waits for `promise`, but no longer than `ms`. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    promise,
    new Promise((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}
