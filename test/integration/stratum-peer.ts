// The miner's end of a Stratum connection over TCP, TLS or WebSocket, made of plain sockets: it can do what no library
// lets a client do (a byte at a time, no reading, a reset in the middle).
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export type PeerKind = 'tcp' | 'tls' | 'ws' | 'wss';

const OPCODE_TEXT = 1;
const OPCODE_CLOSE = 8;

export class Peer {
  readonly socket: Socket;
  readonly #framed: boolean;
  /** What came, without frames. */
  text = '';
  /** Of the server's close frame. */
  closeCode: number | null = null;
  error: Error | null = null;
  closed = false;
  #undecoded = Buffer.alloc(0);
  #onChange: () => void = () => {};

  constructor(socket: Socket, framed: boolean) {
    this.socket = socket;
    this.#framed = framed;
    socket.on('data', (chunk: Buffer) => {
      if (framed) this.#decode(chunk);
      else this.text += chunk.toString('latin1');
      this.#onChange();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#onChange();
    });
  }

  /** One write; over WebSocket one message. */
  send(text: string): void {
    this.socket.write(this.encode(text));
  }

  encode(text: string): Buffer {
    const payload = Buffer.from(text, 'latin1');
    return this.#framed ? frame(OPCODE_TEXT, payload) : payload;
  }

  sendClose(code: number): void {
    this.socket.write(frame(OPCODE_CLOSE, Buffer.from([code >>> 8, code & 255])));
  }

  /** Resolves when `wanted` holds; it is asked again whenever something came or the connection closed. */
  async until(wanted: () => boolean): Promise<void> {
    while (!wanted()) {
      if (this.closed)
        throw new Error(`the connection closed first; got ${JSON.stringify(this.text.slice(-200))}`);
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
  }

  async untilClosed(): Promise<void> {
    if (!this.closed) await once(this.socket, 'close');
  }

  #decode(chunk: Buffer): void {
    this.#undecoded = Buffer.concat([this.#undecoded, chunk]);
    for (;;) {
      const bytes = this.#undecoded;
      if (bytes.length < 2) return;
      const short = bytes.readUInt8(1) & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < head) return;
      const length =
        short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
      if (bytes.length < head + length) return;
      const payload = bytes.subarray(head, head + length);
      const opcode = bytes.readUInt8(0) & 0x0f;
      if (opcode === OPCODE_CLOSE) this.closeCode = payload.readUInt16BE(0);
      else if (opcode <= 2) this.text += payload.toString('latin1');
      this.#undecoded = bytes.subarray(head + length);
    }
  }
}

/** A client's frame: whole message, masked. RFC 6455, section 5.2. */
export function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head =
    length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.alloc(length < 65_536 ? 4 : 10);
  if (length >= 126) {
    head.writeUInt8(0x80 | opcode, 0);
    head.writeUInt8(0x80 | (length < 65_536 ? 126 : 127), 1);
    if (length < 65_536) head.writeUInt16BE(length, 2);
    else head.writeBigUInt64BE(BigInt(length), 2);
  }
  const mask = randomBytes(4);
  const masked = Buffer.from(payload);
  for (let at = 0; at < length; at++) masked.writeUInt8(masked.readUInt8(at) ^ mask.readUInt8(at & 3), at);
  return Buffer.concat([head, mask, masked]);
}

export async function connectPeer(
  kind: PeerKind,
  port: number,
  { host = '127.0.0.1', path = '/stratum' }: { host?: string; path?: string } = {},
): Promise<Peer> {
  const secure = kind === 'tls' || kind === 'wss';
  const socket = secure
    ? connectTls({ host, port, rejectUnauthorized: false })
    : connectTcp({ host, port, noDelay: true });
  await once(socket, secure ? 'secureConnect' : 'connect');
  if (secure) socket.setNoDelay(true);
  if (kind === 'tcp' || kind === 'tls') return new Peer(socket, false);
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: pool\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
  );
  return new Promise((resolve, reject) => {
    let head = '';
    const onHead = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onHead);
      socket.pause();
      if (!head.startsWith('HTTP/1.1 101')) {
        reject(new Error(head));
        return;
      }
      socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'));
      resolve(new Peer(socket, true));
      socket.resume();
    };
    socket.on('data', onHead);
    socket.once('error', reject);
  });
}

/** Common name of the certificate that the server shows. */
export async function certificateName(port: number): Promise<string> {
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}
