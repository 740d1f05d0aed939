// What the stratum suite measures: the engine's connection thread in a process of its own, the bare echo, or any
// pool that runs already.
import { type ChildProcess, exec, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { monotonicMs } from './swarm-clock.js';
import type { SwarmTarget } from './swarm-messages.js';
import { SWARM_USER } from './swarm-user.js';

const START_MS = 15_000;
const STOP_MS = 15_000;

export interface Target {
  readonly swarm: SwarmTarget;
  /** Makes a new tip; resolves with the monotonic milliseconds at which it came. null: nobody here can. */
  readonly newTip: (() => Promise<number>) | null;
  /** Submits accepted in all its life as the pool itself counted them; null when it is not ours to stop. */
  stop(): Promise<number | null>;
}

/** A pool that somebody else started. */
export interface Peer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly user: string;
  /** Shell command that makes its node find a block. */
  readonly tipCommand: string | null;
}

export function peerTarget(peer: Peer): Target {
  const { host, port, pid, user, tipCommand } = peer;
  return {
    swarm: { host, port, pid, user, connectionThread: null, withChildren: true },
    newTip:
      tipCommand === null
        ? null
        : async () => {
            const startMs = monotonicMs();
            await promisify(exec)(tipCommand, { timeout: START_MS });
            return startMs;
          },
    stop: async () => null,
  };
}

/** The engine's connection thread on jobs with so many merkle branches. */
export function startEngine(branches: number): Promise<Target> {
  return startProgram('./stratum-server.js', [String(branches)]);
}

/** A server that only answers `true`. */
export function startEcho(): Promise<Target> {
  return startProgram('./stratum-echo.js', []);
}

/** Starts a program beside this file that prints where it listens, and what it counted when it ends. */
async function startProgram(program: string, args: readonly string[]): Promise<Target> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = new ProgramLines(child, program);
  const { port, pid, connectionThread } = await lines.next<{
    port: number;
    pid: number;
    connectionThread: number | null;
  }>(START_MS);
  return {
    swarm: { host: '127.0.0.1', port, user: SWARM_USER, pid, connectionThread, withChildren: false },
    newTip: async () => {
      child.kill('SIGUSR2');
      return (await lines.next<{ tipAtMs: number }>(START_MS)).tipAtMs;
    },
    stop: async () => {
      child.kill('SIGTERM');
      const counted = await lines.next<{ accepted: number }>(STOP_MS).catch(() => null);
      await exited;
      return counted?.accepted ?? null;
    },
  };
}

/** JSON lines of a program, read one by one. Ends it when one does not come in time. */
export class ProgramLines {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcess, name: string) {
    if (child.stdout === null) throw new Error(`${name} was started without a pipe to read from`);
    this.#child = child;
    this.#name = name;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async next<Line>(withinMs: number): Promise<Line> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), withinMs);
    try {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`${this.#name} ended, or said nothing for ${withinMs / 1000} s`);
      return JSON.parse(value as string) as Line;
    } finally {
      clearTimeout(late);
    }
  }
}
