// The folder of the embedded PostgreSQL: made whole or not at all, checked before it is opened.
//
//   <dataDir>/            ours, others may pass through (0711) but not look
//     cluster/            PostgreSQL's data folder, owned by the user it runs as (0700)
//     password            of the role "millrace" (0600)
//     postgres.pid, .log  of the supervisor
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { processStartedAt, superviseChild } from './child-process.js';
import { canTraverse, type ServerAccount } from './postgres-account.js';

/** Role that owns everything; the only one that may log in at first. */
export const POSTGRES_ROLE = 'millrace';

const INITDB_DEADLINE_MS = 5 * 60_000;
const BACKENDS_END_MS = 15_000;
const UNFINISHED = 'cluster.new-';

export interface PostgresFolder {
  dataDir: string;
  clusterDir: string;
}

/** Makes the outer folder when absent; removes what a start that was killed half-way left in it. */
export function openPostgresFolder(path: string): PostgresFolder {
  try {
    mkdirSync(path, { recursive: true });
    const dataDir = realpathSync(path);
    if (process.getuid?.() === 0) chmodSync(dataDir, 0o711);
    for (const name of readdirSync(dataDir)) {
      if (name.startsWith(UNFINISHED)) rmSync(join(dataDir, name), { recursive: true, force: true });
    }
    return { dataDir, clusterDir: join(dataDir, 'cluster') };
  } catch (error) {
    throw new Error(
      `The folder of the embedded PostgreSQL cannot be used (${(error as Error).message}): it may have been made ` +
        'by another user, root for instance. Start as that user, or set DATA_DIR to another folder',
      { cause: error },
    );
  }
}

/**
 * How the server is told its data folder. Where its user may not pass through a parent (a checkout below
 * /root), it is started inside the folder and reaches it through its own working directory.
 */
export function clusterPathFor(account: ServerAccount, clusterDir: string): string {
  return canTraverse(account, clusterDir) ? clusterDir : '/proc/self/cwd';
}

/**
 * Runs initdb in a folder aside and renames it into place, so that a start killed half-way leaves nothing
 * that looks like a data folder. Does nothing when there is one. Throws with initdb's own words.
 */
export async function makeClusterWhenAbsent(
  folder: PostgresFolder,
  native: string,
  account: ServerAccount,
  log: (line: string) => void,
): Promise<void> {
  const { dataDir, clusterDir } = folder;
  if (existsSync(clusterDir)) return;
  log(`PostgreSQL data folder is made in ${clusterDir}`);
  writeDurably(join(dataDir, 'password'), randomBytes(24).toString('base64url'));
  const unfinished = join(dataDir, `${UNFINISHED}${randomBytes(4).toString('hex')}`);
  mkdirSync(unfinished, { mode: 0o700 });
  // initdb runs as the server's user, who may not read our copy of the password.
  const passwordForInitdb = join(dataDir, 'initdb-password');
  writeDurably(passwordForInitdb, readPassword(dataDir));
  if (account.uid !== undefined && account.gid !== undefined) {
    chownSync(unfinished, account.uid, account.gid);
    chownSync(passwordForInitdb, account.uid, account.gid);
  }
  try {
    const initdb = await superviseChild({
      name: 'initdb',
      command: join(native, 'bin', 'initdb'),
      args: [
        `--pgdata=${clusterPathFor(account, unfinished)}`,
        `--username=${POSTGRES_ROLE}`,
        '--pwfile=../initdb-password',
        ...['--auth=scram-sha-256', '--data-checksums', '--encoding=UTF8', '--locale=C'],
      ],
      env: serverEnvironment(),
      cwd: unfinished,
      pidFile: join(dataDir, 'initdb.pid'),
      logFile: join(dataDir, 'initdb.log'),
      dieWithParent: 'SIGTERM',
      ...account,
    });
    const deadline = setTimeout(() => void initdb.stop(1000), INITDB_DEADLINE_MS);
    const exit = await initdb.exited;
    clearTimeout(deadline);
    if (exit.code !== 0) {
      throw new Error(
        `PostgreSQL's initdb failed in ${unfinished}: ${exit.lastLines.slice(-4).join(' | ')}. ` +
          'Usual causes: a full disk, a folder on a file system without owners, a user id without entry in ' +
          '/etc/passwd. Correct that, or set DATABASE_URL to a PostgreSQL of your own',
      );
    }
    renameSync(unfinished, clusterDir);
    syncFolder(dataDir);
  } finally {
    rmSync(passwordForInitdb, { force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Throws when the data folder is not one of this major version of PostgreSQL. */
export function requireMajor(clusterDir: string, major: string): void {
  const file = join(clusterDir, 'PG_VERSION');
  const found = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  if (found === major) return;
  throw new Error(
    found === ''
      ? `${clusterDir} is not a PostgreSQL data folder (no PG_VERSION in it): it was changed by hand or the disk ` +
          'lost it. Restore it from a backup, or move it away to start with an empty ledger'
      : `The data in ${clusterDir} is of PostgreSQL ${found}, this Millrace brings PostgreSQL ${major}: they cannot ` +
          `read each other's files. Run PostgreSQL ${found} on it and set DATABASE_URL, or dump it there and restore ` +
          'it into an empty data folder',
  );
}

/** Password of the role `millrace`. Throws when its file is gone. */
export function readPassword(dataDir: string): string {
  const file = join(dataDir, 'password');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(
      `The password of the embedded PostgreSQL cannot be read (${(error as Error).message}). ` +
        'Restore that file from a backup of the data folder',
      { cause: error },
    );
  }
}

/**
 * Deals with a postmaster.pid of an earlier run. PostgreSQL itself clears one whose process is gone; it
 * believes one whose process id now belongs to a stranger or to a zombie (containers without an init), and
 * would refuse to start for ever. The file is removed only when nothing at all works in the folder, because
 * it is what keeps two servers from writing the same data.
 * Throws when a server does run there.
 */
export async function clearStaleLock(clusterDir: string): Promise<void> {
  const lockFile = join(clusterDir, 'postmaster.pid');
  if (process.platform !== 'linux' || !existsSync(lockFile)) return;
  // Empty when its server was killed between making the file and writing it: PostgreSQL then refuses for ever.
  const pid = Math.abs(Number.parseInt(readFileSync(lockFile, 'utf8'), 10)) || null;
  const deadline = performance.now() + BACKENDS_END_MS;
  for (;;) {
    const working = processesWorkingIn(clusterDir);
    if (working.length === 0) break;
    // Backends whose postmaster was killed see that and end within moments.
    if (performance.now() > deadline) {
      throw new Error(
        `PostgreSQL already runs on ${clusterDir} (process ${working.join(', ')}) and is not ours to stop. ` +
          `Stop it with: kill -INT ${pid ?? working.join(' ')}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (pid === null || existsSync(`/proc/${pid}`)) rmSync(lockFile, { force: true });
}

/** Environment for PostgreSQL's programs: nothing of ours, which may hold passwords or PG* variables. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
}

function processesWorkingIn(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isSafeInteger(pid) || processStartedAt(pid) === null) return false;
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === folder;
      } catch {
        return false;
      }
    });
}

function writeDurably(path: string, text: string): void {
  rmSync(path, { force: true });
  const fd = openSync(path, 'wx', 0o600);
  writeSync(fd, `${text}\n`);
  fsyncSync(fd);
  closeSync(fd);
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}
