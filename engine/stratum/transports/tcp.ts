// Stratum over plain TCP.
import type { PortProfile } from '../port-profile.js';
import type { Accept } from '../wire.js';
import { type Arrival, acceptSockets, type ProxyOptions } from './accept-sockets.js';
import type { ByteSource } from './byte-source.js';
import type { Listener, ListenOptions } from './listener.js';
import { SocketWire } from './socket-wire.js';

export interface TcpOptions extends ListenOptions {
  readonly proxy?: ProxyOptions;
  /** False: 'data' events also where this Node lets sockets share a read buffer. */
  readonly sharedReadBuffer?: boolean;
}

/** @throws the system's error (`code` EADDRINUSE, EACCES, ...) when the port cannot be had */
export function listenTcp(options: TcpOptions): Promise<Listener> {
  const reading = options.sharedReadBuffer === false ? 'data_events' : 'shared_buffer';
  return acceptSockets(options, reading, (arrival) => {
    offer(arrival, arrival.source, 'tcp', arrival.first, options);
  });
}

/**
 * Offers an arrival to the pool as a wire. Where the pool does not take it, it is destroyed, or sent the last words that
 * the pool gave it.
 * @param source where its bytes come from: the arrival's own, or the TLS socket upon it
 */
export function offer(
  arrival: Arrival,
  source: ByteSource,
  kind: 'tcp' | 'tls',
  first: Buffer,
  { accept, profile }: { readonly accept: Accept; readonly profile: PortProfile },
): void {
  const wire = new SocketWire(source, kind, arrival.remote);
  const owner = accept(wire, profile);
  arrival.settle(owner === null ? 'not_accepted' : 'admitted');
  if (owner !== null) wire.start(owner, first);
  else if (!wire.over) wire.destroy();
}
