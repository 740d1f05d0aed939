// A connection to Postgres that is lost inside a transaction: the transaction fails, the process lives, and the pool has
// all its connections again. Real server, real kills; a relay cuts hard where the server would say goodbye.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';

const POOL = 2;
const SEVENS = Array(POOL * 3).fill(7);
const BIG = 'x'.repeat(4000);

/** Passes bytes on until it resets all connections. */
class CuttingRelay {
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  port = 0;

  async start(target: URL): Promise<void> {
    this.#server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.#sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    this.port = (this.#server.address() as { port: number }).port;
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    this.reset();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()));
  }
}

describe('a connection lost inside a transaction', () => {
  const relay = new CuttingRelay();
  let folder: string;
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let database: Database;
  let other: Database;
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown) => uncaught.push(error);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-lost-'));
    server = await startPostgres({ dataDir: join(folder, 'postgres'), log: () => {} });
    const url = new URL(server.url);
    await relay.start(new URL(url));
    other = openPostgres({ url: url.href, poolSize: 1, timeoutS: 5 });
    url.port = String(relay.port);
    database = openPostgres({ url: url.href, poolSize: POOL, timeoutS: 5 });
    process.on('uncaughtException', onUncaught);
  }, 60_000);

  afterAll(async () => {
    process.off('uncaughtException', onUncaught);
    await database?.end({ timeout: 1 });
    await other?.end({ timeout: 1 });
    await relay.stop();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** More than there are connections. A wrong answer would be another statement's. */
  const answers = async (): Promise<unknown[]> => {
    const each = Array.from({ length: SEVENS.length }, () =>
      database.begin(async (tx) => tx`select pg_sleep(0.005), 7 as seven`),
    );
    const settled = await Promise.allSettled(each);
    const rows = settled.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    for (const row of rows) expect(row.seven).toBe(7);
    return rows.map((row) => row.seven);
  };
  const backend = async (tx: Database): Promise<number> =>
    (await tx<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  const cuts: [string, (tx: Database) => Promise<unknown>][] = [
    [
      'terminated between two statements',
      async (tx) => {
        const pid = await backend(tx);
        await other`select pg_terminate_backend(${pid})`;
        await pause(50);
      },
    ],
    [
      'terminated under a statement',
      async (tx) => {
        const pid = await backend(tx);
        setTimeout(() => void other`select pg_terminate_backend(${pid})`.catch(() => {}), 20);
        await tx`select pg_sleep(3)`;
      },
    ],
    [
      'reset between two statements',
      async () => {
        relay.reset();
        await pause(50);
      },
    ],
    [
      'reset in the moment of the next statement',
      async () => {
        relay.reset();
      },
    ],
  ];
  const statements: [string, (tx: Database) => Promise<unknown>][] = [
    ['a small statement', async (tx) => tx`select 1`],
    ['a large one', async (tx) => tx`select ${BIG}::text`],
    ['unsafe text', async (tx) => tx.unsafe('select 1')],
    ['an error of its own', async () => Promise.reject(new Error('of the caller'))],
  ];

  it.each(cuts.flatMap(([how, cut]) => statements.map(([what, next]) => [how, what, cut, next] as const)))(
    '%s, then %s',
    async (_how, _what, cut, next) => {
      for (let round = 0; round < 3; round++) {
        await expect(
          database.begin(async (tx) => {
            await cut(tx as unknown as Database);
            await next(tx as unknown as Database);
          }),
        ).rejects.toThrow();
        // The pool may need a moment to see the loss. Then every connection answers, and what it was asked.
        await expect.poll(() => answers().catch(() => []), { timeout: 10_000 }).toEqual(SEVENS);
      }
      expect(uncaught).toEqual([]);
    },
    20_000,
  );

  it('keeps rolling back what fails without a loss, and nests', async () => {
    await expect(database.begin(async (tx) => tx`select 1/0`)).rejects.toThrow(/division by zero/);
    const inner = await database.begin(async (tx) => {
      await tx.savepoint(async (nested) => nested`select 1/0`).catch(() => {});
      const names = ['seven'];
      const [row] = await tx`select ${tx(names)} from (select 7 as seven) as t`;
      return row?.seven;
    });
    expect(inner).toBe(7);
  });
});
