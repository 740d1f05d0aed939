// One miner's connection to a pool, Stratum V1 over TCP: configure, subscribe, authorize, submit, and
// everything a pool may send by itself. Each job is bound to the difficulty and extranonce that were in
// force when it arrived; each answer goes into the miner's ledger. Used by `sim-miner.ts` and tests.
// Protocol as spoken by ckpool and firmware, extensions by
// https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki
import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { bytesToHex } from '../engine/bitcoin/hex.js';
import { targetFromDifficulty, targetToBytesLE } from '../engine/bitcoin/target.js';
import { LineReader } from './line-reader.js';
import {
  type HeaderChoice,
  hexField,
  type MiningJob,
  parseNotify,
  wordField,
  wordHex,
} from './mining-job.js';
import type { ShareLedger } from './share-ledger.js';

export const REQUEST_TIMEOUT_MS = 10_000;
export const SUBMITS_IN_FLIGHT_MAX = 64;

/** Texts of a pool are cut to this many characters before they are kept or shown. */
const POOL_TEXT_MAX = 200;

/** How often overdue requests are looked for, as a part of the time a request may take. */
const OVERDUE_CHECKS_PER_TIMEOUT = 8;

export interface StratumClientOptions {
  readonly host: string;
  readonly port: number;
  readonly userAgent: string;
  /** Where the pool's answers are counted; outlives the connection. */
  readonly ledger: ShareLedger;
  /** A request unanswered for so long ends the connection, as firmware does; default 10 s. */
  readonly requestTimeoutMs?: number;
  /** Most shares sent and not yet answered; default 64. */
  readonly submitsInFlightMax?: number;
  /** Monotonic milliseconds; default `performance.now`. */
  readonly clockMs?: () => number;
}

export type SubmitAnswer =
  | { readonly outcome: 'accepted' }
  | { readonly outcome: 'rejected'; readonly code: number; readonly message: string }
  | { readonly outcome: 'unanswered' };

export interface StratumClientEvents {
  job: [job: MiningJob];
  /** A new difficulty; it holds for the jobs that follow. */
  difficulty: [difficulty: number];
  versionMask: [mask: number];
  /** The pool gave another extranonce; it holds for the jobs that follow. */
  extranonce: [];
  /** Something the pool sent makes no sense; the connection goes on. */
  fault: [what: string];
  /** `client.show_message`. */
  message: [text: string];
  /** The connection is over, for whichever reason; comes once. */
  close: [reason: string];
}

type Answer =
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'error'; readonly code: number; readonly message: string }
  | { readonly kind: 'lost'; readonly reason: string };

interface PendingRequest {
  readonly dueMs: number;
  readonly settle: (answer: Answer) => void;
}

/** The pool answered a request with an error. */
export class PoolRefusedError extends Error {
  readonly code: number;
  constructor(method: string, code: number, message: string) {
    super(`the pool refused ${method}: ${code} ${message}`);
    this.name = 'PoolRefusedError';
    this.code = code;
  }
}

export class StratumClient extends EventEmitter<StratumClientEvents> {
  readonly #options: StratumClientOptions;
  readonly #requestTimeoutMs: number;
  readonly #submitsInFlightMax: number;
  readonly #clockMs: () => number;
  readonly #lines = new LineReader();
  // All requests may take equally long, so insertion order is the order in which they fall due.
  readonly #pending = new Map<number, PendingRequest>();
  #socket: Socket | null = null;
  #overdueTimer: NodeJS.Timeout | null = null;
  #closed = false;
  #nextId = 1;
  #submitsInFlight = 0;
  #difficulty = 1;
  #targetLE = targetToBytesLE(targetFromDifficulty(1));
  #extranonce1: Uint8Array | null = null;
  #extranonce2Bytes = 0;
  #askedMask = 0;
  #versionMask = 0;

  constructor(options: StratumClientOptions) {
    super();
    this.#options = options;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.#submitsInFlightMax = options.submitsInFlightMax ?? SUBMITS_IN_FLIGHT_MAX;
    this.#clockMs = options.clockMs ?? (() => performance.now());
  }

  /** Version bits that may be rolled now; 0 where rolling was not negotiated. */
  get versionMask(): number {
    return this.#versionMask;
  }

  /** The last difficulty the pool announced, 1 before the first. It holds for the next job. */
  get difficulty(): number {
    return this.#difficulty;
  }

  /** How many shares may be sent now. */
  get submitSlots(): number {
    return this.#closed || this.#socket === null ? 0 : this.#submitsInFlightMax - this.#submitsInFlight;
  }

  get submitsInFlight(): number {
    return this.#submitsInFlight;
  }

