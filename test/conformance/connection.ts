// One connection to the pool under test. Sends exactly the bytes a case asks for, keeps every line that comes
// back, and waits for lines within a time. Judges nothing by itself.
import { connect, type Socket } from 'node:net';
import { LineReader } from '../../loadtest/line-reader.js';
import { CaseFailure, cut } from './expectation.js';
import type { Transcript } from './transcript.js';

/** A line of the pool. */
export interface Received {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  readonly line: string;
  /** null when the line is not a JSON object. */
  readonly message: Readonly<Record<string, unknown>> | null;
}

/** An answer of the pool. */
export interface Reply {
  readonly line: string;
  readonly result: unknown;
  /** As sent. */
  readonly error: unknown;
  /** null where there is no error; NaN where the error carries no number. */
  readonly code: number | null;
}

/** A request that a case sent and that is JSON, for the rules that look at whole connections. */
export interface Sent {
  readonly atMs: number;
  readonly message: Readonly<Record<string, unknown>>;
}

export interface Address {
  readonly host: string;
  readonly port: number;
  /** Longest wait for a connection or a line. */
  readonly timeoutMs: number;
}

export class Connection {
  readonly number: number;
  readonly received: Received[] = [];
  readonly sent: Sent[] = [];
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #transcript: Transcript;
  readonly #lines = new LineReader();
  readonly #waiting = new Set<() => void>();
  #onLine: (received: Received) => void = () => {};
  #closed: string | null = null;
  #closedAtMs = 0;
  #nextId = 1;

