// Exports on the real engine, through `millrace export` and through the API thread: files that other programs read,
// memory that stays flat, queries that end with the one who asked.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FromApiThread } from '../../engine/api/thread-messages.js';
import { type ClickHouse, openClickHouse } from '../../storage/clickhouse/client.js';
import { migrateClickHouse } from '../../storage/clickhouse/migrate.js';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { projectRoot } from '../../storage/project-root.js';

const dataDir = mkdtempSync(join(tmpdir(), 'millrace-export-'));
const ROWS = 2_000_000;
const FEW = ['2026-11-20T00:00:00Z', '2026-11-20T00:00:10Z'] as const;
const ALL = ['2026-11-20', '2026-11-21'] as const;
const FEW_ROWS = 1000;
/** Far below the gigabyte that an export of all is. */
const GROWTH_MAX = 150e6;
let engine: EmbeddedClickHouse;
let clickhouse: ClickHouse;
let api: Worker;
let base: string;

const program = join(projectRoot(), 'dist', 'engine', 'main.js');
const commandLine = (args: string[]) => [program, 'export', '--data-dir', dataDir, ...args];

function millrace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, commandLine(args), { cwd: dataDir, maxBuffer: 1 << 28 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

const url = (query: Record<string, string>) => `${base}?${new URLSearchParams(query)}`;
const range = ([from, to]: readonly [string, string]) => ({ from, to });

/** Peak of resident memory in bytes (Linux: VmHWM). */
function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}
function residentOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Exports that the engine makes now: each has a pipe until its query has ended. */
function running(): number {
  return readdirSync(join(dataDir, 'clickhouse', 'spool')).filter((name) => name.endsWith('.pipe')).length;
}

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await what()) return;
    await sleep(50);
  }
  throw new Error(`never: ${what}`);
}

/** Fields of CSV by the grammar of RFC 4180, which leaves nothing to interpretation. */
function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let record: string[] = [];
  while (field.lastIndex < text.length) {
    const at = field.lastIndex;
    const found = field.exec(text);
    if (found === null) throw new Error(`no field of RFC 4180 at ${at}: ${text.slice(at, at + 40)}`);
    record.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? '');
    if (found[3] === ',') continue;
    records.push(record);
    record = [];
  }
  return records;
}

function open(address: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(address, { agent: false }, resolve).on('error', reject);
  });
}

beforeAll(async () => {
  engine = await startClickHouse({
    ...{ dataDir: join(dataDir, 'clickhouse'), log: () => {}, port: 22_000 + (process.pid % 8000) },
  });
  await migrateClickHouse({ url: engine.url, ...engine.writer });
  clickhouse = openClickHouse({ url: engine.url, ...engine.writer, timeoutS: 120 });
  const columns = [
    ...[
      'ts',
      'node',
      'seq',
      'account',
      'worker',
      'remote',
      'agent',
      'verdict',
      'difficulty',
      'work',
      'ntime',
    ],
    ...['extranonce1', 'extranonce2', 'nonce', 'hash', 'job'],
  ];
  // A worker whose name is all that CSV and JSON must quote.
  await clickhouse.command(`INSERT INTO submits (${columns.join(', ')})
    SELECT fromUnixTimestamp64Milli(toInt64(${Date.UTC(2026, 10, 20)} + number * 10), 'UTC'), 1, number + 1,
      concat('account', toString(number % 50)), if(number % 7 = 0, 'a "b", c', toString(number % 1000)), toIPv6('192.0.2.7'),
      'agent/1', if(number % 10 = 9, 'stale', 'accepted'), 1024.5, toUInt128('4398046511104') + number,
      toDateTime('2026-11-20 00:00:00') + number / 100, '0a0a0001', lower(hex(sipHash64(number))), number,
      concat(lower(hex(sipHash128(number, 1))), lower(hex(sipHash128(number, 2)))), '1f'
    FROM numbers(${ROWS})`);
  api = new Worker(new URL('../../engine/api/api-thread.js', import.meta.url), {
    workerData: { host: '127.0.0.1', port: 0, clickhouse: { url: engine.url } },
  });
  const { port } = await new Promise<{ port: number }>((resolve, reject) => {
    api.once('message', (message: FromApiThread) =>
      message.type === 'listening' ? resolve(message) : reject(new Error(JSON.stringify(message))),
    );
  });
  base = `http://127.0.0.1:${port}/api/v1/shares/export`;
});

