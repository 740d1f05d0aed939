// The whole pool as the engine of a soak run: `node dist/engine/main.js` on a private chain, with its own node and
// stores, which are processes of their own. Its miners find blocks, so its tip moves by their work.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import { projectRoot } from '../../storage/project-root.js';
import { type EngineFigures, type EngineSettings, NO_FIGURES, type SoakEngine } from './engine.js';
import { TRANSPORTS, type Transport } from './habits.js';

/** The first start of all unpacks a node and makes a Postgres cluster. */
const START_WITHIN_MS = 180_000;
const DRAIN_WITHIN_MS = 120_000;
const ASK_EVERY_MS = 1000;

/** A line of the pool's log. */
interface LogLine {
  readonly event?: string;
  readonly level?: string | number;
  readonly msg?: string;
  readonly parts?: readonly { readonly name: string; readonly where: string }[];
  readonly urls?: { readonly stats: string };
}

/** @throws Error with the pool's last words when it does not start in time */
export async function startPool(
  settings: EngineSettings,
  onLog: (line: string) => void,
): Promise<SoakEngine> {
  const pool = new PoolEngine(settings, onLog);
  const late = setTimeout(() => pool.fail(new Error('the pool did not start in time')), START_WITHIN_MS);
  try {
    await Promise.race([pool.started, pool.failed]);
    return pool;
  } catch (error) {
    pool.kill();
    throw error;
  } finally {
    clearTimeout(late);
  }
}

class PoolEngine implements SoakEngine {
  figures: EngineFigures = NO_FIGURES;
  ports: Readonly<Record<Transport, number>> = { tcp: 0, tls: 0, ws: 0 };
  readonly failed: Promise<never>;
  readonly started: Promise<void>;
  fail: (error: Error) => void = () => {};
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #onStarted: () => void = () => {};
  #asks: NodeJS.Timeout | undefined;
  #draining = false;
  #lastWords = '';

  constructor(settings: EngineSettings, onLog: (line: string) => void) {
    this.failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => {});
    this.started = new Promise<void>((resolve) => {
      this.#onStarted = resolve;
    });
    this.#child = spawn(process.execPath, [join(projectRoot(), 'dist/engine/main.js')], {
      // Not the project root: a millrace.toml there is the operator's.
      cwd: settings.folder,
      env: environment(settings),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('the pool was started without a pipe to read from');
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line, onLog));
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        clearInterval(this.#asks);
        const how = signal ?? `exit code ${code}`;
        if (!this.#draining || code !== 0)
          this.fail(new Error(`the pool ended with ${how}: ${this.#lastWords}`));
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async drain(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#asks);
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.fail(new Error('the pool was not drained in time')), DRAIN_WITHIN_MS);
    try {
      await Promise.race([this.#ended, this.failed]);
    } finally {
      clearTimeout(late);
    }
  }

  kill(): void {
    clearInterval(this.#asks);
    this.#child.kill('SIGKILL');
  }

  #take(text: string, onLog: (line: string) => void): void {
    const line = JSON.parse(text) as LogLine;
    this.#lastWords = line.msg ?? '';
    if (line.event === undefined && line.level !== 'info' && line.level !== 30) onLog(this.#lastWords);
    const { parts, urls } = line;
    if (line.event !== 'started' || parts === undefined || urls === undefined) return;
    this.ports = portsOf(parts);
    this.#asks = setInterval(() => void this.#ask(urls.stats), ASK_EVERY_MS);
    this.#onStarted();
  }

  async #ask(url: string): Promise<void> {
    try {
      const { stratum, node, journal, event_loop, blocks } = (await (
        await fetch(url)
      ).json()) as PoolSnapshot;
      const { p99_s, max_s } = event_loop.connections;
      this.figures = {
        connections: stratum.connections,
        closed: stratum.closed_total,
        jobs: node.jobs_total,
        tips: blocks.found + 1,
        journalBytes: journal.bytes,
        delayMs: { p99: p99_s * 1000, max: max_s * 1000 },
        verdicts: null,
      };
    } catch {
      // Its end is told by its exit.
    }
  }
}

function environment(settings: EngineSettings): Record<string, string | undefined> {
  const { folder, certFile, keyFile, startDifficulty, sharesPerMinute, maxConnections } = settings;
  return {
    PATH: process.env.PATH,
    MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
    DATA_DIR: folder,
    SIM_MINERS: '0',
    STRATUM_HOST: '127.0.0.1',
    STRATUM_PORT: '0',
    STRATUM_PORTS: '0/tls?name=tls,0/ws?name=ws',
    API_PORT: '0',
    CLICKHOUSE_PORT: '0',
    TLS_CERT_FILE: certFile,
    TLS_KEY_FILE: keyFile,
    SHARE_DIFFICULTY: String(startDifficulty),
    VARDIFF_SHARES_PER_MINUTE: String(sharesPerMinute),
    MAX_CONNECTIONS: String(maxConnections),
    MAX_CONNECTIONS_PER_ADDRESS: String(maxConnections),
    BAN_DURATION: '0',
    LOG_LEVEL: 'info',
  };
}

/** The further ports bear their names in the startup table. */
function portsOf(parts: NonNullable<LogLine['parts']>): Record<Transport, number> {
  const stratum = parts.filter(({ name }) => name.startsWith('Stratum')).map(({ where }) => where);
  const ports = TRANSPORTS.map((transport): [Transport, number] => {
    const where = transport === 'tcp' ? stratum[0] : stratum.find((each) => each.endsWith(`(${transport})`));
    const port = Number(/:(\d+)/.exec(where ?? '')?.[1]);
    if (!(port > 0))
      throw new Error(`the pool does not say where it takes ${transport}: ${stratum.join('; ')}`);
    return [transport, port];
  });
  return Object.fromEntries(ports) as Record<Transport, number>;
}
