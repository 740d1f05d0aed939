// What happens between a connection and its wire: PROXY header, TLS handshake, renewal of certificates. All of it is
// bounded in bytes and time, and who does not get through is counted by reason.
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { noneRefused, type RefusedReason } from '../../engine/stratum/transports/listener.js';
import { certificateName, connectPeer, Peer } from './stratum-peer.js';
import {
  certFileOf,
  closeWireServers,
  FIRST_PAIR,
  keyFileOf,
  serveTcp,
  serveTls,
  serveWebSocket,
  type WireServer,
} from './stratum-wire-server.js';

const V1 = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 56324 3333\r\n');
const V2 = Buffer.concat([
  Buffer.from('0d0a0d0a000d0a515549540a2121002d', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0xdc, 0x04, 0x0d, 0x05]),
  Buffer.from([0x04, 0, 6, 1, 2, 3, 4, 5, 6]),
]);
const V2_LOCAL = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
const LINE = '{"id":1,"method":"mining.subscribe","params":[]}\n';
const FROM_HERE = { allow: ['127.0.0.0/8', '::1'] };
const FROM_ELSEWHERE = { allow: ['10.0.0.0/8'] };

afterEach(closeWireServers);

async function connected(server: WireServer): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: server.port, noDelay: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const onlyRefused = (reason: RefusedReason, count = 1) => ({ ...noneRefused(), [reason]: count });

