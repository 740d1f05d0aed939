// Listens on a TCP port for the TCP and the TLS listener: accepts, counts those who wait to become a wire, reads the
// PROXY header of allowed balancers. Reads with a shared buffer where this Node lets us take over the raw handles.
import { createServer, type Server } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type ByteSource, DataEventSource, discard, sharedBufferSource } from './byte-source.js';
import { type ListenOptions, listenAddress, noneRefused, type RefusedReason } from './listener.js';
import { canonicalAddress } from './peer-address.js';
import { BalancerList, parseProxyHeader } from './proxy-protocol.js';

const BACKLOG = 4096;
/** A dead peer (power cut, pulled cable) is noticed by TCP keep-alive after about this long idle. */
const KEEP_ALIVE_MS = 60_000;
/** Sockets between connecting and becoming a wire (PROXY header, TLS handshake); the backlog holds the next ones. */
const WAITING_MAX = 4096;
const PROXY_HEADER_WITHIN_MS = 10_000;
const LOG_ACCEPT_FAILED_EVERY_MS = 60_000;
const NOTHING: Buffer = Buffer.alloc(0);

export interface ProxyOptions {
  /** Addresses and networks of the balancers; see BalancerList. */
  readonly allow: readonly string[];
  /** Time for the header to come; 10 s. */
  readonly headerWithinMs?: number;
}

type Outcome = 'admitted' | RefusedReason;

/** An accepted socket of which is known whom it speaks for. Nothing of its bytes is lost if a sink is set at once. */
export class Arrival {
  readonly source: ByteSource;
  readonly #acceptance: Acceptance;
  /** Canonical; of the socket, then what the PROXY header says. */
  remote: string;
  /** Bytes that came behind the PROXY header; a copy, may be empty. */
  first: Buffer = NOTHING;
  #settled = false;

  constructor(acceptance: Acceptance, source: ByteSource, remote: string) {
    this.#acceptance = acceptance;
    this.source = source;
    this.remote = remote;
  }

  /** It has become a wire or never will: no longer waited for, and counted if refused. Only the first call counts. */
  settle(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#acceptance.settled(this, outcome);
  }

  refuse(reason: RefusedReason): void {
    this.settle(reason);
    this.source.socket.destroy();
  }
}

export interface Acceptor {
  readonly port: number;
  readonly refused: Record<RefusedReason, number>;
  /** See Listener.close. */
  close(): Promise<void>;
}

/**
 * @param reading 'shared_buffer' where the platform can; 'data_events' when the sink will be replaced by a stream (TLS)
 * @throws the system's error (`code` EADDRINUSE, EACCES, ...) when the port cannot be had; Error for a bad allow list
 */
export async function acceptSockets(
  options: ListenOptions & { readonly proxy?: ProxyOptions },
  reading: 'shared_buffer' | 'data_events',
  onArrival: (arrival: Arrival) => void,
): Promise<Acceptor> {
  const acceptance = new Acceptance(options, onArrival);
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  server.on('connection', (socket) => acceptance.take(new DataEventSource(socket)));
  await listen(server, options);
  server.on('error', (error) => acceptance.failed(error));
  if (reading === 'shared_buffer') {
    takeHandles(server, (handle) => {
      const source = sharedBufferSource(handle);
      source.socket.setNoDelay(true);
      source.socket.setKeepAlive(true, KEEP_ALIVE_MS);
      acceptance.take(source);
    });
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.profile.port,
    refused: acceptance.refused,
    close: () => {
      server.close();
      return acceptance.close();
    },
  };
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  const { host, profile, reusePort } = options;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(
      { ...listenAddress(host), port: profile.port, backlog: BACKLOG, ...(reusePort ? { reusePort } : {}) },
      () => {
        server.off('error', reject);
        resolve();
      },
    );
  });
}

interface ListenHandle {
  onconnection?: (error: number, client?: { useUserBuffer?: unknown }) => void;
}

