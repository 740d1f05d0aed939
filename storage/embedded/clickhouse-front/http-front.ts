// The ClickHouse HTTP interface in front of the engine: enough of it for curl, every client library that
// speaks HTTP, and Grafana. https://clickhouse.com/docs/interfaces/http
// Results are held in memory, up to 256 MiB; with wait_end_of_query=0 a SELECT streams, whatever its size.
// Not there: compress=1 and decompress=1 (LZ4 frames), external tables (multipart), progress headers.
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { chooseCompression, contentType, sendException, sendResult } from './answer.js';
import type { Engine, EngineQuery } from './engine.js';
import { exception, toException } from './exception.js';
import { refusedTableFunctions, requireReading } from './read-only-guard.js';
import { RequestBody, SQL_BYTES_MAX } from './request-body.js';
import { quoteString, readSettings } from './settings.js';
import { type InsertWithData, isWord, parseStatement, type Statement } from './statement.js';
import { streamResult } from './stream-result.js';
import { authenticate, type User } from './users.js';

export interface HttpFrontOptions {
  engine: Engine;
  users: readonly User[];
  /** Database where a request names none, or names `default`. */
  database: string;
  /** Folder for the rows of running inserts; its path may hold none of * ? { }. */
  spoolDir: string;
  /** Told with /ping, so that whoever started us knows it is us who answer. */
  instance: string;
  /** Ends the streamed results when the server stops. */
  stopping: AbortSignal;
}

const CONNECTIONS_MAX = 256;
const HEADER_BYTES_MAX = 128 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 10 * 60_000;
const KEEP_ALIVE_MS = 10_000;
const SESSION_TIMEOUT_S = 60;
const SESSION_TIMEOUT_S_MAX = 3600;
const QUERY_ID = /^[\x20-\x7e]{1,128}$/;

