// What a session is promised by its wire (engine/stratum/wire.ts) holds on real sockets, whatever carries it.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { listenTcp } from '../../engine/stratum/transports/tcp.js';
import { listenWebSocket } from '../../engine/stratum/transports/websocket.js';
import { HELD_MAX_BYTES, MESSAGE_MAX_BYTES } from '../../engine/stratum/transports/websocket-wire.js';
import type { Wire } from '../../engine/stratum/wire.js';
import { connectPeer, frame, type Peer } from './stratum-peer.js';
import {
  closeWireServers,
  type Served,
  serveTcp,
  serveWebSocket,
  TRANSPORTS,
  WireServer,
} from './stratum-wire-server.js';

const lines = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `{"id":${i},"pad":"${'x'.repeat(i % 90)}"}\n`);

afterEach(closeWireServers);

describe.each(TRANSPORTS)('a wire over $name', ({ kind, serve }) => {
  const stream = kind === 'tcp' || kind === 'tls';

  async function pair(): Promise<{ server: WireServer; peer: Peer; served: Served }> {
    const server = await serve();
    const peer = await connectPeer(kind, server.port);
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    return { server, peer, served: server.last };
  }

  it('sends lines back in order, however they are packed', async () => {
    const { peer, served } = await pair();
    served.echo();
    const sent = lines(600);
    for (let from = 0; from < sent.length; from += 1 + (from % 37)) {
      peer.send(sent.slice(from, from + 1 + (from % 37)).join(''));
      if (from % 5 === 0) await nextTurn();
    }
    const all = sent.join('');
    await peer.until(() => peer.text.length >= all.length);
    expect(peer.text).toBe(all);
  });

  it('delivers packets of one byte', async () => {
    const { peer, served } = await pair();
    const sent = lines(3).join('');
    for (const byte of peer.encode(sent)) {
      peer.socket.write(Buffer.from([byte]));
      await nextTurn();
    }
    await vi.waitFor(() => expect(served.text).toBe(sent));
    if (stream) expect(served.chunks.length).toBeGreaterThan(sent.length / 4);
  });

  it('delivers 10,000 bytes without a line end as they are', async () => {
    const { peer, served } = await pair();
    const sent = 'y'.repeat(10_000);
    peer.send(sent);
    const expected = stream ? sent : `${sent}\n`;
    await vi.waitFor(() => expect(served.text).toBe(expected));
  });

  it('delivers nothing while paused, and all in order afterwards', async () => {
    const { peer, served } = await pair();
    const sent = lines(900).join('');
    served.onChunk = () => {
      if (served.chunks.length === 0) served.wire.pause();
    };
    peer.send('first\n');
    await vi.waitFor(() => expect(served.text).toBe('first\n'));
    expect(served.wire.paused).toBe(true);
    for (const line of lines(900)) peer.send(line);
    await sleep(150);
    expect(served.text).toBe('first\n');
    served.wire.resume();
    expect(served.text).toBe('first\n');
    expect(served.wire.paused).toBe(false);
    await vi.waitFor(() => expect(served.text.length).toBe('first\n'.length + sent.length));
    expect(served.text).toBe(`first\n${sent}`);
  });

  it('can be paused and resumed within one chunk', async () => {
    const { peer, served } = await pair();
    served.onChunk = () => {
      served.wire.pause();
      served.wire.resume();
    };
    const sent = lines(50);
    for (const line of sent) {
      peer.send(line);
      await nextTurn();
    }
    await vi.waitFor(() => expect(served.text).toBe(sent.join('')));
  });

  it('counts what the peer has not taken', async () => {
    const { peer, served } = await pair();
    peer.socket.pause();
    // More than the kernel takes on both ends, in pieces that a WebSocket may leave unsent.
    const shared = Buffer.alloc(256 * 1024, 'z');
    let written = 0;
    while (served.wire.unsentBytes < 500_000 && written < 64 * 1024 * 1024) {
      served.wire.writeShared(shared);
      written += shared.length;
      await nextTurn();
    }
    expect(served.wire.unsentBytes).toBeGreaterThanOrEqual(500_000);
    expect(served.wire.unsentBytes).toBeLessThanOrEqual(written);
    peer.socket.resume();
    await peer.until(() => peer.text.length === written);
    expect(served.wire.unsentBytes).toBe(0);
    expect(served.closedFor).toEqual([]);
  });

  it('sends one Buffer to all and leaves it as it is', async () => {
    const server = await serve();
    const peers = await Promise.all([1, 2, 3, 4].map(() => connectPeer(kind, server.port)));
    await vi.waitFor(() => expect(server.served).toHaveLength(4));
    const job = Buffer.from('{"method":"mining.notify"}\n');
    for (const { wire } of server.served) wire.writeShared(job);
    for (const peer of peers) await peer.until(() => peer.text === '{"method":"mining.notify"}\n');
    expect(job.toString()).toBe('{"method":"mining.notify"}\n');
  });

  it('writes text as Latin-1', async () => {
    const { peer, served } = await pair();
    served.echo();
    // As bytes this is UTF-8, as it must be over WebSocket.
    const sent = Buffer.from('{"id":"schürfen ⛏"}\n').toString('latin1');
    peer.send(sent);
    await peer.until(() => peer.text.length >= sent.length);
    expect(peer.text).toBe(sent);
  });

  it('ends with the last words, delivers nothing more, and does not tell its owner what it knows', async () => {
    const { peer, served } = await pair();
    peer.send('kept\n');
    await vi.waitFor(() => expect(served.text).toBe('kept\n'));
    served.wire.write('reply\n');
    served.wire.end('bye\n');
    served.wire.write('too late\n');
    // The peer does not stop: unread bytes must not turn the end into a reset that swallows the last words.
    for (let i = 0; i < 200; i++) peer.send(`${'n'.repeat(1000)}\n`);
    await peer.untilClosed();
    expect(peer.text).toBe('reply\nbye\n');
    expect(peer.error).toBeNull();
    if (!stream) expect(peer.closeCode).toBe(1000);
    expect(served.text).toBe('kept\n');
    expect(served.closedFor).toEqual([]);
  });

  it('ends also while it is paused, and from inside its own delivery', async () => {
    const { peer, served } = await pair();
    served.onChunk = () => {
      served.wire.pause();
      served.wire.end('bye\n');
    };
    peer.send('one\n');
    await peer.untilClosed();
    expect(peer.text).toBe('bye\n');
    expect(peer.error).toBeNull();
    expect(served.closedFor).toEqual([]);
  });

  it('does not wait for a peer that hung up, though it was paused with unread bytes', async () => {
    const { server, peer, served } = await pair();
    served.wire.pause();
    for (const line of lines(300)) peer.send(line);
    await sleep(50);
    const began = performance.now();
    served.wire.end('bye\n');
    await Promise.all([peer.untilClosed(), server.listener.close()]);
    expect(performance.now() - began).toBeLessThan(1500);
    expect(peer.text).toBe('bye\n');
    expect(peer.error).toBeNull();
    expect(served.chunks).toHaveLength(0);
  });

  it('is gone after 2 s when the peer does not take its last words', async () => {
    const { server, peer, served } = await pair();
    peer.socket.pause();
    const block = 'z'.repeat(512 * 1024);
    while (served.wire.unsentBytes < 500_000) {
      served.wire.write(block);
      await nextTurn();
    }
    const began = performance.now();
    served.wire.end('bye\n');
    await server.listener.close();
    expect(performance.now() - began).toBeGreaterThan(1900);
    expect(served.closedFor).toEqual([]);
    peer.socket.destroy();
  });

  it('tells of a peer that resets', async () => {
    const { peer, served } = await pair();
    if (kind === 'tls' || kind === 'wss') peer.socket.destroy();
    else peer.socket.resetAndDestroy();
    await vi.waitFor(() => expect(served.closedFor).toHaveLength(1));
    await sleep(20);
    expect(served.closedFor).toEqual([kind === 'tls' ? 'peer' : 'connection_error']);
    // Nothing that a session may still do to it throws.
    served.wire.write('x\n');
    served.wire.writeShared(Buffer.from('x\n'));
    served.wire.pause();
    served.wire.resume();
    served.wire.end('x\n');
    served.wire.destroy();
    expect(served.wire.unsentBytes).toBe(0);
  });

  it('tells of a peer that leaves in order, after what it sent last', async () => {
    const { peer, served } = await pair();
    peer.send('last share\n');
    if (stream) peer.socket.end();
    else peer.sendClose(1000);
    await vi.waitFor(() => expect(served.closedFor).toEqual(['peer']));
    expect(served.text).toBe('last share\n');
    await peer.untilClosed();
  });

  it('is cut by destroy without a word to its owner', async () => {
    const { server, peer, served } = await pair();
    served.wire.destroy();
    await peer.untilClosed();
    await server.listener.close();
    expect(served.closedFor).toEqual([]);
    expect(peer.text).toBe('');
  });

  it('is refused and counted when the pool takes nobody', async () => {
    const server = await serve();
    server.accept = () => null;
    const peer = await connectPeer(kind, server.port);
    await peer.untilClosed();
    expect(peer.text).toBe('');
    expect(server.listener.refused.not_accepted).toBe(1);
    if (!stream) expect(peer.closeCode).toBe(1013);
  });

  it('may be refused with last words', async () => {
    const server = await serve();
    server.accept = (wire) => {
      wire.end('full\n');
      return null;
    };
    const peer = await connectPeer(kind, server.port);
    await peer.untilClosed();
    expect(peer.text).toBe('full\n');
    expect(server.listener.refused.not_accepted).toBe(1);
  });

  it('names the peer the same way over IPv4 and IPv6', async () => {
    const server = await serve('::');
    await connectPeer(kind, server.port, { host: '127.0.0.1' });
    await connectPeer(kind, server.port, { host: '::1' });
    await vi.waitFor(() => expect(server.served).toHaveLength(2));
    expect(server.served.map(({ wire }) => wire.remote).sort()).toEqual(['127.0.0.1', '::1']);
    expect(server.last.wire.kind).toBe(kind === 'wss' ? 'ws' : kind);
  });

  it('outlives its port, which takes nobody after close', async () => {
    const { server, peer, served } = await pair();
    served.echo();
    let gone = false;
    const closed = server.listener.close().then(() => {
      gone = true;
    });
    await expect(connectPeer(kind, server.port)).rejects.toThrow('ECONNREFUSED');
    peer.send('still here\n');
    await peer.until(() => peer.text === 'still here\n');
    expect(gone).toBe(false);
    served.wire.end('');
    await closed;
    await peer.untilClosed();
  });

  it('leaves nothing behind when hundreds come and go', async () => {
    const server = await serve();
    const round = async (): Promise<void> => {
      const peers = await Promise.all(Array.from({ length: 40 }, () => connectPeer(kind, server.port)));
      await vi.waitFor(() => expect(server.served).toHaveLength(40));
      server.served.forEach(({ wire }, i) => {
        if (i % 2 === 0) wire.end('bye\n');
      });
      peers.forEach((peer, i) => {
        if (i % 4 === 1) peer.socket.end();
        else if (i % 4 === 3) peer.socket.destroy();
      });
      await Promise.all(peers.map((peer) => peer.untilClosed()));
      server.served.length = 0;
    };
    const sockets = (): number =>
      process.getActiveResourcesInfo().filter((name) => name.endsWith('Wrap') && !name.includes('Server'))
        .length;
    const before = sockets();
    for (let i = 0; i < 6; i++) await round();
    await vi.waitFor(() => expect(sockets()).toBe(before), { timeout: 4000 });
    await server.listener.close();
  });
});

