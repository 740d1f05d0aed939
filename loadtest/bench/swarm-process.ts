// The client process as its parent sees it: a command in, its result out.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type {
  Connected,
  FromSwarm,
  Left,
  LoadResult,
  SwarmCommand,
  SwarmTarget,
  TipResult,
} from './swarm-messages.js';

export class SwarmProcess {
  readonly #child: ChildProcess;
  #onDone: ((result: unknown) => void) | null = null;
  #onFailed: ((error: Error) => void) | null = null;
  #onArmed: (() => void) | null = null;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./swarm.js', import.meta.url)), { execArgv: [] });
    this.#child.on('message', (message: FromSwarm) => {
      if (message.type === 'done') this.#onDone?.(message.result);
      else if (message.type === 'armed') this.#onArmed?.();
      else this.#onFailed?.(new Error(message.reason));
    });
    this.#child.on('exit', (code, signal) => {
      this.#onFailed?.(new Error(`the client process ended by itself (${signal ?? `exit code ${code}`})`));
    });
  }

  /** Resolves when all sessions are subscribed, authorized and have a job. */
  connect(target: SwarmTarget, connections: number): Promise<Connected> {
    return this.#do<Connected>({ type: 'connect', target, connections });
  }

  closedLoop(inFlight: number, warmupMs: number, ms: number): Promise<LoadResult> {
    return this.#do<LoadResult>({ type: 'closed_loop', inFlight, warmupMs, ms });
  }

  openLoop(perSecond: number, warmupMs: number, ms: number): Promise<LoadResult> {
    return this.#do<LoadResult>({ type: 'open_loop', perSecond, warmupMs, ms });
  }

  /** Calls `newTip` when all connections listen for it; resolves when all have its job. */
  async tip(perSecond: number, newTip: () => Promise<number>): Promise<TipResult & { tipAtMs: number }> {
    const armed = new Promise<void>((resolve) => {
      this.#onArmed = resolve;
    });
    const result = this.#do<TipResult>({ type: 'tip', perSecond });
    const [got, tipAtMs] = await Promise.all([result, Promise.race([armed, result]).then(newTip)]);
    return { ...got, tipAtMs };
  }

  /** Closes the connections; the process then ends. */
  leave(): Promise<Left> {
    return this.#do<Left>({ type: 'leave' });
  }

  /** Ends the process, also when a command failed. */
  kill(): void {
    this.#onFailed = null;
    this.#child.kill('SIGKILL');
  }

  /** Each command's result is the one that its method names: the client answers them in turn. */
  #do<Result>(command: SwarmCommand): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.#onDone = (result) => resolve(result as Result);
      this.#onFailed = reject;
      this.#child.send(command);
    });
  }
}
