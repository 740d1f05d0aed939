import type { PortProfile } from './port-profile.js';

/** What a session's connection is, whatever carries it. */
export interface Wire {
  /** Peer address as text (behind a balancer: what the PROXY header says). */
  readonly remote: string;
  readonly kind: 'tcp' | 'tls' | 'ws';
  /** Everything of a turn at once; Latin-1. */
  write(text: string): void;
  /** A job that goes to everybody: the same Buffer for all, never changed after. */
  writeShared(bytes: Buffer): void;
  /** Bytes taken by write and not yet taken by the kernel. */
  readonly unsentBytes: number;
  readonly paused: boolean;
  /**
   * Nothing is delivered until `resume`. TCP and TLS stop reading (one chunk may have been read and waits); a WebSocket
   * cannot: it holds 64 KiB and is closed beyond ('flood').
   */
  pause(): void;
  resume(): void;
  /** Sends the last words, closes; destroys by itself after 2 s. Nothing is delivered after. */
  end(last: string): void;
  destroy(): void;
}

/** What the owner of a wire is told. The chunk is only valid during the call. */
export interface WireOwner {
  onBytes(chunk: Buffer): void;
  /**
   * Once, unless the owner ended or destroyed the wire itself. reason: 'peer' (left in order), 'connection_error', and
   * of a WebSocket 'idle' (answered no ping) and 'flood'.
   */
  onClosed(reason: string): void;
}

/** Given to each listener: returns null to refuse the connection (it is then destroyed, unless it was ended). */
export type Accept = (wire: Wire, port: PortProfile) => WireOwner | null;