describe.each(TRANSPORTS.filter(({ kind }) => kind === 'tcp' || kind === 'tls'))(
  '$name',
  ({ kind, serve }) => {
    it('leaves what a paused wire does not read with the peer', async () => {
      const server = await serve();
      const peer = await connectPeer(kind, server.port);
      await vi.waitFor(() => expect(server.served).toHaveLength(1));
      server.last.wire.pause();
      const block = Buffer.alloc(1024 * 1024, 'p');
      for (let i = 0; i < 48; i++) peer.socket.write(block);
      await sleep(500);
      // The kernel takes some megabytes; the rest waits in the peer.
      expect(peer.socket.writableLength).toBeGreaterThan(16 * 1024 * 1024);
      expect(server.last.chunks).toHaveLength(0);
      server.last.wire.resume();
      await once(peer.socket, 'drain');
      await vi.waitFor(() => expect(server.last.bytes.length).toBe(48 * 1024 * 1024), { timeout: 10_000 });
    });

    it('delivers to each wire its own bytes, though they are read into one place', async () => {
      const server = await serve();
      server.accept = (wire: Wire) => server.serve(wire).echo();
      const peers = await Promise.all(Array.from({ length: 20 }, () => connectPeer(kind, server.port)));
      const sent = peers.map((_, i) =>
        lines(200)
          .map((line) => `${i}:${line}`)
          .join(''),
      );
      peers.forEach((peer, i) => {
        const text = sent[i] ?? '';
        for (let from = 0; from < text.length; from += 777) peer.send(text.slice(from, from + 777));
      });
      for (const [i, peer] of peers.entries()) {
        await peer.until(() => peer.text.length >= (sent[i] ?? '').length);
        expect(peer.text).toBe(sent[i]);
      }
    });
  },
);

