// One consumer of one journal: reads batches in order, joined when the store is behind, and delivers each until its store
// has it, for ever. While the store is away the journal waits.
import type { JournalBatch, JournalPosition } from '../journal/batch.js';
import { JournalCorruptError } from '../journal/reader.js';
import { listSegments } from '../journal/segments.js';
import { JoinedReader } from './joined-reader.js';
import type { ConsumerStatus } from './messages.js';
import type { OutageLog } from './outage-log.js';
import { JournalMismatchError, type Sink, type SinkStart } from './sink.js';

const POLL_MS = 250;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;

export interface LaneOptions {
  nodeId: number;
  journalFolder: string;
  sink: Sink;
  outages: OutageLog;
  /** Told after each batch that the store has. */
  onDelivered: (status: ConsumerStatus) => void;
  /** Monotonic milliseconds. */
  nowMs: () => number;
}

export class Lane {
  readonly #options: LaneOptions;
  #shippedSeq = 0;
  #acceptedTotal: number | null = null;
  #headSeq = 0;
  #position: JournalPosition | null = null;
  #error: string | null = null;
  #stopAtMs = Number.POSITIVE_INFINITY;
  #stopping = false;
  #wake: () => void = () => {};

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get nodeId(): number {
    return this.#options.nodeId;
  }

  get status(): ConsumerStatus {
    return {
      consumer: this.#options.sink.consumer,
      nodeId: this.#options.nodeId,
      shippedSeq: this.#shippedSeq,
      acceptedTotal: this.#acceptedTotal,
      lagShares: Math.max(0, this.#headSeq - this.#shippedSeq),
      state: this.#error === null ? 'ok' : 'away',
      error: this.#error,
      position: this.#position,
    };
  }

  /** The journal is sealed up to `seq`. */
  sealed(seq: number): void {
    this.#headSeq = Math.max(this.#headSeq, seq);
    this.#wake();
  }

  /** Ends `run` when all that is sealed is delivered, or after `deadlineMs`. */
  stop(deadlineMs: number): void {
    this.#stopping = true;
    this.#stopAtMs = this.#options.nowMs() + deadlineMs;
    this.#wake();
  }

  /** Delivers until stopped. Resolves to true when everything sealed was delivered. */
  async run(): Promise<boolean> {
    let retryMs = RETRY_FIRST_MS;
    for (;;) {
      const shippedBefore = this.#shippedSeq;
      try {
        return await this.#deliverAll();
      } catch (error) {
        this.#away(error);
      } finally {
        await this.#options.sink.close();
      }
      if (this.#shippedSeq > shippedBefore) retryMs = RETRY_FIRST_MS;
      if (this.#outOfTime(retryMs)) return false;
      await this.#sleep(retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    }
  }

  /** One connection's life: returns when stopped (true: nothing is left), throws when the store fails. */
  async #deliverAll(): Promise<boolean> {
    const { sink, nodeId, journalFolder } = this.#options;
    const start = await sink.open();
    this.#checkSegments(start);
    const reader = new JoinedReader(journalFolder, start.position);
    this.#shippedSeq = Math.max(this.#shippedSeq, start.nextSeq - 1);
    this.#position ??= start.position;
    try {
      for (;;) {
        const found = reader.next((first) => sink.joinUpTo(first));
        if (found === null) {
          if (reader.atEnd) await sink.atEnd();
          this.#back();
          if (this.#stopping) return true;
          await this.#sleep(POLL_MS);
          continue;
        }
        const { batch, joined } = found;
        this.#headSeq = Math.max(this.#headSeq, batch.lastSeq);
        if (batch.nodeId !== nodeId) throw this.#mismatch(start, `shares of node ${batch.nodeId}`);
        if (batch.firstSeq < start.nextSeq) throw this.#mismatch(start, `shares from ${batch.firstSeq} on`);
        if (joined) sink.keepCut(batch);
        await sink.deliver(batch);
        this.#delivered(batch);
        if (this.#outOfTime(0)) return false;
      }
    } finally {
      reader.close();
    }
  }

  /** A cursor behind the end of the journal would wait for ever, and nobody would notice. */
  #checkSegments(start: SinkStart): void {
    if (start.position === null) return;
    const newest = listSegments(this.#options.journalFolder).at(-1);
    if (newest !== undefined && newest < start.position.segment) {
      throw this.#mismatch(start, `segments up to ${newest}`);
    }
  }

  #mismatch({ position, nextSeq }: SinkStart, found: string): JournalMismatchError {
    return new JournalMismatchError(
      `${this.#options.sink.consumer} was fed up to share ${Math.max(0, nextSeq - 1)} of node ${this.#options.nodeId} ` +
        `(segment ${position?.segment ?? 'unknown'}), but ${this.#options.journalFolder} has ${found} there: it is not the journal it was fed from. ` +
        'Put the old journal back, or start with empty stores',
    );
  }

  #delivered(batch: JournalBatch): void {
    this.#shippedSeq = Math.max(this.#shippedSeq, batch.lastSeq);
    this.#acceptedTotal = batch.acceptedTotal;
    this.#position = batch.next;
    this.#back();
    this.#options.onDelivered(this.status);
  }

  #away(error: unknown): void {
    const { sink, nodeId, outages } = this.#options;
    this.#error =
      error instanceof JournalCorruptError || error instanceof JournalMismatchError
        ? error.message
        : sink.explain(error);
    outages.away(nodeId, this.#error);
  }

  /** Only what was delivered, or nothing left to deliver, ends an outage: connecting alone proves little. */
  #back(): void {
    if (this.#error === null) return;
    this.#error = null;
    this.#options.outages.back(this.#options.nodeId);
  }

  #outOfTime(marginMs: number): boolean {
    return this.#options.nowMs() + marginMs >= this.#stopAtMs;
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }
}