/** The server, not yet listening. */
export function createHttpFront(options: HttpFrontOptions): Server {
  const refusedCalls = refusedTableFunctions(options.engine.tableFunctions);
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => {
      void answer(options, refusedCalls, request, response).catch((error: unknown) => {
        sendException(response, toException(error), !request.complete);
        if (!request.complete) request.resume();
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

async function answer(
  options: HttpFrontOptions,
  refusedCalls: ReadonlySet<string>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { engine, instance } = options;
  const url = new URL(request.url ?? '/', 'http://localhost');
  const parameters = url.searchParams;
  response.setHeader('X-ClickHouse-Server-Display-Name', 'millrace');
  const isAlive = url.pathname === '/ping' || url.pathname === '/replicas_status';
  if (isAlive || (request.method !== 'POST' && url.pathname === '/' && !parameters.has('query'))) {
    response.writeHead(200, { 'Content-Type': 'text/plain; charset=UTF-8', 'X-Millrace-Instance': instance });
    response.end('Ok.\n');
    return;
  }
  if (url.pathname !== '/') {
    response.writeHead(404, { 'Content-Type': 'text/plain; charset=UTF-8' });
    response.end(`There is no handle ${url.pathname}\n`);
    return;
  }
  if (request.method !== 'POST' && request.method !== 'GET' && request.method !== 'HEAD') {
    throw exception('NOT_IMPLEMENTED', `Method ${request.method} is not supported: use GET or POST`);
  }
  const user = authenticate(request.headers, parameters, options.users);
  requireSupported(request, parameters);
  // As in ClickHouse, GET never changes anything, whoever asks.
  const readOnly = user.readOnly || request.method !== 'POST';
  const queryId = parameters.get('query_id') || randomUUID();
  if (!QUERY_ID.test(queryId))
    throw exception('BAD_REQUEST_PARAMETER', 'query_id is not 1 to 128 plain characters');

  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const body = new RequestBody(request);
  const { sql, statement, rows } = await readStatement(parameters.get('query') ?? '', body);
  const streamed = parameters.get('wait_end_of_query') === '0' && isSelect(statement);
  const settings = readSettings(parameters, readOnly, streamed);
  const defaultFormat = headerText(request, 'x-clickhouse-format') ?? parameters.get('default_format') ?? '';
  const query: EngineQuery = {
    sql,
    format: defaultFormat || 'TabSeparated',
    database: chooseDatabase(request, parameters, options.database),
    settings,
    readOnly,
    signal: gone.signal,
    keep: keptSession(parameters, user),
  };

  response.setHeader('X-ClickHouse-Query-Id', queryId);
  response.setHeader('X-ClickHouse-Timezone', engine.timezone);
  if (statement.kind === 'insert') {
    if (readOnly) throw exception('READONLY', `${user.name}: Cannot execute query in readonly mode`);
    const result = await insertRows(
      engine,
      query,
      statement,
      body,
      rows,
      join(options.spoolDir, randomUUID()),
    );
    setSummary(response, result.rows, result.elapsedS);
    response.setHeader('Content-Type', 'text/plain; charset=UTF-8');
    await sendResult(response, result.bytes, undefined);
    return;
  }
  if (readOnly) requireReading(statement.tokens, refusedCalls);
  const format = statement.format ?? query.format;
  response.setHeader('X-ClickHouse-Format', format);
  response.setHeader('Content-Type', contentType(format));
  if (streamed) {
    const signal = AbortSignal.any([gone.signal, options.stopping]);
    await streamResult(engine, { ...query, signal }, statement, response, options.spoolDir);
    return;
  }
  const result = await engine.run(query);
  setSummary(response, result.rows, result.elapsedS);
  const isCompressionWanted = parameters.get('enable_http_compression') === '1';
  await sendResult(
    response,
    result.bytes,
    chooseCompression(headerText(request, 'accept-encoding'), isCompressionWanted),
  );
}

/** The SQL of the `query` parameter and the body together, and what follows an INSERT, as far as it was read. */
async function readStatement(
  fromUrl: string,
  body: RequestBody,
): Promise<{ sql: string; statement: Statement; rows: Buffer }> {
  const urlBytes = Buffer.from(fromUrl, 'utf8');
  // When the parameter is a whole INSERT, every byte of the body is data, blank lines in front included.
  const inUrl = wholeInsert(urlBytes);
  if (inUrl !== undefined) return { sql: '', statement: inUrl, rows: Buffer.alloc(0) };
  const start = await body.take(SQL_BYTES_MAX + 1);
  const text = urlBytes.length === 0 ? start : Buffer.concat([urlBytes, Buffer.from('\n'), start]);
  const latin1 = text.toString('latin1', 0, Math.min(text.length, SQL_BYTES_MAX * 2));
  const statement = parseStatement(latin1);
  if (statement.kind === 'insert') {
    return { sql: '', statement, rows: text.subarray(afterLineEnd(latin1, statement.dataStart)) };
  }
  if (!body.ended || text.length > SQL_BYTES_MAX) {
    throw exception('QUERY_IS_TOO_LARGE', `Query is longer than ${SQL_BYTES_MAX} bytes`);
  }
  return { sql: text.toString('utf8'), statement, rows: Buffer.alloc(0) };
}

function wholeInsert(urlBytes: Buffer): InsertWithData | undefined {
  if (urlBytes.length === 0) return undefined;
  const latin1 = urlBytes.toString('latin1');
  try {
    const statement = parseStatement(latin1);
    const isWhole = statement.kind === 'insert' && latin1.slice(statement.dataStart).trim() === '';
    return isWhole ? statement : undefined;
  } catch {
    // Half a statement; the other half stands in the body.
    return undefined;
  }
}

/** Blanks and one line end separate the statement from its data; they are not data. */
function afterLineEnd(text: string, at: number): number {
  return at + (/^[ \t\f]*\r?\n?/.exec(text.slice(at, at + 1024))?.[0].length ?? 0);
}

async function insertRows(
  engine: Engine,
  query: EngineQuery,
  insert: InsertWithData,
  body: RequestBody,
  rows: Buffer,
  file: string,
) {
  await body.writeTo(file, rows);
  try {
    const source = `FROM INFILE ${quoteString(file)} COMPRESSION 'none'`;
    const sql = `${insert.head}\n${source}\n${insert.settings}\nFORMAT ${insert.format}`;
    return await engine.run({ ...query, sql: Buffer.from(sql, 'latin1').toString('utf8') });
  } finally {
    await rm(file, { force: true });
  }
}

function isSelect(statement: Statement): boolean {
  const [first] = statement.kind === 'plain' ? statement.tokens : [];
  return isWord(first, 'SELECT') || isWord(first, 'WITH');
}

function requireSupported(request: IncomingMessage, parameters: URLSearchParams): void {
  for (const name of ['compress', 'decompress']) {
    if (parameters.get(name) === '1') {
      throw exception(
        'NOT_IMPLEMENTED',
        `${name}=1 (LZ4 frames) is not supported: use HTTP compression (gzip)`,
      );
    }
  }
  if (/^multipart\//i.test(request.headers['content-type'] ?? '')) {
    throw exception('NOT_IMPLEMENTED', 'External tables (multipart bodies) are not supported');
  }
}

function chooseDatabase(request: IncomingMessage, parameters: URLSearchParams, fallback: string): string {
  const asked = headerText(request, 'x-clickhouse-database') ?? parameters.get('database') ?? '';
  // Clients send `default` when nobody chose; in this engine it is a view of the machine's files.
  return asked === '' || asked === 'default' ? fallback : asked;
}

function keptSession(parameters: URLSearchParams, user: User): EngineQuery['keep'] {
  const id = parameters.get('session_id');
  if (id === null || id === '') return undefined;
  const timeoutS = Number(parameters.get('session_timeout') ?? SESSION_TIMEOUT_S);
  if (!(timeoutS > 0 && timeoutS <= SESSION_TIMEOUT_S_MAX)) {
    throw exception(
      'INVALID_SESSION_TIMEOUT',
      `session_timeout must be 1 to ${SESSION_TIMEOUT_S_MAX} seconds`,
    );
  }
  return { id: `${user.name}/${id}`, timeoutMs: timeoutS * 1000 };
}

function setSummary(response: ServerResponse, rows: number, elapsedS: number): void {
  const summary = { result_rows: String(rows), elapsed_ns: String(Math.round(elapsedS * 1e9)) };
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary));
}

function headerText(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
