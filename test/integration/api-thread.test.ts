// The API thread as it runs: a worker on real sockets, asked by fetch and by hand-written HTTP.
import { createServer, type Server, Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HealthReport } from '../../engine/api/health.js';
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import type { ApiThreadSettings, FromApiThread, ToApiThread } from '../../engine/api/thread-messages.js';
import { loadUws } from '../../engine/uws.js';
import { sampleSnapshot } from './api-sample-snapshot.js';

const HOST = '127.0.0.1';

/** The API thread, with its messages as a queue. */
class ApiThread {
  readonly #worker: Worker;
  readonly #messages: FromApiThread[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly exited: Promise<number>;

  constructor(settings: ApiThreadSettings) {
    const program = new URL('../../engine/api/api-thread.js', import.meta.url);
    this.#worker = new Worker(program, { workerData: settings });
    this.#worker.on('message', (message: FromApiThread) => {
      this.#messages.push(message);
      this.#waiting.shift()?.();
    });
    this.exited = new Promise((resolve, reject) => {
      this.#worker.once('exit', resolve);
      this.#worker.once('error', reject);
    });
  }

  async next(): Promise<FromApiThread> {
    if (this.#messages.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#messages.shift() as FromApiThread;
  }

  send(message: ToApiThread): void {
    this.#worker.postMessage(message);
  }

  async stop(): Promise<number> {
    this.send({ type: 'stop' });
    return await this.exited;
  }
}

/** A free port below the range the system hands out itself, with `room` free ports from it on. */
async function freePorts(room: number): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const held = await Promise.all(Array.from({ length: room }, (_, i) => hold(port + i).catch(() => null)));
    await Promise.all(held.map((server) => server && new Promise((resolve) => server.close(resolve))));
    if (held.every((server) => server !== null)) return port;
  }
}

function hold(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, HOST, () => resolve(server));
  });
}

/** Sends bytes and returns all that comes back until the server closes or is quiet for `quietMs`. */
function raw(
  port: number,
  bytes: string,
  firstWithinMs = 3000,
  quietMs = 300,
): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const done = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => done(false), quietMs);
    };
    socket.on('data', (data) => {
      text += data.toString('latin1');
      wait();
    });
    socket.on('error', reject);
    socket.on('close', () => done(true));
    socket.connect(port, HOST, () => {
      socket.write(bytes);
      timer = setTimeout(() => done(false), firstWithinMs);
    });
  });
}

