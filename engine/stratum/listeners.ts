// Opens every port of a thread. A port that is busy gives way to the next free one: a pool that runs beside another
// program, or a second connection thread where the platform cannot share a port, is found there.
import type { PortProfile } from './port-profile.js';
import type { Listener } from './transports/listener.js';
import { listenTcp } from './transports/tcp.js';
import { listenTls } from './transports/tls.js';
import { listenWebSocket } from './transports/websocket.js';
import type { Accept } from './wire.js';

export interface ListenersOptions {
  host: string;
  ports: readonly PortProfile[];
  tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Balancers that begin each connection with a PROXY header. */
  proxyFrom: readonly string[];
  reusePort: boolean;
  accept: Accept;
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

const PORTS_TRIED = 20;

export class Listeners {
  readonly #listeners: Listener[] = [];
  /** The ports as they are. */
  readonly ports: PortProfile[] = [];

  /** @throws Error naming the port that cannot be had; what was opened is closed again. */
  static async open(options: ListenersOptions): Promise<Listeners> {
    const all = new Listeners();
    try {
      for (const profile of options.ports) {
        const listener = await openNear(profile, options);
        all.#listeners.push(listener);
        all.ports.push({ ...profile, port: listener.port });
      }
      return all;
    } catch (error) {
      await all.close();
      throw error;
    }
  }

  /** Connections that ended before they became a session, by reason. */
  get refused(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const { refused } of this.#listeners) {
      for (const [reason, count] of Object.entries(refused)) sum[reason] = (sum[reason] ?? 0) + count;
    }
    return sum;
  }

  /** Stops accepting; resolves when the last wire is gone. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }
}

async function openNear(wanted: PortProfile, options: ListenersOptions): Promise<Listener> {
  for (let port = wanted.port; ; port++) {
    try {
      return await openOne({ ...wanted, port }, options);
    } catch (error) {
      const busy = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (busy && port < Math.min(65_535, wanted.port + PORTS_TRIED)) continue;
      throw new Error(`port ${wanted.port} (${wanted.name}): ${(error as Error).message}`, { cause: error });
    }
  }
}

async function openOne(profile: PortProfile, options: ListenersOptions): Promise<Listener> {
  const { host, accept, log, reusePort, proxyFrom } = options;
  const common = { host, profile, accept, log, reusePort };
  const proxy = proxyFrom.length > 0 ? { proxy: { allow: proxyFrom } } : {};
  const tls = options.tls === null ? {} : { tls: options.tls };
  if (profile.kind === 'ws') return listenWebSocket({ ...common, ...tls });
  if (profile.kind === 'tcp') return listenTcp({ ...common, ...proxy });
  if (options.tls === null) throw new Error('TLS needs TLS_CERT_FILE and TLS_KEY_FILE');
  return listenTls({ ...common, ...proxy, tls: options.tls });
}
