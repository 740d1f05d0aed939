// Stratum over TLS 1.2 and 1.3. A PROXY header of an allowed balancer comes before the handshake, in the clear.
import type { Socket } from 'node:net';
import { createServer } from 'node:tls';
import { type Arrival, acceptSockets, type ProxyOptions } from './accept-sockets.js';
import { DataEventSource } from './byte-source.js';
import type { Listener, ListenOptions, RefusedReason } from './listener.js';
import { offer } from './tcp.js';
import { type TlsFileOptions, TlsFiles } from './tls-files.js';

export interface TlsOptions extends ListenOptions {
  readonly tls: TlsFileOptions;
  readonly proxy?: ProxyOptions;
  /** 10 s. */
  readonly handshakeWithinMs?: number;
}

export interface TlsListener extends Listener {
  /** Looks at the certificate files now. @returns true when a new pair was taken */
  reload(): boolean;
}

const MIN_VERSION = 'TLSv1.2';
const HANDSHAKE_WITHIN_MS = 10_000;
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * @throws the system's error (`code` EADDRINUSE, EACCES, ...) when the port cannot be had; Error for the operator when
 *   the certificate cannot be used
 */
export async function listenTls(options: TlsOptions): Promise<TlsListener> {
  const files = new TlsFiles(options.tls, options.log);
  // It never listens: connections are handed to it (https://nodejs.org/api/tls.html#event-connection).
  const server = createServer({
    ...files.pair,
    minVersion: MIN_VERSION,
    handshakeTimeout: options.handshakeWithinMs ?? HANDSHAKE_WITHIN_MS,
  });
  /** Sockets in their handshake, by the address and port of the other end. */
  const shaking = new Map<string, Arrival>();
  server.on('secureConnection', (socket) => {
    // A miner has no use for it, and each one costs us a handshake.
    socket.disableRenegotiation();
    const arrival = shaking.get(otherEnd(socket));
    shaking.delete(otherEnd(socket));
    if (arrival === undefined) socket.destroy();
    else offer(arrival, new DataEventSource(socket), 'tls', NOTHING, options);
  });
  server.on('tlsClientError', (error, socket) => {
    shaking.get(otherEnd(socket))?.settle(handshakeFailure(error));
    socket.destroy();
  });

  const acceptor = await acceptSockets(options, 'data_events', (arrival) => {
    const raw = arrival.source.socket;
    const key = otherEnd(raw);
    shaking.set(key, arrival);
    raw.once('close', () => shaking.delete(key));
    // What came behind a PROXY header is put back for the handshake to find.
    raw.removeAllListeners('data');
    raw.pause();
    if (arrival.first.length > 0) raw.unshift(arrival.first);
    server.emit('connection', raw);
  });
  files.watch((pair) => server.setSecureContext({ ...pair, minVersion: MIN_VERSION }));
  return {
    port: acceptor.port,
    refused: acceptor.refused,
    reload: () => files.reload(),
    close: () => {
      files.close();
      return acceptor.close();
    },
  };
}

/** Tells the connections of this listener apart. */
function otherEnd(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}

function handshakeFailure(error: Error): RefusedReason {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'tls_late';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'left_early';
  if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH|BAD_RECORD_TYPE|UNEXPECTED_MESSAGE/.test(code)) {
    return 'tls_not_spoken';
  }
  if (/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|NO_SHARED|NO_SUITABLE/.test(code))
    return 'tls_nothing_in_common';
  if (/UNKNOWN_CA|CERTIFICATE/.test(code)) return 'tls_certificate_refused';
  return 'tls_failed';
}
