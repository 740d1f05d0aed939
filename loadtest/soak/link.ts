// What carries a simulated miner's session: TCP, TLS, or WebSocket over TLS. Lines go out, bytes come in.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Transport } from './habits.js';
import { closeFrame, handshakeRequest, textFrame, WebSocketReader } from './websocket-frames.js';

const CONNECT_WITHIN_MS = 15_000;
const WEBSOCKET_PATH = '/stratum';
const NORMAL_CLOSURE = 1000;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** PEM of the certificate to trust; null: no TLS. */
  readonly ca: string | null;
}

export interface LinkOwner {
  /** Once: lines may be written. */
  onOpen(): void;
  /** The chunk is only valid during the call. */
  onBytes(chunk: Buffer): void;
  /** Once, also when it never opened; nothing comes after it. */
  onClosed(reason: string): void;
}

export class Link {
  readonly #socket: Socket;
  readonly #owner: LinkOwner;
  readonly #websocket: WebSocketReader | null;
  readonly #connecting: NodeJS.Timeout;
  #reason: string | null = null;
  #over = false;

  constructor(transport: Transport, { host, port, ca }: Endpoint, owner: LinkOwner) {
    this.#owner = owner;
    this.#socket =
      ca === null
        ? connect({ host, port, noDelay: true })
        : connectTls({ host, port, ca, minVersion: 'TLSv1.2' });
    this.#socket.setNoDelay(true);
    const key = randomBytes(16).toString('base64');
    this.#websocket =
      transport !== 'ws'
        ? null
        : new WebSocketReader({
            ...{ key, mask: freshMask },
            onOpen: () => this.#opened(),
            onData: (bytes) => this.#deliver(bytes),
            onReply: (frame) => this.#socket.write(frame),
            onClose: (code, reason) => {
              this.#reason ??= `closed by the pool: ${code} ${reason}`;
              this.#socket.end();
            },
          });
    this.#connecting = setTimeout(() => this.#end('not connected in time'), CONNECT_WITHIN_MS);
    this.#socket.once(ca === null ? 'connect' : 'secureConnect', () => {
      if (this.#websocket === null) this.#opened();
      else this.#socket.write(handshakeRequest(`${host}:${port}`, WEBSOCKET_PATH, key));
    });
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#end(error.message));
    this.#socket.on('end', () => this.#end(this.#reason ?? 'closed by the pool'));
    this.#socket.on('close', () => this.#end(this.#reason ?? 'closed by the pool'));
  }

  /** Latin-1, one or more lines. */
  write(lines: string): void {
    if (this.#over) return;
    if (this.#websocket === null) this.#socket.write(lines, 'latin1');
    else this.#socket.write(textFrame(lines, freshMask()));
  }

  /** Reads nothing more until `resume`. */
  pause(): void {
    if (!this.#over) this.#socket.pause();
  }

  resume(): void {
    if (!this.#over) this.#socket.resume();
  }

  /** Ends it as a program does that is closed; the owner is not told. */
  hangUp(): void {
    if (this.#over) return;
    this.#letGo();
    if (this.#websocket !== null) this.#socket.write(closeFrame(NORMAL_CLOSURE, freshMask()));
    this.#socket.end();
    this.#socket.resume();
    setTimeout(() => this.#socket.destroy(), CONNECT_WITHIN_MS).unref();
  }

  /** Ends it as a pulled plug does; the owner is not told. */
  cut(): void {
    if (this.#over) return;
    this.#letGo();
    if ('encrypted' in this.#socket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  #opened(): void {
    clearTimeout(this.#connecting);
    if (!this.#over) this.#owner.onOpen();
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#websocket === null) {
      this.#owner.onBytes(chunk);
      return;
    }
    try {
      this.#websocket.push(chunk);
    } catch (error) {
      this.#end((error as Error).message);
    }
  }

  #deliver(bytes: Buffer): void {
    if (!this.#over) this.#owner.onBytes(bytes);
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#letGo();
    this.#socket.destroy();
    this.#owner.onClosed(reason);
  }

  #letGo(): void {
    this.#over = true;
    clearTimeout(this.#connecting);
  }
}

/** Need not be unpredictable here: no intermediary is to be protected (RFC 6455, section 10.3). */
function freshMask(): Uint8Array {
  const mask = Buffer.allocUnsafe(4);
  mask.writeUInt32LE(Math.floor(Math.random() * 2 ** 32));
  return mask;
}
