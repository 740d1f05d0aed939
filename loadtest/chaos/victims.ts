// The processes that the kill loop hits, found as an operator would: by the pool's pid files. Whatever it froze it lets
// go on again.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartedAt } from '../../storage/embedded/child-process.js';
import type { Target } from './plan.js';
import type { ChaosPool } from './pool.js';

const PID_FILES = {
  clickhouse: ['clickhouse', 'clickhouse.pid'],
  postgres: ['postgres', 'postgres.pid'],
  bitcoind: ['bitcoind', 'private.pid'],
} as const;

interface Frozen {
  readonly pid: number;
  readonly startedAt: string | null;
  readonly timer: NodeJS.Timeout;
}

export class Victims {
  readonly #folder: string;
  readonly #pool: ChaosPool;
  readonly #frozen = new Set<Frozen>();

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

  isFrozen(pid: number): boolean {
    return [...this.#frozen].some((frozen) => frozen.pid === pid);
  }

  /** SIGSTOP now, SIGCONT after `ms`. */
  freeze(pid: number, ms: number): void {
    const frozen: Frozen = {
      pid,
      startedAt: processStartedAt(pid),
      timer: setTimeout(() => this.#thaw(frozen), ms),
    };
    this.#frozen.add(frozen);
    signal(pid, 'SIGSTOP');
  }

  thawAll(): void {
    for (const frozen of this.#frozen) this.#thaw(frozen);
  }

  #thaw(frozen: Frozen): void {
    clearTimeout(frozen.timer);
    this.#frozen.delete(frozen);
    // It may have been killed since, and its number given to another.
    if (frozen.startedAt !== null && processStartedAt(frozen.pid) === frozen.startedAt) {
      signal(frozen.pid, 'SIGCONT');
    }
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself a moment ago.
  }
}
