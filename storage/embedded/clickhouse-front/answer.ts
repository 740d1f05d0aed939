// The headers and the compression of an answer, as a ClickHouse server sends them.
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { deflate, gzip } from 'node:zlib';
import type { ClickHouseException } from './exception.js';

const COMPRESS_FROM_BYTES = 1024;
/** Fastest level: the other end is this machine. */
const COMPRESSION_LEVEL = 1;
const compressors = { gzip: promisify(gzip), deflate: promisify(deflate) };

/** How the answer may be compressed: what the client accepts, if it asked for compression at all. */
export function chooseCompression(
  acceptEncoding: string | undefined,
  isWanted: boolean,
): 'gzip' | 'deflate' | undefined {
  if (!isWanted || acceptEncoding === undefined) return undefined;
  if (/\bgzip\b/i.test(acceptEncoding)) return 'gzip';
  return /\bdeflate\b/i.test(acceptEncoding) ? 'deflate' : undefined;
}

/** Sends the whole answer. */
export async function sendResult(
  response: ServerResponse,
  bytes: Uint8Array,
  compression: 'gzip' | 'deflate' | undefined,
): Promise<void> {
  if (compression === undefined || bytes.length < COMPRESS_FROM_BYTES) {
    response.setHeader('Content-Length', bytes.length);
    response.end(bytes);
    return;
  }
  const compressed = await compressors[compression](bytes, { level: COMPRESSION_LEVEL });
  response.setHeader('Content-Encoding', compression);
  response.setHeader('Content-Length', compressed.length);
  response.end(compressed);
}

/** Sends an error; `closes` ends the connection, for a request whose body was not read to its end. */
export function sendException(response: ServerResponse, error: ClickHouseException, closes: boolean): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = Buffer.from(`${error.message}\n`, 'utf8');
  if (closes) response.setHeader('Connection', 'close');
  response.writeHead(error.httpStatus, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'X-ClickHouse-Exception-Code': String(error.code),
    'Content-Length': body.length,
  });
  response.end(body);
}

/** Media type of an output format. */
export function contentType(format: string): string {
  if (/^JSON.*EachRow|^NDJSON|^JSONLines/i.test(format)) return 'application/x-ndjson; charset=UTF-8';
  if (/^JSON/i.test(format)) return 'application/json; charset=UTF-8';
  if (/^CSV/i.test(format)) {
    return `text/csv; charset=UTF-8; header=${/names/i.test(format) ? 'present' : 'absent'}`;
  }
  if (/^(TSV|TabSeparated)/i.test(format)) return 'text/tab-separated-values; charset=UTF-8';
  if (
    /^(Native|RowBinary|Parquet|Arrow|ORC|Avro|MsgPack|BSON|Npy|Protobuf|CapnProto|RawBLOB)/i.test(format)
  ) {
    return 'application/octet-stream';
  }
  return 'text/plain; charset=UTF-8';
}