describe.each([
  ['a shared read buffer', true],
  ["'data' events", false],
])('PROXY protocol before TCP with %s', (_name, sharedReadBuffer) => {
  const serve = (proxy: { allow: string[]; headerWithinMs?: number } = FROM_HERE) =>
    serveTcp({ proxy, sharedReadBuffer });

  it.each([
    ['version 1', V1, '192.0.2.7'],
    ['version 2', V2, '2001:db8::1'],
    ['version 2 LOCAL, which keeps the address of the socket', V2_LOCAL, '127.0.0.1'],
    ['version 1 UNKNOWN, likewise', Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
  ])('takes %s, in one packet with the first line', async (_version, header, remote) => {
    const server = await serve();
    const socket = await connected(server);
    socket.write(Buffer.concat([header, Buffer.from(LINE)]));
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    expect(server.last.wire.remote).toBe(remote);
    await vi.waitFor(() => expect(server.last.text).toBe(LINE));
    socket.write(LINE);
    await vi.waitFor(() => expect(server.last.text).toBe(LINE + LINE));
  });

  it.each([
    ['version 1', V1, '192.0.2.7'],
    ['version 2', V2, '2001:db8::1'],
  ])('takes %s cut at every byte', async (_version, header, remote) => {
    const server = await serve();
    const all = Buffer.concat([header, Buffer.from(LINE)]);
    const sockets = await Promise.all(Array.from(all.subarray(1), () => connected(server)));
    sockets.forEach((socket, i) => void socket.write(all.subarray(0, i + 1)));
    await sleep(50);
    expect(server.served).toHaveLength(all.length - header.length);
    sockets.forEach((socket, i) => void socket.write(all.subarray(i + 1)));
    await vi.waitFor(() => {
      expect(server.served).toHaveLength(sockets.length);
      for (const { text } of server.served) expect(text).toBe(LINE);
    });
    expect(new Set(server.served.map(({ wire }) => wire.remote))).toEqual(new Set([remote]));
    expect(server.listener.refused).toEqual(noneRefused());
  });

  it('closes on a balancer that sends no header or a bad one', async () => {
    const server = await serve();
    for (const bad of [LINE, 'PROXY TCP4 junk\r\n', `PROXY TCP4 ${'1'.repeat(200)}`, '\r\n\r\nGET']) {
      const socket = await connected(server);
      socket.write(bad);
      await once(socket, 'close');
    }
    expect(server.served).toHaveLength(0);
    expect(server.listener.refused).toEqual(onlyRefused('proxy_header_bad', 4));
  });

  it('closes on a header that does not come in time, whole or in part', async () => {
    const server = await serve({ ...FROM_HERE, headerWithinMs: 100 });
    const silent = await connected(server);
    const slow = await connected(server);
    slow.write(V1.subarray(0, 20));
    await Promise.all([once(silent, 'close'), once(slow, 'close')]);
    expect(server.listener.refused).toEqual(onlyRefused('proxy_header_late', 2));
  });

  it('keeps the wire of a header that came in time', async () => {
    const server = await serve({ ...FROM_HERE, headerWithinMs: 100 });
    const socket = await connected(server);
    socket.write(V1);
    await sleep(200);
    socket.write(LINE);
    await vi.waitFor(() => expect(server.last.text).toBe(LINE));
  });

  it('counts a balancer that only looks whether the port is open', async () => {
    const server = await serve();
    const socket = await connected(server);
    socket.end();
    await once(socket.resume(), 'close');
    await vi.waitFor(() => expect(server.listener.refused).toEqual(onlyRefused('left_early')));
    expect(server.served).toHaveLength(0);
  });

  it('believes no stranger: his header is his first line, and his address stays', async () => {
    const server = await serve(FROM_ELSEWHERE);
    const socket = await connected(server);
    socket.write(Buffer.concat([V1, Buffer.from(LINE)]));
    await vi.waitFor(() => expect(server.last.text).toBe(V1.toString() + LINE));
    expect(server.last.wire.remote).toBe('127.0.0.1');
  });

  it('cuts those who still wait when the port closes', async () => {
    const server = await serve();
    const socket = await connected(server);
    socket.write(V1.subarray(0, 9));
    await sleep(20);
    await Promise.all([server.listener.close(), once(socket, 'close')]);
  });
});

it('an allow list with an entry that is no network stops the start', async () => {
  await expect(serveTcp({ proxy: { allow: ['balancer.example'] } })).rejects.toThrow('"balancer.example"');
});

describe('TLS', () => {
  const overTls = async (server: WireServer, options: object = {}): Promise<TLSSocket> => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: server.port,
      rejectUnauthorized: false,
      ...options,
    });
    await once(socket, 'secureConnect');
    return socket;
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('speaks %s', async (version) => {
    const server = await serveTls();
    const socket = await overTls(server, { minVersion: version, maxVersion: version });
    expect(socket.getProtocol()).toBe(version);
    socket.write(LINE);
    await vi.waitFor(() => expect(server.last.text).toBe(LINE));
    expect(server.last.wire).toMatchObject({ kind: 'tls', remote: '127.0.0.1' });
    socket.destroy();
  });

  it('refuses TLS 1.1', async () => {
    const server = await serveTls();
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' };
    await expect(overTls(server, old)).rejects.toThrow();
    await vi.waitFor(() => expect(server.listener.refused).toEqual(onlyRefused('tls_nothing_in_common')));
  });

  it('closes on a handshake that is not done in time', async () => {
    const server = await serveTls({ handshakeWithinMs: 100 });
    const silent = await connected(server);
    const slow = await connected(server);
    slow.write(Buffer.from('160301', 'hex'));
    await Promise.all([once(silent, 'close'), once(slow, 'close')]);
    expect(server.listener.refused).toEqual(onlyRefused('tls_late', 2));
    expect(server.served).toHaveLength(0);
  });

  it('lets 4,096 shake hands at once and refuses the next, until one has left', async () => {
    const server = await serveTls();
    const sockets: Socket[] = [];
    for (let i = 0; i < 4096; i += 256) {
      sockets.push(...(await Promise.all(Array.from({ length: 256 }, () => connected(server)))));
    }
    const refused = await connected(server);
    await once(refused.resume(), 'close');
    expect(server.listener.refused).toEqual(onlyRefused('too_many_waiting'));
    sockets[0]?.destroy();
    await vi.waitFor(() => expect(server.listener.refused.left_early).toBe(1));
    const socket = await overTls(server);
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    for (const other of [...sockets, socket]) other.destroy();
  });

  it('counts who speaks something else, or leaves, and lives on', async () => {
    const server = await serveTls();
    for (const talk of [LINE, 'GET / HTTP/1.1\r\n\r\n']) {
      const socket = await connected(server);
      socket.write(talk);
      await once(socket.resume(), 'close');
    }
    expect(server.listener.refused).toEqual(onlyRefused('tls_not_spoken', 2));
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      const socket = await connected(server);
      socket.write(Buffer.from('16030100', 'hex'));
      await sleep(10);
      socket[leave]();
      await once(socket.resume(), 'close');
    }
    await vi.waitFor(() => expect(server.listener.refused.left_early).toBe(2));
    const junk = await connected(server);
    junk.write(Buffer.concat([Buffer.from('1603010100', 'hex'), Buffer.alloc(256, 0xff)]));
    await once(junk.resume(), 'close');
    const sum = Object.values(server.listener.refused).reduce((a, b) => a + b, 0);
    expect(sum).toBe(5);
    const socket = await overTls(server);
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    socket.destroy();
  });

  it.each([
    ['version 1', V1, '192.0.2.7'],
    ['version 2', V2, '2001:db8::1'],
  ])(
    'takes a PROXY header of %s before the handshake, in one packet with it or apart',
    async (_v, header, remote) => {
      const server = await serveTls({ proxy: FROM_HERE });
      for (const headerBytes of [0, 5, header.length]) {
        const raw = await connected(server);
        if (headerBytes > 0) raw.write(header.subarray(0, headerBytes));
        await sleep(20);
        const socket = connectTls({
          socket: prefixed(raw, header.subarray(headerBytes)),
          rejectUnauthorized: false,
        });
        await once(socket, 'secureConnect');
        const peer = new Peer(socket, false);
        await vi.waitFor(() => expect(server.last.wire.remote).toBe(remote));
        server.last.echo();
        peer.send(LINE);
        await peer.until(() => peer.text === LINE);
        server.last.wire.end('bye\n');
        await peer.until(() => peer.text === `${LINE}bye\n`);
        raw.destroy();
        server.served.length = 0;
      }
      expect(server.listener.refused).toEqual(noneRefused());
    },
  );

  it('refuses a handshake without the header from a balancer, and with one from a stranger', async () => {
    const balancer = await serveTls({ proxy: FROM_HERE });
    await expect(overTls(balancer)).rejects.toThrow();
    expect(balancer.listener.refused).toEqual(onlyRefused('proxy_header_bad'));
    const stranger = await serveTls({ proxy: FROM_ELSEWHERE });
    const socket = await connected(stranger);
    socket.write(V1);
    await once(socket.resume(), 'close');
    expect(stranger.listener.refused).toEqual(onlyRefused('tls_not_spoken'));
  });

  it('does not start with a certificate that cannot be used, and says which', async () => {
    const mixed = { certFile: certFileOf('first'), keyFile: keyFileOf('second') };
    await expect(serveTls({ tls: mixed })).rejects.toThrow(/first-cert\.pem.*second-key\.pem.*mismatch/);
    await expect(serveWebSocket(mixed)).rejects.toThrow(/first-cert\.pem.*second-key\.pem.*mismatch/);
    await expect(serveTls({ tls: { ...mixed, keyFile: '/nowhere/key.pem' } })).rejects.toThrow(/ENOENT/);
  });
});

