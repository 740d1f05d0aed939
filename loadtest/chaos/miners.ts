// The process of miners as a chaos run sees it.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { PhaseAnswers } from './answer-times.js';
import {
  type FromMiners,
  type MinerCounts,
  type MinersSettings,
  noCounts,
  type ToMiners,
} from './miners-messages.js';

const END_WITHIN_MS = 20_000;

export class Miners {
  counts: MinerCounts = noCounts();
  /** Rejects when the process dies before its books are closed. */
  readonly failed: Promise<never>;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #phases: ((answers: PhaseAnswers) => void)[] = [];
  #booksClosed = false;
  #fail: (error: Error) => void = () => {};

  constructor(settings: MinersSettings, onFault: (what: string) => void) {
    this.failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
    this.#child = fork(fileURLToPath(new URL('./miners-process.js', import.meta.url)), { execArgv: [] });
    this.#child.on('message', (message: FromMiners) => {
      if (message.type === 'fault') {
        onFault(message.what);
        return;
      }
      if (message.type === 'phase') {
        this.#phases.shift()?.(message.answers);
        return;
      }
      this.counts = message.counts;
      if (message.type === 'ended') this.#booksClosed = true;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        if (!this.#booksClosed)
          this.#fail(new Error(`the miners ended by themselves (${signal ?? `exit code ${code}`})`));
        resolve();
      });
    });
    this.#send({ type: 'start', settings });
  }

  movedTo(ports: readonly number[]): void {
    this.#send({ type: 'ports', ports });
  }

  /** They send no more shares; `counts.open` falls to 0. */
  rest(): void {
    this.#send({ type: 'rest' });
  }

  /** Shares again after a rest. */
  work(): void {
    this.#send({ type: 'work' });
  }

  /** What the pool could not store is sent once more. */
  resendRefused(): void {
    this.#send({ type: 'resend' });
  }

  /** Ends a phase. The books are complete up to now when it resolves. */
  async endPhase(): Promise<PhaseAnswers> {
    const answers = new Promise<PhaseAnswers>((resolve) => this.#phases.push(resolve));
    this.#send({ type: 'phase' });
    return await Promise.race([answers, this.failed]);
  }

  /** Has them close their books; resolves when the process is gone. */
  async end(): Promise<void> {
    this.#send({ type: 'end' });
    const late = setTimeout(() => this.#fail(new Error('the miners did not end in time')), END_WITHIN_MS);
    try {
      await Promise.race([this.#ended, this.failed]);
    } finally {
      clearTimeout(late);
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #send(message: ToMiners): void {
    if (this.#child.connected) this.#child.send(message);
  }
}
