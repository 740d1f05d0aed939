// What the three kinds of listeners (TCP, TLS, WebSocket) have in common.
import type { PortProfile } from '../port-profile.js';
import type { Accept } from '../wire.js';

export interface ListenOptions {
  /** `::` takes IPv6 and IPv4 (IPv4 alone where the machine has no IPv6). */
  readonly host: string;
  /** `profile.port` 0 takes any free port. */
  readonly profile: PortProfile;
  readonly accept: Accept;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Several threads listen on one port and the kernel spreads connections. Node 22.12 or later for TCP and TLS. */
  readonly reusePort?: boolean;
}

export interface Listener {
  readonly port: number;
  /** Connections that ended before they became a wire. */
  readonly refused: Readonly<Record<RefusedReason, number>>;
  /**
   * Stops accepting at once; those who have not become a wire are cut. Resolves when the last wire is gone too: to end
   * or to destroy those is for their owners.
   */
  close(): Promise<void>;
}

/** A closed list: it becomes a metric label. */
export const REFUSED_REASONS = [
  /** `Accept` returned null. */
  'not_accepted',
  /** The system could not give us the connection: out of file descriptors. */
  'accept_failed',
  /** Too many at once between connecting and becoming a wire. */
  'too_many_waiting',
  'left_early',
  'proxy_header_bad',
  'proxy_header_late',
  'tls_late',
  /** Plain text, or another protocol, on the TLS port. */
  'tls_not_spoken',
  /** No TLS version or cipher in common. */
  'tls_nothing_in_common',
  /** The miner does not trust our certificate. */
  'tls_certificate_refused',
  'tls_failed',
] as const;

export type RefusedReason = (typeof REFUSED_REASONS)[number];

export function noneRefused(): Record<RefusedReason, number> {
  return Object.fromEntries(REFUSED_REASONS.map((reason) => [reason, 0])) as Record<RefusedReason, number>;
}

/** For node:net, which without a host takes `::`, and 0.0.0.0 where there is no IPv6. */
export function listenAddress(host: string): { readonly host?: string } {
  return host === '::' ? {} : { host };
}
