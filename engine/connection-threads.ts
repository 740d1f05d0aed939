// The connection threads as the coordinator sees them: starts them, hands jobs down, carries what they say up, sums
// their figures, drains them. Each has an extranonce lane and a journal of its own, so they share nothing: a share of
// one can never be a duplicate of another's. They share the ports where the platform lets them (Node >= 22.12),
// elsewhere each takes the next free ones.
import { Worker } from 'node:worker_threads';
import type { PortProfile } from './stratum/port-profile.js';
import type { SchemeSettings } from './stratum/scheme-choice.js';
import type {
  CandidateMessage,
  ConnectionThreadSettings,
  ConnectionThreadStats,
  FromConnectionThread,
  JobMessage,
  ToConnectionThread,
} from './stratum/thread-messages.js';

/** What differs from thread to thread. */
export type LaneSettings = Pick<ConnectionThreadSettings, 'lane' | 'nodeId' | 'journalFolder'>;

export interface ConnectionThreadsOptions {
  settings: Omit<ConnectionThreadSettings, keyof LaneSettings | 'reusePort'>;
  lanes: readonly LaneSettings[];
  onCandidate: (candidate: CandidateMessage) => void;
  /** Sessions of that thread wait for a new difficulty and the last job is too old to carry it. */
  onNeedJob: (lane: number) => void;
  /** About once a second and thread: what all of them count together. */
  onStats: (stats: ConnectionThreadStats) => void;
  onLog: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** A thread died: its miners are gone. */
  onFailed: (error: Error) => void;
}

const REUSE_PORT_SINCE = [22, 12] as const;
/** Little of what the thread makes lives long: a small nursery costs no CPU and saves 2 kB a connection at 10,000. */
export const CONNECTION_THREAD_LIMITS = { maxYoungGenerationSizeMb: 8 };
const STOP_WITHIN_MS = 10_000;

interface Thread {
  readonly lane: number;
  readonly worker: Worker;
  readonly exited: Promise<void>;
  ports: readonly PortProfile[];
  hashWorkers: number;
  stats: ConnectionThreadStats | null;
}

export class ConnectionThreads {
  readonly #options: ConnectionThreadsOptions;
  readonly #threads: Thread[] = [];

  private constructor(options: ConnectionThreadsOptions) {
    this.#options = options;
  }

  /** @throws Error when a port cannot be had or a journal cannot be opened; nothing runs then. */
  static async start(options: ConnectionThreadsOptions): Promise<ConnectionThreads> {
    const threads = new ConnectionThreads(options);
    try {
      // One after the other: the first gets the ports that were asked for.
      for (const lane of options.lanes) await threads.#start(lane);
      return threads;
    } catch (error) {
      await threads.drain();
      throw error;
    }
  }

  /** Ports of each thread, in the order of the lanes; the same ones where they are shared. */
  get ports(): readonly (readonly PortProfile[])[] {
    return this.#threads.map(({ ports }) => ports);
  }

  /** Threads that check shares, all together. */
  get hashWorkers(): number {
    return this.#threads.reduce((sum, { hashWorkers }) => sum + hashWorkers, 0);
  }

  /** Latest figures by lane; null where a thread has not reported yet. */
  get stats(): readonly (ConnectionThreadStats | null)[] {
    return this.#threads.map(({ stats }) => stats);
  }