describe('WebSocket', () => {
  it('serves / as well, and tells others what it speaks', async () => {
    const server = await serveWebSocket();
    server.accept = (wire) => server.serve(wire).echo();
    const peer = await connectPeer('ws', server.port, { path: '/' });
    peer.send('{"id":1}');
    await peer.until(() => peer.text === '{"id":1}\n');
    const reply = await fetch(`http://127.0.0.1:${server.port}/stratum`);
    expect(reply.status).toBe(426);
    expect(await reply.text()).toContain('/stratum');
    await expect(connectPeer('ws', server.port, { path: '/other' })).rejects.toThrow('426');
  });

  it('takes binary messages, several lines in one, and one message in several frames', async () => {
    const server = await serveWebSocket();
    const peer = await connectPeer('ws', server.port);
    peer.socket.write(frame(2, Buffer.from('a\nb')));
    peer.socket.write(frame(1, Buffer.alloc(0)));
    const begin = frame(1, Buffer.from('c'));
    begin.writeUInt8(1, 0);
    peer.socket.write(begin);
    peer.socket.write(frame(0, Buffer.from('d\n')));
    await vi.waitFor(() => expect(server.last.text).toBe('a\nb\ncd\n'));
  });

  it('takes a message of 16 KiB and cuts who sends a longer one', async () => {
    const server = await serveWebSocket();
    const peer = await connectPeer('ws', server.port);
    peer.send('m'.repeat(MESSAGE_MAX_BYTES));
    await vi.waitFor(() => expect(server.last.text).toBe(`${'m'.repeat(MESSAGE_MAX_BYTES)}\n`));
    peer.send('m'.repeat(MESSAGE_MAX_BYTES + 1));
    await peer.untilClosed();
    expect(server.last.closedFor).toEqual(['connection_error']);
    expect(server.last.chunks).toHaveLength(1);
  });

  it('holds 64 KiB of a paused wire and closes it beyond', async () => {
    const server = await serveWebSocket();
    const peer = await connectPeer('ws', server.port);
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    server.last.wire.pause();
    const message = `${'h'.repeat(1023)}\n`;
    for (let i = 0; i < HELD_MAX_BYTES / 1024; i++) peer.send(message);
    await sleep(100);
    expect(server.last.closedFor).toEqual([]);
    peer.send('x');
    await peer.untilClosed();
    expect(server.last.closedFor).toEqual(['flood']);
    expect(peer.closeCode).toBe(1008);
    expect(server.last.chunks).toHaveLength(0);
  });

  it('cuts a peer that lets more than 1 MiB wait, where the library would drop replies', async () => {
    const server = await serveWebSocket();
    const peer = await connectPeer('ws', server.port);
    await vi.waitFor(() => expect(server.served).toHaveLength(1));
    peer.socket.pause();
    const { wire, closedFor } = server.last;
    while (closedFor.length === 0) {
      wire.write('w'.repeat(256 * 1024));
      expect(wire.unsentBytes).toBeLessThan(1.5 * 1024 * 1024);
      await nextTurn();
    }
    expect(closedFor).toEqual(['connection_error']);
    peer.socket.destroy();
  });
});

