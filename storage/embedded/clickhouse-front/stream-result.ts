// A result that leaves while it is made, in any format and of any size: the engine writes it into a named pipe, from
// which the answer takes as much as its reader does. The engine's own stream of chunks cannot be used: each chunk is
// a file of its own, so a CSV has many headers and a Parquet file many ends (seen with chdb 3.4.0).
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { Engine, EngineQuery } from './engine.js';
import { quoteString } from './settings.js';
import type { PlainStatement, Statement } from './statement.js';

const run = promisify(execFile);

/**
 * Answers with the rows of a SELECT as they come; its headers are set. Throws the engine's error while nothing was
 * sent; later the connection is cut, so that nobody takes a part for the whole. Resolves when the query has ended.
 */
export async function streamResult(
  engine: Engine,
  query: EngineQuery,
  statement: Statement,
  response: ServerResponse,
  spoolDir: string,
): Promise<void> {
  const path = join(spoolDir, `${randomUUID()}.pipe`);
  await run('mkfifo', ['-m', '600', path]);
  // Not blocking: it opens before the engine does, and reading holds no thread.
  const pipe = new Socket({
    fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
    readable: true,
    writable: false,
  });
  pipe.on('error', () => {});
  const leave = () => pipe.destroy();
  query.signal.addEventListener('abort', leave, { once: true });
  const sql = intoPipe(query, statement as PlainStatement, path);
  // The engine may end without having opened the pipe; whoever opens and closes it ends the reading.
  const running = engine.run({ ...query, sql, streamed: true }).then(() => endOf(path));
  running.catch(leave);
  try {
    const chunks = pipe[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const failed = running.then(() => new Promise<never>(() => {}));
    const first = await Promise.race([chunks.next(), failed]);
    if (first.done) await running;
    await pipeline(
      async function* all() {
        for (let next = first; !next.done; next = await chunks.next()) yield next.value;
      },
      response,
      { end: false },
    );
    await running;
    response.end();
  } catch (error) {
    if (response.headersSent || query.signal.aborted) response.destroy();
    leave();
    const cause = await running.then(
      () => error,
      (reason: unknown) => reason,
    );
    if (!response.destroyed) throw cause;
  } finally {
    query.signal.removeEventListener('abort', leave);
    pipe.destroy();
    await rm(path, { force: true });
  }
}

/** The statement with its result led into the pipe, before its FORMAT clause. */
function intoPipe(query: EngineQuery, { tokens, format }: PlainStatement, path: string): string {
  // Offsets of tokens are those of the bytes.
  const bytes = Buffer.from(query.sql, 'utf8');
  const last = tokens.at(-1)?.end ?? bytes.length;
  const clause = format === undefined ? -1 : tokens.findLastIndex(isFormat);
  const cut = tokens[clause]?.start ?? last;
  const rest = clause < 0 ? `FORMAT ${query.format}` : bytes.toString('utf8', cut, last);
  return `${bytes.toString('utf8', 0, cut)}\nINTO OUTFILE ${quoteString(path)} APPEND\n${rest}`;
}

const isFormat = ({ kind, text }: PlainStatement['tokens'][number]): boolean =>
  kind === 'word' && text.toUpperCase() === 'FORMAT';

function endOf(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody reads any more.
  }
}
