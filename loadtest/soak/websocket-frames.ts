// WebSocket from the client's side, as much as a miner needs: the opening handshake, masked text frames out, messages
// in. RFC 6455, sections 4.1, 5.2 and 5.5: https://www.rfc-editor.org/rfc/rfc6455. Pure: bytes in, bytes out.
import { hash } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const HEAD_END = '\r\n\r\n';
const HEAD_MAX_BYTES = 8192;
/** A pool sends lines of some kilobytes. */
const PAYLOAD_MAX_BYTES = 1024 * 1024;
const FIN = 0x80;
const MASKED = 0x80;
const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** The server broke the protocol; the connection is to be ended. */
export class WebSocketError extends Error {}

/** @param key 16 random bytes in base64 */
export function handshakeRequest(host: string, path: string, key: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    `Sec-WebSocket-Version: 13${HEAD_END}`,
  ].join('\r\n');
}

/** A text frame. @param mask 4 bytes */
export function textFrame(text: string, mask: Uint8Array): Buffer {
  return frame(OPCODE.text, Buffer.from(text, 'latin1'), mask);
}

/** @param mask 4 bytes */
export function closeFrame(code: number, mask: Uint8Array): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame(OPCODE.close, payload, mask);
}

function frame(opcode: number, payload: Buffer, mask: Uint8Array): Buffer {
  const extended = payload.length < 126 ? 0 : payload.length < 0x10000 ? 2 : 8;
  const bytes = Buffer.alloc(2 + extended + 4 + payload.length);
  bytes[0] = FIN | opcode;
  bytes[1] = MASKED | (extended === 0 ? payload.length : extended === 2 ? 126 : 127);
  if (extended === 2) bytes.writeUInt16BE(payload.length, 2);
  if (extended === 8) bytes.writeBigUInt64BE(BigInt(payload.length), 2);
  bytes.set(mask, 2 + extended);
  const at = 6 + extended;
  for (let i = 0; i < payload.length; i++) {
    bytes[at + i] = (payload[i] as number) ^ (mask[i & 3] as number);
  }
  return bytes;
}

export interface WebSocketReaderOptions {
  /** As sent in the handshake. */
  readonly key: string;
  /** 4 bytes for each frame that must be answered. */
  readonly mask: () => Uint8Array;
  readonly onOpen: () => void;
  /** Payload of a text or binary message or of a part of it; valid during the call. */
  readonly onData: (bytes: Buffer) => void;
  /** To be written: pong, or the echo of a close. */
  readonly onReply: (frame: Buffer) => void;
  /** The server closes; its close frame is answered. */
  readonly onClose: (code: number, reason: string) => void;
}

export class WebSocketReader {
  readonly #options: WebSocketReaderOptions;
  #held: Buffer = Buffer.alloc(0);
  #open = false;

  constructor(options: WebSocketReaderOptions) {
    this.#options = options;
  }

  /** @throws WebSocketError; the reader must not be used after that */
  push(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    if (!this.#open && !this.#readHead()) return;
    while (this.#readFrame());
  }

  #readHead(): boolean {
    const end = this.#held.indexOf(HEAD_END);
    if (end < 0) {
      if (this.#held.length > HEAD_MAX_BYTES) throw new WebSocketError('the answer has no end');
      return false;
    }
    const [status = '', ...headers] = this.#held.toString('latin1', 0, end).split('\r\n');
    if (!/^HTTP\/1\.1 101 /.test(status)) throw new WebSocketError(`the server answered "${status}"`);
    const accept = headers
      .find((header) => /^sec-websocket-accept:/i.test(header))
      ?.split(':')[1]
      ?.trim();
    if (accept !== hash('sha1', this.#options.key + GUID, 'base64')) {
      throw new WebSocketError('the answer is to another handshake');
    }
    this.#held = this.#held.subarray(end + HEAD_END.length);
    this.#open = true;
    this.#options.onOpen();
    return true;
  }

  #readFrame(): boolean {
    const held = this.#held;
    if (held.length < 2) return false;
    const [first = 0, second = 0] = held;
    if ((second & MASKED) !== 0) throw new WebSocketError('a server must not mask its frames');
    const short = second & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (held.length < 2 + extended) return false;
    const length =
      extended === 0 ? short : extended === 2 ? held.readUInt16BE(2) : Number(held.readBigUInt64BE(2));
    if (length > PAYLOAD_MAX_BYTES) throw new WebSocketError(`a frame of ${length} bytes`);
    const end = 2 + extended + length;
    if (held.length < end) return false;
    const payload = held.subarray(2 + extended, end);
    this.#held = held.subarray(end);
    this.#take(first & 0x0f, payload);
    return true;
  }

  #take(opcode: number, payload: Buffer): void {
    const { onData, onReply, onClose, mask } = this.#options;
    switch (opcode) {
      case OPCODE.continuation:
      case OPCODE.text:
      case OPCODE.binary:
        onData(payload);
        return;
      case OPCODE.ping:
        onReply(frame(OPCODE.pong, payload, mask()));
        return;
      case OPCODE.pong:
        return;
      case OPCODE.close: {
        const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
        onReply(frame(OPCODE.close, payload.subarray(0, 2), mask()));
        onClose(code, payload.toString('utf8', 2));
        return;
      }
      default:
        throw new WebSocketError(`a frame of unknown kind ${opcode}`);
    }
  }
}
