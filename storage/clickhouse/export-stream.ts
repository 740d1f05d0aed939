// Streams an export out of ClickHouse: bytes as they come, held back while the reader does not take them, the query
// ended when the reader goes. Used by `millrace export` and GET /api/v1/shares/export.
import { Readable } from 'node:stream';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { type ClickHouseOptions, SHARE_DATABASE } from './client.js';
import {
  EXPORT_SETTINGS,
  type ExportFormat,
  exportCountSql,
  exportParameters,
  exportSql,
  type ShareExport,
} from './export-query.js';

/** Exports that ClickHouse did not send whole. */
export class ExportCutError extends Error {
  override readonly name = 'ExportCutError';
}

/** A reader may stand still; whoever serves it decides for how long. */
const STILL_MS_MAX = 6 * 3600_000;
const PARQUET_MAGIC = Buffer.from('PAR1');
/** Newer servers put an error that comes in mid-stream into the body, behind this. */
const EXCEPTION_MARK = '__exception__';
const SAMPLE_ROWS = 20_000;
const TAIL_BYTES = 16 * 1024;

export class ShareExporter {
  readonly #client: ClickHouseClient;

  /** Connects with the first request. */
  constructor(options: ClickHouseOptions) {
    this.#client = createClient({
      url: options.url,
      username: options.user,
      password: options.password,
      database: options.database ?? SHARE_DATABASE,
      application: 'millrace-export',
      log: { level: ClickHouseLogLevel.OFF },
      request_timeout: STILL_MS_MAX,
      compression: { request: false, response: false },
      // The bytes go on as they are; nothing here may wait for the rest of them.
      keep_alive: { enabled: false },
    });
  }

  /** Rows that the export will have, if nothing is added meanwhile. */
  async count(request: ShareExport): Promise<number> {
    const result = await this.#client.query({
      query: exportCountSql(request),
      query_params: exportParameters(request),
      format: 'JSONEachRow',
    });
    const [row] = await result.json<{ rows: string | number }>();
    return Number(row?.rows ?? 0);
  }

  /** Bytes of a row, by a sample: Parquet does not show how many rows went by. */
  async bytesPerRow(request: ShareExport, rows: number): Promise<number> {
    const sample = Math.min(rows, SAMPLE_ROWS);
    if (sample === 0) return 0;
    const body = await this.#exec(exportSql(request, sample), request, new AbortController().signal);
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) bytes += chunk.length;
    return bytes / sample;
  }

  /**
   * The bytes of the file. Rejects when ClickHouse refuses the query; the stream fails with ExportCutError when its
   * end is not that of a whole file. Destroying the stream, or `signal`, ends the query.
   */
  open(request: ShareExport, signal: AbortSignal): Promise<Readable> {
    return this.#exec(exportSql(request), request, signal);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #exec(query: string, request: ShareExport, signal: AbortSignal): Promise<Readable> {
    const result = await this.#client.exec({
      query,
      query_params: exportParameters(request),
      clickhouse_settings: EXPORT_SETTINGS,
      abort_signal: signal,
    });
    const body = Readable.from(checked(result.stream, request.format), { objectMode: false });
    const leave = () => body.destroy();
    signal.addEventListener('abort', leave, { once: true });
    body.once('close', () => {
      signal.removeEventListener('abort', leave);
      result.stream.destroy();
    });
    if (signal.aborted) leave();
    return body;
  }
}

async function* checked(source: AsyncIterable<Buffer>, format: ExportFormat): AsyncGenerator<Buffer> {
  let tail: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    tail =
      chunk.length >= TAIL_BYTES
        ? chunk.subarray(chunk.length - TAIL_BYTES)
        : Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
    yield chunk;
  }
  const whole =
    format === 'parquet' ? tail.subarray(-4).equals(PARQUET_MAGIC) : !tail.includes(EXCEPTION_MARK);
  if (!whole) throw new ExportCutError('ClickHouse ended the export before its end. Ask again');
}
