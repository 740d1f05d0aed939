// Takes the database away in the middle of an operation, at a moment of choice. A fault injector, not a stand-in: the
// server really ends the connection, and the store finds out as it would.
import type { Database } from '../../storage/postgres/connection.js';

/**
 * `statement`: the process gets no further than its n-th statement and the server ends the connection, within a
 * transaction or before it. `answer`: the commit is done and its answer is lost.
 */
export type CutMode = 'statement' | 'answer';
export const CUT_MODES: readonly CutMode[] = ['statement', 'statement', 'answer'];

export class Cuts {
  /** Faults that happened. */
  happened = 0;
  readonly #admin: Database;
  #mode: CutMode | null = null;
  #left = 0;
  #pid = 0;

  constructor(admin: Database) {
    this.#admin = admin;
  }

  /** The next operation on `database`, which has one connection, breaks at its `at`-th statement, or at its first commit. */
  async arm(database: Database, mode: CutMode, at: number): Promise<void> {
    const [row] = await database<{ pid: number }[]>`select pg_backend_pid() as pid`;
    this.#pid = row?.pid ?? 0;
    this.#mode = mode;
    this.#left = at;
  }

  disarm(): void {
    this.#mode = null;
  }

  /** Called before each statement; never resolves when it is the last one. Outside a transaction it throws. */
  async statement(inTransaction: boolean): Promise<void> {
    if (this.#mode !== 'statement' || --this.#left > 0) return;
    this.#mode = null;
    this.happened++;
    if (!inTransaction) throw new Error('injected: the process ended before its statement');
    await this.#admin`select pg_terminate_backend(${this.#pid})`;
    await new Promise(() => {});
  }

  /** Called after a commit. */
  committed(): void {
    if (this.#mode !== 'answer') return;
    this.#mode = null;
    this.happened++;
    throw new Error('injected: the answer to the commit was lost');
  }
}

/** `database` with a place to break at before each statement, at each commit and after it. */
export function cutDatabase(database: Database, cuts: Cuts): Database {
  const wrap = <T extends object>(sql: T, inTransaction: boolean): T =>
    new Proxy(sql, {
      apply(target, self, args: unknown[]) {
        const call = target as unknown as (...all: unknown[]) => object;
        if (!Array.isArray(args[0]) || !('raw' in args[0])) return Reflect.apply(call, self, args);
        const query = Reflect.apply(call, self, args) as Promise<unknown>;
        return new Proxy(query, {
          get(inner, key) {
            // A query is sent when it is awaited; a fragment of another one never is.
            if (key === 'then') {
              return (done: (rows: unknown) => unknown, failed: (error: unknown) => unknown) =>
                cuts
                  .statement(inTransaction)
                  .then(() => inner)
                  .then(done, failed);
            }
            const value = Reflect.get(inner, key) as unknown;
            return typeof value === 'function' ? value.bind(inner) : value;
          },
        });
      },
      get(target, key) {
        if (key !== 'begin') return Reflect.get(target, key) as unknown;
        return async (work: (tx: object) => Promise<unknown>) => {
          const result = await (target as unknown as Database).begin((tx) => work(wrap(tx, true)));
          cuts.committed();
          return result;
        };
      },
    });
  return wrap(database, false);
}
