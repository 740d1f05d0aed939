// Starts a server that Millrace brings up itself again when it ends without being asked (a crash, kill -9,
// the kernel's out-of-memory killer), with growing pauses. Used for PostgreSQL and the ClickHouse engine,
// whose clients only see a few refused connections meanwhile.
import type { ChildExit, SupervisedChild } from './child-process.js';

export interface KeepRunningOptions {
  /** Shown in messages. */
  name: string;
  /**
   * Starts the server and resolves when it serves; rejects, leaving no process, when it ended or does not get
   * there. An aborted signal means that nobody waits for it any more.
   */
  start: (signal: AbortSignal) => Promise<SupervisedChild>;
  log: (line: string) => void;
  /** Called for every end that was not asked for, before the next start. */
  onExit?: (exit: ChildExit) => void;
}

export interface KeptServer {
  /** Of the server that runs now; 0 while there is none. */
  readonly pid: number;
  /** Ends the server for good: polite signal, after `deadlineMs` SIGKILL. May be called again. */
  stop(deadlineMs: number): Promise<void>;
}

const PAUSE_MS_MIN = 200;
const PAUSE_MS_MAX = 15_000;
/** A server that ran this long was well: its next pause is the shortest again. */
const WELL_AFTER_MS = 60_000;

/** Starts the server and keeps it running until `stop`. Rejects when the first start fails. */
export async function keepRunning(options: KeepRunningOptions): Promise<KeptServer> {
  const { name, log } = options;
  const stopping = new AbortController();
  let pauseMs = PAUSE_MS_MIN;
  let current: SupervisedChild | undefined = await options.start(stopping.signal);
  let restarting: Promise<void> = Promise.resolve();
  watch(current);

  function watch(child: SupervisedChild): void {
    const since = performance.now();
    void child.exited.then((exit) => {
      if (stopping.signal.aborted || exit.expected) return;
      if (performance.now() - since > WELL_AFTER_MS) pauseMs = PAUSE_MS_MIN;
      current = undefined;
      const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`;
      log(`${name} ended ${how} without being asked: it is started again`);
      options.onExit?.(exit);
      restarting = restart();
    });
  }

  async function restart(): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(pauseMs, stopping.signal);
      if (stopping.signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
      try {
        current = await options.start(stopping.signal);
        log(`${name} runs again (pid ${current.pid})`);
        watch(current);
        return;
      } catch (error) {
        log(`${name} does not start again: ${(error as Error).message}. Next try in ${pauseMs / 1000} s`);
      }
    }
  }

  return {
    get pid() {
      return current?.pid ?? 0;
    },
    async stop(deadlineMs) {
      stopping.abort();
      await restarting;
      await current?.stop(deadlineMs);
      current = undefined;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
