// From whom is read now. A peer is not read while it leaves its answers lying, while it has too many shares in judgement,
// or while all peers together have: then shares wait in the sockets, where they cost their senders' memory, and no share
// of anybody finds the rings of the hash workers full. Called for each packet and each write, never for each share.
//
// The shares of all are counted by what each connection has in flight when it is looked at: before its bytes are
// handled and after its answers are written. That is every time the number changes.
import { SHARE_SLOTS } from '../../wasm/slots.js';
import type { Connection } from './connection.js';
import { UNSENT_MARK_BYTES } from './outbox.js';

/** Shares of one connection in judgement beyond which it is not read. */
export const IN_FLIGHT_MAX = 1024;
/** The same for all connections of the thread. What one slice of bytes holds comes on top. */
export const ALL_IN_FLIGHT_MAX = SHARE_SLOTS / 2;

export class BackPressure {
  /** Set while the thread drains: nobody is read any more. */
  stopped = false;
  #inFlight = 0;
  /** Not read for the sake of all: nothing of their own will wake them. */
  readonly #crowdedOut = new Set<Connection>();

  /** Asked before bytes of the peer are handled. False: they must wait, and the wire is paused. */
  mayRead(connection: Connection): boolean {
    this.#count(connection);
    const { session, out, wire } = connection;
    const crowded = this.#inFlight >= ALL_IN_FLIGHT_MAX;
    if (!crowded && session.inFlight < IN_FLIGHT_MAX && out.length <= UNSENT_MARK_BYTES) return true;
    if (crowded) this.#crowdedOut.add(connection);
    wire.pause();
    return false;
  }

  /** To be called after answers were written to it. */
  regulate(connection: Connection): void {
    this.#count(connection);
    const { wire, outbox } = connection;
    const { unsentBytes } = wire;
    if (!wire.paused) {
      if (outbox.shouldPause(unsentBytes)) wire.pause();
      // Well below the mark, or each answer would toggle the reader.
    } else if (outbox.shouldResume(unsentBytes) && this.#hasRoom(connection)) {
      connection.readOn();
    }
  }

  /**
   * To be called about once a second, when nothing was written. Here a reader goes on below the mark itself: a peer that
   * stopped reading short of it would be neither read nor over the mark, and never be dropped.
   */
  look(connection: Connection): void {
    this.#count(connection);
    const { wire, outbox } = connection;
    const mayResume = wire.paused && !outbox.shouldPause(wire.unsentBytes);
    if (mayResume && this.#hasRoom(connection)) connection.readOn();
  }

  /** To be called when answers were written: who waited for the others may go on. */
  wake(): void {
    if (this.#crowdedOut.size === 0 || this.#inFlight >= ALL_IN_FLIGHT_MAX / 2) return;
    const waiting = [...this.#crowdedOut];
    this.#crowdedOut.clear();
    for (const connection of waiting) {
      if (this.#inFlight >= ALL_IN_FLIGHT_MAX / 2) this.#crowdedOut.add(connection);
      else if (!connection.session.closed) this.regulate(connection);
    }
  }

  /** The connection is closed. */
  forget(connection: Connection): void {
    this.#crowdedOut.delete(connection);
    this.#inFlight -= connection.inFlightCounted;
    connection.inFlightCounted = 0;
  }

  #hasRoom({ session }: Connection): boolean {
    const own = session.inFlight < IN_FLIGHT_MAX / 2;
    return own && this.#inFlight < ALL_IN_FLIGHT_MAX / 2 && !this.stopped;
  }

  #count(connection: Connection): void {
    const { inFlight } = connection.session;
    this.#inFlight += inFlight - connection.inFlightCounted;
    connection.inFlightCounted = inFlight;
  }
}
