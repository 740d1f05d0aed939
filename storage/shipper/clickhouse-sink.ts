// Delivers journal batches to ClickHouse: one insert a batch with the batch's deduplication token, then the
// cursor file. A crash between the two sends the batch again, and ClickHouse drops it.
import { join } from 'node:path';
import {
  type ClickHouse,
  type ClickHouseOptions,
  explainClickHouseError,
  openClickHouse,
} from '../clickhouse/client.js';
import { migrateClickHouse } from '../clickhouse/migrate.js';
import { nativeBlocks, SUBMIT_COLUMNS } from '../clickhouse/native.js';
import type { JournalBatch } from '../journal/batch.js';
import { SHARE, SHARE_RECORD_BYTES } from '../journal/record.js';
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
      this.#moveCursor(batch);
      return;
    }
    if (this.#expectedSeq !== null && batch.firstSeq > this.#expectedSeq) {
      this.#warn(
        `the journal of node ${this.#nodeId} no longer has shares ${this.#expectedSeq} to ${batch.firstSeq - 1}: ClickHouse will miss them`,
      );
    }
    await this.#connected().insertNative('submits', SUBMIT_COLUMNS, nativeBlocks(batch), batch.token);
    this.#moveCursor(batch);
  }

  async atEnd(): Promise<void> {}

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
   * last one, which is sent again whole (the token drops the part).
   */
  async #isStored(batch: JournalBatch): Promise<boolean> {
    let firstMs = Number.POSITIVE_INFINITY;
    let lastMs = 0;
    for (let at = 0; at < batch.records.length; at += SHARE_RECORD_BYTES) {
      const ms = Math.floor(Number(batch.records.readBigUInt64LE(at + SHARE.receivedUs)) / 1000);
      firstMs = Math.min(firstMs, ms);
      lastMs = Math.max(lastMs, ms);
    }
    const { firstSeq, lastSeq } = batch;
    const clickhouse = this.#connected();
    // The time is in the table's order, the sequence number is not: it keeps this from reading everything.
    const [same] = await clickhouse.rows<{ rows: string }>(
      `SELECT count() AS rows FROM submits WHERE node = {node:UInt16}
         AND ts BETWEEN fromUnixTimestamp64Milli({firstMs:Int64}) AND fromUnixTimestamp64Milli({lastMs:Int64})
         AND seq BETWEEN {firstSeq:UInt64} AND {lastSeq:UInt64}`,
      { node: this.#nodeId, firstMs, lastMs, firstSeq, lastSeq },
    );
    const rows = Number(same?.rows ?? 0);
    if (rows === batch.shares) return true;
    if (rows > 0) return false;
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
