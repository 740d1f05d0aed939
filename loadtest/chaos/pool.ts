// The pool under test as a supervisor sees it: `node dist/engine/main.js` on a private chain, started again at once
// whenever it ends. Its log goes into a file, all starts one after the other.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { projectRoot } from '../../storage/project-root.js';
import { FAULTS_FILE_VARIABLE } from './faults.js';

const START_AGAIN_MS = 500;
const STATS_WITHIN_MS = 2000;
const STOP_WITHIN_MS = 120_000;

export interface PoolOptions {
  readonly folder: string;
  readonly logFile: string;
  readonly threads: number;
  readonly port: number;
  readonly difficulty: number;
  /** Shares a minute that vardiff leads each miner to; null: difficulties stay. */
  readonly vardiff: number | null;
  /** File of the fault injector; null: the pool runs as it is. */
  readonly faultsFile: string | null;
  /** What it logs as a warning or worse. */
  readonly onWarning: (message: string) => void;
  readonly onStarted: (ports: readonly number[]) => void;
  /** It ended although nobody killed it. `starting`: before it served. */
  readonly onOwnEnd: (how: string, starting: boolean) => void;
}

interface LogLine {
  readonly event?: string;
  readonly level?: string;
  readonly msg?: string;
  readonly parts?: readonly { readonly name: string; readonly where: string }[];
  readonly urls?: { readonly stats: string; readonly shares: string };
}

