// The embedded ClickHouse as its clients see it: the real engine, the real HTTP front, the official client,
// and each trap that this engine lays, sprung on purpose.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { type ClickHouseClient, ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type EmbeddedClickHouse, startClickHouse } from '../../storage/embedded/clickhouse.js';
import { findFreePort } from '../../storage/embedded/free-port.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-clickhouse-'));
const secretFile = join(folder, 'secret.txt');
const said: string[] = [];
let server: EmbeddedClickHouse;
let writer: ClickHouseClient;
let reader: ClickHouseClient;

interface Answer {
  status: number;
  text: string;
  headers: Headers;
}

/** One plain request, as curl sends it; as the writer when asked, else without any credentials. */
async function ask(
  sql: string | Uint8Array,
  options: { as?: 'writer'; method?: 'GET' | 'POST'; query?: string; set?: Record<string, string> } = {},
): Promise<Answer> {
  const url = new URL(server.url);
  const method = options.method ?? 'POST';
  for (const [name, value] of Object.entries(options.set ?? {})) url.searchParams.set(name, value);
  if (options.query !== undefined) url.searchParams.set('query', options.query);
  if (method === 'GET') url.searchParams.set('query', String(sql));
  const headers: Record<string, string> = {};
  if (options.as === 'writer') {
    headers['X-ClickHouse-User'] = server.writer.user;
    headers['X-ClickHouse-Key'] = server.writer.password;
  }
  const response = await fetch(url, {
    method,
    headers,
    ...(method === 'POST' ? { body: Buffer.from(sql) } : {}),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

async function count(table: string): Promise<number> {
  return Number((await ask(`SELECT count() FROM ${table}`)).text);
}

async function start(port: number): Promise<void> {
  await writer?.close();
  await reader?.close();
  server = await startClickHouse({ dataDir: join(folder, 'data'), log: (line) => said.push(line), port });
  const log = { level: ClickHouseLogLevel.OFF };
  writer = createClient({
    url: server.url,
    username: server.writer.user,
    password: server.writer.password,
    log,
  });
  reader = createClient({ url: server.url, log });
}

beforeAll(async () => {
  writeFileSync(secretFile, 'not for you\n');
  await start(await findFreePort());
});

afterAll(async () => {
  await writer?.close();
  await reader?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const sql of [
    'DROP TABLE IF EXISTS victim SYNC',
    'DROP TABLE IF EXISTS t SYNC',
    'CREATE TABLE victim (x UInt32) ENGINE = MergeTree ORDER BY x',
    `CREATE TABLE t (x UInt32, s String DEFAULT '') ENGINE = MergeTree ORDER BY x
     SETTINGS non_replicated_deduplication_window = 100`,
  ]) {
    await writer.command({ query: sql });
  }
});

describe('rows of an insert', () => {
  it('never run as SQL, also behind a blank line', async () => {
    const body = '{"x":1}\n\nDROP TABLE victim\n';
    const first = await ask(body, { as: 'writer', query: 'INSERT INTO t FORMAT JSONEachRow' });
    expect(first.status).not.toBe(200);
    const second = await ask(`INSERT INTO t FORMAT JSONEachRow\n${body}`, { as: 'writer' });
    expect(second.status).not.toBe(200);
    expect(await count('victim')).toBe(0);
    expect(await count('t')).toBe(0);
  });

  it('keep blank lines inside of values', async () => {
    await ask("INSERT INTO t VALUES (1, 'a\n\nDROP TABLE victim\n;'), (2, 'b');", { as: 'writer' });
    expect((await ask("SELECT s = 'a\n\nDROP TABLE victim\n;' FROM t WHERE x = 1")).text).toBe('1\n');
    expect(await count('t')).toBe(2);
    expect(await count('victim')).toBe(0);
  });

  it('may be any bytes in RowBinary and Native: 0A 0A is one number among others', async () => {
    const rowBinary = Buffer.alloc(500 * 4, 0x0a);
    await ask(rowBinary, { as: 'writer', query: 'INSERT INTO victim FORMAT RowBinary' });
    await ask(Buffer.concat([Buffer.from('INSERT INTO victim FORMAT RowBinary\n'), rowBinary]), {
      as: 'writer',
    });
    expect((await ask('SELECT x, count() FROM victim GROUP BY x')).text).toBe('168430090\t1000\n');

    const native = Buffer.concat([
      Buffer.from([1, 2]), // columns, rows
      Buffer.from('\x01x\x06UInt32'),
      Buffer.from([0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0, 0]),
    ]);
    await ask(native, { as: 'writer', query: 'INSERT INTO victim FORMAT Native' });
    expect((await ask('SELECT x, count() FROM victim GROUP BY x ORDER BY x')).text).toBe(
      '2570\t1\n168430090\t1001\n',
    );
  });

  it('begin exactly where the body begins when the statement is in the address', async () => {
    const answer = await ask('7\t\n\n8\tx\n', { as: 'writer', query: 'INSERT INTO t FORMAT TSV\n' });
    expect(answer.status).not.toBe(200); // the blank line is data, and not a row of two columns
    await ask('7\t \n8\tx\n', { as: 'writer', query: 'INSERT INTO t (x, s) FORMAT TSV\n' });
    expect((await ask('SELECT x, s FROM t ORDER BY x')).text).toBe('7\t \n8\tx\n');
  });

  it('leave no file behind', async () => {
    await ask('1\ta\n', { as: 'writer', query: 'INSERT INTO t FORMAT TSV' });
    await ask('no number\n', { as: 'writer', query: 'INSERT INTO t FORMAT TSV' });
    expect(readdirSync(join(folder, 'data', 'spool'))).toEqual([]);
  });

  it('are not stored, nor left in a file, when the client goes away in the middle of them', async () => {
    for (const encoding of ['identity', 'gzip']) {
      const socket = connect(server.port, '127.0.0.1');
      const rows = encoding === 'gzip' ? gzipSync('1\ta\n'.repeat(1000)).subarray(0, 30) : '1\ta\n2\tb\n';
      const key = Buffer.from(`${server.writer.user}:${server.writer.password}`).toString('base64');
      socket.write(
        'POST /?query=INSERT%20INTO%20t%20FORMAT%20TSV HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n' +
          `Content-Encoding: ${encoding}\r\nAuthorization: Basic ${key}\r\n\r\n`,
      );
      socket.write(rows);
      const spool = () => readdirSync(join(folder, 'data', 'spool')).length;
      await expect.poll(spool).toBe(1);
      socket.destroy();
      await expect.poll(spool).toBe(0);
    }
    expect(await count('t')).toBe(0);
  });

  it('are all refused when the body is cut short', async () => {
    const native = Buffer.from('\x01\x02\x01x\x06UInt32\x01\x00\x00');
    const answer = await ask(native, { as: 'writer', query: 'INSERT INTO victim FORMAT Native' });
    expect(answer.text).toMatch(/^Code: 33\. DB::Exception/);
    expect(await count('victim')).toBe(0);
  });

  it('are dropped when sent again with the same token, and only then', async () => {
    const insert = (token?: string) =>
      ask('11\ta\n', {
        as: 'writer',
        query: 'INSERT INTO t FORMAT TSV',
        ...(token ? { set: { insert_deduplication_token: token } } : {}),
      });
    await insert('batch-1');
    await insert('batch-1');
    expect(await count('t')).toBe(1);
    await insert('batch-2');
    expect(await count('t')).toBe(2);
  });

  it('are not dropped because an earlier request had a token: settings end with their request', async () => {
    const insert = (row: string, set?: Record<string, string>) =>
      ask(row, { as: 'writer', query: 'INSERT INTO t FORMAT TSV', ...(set ? { set } : {}) });
    await insert('10\ta\n', { insert_deduplication_token: 'sticky' });
    await insert('11\tb\n');
    await insert('12\tc\n');
    expect((await ask('SELECT groupArray(x) FROM (SELECT x FROM t ORDER BY x)')).text).toBe('[10,11,12]\n');
    const inSession = { session_id: 'kept' };
    await insert('20\td\n', { ...inSession, insert_deduplication_token: 'sticky-2' });
    await insert('21\te\n', inSession);
    expect(await count('t')).toBe(5);
  });
});

describe('a read-only request', () => {
  const refused = [
    ['writes', "INSERT INTO t VALUES (1, '')"],
    ['writes from a SELECT', 'INSERT INTO t SELECT number, toString(number) FROM numbers(3)'],
    ['changes tables', 'DROP TABLE victim'],
    ['lifts its limits', 'SET readonly = 0'],
    ['lifts its limits in the statement', 'SELECT 1 SETTINGS readonly = 0'],
    ['writes a file', "SELECT 1 INTO OUTFILE '%OUT%'"],
    ['writes a file, spelled with comments', "SELECT 1 INTO/* */OUTFILE/**/'%OUT%' FORMAT CSV"],
    ['hides OUTFILE behind a typographic quote', "SELECT ‘'’ INTO OUTFILE '%OUT%' -- '"],
    ['hides OUTFILE behind a heredoc', "SELECT $a$'$a$ INTO OUTFILE '%OUT%' -- '"],
    ['hides OUTFILE behind a nested comment', "SELECT 1 /* /* */ ' */ INTO OUTFILE '%OUT%' -- '"],
    ['explains a write to a file', "EXPLAIN AST SELECT 1 INTO OUTFILE '%OUT%'"],
    ['reads a file as a table', "SELECT * FROM file('%IN%', 'TSV', 's String')"],
    ['reads a file as a value', "SELECT file('%IN%')"],
    ['reads a file, quoted', "SELECT `file`('%IN%')"],
    ['reads a file without brackets', "SELECT * APPLY(file) FROM (SELECT '%IN%')"],
    ['reads a file through the default database', 'SELECT * FROM default.`%IN%`'],
    ['reads the columns of a file', "DESCRIBE file('%IN%')"],
    ['reads the columns of a table that is a file', 'DESCRIBE default.`%IN%`'],
    ['reaches the network', "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 's String')"],
    ['reaches the network by DESCRIBE', "DESCRIBE TABLE url('http://127.0.0.1:1/x.csv')"],
    ['reaches the network by DESCRIBE s3', "DESCRIBE s3('http://127.0.0.1:1/x.csv')"],
    ['runs a program', "SELECT * FROM executable('id', 'TSV', 's String')"],
    ['evaluates text as SQL', "SELECT * FROM eval('SELECT 1')"],
    ['sends a second statement', 'SELECT 1; DROP TABLE victim'],
    ['ends the client program', 'exit'],
  ] as const;

  it.each(refused)('that %s is refused', async (_, template) => {
    const out = join(folder, 'written.txt');
    const sql = template.replaceAll('%OUT%', out).replaceAll('%IN%', secretFile);
    for (const answer of [
      await ask(sql),
      await ask(sql, { method: 'GET' }),
      await ask(sql, { method: 'GET', as: 'writer' }),
    ]) {
      expect(answer.status, answer.text).not.toBe(200);
      expect(answer.text).toMatch(/^Code: \d+\. DB::Exception: /);
      expect(answer.text).not.toContain('not for you');
    }
    expect(readdirSync(folder)).not.toContain('written.txt');
    expect(await count('victim')).toBe(0);
    expect(await count('t')).toBe(0);
  });

  it('may speak of files in strings and comments', async () => {
    const answer = await ask("SELECT 'INTO OUTFILE', 'it''s; \\'file(', 1 /* FROM INFILE /* */ */ -- ; DROP");
    expect(answer.text).toBe("INTO OUTFILE\tit\\'s; \\'file(\t1\n");
  });

  it('may say SHOW, DESCRIBE, EXPLAIN, EXISTS, WITH, and end with a semicolon', async () => {
    for (const sql of [
      'SHOW TABLES;',
      'DESCRIBE TABLE t',
      'EXPLAIN SELECT x FROM t',
      'EXISTS TABLE t',
      'WITH 1 AS a SELECT a',
      '(SELECT 1) UNION ALL (SELECT 2)',
      'SELECT number FROM numbers(3) ORDER BY number LIMIT 1 ; -- done\n',
    ]) {
      const answer = await ask(sql);
      expect(answer.status, `${sql}: ${answer.text}`).toBe(200);
    }
  });

  it('may shape its output but not raise its limits', async () => {
    const set = { output_format_json_quote_64bit_integers: '1', max_execution_time: '100000' };
    const answer = await ask(
      "SELECT toUInt64(1) AS n, getSetting('max_execution_time') AS s FORMAT JSONEachRow",
      { set },
    );
    expect(JSON.parse(answer.text)).toEqual({ n: '1', s: 60 });
    const other = await ask('SELECT 1', { set: { allow_introspection_functions: '1' } });
    expect(other.text).toMatch(/^Code: 164\. .*\(READONLY\)/);
  });

  it('is stopped when it runs too long or its result grows too big', async () => {
    const set = { max_execution_time: '1' };
    const long = await ask(
      'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(cityHash64(number))',
      { set },
    );
    expect(long.text).toMatch(/^Code: 159\..*TIMEOUT_EXCEEDED/);
    const big = await ask('SELECT number, randomPrintableASCII(1000) FROM numbers(1000000)');
    expect(big.text).toMatch(/^Code: 396\./);
  });
});

describe('the HTTP interface', () => {
  it('answers ping and the bare address', async () => {
    for (const path of ['/ping', '/', '/replicas_status']) {
      expect(await (await fetch(`${server.url}${path}`)).text()).toBe('Ok.\n');
    }
    expect((await fetch(`${server.url}/nowhere`)).status).toBe(404);
  });

  it('uses the database pool, also when a client says default', async () => {
    expect((await ask('SELECT currentDatabase()')).text).toBe('pool\n');
    expect((await ask('SELECT currentDatabase()', { set: { database: 'default' } })).text).toBe('pool\n');
    expect((await ask('SELECT currentDatabase()', { set: { database: 'system' } })).text).toBe('system\n');
  });

  it('takes half of the statement from the address and half from the body', async () => {
    expect((await ask('+ 2', { query: 'SELECT 1' })).text).toBe('3\n');
    await ask('FORMAT TSV\n5\tfive\n', { as: 'writer', query: 'INSERT INTO t (x, s)' });
    expect(await count('t')).toBe(1);
  });

  it('refuses a wrong password or name with code 516', async () => {
    const wrong: Record<string, string>[] = [
      { 'X-ClickHouse-User': server.writer.user, 'X-ClickHouse-Key': 'guess' },
      { 'X-ClickHouse-User': 'nobody' },
      { Authorization: `Basic ${Buffer.from('default:guess').toString('base64')}` },
    ];
    for (const headers of wrong) {
      const response = await fetch(`${server.url}/?query=SELECT%201`, { headers });
      expect(response.status).toBe(403);
      expect(response.headers.get('x-clickhouse-exception-code')).toBe('516');
      await response.text();
    }
  });

  it('names errors as ClickHouse does', async () => {
    const table = await ask('SELECT * FROM no_such_table');
    expect(table.status).toBe(404);
    expect(table.headers.get('x-clickhouse-exception-code')).toBe('60');
    expect(table.text).toMatch(/^Code: 60\. DB::Exception: .*\(UNKNOWN_TABLE\)/);
    expect((await ask('SELEC 1', { as: 'writer' })).status).toBe(400);
    expect((await ask('', { as: 'writer' })).text).toMatch(/^Code: 62\./);
    expect((await ask("SELECT 'open", { as: 'writer' })).status).toBe(400);
    expect((await ask('SELECT 1', { set: { no_such_setting: '1' }, as: 'writer' })).status).toBe(404);
  });

  it('refuses a statement longer than 256 KiB', async () => {
    const answer = await ask(`SELECT '${'a'.repeat(300_000)}'`);
    expect(answer.status).toBe(413);
    expect(answer.text).toMatch(/^Code: 186\./);
  });

  it('never reads or writes files of the machine, not even for the writer', async () => {
    expect((await ask(`SELECT 1 INTO OUTFILE '${join(folder, 'o')}'`, { as: 'writer' })).status).toBe(403);
    expect((await ask(`INSERT INTO t FROM INFILE '${secretFile}' FORMAT TSV`, { as: 'writer' })).status).toBe(
      403,
    );
    expect(
      (await ask('EXPLAIN INSERT INTO t FORMAT TSV 1\n\nDROP TABLE victim', { as: 'writer' })).status,
    ).toBe(501);
    expect(await count('victim')).toBe(0);
  });

  it('takes table and column names that look like keywords', async () => {
    await writer.command({ query: 'CREATE OR REPLACE TABLE format (values UInt8) ENGINE = Memory' });
    await ask('INSERT INTO TABLE pool.format (values) SETTINGS max_threads = 1 FORMAT CSV\n1\n2\n', {
      as: 'writer',
    });
    await ask('INSERT INTO `format` VALUES (3)', { as: 'writer' });
    await ask('INSERT INTO format SELECT 4', { as: 'writer' });
    expect((await ask('SELECT sum(values) FROM format')).text).toBe('10\n');
  });

  it('ends what a client no longer waits for', async () => {
    const leave = new AbortController();
    const url = new URL(`${server.url}/?max_block_size=1`);
    url.searchParams.set('query', 'SELECT sum(sleepEachRow(0.5)) FROM numbers(100)');
    const lost = fetch(url, { signal: leave.signal }).catch(() => 'gone');
    const running = async () =>
      (await ask("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(0.5)%'")).text;
    await expect.poll(running).toBe('2\n'); // it, and the asking query itself
    leave.abort();
    expect(await lost).toBe('gone');
    await expect.poll(running, { timeout: 15_000 }).toBe('1\n');
  });

  it('answers more clients at once than the engine has turns', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => ask(`SELECT ${n}, sleep(0.02)`)));
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 60 }, (_, n) => `${n}\t0\n`));
  });
});

