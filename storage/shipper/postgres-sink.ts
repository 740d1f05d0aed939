// Delivers journal batches to the ledger's Postgres. Cursor and work are one transaction there
// (postgres/work-store.ts); this adds the schema, a time limit for a frozen server, and a fresh pool after
// every failure. One connection a lane: lanes book side by side.
import type { JournalBatch } from '../journal/batch.js';
import type { AccountPolicy } from '../postgres/account-directory.js';
import {
  type Database,
  explainPostgresError,
  openPostgres,
  type PostgresOptions,
} from '../postgres/connection.js';
import { closeLane, formerLane } from '../postgres/ledger-lanes.js';
import { migratePostgres } from '../postgres/migrate.js';
import { JournalGapError, WorkStore } from '../postgres/work-store.js';
import type { Sink, SinkStart } from './sink.js';

export class PostgresSink implements Sink {
  readonly consumer = 'ledger';
  readonly #options: PostgresOptions;
  readonly #nodeId: number;
  readonly #policy: AccountPolicy;
  #database: Database | null = null;
  #work: WorkStore | null = null;
  /** Activation under which this lane is a former one; null when it runs, or is closed already. */
  #former: bigint | null = null;

  constructor(options: Omit<PostgresOptions, 'poolSize'>, nodeId: number, policy: AccountPolicy) {
    this.#options = { ...options, poolSize: 1 };
    this.#nodeId = nodeId;
    this.#policy = policy;
  }

  async open(): Promise<SinkStart> {
    this.#database = openPostgres(this.#options);
    this.#work = new WorkStore(this.#database, this.#policy);
    await this.#withinTime(migratePostgres(this.#database));
    this.#former = await this.#withinTime(formerLane(this.#database, this.#nodeId));
    const cursor = await this.#withinTime(this.#work.cursor(this.#nodeId));
    return cursor ?? { position: null, nextSeq: 0 };
  }

  /** The cursor moves in the transaction that books: any cut will do. */
  joinUpTo(): number {
    return Number.POSITIVE_INFINITY;
  }

  keepCut(): void {}

  async deliver(batch: JournalBatch): Promise<void> {
    if (this.#work === null) throw new Error('Postgres sink is not open');
    try {
      await this.#withinTime(this.#work.applyBatch(batch));
    } catch (error) {
      if (error instanceof JournalGapError && (await this.#wasBookedInPart(batch))) {
        throw new Error('a booking that was given up was done after all. It goes on from there by itself', {
          cause: error,
        });
      }
      throw error;
    }
  }

  /** A journal that nobody writes any more is booked to its end: no block has to wait for it. */
  async atEnd(): Promise<void> {
    if (this.#database === null || this.#former === null) return;
    await this.#withinTime(closeLane(this.#database, this.#nodeId, this.#former));
    this.#former = null;
  }

  async close(): Promise<void> {
    const database = this.#database;
    this.#database = null;
    this.#work = null;
    await database?.end({ timeout: 0 }).catch(() => {});
  }

  explain(error: unknown): string {
    return error instanceof JournalGapError ? error.message : explainPostgresError(error);
  }

  /** Shares are booked in order: a cursor inside the batch has come there since `open`, by a commit that was late. */
  async #wasBookedInPart({ firstSeq, lastSeq }: JournalBatch): Promise<boolean> {
    if (this.#work === null) return false;
    const cursor = await this.#withinTime(this.#work.cursor(this.#nodeId));
    return cursor !== null && cursor.nextSeq > firstSeq && cursor.nextSeq <= lastSeq;
  }

  /** The server's own statement timeout does not help when the server is frozen. */
  async #withinTime<Result>(work: Promise<Result>): Promise<Result> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      const late = Object.assign(new Error('no answer in time'), { code: 'CONNECT_TIMEOUT' });
      timer = setTimeout(() => reject(late), (this.#options.timeoutS + 1) * 1000);
    });
    try {
      return await Promise.race([work, limit]);
    } finally {
      clearTimeout(timer);
      work.catch(() => {});
    }
  }
}
