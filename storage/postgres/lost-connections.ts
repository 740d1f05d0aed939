// What the client library (postgres 3.4.9) gets wrong when a connection is lost inside a transaction, mended from
// outside: statements of the callback, and the library's own rollback, still go to the connection that is gone. That
// leaves a place of the pool mute for ever, or ends the process (porsager/postgres#1154, #1208).
// Not mended: a hard reset under a running statement can still leave one place mute.
import type { Database, Transaction } from './connection.js';

/** Codes of errors after which a connection is closed. */
const LOST = new Set([
  ...['CONNECTION_CLOSED', 'CONNECTION_ENDED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'],
  ...['ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'],
]);

/** `begin` that leaves a lost connection alone: it rejects, and what its callback still wants is never sent. */
export function guardTransactions(database: Database): Database {
  const begin = database.begin.bind(database) as (
    options: string,
    work: (tx: Transaction) => Promise<unknown>,
  ) => Promise<unknown>;
  const guarded = async (...given: unknown[]): Promise<unknown> => {
    const work = given.at(-1) as (tx: Transaction) => Promise<unknown>;
    let isLost = false;
    try {
      return await begin(given.length > 1 ? String(given[0]) : '', async (tx) => {
        try {
          return await work(silentOnce(tx, () => isLost));
        } catch (error) {
          if (isLost || LOST.has((error as { code?: string }).code ?? '')) return await never();
          throw error;
        }
      });
    } catch (error) {
      isLost = true;
      throw error;
    }
  };
  database.begin = guarded as typeof database.begin;
  return database;
}

/** The transaction; once `isLost`, its statements wait for ever. */
function silentOnce(tx: Transaction, isLost: () => boolean): Transaction {
  return new Proxy(tx, {
    apply: (target, self, parts) => {
      // Not a statement but a piece of one: tx(names).
      const isStatement = Array.isArray((parts[0] as { raw?: unknown } | undefined)?.raw);
      return isStatement && isLost() ? never() : Reflect.apply(target, self, parts);
    },
    get: (target, name, receiver) => {
      const value: unknown = Reflect.get(target, name, receiver);
      if (name !== 'unsafe' && name !== 'savepoint') return value;
      return (...parts: unknown[]) =>
        isLost() ? never() : Reflect.apply(value as (...values: unknown[]) => unknown, target, parts);
    },
  });
}

/** `begin` has rejected by then; whoever waits here is collected. */
function never(): Promise<never> {
  return new Promise(() => {});
}
