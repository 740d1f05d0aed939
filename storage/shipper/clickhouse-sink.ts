// Delivers journal batches to ClickHouse: one insert a batch with the batch's deduplication token, then the
// cursor file. A crash between the two sends the batch again, and ClickHouse drops it: the cut is the journal's, and that
// of joined batches is in the cursor file before they are sent. Whatever failed before, the first batch of a connection
// may have been sent before: it is counted (settle-batch.ts).
import { join } from 'node:path';
import {
  type ClickHouse,
  type ClickHouseOptions,
  explainClickHouseError,
  openClickHouse,
} from '../clickhouse/client.js';
import { migrateClickHouse } from '../clickhouse/migrate.js';
import { isKept, tableFacts } from '../clickhouse/retention.js';
import { countBatch, insertBatch, settleBatch, settleSums, spanOf } from '../clickhouse/settle-batch.js';
import type { NodeSpan } from '../clickhouse/sums.js';
import type { JournalBatch, JournalPosition } from '../journal/batch.js';
import { type Cut, readCursor, writeCursor } from './cursor-file.js';
import { JOIN_SHARES_MAX } from './joined-reader.js';
import { JournalMismatchError, type Sink, type SinkStart } from './sink.js';

export const CLICKHOUSE_CURSOR_FILE = 'clickhouse.cursor.json';