/**
 * Has the raw handle of each new connection given to `each`, before Node makes a socket of it. Where that is not
 * possible (other Node, an error), Node's own way is left: a 'connection' event.
 */
function takeHandles(server: Server, each: (handle: object) => void): void {
  const listening = (server as { _handle?: ListenHandle | null })._handle;
  const usual = listening?.onconnection;
  if (listening === undefined || listening === null || typeof usual !== 'function') return;
  listening.onconnection = function (this: ListenHandle, error, client) {
    if (error === 0 && typeof client?.useUserBuffer === 'function') each(client);
    else usual.call(this, error, client);
  };
}

class Acceptance {
  readonly refused = noneRefused();
  readonly #options: ListenOptions;
  readonly #onArrival: (arrival: Arrival) => void;
  readonly #balancers: BalancerList | null;
  readonly #headerWithinMs: number;
  readonly #waiting = new Set<Arrival>();
  #open = 0;
  #closing = false;
  #onLastGone: () => void = discard;
  #failedLoggedAt = Number.NEGATIVE_INFINITY;

  constructor(
    options: ListenOptions & { readonly proxy?: ProxyOptions },
    onArrival: (arrival: Arrival) => void,
  ) {
    this.#options = options;
    this.#onArrival = onArrival;
    this.#balancers = options.proxy === undefined ? null : new BalancerList(options.proxy.allow);
    this.#headerWithinMs = options.proxy?.headerWithinMs ?? PROXY_HEADER_WITHIN_MS;
  }

  take(source: ByteSource): void {
    const { socket } = source;
    const { remoteAddress = '' } = socket;
    const arrival = new Arrival(this, source, canonicalAddress(remoteAddress));
    this.#open++;
    socket.on('error', discard);
    socket.on('close', () => {
      arrival.settle('left_early');
      this.#open--;
      if (this.#closing && this.#open === 0) this.#onLastGone();
    });
    if (remoteAddress === '') arrival.refuse('left_early');
    else if (this.#closing || this.#waiting.size >= WAITING_MAX) arrival.refuse('too_many_waiting');
    else {
      this.#waiting.add(arrival);
      if (this.#balancers?.includes(arrival.remote)) this.#readHeader(arrival);
      else this.#onArrival(arrival);
    }
  }

  settled(arrival: Arrival, outcome: Outcome): void {
    this.#waiting.delete(arrival);
    if (outcome !== 'admitted') this.refused[outcome]++;
  }

  #readHeader(arrival: Arrival): void {
    const { source } = arrival;
    let came = NOTHING;
    const late = setTimeout(() => arrival.refuse('proxy_header_late'), this.#headerWithinMs);
    late.unref();
    source.socket.once('close', () => clearTimeout(late));
    // The whole header comes in one packet as a rule; a balancer that dribbles costs itself 4 KiB of copies a byte.
    source.sink = (chunk) => {
      came = Buffer.concat([came, chunk]);
      const header = parseProxyHeader(came);
      if (header.state === 'need_more') return;
      clearTimeout(late);
      source.sink = discard;
      if (header.state === 'bad') {
        arrival.refuse('proxy_header_bad');
        return;
      }
      arrival.remote = header.remote ?? arrival.remote;
      arrival.first = came.subarray(header.headerBytes);
      this.#onArrival(arrival);
    };
  }

  failed(error: Error): void {
    this.refused.accept_failed++;
    const now = performance.now();
    if (now - this.#failedLoggedAt < LOG_ACCEPT_FAILED_EVERY_MS) return;
    this.#failedLoggedAt = now;
    this.#options.log(
      'error',
      `port ${this.#options.profile.port} cannot accept connections: ${error.message}`,
    );
  }

  close(): Promise<void> {
    this.#closing = true;
    for (const { source } of [...this.#waiting]) source.socket.destroy();
    return new Promise((resolve) => {
      this.#onLastGone = resolve;
      if (this.#open === 0) resolve();
    });
  }
}
