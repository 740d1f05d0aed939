// Which parameters of a request are settings of the engine, and which of them a read-only user may choose.
// The limits that hold for everybody are here too.
import { exception } from './exception.js';

export type Settings = ReadonlyMap<string, string>;

/** Parameters of the HTTP interface itself; a setting of that name would mean nothing here. */
const INTERFACE_PARAMETERS = new Set([
  ...['query', 'query_id', 'database', 'user', 'password', 'role', 'quota_key', 'default_format', 'format'],
  ...['session_id', 'session_timeout', 'session_check', 'close_session', 'client_protocol_version'],
  ...['compress', 'decompress', 'enable_http_compression', 'http_zlib_compression_level'],
  ...['network_compression_method', 'network_zstd_compression_level'],
  ...['wait_end_of_query', 'buffer_size', 'stacktrace', 'framing', 'add_http_cors_header'],
  ...['send_progress_in_http_headers', 'http_headers_progress_interval_ms', 'http_max_field_value_size'],
  ...['cancel_http_readonly_queries_on_client_close', 'http_write_exception_in_output_format'],
  ...['http_response_headers', 'http_response_buffer_size', 'log_comment', 'readonly'],
]);

/** A reader may shape its result and lower its limits, nothing else. */
const READER_MAY_SET = new Set([
  ...[
    'max_result_rows',
    'result_overflow_mode',
    'max_rows_to_read',
    'max_bytes_to_read',
    'read_overflow_mode',
  ],
  ...['max_rows_to_group_by', 'group_by_overflow_mode', 'max_block_size', 'max_threads', 'limit', 'offset'],
  ...['timeout_overflow_mode', 'extremes', 'join_use_nulls', 'session_timezone', 'date_time_output_format'],
  ...['union_default_mode', 'prefer_column_name_to_alias', 'totals_mode', 'use_query_cache', 'final'],
  ...['format_csv_delimiter', 'format_tsv_null_representation', 'format_csv_null_representation'],
]);

/** Limits of a reader, and what it gets when it asks for more or for none. */
const READER_LIMITS: Record<string, number> = {
  max_execution_time: 60,
  max_result_bytes: 256 * 1024 * 1024,
  max_memory_usage: 2 * 1024 * 1024 * 1024,
};

/** A streamed result is held nowhere, and lasts as long as the one who reads it. */
const STREAM_LIMITS: Record<string, number> = {
  max_execution_time: 6 * 3600,
  max_memory_usage: 2 * 1024 * 1024 * 1024,
};

/** Where a writer may choose otherwise: results are held in memory, and an answered insert is stored. */
const WRITER_DEFAULTS: Record<string, string> = {
  max_execution_time: '600',
  max_result_bytes: String(256 * 1024 * 1024),
  async_insert: '0',
};

const SETTING_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const SETTINGS_MAX = 100;

/**
 * Settings and bound query parameters (param_...) of a request; `streamed`: its result leaves as it comes. Throws for
 * what may not be set.
 */
export function readSettings(parameters: URLSearchParams, readOnly: boolean, streamed: boolean): Settings {
  const settings = new Map<string, string>(readOnly ? [] : Object.entries(WRITER_DEFAULTS));
  for (const [name, value] of parameters) {
    if (INTERFACE_PARAMETERS.has(name) && !name.startsWith('param_')) continue;
    if (!SETTING_NAME.test(name)) {
      throw exception('BAD_REQUEST_PARAMETER', `${JSON.stringify(name)} is not the name of a setting`);
    }
    if (readOnly && !readerMaySet(name)) {
      throw exception('READONLY', `Cannot modify '${name}' setting in readonly mode`);
    }
    settings.set(name, value);
  }
  if (settings.size > SETTINGS_MAX) {
    throw exception('BAD_REQUEST_PARAMETER', `More than ${SETTINGS_MAX} settings in one request`);
  }
  if (streamed) {
    settings.delete('max_result_bytes');
    lowerTo(STREAM_LIMITS, settings);
  } else if (readOnly) lowerTo(READER_LIMITS, settings);
  return settings;
}

/** One SET statement for all of them; undefined when there are none. */
export function setStatement(settings: Settings): string | undefined {
  if (settings.size === 0) return undefined;
  const assignments = [...settings].map(([name, value]) => `${name} = ${quoteString(value)}`);
  return `SET ${assignments.join(', ')}`;
}

/** As a string literal of ClickHouse SQL. */
export function quoteString(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\0', '\\0')}'`;
}

/** As an identifier of ClickHouse SQL. */
export function quoteIdentifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('\0', '\\0')}\``;
}

function readerMaySet(name: string): boolean {
  return (
    name.startsWith('param_') ||
    name.startsWith('output_format_') ||
    name in READER_LIMITS ||
    READER_MAY_SET.has(name)
  );
}

function lowerTo(limits: Record<string, number>, settings: Map<string, string>): void {
  for (const [name, limit] of Object.entries(limits)) {
    const asked = Number(settings.get(name) ?? 0);
    // 0 is ClickHouse's "no limit".
    const allowed = Number.isFinite(asked) && asked > 0 ? Math.min(asked, limit) : limit;
    settings.set(name, String(allowed));
  }
}
