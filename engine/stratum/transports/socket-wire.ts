// A wire over a TCP or a TLS socket.
import type { Socket } from 'node:net';
import type { Wire, WireOwner } from '../wire.js';
import { type ByteSource, discard } from './byte-source.js';

/** A peer that does not take its last words, or does not hang up, loses its socket after this long. */
const LAST_WORDS_MS = 2000;

export class SocketWire implements Wire {
  readonly remote: string;
  readonly kind: 'tcp' | 'tls';
  readonly #source: ByteSource;
  readonly #socket: Socket;
  #owner: WireOwner | null = null;
  /** Ended by either side: nothing is written or delivered any more. */
  #over = false;
  #paused = false;
  #lastWords: NodeJS.Timeout | null = null;

  constructor(source: ByteSource, kind: 'tcp' | 'tls', remote: string) {
    this.#source = source;
    this.#socket = source.socket;
    this.kind = kind;
    this.remote = remote;
    this.#socket.on('error', () => this.#lost('connection_error'));
    this.#socket.on('end', () => {
      this.#lost('peer');
      // Node ends our half after what was written; a peer that does not take it must not keep its socket.
      this.#destroySoon();
    });
    this.#socket.on('close', () => {
      if (this.#lastWords !== null) clearTimeout(this.#lastWords);
      this.#lost('peer');
    });
  }

  /**
   * For the listener, in the turn in which the socket came.
   * @param first bytes that were read before there was an owner
   */
  start(owner: WireOwner, first: Buffer): void {
    if (this.#over) return;
    this.#owner = owner;
    this.#source.sink = (chunk) => owner.onBytes(chunk);
    if (first.length > 0) owner.onBytes(first);
  }

  write(text: string): void {
    if (!this.#over) this.#socket.write(text, 'latin1');
  }

  writeShared(bytes: Buffer): void {
    if (!this.#over) this.#socket.write(bytes);
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  end(last: string): void {
    if (this.#over) return;
    this.#letGo();
    this.#socket.end(last, 'latin1');
    this.#destroySoon();
    // What it still sends is read and thrown away: unread bytes would make the kernel answer with a reset, and the
    // reset would overtake the last words.
    this.#socket.resume();
  }

  destroy(): void {
    this.#letGo();
    this.#socket.destroy();
  }

  /** True once `end` or `destroy` was called or the peer left. */
  get over(): boolean {
    return this.#over;
  }

  #letGo(): void {
    this.#over = true;
    this.#owner = null;
    this.#source.sink = discard;
  }

  #lost(reason: string): void {
    const owner = this.#owner;
    this.#letGo();
    owner?.onClosed(reason);
  }

  #destroySoon(): void {
    this.#lastWords ??= setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS).unref();
  }
}