afterAll(async () => {
  const ended = new Promise((resolve) => api.once('exit', resolve));
  api.postMessage({ type: 'stop' });
  await ended;
  await clickhouse?.close();
  await engine?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

describe('millrace export', () => {
  const out = (name: string) => join(dataDir, name);

  it.each(['parquet', 'csv', 'ndjson'])(
    'writes all of it as %s in bounded memory',
    async (format) => {
      const file = out(`all.${format}`);
      const before = residentOf(engine.pid);
      const child = spawn(process.execPath, commandLine(['--from', ALL[0], '--to', ALL[1], '--out', file]), {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let peak = 0;
      const watch = setInterval(() => {
        try {
          // Not a number in the moment of its end.
          peak = Math.max(peak, peakOf(child.pid as number) || 0);
        } catch {
          // It has just ended.
        }
      }, 20);
      const code = await new Promise((resolve) => child.once('exit', resolve));
      clearInterval(watch);
      expect(code).toBe(0);
      expect(statSync(file).size).toBeGreaterThan(50e6);
      expect(peak).toBeGreaterThan(0);
      expect(peak).toBeLessThan(220e6);
      expect(residentOf(engine.pid) - before).toBeLessThan(600e6);
      expect(existsSync(`${file}.part`)).toBe(false);
      rmSync(file);
    },
    120_000,
  );

  it('picks account, worker, verdict and columns', async () => {
    const { code, out: text } = await millrace(
      ...['--from', FEW[0], '--to', FEW[1], '--account', 'account9', '--worker', '59', '--verdict', 'stale'],
      ...['--columns', 'seq,worker,work', '--format', 'csv'],
    );
    expect(code).toBe(0);
    expect(parseCsv(text)).toEqual([
      ['seq', 'worker', 'work'],
      ['60', '59', '4398046511163'],
    ]);
  });

  it('writes NDJSON with exact work as text', async () => {
    const { out: text } = await millrace(
      ...['--from', FEW[0], '--to', FEW[1], '--columns', 'ts,seq,work,verdict,remote', '--format', 'ndjson'],
    );
    const rows = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number });
    expect(rows.length).toBe(FEW_ROWS);
    expect(rows.find(({ seq }) => seq === 10)).toEqual({
      ...{ ts: '2026-11-20T00:00:00.090Z', seq: 10, work: '4398046511113', verdict: 'stale' },
      remote: '::ffff:192.0.2.7',
    });
  });

  it('leaves nothing half after Ctrl-C, and ends the query', async () => {
    const file = out('cut.ndjson');
    const child: ChildProcess = spawn(
      process.execPath,
      commandLine(['--from', ALL[0], '--to', ALL[1], '--out', file]),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let err = '';
    child.stderr?.on('data', (bytes) => (err += bytes));
    await until(() => existsSync(`${file}.part`) && statSync(`${file}.part`).size > 1e6);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
    expect(err).toContain('nothing was kept');
    expect(readdirSync(dataDir).filter((name) => name.startsWith('cut'))).toEqual([]);
    await until(() => running() === 0);
  }, 60_000);

  it('never overwrites, and says what is wrong with a request', async () => {
    const file = out('there.csv');
    const few = ['--from', FEW[0], '--to', FEW[1]];
    expect((await millrace(...few, '--out', file)).code).toBe(0);
    const again = await millrace(...few, '--out', file);
    expect(again).toMatchObject({ code: 64 });
    expect(again.err).toContain('is there already');
    expect(await millrace('--from', FEW[0])).toMatchObject({ code: 64 });
    expect((await millrace(...few, '--columns', 'seq,ssn')).err).toContain('there is no ssn');
    expect((await millrace(...few, '--verdict', 'fine')).err).toContain('verdict is one of');
    const elsewhere = await millrace(...few, '--data-dir', out('nobody'));
    expect(elsewhere).toMatchObject({ code: 64, err: expect.stringContaining('No pool runs on') });
  });
});

describe('GET /api/v1/shares/export', () => {
  it('sends CSV of RFC 4180 with a header, as a file', async () => {
    const response = await fetch(url({ ...range(FEW), account: 'account0', format: 'csv' }));
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(response.headers.get('content-disposition')).toBe(
      'attachment; filename="shares-20261120T000000Z-20261120T000010Z.csv"',
    );
    const [head, ...records] = parseCsv(await response.text());
    expect(head).toContain('seq');
    expect(head).not.toContain('remote');
    expect(records.length).toBe(FEW_ROWS / 50);
    expect(records.every((record) => record.length === head?.length)).toBe(true);
    const worker = head?.indexOf('worker') as number;
    expect(records.filter((record) => record[worker] === 'a "b", c').length).toBe(3);
  });

  it('sends Parquet that chdb reads back equal', async () => {
    const response = await fetch(url(range(FEW)), { headers: { Accept: 'application/vnd.apache.parquet' } });
    expect(response.headers.get('content-type')).toBe('application/vnd.apache.parquet');
    const bytes = Buffer.from(await response.arrayBuffer());
    expect([bytes.toString('latin1', 0, 4), bytes.toString('latin1', bytes.length - 4)]).toEqual([
      'PAR1',
      'PAR1',
    ]);
    await clickhouse.command('DROP TABLE IF EXISTS back');
    await clickhouse.command(
      `CREATE TABLE back (ts DateTime64(3, 'UTC'), seq UInt64, account String, worker String, verdict String,
         work Decimal(38, 0), difficulty Float64, ntime DateTime64(3, 'UTC'), nonce UInt32, hash String) ENGINE = Memory`,
    );
    const insert = new URL(engine.url);
    insert.searchParams.set('query', 'INSERT INTO back FORMAT Parquet');
    insert.searchParams.set('input_format_skip_unknown_fields', '1');
    const inserted = await fetch(insert, {
      method: 'POST',
      body: bytes,
      headers: { 'X-ClickHouse-User': engine.writer.user, 'X-ClickHouse-Key': engine.writer.password },
    });
    expect(await inserted.text()).toBe('');
    const sums = (
      table: string,
    ) => `SELECT count() AS n, sum(cityHash64(ts, seq, toString(account), toString(worker), toString(verdict),
      toString(work), difficulty, toDateTime(ntime, 'UTC'), nonce, hash)) AS sum
      FROM ${table} WHERE ts < toDateTime64('2026-11-20 00:00:10', 3, 'UTC')`;
    const [there] = await clickhouse.rows<{ n: string }>(sums('back'));
    expect([there]).toEqual(await clickhouse.rows(sums('submits')));
    expect(there?.n).toBe(String(FEW_ROWS));
  });

  it('chooses by format, then by Accept, and refuses what it does not have', async () => {
    const type = async (accept: string, format?: string) => {
      const query = { ...range(FEW), account: 'account0', ...(format === undefined ? {} : { format }) };
      const response = await fetch(url(query), { method: 'HEAD', headers: { Accept: accept } });
      return response.status === 200 ? response.headers.get('content-type')?.split(';')[0] : response.status;
    };
    expect(await type('application/x-ndjson')).toBe('application/x-ndjson');
    expect(await type('text/html, */*;q=0.1')).toBe('text/csv');
    expect(await type('text/csv;q=0.5, application/vnd.apache.parquet')).toBe(
      'application/vnd.apache.parquet',
    );
    expect(await type('text/csv', 'ndjson')).toBe('application/x-ndjson');
    expect(await type('image/png')).toBe(406);
  });

  it.each([
    [{ to: FEW[1] }, 400, 'invalid_parameter', 'from is missing'],
    [{ from: 'yesterday', to: FEW[1] }, 400, 'invalid_parameter', 'from is no time'],
    [{ from: FEW[1], to: FEW[0] }, 400, 'invalid_parameter', 'before'],
    [{ ...range(FEW), format: 'xlsx' }, 400, 'invalid_parameter', 'parquet, csv, ndjson'],
    [{ ...range(FEW), verdict: "x' OR 1" }, 400, 'invalid_parameter', 'verdict is one of'],
    [{ ...range(FEW), columns: 'seq,remote' }, 400, 'invalid_parameter', 'not public'],
    [{ ...range(FEW), limit: '3' }, 400, 'invalid_parameter', 'There is no parameter'],
    [{ from: '2026-01-01', to: '2026-11-20' }, 422, 'range_too_long', '31 days'],
  ])('refuses %j with a stable code', async (query, status, code, detail) => {
    const response = await fetch(url(query as Record<string, string>));
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    const body = (await response.json()) as { code: string; detail: string };
    expect(body.code).toBe(code);
    expect(body.detail).toContain(detail);
  });

  it('takes an account name for nothing but a name', async () => {
    const response = await fetch(url({ ...range(FEW), account: "account0' OR '1'='1", format: 'ndjson' }));
    expect(await response.text()).toBe('');
  });

  it('waits for a slow reader without holding the file, lets two in, and ends the query of one who leaves', async () => {
    const before = process.memoryUsage().rss + residentOf(engine.pid);
    const slow = await open(url({ ...range(ALL), format: 'ndjson' }));
    const other = await open(url({ ...range(ALL), format: 'csv' }));
    slow.pause();
    let bytes = 0;
    other.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      other.pause();
      setTimeout(() => other.resume(), 50);
    });
    await sleep(2500);
    // Unread, a gigabyte would lie somewhere by now.
    expect(process.memoryUsage().rss + residentOf(engine.pid) - before).toBeLessThan(GROWTH_MAX * 3);
    expect(running()).toBe(2);
    const third = await fetch(url({ ...range(FEW), format: 'csv' }));
    expect(third.status).toBe(429);
    expect(await third.json()).toMatchObject({ code: 'too_many_exports' });
    slow.destroy();
    await until(() => running() === 1);
    expect(bytes).toBeGreaterThan(1e6);
    other.destroy();
    await until(() => running() === 0);
    await until(async () => (await fetch(url({ ...range(FEW), account: 'account0' }))).status === 200);
  }, 60_000);

  it('cuts the connection when the engine fails in the middle, so that a part is not taken for the whole', async () => {
    const response = await open(url({ ...range(ALL), format: 'ndjson' }));
    response.pause();
    await clickhouse.command("KILL QUERY WHERE query LIKE '%INTO OUTFILE%' ASYNC");
    const ended = new Promise<string>((resolve) => {
      response.on('end', () => resolve('whole'));
      response.on('error', () => resolve('cut'));
    });
    response.resume();
    expect(await ended).toBe('cut');
  }, 60_000);

  it('answers 503 while ClickHouse is away', async () => {
    const away = new Worker(new URL('../../engine/api/api-thread.js', import.meta.url), {
      workerData: { host: '127.0.0.1', port: 0, clickhouse: { url: 'http://127.0.0.1:1' } },
    });
    const { port } = await new Promise<{ port: number }>((resolve) => away.once('message', resolve));
    const response = await fetch(
      `http://127.0.0.1:${port}/api/v1/shares/export?${new URLSearchParams(range(FEW))}`,
    );
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'shares_unavailable' });
    away.postMessage({ type: 'stop' });
    await new Promise((resolve) => away.once('exit', resolve));
  });
});
