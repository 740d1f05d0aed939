// The program of a connection thread (a worker_thread): accepts miners, reads their lines, owns the share
// path and the journal. It knows no database and no node; the coordinator gives it jobs and gets block
// candidates. Connections and their rules are in connections.ts, ports in listeners.ts.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { PowerJournalWriter } from '../../storage/journal/power-writer.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { createSlab } from '../../wasm/kernel.js';
import { DuplicateFilter } from '../shares/duplicate-filter.js';
import { SharePath } from '../shares/share-path.js';
import type { Submission } from '../shares/submission.js';
import { ValidationPool } from '../shares/validation-pool.js';
import { EXTRANONCE1_BYTES, ExtranonceLeases } from '../work/extranonce.js';
import { type ShareVerdict, VERDICTS, verdictByName } from '../work/verdict.js';
import { Connections } from './connections.js';
import { DifficultyMemory } from './difficulty-memory.js';
import { Identities } from './identities.js';
import { type BoardJob, JobBoard } from './job-board.js';
import { Listeners } from './listeners.js';
import type { PortProfile } from './port-profile.js';
import { type KeptSession, RESUMABLE_MAX, RESUME_WITHIN_MS, ResumableSessions } from './resumption.js';
import { Roster } from './roster.js';
import { SchemeChoice } from './scheme-choice.js';
import type {
  ConnectionThreadSettings,
  ConnectionThreadStats,
  FromConnectionThread,
  ToConnectionThread,
} from './thread-messages.js';
import { BalancerList } from './transports/proxy-protocol.js';
import type { UserName } from './user-name.js';
import type { Session } from './v1/session.js';
import type { SessionHost } from './v1/session-host.js';

type PutUp = Extract<ToConnectionThread, { type: 'job' }>;

const FILTER_FULL = verdictByName('filter_full').code;
const SWEEP_MS = 100;
const HOUSEKEEPING_MS = 1000;
const NEED_JOB_EVERY_MS = 2000;
const DRAIN_WITHIN_MS = 5000;
/** Peers that do not hang up are cut by their wires well before. */
const HANG_UP_WITHIN_MS = 3000;
const ACCOUNTS_SHOWN = 1000;
const BANS_SHOWN = 100;
const WARNINGS_MAX = 100;
const DELAY_SAMPLE_MS = 10;
const RENEW_SLICE_MS = 2;
/** User names whose last difficulty is remembered, and for how long. */
const REMEMBERED_MAX = 100_000;
const REMEMBERED_MS = 24 * 3600_000;

if (parentPort === null)
  throw new Error('connection-thread.js is a worker thread of the pool, not a program');
const parent = parentPort;
const settings = workerData as ConnectionThreadSettings;
const post = (message: FromConnectionThread): void => parent.postMessage(message);
const nowMs = (): number => performance.now();
/** Wall clock in microseconds; follows clock corrections, unlike performance.timeOrigin. */
const nowUs = (): number => Date.now() * 1000 + Math.floor((performance.now() % 1) * 1000);

/** The histogram holds the time between two samples: what exceeds their interval is delay. */
const delayMs = (sampledNs: number): number => Math.max(0, sampledNs / 1e6 - DELAY_SAMPLE_MS);

class ConnectionThread implements SessionHost {
  readonly network = settings.network;
  readonly extranonce2Bytes = settings.extranonce2Bytes;
  readonly software = settings.software;
  readonly startDifficulty = settings.shareDifficulty;
  readonly difficultyFloor = settings.vardiff.floor;
  readonly difficultyCeiling = settings.vardiff.ceiling;
  readonly vardiff = settings.vardiff.enabled
    ? { sharesPerMinute: settings.vardiff.sharesPerMinute, powersOfTwo: settings.vardiff.powersOfTwo }
    : null;

