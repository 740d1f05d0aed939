// Hears from a node that its best block has changed: a subscriber of its `hashblock` messages (-zmqpubhashblock).
// Only a hint: the template source asks the node before it believes anything, and finds every new tip without it.
//
// Spoken by ourselves over `node:net`, some 200 lines with zmtp.ts: the npm package `zeromq` is 34 MB of
// prebuilt binaries for what is one subscription without encryption.
// https://github.com/bitcoin/bitcoin/blob/master/doc/zmq.md
import { connect, type Socket } from 'node:net';
import { type Frame, FrameReader, greeting, subscriberReady, subscription, ZmtpError } from './zmtp.js';

export interface ZmqHintOptions {
  host: string;
  port: number;
  /** Hash of the node's new best block, display order, hex. Unverified. */
  onHint: (hash: string) => void;
  /** The subscription stands. */
  onConnected?: () => void;
  /** It does not any more, or could not be made; told for each attempt. It is tried again by itself. */
  onLost?: (reason: string) => void;
}

const TOPIC = 'hashblock';
const HASH_BYTES = 32;
/** Topic, hash, counter. More is another publisher. */
const MESSAGE_FRAMES_MAX = 8;
const HANDSHAKE_MS = 5000;
const KEEPALIVE_MS = 30_000;
const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 30_000;

/** Subscribes at once, and again after each loss, until closed. Never throws. */
export class ZmqHint {
  readonly #options: ZmqHintOptions;
  #socket: Socket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: ZmqHintOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Ends the subscription; nothing is told afterwards. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
  }

  #connect(): void {
    const { host, port } = this.#options;
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEPALIVE_MS,
    });
    this.#socket = socket;
    const reader = new FrameReader();
    let message: Buffer[] = [];
    let reason = 'the node closed the connection';
    const handshake = setTimeout(() => socket.destroy(new Error('no ZMTP handshake in time')), HANDSHAKE_MS);
    const take = (frame: Frame) => {
      if (frame.isCommand) {
        if (!isCommandNamed(frame.body, 'READY')) return;
        clearTimeout(handshake);
        this.#failures = 0;
        socket.write(subscription(TOPIC));
        if (!this.#closed) this.#options.onConnected?.();
        return;
      }
      message.push(frame.body);
      if (frame.hasMore) {
        if (message.length >= MESSAGE_FRAMES_MAX) throw new ZmtpError('a message of too many frames');
        return;
      }
      const [topic, hash] = message;
      message = [];
      if (topic?.toString('latin1') !== TOPIC || hash?.length !== HASH_BYTES) return;
      if (!this.#closed) this.#options.onHint(hash.toString('hex'));
    };
    // Each step waits for the peer's: libzmq closes a connection that runs ahead of the handshake.
    socket.on('connect', () => socket.write(greeting()));
    socket.on('data', (chunk) => {
      const wasGreeted = reader.isGreeted;
      try {
        const frames = reader.read(chunk);
        if (reader.isGreeted && !wasGreeted) socket.write(subscriberReady());
        for (const frame of frames) take(frame);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => {
      clearTimeout(handshake);
      if (this.#closed) return;
      this.#options.onLost?.(reason);
      const pauseMs = Math.min(BACKOFF_MS_MIN * 2 ** Math.min(this.#failures++, 10), BACKOFF_MS_MAX);
      this.#retry = setTimeout(() => this.#connect(), pauseMs);
    });
  }
}

/**
 * Where to subscribe, from an address of `getzmqnotifications`. It is what the node binds to: "any address" and
 * its own loopback mean the host that its RPC is on. Undefined when it is none over TCP.
 */
export function hintAddress(address: string, rpcHost: string): { host: string; port: number } | undefined {
  const match = /^tcp:\/\/(.+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) return undefined;
  const bound = (match[1] ?? '').replace(/^\[(.*)\]$/, '$1');
  const isOwn = ['*', '0.0.0.0', '::', 'localhost', '::1'].includes(bound) || bound.startsWith('127.');
  return { host: isOwn ? rpcHost : bound, port };
}

/** A command begins with the length of its name and the name. */
function isCommandNamed(body: Buffer, name: string): boolean {
  return body[0] === name.length && body.toString('latin1', 1, 1 + name.length) === name;
}
