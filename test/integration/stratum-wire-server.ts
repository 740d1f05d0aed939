// The pool's end of a transport under test: opens a listener of each sort and keeps what its wires were told.
import { join } from 'node:path';
import type { Listener } from '../../engine/stratum/transports/listener.js';
import { listenTcp, type TcpOptions } from '../../engine/stratum/transports/tcp.js';
import { listenTls, type TlsListener, type TlsOptions } from '../../engine/stratum/transports/tls.js';
import { listenWebSocket, type WebSocketListener } from '../../engine/stratum/transports/websocket.js';
import type { Accept, Wire, WireOwner } from '../../engine/stratum/wire.js';
import { projectRoot } from '../../storage/project-root.js';
import type { PeerKind } from './stratum-peer.js';

const TLS_FIXTURES = join(projectRoot(), 'test/fixtures/tls');

export const certFileOf = (name: string): string => join(TLS_FIXTURES, `${name}-cert.pem`);
export const keyFileOf = (name: string): string => join(TLS_FIXTURES, `${name}-key.pem`);
export const FIRST_PAIR = { certFile: certFileOf('first'), keyFile: keyFileOf('first') };

/** A wire and all that its owner was told; with `echo`, each line goes back. */
export class Served implements WireOwner {
  readonly wire: Wire;
  readonly chunks: Buffer[] = [];
  readonly closedFor: string[] = [];
  /** Called with each chunk, before it is kept. */
  onChunk: (chunk: Buffer) => void = () => {};

  constructor(wire: Wire) {
    this.wire = wire;
  }

  onBytes(chunk: Buffer): void {
    this.onChunk(chunk);
    this.chunks.push(Buffer.from(chunk));
  }

  onClosed(reason: string): void {
    this.closedFor.push(reason);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  /** Sends each line back, all of a chunk in one write. */
  echo(): this {
    let rest = '';
    this.onChunk = (chunk) => {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      if (lines.length > 0) this.wire.write(lines.map((line) => `${line}\n`).join(''));
    };
    return this;
  }
}

export class WireServer {
  readonly served: Served[] = [];
  readonly logged: { level: string; message: string }[] = [];
  listener!: Listener;
  /** What the pool says to a new wire; null refuses it. */
  accept: (wire: Wire) => WireOwner | null = (wire) => this.serve(wire);

  serve(wire: Wire): Served {
    const served = new Served(wire);
    this.served.push(served);
    return served;
  }

  get last(): Served {
    const last = this.served.at(-1);
    if (last === undefined) throw new Error('no wire came');
    return last;
  }

  get port(): number {
    return this.listener.port;
  }

  options(kind: 'tcp' | 'tls' | 'ws', host = '127.0.0.1', port = 0) {
    const accept: Accept = (wire) => this.accept(wire);
    const profile = {
      name: 'test',
      port,
      kind,
      startDifficulty: null,
      minDifficulty: null,
      maxDifficulty: null,
    };
    return {
      host,
      profile,
      accept,
      log: (level: string, message: string) => void this.logged.push({ level, message }),
    };
  }

  /** Cuts all wires and waits until the port is closed. */
  async close(): Promise<void> {
    for (const { wire } of this.served) wire.destroy();
    await this.listener.close();
  }
}

const open: WireServer[] = [];

/** For afterEach. */
export async function closeWireServers(): Promise<void> {
  await Promise.all(open.splice(0).map((server) => server.close()));
}

async function started(listen: (server: WireServer) => Promise<Listener>): Promise<WireServer> {
  const server = new WireServer();
  server.listener = await listen(server);
  open.push(server);
  return server;
}

export function serveTcp(options: Partial<TcpOptions> = {}): Promise<WireServer> {
  return started((server) => listenTcp({ ...server.options('tcp', options.host), ...options }));
}

export async function serveTls(
  options: Partial<TlsOptions> = {},
): Promise<WireServer & { readonly listener: TlsListener }> {
  const server = await started((s) =>
    listenTls({ ...s.options('tls', options.host), tls: FIRST_PAIR, ...options }),
  );
  return server as WireServer & { readonly listener: TlsListener };
}

export async function serveWebSocket(
  tls?: TlsOptions['tls'],
  host?: string,
): Promise<WireServer & { readonly listener: WebSocketListener }> {
  const server = await started((s) => listenWebSocket({ ...s.options('ws', host), ...(tls ? { tls } : {}) }));
  return server as WireServer & { readonly listener: WebSocketListener };
}

export interface Transport {
  readonly name: string;
  readonly kind: PeerKind;
  readonly serve: (host?: string) => Promise<WireServer>;
}

const at = (host?: string) => (host === undefined ? {} : { host });

export const TRANSPORTS: readonly Transport[] = [
  { name: 'TCP with a shared read buffer', kind: 'tcp', serve: (host) => serveTcp(at(host)) },
  {
    name: "TCP with 'data' events",
    kind: 'tcp',
    serve: (host) => serveTcp({ ...at(host), sharedReadBuffer: false }),
  },
  { name: 'TLS', kind: 'tls', serve: (host) => serveTls(at(host)) },
  { name: 'WebSocket', kind: 'ws', serve: (host) => serveWebSocket(undefined, host) },
  { name: 'WebSocket over TLS', kind: 'wss', serve: (host) => serveWebSocket(FIRST_PAIR, host) },
];
