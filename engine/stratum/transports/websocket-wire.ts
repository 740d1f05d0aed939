// A wire over a WebSocket of uWebSockets.js.
import type { UwsWebSocket } from '../../uws.js';
import type { Wire, WireOwner } from '../wire.js';
import { canonicalAddress } from './peer-address.js';

export const MESSAGE_MAX_BYTES = 16 * 1024;
/** What a paused wire keeps: the library cannot stop reading, so who sends more than this meanwhile is cut. */
export const HELD_MAX_BYTES = 64 * 1024;
const LAST_WORDS_MS = 2000;
const LINE_FEED = 0x0a;

/** Close codes of RFC 6455, section 7.4, and of the IANA registry. */
const CODE_NORMAL = 1000;
const CODE_POLICY = 1008;
const CODE_TRY_AGAIN_LATER = 1013;
const CODE_CUT_OFF = 1006;

/** A message without line end gets one here; one for the thread, as a message is handled before the next. */
const scratch = Buffer.allocUnsafeSlow(MESSAGE_MAX_BYTES + 1);

export class WebSocketWire implements Wire {
  readonly kind = 'ws';
  readonly remote: string;
  /** Null once the library has closed it: to touch it then throws. */
  #ws: UwsWebSocket<unknown> | null;
  #owner: WireOwner | null = null;
  /** Ended by either side: nothing is written or delivered any more. */
  #over = false;
  #closeCode: number | null = null;
  #closeReason = '';
  #paused = false;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(ws: UwsWebSocket<unknown>) {
    this.#ws = ws;
    this.remote = canonicalAddress(Buffer.from(ws.getRemoteAddressAsText()).toString('latin1'));
  }

  start(owner: WireOwner): void {
    if (!this.#over) this.#owner = owner;
  }

  /** The pool has no place for it. */
  refuse(): void {
    if (!this.#over) this.#closeAfter('', CODE_TRY_AGAIN_LATER, 'try again later');
  }

  write(text: string): void {
    if (!this.#over) this.#ws?.send(Buffer.from(text, 'latin1'), false);
  }

  writeShared(bytes: Buffer): void {
    if (!this.#over) this.#ws?.send(bytes, false);
  }

  get unsentBytes(): number {
    return this.#ws?.getBufferedAmount() ?? 0;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // As on a socket: what waited comes in a turn of its own, not inside this call.
    if (this.#held.length > 0) setImmediate(() => this.#release());
  }

  end(last: string): void {
    if (!this.#over) this.#closeAfter(last, CODE_NORMAL, 'closed by the pool');
  }

  destroy(): void {
    this.#letGo();
    this.#ws?.close();
  }

  /** @param message one or more lines; only valid during the call */
  received(message: ArrayBuffer): void {
    if (this.#owner === null || message.byteLength === 0) return;
    const bytes = asLines(Buffer.from(message));
    if (this.#paused || this.#held.length > 0) this.#hold(bytes);
    else this.#owner.onBytes(bytes);
  }

  drained(): void {
    if (this.#closeCode !== null) this.#closeWhenSent();
  }

  closed(code: number, reason: string): void {
    this.#ws = null;
    const owner = this.#owner;
    this.#letGo();
    owner?.onClosed(
      code !== CODE_CUT_OFF ? 'peer' : reason.includes('timed out') ? 'idle' : 'connection_error',
    );
  }

  #hold(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes <= HELD_MAX_BYTES) {
      this.#held.push(Buffer.from(bytes));
      return;
    }
    const owner = this.#owner;
    this.#closeAfter('', CODE_POLICY, 'more sent than can wait');
    owner?.onClosed('flood');
  }

  #release(): void {
    while (!this.#paused && this.#owner !== null) {
      const bytes = this.#held.shift();
      if (bytes === undefined) return;
      this.#heldBytes -= bytes.length;
      this.#owner.onBytes(bytes);
    }
  }

  #closeAfter(last: string, code: number, reason: string): void {
    if (last !== '') this.write(last);
    this.#letGo();
    this.#closeCode = code;
    this.#closeReason = reason;
    setTimeout(() => this.#ws?.close(), LAST_WORDS_MS).unref();
    // Inside a handler of the library nothing has been sent yet: look afterwards.
    setImmediate(() => this.#closeWhenSent());
  }

  /** The library's own `end` would wait for a peer that does not read as long as the peer likes. */
  #closeWhenSent(): void {
    if (this.#ws === null || this.#closeCode === null || this.#ws.getBufferedAmount() > 0) return;
    this.#ws.end(this.#closeCode, this.#closeReason);
  }

  #letGo(): void {
    this.#over = true;
    this.#owner = null;
    this.#held = [];
    this.#heldBytes = 0;
  }
}

function asLines(message: Buffer): Buffer {
  if (message[message.length - 1] === LINE_FEED) return message;
  message.copy(scratch);
  scratch[message.length] = LINE_FEED;
  return scratch.subarray(0, message.length + 1);
}
