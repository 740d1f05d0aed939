// One connection of a miner: its wire, its session and what guards it. The connections (connections.ts) decide.
import { performance } from 'node:perf_hooks';
import type { Ticket } from './admission.js';
import { Conduct, FloodGuard } from './conduct.js';
import { LineReader } from './line-reader.js';
import { Outbox } from './outbox.js';
import type { Session } from './v1/session.js';
import type { Wire, WireOwner } from './wire.js';

const LINE_MAX_BYTES = 16 * 1024;
/** Bytes handled before the limits are looked at again: about 40 submits. Most reads bring less. */
const SLICE_BYTES = 4096;
const NOTHING: Buffer = Buffer.alloc(0);

/** What a connection asks of those who own it. */
export interface ConnectionOwner {
  /** Wall clock microseconds. */
  nowUs(): number;
  /** Asked before its bytes are handled; false: they must wait for `readOn`. */
  mayRead(connection: Connection): boolean;
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
  /** For BackPressure: shares in flight when it last looked. */
  inFlightCounted = 0;
  readonly #owner: ConnectionOwner;
  readonly #reader = new LineReader(LINE_MAX_BYTES);
  #requestsSeen = 0;
  #receivedUs = 0;
  /** Read and not handled yet: less than one read of the wire, which is paused meanwhile. */
  #held = NOTHING;

  constructor(owner: ConnectionOwner, wire: Wire, session: Session, ticket: Ticket) {
    this.#owner = owner;
    this.wire = wire;
    this.session = session;
    this.ticket = ticket;
  }

  onBytes(chunk: Buffer): void {
    this.#receivedUs = this.#owner.nowUs();
    try {
      for (let at = 0; at < chunk.length && !this.session.closed; at += SLICE_BYTES) {
        if (!this.#owner.mayRead(this)) {
          this.#held = Buffer.from(chunk.subarray(at));
          return;
        }
        this.#handle(chunk.length <= SLICE_BYTES ? chunk : chunk.subarray(at, at + SLICE_BYTES));
      }
      this.session.endOfInput();
    } catch (error) {
      this.#owner.failed(this, error);
    }
  }

  /** Handles what had to wait; the wire is read again once nothing waits any more. */
  readOn(): void {
    const held = this.#held;
    this.#held = NOTHING;
    if (held.length > 0) this.onBytes(held);
    if (this.#held.length === 0 && !this.session.closed) this.wire.resume();
  }

  onClosed(reason: string): void {
    this.#owner.gone(this, reason);
  }

  #handle(bytes: Buffer): void {
    if (!this.#reader.push(bytes, this.#onLine)) this.#owner.end(this, 'line_too_long');
    else if (this.session.otherRequests !== this.#requestsSeen) this.#countRequests();
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
