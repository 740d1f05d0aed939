// The embedded PostgreSQL under our supervisor: the real server, started, stopped, killed and orphaned.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, describe, expect, it } from 'vitest';
import { processStartedAt } from '../../storage/embedded/child-process.js';
import { findFreePort } from '../../storage/embedded/free-port.js';
import { type EmbeddedPostgres, startPostgres } from '../../storage/embedded/postgres.js';
import { findPostgresPackage, usableBinaries } from '../../storage/embedded/postgres-binaries.js';

// As root this folder (0700) cannot be entered by the server's user: the case of a checkout below /root.
const folder = mkdtempSync(join(tmpdir(), 'millrace-postgres-'));
const dataDir = join(folder, 'postgres');
const clusterDir = join(dataDir, 'cluster');
const isRoot = process.getuid?.() === 0;
const running = new Set<EmbeddedPostgres>();

async function start(
  options: Partial<Parameters<typeof startPostgres>[0]> = {},
): Promise<EmbeddedPostgres & { lines: string[] }> {
  const lines: string[] = [];
  const server = await startPostgres({ dataDir, log: (line) => lines.push(line), ...options });
  running.add(server);
  return Object.assign(server, { lines });
}

async function stop(server: EmbeddedPostgres): Promise<void> {
  await server.stop();
  running.delete(server);
}