describe('the official client', () => {
  it('pings', async () => {
    expect((await reader.ping()).success).toBe(true);
    expect((await writer.ping({ select: true })).success).toBe(true);
  });

  it('inserts objects, a stream of objects and a stream of CSV', async () => {
    await writer.insert({ table: 't', values: [{ x: 1, s: 'a\n\nb' }, { x: 2 }], format: 'JSONEachRow' });
    const objects = Readable.from(
      [
        { x: 3, s: '3' },
        { x: 4, s: '4' },
      ],
      { objectMode: true },
    );
    await writer.insert({ table: 't', values: objects, format: 'JSONEachRow' });
    await writer.insert({
      table: 't',
      values: Readable.from(['5,"five\n\n"\n'], { objectMode: false }),
      format: 'CSV',
    });
    const result = await reader.query({ query: 'SELECT x, s FROM t ORDER BY x', format: 'JSONEachRow' });
    expect(await result.json()).toEqual([
      { x: 1, s: 'a\n\nb' },
      { x: 2, s: '' },
      { x: 3, s: '3' },
      { x: 4, s: '4' },
      { x: 5, s: 'five\n\n' },
    ]);
  });

  it('binds query parameters, hostile ones included', async () => {
    const text = "it's \\ \n\t ; DROP TABLE victim --";
    const result = await reader.query({
      query: 'SELECT {text:String} AS text, {n:UInt64} AS n, {list:Array(String)} AS list',
      query_params: { text, n: 7, list: [text, 'b'] },
      format: 'JSONEachRow',
    });
    expect(await result.json()).toEqual([{ text, n: 7, list: [text, 'b'] }]);
  });

  it('runs many queries with parameters at once without mixing them up', async () => {
    const numbers = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const query = 'SELECT {n:UInt32} AS n';
        const result = await reader.query({ query, query_params: { n }, format: 'JSONEachRow' });
        const [row] = await result.json<{ n: number }>();
        return row?.n;
      }),
    );
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, n) => n));
  });

  it('sends a stream of Native through exec', async () => {
    const block = Buffer.from('\x01\x01\x01x\x06UInt32\x0a\x0a\x0a\x0a', 'latin1');
    const { stream } = await writer.exec({
      query: 'INSERT INTO t (x) FORMAT Native',
      values: Readable.from([block, block], { objectMode: false }),
    });
    stream.resume();
    await expect.poll(() => count('t')).toBe(2);
  });

  it('compresses both ways', async () => {
    const client = createClient({
      url: server.url,
      username: server.writer.user,
      password: server.writer.password,
      compression: { request: true, response: true },
    });
    const values = Array.from({ length: 5000 }, (_, x) => ({ x, s: `row ${x}` }));
    await client.insert({ table: 't', values, format: 'JSONEachRow' });
    const result = await client.query({ query: 'SELECT x, s FROM t ORDER BY x', format: 'JSONEachRow' });
    expect(await result.json()).toEqual(values);
    await client.close();
    const url = new URL(server.url);
    url.searchParams.set('enable_http_compression', '1');
    url.searchParams.set('query', 'SELECT number FROM numbers(2000)');
    const response = await fetch(url, { headers: { 'Accept-Encoding': 'gzip' } });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect((await response.text()).split('\n')).toHaveLength(2001);
    const gzipped = await fetch(`${server.url}/?query=INSERT%20INTO%20t%20FORMAT%20TSV`, {
      method: 'POST',
      headers: {
        'Content-Encoding': 'gzip',
        'X-ClickHouse-User': server.writer.user,
        'X-ClickHouse-Key': server.writer.password,
      },
      body: gzipSync('9999\tz\n'),
    });
    expect(gzipped.status).toBe(200);
    expect((await ask("SELECT x FROM t WHERE s = 'z'")).text).toBe('9999\n');
  });

  it('gets typed errors', async () => {
    const failure = await reader.query({ query: 'SELECT * FROM missing' }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ClickHouseError);
    expect(failure).toMatchObject({ code: '60', type: 'UNKNOWN_TABLE' });
    const refused = await reader.command({ query: 'DROP TABLE t' }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: '164', type: 'READONLY' });
  });

  it('keeps temporary tables and SET of a session', async () => {
    const session = createClient({
      url: server.url,
      username: server.writer.user,
      password: server.writer.password,
      session_id: 'mine',
      max_open_connections: 1,
    });
    await session.command({ query: 'CREATE TEMPORARY TABLE temp (a UInt8)' });
    await session.command({ query: 'SET max_threads = 3' });
    await session.insert({ table: 'temp', values: [{ a: 5 }], format: 'JSONEachRow' });
    const result = await session.query({
      query: "SELECT a, getSetting('max_threads') AS threads FROM temp",
      format: 'JSONEachRow',
    });
    expect(await result.json()).toEqual([{ a: 5, threads: 3 }]);
    await session.close();
    expect((await ask('SELECT * FROM temp', { as: 'writer' })).status).toBe(404);
  });
});

