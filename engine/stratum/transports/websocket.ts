// Stratum over WebSocket at `/stratum` and `/`, on uWebSockets.js: a message is one or more lines, and its last line
// needs no line end. Text and binary are taken, text is sent. With TLS files it is wss.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import {
  loadUws,
  type Uws,
  type UwsApp,
  type UwsListenSocket,
  type UwsWebSocket,
  type UwsWebSocketBehavior,
} from '../../uws.js';
import {
  type Listener,
  type ListenOptions,
  listenAddress,
  noneRefused,
  type RefusedReason,
} from './listener.js';
import { type TlsFileOptions, TlsFiles } from './tls-files.js';
import { MESSAGE_MAX_BYTES, WebSocketWire } from './websocket-wire.js';

export interface WebSocketOptions extends ListenOptions {
  /** Without: ws; with: wss. */
  readonly tls?: TlsFileOptions;
}

export interface WebSocketListener extends Listener {
  /** Looks at the certificate files now. @returns true when a new pair was taken; always false without TLS */
  reload(): boolean;
}

/** A peer that neither sends nor answers a ping this long is cut. */
const IDLE_S = 120;
/** Far above what sessions allow themselves: the library cuts who exceeds it, where else it would drop a reply. */
const UNSENT_MAX_BYTES = 1024 * 1024;
/** Time for the close frames and the last words of the last wires to leave before the app closes what is left. */
const LINGER_MS = 250;
const PATHS = ['/stratum', '/'];

interface SocketData {
  wire?: WebSocketWire;
}

/**
 * Its thread must close it and let every wire go before it ends, and must not be terminated.
 * @throws Error with `code` (EADDRINUSE, EACCES, ...) when the port cannot be had; Error for the operator when the
 *   certificate cannot be used or uWebSockets.js has no build for this machine
 */
export async function listenWebSocket(options: WebSocketOptions): Promise<WebSocketListener> {
  const { uws } = loadUws();
  const files = options.tls === undefined ? null : new TlsFiles(options.tls, options.log);
  const refused = noneRefused();
  const { host } = options;
  let front = new Front(uws, options, refused);
  // The library opens port 0 without SO_REUSEADDR, and then could not open it again while its miners are connected.
  const port = options.profile.port === 0 ? await freePort(host) : options.profile.port;
  if (!front.listen(port)) throw await refusal(host, port);
  const retired: Promise<void>[] = [];
  files?.watch(() => {
    // The library cannot exchange the certificate of an app: a new one takes the port, the old one keeps its miners.
    const next = new Front(uws, options, refused);
    retired.push(front.retire());
    front = next;
    if (!front.listen(port)) {
      throw new Error(`port ${port} was lost to another program while it was opened again; restart the pool`);
    }
  });
  return {
    port,
    refused,
    reload: () => files?.reload() ?? false,
    close: async () => {
      files?.close();
      await Promise.all([...retired, front.retire()]);
    },
  };
}

/** One uWebSockets.js app on the port. */
class Front {
  readonly #uws: Uws;
  readonly #options: WebSocketOptions;
  readonly #refused: Record<RefusedReason, number>;
  readonly #app: UwsApp;
  #listening: UwsListenSocket | null = null;
  #wires = 0;
  #onNoWire: (() => void) | null = null;

  /** @throws when the certificate cannot be used */
  constructor(uws: Uws, options: WebSocketOptions, refused: Record<RefusedReason, number>) {
    this.#uws = uws;
    this.#options = options;
    this.#refused = refused;
    const { tls } = options;
    this.#app =
      tls === undefined
        ? uws.App()
        : uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
    const behavior: UwsWebSocketBehavior<SocketData> = {
      maxPayloadLength: MESSAGE_MAX_BYTES,
      idleTimeout: IDLE_S,
      maxBackpressure: UNSENT_MAX_BYTES,
      closeOnBackpressureLimit: true,
      open: (ws) => this.#opened(ws),
      message: (ws, message) => ws.getUserData().wire?.received(message),
      drain: (ws) => ws.getUserData().wire?.drained(),
      close: (ws, code, reason) => {
        ws.getUserData().wire?.closed(code, Buffer.from(reason).toString('latin1'));
        this.#wires--;
        if (this.#wires === 0) this.#onNoWire?.();
      },
    };
    for (const path of PATHS) this.#app.ws(path, behavior);
    this.#app.any('/*', (res) => {
      res.writeStatus('426 Upgrade Required').writeHeader('Upgrade', 'websocket');
      res.end('This port speaks Stratum over WebSocket, at /stratum.\n');
    });
  }

  /** @returns false when the port cannot be had */
  listen(port: number): boolean {
    const { reusePort, host } = this.#options;
    const flags = reusePort ? 0 : this.#uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
    const done = (socket: UwsListenSocket | false): void => {
      this.#listening = socket === false ? null : socket;
    };
    if (host === '::') this.#app.listen(port, flags, done);
    else this.#app.listen(host, port, flags, done);
    return this.#listening !== null;
  }

  /** Stops accepting; resolves when its last wire is gone and the app is closed. */
  async retire(): Promise<void> {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
    if (this.#wires > 0) {
      await new Promise<void>((resolve) => {
        this.#onNoWire = resolve;
      });
    }
    await setTimeout(LINGER_MS);
    this.#app.close();
  }

  #opened(ws: UwsWebSocket<SocketData>): void {
    this.#wires++;
    const wire = new WebSocketWire(ws);
    ws.getUserData().wire = wire;
    const owner = this.#options.accept(wire, this.#options.profile);
    if (owner === null) {
      this.#refused.not_accepted++;
      wire.refuse();
    } else {
      wire.start(owner);
    }
  }
}

/** @throws the system's error when the host is none of this machine */
async function freePort(host: string): Promise<number> {
  const probe = createServer().listen({ ...listenAddress(host), port: 0, exclusive: true });
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Why a port cannot be had: the library does not say. */
async function refusal(host: string, port: number): Promise<Error> {
  const probe = createServer().listen({ ...listenAddress(host), port, exclusive: true });
  try {
    await once(probe, 'listening');
  } catch (error) {
    return error as Error;
  }
  probe.close();
  return Object.assign(new Error(`listen: ${host}:${port} was taken a moment ago`), { code: 'EADDRINUSE' });
}
