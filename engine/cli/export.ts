// `millrace export`: submits of a time range out of ClickHouse into a file or a pipe, any number of them. Called
// through commands.ts.
import { once } from 'node:events';
import { createWriteStream, existsSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { explainClickHouseError } from '../../storage/clickhouse/client.js';
import {
  EXPORT_COLUMNS,
  EXPORT_FORMATS,
  type ExportFormat,
  requireExportable,
  type ShareExport,
} from '../../storage/clickhouse/export-query.js';
import { ShareExporter } from '../../storage/clickhouse/export-stream.js';
import { EXIT_USAGE } from './commands.js';
import { ProgressLine } from './progress-line.js';
import { findClickHouse, POOL_HELP, POOL_OPTIONS, parseTime, poolConfig } from './running-stores.js';

const EXIT_FAULT = 1;
/** 128 + SIGINT, as a shell reports it. */
const EXIT_INTERRUPTED = 130;
const LINE_FEED = 0x0a;

const HELP = [
  'millrace export: every submit of a time range, accepted or not, out of ClickHouse. Streams; any size.',
  '',
  '  --from TIME      received at or after (ISO 8601, as 2026-11-21T08:00:00Z)',
  '  --to TIME        received before',
  '  --account NAME   of this account only [all]',
  '  --worker NAME    of workers of this name only [all]',
  '  --verdict NAME   with this verdict only, as accepted [all]',
  '  --columns LIST   columns in this order, with commas between [all]',
  '  --format FORMAT  parquet, csv or ndjson [parquet, or what the name of FILE says]',
  '  --out FILE       file to write, which must not be there yet [standard output]',
  ...POOL_HELP,
  '',
  'A file has its name only when it is whole. Rows are in the order in which ClickHouse stores them, not of time.',
  'Ends with 0 when all was written, 1 when not, 64 for a wrong flag, 130 after Ctrl-C.',
  '',
  `Columns: ${EXPORT_COLUMNS.join(', ')}`,
];

/** Runs `argv` (what follows `export`) and returns the exit code. */
export async function exportShares(argv: readonly string[]): Promise<number> {
  let request: ShareExport;
  let out: string | undefined;
  let exporter: ShareExporter;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        ...POOL_OPTIONS,
        ...{ from: { type: 'string' }, to: { type: 'string' }, account: { type: 'string' } },
        ...{ worker: { type: 'string' }, verdict: { type: 'string' }, columns: { type: 'string' } },
        ...{ format: { type: 'string' }, out: { type: 'string' }, help: { type: 'boolean' } },
      },
    });
    if (values.help === true) {
      process.stdout.write(`${HELP.join('\n')}\n`);
      return 0;
    }
    out = values.out;
    request = readRequest(values);
    if (out !== undefined && existsSync(out)) throw new Error(`${out} is there already; name another file`);
    if (out === undefined && request.format === 'parquet' && process.stdout.isTTY) {
      throw new Error('Parquet is not for a terminal; name a file with --out');
    }
    exporter = new ShareExporter(await findClickHouse(poolConfig(values)));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nmillrace export --help lists the flags.\n`);
    return EXIT_USAGE;
  }
  return await run(exporter, request, out);
}

async function run(exporter: ShareExporter, request: ShareExport, out: string | undefined): Promise<number> {
  const stop = new AbortController();
  let interrupted = false;
  const onSignal = () => {
    interrupted = true;
    stop.abort();
  };
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  const partial = out === undefined ? undefined : `${out}.part`;
  const progress = new ProgressLine();
  try {
    const total = await exporter.count(request);
    const rowBytes =
      request.format === 'parquet' && process.stderr.isTTY ? await exporter.bytesPerRow(request, total) : 0;
    const body = await exporter.open(request, stop.signal);
    const sink = partial === undefined ? process.stdout : createWriteStream(partial, { flags: 'wx' });
    const written = await copy(body, sink, request.format, { total, rowBytes }, progress, stop.signal);
    if (partial !== undefined && out !== undefined) {
      sink.end();
      await finished(sink);
      await putInPlace(partial, out);
    }
    progress.clear();
    process.stderr.write(`${total} submits, ${size(written)}${out === undefined ? '' : ` in ${out}`}\n`);
    return 0;
  } catch (error) {
    progress.clear();
    const { code, message } = error as NodeJS.ErrnoException;
    if (partial !== undefined && code !== 'EEXIST') rmSync(partial, { force: true });
    if (interrupted) {
      process.stderr.write('Interrupted; nothing was kept.\n');
      return EXIT_INTERRUPTED;
    }
    // The reader of our output has what it wanted (head, less).
    if (code === 'EPIPE') return 0;
    process.stderr.write(
      code === 'EEXIST'
        ? `${partial} is there: another export writes it, or one was killed. Delete it and try again.\n`
        : code === 'ENOSPC'
          ? `The disk of ${out} is full. Free space there; nothing was kept.\n`
          : `${message.includes('ClickHouse') ? message : explainClickHouseError(error)}.\n`.replace(
              '..',
              '.',
            ),
    );
    return EXIT_FAULT;
  } finally {
    process.removeListener('SIGINT', onSignal);
    process.removeListener('SIGTERM', onSignal);
    await exporter.close();
  }
}

function readRequest(values: Record<string, string | boolean | undefined>): ShareExport {
  const { from, to, account, worker, verdict, columns, out } = values as Record<string, string | undefined>;
  if (from === undefined || to === undefined) throw new Error('--from and --to say which submits are meant');
  const named = EXPORT_FORMATS.find((known) => out?.endsWith(`.${known}`));
  const format = (values.format ?? named ?? 'parquet') as ExportFormat;
  if (!EXPORT_FORMATS.includes(format)) {
    throw new Error(`--format is ${EXPORT_FORMATS.join(', ')}, not ${format}`);
  }
  const request: ShareExport = {
    format,
    fromMs: parseTime('--from', from),
    toMs: parseTime('--to', to),
    ...(account === undefined ? {} : { account }),
    ...(worker === undefined ? {} : { worker }),
    ...(verdict === undefined ? {} : { verdict }),
    columns: columns?.split(',').map((name) => name.trim()) ?? EXPORT_COLUMNS,
  };
  requireExportable(request);
  return request;
}

/** Bytes written. Holds one chunk: the next is asked for when the sink has taken it. */
async function copy(
  body: Readable,
  sink: Writable,
  format: ExportFormat,
  expected: { total: number; rowBytes: number },
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  let failed: Error | null = null;
  const fail = (error: Error): void => {
    failed = error;
    body.destroy();
  };
  sink.on('error', fail);
  const { total, rowBytes } = expected;
  let bytes = 0;
  // A header line is no row.
  let rows = format === 'csv' ? -1 : 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (format !== 'parquet') rows += lineEnds(chunk);
      if (!sink.write(chunk) && failed === null) await once(sink, 'drain', { signal });
      if (failed !== null) throw failed;
      if (format === 'parquet') rows = Math.min(total, Math.floor(bytes / rowBytes));
      progress.show(rows / total, (elapsedS) => {
        return `${rows} of ${total} rows, ${size(bytes)}, ${size(bytes / elapsedS)}/s`;
      });
    }
  } catch (error) {
    throw failed ?? error;
  }
  if (failed !== null) throw failed;
  signal.throwIfAborted();
  return bytes;
}

/** Names of miners hold no line feed (engine/stratum checks them), so each one ends a row. */
function lineEnds(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) count++;
  return count;
}

/** The name appears when the bytes are on the disk. */
async function putInPlace(partial: string, out: string): Promise<void> {
  const file = await open(partial, 'r');
  await file.sync();
  await file.close();
  await rename(partial, out);
  const folder = await open(dirname(out), 'r');
  await folder.sync();
  await folder.close();
}

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}