describe('a crash', () => {
  it('of the engine loses no answered row, and the server comes back on the same port', async () => {
    let answered = 0;
    const killed = server.pid;
    for (let n = 0; n < 20; n++) {
      const { status } = await ask(`${n}\tx\n`, { as: 'writer', query: 'INSERT INTO t FORMAT TSV' });
      if (status === 200) answered++;
    }
    process.kill(killed, 'SIGKILL');
    await expect
      .poll(async () => server.pid !== 0 && server.pid !== killed && (await reader.ping()).success, {
        timeout: 20_000,
      })
      .toBe(true);
    expect(await count('t')).toBe(answered);
    // The token of a batch whose answer was lost is remembered by the files, not by the process.
    await ask('77\ty\n', {
      as: 'writer',
      query: 'INSERT INTO t FORMAT TSV',
      set: { insert_deduplication_token: 'k' },
    });
    const before = server.pid;
    process.kill(before, 'SIGKILL');
    await expect
      .poll(async () => server.pid !== before && (await reader.ping()).success, { timeout: 20_000 })
      .toBe(true);
    await ask('77\ty\n', {
      as: 'writer',
      query: 'INSERT INTO t FORMAT TSV',
      set: { insert_deduplication_token: 'k' },
    });
    expect(await count('t')).toBe(answered + 1);
  });

  it('in the middle of inserts doubles nothing: a batch is sent again with its token until it is answered', async () => {
    const send = async (batch: number): Promise<void> => {
      for (;;) {
        const answer = await ask(`${batch}\tx\n`.repeat(100), {
          as: 'writer',
          query: 'INSERT INTO t FORMAT TSV',
          set: { insert_deduplication_token: `batch-${batch}` },
        }).catch(() => undefined);
        if (answer?.status === 200) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    for (let batch = 0; batch < 60; batch++) {
      const sent = send(batch);
      if (batch % 20 === 10) process.kill(server.pid, 'SIGKILL');
      await sent;
    }
    expect((await ask('SELECT count(), uniqExact(x) FROM t')).text).toBe('6000\t60\n');
  });

  it('of nothing: a stopped server keeps its rows and gives its port to the next', async () => {
    await ask('1\tkept\n', { as: 'writer', query: 'INSERT INTO t FORMAT TSV' });
    const { port, pid } = server;
    await server.stop();
    expect(() => process.kill(pid, 0)).toThrow();
    await start(port);
    expect(server.port).toBe(port);
    expect((await ask('SELECT s FROM t')).text).toBe('kept\n');
    await expect(startClickHouse({ dataDir: join(folder, 'data'), log: () => {} })).rejects.toThrow(
      /Another Millrace/,
    );
  });

  it('takes the next port when the wished one is busy, and says so', async () => {
    const lines: string[] = [];
    const second = await startClickHouse({
      dataDir: join(folder, 'second'),
      log: (line) => lines.push(line),
      port: server.port,
    });
    try {
      expect(second.port).toBeGreaterThan(server.port);
      expect(lines.join()).toContain(`Port ${server.port} is busy: ClickHouse takes ${second.port}`);
    } finally {
      await second.stop();
    }
  });
});