/** Runs one piece of work on a connection of its own. */
async function on<T>(
  server: { url: string },
  work: (sql: postgres.Sql<{ bigint: bigint }>) => Promise<T>,
): Promise<T> {
  const sql = postgres(server.url, { max: 1, onnotice: () => {}, types: { bigint: postgres.BigInt } });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

afterAll(async () => {
  for (const server of running) await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('the embedded PostgreSQL', () => {
  it('keeps what was committed over a restart, satoshis as bigint', async () => {
    const first = await start();
    expect(first.version).toMatch(/^18\./);
    await on(first, async (sql) => {
      await sql`create table ledger (id int primary key, sats bigint not null)`;
      await sql`insert into ledger values (1, ${2_100_000_000_000_000n}), (2, ${-1n})`;
    });
    await stop(first);
    expect(processStartedAt(first.pid)).toBeNull();

    const second = await start();
    expect(second.url.split('@')[0]).toBe(first.url.split('@')[0]);
    const rows = await on(second, (sql) => sql`select sats from ledger order by id`);
    expect(rows.map(({ sats }) => sats)).toEqual([2_100_000_000_000_000n, -1n]);
    await stop(second);
  });

  it('is set up for money: checksums, no commit answered before it is on disk, password, loopback', async () => {
    const server = await start();
    const setting = (name: string) =>
      on(server, async (sql) => (await sql.unsafe(`show ${name}`))[0]?.[name]);
    expect(await setting('data_checksums')).toBe('on');
    expect(await setting('fsync')).toBe('on');
    expect(await setting('synchronous_commit')).toBe('on');
    expect(await setting('listen_addresses')).toBe('127.0.0.1');
    expect(statSync(join(dataDir, 'password')).mode & 0o777).toBe(0o600);
    const guess = new URL(server.url);
    guess.password = 'guess';
    await expect(on({ url: guess.href }, (sql) => sql`select 1`)).rejects.toThrow(
      /password authentication failed/,
    );
    await stop(server);
  });

  it('takes the next port when the wished one is busy, and says so', async () => {
    const port = await findFreePort();
    const other = createServer().listen(port, '127.0.0.1');
    const server = await start({ port });
    expect(server.port).toBeGreaterThan(port);
    expect(server.lines.join()).toContain(`Port ${port} is busy`);
    other.close();
    await stop(server);
  });

  it('refuses a folder that a running Millrace holds, and leaves that one alone', async () => {
    const server = await start();
    await expect(startPostgres({ dataDir, log: () => {} })).rejects.toThrow(/Another Millrace runs/);
    expect(await on(server, async (sql) => (await sql`select 1 as one`)[0]?.one)).toBe(1);
    await stop(server);
  });

  it('is started again on the same port when it is killed, with every committed row', async () => {
    let ends = 0;
    const server = await start({ onExit: () => ends++ });
    const killed = server.pid;
    await on(server, (sql) => sql`insert into ledger select n, n from generate_series(10, 1000) n`);
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => server.pid !== 0 && server.pid !== killed, { timeout: 20_000 }).toBe(true);
    expect(ends).toBe(1);
    expect(await on(server, async (sql) => (await sql`select count(*)::int as n from ledger`)[0]?.n)).toBe(
      993,
    );
    await stop(server);
  });

  it.each([
    ['told by the kernel', process.env.PATH],
    ['not told by anybody', '/nonexistent'],
  ])('that outlived its pool (kill -9), %s, is ended by the next start', async (_, path) => {
    const module = new URL('../../storage/embedded/postgres.js', import.meta.url).href;
    const script = `
      const { startPostgres } = await import(${JSON.stringify(module)});
      const server = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
      console.log(server.pid);
      setInterval(() => {}, 1000);`;
    const pool = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, PATH: path },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const orphan = Number(await new Promise((resolve) => pool.stdout.once('data', resolve)));
    expect(processStartedAt(orphan)).not.toBeNull();
    const gone = new Promise((resolve) => pool.once('exit', resolve));
    pool.kill('SIGKILL');
    await gone;

    const server = await start();
    expect(processStartedAt(orphan)).toBeNull();
    expect(await on(server, async (sql) => (await sql`select count(*)::int as n from ledger`)[0]?.n)).toBe(
      993,
    );
    await stop(server);
  });

  it.skipIf(process.platform !== 'linux')(
    'does not believe a lock file whose process id belongs to a stranger now',
    async () => {
      // What a machine that lost power leaves; the id belongs to another program of that user after the boot.
      const stranger = spawn('sleep', ['60'], isRoot ? { uid: 65_534, gid: 65_534 } : {});
      const lock = [stranger.pid, clusterDir, 1, 5432, '', '127.0.0.1', '', 'ready   '].join('\n');
      writeFileSync(join(clusterDir, 'postmaster.pid'), `${lock}\n`);
      const server = await start();
      expect(server.pid).not.toBe(stranger.pid);
      expect(stranger.exitCode).toBeNull();
      stranger.kill();
      await stop(server);
    },
  );

  it.skipIf(process.platform !== 'linux')('starts over a lock file that its server never wrote', async () => {
    // Killed between making the file and writing it: found by 500 rounds of the kill loop.
    writeFileSync(join(clusterDir, 'postmaster.pid'), '');
    const server = await start();
    await stop(server);
  });

  it('starts anew after a first start that was killed half-way', async () => {
    const torn = join(folder, 'torn');
    mkdirSync(join(torn, 'cluster.new-1a2b3c4d', 'base'), { recursive: true });
    writeFileSync(join(torn, 'cluster.new-1a2b3c4d', 'PG_VERSION'), '18\n');
    const server = await start({ dataDir: torn });
    await stop(server);
    const visible = readdirSync(torn).filter((name) => !name.endsWith('.log'));
    expect(visible.sort()).toEqual([
      'cluster',
      'password',
      ...visible.filter((name) => name.startsWith('postgresql-')),
    ]);
  });

  it('refuses data of another major version with the way out', async () => {
    const file = join(clusterDir, 'PG_VERSION');
    const version = readFileSync(file, 'utf8');
    writeFileSync(file, '15\n');
    await expect(startPostgres({ dataDir, log: () => {} })).rejects.toThrow(
      /is of PostgreSQL 15, this Millrace brings PostgreSQL 18.*DATABASE_URL/,
    );
    writeFileSync(file, version);
    await stop(await start());
  });

  it.runIf(isRoot)('never runs as root, and its data belongs to the user it runs as', async () => {
    const server = await start();
    expect(statSync(`/proc/${server.pid}`).uid).toBe(65_534);
    expect(statSync(clusterDir).uid).toBe(65_534);
    await stop(server);
  });
});

describe("PostgreSQL's programs", () => {
  const original = findPostgresPackage();

  function installWithoutScripts(): string {
    const place = mkdtempSync(join(folder, 'package-'));
    cpSync(original.folder, place, { recursive: true, verbatimSymlinks: true });
    for (const name of readdirSync(join(place, 'native', 'lib'))) {
      const path = join(place, 'native', 'lib', name);
      if (lstatSync(path).isSymbolicLink()) rmSync(path);
    }
    return place;
  }

  it('get their library links back after npm ci --ignore-scripts', () => {
    const place = installWithoutScripts();
    const native = usableBinaries({ ...original, folder: place }, {}, join(folder, 'unused'), () => {});
    expect(native).toBe(join(place, 'native'));
    const list = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { target: string }[];
    expect(list.length).toBeGreaterThan(0);
    expect(list.filter(({ target }) => !existsSync(join(place, target)))).toEqual([]);
  });

  it.skipIf(isRoot)('are copied when the links cannot be made where they are', () => {
    const place = installWithoutScripts();
    chmodSync(join(place, 'native', 'lib'), 0o555);
    const copies = join(folder, 'copies');
    const native = usableBinaries({ ...original, folder: place }, {}, copies, () => {});
    chmodSync(join(place, 'native', 'lib'), 0o755);
    expect(native.startsWith(copies)).toBe(true);
  });

  it.runIf(isRoot)('are copied once to where the server user gets when it may not enter the project', () => {
    const place = installWithoutScripts();
    const open = mkdtempSync(join(tmpdir(), 'millrace-open-'));
    chmodSync(open, 0o711);
    const lines: string[] = [];
    const copy = () =>
      usableBinaries({ ...original, folder: place }, { uid: 65_534, gid: 65_534 }, open, (line) =>
        lines.push(line),
      );
    try {
      expect(copy()).toBe(join(open, `postgresql-${original.version}`, 'native'));
      expect(copy()).toBe(join(open, `postgresql-${original.version}`, 'native'));
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(open);
    } finally {
      rmSync(open, { recursive: true, force: true });
    }
  });
});