describe('a port that cannot be had', () => {
  it('is told with the code of the system', async () => {
    const taken = createServer();
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const server = new WireServer();
    const busy = { code: 'EADDRINUSE' };
    await expect(listenTcp(server.options('tcp', '127.0.0.1', port))).rejects.toMatchObject(busy);
    await expect(listenWebSocket(server.options('ws', '127.0.0.1', port))).rejects.toMatchObject(busy);
    const foreign = { code: 'EADDRNOTAVAIL' };
    await expect(listenTcp(server.options('tcp', '192.0.2.7'))).rejects.toMatchObject(foreign);
    await expect(listenWebSocket(server.options('ws', '192.0.2.7'))).rejects.toMatchObject(foreign);
    taken.close();
  });
});

describe('the shared read buffer', () => {
  it('is really used where it is asked for', async () => {
    const seen = async (sharedReadBuffer: boolean): Promise<Set<ArrayBufferLike>> => {
      const server = await serveTcp({ sharedReadBuffer });
      const memory = new Set<ArrayBufferLike>();
      for (let i = 0; i < 3; i++) {
        const peer = await connectPeer('tcp', server.port);
        await vi.waitFor(() => expect(server.served).toHaveLength(i + 1));
        server.last.onChunk = (chunk) => void memory.add(chunk.buffer);
        peer.send('line\n');
        await vi.waitFor(() => expect(server.last.text).toBe('line\n'));
      }
      return memory;
    };
    expect((await seen(true)).size).toBe(1);
    expect((await seen(false)).size).toBe(3);
  });
});