  readonly #memory = createSlab();
  readonly #journal: JournalWriter;
  readonly #filter: DuplicateFilter;
  readonly #pool: ValidationPool;
  readonly #shares: SharePath;
  readonly #board: JobBoard;
  readonly #connections: Connections;
  /** Filled anew for each share; the share path copies it. */
  readonly #submission = {} as Submission;
  readonly #leases: ExtranonceLeases;
  /** Closed sessions; their extranonce1 stays leased until they are gone. */
  readonly #resumables: ResumableSessions;
  readonly #difficulties = new DifficultyMemory({ limit: REMEMBERED_MAX, ageMaxMs: REMEMBERED_MS, nowMs });
  readonly #roster = new Roster();
  readonly #schemes = new SchemeChoice(settings.defaultScheme ?? 'pplns');
  /** Known while a share of theirs may come or be in judgement. */
  readonly #identities: Identities;
  readonly #authorized = new Set<Session>();
  /** Closed sessions with shares in judgement. */
  readonly #leaving = new Set<Session>();
  readonly #unjournaled = new Map<ShareVerdict, number>();
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_SAMPLE_MS });
  readonly #warned = new Set<string>();
  #listeners: Listeners | null = null;
  #failing: string | null = null;
  #sealFailed = false;
  #refusedByFilter = 0;
  #neededJobAt = Number.NEGATIVE_INFINITY;
  #draining = false;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor() {
    const Writer = settings.journalDurability === 'power' ? PowerJournalWriter : JournalWriter;
    this.#journal = new Writer({
      folder: settings.journalFolder,
      nodeId: settings.nodeId,
      nowMs,
      rounds: new RoundCounter(settings.rounds),
    });
    if (settings.schemes !== undefined) this.#schemes.replace(settings.schemes);
    this.#identities = new Identities(this.#journal, this.#schemes);
    this.#filter = new DuplicateFilter(settings.duplicateFilterEntries);
    this.#leases = new ExtranonceLeases({ lane: settings.lane, epoch: settings.epoch });
    this.#resumables = new ResumableSessions({
      limit: RESUMABLE_MAX,
      keepMs: RESUME_WITHIN_MS,
      nowMs,
      onGone: ({ extranonce1 }) => this.#leases.release(extranonce1, this.#board.current?.key ?? 0),
    });
    this.#board = new JobBoard({
      memory: this.#memory,
      extranonceBytes: EXTRANONCE1_BYTES + settings.extranonce2Bytes,
      nowMs,
      // What is not credited cannot be credited twice: its hashes need not be remembered.
      onStale: (job) => this.#filter.forgetJob(job.key),
      onDead: (job) => {
        this.#filter.forgetJob(job.key);
        this.#journal.forgetJob(job.key);
      },
    });
    this.#pool = new ValidationPool({
      memory: this.#memory,
      workers: settings.hashWorkers,
      onDoorbell: () => this.#shares.drain(),
      onWorkerLost: (error) => this.#log('error', `a hash worker died and is replaced: ${error.message}`),
    });
    this.#shares = new SharePath({
      memory: this.#memory,
      pool: this.#pool,
      filter: this.#filter,
      journal: this.#journal,
      nowUs,
      onCandidate: (candidate) => {
        const { account, worker } = this.#identities.nameOf(candidate.identity) ?? {
          account: '',
          worker: '',
        };
        post({ type: 'candidate', candidate: { ...candidate, account, worker } });
      },
      onJournal: (error) => this.#journalState(error),
      onFault: (message) => this.#log('error', message),
      onSettled: () => this.#connections.flush(),
    });
    this.#connections = new Connections({
      caps: settings.caps,
      banSeconds: settings.banSeconds,
      neverBanned: new BalancerList(settings.proxyFrom).list,
      ...{ nowMs, nowUs },
      oldestJobKey: () => this.#board.oldestKey,
      host: this,
      onLeft: (session) => this.#left(session),
      log: (level, message) => this.#log(level, message),
    });
    this.#delay.enable();
  }

  async start(): Promise<void> {
    await this.#pool.ready();
    const { host, ports, tls, proxyFrom, reusePort } = settings;
    this.#listeners = await Listeners.open({
      ...{ host, ports, tls, proxyFrom, reusePort },
      accept: this.#connections.accept,
      log: (level, message) => this.#log(level, message),
    });
    this.#timers.push(
      setInterval(() => this.#sweep(), SWEEP_MS),
      setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS),
    );
    post({ type: 'listening', ports: this.#listeners.ports, hashWorkers: this.#pool.workers });
    post({ type: 'stats', stats: this.#stats() });
  }

  handle(message: ToConnectionThread): void {
    if (message.type === 'job') this.#putUpJob(message);
    else if (message.type === 'schemes') {
      this.#schemes.replace(message);
      this.#renewIdentities(this.#authorized.values());
    } else void this.#drain();
  }

  // What sessions ask of this thread.

  nowMs(): number {
    return nowMs();
  }

  currentJob(): BoardJob | null {
    return this.#board.current;
  }

  findJob(id: string): BoardJob | undefined {
    return this.#board.find(id);
  }

  leaseExtranonce1(): Uint8Array | null {
    return this.#leases.lease();
  }

  takeClosedSession(id: string): KeptSession | null {
    return this.#resumables.take(id);
  }

  recallDifficulty({ account, worker }: UserName): number | null {
    return this.#difficulties.recall(`${account}.${worker}`);
  }

  rememberDifficulty({ account, worker }: UserName, difficulty: number): void {
    this.#difficulties.remember(`${account}.${worker}`, difficulty);
  }

  needJob(): void {
    const now = nowMs();
    if (this.#board.current === null || now - this.#neededJobAt < NEED_JOB_EVERY_MS) return;
    this.#neededJobAt = now;
    post({ type: 'need_job' });
  }

  defineIdentity(name: UserName, agent: string, remote: string, port: PortProfile): number {
    this.#roster.add(name);
    return this.#identities.define(name, agent, remote, port);
  }

  warnOnce(message: string): void {
    if (this.#warned.has(message) || this.#warned.size >= WARNINGS_MAX) return;
    this.#warned.add(message);
    this.#log('warn', message);
  }

  authorized(session: Session): void {
    this.#authorized.add(session);
    this.#connections.sessionAuthorized(session);
  }

  submitShare: SessionHost['submitShare'] = (session, share, target) => {
    const submission = this.#submission;
    submission.owner = session;
    submission.requestId = share.requestId;
    submission.identity = share.identity;
    submission.job = share.job;
    submission.target = target;
    submission.stale = share.job.stale;
    submission.extranonce1 = session.extranonce1;
    submission.extranonce2 = share.extranonce2;
    submission.version = share.version;
    submission.ntime = share.ntime;
    submission.nonce = share.nonce;
    submission.receivedUs = share.receivedUs;
    const taken = this.#shares.submit(submission);
    // Rings hold far more than sockets are allowed to have in flight; if they are full all the same,
    // this share is refused in words rather than forgotten.
    if (!taken) this.refuseShare(session, { ...share, verdict: 'storage_failed' }, target);
    this.#connections.limitInFlight(session);
  };

  refuseShare: SessionHost['refuseShare'] = (session, refusal, target) => {
    this.#shares.refuse({
      owner: session,
      requestId: refusal.requestId,
      identity: refusal.identity,
      jobKey: refusal.job?.key ?? 0,
      verdict: refusal.verdict,
      target,
      version: 0,
      ntime: refusal.ntime,
      nonce: refusal.nonce,
      receivedUs: refusal.receivedUs,
    });
  };

  countUnjournaled(verdict: ShareVerdict): void {
    this.#unjournaled.set(verdict, (this.#unjournaled.get(verdict) ?? 0) + 1);
  }

  send(session: Session, line: string): void {
    this.#connections.send(session, line);
  }

  sendShared(session: Session, line: Buffer): void {
    this.#connections.sendShared(session, line);
  }

  close(session: Session, reason: string): void {
    this.#connections.close(session, reason);
  }

  // The thread's own.

  #left(session: Session): void {
    const kept = session.leave();
    if (kept !== null) this.#resumables.keep(session.sessionId, kept);
    this.#authorized.delete(session);
    for (const name of session.names) this.#roster.remove(name);
    // Its shares may still be in judgement: names are needed until they are settled.
    if (session.inFlight > 0) this.#leaving.add(session);
    else this.#release(session);
  }

  #release(session: Session): void {
    for (const identity of session.workers.values()) this.#identities.forget(identity);
  }

  /** In slices: a change of scheme may concern everybody, and no miner waits for it. */
  #renewIdentities(sessions: Iterator<Session>): void {
    const until = nowMs() + RENEW_SLICE_MS;
    for (let next = sessions.next(); next.done !== true; next = sessions.next()) {
      next.value.renewIdentities((identity) => this.#identities.current(identity));
      if (nowMs() < until) continue;
      setImmediate(() => this.#renewIdentities(sessions));
      return;
    }
  }

  #putUpJob(put: PutUp): void {
    const { job: message, audience, spread, tipSeenAtMs } = put;
    let job: BoardJob;
    try {
      job = this.#board.add(message, audience === 'all');
    } catch (error) {
      this.#log('error', `job ${message.id} cannot be put up: ${(error as Error).message}`);
      return;
    }
    this.#journal.defineJob(message.key, {
      jobId: message.id,
      height: message.height,
      previousBlock: message.previousBlockHash,
      version: message.version,
      bits: message.bits,
      time: message.curtime,
      coinbase1: Buffer.from(message.coinbase1).toString('hex'),
      coinbase2: Buffer.from(message.coinbase2).toString('hex'),
      branch: message.branch.map((hash) => Buffer.from(hash).toString('hex')),
      networkDifficulty: message.networkDifficulty,
      bornMs: Math.floor(nowUs() / 1000),
      ...(message.plan === undefined ? {} : { plan: message.plan }),
    });
    if (audience === 'all') this.#connections.putUpForAll(job, spread, tipSeenAtMs);
    else this.#connections.putUpForWaiting(job);
    this.#leases.expire(this.#board.oldestKey);
  }

  #sweep(): void {
    this.#connections.sweep();
    if (this.#connections.waitsForJob) this.needJob();
  }

  #keepHouse(): void {
    try {
      this.#journal.sealWhenDue();
      // What could not be sealed has been: unless shares are refused too, the journal is well again.
      if (this.#sealFailed && !this.#shares.journalDown) this.#journalState(null);
      this.#sealFailed = false;
    } catch (error) {
      this.#sealFailed = true;
      this.#journalState(error as Error);
    }
    this.#board.retireOld();
    this.#resumables.expire();
    for (const session of this.#leaving) {
      if (session.inFlight > 0) continue;
      this.#leaving.delete(session);
      this.#release(session);
    }
    post({ type: 'stats', stats: this.#stats() });
  }

  /** The disk refused the journal, or takes it again; said once each. */
  #journalState(error: Error | null): void {
    const was = this.#failing;
    this.#failing = error?.message ?? null;
    if (error !== null && was === null) this.#log('error', error.message);
    if (error === null && was !== null) this.#log('info', 'the share journal takes shares again');
  }

  #stats(): ConnectionThreadStats {
    const verdicts: Record<string, number> = {};
    for (const { code, name } of VERDICTS) {
      verdicts[name] = (this.#shares.counts[code] ?? 0) + (this.#unjournaled.get(name) ?? 0);
    }
    const refusedByFilter = this.#shares.counts[FILTER_FULL] ?? 0;
    const duplicateFilterFull = refusedByFilter > this.#refusedByFilter;
    this.#refusedByFilter = refusedByFilter;
    const { not_accepted: _, ...early } = this.#listeners?.refused ?? {};
    const stats: ConnectionThreadStats = {
      connections: this.#connections.count,
      accepted: this.#connections.accepted,
      closed: { ...early, ...this.#connections.closed },
      bans: this.#connections.bans.slice(0, BANS_SHOWN),
      sessions: this.#connections.authorized,
      miners: this.#roster.accounts,
      workers: this.#roster.workers,
      verdicts,
      acceptedDifficulty: this.#shares.acceptedDifficulty,
      acceptedSquares: this.#shares.acceptedSquares,
      heaviestDifficulty: this.#shares.heaviestDifficulty,
      workersByAccount: this.#roster.workersByAccount(ACCOUNTS_SHOWN),
      duplicateFilterEntries: this.#filter.count,
      duplicateFilterFull,
      tip: this.#connections.tip,
      journal: {
        nextSeq: this.#journal.nextSeq,
        acceptedTotal: this.#journal.acceptedTotal,
        bytes: this.#journal.totalBytes,
        failing: this.#failing,
      },
      eventLoopDelayMs: {
        p50: delayMs(this.#delay.percentile(50)),
        p99: delayMs(this.#delay.percentile(99)),
        max: delayMs(this.#delay.max),
      },
    };
    this.#delay.reset();
    return stats;
  }

  /** Stops accepting and reading, answers what is in flight, closes the journal. */
  async #drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const allGone = this.#listeners?.close();
    this.#connections.drain();
    const until = nowMs() + DRAIN_WITHIN_MS;
    while (this.#shares.outstanding > 0 && nowMs() < until) {
      this.#shares.drain();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const timer of this.#timers) clearInterval(timer);
    this.#delay.disable();
    this.#connections.closeAll('shutdown');
    try {
      this.#journal.close();
    } catch (error) {
      // All that was answered `true` is committed: only the mark that ends the batch is missing.
      this.#journalState(error as Error);
    }
    post({ type: 'stats', stats: this.#stats() });
    await this.#pool.close();
    // Each wire ends by itself; uWebSockets.js must be closed before its thread ends.
    const late = new Promise((resolve) => setTimeout(resolve, HANG_UP_WITHIN_MS).unref());
    await Promise.race([allGone, late]);
    post({ type: 'drained' });
    parent.close();
  }

  #log(level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void {
    post({ type: 'log', level, message, ...(fields === undefined ? {} : { fields }) });
  }
}

try {
  const thread = new ConnectionThread();
  parent.on('message', (message: ToConnectionThread) => thread.handle(message));
  await thread.start();
} catch (error) {
  post({ type: 'failed', reason: (error as Error).message });
}
