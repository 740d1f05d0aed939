// The program of the connection thread (a worker_thread): accepts miners, reads their lines, owns the
// share path and the journal. It knows no database and no node; the coordinator gives it jobs and gets
// block candidates. One write per socket per event-loop turn.
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { JournalWriter } from '../../storage/journal/writer.js';
import { projectRoot } from '../../storage/project-root.js';
import { createSlab } from '../../wasm/kernel.js';
import { DuplicateFilter } from '../shares/duplicate-filter.js';
import { SharePath, type Submission } from '../shares/share-path.js';
import { ValidationPool } from '../shares/validation-pool.js';
import { ExtranonceLeases } from '../work/extranonce.js';
import { type ShareVerdict, VERDICTS } from '../work/verdict.js';
import { DifficultyMemory } from './difficulty-memory.js';
import { type BoardJob, JobBoard } from './job-board.js';
import { LineReader } from './line-reader.js';
import type { PortProfile } from './port-profile.js';
import { type KeptSession, RESUMABLE_MAX, RESUME_WITHIN_MS, ResumableSessions } from './resumption.js';
import type {
  ConnectionThreadSettings,
  ConnectionThreadStats,
  FromConnectionThread,
  JobMessage,
  ToConnectionThread,
} from './thread-messages.js';
import type { UserName } from './user-name.js';
import { Session, type SessionHost } from './v1/session.js';

const LINE_MAX_BYTES = 16 * 1024;
/** Unsent data at which a peer that does not read is dropped. */
const UNSENT_MAX_BYTES = 256 * 1024;
/** Shares in flight at which a session's socket is not read until some are answered. */
const IN_FLIGHT_MAX = 1024;
const SUBSCRIBE_WITHIN_MS = 15_000;
const AUTHORIZE_WITHIN_MS = 30_000;
const SWEEP_MS = 1000;
const NEED_JOB_EVERY_MS = 2000;
const PORTS_TRIED = 20;
/** A dead peer (power cut, pulled cable) is noticed by TCP keep-alive after about this long idle. */
const KEEP_ALIVE_MS = 60_000;
const DRAIN_WITHIN_MS = 5000;
const LAST_WORDS_MS = 2000;
const ACCOUNTS_SHOWN = 1000;
const DELAY_SAMPLE_MS = 10;
const DIFFICULTY_CEILING = 1e15;
/** User names whose last difficulty is remembered, and for how long. */
const REMEMBERED_MAX = 100_000;
const REMEMBERED_MS = 24 * 3600_000;

interface Connection {
  socket: Socket;
  session: Session;
  reader: LineReader;
  out: string;
  dirty: boolean;
}

if (parentPort === null)
  throw new Error('connection-thread.js is a worker thread of the pool, not a program');
const parent = parentPort;
const settings = workerData as ConnectionThreadSettings;
const post = (message: FromConnectionThread): void => parent.postMessage(message);
const nowMs = (): number => performance.now();
/** Wall clock in microseconds; follows clock corrections, unlike performance.timeOrigin. */
const nowUs = (): number => Date.now() * 1000 + Math.floor((performance.now() % 1) * 1000);

/** A farm that was away for hours must not come back to a difficulty at which it floods us. */
const vardiffFloor = (): number => Math.max(1e-10, settings.shareDifficulty / 4096);

const PORT: PortProfile = {
  ...{ name: 'stratum', port: settings.port, kind: 'tcp' },
  ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
};

function softwareName(): string {
  const { version } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return `millrace/${version}`;
}

/** The histogram holds the time between two samples: what exceeds their interval is delay. */
const delayMs = (sampledNs: number): number => Math.max(0, sampledNs / 1e6 - DELAY_SAMPLE_MS);

class ConnectionThread implements SessionHost {
  readonly network = settings.network;
  readonly extranonce2Bytes = settings.extranonce2Bytes;
  readonly startDifficulty = settings.shareDifficulty;
  readonly difficultyFloor = vardiffFloor();
  readonly difficultyCeiling = DIFFICULTY_CEILING;
  readonly vardiff = settings.vardiff.enabled ? { sharesPerMinute: settings.vardiff.sharesPerMinute } : null;
  readonly software = softwareName();

