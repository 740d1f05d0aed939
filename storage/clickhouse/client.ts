// The one way to ClickHouse: @clickhouse/client over HTTP, the same for the embedded engine and for a
// server or cluster of your own (CLICKHOUSE_URL). Used by the migrations, the shipper, the API and metrics.
import { Readable } from 'node:stream';
import { type ClickHouseClient, ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client';

export interface ClickHouseOptions {
  /** http(s)://host:port */
  url: string;
  user?: string;
  password?: string;
  /** 'pool' when not given. */
  database?: string;
  /** Seconds until a request that is not answered counts as failed. 30 when not given. */
  timeoutS?: number;
  /** Name of the cluster that the schema is made on, as in its configuration. Absent: one server. */
  cluster?: string;
  /** How long rows stay. Absent: for ever, unless somebody set it on the server. */
  keep?: KeepDays;
}

/** Days that rows of each kind stay; null: for ever. Days and totals always stay. */
export interface KeepDays {
  readonly submits: number | null;
  readonly minutes: number | null;
  readonly hours: number | null;
}

/** Name of the database that holds the shares. */
export const SHARE_DATABASE = 'pool';

const TIMEOUT_S = 30;

export class ClickHouse {
  readonly database: string;
  readonly #client: ClickHouseClient;

  constructor(options: ClickHouseOptions) {
    this.database = options.database ?? SHARE_DATABASE;
    this.#client = createClient({
      url: options.url,
      username: options.user,
      password: options.password,
      database: this.database,
      application: 'millrace',
      // Failures reach the operator through whoever asked, once and in our words.
      log: { level: ClickHouseLogLevel.OFF },
      request_timeout: (options.timeoutS ?? TIMEOUT_S) * 1000,
      // Columns barely shrink further and the server is near: bytes are cheaper than time here.
      compression: { request: false, response: false },
    });
  }

  /** Runs a statement that returns nothing. */
  async command(sql: string): Promise<void> {
    await this.#client.command({ query: sql });
  }

  /** Rows of a SELECT without FORMAT clause. `parameters` fill {name:Type} in it. UInt64 come as text. */
  async rows<Row>(sql: string, parameters: Record<string, unknown> = {}): Promise<Row[]> {
    const result = await this.#client.query({
      query: sql,
      query_params: parameters,
      format: 'JSONEachRow',
      clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
    });
    return await result.json<Row>();
  }

  /**
   * Inserts Native blocks in one statement. A repeated call with the same `token` and the same blocks
   * changes nothing: how a batch that may or may not have arrived is sent again.
   */
  async insertNative(table: string, columns: readonly string[], blocks: Iterable<Buffer>, token: string) {
    const result = await this.#client.exec({
      query: `INSERT INTO ${table} (${columns.join(', ')}) FORMAT Native`,
      values: Readable.from(blocks, { objectMode: false }),
      clickhouse_settings: {
        insert_deduplication_token: token,
        insert_deduplicate: 1,
        deduplicate_blocks_in_dependent_materialized_views: 1,
        // Answer only when the rows are in a part on disk; 26.x would buffer by default.
        async_insert: 0,
      },
    });
    for await (const _ of result.stream) {
      // An insert has no result; the stream must end for its socket to be used again.
    }
  }

  /** Releases the sockets. */
  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** A client of the share database; connects with the first request. */
export function openClickHouse(options: ClickHouseOptions): ClickHouse {
  return new ClickHouse(options);
}

/** One sentence for the operator about a ClickHouse error: what happened, likely cause, what to do. */
export function explainClickHouseError(error: unknown): string {
  if (error instanceof ClickHouseError) {
    switch (error.type) {
      case 'AUTHENTICATION_FAILED':
      case 'REQUIRED_PASSWORD':
        return 'ClickHouse refuses the user or password of CLICKHOUSE_URL. Correct them';
      case 'UNKNOWN_TABLE':
      case 'UNKNOWN_DATABASE':
        return `ClickHouse lost its tables (${error.message}): dropped by hand or another server. Restart Millrace, it creates them`;
      case 'NOT_ENOUGH_SPACE':
        return 'The disk of ClickHouse is full. Free space there';
      default:
        return `ClickHouse: ${error.message} (${error.type ?? error.code})`;
    }
  }
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case 'ECONNREFUSED':
      return 'ClickHouse refuses connections: it is not running or CLICKHOUSE_URL names another port. Start it or correct CLICKHOUSE_URL';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'The host of CLICKHOUSE_URL cannot be resolved. Correct CLICKHOUSE_URL or the DNS';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'ClickHouse closed the connection: it stopped or restarted. It is tried again by itself';
    default:
      if (message?.includes('Timeout')) {
        return 'ClickHouse does not answer in time: overloaded, frozen or behind a firewall. Check it';
      }
      return `ClickHouse: ${message ?? String(error)}${code === undefined ? '' : ` (${code})`}`;
  }
}
