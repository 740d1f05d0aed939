// ClickHouse as `npm start` brings it up when CLICKHOUSE_URL is not set: the engine of npm chdb in a child
// process, behind an HTTP front that speaks the ClickHouse protocol (clickhouse-front/). This file is the
// parent's side: it starts the child, keeps it running and tells where it is.
import { randomBytes } from 'node:crypto';
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildExit, type SupervisedChild, stopOrphan, superviseChild } from './child-process.js';
import type { FrontSettings } from './clickhouse-front/main.js';
import { findFreePort } from './free-port.js';
import { keepRunning } from './keep-running.js';

export interface EmbeddedClickHouseOptions {
  /** Folder of its own; made when absent. */
  dataDir: string;
  log: (line: string) => void;
  /** Preferred port, 8123 when absent; the next free one is taken when it is busy. */
  port?: number;
  /** Called when the server ended without being asked; it is started again by itself, on the same port. */
  onExit?: (exit: ChildExit) => void;
}

export interface EmbeddedClickHouse {
  /** http://127.0.0.1:port; anyone may read there without password. */
  url: string;
  port: number;
  /** Of the engine, `26.7.2.1`. */
  version: string;
  /** Process id; 0 while it is being started again. */
  readonly pid: number;
  /** The one user who may write; the password is new with every start. */
  writer: { user: string; password: string };
  /** Ends running reads, waits for running inserts, then ends the process. */
  stop(): Promise<void>;
}

/** Database of every request that names none. */
export const EMBEDDED_DATABASE = 'pool';

const PREFERRED_PORT = 8123;
const START_ATTEMPTS_MAX = 5;
const READY_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 10_000;
const POLL_MS = 20;
const PING_TIMEOUT_MS = 2000;
/** The engine answers from libuv's thread pool; the default of 4 would starve file access of the front. */
const THREADS = '16';

/**
 * Starts the server and resolves when it answers. One that a killed Millrace left on this data is stopped
 * first. Throws with cause and cure; no process is left then.
 */
export async function startClickHouse(options: EmbeddedClickHouseOptions): Promise<EmbeddedClickHouse> {
  const { log, onExit } = options;
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = realpathSync(options.dataDir);
  const pidFile = join(dataDir, 'clickhouse.pid');
  const settingsFile = join(dataDir, 'front.json');
  await endOrphan(pidFile, settingsFile, dataDir, log);
  const writer = { user: 'millrace', password: randomBytes(24).toString('base64url') };
  const instance = randomBytes(12).toString('hex');
  const spoolDir = chooseSpoolDir(dataDir, instance);
  const engineDir = join(dataDir, 'engine');

  const startOn = async (port: number, signal: AbortSignal): Promise<SupervisedChild> => {
    const settings: FrontSettings = {
      ...{ engineDir, spoolDir, database: EMBEDDED_DATABASE },
      ...{ port, writer, instance },
    };
    writeFileSync(settingsFile, JSON.stringify(settings), { mode: 0o600 });
    const child = await superviseChild({
      name: 'the ClickHouse engine',
      command: process.execPath,
      args: [fileURLToPath(new URL('./clickhouse-front/main.js', import.meta.url)), '--front', settingsFile],
      env: {
        PATH: process.env.PATH,
        LC_ALL: 'C.UTF-8',
        TZ: 'UTC',
        HOME: dataDir,
        UV_THREADPOOL_SIZE: THREADS,
      },
      cwd: dataDir,
      pidFile,
      logFile: join(dataDir, 'clickhouse.log'),
      dieWithParent: 'SIGTERM',
      // Miners are answered first.
      niceness: 10,
    });
    await becomeReady(child, port, instance, signal);
    return child;
  };

  let port = 0;
  const start = async (signal: AbortSignal): Promise<SupervisedChild> => {
    if (port !== 0) return startOn(port, signal);
    const preferred = options.port ?? PREFERRED_PORT;
    for (let attempt = 1; ; attempt++) {
      const candidate = await findFreePort(preferred);
      try {
        const child = await startOn(candidate, signal);
        if (candidate !== preferred) log(`Port ${preferred} is busy: ClickHouse takes ${candidate}`);
        port = candidate;
        return child;
      } catch (error) {
        const portWasTaken = /EADDRINUSE/.test((error as Error).message);
        if (!portWasTaken || attempt === START_ATTEMPTS_MAX) throw error;
      }
    }
  };

  const server = await keepRunning({ name: 'ClickHouse', start, log, ...(onExit ? { onExit } : {}) });
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    version: await askVersion(port),
    get pid() {
      return server.pid;
    },
    writer,
    stop: () => server.stop(STOP_DEADLINE_MS),
  };
}

/** The engine takes `* ? { }` in a file's path for a pattern and would silently insert nothing. */
function chooseSpoolDir(dataDir: string, instance: string): string {
  const candidates = [join(dataDir, 'spool'), join(tmpdir(), `millrace-spool-${instance}`)];
  const plain = candidates.find((path) => !/[*?{}]/.test(path));
  if (plain !== undefined) return plain;
  throw new Error(
    `Neither ${dataDir} nor ${tmpdir()} can take ClickHouse's incoming rows: their names hold * ? { or }. ` +
      'Set DATA_DIR to a folder without them',
  );
}

async function endOrphan(
  pidFile: string,
  settingsFile: string,
  dataDir: string,
  log: (line: string) => void,
): Promise<void> {
  const outcome = await stopOrphan(pidFile, settingsFile, STOP_DEADLINE_MS);
  if (outcome === 'stopped' || outcome === 'killed') {
    log(`A ClickHouse engine left by an earlier run was ${outcome}`);
  } else if (outcome === 'in_use') {
    throw new Error(`Another Millrace runs on ${dataDir}. Stop it, or set DATA_DIR to another folder`);
  } else if (outcome === 'unstoppable') {
    throw new Error(
      `A ClickHouse engine of an earlier run still holds ${dataDir} and does not stop (it may belong to another ` +
        `user). Stop the process named in ${pidFile} by hand`,
    );
  }
}

async function becomeReady(
  child: SupervisedChild,
  port: number,
  instance: string,
  signal: AbortSignal,
): Promise<void> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  const since = performance.now();
  while (!ended) {
    if ((await ping(port)) === instance) return;
    if (signal.aborted || performance.now() - since > READY_DEADLINE_MS) {
      await child.stop(STOP_DEADLINE_MS);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`The ClickHouse engine does not start: ${explainStart(child.lastLines())}`);
}

function explainStart(lines: string[]): string {
  const said = lines.slice(-6).join(' | ') || 'it said nothing';
  if (/Cannot lock file|CANNOT_OPEN_FILE/.test(said)) {
    return `${said}. Another process holds its data folder, or its files belong to another user`;
  }
  if (/no native binding|CHDB_PLATFORM|CHDB_ABI|MODULE_NOT_FOUND/.test(said)) {
    return `${said}. There is no chdb for this platform (it needs glibc or macOS). Run npm ci again or set CLICKHOUSE_URL`;
  }
  return `${said}. Its log is clickhouse.log in its data folder`;
}

/** The instance that answers on the port; undefined when nobody does. */
function ping(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port, path: '/ping', agent: false, timeout: PING_TIMEOUT_MS },
      (response) => {
        response.resume();
        const instance = response.headers['x-millrace-instance'];
        resolve(typeof instance === 'string' ? instance : undefined);
      },
    );
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(undefined));
  });
}

async function askVersion(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/?query=SELECT%20version()`);
  return (await response.text()).trim();
}
