// One connection of a miner: its wire, its session and what guards it. The connections (connections.ts) decide.
import { performance } from 'node:perf_hooks';
import type { Ticket } from './admission.js';
import { Conduct, FloodGuard } from './conduct.js';
import { LineReader } from './line-reader.js';
import { Outbox } from './outbox.js';
import type { Session } from './v1/session.js';
import type { Wire, WireOwner } from './wire.js';

const LINE_MAX_BYTES = 16 * 1024;

/** What a connection asks of those who own it. */
export interface ConnectionOwner {
  /** Wall clock microseconds. */
  nowUs(): number;
  /** Closes it from our side; `reason` is counted. */
  end(connection: Connection, reason: string): void;
  /** It is closed already. */
  gone(connection: Connection, reason: string): void;
  /** Its session threw, which is a fault of ours: a bad session dies alone. */
  failed(connection: Connection, error: unknown): void;
}

export class Connection implements WireOwner {
  readonly wire: Wire;
  readonly session: Session;
  readonly ticket: Ticket;
  readonly conduct = new Conduct();
  readonly guard = new FloodGuard(performance.now());
  readonly outbox = new Outbox();
  /** To be written at the end of the turn; Latin-1. */
  out = '';
  dirty = false;
  readonly #owner: ConnectionOwner;
  readonly #reader = new LineReader(LINE_MAX_BYTES);
  #requestsSeen = 0;
  #receivedUs = 0;

  constructor(owner: ConnectionOwner, wire: Wire, session: Session, ticket: Ticket) {
    this.#owner = owner;
    this.wire = wire;
    this.session = session;
    this.ticket = ticket;
  }

  onBytes(chunk: Buffer): void {
    const { session } = this;
    if (session.closed) return;
    this.#receivedUs = this.#owner.nowUs();
    try {
      if (!this.#reader.push(chunk, this.#onLine)) {
        this.#owner.end(this, 'line_too_long');
        return;
      }
      session.endOfInput();
    } catch (error) {
      this.#owner.failed(this, error);
      return;
    }
    if (session.otherRequests !== this.#requestsSeen) this.#countRequests();
  }

  onClosed(reason: string): void {
    this.#owner.gone(this, reason);
  }

  readonly #onLine = (line: Buffer): boolean => {
    this.session.handleLine(line, this.#receivedUs);
    return !this.session.closed;
  };

  #countRequests(): void {
    const now = performance.now();
    for (; this.#requestsSeen < this.session.otherRequests; this.#requestsSeen++) {
      if (this.guard.onRequest(now) === 'fine') continue;
      this.#owner.end(this, 'request_flood');
      return;
    }
  }
}
