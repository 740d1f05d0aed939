// Names the shares of a minute that differs: compares ClickHouse row by row with the journal, and Postgres slice by
// slice with the journal, or with ClickHouse where the journal's segments are gone. Called by `millrace reconcile`.
import type { ClickHouse } from '../clickhouse/client.js';
import type { Database } from '../postgres/connection.js';
import { clickhouseShares, type Row, rowsAnywhere, rowsOfMinute } from './clickhouse-side.js';
import { explainSlices } from './explain-slices.js';
import { journalShares } from './journal-side.js';
import type { ComparedMinute, Difference, StoredShare } from './minutes.js';
import { slicesOfMinute } from './postgres-side.js';
import type { LaneJournal } from './reconcile.js';

export interface ExplainInput {
  compared: ComparedMinute;
  /** Of the minute's node; undefined where there is none. */
  journal: LaneJournal | undefined;
  clickhouse: ClickHouse;
  database: Database;
  /** Differences named at most. */
  rowsMax: number;
}

/** What differs in one minute, share by share, `rowsMax` at most for each store. */
export async function explainMinute(input: ExplainInput): Promise<Difference[]> {
  const { compared, journal, clickhouse, database, rowsMax } = input;
  const { node, minute } = compared;
  const fromJournal = () =>
    journal === undefined
      ? []
      : journalShares(journal.segments, journal.holding.get(minute) ?? new Set(), minute);
  const differences: Difference[] = [];
  if (compared.differing.includes('clickhouse')) {
    differences.push(...(await explainRows(clickhouse, node, minute, fromJournal(), rowsMax)));
  }
  if (compared.differing.includes('postgres')) {
    const reference =
      compared.journal === null ? () => clickhousePages(clickhouse, node, minute) : () => fromJournal();
    const slices = await slicesOfMinute(database, node, minute);
    const base = compared.journal === null ? 'ClickHouse' : 'the journal';
    differences.push(...(await explainSlices(node, minute, base, reference, slices, rowsMax)));
  }
  return differences;
}

async function explainRows(
  clickhouse: ClickHouse,
  node: number,
  minute: number,
  pages: Iterable<StoredShare[]>,
  rowsMax: number,
): Promise<Difference[]> {
  const found: Difference[] = [];
  const base = { node, minute, store: 'clickhouse' as const };
  let firstSeq = 0;
  for (const page of withEnd(pages)) {
    const lastSeq = page === 'end' ? Number.MAX_SAFE_INTEGER : (page.at(-1)?.seq ?? firstSeq);
    const rows = new Map<number, Row[]>();
    for (const row of await rowsOfMinute(clickhouse, node, minute, firstSeq, lastSeq)) {
      const same = rows.get(row.seq);
      if (same === undefined) rows.set(row.seq, [row]);
      else same.push(row);
    }
    for (const share of page === 'end' ? [] : page) {
      const difference = compareRow(share, rows.get(share.seq) ?? []);
      if (difference !== null) found.push({ ...base, seqs: [share.seq], ...difference });
      rows.delete(share.seq);
    }
    for (const [seq, [row]] of rows) {
      const detail = `ClickHouse has a row (${row?.verdict}, ${row?.account}.${row?.worker}) of this minute; the journal has none`;
      found.push({ ...base, seqs: [seq], kind: 'unknown', detail });
    }
    if (found.length >= rowsMax) break;
    firstSeq = lastSeq + 1;
  }
  const named = found.slice(0, rowsMax);
  const missing = named.filter(({ kind }) => kind === 'missing');
  if (missing.length === 0) return named;
  const seqs = missing.flatMap((difference) => difference.seqs);
  const elsewhere = new Map((await rowsAnywhere(clickhouse, node, seqs)).map((row) => [row.seq, row]));
  for (const difference of missing) {
    const row = elsewhere.get(difference.seqs[0] as number);
    if (row === undefined) continue;
    difference.kind = 'different';
    difference.detail = `ClickHouse has it at ${new Date(row.ms).toISOString()}, another minute`;
  }
  return named;
}

function compareRow(share: StoredShare, rows: readonly Row[]): Pick<Difference, 'kind' | 'detail'> | null {
  const copies = rows.reduce((sum, row) => sum + row.copies, 0);
  const [row] = rows;
  if (row === undefined) {
    const { verdict, account, worker, hash } = share;
    return {
      kind: 'missing',
      detail: `not in ClickHouse (${verdict}, ${account}.${worker}${hash === '' ? '' : `, hash ${hash}`})`,
    };
  }
  if (copies > 1) return { kind: 'doubled', detail: `ClickHouse has ${copies} rows of it` };
  const fields = ['verdict', 'work', 'account', 'worker', 'round', 'hash', 'ms'] as const;
  const changed = fields.filter((field) => row[field] !== share[field]);
  if (changed.length === 0) return null;
  const words = changed.map((field) => `${field} ${row[field]} instead of ${share[field]}`);
  return { kind: 'different', detail: `ClickHouse has ${words.join(', ')}` };
}

/** ClickHouse's rows as shares; a doubled one comes as often as it is there. */
async function* clickhousePages(
  clickhouse: ClickHouse,
  node: number,
  minute: number,
): AsyncGenerator<StoredShare[]> {
  for await (const page of clickhouseShares(clickhouse, node, minute)) {
    yield page.flatMap((row) => Array.from({ length: row.copies }, () => row));
  }
}

function* withEnd<T>(pages: Iterable<T>): Generator<T | 'end'> {
  yield* pages;
  yield 'end';
}
