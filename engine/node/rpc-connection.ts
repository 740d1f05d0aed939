// The wire to one node: the `bitcoin-core` client behind a cap on parallel calls, a login that follows the
// cookie file, retries for a node that is starting or away, and an end that leaves nothing in flight.
// Used by rpc.ts and wallet-rpc.ts, which know the methods.
import { readFileSync } from 'node:fs';
import BitcoinCore from 'bitcoin-core';
import { AnswerShapeError } from './rpc-answer.js';
import type { RpcEndpoint } from './rpc-endpoint.js';
import { BAD_ANSWER, CLOSED, NO_COOKIE, NodeRpcError, OVERLOADED, RPC_WARMING_UP } from './rpc-error.js';

export interface RpcConnectionOptions {
  endpoint: RpcEndpoint;
  /** Milliseconds until an unanswered call is given up. Default 30,000. */
  timeoutMs?: number;
  /** Milliseconds, at most, that a call is repeated while the node starts or is away. Default 10,000. */
  retryForMs?: number;
  /** Calls in flight at once. Default 8: the node's own queue is short and answers 503 beyond it. */
  parallelMax?: number;
}

export interface CallOptions {
  /** Ask the wallet of this name. */
  wallet?: string;
  /** Overrides the connection's own limit. */
  retryForMs?: number;
  /** False for a call that must not run twice: it is not repeated after a connection that broke. Default true. */
  repeatable?: boolean;
}

/** The parts of `request` that its own types leave out: a post that can be aborted. */
interface AbortableRequest {
  abort(): void;
}
type Post = (
  options: object,
  done: (error: Error | null, response: object) => void,
) => AbortableRequest | undefined;

const TIMEOUT_MS = 30_000;
const RETRY_FOR_MS = 10_000;
const PARALLEL_MAX = 8;
const WAITING_MAX = 1024;
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 1000;
const COOKIE_GRACE_MS = 2000;

/** Errors after which the node cannot have begun to work on the call. */
const NOT_BEGUN: ReadonlySet<string | number> = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', NO_COOKIE],
  ...[503, RPC_WARMING_UP],
]);
const BROKEN: ReadonlySet<string | number> = new Set(['ECONNRESET', 'EPIPE']);

/** One node, any method; see `call`. */
export class RpcConnection {
  readonly endpoint: RpcEndpoint;
  readonly #timeoutMs: number;
  readonly #retryForMs: number;
  readonly #parallelMax: number;
  /** By wallet name; '' is the node itself. Dropped when the cookie changes. */
  readonly #clients = new Map<string, BitcoinCore>();
  readonly #abortInFlight = new Set<() => void>();
  readonly #waiting: (() => void)[] = [];
  readonly #pauses = new Set<() => void>();
  #inFlight = 0;
  #closed = false;

  constructor(options: RpcConnectionOptions) {
    this.endpoint = options.endpoint;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retryForMs = options.retryForMs ?? RETRY_FOR_MS;
    this.#parallelMax = options.parallelMax ?? PARALLEL_MAX;
  }

