// The one wrapper around every HTTP handler. uWebSockets.js ends the process when a handler returns without an answer
// and without an abort handler, throws when an aborted answer is touched, and takes the first of two Content-Length
// headers: all of that is dealt with here, so that a handler is a plain function from request to reply.
// Message rules: RFC 9112 section 6 (https://www.rfc-editor.org/rfc/rfc9112), HEAD: RFC 9110 section 9.3.2.
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { UwsApp, UwsRequest, UwsResponse } from '../uws.js';
import { PROBLEMS, type ProblemCode, problemBody } from './problem.js';
import { type StreamReply, sendStream } from './stream-reply.js';

export interface ApiRequest {
  /** get or head. */
  readonly method: string;
  readonly path: string;
  /** Behind the question mark, not decoded. */
  readonly query: string;
  /** Accept, empty when absent. */
  readonly accept: string;
  /** If-None-Match, empty when absent. */
  readonly ifNoneMatch: string;
  readonly requestId: string;
  /** The client went away: what is made for it need not be made on. */
  readonly signal: AbortSignal;
}

export interface ApiReply {
  readonly status: number;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly body: string | Uint8Array;
  /** Strong validator with its quotes; a request that names it is answered 304. */
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A reply that is a problem. */
export interface ProblemReply {
  readonly problem: ProblemCode;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Reply = ApiReply | ProblemReply | StreamReply;

export type Handler = (request: ApiRequest) => Reply | Promise<Reply>;

export interface HttpFrontOptions {
  /** Handlers by exact path. */
  readonly routes: ReadonlyMap<string, Handler>;
  /** Called once for each answer. `route` is a path of `routes` or `other`; `method` get, head or other. */
  readonly onAnswered: (route: string, method: string, status: number, durationS: number) => void;
  /** A handler threw. The client sees only `internal_error` and the request id. */
  readonly onError: (error: unknown, request: ApiRequest) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

interface Exchange {
  readonly res: UwsResponse;
  readonly request: ApiRequest;
  readonly method: string;
  readonly route: string;
  readonly startedMs: number;
  /** The body of a refused request would be read as the next request. */
  readonly closeAfter: boolean;
  ended: boolean;
}

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** Answers every request of `app` from `routes`. */
export function serveRoutes(app: UwsApp, options: HttpFrontOptions): void {
  app.any('/*', (res, req) => {
    const method = req.getMethod();
    const path = req.getUrl();
    const givenId = req.getHeader('x-request-id');
    const fault = framingFault(req);
    const gone = new AbortController();
    const exchange: Exchange = {
      res,
      method,
      route: options.routes.has(path) ? path : 'other',
      request: {
        method,
        path,
        query: req.getQuery() ?? '',
        accept: req.getHeader('accept'),
        signal: gone.signal,
        ifNoneMatch: req.getHeader('if-none-match'),
        requestId: REQUEST_ID.test(givenId) ? givenId : randomUUID(),
      },
      startedMs: options.nowMs(),
      closeAfter: fault !== null,
      ended: false,
    };
    res.onAborted(() => {
      exchange.ended = true;
      gone.abort();
    });
    const handler = options.routes.get(path);
    if (fault !== null) {
      // Not at once: while no answer was given, uWebSockets.js closes a connection that sends another request. Answered
      // within the handler, it would go on reading the rest of the packet as requests (seen with 20.51.4).
      setImmediate(() => answer(exchange, { problem: 'bad_request', detail: fault }, options));
    } else if (handler === undefined) {
      const known = [...options.routes.keys()].join(', ');
      answer(exchange, { problem: 'not_found', detail: `There is nothing here. Known: ${known}` }, options);
    } else if (method !== 'get' && method !== 'head') {
      const detail = 'Only GET and HEAD are answered here.';
      answer(exchange, { problem: 'method_not_allowed', detail, headers: { Allow: 'GET, HEAD' } }, options);
    } else {
      run(handler, exchange, options);
    }
  });
}

/** Why the message framing cannot be trusted, or null. No route here takes a body, so none is accepted. */
function framingFault(req: UwsRequest): string | null {
  let lengths = 0;
  let length = '0';
  let encoded = false;
  req.forEach((name, value) => {
    if (name === 'content-length') {
      lengths++;
      length = value;
    } else if (name === 'transfer-encoding') encoded = true;
  });
  if (encoded) return 'Transfer-Encoding is not accepted: no resource here takes a body.';
  if (lengths > 1) return 'Content-Length is given more than once.';
  if (!/^\d{1,15}$/.test(length)) return 'Content-Length is not a number.';
  return Number(length) > 0 ? 'A body is not accepted: no resource here takes one.' : null;
}

function run(handler: Handler, exchange: Exchange, options: HttpFrontOptions): void {
  const failed = (error: unknown) => {
    options.onError(error, exchange.request);
    const detail = 'The pool made a mistake. Its log tells more under this request id.';
    answer(exchange, { problem: 'internal_error', detail }, options);
  };
  try {
    const reply = handler(exchange.request);
    if (reply instanceof Promise) {
      reply.then((settled) => answer(exchange, settled, options)).catch(failed);
    } else {
      answer(exchange, reply, options);
    }
  } catch (error) {
    failed(error);
  }
}

function answer(exchange: Exchange, reply: Reply, options: HttpFrontOptions): void {
  if ('stream' in reply) {
    stream(exchange, reply, options);
    return;
  }
  if (exchange.ended) return;
  exchange.ended = true;
  const { res, request, method, closeAfter } = exchange;
  const full = 'problem' in reply ? problemReply(reply, request) : reply;
  const unchanged = full.status === 200 && full.etag !== undefined && matches(request.ifNoneMatch, full.etag);
  const status = unchanged ? 304 : full.status;
  res.cork(() => {
    res.writeStatus(`${status} ${STATUS_CODES[status] ?? 'Unknown'}`);
    res.writeHeader('X-Request-Id', request.requestId);
    res.writeHeader('Cache-Control', full.cacheControl);
    res.writeHeader('X-Content-Type-Options', 'nosniff');
    if (full.etag !== undefined) res.writeHeader('ETag', full.etag);
    if (!unchanged) res.writeHeader('Content-Type', full.contentType);
    for (const [name, value] of Object.entries(full.headers ?? {})) res.writeHeader(name, value);
    if (closeAfter) {
      res.end(method === 'head' ? '' : full.body, true);
    } else if (unchanged) {
      res.endWithoutBody();
    } else if (method === 'head') {
      res.writeHeader('Content-Length', String(Buffer.byteLength(full.body)));
      res.endWithoutBody();
    } else {
      res.end(full.body);
    }
  });
  told(exchange, status, options);
}

function stream(exchange: Exchange, reply: StreamReply, options: HttpFrontOptions): void {
  const { res, request } = exchange;
  if (exchange.ended) {
    reply.stream.destroy();
    return;
  }
  const start = (): void => {
    res.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? 'Unknown'}`);
    res.writeHeader('X-Request-Id', request.requestId);
    res.writeHeader('Cache-Control', reply.cacheControl);
    res.writeHeader('X-Content-Type-Options', 'nosniff');
    res.writeHeader('Content-Type', reply.contentType);
    for (const [name, value] of Object.entries(reply.headers ?? {})) res.writeHeader(name, value);
  };
  sendStream(res, reply.stream, start, request.signal)
    .catch((error: unknown) => {
      // A client that went away is no fault of ours.
      if (!request.signal.aborted) options.onError(error, request);
    })
    .finally(() => {
      exchange.ended = true;
      told(exchange, reply.status, options);
    });
}

function told({ route, method, startedMs }: Exchange, status: number, options: HttpFrontOptions): void {
  const label = method === 'get' || method === 'head' ? method : 'other';
  options.onAnswered(route, label, status, (options.nowMs() - startedMs) / 1000);
}

function problemReply({ problem, detail, headers }: ProblemReply, request: ApiRequest): ApiReply {
  return {
    status: PROBLEMS[problem].status,
    contentType: 'application/problem+json; charset=utf-8',
    cacheControl: 'no-store',
    body: problemBody(problem, detail, request.path, request.requestId),
    ...(headers === undefined ? {} : { headers }),
  };
}

function matches(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.split(',').some((given) => given.trim().replace(/^W\//, '') === etag);
}
