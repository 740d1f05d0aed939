// What an export asks of ClickHouse: which submits, which columns, and each column in a form that other programs
// read. Used by `millrace export` and GET /api/v1/shares/export.
import { VERDICTS } from '../../engine/work/verdict.js';
import { SUBMIT_COLUMNS } from './native.js';

export const EXPORT_FORMATS = ['parquet', 'csv', 'ndjson'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** Names of all columns that can be exported, in the order of an export without a choice. */
export const EXPORT_COLUMNS: readonly string[] = SUBMIT_COLUMNS;

export interface ShareExport {
  format: ExportFormat;
  /** Received at or after, and before; Unix milliseconds. */
  fromMs: number;
  toMs: number;
  /** Exact; absent: all. */
  account?: string;
  worker?: string;
  verdict?: string;
  /** Some of EXPORT_COLUMNS, each once, in the order wanted. */
  columns: readonly string[];
}

/** Media type and ending of a file of the format. */
export const EXPORT_MEDIA: Readonly<Record<ExportFormat, { type: string; extension: string }>> = {
  parquet: { type: 'application/vnd.apache.parquet', extension: 'parquet' },
  csv: { type: 'text/csv', extension: 'csv' },
  ndjson: { type: 'application/x-ndjson', extension: 'ndjson' },
};

const ENGINE_FORMATS: Readonly<Record<ExportFormat, string>> = {
  parquet: 'Parquet',
  csv: 'CSVWithNames',
  ndjson: 'JSONEachRow',
};

/** Rows of a Parquet row group: what a writer of it holds in memory. */
const ROW_GROUP_ROWS = 100_000;

/** Columns whose own type other programs cannot read, or would take for bytes or for bare numbers. */
const READABLE: Readonly<Record<string, string>> = {
  verdict: 'toString(verdict)',
  remote: 'toString(remote)',
  ntime: "toDateTime64(ntime, 3, 'UTC')",
  // Exact in every format: DECIMAL(38, 0) in Parquet, text in NDJSON. No share is worth 10^38 hashes.
  work: 'toDecimal128(work, 0)',
};

/**
 * The statement of an export. Rows come as they are stored, which needs no memory: not in order of time.
 * @param rowsMax so many at most; absent: all
 */
export function exportSql(request: ShareExport, rowsMax?: number): string {
  const columns = request.columns.map((name) => (name in READABLE ? `${READABLE[name]} AS ${name}` : name));
  return `SELECT ${columns.join(', ')} FROM (SELECT ${request.columns.join(', ')} FROM submits WHERE ${condition(request)})
    ${rowsMax === undefined ? '' : `LIMIT ${rowsMax}`} FORMAT ${ENGINE_FORMATS[request.format]}`;
}

/** Rows of that export, as `rows`. */
export function exportCountSql(request: ShareExport): string {
  return `SELECT count() AS rows FROM submits WHERE ${condition(request)}`;
}

/** Values for the {name:Type} of both. */
export function exportParameters({ fromMs, toMs, account, worker, verdict }: ShareExport) {
  return { fromMs, toMs, account: account ?? '', worker: worker ?? '', verdict: verdict ?? '' };
}

/** Settings that make the formats what their names promise: RFC 4180, RFC 3339 times, exact numbers. */
export const EXPORT_SETTINGS = {
  wait_end_of_query: 0,
  date_time_output_format: 'iso',
  output_format_csv_crlf_end_of_line: 1,
  format_csv_null_representation: '',
  output_format_json_quote_64bit_integers: 0,
  output_format_json_quote_decimals: 1,
  output_format_parquet_row_group_size: String(ROW_GROUP_ROWS),
  output_format_parquet_parallel_encoding: 0,
} as const;

/** @throws Error in words for the one who asked */
export function requireExportable(request: ShareExport): void {
  const { fromMs, toMs, verdict, columns } = request;
  if (!(fromMs < toMs)) throw new Error('from must be before to');
  if (verdict !== undefined && !VERDICTS.some(({ name }) => name === verdict)) {
    throw new Error(`verdict is one of ${VERDICTS.map(({ name }) => name).join(', ')}, not ${verdict}`);
  }
  if (columns.length === 0) throw new Error('columns names none');
  for (const [index, name] of columns.entries()) {
    if (!EXPORT_COLUMNS.includes(name)) {
      throw new Error(`columns: there is no ${name}; known are ${EXPORT_COLUMNS.join(', ')}`);
    }
    if (columns.indexOf(name) !== index) throw new Error(`columns names ${name} twice`);
  }
}

function condition({ account, worker, verdict }: ShareExport): string {
  const parts = [
    'ts >= fromUnixTimestamp64Milli({fromMs:Int64})',
    'ts < fromUnixTimestamp64Milli({toMs:Int64})',
    ...(account === undefined ? [] : ['account = {account:String}']),
    ...(worker === undefined ? [] : ['worker = {worker:String}']),
    ...(verdict === undefined ? [] : ['verdict = {verdict:String}']),
  ];
  return parts.join(' AND ');
}