  /**
   * Calls `method` with positional parameters and hands its result to `read`. Throws NodeRpcError, also when
   * `read` refuses the shape of the answer.
   */
  async call<T>(
    method: string,
    params: readonly unknown[],
    read: (result: unknown) => T,
    options: CallOptions = {},
  ): Promise<T> {
    const start = performance.now();
    let refusedMs: number | null = null;
    const retryForMs = options.retryForMs ?? this.#retryForMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return read(await this.#callOnce(method, params, options.wallet ?? ''));
      } catch (error) {
        const failure = this.#asRpcError(error, method);
        const elapsedMs = performance.now() - start;
        if (failure.code === 401) refusedMs ??= elapsedMs;
        // A call may have waited long for a node that is being restarted: its cookie is new, not our login wrong.
        const cookieMs = elapsedMs - (refusedMs ?? elapsedMs);
        if (this.#closed || !this.#mayRepeat(failure, options, cookieMs, elapsedMs, retryForMs)) {
          throw failure;
        }
        const pauseMs = Math.min(PAUSE_MS_MIN * 2 ** Math.min(attempt, 6), PAUSE_MS_MAX);
        await this.#pause(Math.min(pauseMs, Math.max(0, retryForMs - elapsedMs)));
      }
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ends every call in flight or waiting (they throw code CLOSED); later calls throw at once. */
  close(): void {
    this.#closed = true;
    for (const abort of [...this.#abortInFlight]) abort();
    for (const wake of this.#waiting.splice(0)) wake();
    for (const wake of [...this.#pauses]) wake();
  }

  #mayRepeat(
    failure: NodeRpcError,
    options: CallOptions,
    cookieMs: number,
    elapsedMs: number,
    retryForMs: number,
  ): boolean {
    if (failure.code === 401 && this.endpoint.login !== undefined && 'cookieFile' in this.endpoint.login) {
      // The next attempt reads the cookie anew. A node that restarts writes it a moment before it accepts it.
      this.#clients.clear();
      return cookieMs === 0 || cookieMs < Math.min(COOKIE_GRACE_MS, retryForMs);
    }
    if (elapsedMs >= retryForMs) return false;
    return (
      NOT_BEGUN.has(failure.code) ||
      (BROKEN.has(failure.code) && options.repeatable !== false && retryForMs > 0)
    );
  }

  async #callOnce(method: string, params: readonly unknown[], wallet: string): Promise<unknown> {
    await this.#takeSlot(method);
    try {
      if (this.#closed) throw this.#error(CLOSED, method, '');
      return await this.#client(wallet, method).command(method.toLowerCase(), ...params);
    } finally {
      this.#inFlight--;
      this.#waiting.shift()?.();
    }
  }

  async #takeSlot(method: string): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw this.#error(OVERLOADED, method, `${WAITING_MAX} calls are waiting already`);
    }
    while (this.#inFlight >= this.#parallelMax && !this.#closed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#inFlight++;
  }

  #client(wallet: string, method: string): BitcoinCore {
    const existing = this.#clients.get(wallet);
    if (existing !== undefined) return existing;
    const { url, login } = this.endpoint;
    let auth: { username?: string; password?: string } = {};
    if (login !== undefined && 'cookieFile' in login) {
      const cookie = readCookie(login.cookieFile);
      const colon = cookie.indexOf(':');
      if (colon < 0) throw this.#error(NO_COOKIE, method, `no login cookie at ${login.cookieFile}`);
      auth = { username: cookie.slice(0, colon), password: cookie.slice(colon + 1) };
    } else if (login !== undefined) {
      auth = { username: login.user, password: login.password };
    }
    const client = new BitcoinCore({
      host: url,
      timeout: this.#timeoutMs,
      // Its default logger writes to stdout and would show addresses and transactions.
      logger: { debug: () => {} },
      ...auth,
      ...(wallet === '' ? {} : { wallet: encodeURIComponent(wallet) }),
    });
    this.#makeAbortable(client);
    (client as unknown as { parser: { rpc: typeof readAnswer } }).parser = { rpc: readAnswer };
    this.#clients.set(wallet, client);
    return client;
  }

  #makeAbortable(client: BitcoinCore): void {
    const request = client.request as unknown as {
      post: Post;
      postAsync: (options: object) => Promise<object>;
    };
    request.postAsync = (options) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          this.#abortInFlight.delete(abort);
          posted?.abort();
          reject({ code: CLOSED, message: 'closed' });
        };
        const posted = request.post(options, (error, response) => {
          this.#abortInFlight.delete(abort);
          if (error !== null) reject(error);
          else resolve(response);
        });
        this.#abortInFlight.add(abort);
      });
  }

  #asRpcError(error: unknown, method: string): NodeRpcError {
    if (error instanceof NodeRpcError) return error;
    if (error instanceof AnswerShapeError) return this.#error(BAD_ANSWER, method, error.message);
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (typeof code === 'number' || typeof code === 'string') {
      return this.#error(code, method, String(message ?? ''));
    }
    // Whatever else the client throws comes from an answer that it could not read.
    return this.#error(BAD_ANSWER, method, 'not JSON-RPC');
  }

  #error(code: number | string, method: string, detail: string): NodeRpcError {
    return new NodeRpcError(code, method, this.endpoint.name, detail);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#pauses.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#pauses.add(wake);
    });
  }
}

interface HttpAnswer {
  statusCode: number;
  statusMessage: string;
  headers: Readonly<Record<string, string | undefined>>;
  body: string;
}

/**
 * Result of an answer; throws the node's error. Stands in for the client's own parser, which is written in
 * JavaScript and takes 12 ms for a template of 4000 transactions where JSON.parse takes 1.5. Nothing is lost:
 * the node sends no whole number beyond 2^53, and amounts are made exact by rpc-answer.ts.
 */
function readAnswer({ statusCode, statusMessage, headers, body }: HttpAnswer): unknown {
  if (statusCode !== 200 && headers['content-type'] !== 'application/json') {
    throw { code: statusCode, message: statusMessage };
  }
  const { result, error } = JSON.parse(body) as { result?: unknown; error?: unknown };
  if (error !== null && error !== undefined) throw error;
  if (result === undefined) throw new SyntaxError('an answer without result');
  return result;
}

function readCookie(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
