// Runs a real pool (`node dist/engine/main.js`) for a test, in a data folder of its own, and asks it over
// its own faces: HTTP, SQL, Stratum.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import { projectRoot } from '../../storage/project-root.js';

export interface PoolUrls {
  miners: string;
  page: string;
  stats: string;
  metrics: string;
  health: string;
  shares: string;
}

type LogLine = Record<string, unknown> & { msg?: string; event?: string };

const STOP_WITHIN_MS = 30_000;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'millrace-pool-'));
}

export class PoolProcess {
  readonly dataDir: string;
  readonly log: LogLine[] = [];
  urls: PoolUrls | null = null;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  #stderr = '';

  private constructor(dataDir: string, args: readonly string[], env: Record<string, string>) {
    this.dataDir = dataDir;
    this.#child = spawn(
      process.execPath,
      [
        join(projectRoot(), 'dist', 'engine', 'main.js'),
        ...['--stratum-port', '0', '--api-port', '0', '--clickhouse-port', '0'],
        ...args,
      ],
      {
        cwd: dataDir,
        env: {
          ...process.env,
          DATA_DIR: dataDir,
          // The unpacked node is the same for all tests and for `npm start` in this checkout.
          MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
          ...env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#exit = new Promise((resolve) => this.#child.once('exit', (code) => resolve(code)));
    let rest = '';
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const entry: LogLine = line.startsWith('{') ? JSON.parse(line) : { msg: line };
        this.log.push(entry);
        if (entry.event === 'started') this.urls = entry.urls as PoolUrls;
      }
    });
    this.#child.stderr?.on('data', (bytes: Buffer) => {
      this.#stderr += bytes.toString('utf8');
    });
  }

  /** Starts it and waits until it serves. Throws with its log when it does not. */
  static async start(
    args: readonly string[],
    options: { dataDir?: string; env?: Record<string, string>; withinMs?: number } = {},
  ): Promise<PoolProcess> {
    const pool = new PoolProcess(options.dataDir ?? temporaryFolder(), args, options.env ?? {});
    try {
      await pool.until('it has started', () => pool.urls !== null, options.withinMs ?? 120_000);
    } catch (error) {
      await pool.stop('SIGKILL');
      throw error;
    }
    return pool;
  }

  /** Starts it where it is expected to refuse; resolves with its exit code and what it said. */
  static async refusal(
    args: readonly string[],
    env: Record<string, string> = {},
  ): Promise<{ code: number | null; said: string }> {
    const dataDir = temporaryFolder();
    const pool = new PoolProcess(dataDir, args, env);
    const code = await pool.#exit;
    rmSync(dataDir, { recursive: true, force: true });
    return { code, said: pool.#stderr + pool.log.map(({ msg }) => msg).join('\n') };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stratumPort(): number {
    return Number(new URL(this.#url('miners').replace('stratum+tcp', 'http')).port);
  }

  async stats(): Promise<PoolSnapshot> {
    const response = await fetch(this.#url('stats'));
    if (!response.ok) throw new Error(`/api/stats answered ${response.status}`);
    return (await response.json()) as PoolSnapshot;
  }

  async health(): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(this.#url('health'));
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async metrics(): Promise<string> {
    return await (await fetch(this.#url('metrics'))).text();
  }

  /** What `curl` would be answered on the ClickHouse port. */
  async sql(query: string): Promise<string> {
    const { origin } = new URL(this.#url('shares'));
    const response = await fetch(`${origin}/?query=${encodeURIComponent(query)}`);
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return text.trim();
  }

  /** Polls `condition` until it is true; throws with the end of the log after `withinMs`. */
  async until(what: string, condition: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
    const end = performance.now() + withinMs;
    for (;;) {
      try {
        if (await condition()) return;
      } catch {
        // Not up yet: asked again.
      }
      if (performance.now() > end || this.#child.exitCode !== null) {
        const log = this.log
          .slice(-15)
          .map((line) => JSON.stringify(line))
          .join('\n');
        throw new Error(`not within ${withinMs} ms: ${what}\n${log}\n${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it as Ctrl-C would, or by `signal`; resolves with its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    this.#child.kill(signal);
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), STOP_WITHIN_MS);
    const code = await this.#exit;
    clearTimeout(hard);
    return code;
  }

  remove(): void {
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  #url(name: keyof PoolUrls): string {
    if (this.urls === null) throw new Error('the pool has not started');
    return this.urls[name];
  }
}