export class ChaosPool {
  /** It serves: true from its word `started` to its end. */
  started = false;
  /** Monotonic milliseconds of the last spawn. */
  spawnedAtMs = 0;
  startedAtMs = 0;
  starts = 0;
  readonly #options: PoolOptions;
  readonly #log: number;
  #child: ChildProcess | null = null;
  #urls: LogLine['urls'];
  /** host:port of its node. */
  #node = '';
  #killed = false;
  #ending = false;
  #exited: Promise<number | null> = Promise.resolve(null);
  #again: NodeJS.Timeout | undefined;
  #lastWords = '';

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#log = openSync(options.logFile, 'a');
    this.#spawn();
  }

  /** 0 while there is none. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Origin of the ClickHouse port. @throws Error before the first start */
  get clickhouse(): string {
    if (this.#urls === undefined) throw new Error('the pool never started');
    return new URL(this.#urls.shares).origin;
  }

  /** A client of its own for the pool's node; to be closed. */
  openNode(): NodeRpc {
    const cookieFile = join(this.#options.folder, 'bitcoind', 'signet', '.cookie');
    return new NodeRpc({ endpoint: parseRpcUrl(`http://${this.#node}`, cookieFile) });
  }

  /** SIGKILL; it is started again at once. */
  kill(): void {
    this.#killed = true;
    this.#child?.kill('SIGKILL');
  }

  /** Of now, or null when it does not answer. */
  async stats(): Promise<PoolSnapshot | null> {
    if (!this.started || this.#urls === undefined) return null;
    try {
      const response = await fetch(this.#urls.stats, { signal: AbortSignal.timeout(STATS_WITHIN_MS) });
      return response.ok ? ((await response.json()) as PoolSnapshot) : null;
    } catch {
      return null;
    }
  }

  /** Ends it as an operator does. @returns its exit code; null when it had to be killed */
  async stop(): Promise<number | null> {
    this.#ending = true;
    clearTimeout(this.#again);
    this.#child?.kill('SIGTERM');
    const hard = setTimeout(() => this.#child?.kill('SIGKILL'), STOP_WITHIN_MS);
    const code = await this.#exited;
    clearTimeout(hard);
    closeSync(this.#log);
    return code;
  }

  /** Ends it at once and for good; its children end with it. */
  abandon(): void {
    this.#ending = true;
    clearTimeout(this.#again);
    this.#child?.kill('SIGKILL');
  }

  #spawn(): void {
    this.#killed = false;
    this.starts++;
    this.spawnedAtMs = performance.now();
    this.#note(`--- start ${this.starts} at ${new Date().toISOString()}`);
    const injector = ['--import', new URL('./fault-injector.js', import.meta.url).href];
    const program = join(projectRoot(), 'dist/engine/main.js');
    const args = [...(this.#options.faultsFile === null ? [] : injector), program];
    const child = spawn(process.execPath, args, {
      // Not the project root: a millrace.toml there is the operator's.
      cwd: this.#options.folder,
      env: environment(this.#options),
      stdio: ['ignore', 'pipe', this.#log],
    });
    this.#child = child;
    if (child.stdout === null) throw new Error('the pool was started without a pipe to read from');
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(child, line));
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#ended(signal ?? `exit code ${code}`);
        resolve(code);
      });
    });
  }

  #ended(how: string): void {
    const starting = !this.started;
    this.started = false;
    this.#child = null;
    if (this.#ending) return;
    if (!this.#killed) this.#options.onOwnEnd(`${how}: ${this.#lastWords}`, starting);
    this.#again = setTimeout(() => this.#spawn(), this.#killed ? 0 : START_AGAIN_MS);
  }

  #take(child: ChildProcess, text: string): void {
    this.#note(text);
    if (child !== this.#child || !text.startsWith('{')) return;
    const { event, level, msg = '', parts, urls } = JSON.parse(text) as LogLine;
    this.#lastWords = msg;
    if (level === 'warn' || level === 'error' || level === 'fatal') this.#options.onWarning(msg);
    if (event !== 'started' || parts === undefined || urls === undefined) return;
    this.#urls = urls;
    const node = parts.find(({ name }) => name === 'Bitcoin node')?.where ?? '';
    this.#node = node.slice(node.lastIndexOf(' ') + 1);
    this.started = true;
    this.startedAtMs = performance.now();
    this.#options.onStarted(portsOf(parts));
  }

  #note(line: string): void {
    try {
      writeSync(this.#log, `${line}\n`);
    } catch {
      // Closed: the run is over.
    }
  }
}

function environment(options: PoolOptions): Record<string, string | undefined> {
  const { folder, port, threads, difficulty, vardiff, faultsFile } = options;
  return {
    PATH: process.env.PATH,
    MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
    DATA_DIR: folder,
    SIM_MINERS: '0',
    STRATUM_HOST: '127.0.0.1',
    STRATUM_PORT: String(port),
    CONNECTION_THREADS: String(threads),
    API_PORT: '0',
    CLICKHOUSE_PORT: '0',
    SHARE_DIFFICULTY: String(difficulty),
    ...vardiffSettings(vardiff, difficulty),
    ...(faultsFile === null ? {} : { [FAULTS_FILE_VARIABLE]: faultsFile }),
    STATS_UPDATE_INTERVAL: '0.5',
    // All miners come from one address and come back many times.
    BAN_DURATION: '0',
    LOG_LEVEL: 'info',
  };
}

function vardiffSettings(sharesPerMinute: number | null, difficulty: number): Record<string, string> {
  if (sharesPerMinute === null) return { VARDIFF_ENABLED: 'false' };
  return {
    VARDIFF_SHARES_PER_MINUTE: String(sharesPerMinute),
    // Miners that rested for a check must not come back as a flood.
    VARDIFF_MIN: String(difficulty / 4),
  };
}

/** `127.0.0.1:3333 3334, 1 hash worker`: the port of the first connection thread, then those of the others. */
function portsOf(parts: NonNullable<LogLine['parts']>): number[] {
  const where = parts.find(({ name }) => name === 'Stratum V1')?.where ?? '';
  const ports = (/:([\d ]+)/.exec(where)?.[1] ?? '').trim().split(' ').map(Number);
  if (!ports.every((port) => port > 0)) throw new Error(`the pool does not say where it listens: ${where}`);
  return ports;
}
