// The wrapper around HTTP handlers, with handlers that misbehave, on a real socket.
import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiReply, type Handler, serveRoutes } from '../../engine/api/http-front.js';
import { loadUws, type Uws, type UwsApp, type UwsListenSocket } from '../../engine/uws.js';

const text = (body: string): ApiReply => ({
  status: 200,
  contentType: 'text/plain',
  cacheControl: 'no-store',
  body,
});

describe('HTTP front', () => {
  const answered: [string, string, number][] = [];
  const errors: string[] = [];
  let release: () => void = () => {};
  let entered: () => void = () => {};
  let uws: Uws;
  let app: UwsApp;
  let socket: UwsListenSocket | false = false;
  let base: string;

  beforeAll(() => {
    const routes = new Map<string, Handler>([
      ['/good', () => text('good')],
      [
        '/throws',
        () => {
          throw new Error('secret detail');
        },
      ],
      ['/rejects', () => Promise.reject(new Error('secret detail'))],
      [
        '/slow',
        () => {
          entered();
          return new Promise((resolve) => {
            release = () => resolve(text('late'));
          });
        },
      ],
      ['/bytes', () => ({ ...text(''), body: Uint8Array.of(0xff, 0, 0x80) })],
    ]);
    uws = loadUws().uws;
    app = uws.App();
    serveRoutes(app, {
      routes,
      nowMs: () => performance.now(),
      onAnswered: (route, method, status) => answered.push([route, method, status]),
      onError: (error, { path, requestId }) =>
        errors.push(`${path} ${requestId} ${(error as Error).message}`),
    });
    app.listen('127.0.0.1', 0, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (made) => {
      socket = made;
    });
    if (socket === false) throw new Error('no port');
    base = `http://127.0.0.1:${uws.us_socket_local_port(socket)}`;
  });
  afterAll(() => {
    app.close();
  });

  it.each(['/throws', '/rejects'])(
    'answers 500 when a handler %s, keeps the reason for the log, and lives on',
    async (path) => {
      errors.length = 0;
      const response = await fetch(`${base}${path}`, { headers: { 'x-request-id': 'r-1' } });
      expect(response.status).toBe(500);
      const body = await response.text();
      expect(JSON.parse(body)).toMatchObject({ code: 'internal_error', instance: path, request_id: 'r-1' });
      expect(body).not.toContain('secret');
      expect(errors).toEqual([`${path} r-1 secret detail`]);
      expect(await (await fetch(`${base}/good`)).text()).toBe('good');
    },
  );

  it('answers late replies, and drops those whose client has gone', async () => {
    let inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const patient = fetch(`${base}/slow`);
    await inside;
    release();
    expect(await (await patient).text()).toBe('late');

    inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const impatient = new AbortController();
    const gone = fetch(`${base}/slow`, { signal: impatient.signal }).catch(() => 'gone');
    await inside;
    impatient.abort();
    expect(await gone).toBe('gone');
    // The server sees the end of the connection before it serves the next one.
    await fetch(`${base}/good`, { headers: { connection: 'close' } });
    answered.length = 0;
    release();
    await fetch(`${base}/good`);
    expect(answered).toEqual([['/good', 'get', 200]]);
  });

  it('sends bytes as they are', async () => {
    const response = await fetch(`${base}/bytes`);
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0xff, 0, 0x80]);
    expect((await fetch(`${base}/bytes`, { method: 'HEAD' })).headers.get('content-length')).toBe('3');
  });

  it('reports each answer by route and method from closed lists', async () => {
    answered.length = 0;
    await fetch(`${base}/good`);
    await fetch(`${base}/good`, { method: 'HEAD' });
    await fetch(`${base}/a-name-nobody-knows`);
    await fetch(`${base}/good`, { method: 'PROPFIND' });
    expect(answered).toEqual([
      ['/good', 'get', 200],
      ['/good', 'head', 200],
      ['other', 'get', 404],
      ['/good', 'other', 405],
    ]);
  });
});
