// Keeps a server that Millrace brings up itself (bitcoind, PostgreSQL, the ClickHouse engine) as a child:
// it dies with us, is stopped in order, and a later start finds what a `kill -9` of the pool left behind.
// On Linux the kernel delivers the parent's death (prctl PR_SET_PDEATHSIG, set by util-linux `setpriv`);
// elsewhere only the pid file helps. Output goes to a file, never to a pipe: a pipe breaks with its reader
// and would kill the child in the middle of its shutdown.
import { execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';

export interface ChildOptions {
  /** Shown in messages: `bitcoind`, `postgres`. */
  name: string;
  /** Absolute path, or a name found on PATH. */
  command: string;
  args: readonly string[];
  /** Whole environment of the child; ours when absent. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Written once the child runs, removed when it is gone. */
  pidFile: string;
  /** Takes stdout and stderr, appended. Default: the pid file's path with `.log` behind it. */
  logFile?: string;
  /** The polite signal: sent by `stop` and by the kernel when this thread's process dies. */
  dieWithParent: 'SIGTERM' | 'SIGINT';
  /** Linux: how much it yields to others, 0 to 19. It holds for all its threads only when set before it runs. */
  niceness?: number;
  /** Only as root: the user and group that the child runs as. */
  uid?: number;
  gid?: number;
  /** Called once, whether the end was asked for or not. */
  onExit?: (exit: ChildExit) => void;
}

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** True when `stop` was called before. */
  expected: boolean;
  /** The end of what the child wrote, for an error message; at most 20 lines. */
  lastLines: string[];
}

export interface SupervisedChild {
  pid: number;
  exited: Promise<ChildExit>;
  /**
   * Sends the polite signal, waits `deadlineMs`, then SIGKILL to its process group. Resolves when the child
   * is gone; may be called again. Never rejects.
   */
  stop(deadlineMs: number): Promise<ChildExit>;
  /** The end of what the child has written so far. */
  lastLines(): string[];
}

/**
 * none: no such process. stopped: it ended by the polite signal. killed: only SIGKILL ended it.
 * in_use: its supervisor is still alive, so another Millrace runs on this data; nothing was done.
 * unstoppable: it belongs to another user or stayed after SIGKILL.
 */
export type OrphanOutcome = 'none' | 'stopped' | 'killed' | 'in_use' | 'unstoppable';

/** What the pid file holds. Start times tell a process from a later one that was given the same pid. */
interface PidRecord {
  name: string;
  pid: number;
  startedAt: string | null;
  signal: 'SIGTERM' | 'SIGINT';
  supervisorPid: number;
  supervisorStartedAt: string | null;
}

const LOG_BYTES_MAX = 10 * 1024 * 1024;
const LAST_LINES_MAX = 20;
const LAST_LINES_BYTES = 8192;
const POLL_MS = 20;
const KILL_WAIT_MS = 5000;
/** A supervisor that was killed a moment ago may still be on its way out. */
const SUPERVISOR_GRACE_MS = 1500;

/**
 * Starts the command and resolves once the process exists (not once it serves). Call it from the main
 * thread: the kernel ties the child's life to the thread that forked it. The child gets a session of its
 * own, so that Ctrl-C reaches only us and the order of stopping stays ours. Throws when it cannot be run.
 */
export async function superviseChild(options: ChildOptions): Promise<SupervisedChild> {
  const { name, args, pidFile, dieWithParent } = options;
  const env = options.env ?? process.env;
  const command = resolveExecutable(options.command, env.PATH ?? process.env.PATH);
  if (command === undefined) {
    throw new Error(`${name} cannot be started: ${options.command} is missing or not executable`);
  }
  const logFile = options.logFile ?? `${pidFile}.log`;
  mkdirSync(dirname(pidFile), { recursive: true });
  mkdirSync(dirname(logFile), { recursive: true });
  const logFd = openLog(logFile);
  const logStart = fstatSync(logFd).size;

  const setpriv = process.platform === 'linux' ? resolveExecutable('setpriv', process.env.PATH) : undefined;
  const nice = options.niceness === undefined ? undefined : resolveExecutable('nice', process.env.PATH);
  const signalName = dieWithParent.slice('SIG'.length);
  const polite = nice === undefined ? [] : [nice, '-n', String(options.niceness)];
  const [file, fileArgs] =
    setpriv === undefined
      ? [command, [...args]]
      : [setpriv, ['--pdeathsig', signalName, '--', ...polite, command, ...args]];
  const child = spawn(file, fileArgs, {
    env,
    stdio: ['ignore', logFd, logFd],
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  closeSync(logFd);

  let expected = false;
  const exited = new Promise<ChildExit>((resolve) => {
    child.once('exit', (code, signal) => {
      const exit = { code, signal, expected, lastLines: readLastLines(logFile, logStart) };
      rmSync(pidFile, { force: true });
      process.removeListener('exit', stopWithUs);
      resolve(exit);
      options.onExit?.(exit);
    });
  });
  // Where the kernel does not do it, an orderly end of our process at least takes the child along.
  const stopWithUs = () => signalProcess(child.pid ?? 0, dieWithParent);
  process.once('exit', stopWithUs);

  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      process.removeListener('exit', stopWithUs);
      reject(new Error(`${name} cannot be started from ${command}: ${error.message}`, { cause: error }));
    });
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  const isGone = () => child.exitCode !== null || child.signalCode !== null;
  if (!isGone()) {
    writePidRecord(pidFile, {
      name,
      pid,
      startedAt: processStartedAt(pid),
      signal: dieWithParent,
      supervisorPid: process.pid,
      supervisorStartedAt: processStartedAt(process.pid),
    });
  }

  return {
    pid,
    exited,
    lastLines: () => readLastLines(logFile, logStart),
    async stop(deadlineMs) {
      expected = true;
      if (!isGone()) {
        signalProcess(pid, dieWithParent);
        const hard = setTimeout(() => {
          if (!isGone()) signalProcess(-pid, 'SIGKILL');
        }, deadlineMs);
        await exited;
        clearTimeout(hard);
      }
      return exited;
    },
  };
}