export class ClickHouseSink implements Sink {
  readonly consumer = 'clickhouse';
  readonly #options: ClickHouseOptions;
  readonly #nodeId: number;
  readonly #cursorPath: string;
  readonly #warn: (message: string) => void;
  #clickhouse: ClickHouse | null = null;
  /** Where the cursor file stands. Null when unknown: the journal's oldest batch is as good a start as any. */
  #expectedSeq: number | null = null;
  #position: JournalPosition = { segment: 0, offset: 0 };
  /** The joined batch that may be on its way, as the cursor file has it. */
  #sending: Cut | null = null;
  /** The cursor file is lost: each batch is looked up before it is sent, until one is new. */
  #searching = false;
  /** The next batch may have been sent before, by an insert that broke off. */
  #unsettled = true;
  /** Where the search ended. Up to JOIN_SHARES_MAX behind it, sums may hold shares of a joined batch whose cut is lost. */
  #searchedTo = Number.NEGATIVE_INFINITY;
  /** Found stored while searching, the newest: an insert of them may have been cut off. */
  #found: { span: NodeSpan; shares: number }[] = [];
  #foundShares = 0;
  /** The cursor goes behind it when that is settled. */
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
    this.#position = { segment: 0, offset: 0 };
    this.#searching = false;
    this.#unsettled = true;
    this.#searchedTo = Number.NEGATIVE_INFINITY;
    this.#forgetFound();
    const cursor = readCursor(this.#cursorPath);
    this.#sending = cursor?.nodeId === this.#nodeId ? (cursor.sending ?? null) : null;
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
      this.#position = cursor.position;
      return { position: cursor.position, nextSeq: cursor.nextSeq };
    }
    this.#searching = true;
    return { position: null, nextSeq: 0 };
  }

  joinUpTo(first: JournalBatch): number {
    if (this.#sending?.firstSeq === first.firstSeq) return this.#sending.lastSeq;
    // What may be there already was sent alone, or its cut would be known; and a search looks at each alone.
    return this.#unsettled || this.#searching ? first.lastSeq : Number.POSITIVE_INFINITY;
  }

  keepCut({ firstSeq, lastSeq, shares }: JournalBatch): void {
    if (shares === 0 || this.#sending?.firstSeq === firstSeq) return;
    const sending = { firstSeq, lastSeq };
    const nextSeq = this.#expectedSeq ?? firstSeq;
    writeCursor(this.#cursorPath, { nodeId: this.#nodeId, nextSeq, position: this.#position, sending });
    this.#sending = sending;
  }

  async deliver(batch: JournalBatch): Promise<void> {
    this.#checkCut(batch);
    if (batch.shares === 0) {
      // No proof of anything while the cursor is being searched for.
      if (!this.#searching) this.#moveCursor(batch);
      return;
    }
    if (this.#searching && (await this.#isStored(batch))) {
      // The cursor stays away: a repetition from the middle of the search would not know what was found.
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
    if (this.#unsettled) this.#warnOf(await settleBatch(this.#connected(), batch), batch);
    this.#unsettled = this.#searching || batch.lastSeq < this.#searchedTo + JOIN_SHARES_MAX;
    this.#moveCursor(batch);
  }

  async atEnd(): Promise<void> {
    await this.#settleFound();
    if (this.#searchedTo === Number.NEGATIVE_INFINITY) return;
    // What comes now was not sealed when the lost cut was made.
    this.#searchedTo = Number.NEGATIVE_INFINITY;
    this.#unsettled = false;
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
   * With the cursor file gone, ClickHouse itself says what it has: all of a batch, none, or a part of one of the last,
   * which is sent again whole and settled.
   */
  async #isStored(batch: JournalBatch): Promise<boolean> {
    const { firstSeq, lastSeq } = batch;
    const clickhouse = this.#connected();
    const span = spanOf(batch);
    const { rows, shares } = await countBatch(clickhouse, batch, span);
    if (rows === batch.shares && shares === batch.shares) {
      this.#keepFound(span, batch.shares);
      return true;
    }
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
    this.#searchedTo = firstSeq;
    return false;
  }

  /** Keeps as many as the largest insert can have held. */
  #keepFound(span: NodeSpan, shares: number): void {
    this.#found.push({ span, shares });
    this.#foundShares += shares;
    for (let oldest = this.#found[0]; oldest !== undefined; oldest = this.#found[0]) {
      if (this.#foundShares - oldest.shares < JOIN_SHARES_MAX) break;
      this.#foundShares -= oldest.shares;
      this.#found.shift();
    }
  }

  #warnOf(tables: readonly string[], { lastSeq }: JournalBatch): void {
    if (tables.length === 0) return;
    this.#warn(
      `an insert that broke off before share ${lastSeq + 1} of node ${this.#nodeId} left rows twice or not at all in ` +
        `${tables.join(', ')}: repaired, nothing to do`,
    );
  }

  async #settleFound(): Promise<void> {
    const last = this.#lastFound;
    if (last === null) return;
    if (this.#found.length > 0) {
      const span = this.#found
        .map((found) => found.span)
        .reduce(({ node, fromMs, toMs }, next) => ({
          ...{ node, fromMs: Math.min(fromMs, next.fromMs), toMs: Math.max(toMs, next.toMs) },
        }));
      this.#warnOf(await settleSums(this.#connected(), span), last);
    }
    this.#forgetFound();
    this.#moveCursor(last);
  }

  #forgetFound(): void {
    this.#found = [];
    this.#foundShares = 0;
    this.#lastFound = null;
  }

  /** A cut that may be on its way is delivered as it is, or rows would come twice. */
  #checkCut({ firstSeq, lastSeq }: JournalBatch): void {
    if (this.#sending?.firstSeq !== firstSeq || this.#sending.lastSeq === lastSeq) return;
    throw new JournalMismatchError(
      `ClickHouse may have been sent the shares ${firstSeq} to ${this.#sending.lastSeq} of node ${this.#nodeId} at once, but the ` +
        `journal has them up to ${lastSeq} only: it is not the journal it was fed from. Put the old journal back, or start with empty stores`,
    );
  }

  #moveCursor(batch: JournalBatch): void {
    const nextSeq = batch.lastSeq + 1;
    writeCursor(this.#cursorPath, { nodeId: this.#nodeId, nextSeq, position: batch.next });
    this.#expectedSeq = nextSeq;
    this.#position = batch.next;
    this.#sending = null;
  }

  #connected(): ClickHouse {
    if (this.#clickhouse === null) throw new Error('the ClickHouse sink is not open');
    return this.#clickhouse;
  }
}