  readonly #memory = createSlab();
  readonly #journal: JournalWriter;
  readonly #filter: DuplicateFilter;
  readonly #pool: ValidationPool;
  readonly #shares: SharePath;
  readonly #board: JobBoard;
  /** Filled anew for each share; the share path copies it. */
  readonly #submission = {} as Submission;
  readonly #leases: ExtranonceLeases;
  /** Closed sessions; their extranonce1 stays leased until they are gone. */
  readonly #resumables: ResumableSessions;
  readonly #difficulties = new DifficultyMemory({
    limit: REMEMBERED_MAX,
    ageMaxMs: REMEMBERED_MS,
    nowMs,
  });
  readonly #connections = new Map<Session, Connection>();
  /** Journal identity -> who it is, while a share of it may come or be in judgement. */
  readonly #names = new Map<number, UserName>();
  /** Closed sessions with shares in judgement. */
  readonly #leaving = new Set<Session>();
  readonly #closed: Record<string, number> = {};
  readonly #unjournaled = new Map<ShareVerdict, number>();
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_SAMPLE_MS });
  #dirty: Connection[] = [];
  #flushScheduled = false;
  #accepted = 0;
  #nextSession = 1;
  #nextIdentity = 1;
  #failing: string | null = null;
  #sealFailed = false;
  #neededJobAt = Number.NEGATIVE_INFINITY;
  #draining = false;
  #server: Server | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;

  constructor() {
    this.#journal = new JournalWriter({ folder: settings.journalFolder, nodeId: settings.nodeId, nowMs });
    this.#filter = new DuplicateFilter(settings.duplicateFilterEntries);
    this.#leases = new ExtranonceLeases({ lane: 0, epoch: settings.epoch });
    this.#resumables = new ResumableSessions({
      limit: RESUMABLE_MAX,
      keepMs: RESUME_WITHIN_MS,
      nowMs,
      onGone: ({ extranonce1 }) => this.#leases.release(extranonce1, this.#board.current?.key ?? 0),
    });
    this.#board = new JobBoard({
      memory: this.#memory,
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
        const { account, worker } = this.#names.get(candidate.identity) ?? { account: '', worker: '' };
        post({ type: 'candidate', candidate: { ...candidate, account, worker } });
      },
      onJournal: (error) => this.#journalState(error),
      onSettled: () => this.#flush(),
    });
    this.#delay.enable();
  }

  async start(): Promise<void> {
    await this.#pool.ready();
    const port = await this.#listen();
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    const { workers } = this.#pool;
    post({ type: 'listening', port, hashWorkers: workers });
    post({ type: 'stats', stats: this.#stats() });
  }

  handle(message: ToConnectionThread): void {
    if (message.type === 'job') this.#putUpJob(message.job, message.clean, message.audience);
    else void this.#drain();
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

  defineIdentity(name: UserName, agent: string, remote: string): number {
    const id = this.#nextIdentity++;
    this.#journal.defineIdentity(id, { account: name.account, worker: name.worker, agent, remote });
    this.#names.set(id, name);
    return id;
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
    if (session.inFlight >= IN_FLIGHT_MAX) this.#connections.get(session)?.socket.pause();
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
    const connection = this.#connections.get(session);
    if (connection === undefined) return;
    connection.out += line;
    if (connection.dirty) return;
    connection.dirty = true;
    this.#dirty.push(connection);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => this.#flush());
  }

  close(session: Session, reason: string): void {
    const connection = this.#connections.get(session);
    if (connection === undefined) return;
    this.#closed[reason] = (this.#closed[reason] ?? 0) + 1;
    const { socket } = connection;
    // What it still sends is nobody's any more: its names are given back.
    socket.removeAllListeners('data');
    if (connection.out.length > 0 && !socket.destroyed) {
      socket.end(connection.out, 'latin1');
      // A peer that does not take its last words must not keep its socket either.
      setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
      socket.resume();
    } else {
      socket.destroy();
    }
    this.#forget(connection);
  }

  #forget(connection: Connection): void {
    const { session } = connection;
    const kept = session.leave();
    if (kept !== null) this.#resumables.keep(session.sessionId, kept);
    this.#connections.delete(session);
    // Its shares may still be in judgement: names are needed until they are settled.
    if (session.inFlight > 0) this.#leaving.add(session);
    else this.#release(session);
  }

  #release(session: Session): void {
    for (const identity of session.workers.values()) {
      this.#journal.forgetIdentity(identity);
      this.#names.delete(identity);
    }
  }

  #flush(): void {
    this.#flushScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) {
      connection.dirty = false;
      const { socket, session } = connection;
      if (session.closed) continue;
      if (!this.#draining && socket.isPaused() && session.inFlight < IN_FLIGHT_MAX / 2) socket.resume();
      if (connection.out === '') continue;
      const { out } = connection;
      connection.out = '';
      socket.write(out, 'latin1');
      if (socket.writableLength > UNSENT_MAX_BYTES) this.close(session, 'not_reading');
    }
  }

  #putUpJob(message: JobMessage, clean: boolean, audience: 'all' | 'retarget'): void {
    const job = this.#board.add(message, audience === 'all');
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
    });
    const oldest = this.#board.oldestKey;
    for (const session of this.#connections.keys()) {
      session.forgetJobsBelow(oldest);
      if (audience === 'all' || session.waitsForJob) session.sendJob(job, clean);
    }
    this.#leases.expire(oldest);
    this.#flush();
  }

  async #listen(): Promise<number> {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    server.on('connection', (socket) => this.#accept(socket));
    this.#server = server;
    for (let port = settings.port; ; port++) {
      try {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          server.listen({ host: settings.host, port, backlog: 4096 }, () => {
            server.off('error', reject);
            resolve();
          });
        });
        const address = server.address();
        server.on('error', (error) => this.#log('error', `stratum port: ${error.message}`));
        return typeof address === 'object' && address !== null ? address.port : port;
      } catch (error) {
        const busy = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
        if (!busy || port >= settings.port + PORTS_TRIED) throw error;
      }
    }
  }

  #accept(socket: Socket): void {
    if (this.#draining || this.#connections.size >= settings.maxConnections) {
      this.#closed.full = (this.#closed.full ?? 0) + 1;
      socket.destroy();
      return;
    }
    this.#accepted++;
    const session = new Session(this, this.#nextSession++, socket.remoteAddress ?? '', PORT);
    const reader = new LineReader(LINE_MAX_BYTES);
    const connection: Connection = { socket, session, reader, out: '', dirty: false };
    this.#connections.set(session, connection);
    socket.on('data', (chunk: Buffer) => {
      const receivedUs = nowUs();
      const fits = reader.push(chunk, (line) => {
        session.handleLine(line, receivedUs);
        return !session.closed;
      });
      if (fits) session.endOfInput();
      else this.close(session, 'line_too_long');
    });
    socket.on('error', () => this.close(session, 'connection_error'));
    socket.on('close', () => this.close(session, 'peer'));
  }

  #sweep(): void {
    const now = nowMs();
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
    let waiting = false;
    for (const session of this.#connections.keys()) {
      const age = now - session.connectedAtMs;
      if (!session.subscribed && age > SUBSCRIBE_WITHIN_MS) this.close(session, 'no_subscribe');
      else if (!session.authorized && age > AUTHORIZE_WITHIN_MS) this.close(session, 'no_authorize');
      else {
        session.retarget();
        waiting ||= session.waitsForJob;
      }
    }
    if (waiting) this.needJob();
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
    const accounts = new Map<string, Set<string>>();
    let workers = 0;
    let sessions = 0;
    for (const session of this.#connections.keys()) {
      if (!session.authorized) continue;
      sessions++;
      for (const { account, worker } of session.names.values()) {
        const names = accounts.get(account) ?? new Set();
        if (!names.has(worker)) workers++;
        accounts.set(account, names.add(worker));
      }
    }
    const verdicts: Record<string, number> = {};
    for (const { code, name } of VERDICTS) {
      verdicts[name] = (this.#shares.counts[code] ?? 0) + (this.#unjournaled.get(name) ?? 0);
    }
    const stats: ConnectionThreadStats = {
      connections: this.#connections.size,
      accepted: this.#accepted,
      closed: { ...this.#closed },
      sessions,
      miners: accounts.size,
      workers,
      verdicts,
      acceptedDifficulty: this.#shares.acceptedDifficulty,
      acceptedSquares: this.#shares.acceptedSquares,
      heaviestDifficulty: this.#shares.heaviestDifficulty,
      workersByAccount: [...accounts]
        .slice(0, ACCOUNTS_SHOWN)
        .map(([account, names]): [string, number] => [account, names.size]),
      duplicateFilterEntries: this.#filter.count,
      journal: {
        nextSeq: this.#journal.nextSeq,
        acceptedTotal: this.#journal.acceptedTotal,
        round: this.#journal.round,
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
    this.#server?.close();
    for (const { socket } of this.#connections.values()) socket.pause();
    const until = nowMs() + DRAIN_WITHIN_MS;
    while (this.#shares.outstanding > 0 && nowMs() < until) {
      this.#shares.drain();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#delay.disable();
    for (const session of [...this.#connections.keys()]) this.close(session, 'shutdown');
    try {
      this.#journal.close();
    } catch (error) {
      // All that was answered `true` is committed: only the mark that ends the batch is missing.
      this.#journalState(error as Error);
    }
    post({ type: 'stats', stats: this.#stats() });
    await this.#pool.close();
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
