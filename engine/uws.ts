// Loads uWebSockets.js. It comes as native code, built for some Node.js versions and C libraries only, and stands in
// package.json twice: `uws-new` (newest; Node 22, 24, 26 and glibc 2.38 or later) and `uws-compat` (20.51.4; Node 18,
// 20, 22, 23 and older glibc). Here the first that works is taken. npm may give both names the same native file.
import { createRequire } from 'node:module';

/** The part of uWebSockets.js that Millrace uses. Its own types are not reachable through its `exports`. */
export interface Uws {
  App(): UwsApp;
  /** Throws when the files cannot be read or do not belong together. */
  SSLApp(options: { cert_file_name: string; key_file_name: string }): UwsApp;
  us_listen_socket_close(socket: UwsListenSocket): void;
  /** Port that the socket listens on. */
  us_socket_local_port(socket: UwsListenSocket): number;
  /** Without it a second process could listen on the same port and take half of the connections. */
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

/** Opaque native handle. */
export type UwsListenSocket = object;

export interface UwsApp {
  any(pattern: string, handler: (res: UwsResponse, req: UwsRequest) => void): UwsApp;
  ws<Data>(pattern: string, behavior: UwsWebSocketBehavior<Data>): UwsApp;
  /** Calls back, before it returns, with false when it cannot listen. */
  listen(
    host: string,
    port: number,
    options: number,
    done: (socket: UwsListenSocket | false) => void,
  ): UwsApp;
  /** On all addresses: IPv6 and IPv4, or IPv4 where the machine has no IPv6. */
  listen(port: number, options: number, done: (socket: UwsListenSocket | false) => void): UwsApp;
  /** Closes all connections and listen sockets at once. */
  close(): UwsApp;
}

/** Valid until it has ended or was aborted; touching it later throws. */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  /** `closeConnection` adds the Connection header as well. */
  end(body: string | Uint8Array, closeConnection?: boolean): UwsResponse;
  /**
   * Ends without body and without a Content-Length of its own. Never pass an argument, not even `undefined`: 20.51.4
   * then waits for a body of that length and closes the connection at its next request.
   */
  endWithoutBody(): UwsResponse;
  /** Sends a chunk; false when it could not all be given to the kernel. */
  write(chunk: Uint8Array): boolean;
  /** Called when what was held back has been sent. Must return true. */
  onWritable(handler: (offset: number) => boolean): UwsResponse;
  /** Cuts the connection; the abort handler runs before it returns. */
  close(): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  /** Sends what the callback writes as one packet. */
  cork(write: () => void): UwsResponse;
}

/** Lives on the native stack: readable only until the handler returns or awaits. */
export interface UwsRequest {
  getMethod(): string;
  /** Path, not decoded. */
  getUrl(): string;
  getQuery(): string;
  /** Lower-case name; empty text when absent. */
  getHeader(name: string): string;
  forEach(each: (name: string, value: string) => void): void;
}

export interface UwsWebSocketBehavior<Data> {
  /** A longer message closes the connection. */
  maxPayloadLength: number;
  /** Seconds, 8 to 960, or 0 for never. Pings are sent before it runs out. */
  idleTimeout: number;
  /** Unsent bytes above which messages are dropped, or, with the next setting, the connection is closed. */
  maxBackpressure: number;
  closeOnBackpressureLimit: boolean;
  open(ws: UwsWebSocket<Data>): void;
  /** The bytes are only valid during the call. */
  message(ws: UwsWebSocket<Data>, message: ArrayBuffer, isBinary: boolean): void;
  drain(ws: UwsWebSocket<Data>): void;
  /** Also after our own `end` and `close`, and then before they return. 1006: cut off, no close frame. */
  close(ws: UwsWebSocket<Data>, code: number, message: ArrayBuffer): void;
}

/** Valid until its `close` handler was called; touching it later throws. */
export interface UwsWebSocket<Data> {
  /** 0: taken, waits for the kernel; 1: sent; 2: dropped. */
  send(message: string | Uint8Array, isBinary: boolean): number;
  getBufferedAmount(): number;
  /** Sends a close frame. Afterwards the library alone has the socket, for 16 s at most. */
  end(code: number, reason: string): void;
  /** Cuts the connection at once. */
  close(): void;
  getRemoteAddressAsText(): ArrayBuffer;
  getUserData(): Data;
}

const NAMES = ['uws-new', 'uws-compat'] as const;

/**
 * @param require where to look; tests pass one that fails
 * @returns the library, and its name and version for the log
 * @throws Error that says what to do when no native build fits this machine
 */
export function loadUws(require: NodeJS.Require = createRequire(import.meta.url)): {
  uws: Uws;
  library: string;
} {
  const reasons: string[] = [];
  for (const name of NAMES) {
    try {
      const uws = require(name) as Uws;
      return { uws, library: `uWebSockets.js ${nativeVersion(require, name)}` };
    } catch (error) {
      reasons.push(`${name}: ${lastLine(error)}`);
    }
  }
  throw new Error(
    `uWebSockets.js, which serves the web page and the API, has no build for Node.js ${process.version} on ` +
      `${process.platform} ${process.arch}${cLibrary()} (${reasons.join('; ')}). ` +
      'Run `npm ci` with Node.js 20 or 22 (24 and 26 need glibc 2.38) on Linux with glibc (not Alpine), macOS or Windows, and start again.',
  );
}

/** Version of the native file that `name` really loaded: npm may have given it another one than its own. */
function nativeVersion(require: NodeJS.Require, name: string): string {
  try {
    const major = process.versions.node.split('.')[0];
    const fromThere = createRequire(require.resolve(name));
    const { version } = fromThere(`@uwsjs/${process.platform}-${process.arch}-${major}/package.json`) as {
      version: string;
    };
    return version;
  } catch {
    return name;
  }
}

function lastLine(error: unknown): string {
  const lines = (error instanceof Error ? error.message : String(error)).trim().split('\n');
  // The library puts the loader's own words below a paragraph of its own; Node adds a "Require stack".
  const end = lines.findIndex((line) => line.startsWith('Require stack'));
  return (lines[end > 0 ? end - 1 : lines.length - 1] ?? '').trim();
}

function cLibrary(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const version = report?.header?.glibcVersionRuntime;
  return process.platform !== 'linux' ? '' : version === undefined ? ', no glibc' : `, glibc ${version}`;
}
