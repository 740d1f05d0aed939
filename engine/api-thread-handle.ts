// The API thread as the coordinator sees it: starts it, feeds it, ends it.
import { Worker } from 'node:worker_threads';
import type { ClickHouseOptions } from '../storage/clickhouse/client.js';
import type { FromApiThread, ToApiThread } from './api/thread-messages.js';
import type { Logger } from './config/log.js';

const STOP_WITHIN_MS = 8000;

export class ApiThread {
  /** Port it listens on. */
  readonly port: number;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;

  private constructor(worker: Worker, exited: Promise<void>, port: number) {
    this.#worker = worker;
    this.#exited = exited;
    this.port = port;
  }

  /**
   * @param clickhouse where exports are read
   * @throws Error with cause and cure when it cannot serve
   */
  static async start(
    host: string,
    port: number,
    clickhouse: ClickHouseOptions,
    log: Logger,
  ): Promise<ApiThread> {
    const worker = new Worker(new URL('./api/api-thread.js', import.meta.url), {
      name: 'api',
      workerData: { host, port, clickhouse },
    });
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const listening = await new Promise<{ port: number }>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', (message: FromApiThread) => {
        if (message.type === 'listening') resolve(message);
        else if (message.type === 'failed') reject(new Error(message.reason));
        else if (message.type === 'log')
          log[message.level]({ part: 'api', ...message.fields }, message.message);
      });
    });
    worker.on('error', (error) =>
      log.error({ err: error }, 'the API thread failed; mining goes on without it'),
    );
    if (port !== 0 && listening.port !== port) {
      log.warn(`port ${port} is busy: the API listens on ${listening.port}`);
    }
    return new ApiThread(worker, exited, listening.port);
  }

  send(message: ToApiThread): void {
    this.#worker.postMessage(message);
  }

  /** Never terminated by force: that aborts the process while uWebSockets.js holds sockets. */
  async stop(): Promise<void> {
    this.send({ type: 'stop' });
    await Promise.race([this.#exited, new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref())]);
  }
}
