// The body of a request: decompressed, bounded, its first part in memory (the SQL stands there), and the
// rows of an INSERT written to a file, which is how the engine takes them.
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { exception } from './exception.js';

/** Longest SQL text, as ClickHouse's max_query_size. */
export const SQL_BYTES_MAX = 256 * 1024;
/** Longest body after decompression. A journal batch is far below 100 MB. */
const BODY_BYTES_MAX = 2 * 1024 * 1024 * 1024;

export class RequestBody {
  readonly #chunks: AsyncIterator<Buffer>;
  #bytes = 0;
  #ended = false;

  /** Throws NOT_IMPLEMENTED for an encoding that is not gzip, deflate or br. */
  constructor(request: IncomingMessage) {
    this.#chunks = decoded(request)[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The next bytes, until at least `wanted` are there or the body ends. */
  async take(wanted: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    let bytes = 0;
    while (bytes < wanted) {
      const chunk = await this.#next();
      if (chunk === undefined) break;
      taken.push(chunk);
      bytes += chunk.length;
    }
    return Buffer.concat(taken);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Writes `start` and everything that still comes to a new file; removes it when that fails. */
  async writeTo(path: string, start: Buffer): Promise<void> {
    const next = () => this.#next();
    async function* all() {
      if (start.length > 0) yield start;
      for (let chunk = await next(); chunk !== undefined; chunk = await next()) yield chunk;
    }
    try {
      await pipeline(all, createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: 1024 * 1024 }));
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  async #next(): Promise<Buffer | undefined> {
    const { value, done } = await this.#chunks.next();
    if (done) {
      this.#ended = true;
      return undefined;
    }
    this.#bytes += value.length;
    if (this.#bytes > BODY_BYTES_MAX) {
      throw exception('TOO_MANY_BYTES', `Body longer than ${BODY_BYTES_MAX} bytes: send smaller inserts`);
    }
    return value;
  }
}

function decoded(request: IncomingMessage): Readable {
  const encoding = (request.headers['content-encoding'] ?? 'identity').toLowerCase();
  const decoder = decoderFor(encoding);
  if (decoder === undefined) return request;
  // Errors of either side surface in the iterator of the decoder.
  request.once('error', (error) => decoder.destroy(error));
  request.once('close', () => {
    if (!request.complete) decoder.destroy(new Error('the client went away'));
  });
  return request.pipe(decoder);
}

function decoderFor(encoding: string) {
  switch (encoding) {
    case 'identity':
    case '':
      return undefined;
    case 'gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      throw exception('NOT_IMPLEMENTED', `Content-Encoding ${encoding} is not supported: use gzip or none`);
  }
}
