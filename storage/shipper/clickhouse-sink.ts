// Delivers journal batches to ClickHouse: one insert a batch with the batch's deduplication token, then the
// cursor file. A crash between the two sends the batch again, and ClickHouse drops it. Whatever failed before, the
// first batch of a connection may have been sent before: it is counted (settle-batch.ts).
import { join } from 'node:path';
import {
  type ClickHouse,
  type ClickHouseOptions,
  explainClickHouseError,
  openClickHouse,
} from '../clickhouse/client.js';
import { migrateClickHouse } from '../clickhouse/migrate.js';
import { isKept, tableFacts } from '../clickhouse/retention.js';
import { countBatch, insertBatch, settleBatch, spanOf } from '../clickhouse/settle-batch.js';
import type { JournalBatch } from '../journal/batch.js';
import { readCursor, writeCursor } from './cursor-file.js';
import { JournalMismatchError, type Sink, type SinkStart } from './sink.js';

export const CLICKHOUSE_CURSOR_FILE = 'clickhouse.cursor.json';

export class ClickHouseSink implements Sink {
  readonly consumer = 'clickhouse';
  readonly #options: ClickHouseOptions;
  readonly #nodeId: number;
  readonly #cursorPath: string;
  readonly #warn: (message: string) => void;
  #clickhouse: ClickHouse | null = null;
  /** Null when unknown: the journal's oldest batch is as good a start as any. */
  #expectedSeq: number | null = null;
  /** The cursor file is lost: each batch is looked up before it is sent, until one is new. */
  #searching = false;
  /** The next batch may have been sent before, by an insert that broke off. */
  #unsettled = true;
  /** Found stored while searching: the last one may have been cut off. */
  #lastFound: JournalBatch | null = null;

  constructor(
    options: ClickHouseOptions,
    nodeId: number,
    journalFolder: string,
    warn: (message: string) => void,
  ) {
    this.#options = options;
    this.#nodeId = nodeId;
    this.#cursorPath = join(journalFolder, CLICKHOUSE_CURSOR_FILE);
    this.#warn = warn;
  }

  async open(): Promise<SinkStart> {
    await migrateClickHouse(this.#options);
    this.#clickhouse = openClickHouse(this.#options);
    this.#expectedSeq = null;
    this.#searching = false;
    this.#unsettled = true;
    this.#lastFound = null;
    const cursor = readCursor(this.#cursorPath);
    const [any] = await this.#clickhouse.rows<{ node: number }>(
      'SELECT node FROM submits WHERE node = {node:UInt16} LIMIT 1',
      { node: this.#nodeId },
    );
    if (any === undefined) {
      // A node that never had a share is not missing any.
      if (cursor !== null && cursor.nextSeq > 1) {
        this.#warn(
          `ClickHouse holds no shares of node ${this.#nodeId} (new or wiped): it is fed again from the journal`,
        );
      }
      return { position: null, nextSeq: 0 };
    }
    if (cursor !== null && cursor.nodeId === this.#nodeId) {
      this.#expectedSeq = cursor.nextSeq;
      return { position: cursor.position, nextSeq: cursor.nextSeq };
    }
    this.#searching = true;
    return { position: null, nextSeq: 0 };
  }

  async deliver(batch: JournalBatch): Promise<void> {
    if (batch.shares === 0) {
      // No proof of anything while the cursor is being searched for.
      if (!this.#searching) this.#moveCursor(batch);
      return;
    }
    if (this.#searching && (await this.#isStored(batch))) {
      // The cursor stays before the last one until that is settled.
      if (this.#lastFound !== null) this.#moveCursor(this.#lastFound);
      this.#lastFound = batch;
      return;
    }
    await this.#settleFound();
    if (this.#expectedSeq !== null && batch.firstSeq > this.#expectedSeq) {
      this.#warn(
        `the journal of node ${this.#nodeId} no longer has shares ${this.#expectedSeq} to ${batch.firstSeq - 1}: ClickHouse will miss them`,
      );
    }
    await insertBatch(this.#connected(), batch);
    if (this.#unsettled) await this.#settle(batch);
    this.#unsettled = false;
    this.#moveCursor(batch);
  }

  async atEnd(): Promise<void> {
    await this.#settleFound();
  }

  async close(): Promise<void> {
    const clickhouse = this.#clickhouse;
    this.#clickhouse = null;
    await clickhouse?.close().catch(() => {});
  }

  explain(error: unknown): string {
    return explainClickHouseError(error);
  }

  /**
   * With the cursor file gone, ClickHouse itself says what it has: all of a batch, none, or a part of the
   * last one, which is sent again whole (the token drops the part) and settled.
   */
  async #isStored(batch: JournalBatch): Promise<boolean> {
    const { firstSeq, lastSeq } = batch;
    const clickhouse = this.#connected();
    const span = spanOf(batch);
    const { rows } = await countBatch(clickhouse, batch, span);
    if (rows === batch.shares) return true;
    if (rows > 0) return false;
    // What it keeps no longer, it cannot be asked for.
    if (!isKept(await tableFacts(clickhouse), 'submits', span.fromMs, Date.now())) return true;
    const [newest] = await clickhouse.rows<{ seq: string }>(
      'SELECT max(seq) AS seq FROM submits WHERE node = {node:UInt16}',
      { node: this.#nodeId },
    );
    if (Number(newest?.seq ?? 0) >= firstSeq) {
      throw new JournalMismatchError(
        `ClickHouse holds other shares of node ${this.#nodeId} under the numbers ${firstSeq} to ${lastSeq}: ` +
          'it was fed from another journal. Put the old journal back, or start with empty stores',
      );
    }
    this.#searching = false;
    return false;
  }

  async #settle(batch: JournalBatch): Promise<void> {
    const tables = await settleBatch(this.#connected(), batch);
    if (tables.length === 0) return;
    this.#warn(
      `an insert that broke off before share ${batch.lastSeq + 1} of node ${this.#nodeId} left rows twice or not at all in ` +
        `${tables.join(', ')}: repaired, nothing to do`,
    );
  }

  async #settleFound(): Promise<void> {
    const found = this.#lastFound;
    if (found === null) return;
    await this.#settle(found);
    this.#lastFound = null;
    this.#moveCursor(found);
  }

  #moveCursor(batch: JournalBatch): void {
    const nextSeq = batch.lastSeq + 1;
    writeCursor(this.#cursorPath, { nodeId: this.#nodeId, nextSeq, position: batch.next });
    this.#expectedSeq = nextSeq;
  }

  #connected(): ClickHouse {
    if (this.#clickhouse === null) throw new Error('the ClickHouse sink is not open');
    return this.#clickhouse;
  }
}