  private constructor(number: number, socket: Socket, timeoutMs: number, transcript: Transcript) {
    this.number = number;
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#transcript = transcript;
    transcript.add(number, 'opened', 'connected');
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('closed by the pool'));
  }

  /** @throws CaseFailure when the pool does not take the connection in time */
  static open(address: Address, number: number, transcript: Transcript): Promise<Connection> {
    const { host, port, timeoutMs } = address;
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      const give = (got: string): void => {
        socket.destroy();
        reject(new CaseFailure(`a connection to ${host}:${port}`, got));
      };
      const tooLong = setTimeout(() => give(`nothing within ${timeoutMs} ms`), timeoutMs);
      const failed = (error: Error): void => {
        clearTimeout(tooLong);
        give(error.message);
      };
      socket.once('error', failed);
      socket.once('connect', () => {
        clearTimeout(tooLong);
        socket.off('error', failed);
        resolve(new Connection(number, socket, timeoutMs, transcript));
      });
    });
  }

  /** Why the connection is over; null while it is open. */
  get closed(): string | null {
    return this.#closed;
  }

  /** Monotonic milliseconds at which it was over, now while it is open. */
  get endMs(): number {
    return this.#closed === null ? performance.now() : this.#closedAtMs;
  }

  /** Who looks at each line as it arrives, before anything that waits for it. */
  set onLine(look: (received: Received) => void) {
    this.#onLine = look;
  }

  newId(): number {
    return this.#nextId++;
  }

  /** Sends lines in one packet, each ended by `end`. */
  send(lines: readonly string[], end = '\n'): void {
    for (const line of lines) this.#note(line);
    this.#write(Buffer.from(lines.map((line) => line + end).join('')));
  }

  /** Sends bytes as they are, in one packet. */
  sendBytes(bytes: Uint8Array): void {
    this.#note(Buffer.from(bytes).toString('latin1'));
    this.#write(bytes);
  }

  /** Sends one line, one byte a packet. */
  async sendByteByByte(line: string): Promise<void> {
    this.#note(line);
    for (const byte of Buffer.from(`${line}\n`)) {
      this.#write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sends a request under a new id and waits for its reply. */
  request(method: string, params: unknown): Promise<Reply> {
    const id = this.newId();
    const from = this.received.length;
    this.send([JSON.stringify({ id, method, params })]);
    return this.reply(id, from, method);
  }

  /**
   * Waits for the reply with that id.
   * @param from index into `received` at which to start looking
   */
  async reply(id: number | string | null, from: number, what: string): Promise<Reply> {
    const { line, message } = await this.next(
      `a reply to ${what}`,
      ({ message }) => isReply(message) && message.id === id,
      from,
    );
    return readReply(line, message ?? {});
  }

  /** Waits for the next line that matches. @throws CaseFailure when none comes in time */
  async next(
    what: string,
    matches: (received: Received) => boolean,
    from: number,
    withinMs = this.#timeoutMs,
  ): Promise<Received> {
    let at = from;
    let found: Received | undefined;
    const look = (): boolean => {
      while (found === undefined && at < this.received.length) {
        const received = this.received[at++] as Received;
        if (matches(received)) found = received;
      }
      return found !== undefined || this.#closed !== null;
    };
    await this.#until(look, withinMs);
    if (found !== undefined) return found;
    const last = this.received.length > from ? `, last ${cut(this.received.at(-1)?.line ?? '')}` : '';
    const got = this.#closed === null ? `none in ${withinMs} ms` : `the connection ended: ${this.#closed}`;
    throw new CaseFailure(what, got + last);
  }

  /** Waits until any reply or the end of the connection. @returns the line, or null when it was closed */
  async replyOrClose(from: number): Promise<string | null> {
    const found = (): Received | undefined =>
      this.received.slice(from).find(({ message }) => isReply(message));
    await this.#until(() => found() !== undefined || this.#closed !== null, this.#timeoutMs);
    const reply = found();
    if (reply !== undefined) return reply.line;
    if (this.#closed !== null) return null;
    throw new CaseFailure('an answer or the end of the connection', `silence for ${this.#timeoutMs} ms`);
  }

  /** Waits until the pool closed the connection. @returns whether it did */
  async untilClosed(withinMs = this.#timeoutMs): Promise<boolean> {
    await this.#until(() => this.#closed !== null, withinMs);
    return this.#closed !== null;
  }

  /** Ends the connection from this side. */
  close(): void {
    this.#end('closed by the suite');
  }

  #write(bytes: Uint8Array): void {
    if (this.#closed === null) this.#socket.write(bytes);
  }

  #note(line: string): void {
    this.#transcript.add(this.number, 'sent', line);
    try {
      const message: unknown = JSON.parse(line);
      if (isObject(message)) this.sent.push({ atMs: performance.now(), message });
    } catch {
      // Malformed on purpose: there is no request in it that the pool could answer twice.
    }
  }

  #take(chunk: Uint8Array): void {
    try {
      this.#lines.push(chunk, (line) => this.#takeLine(line));
    } catch (error) {
      this.#end((error as Error).message);
    }
    for (const look of this.#waiting) look();
  }

  #takeLine(line: string): void {
    if (this.#closed !== null) return;
    this.#transcript.add(this.number, 'received', line);
    let message: unknown = null;
    try {
      message = JSON.parse(line);
    } catch {
      // A rule of its own looks for such lines.
    }
    const received = { atMs: performance.now(), line, message: isObject(message) ? message : null };
    this.received.push(received);
    this.#onLine(received);
  }

  async #until(holds: () => boolean, withinMs: number): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (holds()) done();
      };
      const timer = setTimeout(done, withinMs);
      this.#waiting.add(look);
    });
  }

  #end(reason: string): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#closedAtMs = performance.now();
    this.#transcript.add(this.number, 'closed', reason);
    this.#socket.destroy();
    for (const look of this.#waiting) look();
  }
}

export function isReply(
  message: Readonly<Record<string, unknown>> | null,
): message is Readonly<Record<string, unknown>> {
  return message !== null && typeof message.method !== 'string';
}

function readReply(line: string, message: Readonly<Record<string, unknown>>): Reply {
  const { result, error } = message;
  if (error === null || error === undefined) return { line: cut(line), result, error: null, code: null };
  const code = Array.isArray(error) ? error[0] : (error as { code?: unknown }).code;
  return { line: cut(line), result, error, code: typeof code === 'number' ? code : Number.NaN };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
