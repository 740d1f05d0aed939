// The connection thread alone as the engine of a soak run: the program engine-thread.ts in a process of its own.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type EngineFigures, type EngineSettings, NO_FIGURES, type SoakEngine } from './engine.js';
import type { FromEngine, ToEngine } from './engine-messages.js';
import type { Transport } from './habits.js';

const START_WITHIN_MS = 30_000;
const DRAIN_WITHIN_MS = 30_000;

/** @throws Error when it does not listen in time */
export async function startConnectionThread(
  settings: EngineSettings,
  onLog: (line: string) => void,
): Promise<SoakEngine> {
  const engine = new EngineChild(onLog);
  const late = setTimeout(() => engine.fail(new Error('the engine did not start in time')), START_WITHIN_MS);
  try {
    await engine.listen(settings);
    return engine;
  } catch (error) {
    engine.kill();
    throw error;
  } finally {
    clearTimeout(late);
  }
}

class EngineChild implements SoakEngine {
  figures: EngineFigures = NO_FIGURES;
  ports: Readonly<Record<Transport, number>> = { tcp: 0, tls: 0, ws: 0 };
  readonly failed: Promise<never>;
  fail: (error: Error) => void = () => {};
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #drained = false;
  #onListening: () => void = () => {};

  constructor(onLog: (line: string) => void) {
    this.failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => {});
    this.#child = fork(fileURLToPath(new URL('./engine-thread.js', import.meta.url)), { execArgv: [] });
    this.#child.on('message', (message: FromEngine) => this.#take(message, onLog));
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        if (!this.#drained)
          this.fail(new Error(`the engine ended by itself (${signal ?? `exit code ${code}`})`));
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async listen(settings: EngineSettings): Promise<void> {
    const listening = new Promise<void>((resolve) => {
      this.#onListening = resolve;
    });
    this.#send({ type: 'start', settings });
    await Promise.race([listening, this.failed]);
  }

  async drain(): Promise<void> {
    this.#send({ type: 'drain' });
    const late = setTimeout(
      () => this.fail(new Error('the engine was not drained in time')),
      DRAIN_WITHIN_MS,
    );
    try {
      await Promise.race([this.#ended, this.failed]);
    } finally {
      clearTimeout(late);
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #take(message: FromEngine, onLog: (line: string) => void): void {
    switch (message.type) {
      case 'listening':
        this.ports = message.ports;
        this.#onListening();
        break;
      case 'figures':
        this.figures = message.figures;
        break;
      case 'log':
        onLog(message.line);
        break;
      case 'failed':
        this.fail(new Error(`the engine failed: ${message.reason}`));
        break;
      case 'drained':
        this.#drained = true;
        break;
    }
  }

  #send(message: ToEngine): void {
    this.#child.send(message);
  }
}