  /** Opens the connection. Rejects when that fails or takes longer than a request may. Call once. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#options.host, port: this.#options.port, noDelay: true });
      this.#socket = socket;
      const tooLong = setTimeout(
        () => this.#end('the pool did not take the connection in time'),
        this.#requestTimeoutMs,
      );
      this.once('close', (reason) => {
        clearTimeout(tooLong);
        reject(new Error(reason));
      });
      socket.once('connect', () => {
        clearTimeout(tooLong);
        this.#overdueTimer = setInterval(
          () => this.#endIfOverdue(),
          Math.max(1, this.#requestTimeoutMs / OVERDUE_CHECKS_PER_TIMEOUT),
        );
        resolve();
      });
      socket.on('data', (chunk) => this.#take(chunk));
      socket.once('error', (error) => this.#end(error.message));
      socket.once('close', () => this.#end('the pool closed the connection'));
    });
  }

  /** Ends the connection; unanswered shares are counted as such. Harmless when already over. */
  close(): void {
    this.#end('closed by the miner');
  }

  /**
   * `mining.configure` with version rolling (BIP 310).
   * @param askedMask bits the miner can roll
   * @returns the bits it may roll, 0 when the pool declines
   */
  async configure(askedMask: number): Promise<number> {
    const params = [
      ['version-rolling'],
      { 'version-rolling.mask': wordHex(askedMask), 'version-rolling.min-bit-count': 2 },
    ];
    // Read where it arrives, not behind a promise: a new mask may stand in the same packet.
    await this.#request('mining.configure', params, (result) => {
      const reply = (typeof result === 'object' && result !== null ? result : {}) as Record<string, unknown>;
      if (reply['version-rolling'] !== true) return;
      this.#versionMask = (wordField(reply['version-rolling.mask'], 'the version mask') & askedMask) >>> 0;
      this.#askedMask = askedMask;
    });
    return this.#versionMask;
  }

  /** `mining.subscribe`. Rejects when the pool refuses or its reply makes no sense. */
  async subscribe(): Promise<void> {
    // Read where it arrives as well: the first job may stand in the same packet.
    await this.#request('mining.subscribe', [this.#options.userAgent], (result) => {
      if (!Array.isArray(result) || result.length < 3) {
        throw new Error('the reply to mining.subscribe is not a list of three');
      }
      this.#setExtranonce(result[1], result[2]);
    });
  }

  /** `mining.extranonce.subscribe`. @returns whether the pool will use `mining.set_extranonce` */
  async subscribeExtranonce(): Promise<boolean> {
    return (await this.#request('mining.extranonce.subscribe', [])) === true;
  }

  /** `mining.authorize`. @returns false when the pool says no without an error */
  async authorize(user: string, password: string): Promise<boolean> {
    return (await this.#request('mining.authorize', [user, password])) === true;
  }

  /** `mining.suggest_difficulty`; pools differ in what they answer, so the answer is not judged. */
  async suggestDifficulty(difficulty: number): Promise<void> {
    await this.#request('mining.suggest_difficulty', [difficulty]);
  }

  /**
   * `mining.submit`. The version bits are sent when rolling was negotiated. Never rejects: a lost
   * connection is the outcome `unanswered`.
   * @throws RangeError when `submitSlots` is 0
   */
  submit(user: string, job: MiningJob, choice: HeaderChoice): Promise<SubmitAnswer> {
    if (this.submitSlots <= 0) throw new RangeError('no submit slot is free: look at submitSlots first');
    const { ledger } = this.#options;
    const params = [
      user,
      job.jobId,
      bytesToHex(choice.extranonce2),
      wordHex(choice.time),
      wordHex(choice.nonce),
      ...(this.#askedMask === 0 ? [] : [wordHex(choice.versionBits)]),
    ];
    this.#submitsInFlight++;
    ledger.submitted();
    return new Promise((resolve) => {
      this.#send('mining.submit', params, (answer) => {
        this.#submitsInFlight--;
        if (answer.kind === 'lost') {
          ledger.unanswered();
          resolve({ outcome: 'unanswered' });
        } else if (answer.kind === 'result' && answer.value === true) {
          ledger.accepted(job.difficulty);
          resolve({ outcome: 'accepted' });
        } else {
          const { code, message } =
            answer.kind === 'error'
              ? answer
              : { code: 20, message: 'answered without true and without an error' };
          ledger.rejected(code, message);
          resolve({ outcome: 'rejected', code, message });
        }
      });
    });
  }

  #request(method: string, params: readonly unknown[], read?: (result: unknown) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#send(method, params, (answer) => {
        if (answer.kind === 'lost') return reject(new Error(`${method} stays unanswered: ${answer.reason}`));
        if (answer.kind === 'error') return reject(new PoolRefusedError(method, answer.code, answer.message));
        try {
          read?.(answer.value);
          resolve(answer.value);
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #send(method: string, params: readonly unknown[], settle: (answer: Answer) => void): void {
    if (this.#closed || this.#socket === null) {
      settle({ kind: 'lost', reason: 'there is no connection' });
      return;
    }
    const id = this.#nextId++;
    this.#pending.set(id, { dueMs: this.#clockMs() + this.#requestTimeoutMs, settle });
    this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
  }

  #take(chunk: Uint8Array): void {
    try {
      this.#lines.push(chunk, (line) => {
        if (!this.#closed) this.#takeLine(line);
      });
    } catch (error) {
      this.#end(textOf(error));
    }
  }

  #takeLine(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.emit('fault', `not JSON: ${cut(line)}`);
      return;
    }
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      this.emit('fault', `not a JSON object: ${cut(line)}`);
      return;
    }
    const { id, method, params, result, error } = message as Record<string, unknown>;
    if (typeof method === 'string') {
      try {
        this.#takeCall(method, Array.isArray(params) ? params : [], id);
      } catch (problem) {
        this.emit('fault', textOf(problem));
      }
      return;
    }
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (pending === undefined || typeof id !== 'number') {
      this.emit('fault', `an answer to nothing that was asked: ${cut(line)}`);
      return;
    }
    this.#pending.delete(id);
    pending.settle(readAnswer(result, error));
  }

  #takeCall(method: string, params: readonly unknown[], id: unknown): void {
    switch (method) {
      case 'mining.notify': {
        if (this.#extranonce1 === null) throw new Error('a job came before the reply to mining.subscribe');
        const job = parseNotify(params, {
          difficulty: this.#difficulty,
          targetLE: this.#targetLE,
          extranonce1: this.#extranonce1,
          extranonce2Bytes: this.#extranonce2Bytes,
        });
        this.emit('job', job);
        return;
      }
      case 'mining.set_difficulty': {
        const difficulty = params[0];
        if (typeof difficulty !== 'number') {
          throw new Error(`mining.set_difficulty: not a number: ${cut(JSON.stringify(params))}`);
        }
        this.#targetLE = targetToBytesLE(targetFromDifficulty(difficulty));
        this.#difficulty = difficulty;
        this.emit('difficulty', difficulty);
        return;
      }
      case 'mining.set_version_mask':
        // A pool must not widen what the miner asked for, nor send it to who never asked.
        this.#versionMask = (wordField(params[0], 'the version mask') & this.#askedMask) >>> 0;
        this.emit('versionMask', this.#versionMask);
        return;
      case 'mining.set_extranonce':
        this.#setExtranonce(params[0], params[1]);
        this.emit('extranonce');
        return;
      case 'client.show_message':
        this.emit('message', cut(String(params[0])));
        return;
      case 'client.reconnect':
        // Never to another address: that is how miners were stolen. The owner connects again as usual.
        this.#end('the pool asked to connect again');
        return;
      case 'client.get_version':
        this.#reply(id, this.#options.userAgent, null);
        return;
      case 'mining.ping':
        this.#reply(id, 'pong', null);
        return;
      default:
        this.#reply(id, null, [20, 'Unsupported method', null]);
        this.emit('fault', `unknown method ${cut(method)}`);
    }
  }

  #reply(id: unknown, result: unknown, error: unknown): void {
    if (id === null || id === undefined) return;
    this.#socket?.write(`${JSON.stringify({ id, result, error })}\n`);
  }

  #setExtranonce(extranonce1: unknown, extranonce2Bytes: unknown): void {
    if (typeof extranonce2Bytes !== 'number' || !Number.isInteger(extranonce2Bytes)) {
      throw new Error('the pool sent an extranonce2 length that is not a whole number');
    }
    if (extranonce2Bytes < 0 || extranonce2Bytes > 32) {
      throw new Error(`the pool sent an extranonce2 length of ${extranonce2Bytes}, not 0 to 32`);
    }
    this.#extranonce1 = hexField(extranonce1, 'an extranonce1');
    this.#extranonce2Bytes = extranonce2Bytes;
  }

  #endIfOverdue(): void {
    const oldest = this.#pending.values().next().value;
    if (oldest !== undefined && this.#clockMs() >= oldest.dueMs) {
      this.#end(`the pool was silent for ${this.#requestTimeoutMs} ms`);
    }
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#overdueTimer !== null) clearInterval(this.#overdueTimer);
    if (this.#socket !== null) {
      // A late error of a socket that nobody waits for must not end the process.
      this.#socket.on('error', () => {});
      this.#socket.destroy();
    }
    for (const pending of this.#pending.values()) pending.settle({ kind: 'lost', reason });
    this.#pending.clear();
    this.emit('close', reason);
  }
}

// Pools write errors as [code, message, traceback]; some as an object; some send a bare text.
function readAnswer(result: unknown, error: unknown): Answer {
  if (error === null || error === undefined || error === false) return { kind: 'result', value: result };
  const fields = (Array.isArray(error) ? { code: error[0], message: error[1] } : error) as Record<
    string,
    unknown
  >;
  const code = typeof fields.code === 'number' ? fields.code : 20;
  const message = typeof error === 'string' ? error : String(fields.message ?? 'no reason given');
  return { kind: 'error', code, message: cut(message) };
}

function cut(text: string): string {
  return text.length > POOL_TEXT_MAX ? `${text.slice(0, POOL_TEXT_MAX)}...` : text;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