  /** A job for all sessions of all threads. */
  putUp(job: JobMessage, spread: boolean, tipSeenAtMs: number | null): void {
    for (const thread of this.#threads)
      send(thread, { type: 'job', job, audience: 'all', spread, tipSeenAtMs });
  }

  /** A job for those sessions of one thread that wait for a new difficulty. */
  putUpForWaiting(lane: number, job: JobMessage): void {
    const thread = this.#threads.find((each) => each.lane === lane);
    if (thread === undefined) return;
    send(thread, { type: 'job', job, audience: 'retarget', spread: false, tipSeenAtMs: null });
  }

  /** By which scheme each account's work is recorded from now on; replaces what was said before. */
  setSchemes(settings: SchemeSettings): void {
    for (const thread of this.#threads) send(thread, { type: 'schemes', ...settings });
  }

  /** Stops accepting, answers what is in flight, closes the journals. Never rejects. */
  async drain(): Promise<void> {
    for (const thread of this.#threads) send(thread, { type: 'drain' });
    await Promise.all(
      this.#threads.map(async ({ worker, exited, ports }) => {
        await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref())]);
        // Ended by force, a thread that holds sockets of uWebSockets.js aborts the process.
        if (!ports.some(({ kind }) => kind === 'ws')) await worker.terminate();
      }),
    );
  }

  async #start(lane: LaneSettings): Promise<void> {
    const { settings, lanes, onFailed } = this.#options;
    const workerData: ConnectionThreadSettings = {
      ...settings,
      ...lane,
      reusePort: lanes.length > 1 && canReusePort(),
    };
    const worker = new Worker(new URL('./stratum/connection-thread.js', import.meta.url), {
      name: lanes.length > 1 ? `connections-${lane.lane}` : 'connections',
      workerData,
      resourceLimits: CONNECTION_THREAD_LIMITS,
    });
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const thread: Thread = { lane: lane.lane, worker, exited, ports: [], hashWorkers: 0, stats: null };
    this.#threads.push(thread);
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.on('message', (message: FromConnectionThread) => {
        if (message.type === 'listening') {
          thread.ports = message.ports;
          thread.hashWorkers = message.hashWorkers;
          resolve();
        } else if (message.type === 'failed') {
          reject(new Error(`A connection thread cannot start: ${message.reason}`));
        } else this.#take(thread, message);
      });
    });
    worker.on('error', onFailed);
  }

  #take(thread: Thread, message: FromConnectionThread): void {
    const { onCandidate, onNeedJob, onStats, onLog } = this.#options;
    if (message.type === 'candidate') onCandidate(message.candidate);
    else if (message.type === 'need_job') onNeedJob(thread.lane);
    else if (message.type === 'stats') {
      thread.stats = message.stats;
      onStats(sumOfStats(this.#threads.flatMap(({ stats }) => stats ?? [])));
    } else if (message.type === 'log') onLog(message.level, message.message, message.fields ?? {});
  }
}

function send({ worker }: Thread, message: ToConnectionThread): void {
  worker.postMessage(message);
}

/** https://nodejs.org/api/net.html#serverlistenoptions-callback: `reusePort`, added in 22.12 and 23.1. */
function canReusePort(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [sinceMajor, sinceMinor] = REUSE_PORT_SINCE;
  return (
    process.platform === 'linux' && (major > sinceMajor || (major === sinceMajor && minor >= sinceMinor))
  );
}

/** What several threads report, as one. */
function sumOfStats(all: readonly ConnectionThreadStats[]): ConnectionThreadStats {
  const [first, ...others] = all as [ConnectionThreadStats, ...ConnectionThreadStats[]];
  return others.reduce(addStats, first);
}

function addStats(a: ConnectionThreadStats, b: ConnectionThreadStats): ConnectionThreadStats {
  const workersByAccount = new Map(a.workersByAccount);
  for (const [account, workers] of b.workersByAccount) {
    workersByAccount.set(account, (workersByAccount.get(account) ?? 0) + workers);
  }
  // The lists are cut off: where they are, an account that is on both threads may count twice.
  const both = a.workersByAccount.length + b.workersByAccount.length - workersByAccount.size;
  return {
    connections: a.connections + b.connections,
    accepted: a.accepted + b.accepted,
    closed: addCounts(a.closed, b.closed),
    bans: [...a.bans, ...b.bans],
    sessions: a.sessions + b.sessions,
    miners: a.miners + b.miners - both,
    workers: a.workers + b.workers,
    verdicts: addCounts(a.verdicts, b.verdicts),
    acceptedDifficulty: a.acceptedDifficulty + b.acceptedDifficulty,
    acceptedSquares: a.acceptedSquares + b.acceptedSquares,
    heaviestDifficulty: Math.max(a.heaviestDifficulty, b.heaviestDifficulty),
    workersByAccount: [...workersByAccount],
    duplicateFilterEntries: a.duplicateFilterEntries + b.duplicateFilterEntries,
    duplicateFilterFull: a.duplicateFilterFull || b.duplicateFilterFull,
    tip: a.tip === null || (b.tip !== null && b.tip.lastMs > a.tip.lastMs) ? b.tip : a.tip,
    journal: {
      nextSeq: a.journal.nextSeq + b.journal.nextSeq - 1,
      acceptedTotal: a.journal.acceptedTotal + b.journal.acceptedTotal,
      bytes: a.journal.bytes + b.journal.bytes,
      failing: a.journal.failing ?? b.journal.failing,
    },
    eventLoopDelayMs: {
      p50: Math.max(a.eventLoopDelayMs.p50, b.eventLoopDelayMs.p50),
      p99: Math.max(a.eventLoopDelayMs.p99, b.eventLoopDelayMs.p99),
      max: Math.max(a.eventLoopDelayMs.max, b.eventLoopDelayMs.max),
    },
  };
}

function addCounts(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>) {
  const sum: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}