describe('API thread', () => {
  let api: ApiThread;
  let port: number;
  let base: string;

  beforeAll(async () => {
    const wanted = await freePorts(1);
    api = new ApiThread({ host: HOST, port: wanted });
    const message = await api.next();
    expect(message).toMatchObject({ type: 'listening', host: HOST, port: wanted });
    port = wanted;
    base = `http://${HOST}:${port}`;
  });
  afterAll(async () => {
    await api.stop();
  });

  /** Hands over a snapshot and waits until the API shows it. */
  async function publish(snapshot: PoolSnapshot): Promise<void> {
    const marked = { ...snapshot, as_of: new Date(Date.parse(snapshot.as_of) + ++published).toISOString() };
    api.send({ type: 'snapshot', snapshot: marked });
    for (;;) {
      const response = await fetch(`${base}/api/stats`);
      const body = (await response.json()) as Partial<PoolSnapshot>;
      if (body.as_of === marked.as_of) return;
    }
  }
  let published = 0;

  it('says that it is starting before the first snapshot', async () => {
    const health = await fetch(`${base}/health`);
    expect(health.status).toBe(503);
    expect(await health.json()).toMatchObject({ status: 'starting', as_of: null, components: [] });

    const stats = await fetch(`${base}/api/stats`);
    expect(stats.status).toBe(503);
    expect(stats.headers.get('retry-after')).toBe('1');
    expect(stats.headers.get('content-type')).toContain('application/problem+json');
    expect(await stats.json()).toMatchObject({ code: 'starting', status: 503 });
    expect((await fetch(`${base}/metrics`)).status).toBe(200);
  });

  it('answers /api/stats with the snapshot, cacheable for one interval and validated by ETag', async () => {
    await publish(sampleSnapshot());
    const response = await fetch(`${base}/api/stats`);
    expect(response.headers.get('cache-control')).toBe('max-age=2');
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const etag = response.headers.get('etag') ?? '';
    expect(await response.json()).toMatchObject({
      ...sampleSnapshot(),
      as_of: expect.stringMatching(/^2026-11-21T03:30:00\.\d{3}Z$/),
    });
    const again = await fetch(`${base}/api/stats`, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    await publish(sampleSnapshot());
    expect((await fetch(`${base}/api/stats`, { headers: { 'if-none-match': etag } })).status).toBe(200);
  });

  it('answers /health with 200 while the essential parts work, and says what is not well', async () => {
    await publish(sampleSnapshot());
    const good = await fetch(`${base}/health`);
    expect(good.status).toBe(200);
    const report = (await good.json()) as HealthReport;
    expect(report).toMatchObject({ status: 'ok', reasons: [], network: 'private' });
    expect(report.journal?.backlog.map(({ consumer, lag }) => [consumer, lag])).toEqual([
      ['clickhouse', 10],
      ['ledger', 5],
    ]);
    expect(report.miners).toEqual([
      { account: '<b>account</b>', workers: 2, state: 'mining', age_s: 5 },
      { account: 'tb1qexample', workers: 0, state: 'offline', age_s: null },
    ]);

    const parts = sampleSnapshot().components;
    const broken = (name: string, state: 'down' | 'starting') =>
      parts.map((part) => (part.name === name ? { ...part, state, message: 'it does not answer' } : part));
    await publish(sampleSnapshot({ components: broken('clickhouse', 'down') }));
    const degraded = await fetch(`${base}/health`);
    expect(degraded.status).toBe(200);
    expect(await degraded.json()).toMatchObject({
      status: 'degraded',
      reasons: ['clickhouse is down: it does not answer'],
    });

    await publish(sampleSnapshot({ components: broken('node', 'down') }));
    const down = await fetch(`${base}/health`);
    expect(down.status).toBe(503);
    expect(await down.json()).toMatchObject({
      status: 'down',
      reasons: ['node is down: it does not answer'],
    });

    await publish(sampleSnapshot({ components: broken('stratum', 'starting') }));
    expect((await fetch(`${base}/health`)).status).toBe(503);
  });

  it('shows the numbers as metrics, with labels from closed lists only', async () => {
    await publish(sampleSnapshot());
    api.send({ type: 'block_submitted', result: 'accepted', durationS: 0.003 });
    await publish(sampleSnapshot());
    const response = await fetch(`${base}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await response.text();
    for (const line of [
      'pool_stratum_connections{proto="sv1"} 4',
      'pool_stratum_accepted_total{proto="sv1"} 9',
      'pool_stratum_closed_total{proto="sv1",reason="no_subscribe"} 1',
      'pool_stratum_bans{proto="sv1"} 2',
      'pool_new_block_to_notify_seconds{edge="last"} 0.05',
      'pool_shares_total{proto="sv1",result="accepted"} 1500',
      'pool_shares_total{proto="sv1",result="stale"} 3',
      'pool_share_difficulty_total{result="accepted"} 0.015',
      'pool_hashrate_hashes_per_second{window="h1"} 81234',
      'pool_hashrate_bound_hashes_per_second{window="m5",bound="ci95_high"} 93000',
      'pool_template_age_seconds 4.5',
      'pool_jobs_total 301',
      'pool_blocks_total{status="confirmed"} 19',
      'pool_blocks_immature 100',
      'pool_block_submit_duration_seconds_bucket{le="0.005",result="accepted"} 1',
      'pool_chain_height{source="node"} 214',
      'pool_balance_sats{state="immature"} 495000000000',
      'pool_liability_sats 504400100000',
      'pool_ledger_imbalance_sats 0',
      'pool_payouts_total{rail="onchain",status="confirmed"} 6',
      'pool_payouts_open{status="broadcast"} 1',
      'pool_share_wal_bytes 288000',
      'pool_share_queue_depth{stage="ledger"} 5',
      'pool_stored_shares{store="clickhouse"} 1790',
      'pool_reconciliation_difference_shares 0',
      'pool_component_up{component="node"} 1',
      'pool_event_loop_delay_seconds{thread="coordinator",quantile="p99"} 0.004',
      `pool_build_info{version="0.1.0",commit="unknown",node="${process.version}"} 1`,
    ]) {
      expect(text.split('\n'), line).toContain(line);
    }
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(text).toMatch(/^pool_snapshot_age_seconds 0\.?\d*/m);
    expect(text).toMatch(/^pool_http_requests_total\{route="\/api\/stats",method="get",code="200"\} \d+$/m);
    expect(text).not.toMatch(/Bad Label|<b>|tb1qexample|onerror/);
    expect(text).not.toContain('bound="ci95_high"} NaN');
  });

  it('drops what is not known any more instead of showing its last value', async () => {
    const shares = { ...sampleSnapshot().shares, clickhouse_rows: null, difference: null };
    await publish(sampleSnapshot({ shares }));
    const text = await (await fetch(`${base}/metrics`)).text();
    expect(text).not.toMatch(/^pool_reconciliation_difference_shares /m);
    expect(text).not.toContain('store="clickhouse"');
    expect(text).toContain('pool_stored_shares{store="postgres"} 1795');
  });

  it('serves the page with a policy that allows its own script and nothing else', async () => {
    const response = await fetch(`${base}/`);
    const html = await response.text();
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(
      /default-src 'none'; script-src 'sha256-[\w+/=]{44}'; style-src 'sha256-[\w+/=]{44}'/,
    );
    expect(policy).not.toContain('unsafe');
    expect(html).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|https?:\/\/(?!www\.w3\.org)/);
    const etag = response.headers.get('etag') ?? '';
    expect((await fetch(`${base}/`, { headers: { 'if-none-match': `W/${etag}` } })).status).toBe(304);
  });

  it('answers what does not exist with a problem that carries the request id', async () => {
    const response = await fetch(`${base}/nowhere?<script>`, { headers: { 'x-request-id': 'mine-1' } });
    expect(response.status).toBe(404);
    expect(response.headers.get('x-request-id')).toBe('mine-1');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({
      type: '/problems/not-found',
      title: 'Not found',
      status: 404,
      detail: 'There is nothing here. Known: /, /api/stats, /api/v1/shares/export, /health, /metrics',
      instance: '/nowhere',
      code: 'not_found',
      request_id: 'mine-1',
    });
    const forged = await fetch(`${base}/`, { headers: { 'x-request-id': 'a b\tc' } });
    expect(forged.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('refuses other methods, and names the allowed ones', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const response = await fetch(`${base}/api/stats`, { method });
      expect(response.status, method).toBe(405);
      expect(response.headers.get('allow')).toBe('GET, HEAD');
      expect(await response.json()).toMatchObject({ code: 'method_not_allowed' });
    }
  });

  it('answers HEAD with the headers of GET and no body, and the connection goes on', async () => {
    const { text } = await raw(
      port,
      'HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nHEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    const heads = text.split('\r\n\r\n');
    expect(heads[0]).toMatch(/^HTTP\/1\.1 (200|503) /);
    expect(heads[0]).toMatch(/content-length: [1-9]\d*/i);
    expect(heads[1]).toMatch(/^HTTP\/1\.1 404 /);
    expect(heads[2]).toMatch(/^HTTP\/1\.1 (200|503) /);
    expect(heads[3]).toMatch(/^\{"status":/);
    expect(text.match(/content-length:/gi)).toHaveLength(3);
  });

  it('keeps the connection after HEAD and after 304', async () => {
    const etag = (await fetch(`${base}/`)).headers.get('etag') ?? '';
    const head = 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n';
    const { text, closed } = await raw(
      port,
      `${head}GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${etag}\r\n\r\n${head}`,
    );
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 304', 'HTTP/1.1 200']);
    expect(closed).toBe(false);
  });

  it.each([
    ['two different lengths', 'Content-Length: 0\r\nContent-Length: 35\r\n'],
    ['two different lengths, the last one zero', 'Content-Length: 35\r\nContent-Length: 0\r\n'],
    ['two equal lengths', 'Content-Length: 5\r\nContent-Length: 5\r\n'],
    ['a body on GET', 'Content-Length: 35\r\n'],
    ['a length that is no number', 'Content-Length: 0x5\r\n'],
    ['a signed length', 'Content-Length: +5\r\n'],
    ['a list of lengths', 'Content-Length: 0, 35\r\n'],
    ['an encoded body', 'Transfer-Encoding: chunked\r\n'],
    ['an encoded body with a length', 'Transfer-Encoding: chunked\r\nContent-Length: 35\r\n'],
    ['an unknown encoding', 'Transfer-Encoding: xchunked\r\n'],
    ['two hosts', 'Host: y\r\n'],
    ['a blank before the colon', 'Content-Length : 35\r\n'],
    ['a folded line', 'X: a\r\n Content-Length: 35\r\n'],
    ['a bare line feed', 'X: a\nContent-Length: 35\r\n'],
    ['a bare carriage return', 'X: a\rContent-Length: 35\r\n'],
    ['a NUL in a value', 'X: a\u0000b\r\n'],
  ])('takes no second request out of %s', async (_name, headers) => {
    const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
    const { text, closed } = await raw(
      port,
      `GET /health HTTP/1.1\r\nHost: x\r\n${headers}\r\n${smuggled}`,
      500,
    );
    expect(text).not.toContain('smuggled');
    expect(text).not.toMatch(/HTTP\/1\.1 2/);
    // A bare carriage return may also be the middle of a line that has not arrived yet: then nothing is answered.
    expect(closed || text === '').toBe(true);
    expect((text.match(/HTTP\/1\.1 /g) ?? []).length).toBeLessThanOrEqual(1);
  });

  it.each([
    ['GET', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
    ['GET', 'Content-Length: 2\r\n', '{}'],
    ['HEAD', 'Content-Length: 2\r\n', '{}'],
    ['POST', 'Content-Length: 2\r\n', '{}'],
  ])('refuses a well-formed body on %s (%s) and says why', async (method, headers, body) => {
    const { text, closed } = await raw(
      port,
      `${method} /health HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`,
    );
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(text.includes('"code":"bad_request"')).toBe(method !== 'HEAD');
    expect(text.match(/connection: close/gi)).toHaveLength(1);
    expect(closed).toBe(true);
  });

  it('survives clients that leave in the middle, and rubbish', async () => {
    for (let i = 0; i < 50; i++) {
      const socket = new Socket();
      socket.on('error', () => {});
      await new Promise<void>((resolve) => socket.connect(port, HOST, resolve));
      socket.write(i % 2 === 0 ? 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' : 'GET /metrics HTTP/1.1\r\nHo');
      socket.resetAndDestroy();
    }
    for (const bytes of [
      '\r\n\r\n',
      '\u0000\u0001\u0002\r\n\r\n',
      'GET\r\n\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      await raw(port, bytes, 300).catch(() => {});
    }
    expect((await fetch(`${base}/metrics`)).status).toBe(200);
  });
});

describe('start and stop of the API thread', () => {
  it('takes the next free port when the one asked for is busy, and says which', async () => {
    const port = await freePorts(3);
    const first = await hold(port);
    const second = new ApiThread({ host: HOST, port: port + 1 });
    await second.next();
    const third = new ApiThread({ host: HOST, port });
    expect(await third.next()).toMatchObject({ type: 'listening', port: port + 2 });
    expect((await fetch(`http://${HOST}:${port + 2}/`)).status).toBe(200);
    await Promise.all([second.stop(), third.stop()]);
    await new Promise((resolve) => first.close(resolve));
  });

  it('ends by itself when told to stop, with an idle connection open, and frees its port', async () => {
    const port = await freePorts(1);
    const api = new ApiThread({ host: HOST, port });
    await api.next();
    const idle = new Socket();
    idle.on('error', () => {});
    await new Promise<void>((resolve) => idle.connect(port, HOST, resolve));
    expect(await api.stop()).toBe(0);
    expect(await api.next()).toEqual({ type: 'stopped' });
    const again = await hold(port);
    await new Promise((resolve) => again.close(resolve));
    idle.destroy();
  });

  it('explains to the operator why it cannot serve', async () => {
    const port = await freePorts(1);
    const held = await hold(port);
    const busy = new ApiThread({ host: HOST, port, portsTried: 1 });
    expect(await busy.next()).toEqual({
      type: 'failed',
      reason: `The API found no free port on ${HOST} from ${port} to ${port}. Set API_PORT to a free one.`,
    });
    await busy.exited;
    await new Promise((resolve) => held.close(resolve));

    const elsewhere = new ApiThread({ host: '192.0.2.1', port });
    expect(await elsewhere.next()).toEqual({
      type: 'failed',
      reason:
        'The API cannot listen on 192.0.2.1 (EADDRNOTAVAIL): it is no address of this machine. Correct API_HOST.',
    });
    await elsewhere.exited;
  });

  it('says what to do where no build of uWebSockets.js fits', () => {
    const missing = ((name: string) => {
      throw new Error(
        `This version supports only other machines.\n\nError: Cannot find module '${name}'\nRequire stack:\n- a`,
      );
    }) as unknown as NodeJS.Require;
    expect(() => loadUws(missing)).toThrow(
      /^uWebSockets\.js, which serves the web page and the API, has no build for Node\.js v[\d.]+ on .*uws-new: Error: Cannot find module 'uws-new'; uws-compat: .*Run `npm ci` with Node\.js 20 or 22/,
    );
    expect(loadUws().library).toMatch(/^uWebSockets\.js 20\.\d+\.\d+$/);
  });
});
