// A publisher of `hashblock` messages that can be made to misbehave; the real one is tested in
// test/integration/bitcoind.test.ts.
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { encodeFrame, FrameReader, GREETING_BYTES, greeting } from '../../engine/node/zmtp.js';
import { until } from './node-scripted-rpc.js';

const READY = Buffer.from('\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB', 'latin1');

export class ZmqPublisher {
  /** Topics of the subscriptions that stand. */
  readonly topics: string[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#serve(socket));
  readonly #opening: Buffer;

  /** `opening`: what each subscriber gets first instead of greeting and READY. */
  constructor(opening?: Buffer) {
    this.#opening =
      opening ?? Buffer.concat([greeting(), encodeFrame({ isCommand: true, hasMore: false, body: READY })]);
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Sends `bytes` as they are to everybody connected. */
  send(bytes: Buffer): void {
    for (const socket of this.#sockets) socket.write(bytes);
  }

  /** One message, as the node sends it: topic, hash in display order, counter. */
  publish(topic: string, hash: string): void {
    const bodies = [Buffer.from(topic), Buffer.from(hash, 'hex'), Buffer.alloc(4)];
    this.send(
      Buffer.concat(
        bodies.map((body, at) => encodeFrame({ isCommand: false, hasMore: at < bodies.length - 1, body })),
      ),
    );
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  subscribed(count: number): Promise<void> {
    return until(() => this.topics.length === count);
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.write(this.#opening);
    const reader = new FrameReader();
    socket.on('data', (chunk) => {
      for (const { isCommand, body } of reader.read(chunk)) {
        if (!isCommand && body[0] === 1) this.topics.push(body.toString('latin1', 1));
      }
    });
  }
}

/** A greeting with one byte replaced. */
export function greetingWith(at: number, byte: number): Buffer {
  const bytes = greeting();
  if (at >= GREETING_BYTES) throw new RangeError(`byte ${at} of a greeting`);
  bytes[at] = byte;
  return bytes;
}