/**
 * Ends what an earlier, killed Millrace left running, before the same data is opened again. The process
 * must be the one of the pid file (pid and start time agree) and its command line must contain
 * `expectCommandIncludes`, for instance the data folder. `deadlineMs` is the time before SIGKILL.
 */
export async function stopOrphan(
  pidFile: string,
  expectCommandIncludes: string,
  deadlineMs = 20_000,
): Promise<OrphanOutcome> {
  const record = readPidRecord(pidFile);
  if (record === undefined) return 'none';
  const isOurs = () =>
    processStartedAt(record.pid) === record.startedAt &&
    processCommand(record.pid).includes(expectCommandIncludes);
  if (record.startedAt === null || !isOurs()) {
    rmSync(pidFile, { force: true });
    return 'none';
  }
  const isAlone = () =>
    record.supervisorStartedAt === null ||
    processStartedAt(record.supervisorPid) !== record.supervisorStartedAt;
  if (!(await becomesTrue(isAlone, SUPERVISOR_GRACE_MS))) return 'in_use';
  if (!signalProcess(record.pid, record.signal)) return isOurs() ? 'unstoppable' : 'none';
  if (await becomesTrue(() => !isOurs(), deadlineMs)) {
    rmSync(pidFile, { force: true });
    return 'stopped';
  }
  signalProcess(record.pid, 'SIGKILL');
  if (await becomesTrue(() => !isOurs(), KILL_WAIT_MS)) {
    rmSync(pidFile, { force: true });
    return 'killed';
  }
  return 'unstoppable';
}

/** Absolute path of an executable file, looked up on `path` when it is a bare name; undefined if none. */
export function resolveExecutable(command: string, path: string | undefined): string | undefined {
  const candidates =
    isAbsolute(command) || command.includes('/')
      ? [command]
      : (path ?? '')
          .split(delimiter)
          .filter((folder) => folder !== '')
          .map((folder) => join(folder, command));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return statSync(candidate).isFile();
    } catch {
      return false;
    }
  });
}

function openLog(path: string): number {
  if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

function readLastLines(path: string, from: number): string[] {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const end = fstatSync(fd).size;
    const start = Math.max(from, end - LAST_LINES_BYTES);
    if (end <= start) return [];
    const bytes = Buffer.alloc(end - start);
    readSync(fd, bytes, 0, bytes.length, start);
    const lines = bytes.toString('utf8').split('\n');
    return lines
      .map((line) => line.trimEnd())
      .filter((line) => line !== '')
      .slice(-LAST_LINES_MAX);
  } finally {
    closeSync(fd);
  }
}

function writePidRecord(path: string, record: PidRecord): void {
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

function readPidRecord(path: string): PidRecord | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const record = JSON.parse(text) as Partial<PidRecord>;
    if (!Number.isSafeInteger(record.pid) || Number(record.pid) <= 1) return undefined;
    return {
      name: String(record.name),
      pid: Number(record.pid),
      startedAt: record.startedAt ?? null,
      signal: record.signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM',
      supervisorPid: Number(record.supervisorPid),
      supervisorStartedAt: record.supervisorStartedAt ?? null,
    };
  } catch {
    return undefined;
  }
}

/** False when there is no such process or it is not ours to signal. */
function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  // 0 and -1 would mean "my whole group" and "everything".
  if (pid === 0 || pid === -1) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** A text that no two processes with one pid share; null when there is no living process (zombies count as dead). */
export function processStartedAt(pid: number): string | null {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      // The name in parentheses may hold anything; fields are counted from behind it (proc(5): state is 3, starttime 22).
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
    } catch {
      return null;
    }
  }
  return askPs(pid, 'lstart=');
}

function processCommand(pid: number): string {
  if (process.platform === 'linux') {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      return '';
    }
  }
  return askPs(pid, 'command=') ?? '';
}

function askPs(pid: number, column: string): string | null {
  try {
    const answer = execFileSync('ps', ['-ww', '-o', column, '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return answer === '' ? null : answer;
  } catch {
    return null;
  }
}

async function becomesTrue(condition: () => boolean, deadlineMs: number): Promise<boolean> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}
