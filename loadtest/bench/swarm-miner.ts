// One connection of the client. Its handshake is read with a JSON parser; after that it looks at bytes only:
// answers are found by scanReply, and a job that all connections get alike is parsed once for all of them.
import { connect, type Socket } from 'node:net';
import type { SwarmTarget } from './swarm-messages.js';
import { Reply, scanReply } from './swarm-reply.js';
import { type SubmitBook, SubmitLine } from './swarm-submit.js';

/** What a line of a pool may be long; a notify with a large coinbase stays below 40 kB. */
const LINE_MAX_BYTES = 256 * 1024;
const SUBSCRIBE_ID = 1;
const AUTHORIZE_ID = 2;
const LINE_FEED = 0x0a;

export interface SwarmJob {
  readonly id: string;
  readonly ntime: string;
  readonly clean: boolean;
}

/** What all connections share. */
export interface Swarm {
  readonly target: SwarmTarget;
  readonly book: SubmitBook;
  /** All sockets read into this one: what is in it is used before the next read. */
  readonly readBuffer: Buffer;
  readonly jobs: JobReader;
  /** Answered submits are followed by as many new ones. */
  closedLoop: boolean;
  onConnected(): void;
  onReady(): void;
  onAnswer(plannedMs: number, accepted: boolean): void;
  onRefusal(line: string): void;
  onCleanJob(miner: SwarmMiner): void;
  /** After each read of any connection. */
  onTurn(): void;
  onFailed(reason: string): void;
}

const reply = new Reply();

export class SwarmMiner {
  ready = false;
  /** Of the new tip that is measured. */
  gotCleanJob = false;
  readonly #swarm: Swarm;
  readonly #number: number;
  readonly #user: string;
  readonly #socket: Socket;
  #extranonce2Bytes = 0;
  #authorized = false;
  #job: SwarmJob | null = null;
  /** null until the first submit for a job. */
  #line: SubmitLine | null = null;
  /** Begin of a line whose end has not come. */
  #rest: Buffer | null = null;
  #left = false;

  constructor(swarm: Swarm, number: number) {
    this.#swarm = swarm;
    this.#number = number;
    const { host, port, user } = swarm.target;
    this.#user = `${user}.${number}`;
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: swarm.readBuffer,
        callback: (length) => {
          this.#read(length);
          return true;
        },
      },
    });
    this.#socket.once('connect', () => {
      swarm.onConnected();
      this.#request(SUBSCRIBE_ID, 'mining.subscribe', ['millrace-swarm/1']);
    });
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.on('close', () => this.#fail('the pool closed it'));
  }

  /** Sends new submits, each in a write of its own: a miner does not wait for its next share to send this one. */
  submit(count: number, plannedMs: number): void {
    const { book } = this.#swarm;
    for (let i = 0; i < count; i++) {
      this.#line ??= this.#lineOfJob();
      const line = this.#line;
      line.number(book.add(this.#number, plannedMs));
      this.#socket.write(line.bytes);
      // Not taken by the kernel at once: the bytes must stay as they are until it does.
      if (this.#socket.writableLength > 0) this.#line = null;
    }
  }

  /** Ends the connection by a reset: thousands of ports in TIME_WAIT would be missing in the next measurement. */
  leave(): void {
    this.#left = true;
    this.#socket.resetAndDestroy();
  }

  #read(length: number): void {
    const swarm = this.#swarm;
    let answered = 0;
    if (this.#rest === null) answered = this.#scan(swarm.readBuffer, length);
    else {
      const joined = Buffer.concat([this.#rest, swarm.readBuffer.subarray(0, length)]);
      this.#rest = null;
      answered = this.#scan(joined, joined.length);
    }
    if (answered > 0 && swarm.closedLoop) this.submit(answered, 0);
    swarm.onTurn();
  }

  /** Reads all complete lines; returns how many of them answered a submit. */
  #scan(bytes: Buffer, end: number): number {
    const swarm = this.#swarm;
    let answered = 0;
    for (let at = 0; at < end; ) {
      const next = this.ready ? scanReply(bytes, at, end, reply) : -1;
      if (next > 0) {
        const plannedMs = swarm.book.settle(reply.id, this.#number);
        if (Number.isNaN(plannedMs)) {
          this.#fail(`an answer to a submit that is not open: ${bytes.toString('latin1', at, next - 1)}`);
          return 0;
        }
        swarm.onAnswer(plannedMs, reply.accepted);
        if (!reply.accepted) swarm.onRefusal(bytes.toString('latin1', at, next - 1));
        answered++;
        at = next;
        continue;
      }
      const feed = bytes.indexOf(LINE_FEED, at);
      if (feed < 0 || feed >= end) {
        if (end - at > LINE_MAX_BYTES) this.#fail('a line of the pool has no end');
        // A copy: the next read overwrites the buffer.
        this.#rest = Buffer.from(bytes.subarray(at, end));
        break;
      }
      this.#message(bytes.subarray(at, feed));
      at = feed + 1;
    }
    return answered;
  }

  #message(line: Buffer): void {
    const job = this.#swarm.jobs.read(line);
    if (job !== null) {
      this.#job = job;
      this.#line = null;
      if (job.clean) this.#swarm.onCleanJob(this);
    } else if (!this.ready) {
      this.#handshake(line.toString('utf8'));
    }
    if (!this.ready && this.#authorized && this.#job !== null) {
      this.ready = true;
      this.#swarm.onReady();
    }
  }

  #handshake(text: string): void {
    const { id, result, error } = JSON.parse(text) as { id?: unknown; result?: unknown; error?: unknown };
    if (id === SUBSCRIBE_ID) {
      const [, , extranonce2Bytes] = Array.isArray(result) ? (result as unknown[]) : [];
      if (typeof extranonce2Bytes !== 'number') this.#fail(`mining.subscribe is answered ${text}`);
      else {
        this.#extranonce2Bytes = extranonce2Bytes;
        this.#request(AUTHORIZE_ID, 'mining.authorize', [this.#user, 'x']);
      }
    } else if (id === AUTHORIZE_ID) {
      if (result === true) this.#authorized = true;
      else this.#fail(`mining.authorize is answered ${JSON.stringify(error ?? result)}`);
    }
  }

  #lineOfJob(): SubmitLine {
    const { id, ntime } = this.#job as SwarmJob;
    return new SubmitLine(this.#user, id, this.#extranonce2Bytes, ntime);
  }

  #request(id: number, method: string, params: readonly string[]): void {
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
  }

  #fail(reason: string): void {
    if (this.#left) return;
    this.leave();
    this.#swarm.onFailed(`connection ${this.#number}: ${reason}`);
  }
}

/** Reads mining.notify. Remembers the last one: pools that serialise a job once send the same bytes to all. */
export class JobReader {
  #lastLine: Buffer = Buffer.alloc(0);
  #lastJob: SwarmJob | null = null;

  /** The job of a line, null when it is another message. Throws SyntaxError when it is no JSON. */
  read(line: Buffer): SwarmJob | null {
    if (this.#lastJob !== null && line.equals(this.#lastLine)) return this.#lastJob;
    if (!line.includes('"mining.notify"') || !line.includes('"params"')) return null;
    const { method, params } = JSON.parse(line.toString('utf8')) as { method?: unknown; params?: unknown };
    if (method !== 'mining.notify' || !Array.isArray(params)) return null;
    const [id, , , , , , , ntime, clean] = params as unknown[];
    if (typeof id !== 'string' || typeof ntime !== 'string') return null;
    this.#lastLine = Buffer.from(line);
    this.#lastJob = { id, ntime, clean: clean === true };
    return this.#lastJob;
  }
}
