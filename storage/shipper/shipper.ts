// The handle of the shipper thread for the process that owns it: starts it, nudges it, keeps its latest
// status and stops it. A thread that dies is started again; cursors make that harmless.
import { Worker } from 'node:worker_threads';
import type { Consumer, ConsumerStatus, FromShipper, ShipperSettings, ToShipper } from './messages.js';

export interface ShipperEvents {
  onStatus?: (status: ConsumerStatus) => void;
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

const RESTART_MS = 1000;
const STOP_DEADLINE_MS = 5000;
/** ClickHouse and the ledger. */
const CONSUMERS = 2;

/** Key of a status: one store's place in one lane. */
export function statusKey(consumer: Consumer, nodeId: number): string {
  return `${consumer}/${nodeId}`;
}

export class Shipper {
  readonly #settings: ShipperSettings;
  readonly #events: ShipperEvents;
  readonly #status = new Map<string, ConsumerStatus>();
  #worker: Worker;
  #restart: NodeJS.Timeout | undefined;
  #stopping: Promise<boolean> | null = null;
  #stopped: (drained: boolean) => void = () => {};
  /** Node -> last sequence number that was sealed. */
  readonly #sealedSeq = new Map<number, number>();

  /** Starts the thread. Stores need not be up. */
  constructor(settings: ShipperSettings, events: ShipperEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#worker = this.#start();
  }

  /** Latest status by `statusKey`; absent until the first second is over. */
  get status(): ReadonlyMap<string, ConsumerStatus> {
    return this.#status;
  }

  /** Segments of node `nodeId` below this one are in both stores. 0 until both have said so. */
  neededSegment(nodeId: number): number {
    const of = [...this.#status.values()].filter((status) => status.nodeId === nodeId);
    if (of.length < CONSUMERS) return 0;
    return Math.min(...of.map(({ position }) => position?.segment ?? 0));
  }

  /** The journal of node `nodeId` was sealed up to `seq`: deliver now rather than at the next poll. */
  sealed(nodeId: number, seq: number): void {
    this.#sealedSeq.set(nodeId, seq);
    this.#send({ type: 'sealed', nodeId, seq });
  }

  /** Delivers what is sealed, then ends the thread. Resolves to true when both stores have every lane whole. */
  stop(deadlineMs = STOP_DEADLINE_MS): Promise<boolean> {
    this.#stopping ??= new Promise((resolve) => {
      this.#stopped = resolve;
      clearTimeout(this.#restart);
      this.#send({ type: 'stop', deadlineMs });
      // Last resort when the thread itself hangs.
      setTimeout(() => resolve(false), deadlineMs + 2000).unref();
    }).then(async (drained) => {
      await this.#worker.terminate();
      return drained as boolean;
    });
    return this.#stopping;
  }

  /** Ends the thread at once, as a crash would; another is started. For tests of exactly that. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }

  #send(message: ToShipper): void {
    this.#worker.postMessage(message);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./shipper-thread.js', import.meta.url), {
      name: 'shipper',
      workerData: this.#settings,
    });
    worker.on('message', (message: FromShipper) => {
      if (message.type === 'log') this.#events.log(message.level, message.message);
      else if (message.type === 'stopped') this.#stopped(message.drained);
      else {
        const { type: _, ...status } = message;
        this.#status.set(statusKey(status.consumer, status.nodeId), status);
        this.#events.onStatus?.(status);
      }
    });
    worker.on('error', (error) => {
      this.#events.log('error', `shipper thread failed: ${error.stack ?? error.message}`);
    });
    worker.on('exit', () => {
      if (this.#stopping !== null) {
        this.#stopped(false);
        return;
      }
      this.#events.log('warn', 'shipper thread ended by itself: starting it again');
      this.#restart = setTimeout(() => {
        this.#worker = this.#start();
        for (const [nodeId, seq] of this.#sealedSeq) this.sealed(nodeId, seq);
      }, RESTART_MS);
    });
    return worker;
  }
}
