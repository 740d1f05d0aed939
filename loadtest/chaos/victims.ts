// The processes that chaos runs hit, found as an operator would: by the pool's pid files. Whatever was frozen is let go
// on again.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartedAt } from '../../storage/embedded/child-process.js';
import type { Target } from './plan.js';
import type { ChaosPool } from './pool.js';

const PID_FILES = {
  clickhouse: ['clickhouse', 'clickhouse.pid'],
  postgres: ['postgres', 'postgres.pid'],
  bitcoind: ['bitcoind', 'private.pid'],
} as const;
/** What is kept away is killed again this soon after it was started: none of them serves by then. */
const KILL_EVERY_MS = 20;

export type Child = Exclude<Target, 'pool'>;

interface Frozen {
  readonly pid: number;
  readonly tree: readonly { readonly pid: number; readonly startedAt: string | null }[];
  readonly timer: NodeJS.Timeout | undefined;
}

export class Victims {
  readonly #folder: string;
  readonly #pool: ChaosPool;
  readonly #frozen = new Set<Frozen>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(folder: string, pool: ChaosPool) {
    this.#folder = folder;
    this.#pool = pool;
  }

  /** Process id of what runs now; 0 when it does not. */
  pidOf(target: Target): number {
    if (target === 'pool') return this.#pool.pid;
    try {
      const text = readFileSync(join(this.#folder, ...PID_FILES[target]), 'utf8');
      const { pid, startedAt } = JSON.parse(text) as { pid: number; startedAt: string | null };
      return startedAt !== null && processStartedAt(pid) === startedAt ? pid : 0;
    } catch {
      return 0;
    }
  }

  kill(target: Target, pid: number): void {
    if (target === 'pool') this.#pool.kill();
    else signal(pid, 'SIGKILL');
  }

  /** Kills it, and again whenever it is started, until `release`. */
  keepAway(target: Child): void {
    const kill = (): void => {
      const pid = this.pidOf(target);
      if (pid !== 0) this.kill(target, pid);
    };
    kill();
    this.#timers.add(setInterval(kill, KILL_EVERY_MS));
  }

  isFrozen(pid: number): boolean {
    return [...this.#frozen].some((frozen) => frozen.pid === pid);
  }

  /** SIGSTOP to it and its children now, SIGCONT after `ms`, or by `release`. */
  freeze(pid: number, ms: number | null): void {
    // Its children last: one that is stopped makes no new ones.
    signal(pid, 'SIGSTOP');
    const pids = [pid, ...childrenOf(pid)];
    for (const child of pids.slice(1)) signal(child, 'SIGSTOP');
    const frozen: Frozen = {
      pid,
      tree: pids.map((each) => ({ pid: each, startedAt: processStartedAt(each) })),
      timer: ms === null ? undefined : setTimeout(() => this.#thaw(frozen), ms),
    };
    this.#frozen.add(frozen);
  }

  /** Stopped and let go in turns of `beatMs`, until `release`. */
  slow(target: Child, beatMs: number): void {
    const beat = (): void => {
      const pid = this.pidOf(target);
      if (pid !== 0 && !this.isFrozen(pid)) this.freeze(pid, beatMs);
    };
    beat();
    this.#timers.add(setInterval(beat, 2 * beatMs));
  }

  /** Ends all that lasts. */
  release(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
    for (const frozen of this.#frozen) this.#thaw(frozen);
  }

  #thaw(frozen: Frozen): void {
    clearTimeout(frozen.timer);
    this.#frozen.delete(frozen);
    for (const { pid, startedAt } of frozen.tree) {
      // It may have been killed since, and its number given to another.
      if (startedAt !== null && processStartedAt(pid) === startedAt) signal(pid, 'SIGCONT');
    }
  }
}

/** Direct children: Postgres has one for each connection. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${Number(name)}/stat`, 'latin1');
      // Behind the name in parentheses: state, parent (proc(5)).
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself a moment ago.
  }
}
