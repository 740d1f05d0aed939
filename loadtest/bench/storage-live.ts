// The handle of the thread that fills a journal at a fixed rate (storage-live-thread.ts).
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LatencySummary } from './storage-latencies.js';

/** workerData of storage-live-thread.ts. */
export interface LiveSettings {
  journalFolder: string;
  nodeId: number;
  sharesPerSecond: number;
  workers: number;
  seed: number;
}

export type ToLive = { type: 'summary' } | { type: 'stop' };

export type FromLive =
  | ({ type: 'summary' } & LatencySummary)
  /** The journal had come to `seq` at `atMs`, Unix milliseconds. */
  | { type: 'head'; seq: number; atMs: number }
  | { type: 'closed'; seq: number };

export class LiveJournal {
  readonly #worker: Worker;
  #summary: (summary: LatencySummary) => void = () => {};
  #closed: (seq: number) => void = () => {};
  #failed: (error: Error) => void = () => {};
  /** Rejects when the thread fails. */
  readonly failure: Promise<never>;

  constructor(settings: LiveSettings, onHead: (seq: number, atMs: number) => void = () => {}) {
    this.#worker = new Worker(new URL('./storage-live-thread.js', import.meta.url), {
      name: 'live journal',
      workerData: settings,
    });
    this.failure = new Promise((_, reject) => {
      this.#failed = reject;
    });
    this.failure.catch(() => {});
    this.#worker.on('error', (error) => this.#failed(error as Error));
    this.#worker.on('message', (message: FromLive) => {
      if (message.type === 'summary') this.#summary(message);
      else if (message.type === 'head') onHead(message.seq, message.atMs);
      else this.#closed(message.seq);
    });
  }

  /** Latencies since the last call. */
  summary(): Promise<LatencySummary> {
    const answer = new Promise<LatencySummary>((resolve) => {
      this.#summary = resolve;
    });
    this.#post({ type: 'summary' });
    return Promise.race([answer, this.failure]);
  }

  /** Seals and closes the journal; resolves with the number of its last share. */
  async stop(): Promise<number> {
    const answer = new Promise<number>((resolve) => {
      this.#closed = resolve;
    });
    const exited = once(this.#worker, 'exit');
    this.#post({ type: 'stop' });
    const seq = await Promise.race([answer, this.failure]);
    await exited;
    return seq;
  }

  /** Ends the thread at once. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(message: ToLive): void {
    this.#worker.postMessage(message);
  }
}
