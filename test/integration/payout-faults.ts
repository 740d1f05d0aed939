// Breaks a payout at a chosen edge: every SQL statement, commit and RPC call is counted, and the n-th fails before
// it has an effect, fails after it had one (the answer is lost), or takes the process with it. A fault injector,
// not a stand-in: behind it are the real Postgres and the real node.
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Database } from '../../storage/postgres/connection.js';

export type FaultMode = 'fail_before' | 'fail_after' | 'kill_before' | 'kill_after';
export const FAULT_MODES: readonly FaultMode[] = ['fail_before', 'fail_after', 'kill_before', 'kill_after'];

export class Faults {
  /** Edges passed so far. */
  count = 0;
  /** True once the fault happened. */
  hit = false;
  /** The process of this run is dead: whatever it still tries, fails. */
  dead = false;
  #at = -1;
  #mode: FaultMode = 'fail_before';

  /** The `at`-th edge from now (1 is the next) breaks. */
  arm(at: number, mode: FaultMode): void {
    Object.assign(this, { count: 0, hit: false, dead: false });
    this.#at = at;
    this.#mode = mode;
  }

  disarm(): void {
    this.arm(-1, 'fail_before');
  }

  /** Called before an effect; returns the number of this edge, for `leave`. */
  enter(): number {
    if (this.dead) throw new Error('injected: the process is dead');
    const edge = ++this.count;
    if (edge === this.#at && this.#mode.endsWith('_before')) this.#break();
    return edge;
  }

  /** Called after the effect. */
  leave(edge: number): void {
    if (this.dead) throw new Error('injected: the process is dead');
    if (edge === this.#at && this.#mode.endsWith('_after') && !this.hit) this.#break();
  }

  #break(): never {
    this.hit = true;
    this.dead = this.#mode.startsWith('kill');
    throw new Error(`injected: ${this.#mode} at edge ${this.#at}`);
  }
}

/** The database with an edge at every statement and every commit. */
export function faultyDatabase(database: Database, faults: Faults): Database {
  const wrap = <T extends object>(sql: T): T =>
    new Proxy(sql, {
      apply(target, self, args: unknown[]) {
        const call = target as unknown as (...all: unknown[]) => object;
        if (!Array.isArray(args[0]) || !('raw' in args[0])) return Reflect.apply(call, self, args);
        const query = Reflect.apply(call, self, args) as Promise<unknown>;
        return new Proxy(query, {
          get(inner, key) {
            if (key === 'then') {
              // A query is sent when it is awaited; a fragment of another one never is.
              return (done: (rows: unknown) => unknown, failed: (error: unknown) => unknown) => {
                const sent = async () => {
                  const edge = faults.enter();
                  const rows = await inner;
                  faults.leave(edge);
                  return rows;
                };
                return sent().then(done, failed);
              };
            }
            const value = Reflect.get(inner, key) as unknown;
            return typeof value === 'function' ? value.bind(inner) : value;
          },
        });
      },
      get(target, key) {
        if (key !== 'begin') return Reflect.get(target, key) as unknown;
        return async (work: (tx: object) => Promise<unknown>) => {
          const begin = (target as unknown as Database).begin.bind(target);
          const result = await begin((tx) => work(wrap(tx)));
          // The commit is done; only its answer can be lost.
          faults.leave(faults.enter());
          return result;
        };
      },
    });
  return wrap(database);
}

/** A proxy before the node with an edge at every call; resolves to its URL and its end. */
export async function faultyNode(
  rpcUrl: string,
  faults: Faults,
): Promise<{ url: string; close: () => void }> {
  const target = new URL(rpcUrl);
  const server: Server = createServer((incoming, outgoing) => {
    let edge: number;
    try {
      edge = faults.enter();
    } catch {
      incoming.socket.destroy();
      return;
    }
    const forward = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        path: incoming.url,
        method: incoming.method,
        headers: incoming.headers,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          try {
            faults.leave(edge);
          } catch {
            incoming.socket.destroy();
            return;
          }
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
          outgoing.end(Buffer.concat(chunks));
        });
      },
    );
    forward.on('error', () => incoming.socket.destroy());
    incoming.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