describe.each([
  ['TLS', 'tls' as const],
  ['WebSocket over TLS', 'wss' as const],
])('renewal of the certificate of %s', (_name, kind) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
  const put = (cert: string, key: string): void => {
    copyFileSync(certFileOf(cert), tls.certFile);
    copyFileSync(keyFileOf(key), tls.keyFile);
  };
  const serve = (checkEveryMs?: number) => {
    const files = checkEveryMs === undefined ? tls : { ...tls, checkEveryMs };
    return kind === 'tls' ? serveTls({ tls: files }) : serveWebSocket(files);
  };
  afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

  it('takes a new pair without a restart and keeps its miners; refuses a bad one in one line', async () => {
    put('first', 'first');
    const server = await serve();
    server.accept = (wire) => server.serve(wire).echo();
    const early = await connectPeer(kind, server.port);
    expect(await certificateName(server.port)).toBe('first.millrace.test');
    expect(server.listener.reload()).toBe(false);
    expect(server.logged).toEqual([]);

    put('second', 'first');
    expect(server.listener.reload()).toBe(false);
    expect(server.listener.reload()).toBe(false);
    expect(await certificateName(server.port)).toBe('first.millrace.test');
    expect(server.logged).toHaveLength(1);
    expect(server.logged[0]).toMatchObject({
      level: 'error',
      message: expect.stringMatching(/keeps.*mismatch/),
    });

    put('second', 'second');
    expect(server.listener.reload()).toBe(true);
    expect(server.logged).toHaveLength(2);
    expect(await certificateName(server.port)).toBe('second.millrace.test');
    const late = await connectPeer(kind, server.port);
    for (const peer of [early, late]) {
      peer.send(LINE);
      await peer.until(() => peer.text === LINE);
    }
  });
});

it('a certificate file that changes is noticed by itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem'), checkEveryMs: 20 };
  copyFileSync(FIRST_PAIR.certFile, tls.certFile);
  copyFileSync(FIRST_PAIR.keyFile, tls.keyFile);
  const server = await serveTls({ tls });
  await sleep(50);
  copyFileSync(certFileOf('second'), tls.certFile);
  copyFileSync(keyFileOf('second'), tls.keyFile);
  await vi.waitFor(async () => expect(await certificateName(server.port)).toBe('second.millrace.test'), {
    timeout: 5000,
  });
  rmSync(folder, { recursive: true });
});

/** A stream that sends `head` in one packet with the first bytes written to it. */
function prefixed(raw: Socket, head: Buffer): Duplex {
  let first = head;
  const duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      raw.write(Buffer.concat([first, chunk]), done);
      first = Buffer.alloc(0);
    },
    final(done) {
      raw.end(done);
    },
  });
  raw.on('data', (chunk) => duplex.push(chunk));
  raw.on('end', () => duplex.push(null));
  return duplex;
}
