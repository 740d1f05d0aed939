import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { targetFromDifficulty } from '../../engine/bitcoin/target.js';
import { Fleet, type FleetOptions, workerNames } from '../../loadtest/fleet.js';
import { readHashrateCommand, type SimMinersStats } from '../../loadtest/ipc-messages.js';
import { readSettings, UsageError } from '../../loadtest/sim-settings.js';
import {
  FakePool,
  type FakePoolConnection,
  type FakePoolRequest,
  type FakePoolScript,
  hashOfSubmit,
} from './loadtest-fake-pool.js';

const stops: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function poolThat(script?: FakePoolScript, port?: number): Promise<FakePool> {
  const pool = await FakePool.start(script, port);
  stops.push(() => pool.stop());
  return pool;
}

function fleetOf(pool: FakePool, options: Partial<FleetOptions> = {}): Fleet {
  const fleet = new Fleet({
    ...{ host: '127.0.0.1', port: pool.port, miners: 2, accounts: ['acc'], hashrateHs: 500_000, threads: 1 },
    ...{ submitsInFlightMax: 64, clockMs: () => performance.now(), random: () => 0, onNotice: () => {} },
    onFatal: (error) => {
      throw error;
    },
    ...options,
  });
  stops.push(() => fleet.stop());
  fleet.start();
  return fleet;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Gives each miner a difficulty and a first job as soon as it is authorized. */
const withJob =
  (difficulty: number, more: FakePoolScript = () => undefined): FakePoolScript =>
  (request, connection) => {
    if (request.method !== 'mining.authorize') return more(request, connection);
    connection.answer(request.id, true);
    connection.setDifficulty(difficulty);
    connection.notify('first', true);
    return 'handled';
  };

const submitsOf = (pool: FakePool): FakePoolRequest[] =>
  pool.connections.flatMap((connection) => connection.submits());

describe('a fleet of simulated miners', () => {
  it('submits only headers that meet the target, each once, under the name of its miner', async () => {
    const difficulty = 1e-7;
    const pool = await poolThat(withJob(difficulty));
    fleetOf(pool, { miners: 4, accounts: ['alice', 'bob'] });
    await until(
      () => pool.connections.length === 4 && pool.connections.every((c) => c.submits().length >= 50),
    );
    const submits = submitsOf(pool);
    const target = targetFromDifficulty(difficulty);
    for (const submit of submits) expect(hashOfSubmit(submit) <= target).toBe(true);
    for (const connection of pool.connections) {
      // One connection is one extranonce1: within it no header may come twice.
      const shares = connection.submits().map(({ params }) => params.slice(1).join(':'));
      expect(new Set(shares).size).toBe(shares.length);
      expect(new Set(connection.submits().map(({ params }) => params[0])).size).toBe(1);
    }
    expect(new Set(submits.map(({ params }) => params[0]))).toEqual(
      new Set(['alice.rig1', 'bob.rig1', 'alice.rig2', 'bob.rig2']),
    );
    const rolling = pool.connections.filter(({ requests }) => requests[0]?.method === 'mining.configure');
    expect(rolling).toHaveLength(2);
    expect(rolling.every((c) => c.submits().every(({ params }) => params.length === 6))).toBe(true);
  });

  it('sends nothing more for a void job once it has read the job that voids it', async () => {
    const pool = await poolThat(withJob(1e-7));
    fleetOf(pool);
    for (const jobId of ['second', 'third', 'fourth']) {
      await until(() => submitsOf(pool).length > 0);
      for (const connection of pool.connections) connection.notify(jobId, true);
      // Lines are read in order: the pong shows that the job before it was read.
      const marks = await Promise.all(pool.connections.map(ponged));
      await until(() => pool.connections.every((c, i) => c.requests.length > (marks[i] ?? 0) + 20));
      for (const [i, connection] of pool.connections.entries()) {
        const after = connection.requests.slice(marks[i]).filter(({ method }) => method === 'mining.submit');
        expect(new Set(after.map(({ params }) => params[1]))).toEqual(new Set([jobId]));
      }
    }
  });

  it('credits shares of the job before with the difficulty of that job', async () => {
    const pool = await poolThat(withJob(1e-7));
    const fleet = fleetOf(pool, { miners: 1 });
    await until(() => submitsOf(pool).length > 20);
    pool.connections[0]?.setDifficulty(2e-7);
    pool.connections[0]?.notify('second', false);
    await until(() => submitsOf(pool).filter(({ params }) => params[1] === 'second').length > 20);
    await fleet.stop();
    const totals = fleet.totals();
    const first = submitsOf(pool).filter(({ params }) => params[1] === 'first').length;
    const second = submitsOf(pool).filter(({ params }) => params[1] === 'second').length;
    expect(totals.accepted).toBe(first + second);
    expect(totals.acceptedDifficulty).toBeCloseTo(first * 1e-7 + second * 2e-7, 12);
  });

  it('keeps shares in flight bounded where every hash is a share, and goes on when answered', async () => {
    const withheld: [number, FakePoolConnection][] = [];
    let withholding = true;
    const pool = await poolThat(
      withJob(1e-10, ({ id, method }, connection) => {
        if (method !== 'mining.submit' || !withholding) return undefined;
        withheld.push([id, connection]);
        return 'handled';
      }),
    );
    const fleet = fleetOf(pool, { miners: 1, submitsInFlightMax: 16, hashrateHs: null });
    await until(() => withheld.length === 16);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(withheld).toHaveLength(16);
    expect(fleet.totals().hashes).toBeLessThanOrEqual(16);
    withholding = false;
    for (const [id, connection] of withheld) connection.answer(id, true);
    await until(() => submitsOf(pool).length > 500);
  });

  it('gives every miner its share of the hash rate', async () => {
    const pool = await poolThat(withJob(1e-10));
    // One thread: on a busy machine the system may give two of them unequal time.
    fleetOf(pool, { miners: 5, hashrateHs: 5_000, threads: 1 });
    await until(() => pool.connections.length === 5 && pool.connections.every((c) => c.submits().length > 0));
    const start = pool.connections.map((c) => c.submits().length);
    await until(() => submitsOf(pool).length > 2_000);
    const counts = pool.connections.map((c, i) => c.submits().length - (start[i] ?? 0));
    // A turn is at most 32 hashes here, and a miner has at most four turns at once.
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(128);
  });

  it('comes back when the pool drops it in the middle of a share, and its books still add up', async () => {
    let dropped = 0;
    const pool = await poolThat(
      withJob(1e-7, ({ method }, connection) => {
        if (method !== 'mining.submit' || dropped >= 3) return undefined;
        dropped++;
        connection.socket.destroy();
        return 'handled';
      }),
    );
    const fleet = fleetOf(pool);
    await until(() => dropped === 3 && fleet.totals().accepted > 20);
    await fleet.stop();
    const { submitted, accepted, unanswered, rejected } = fleet.totals();
    expect(unanswered).toBeGreaterThanOrEqual(3);
    expect(rejected).toEqual({});
    expect(submitted).toBe(accepted + unanswered);
  });

  it('waits for a pool that is not there yet', async () => {
    const early = await FakePool.start();
    await early.stop();
    const notices: string[] = [];
    const fleet = fleetOf(early, { miners: 1, onNotice: (text) => notices.push(text) });
    await until(() => notices.length > 0);
    expect(notices[0]).toMatch(/^acc\.rig1: .*ECONNREFUSED.*trying again$/);
    await poolThat(withJob(1e-7), early.port);
    await until(() => fleet.totals().accepted > 0);
  });

  it('stands still at the end: no share after stop, every answer that was due counted', async () => {
    const pool = await poolThat(withJob(1e-7));
    const fleet = fleetOf(pool);
    await until(() => fleet.totals().accepted > 50);
    await fleet.stop();
    const totals = fleet.totals();
    expect(totals.submitted).toBe(totals.accepted);
    expect(totals.accepted).toBe(submitsOf(pool).length);
    expect(totals.connected).toBe(0);
  });

  it('names its workers by account and rig', () => {
    expect(workerNames(['a', 'b'], 5)).toEqual(['a.rig1', 'b.rig1', 'a.rig2', 'b.rig2', 'a.rig3']);
  });
});

/** Resolves with the number of requests read up to the answer to a ping sent now. */
async function ponged(connection: FakePoolConnection): Promise<number> {
  const id = 1_000_000 + connection.requests.length;
  connection.send({ id, method: 'mining.ping', params: [] });
  await until(() => connection.requests.some((request) => request.id === id));
  return connection.requests.findIndex((request) => request.id === id);
}

describe('simulated miners as a process', () => {
  function forkMiners(...args: string[]): {
    child: ChildProcess;
    stats: SimMinersStats[];
    exit: Promise<unknown>;
  } {
    const path = fileURLToPath(new URL('../../loadtest/sim-miners.js', import.meta.url));
    const child = fork(path, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const stats: SimMinersStats[] = [];
    child.on('message', (message) => stats.push(message as SimMinersStats));
    const exit = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    stops.push(() => child.kill('SIGKILL'));
    return { child, stats, exit };
  }

  it('mines, reports once a second, changes its rate on command, and ends on SIGTERM with full books', async () => {
    const pool = await poolThat(withJob(1e-7));
    const { child, stats, exit } = forkMiners(
      ...[
        '--port',
        String(pool.port),
        '--account',
        'acc',
        '--miners',
        '3',
        '--hashrate',
        '20000',
        '--threads',
        '1',
      ],
    );
    await until(() => (stats.at(-1)?.accepted ?? 0) > 0);
    expect(stats.at(-1)).toMatchObject({ type: 'stats', miners: 3, connected: 3 });
    child.send({ type: 'hashrate', hs: 'fast' });
    child.send({ type: 'hashrate', hs: 200_000 });
    // Ctrl-C in a terminal reaches parent and miners alike: it is the parent that ends them.
    child.kill('SIGINT');
    await until(() => (stats.at(-1)?.hashrate ?? 0) > 60_000);
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    const last = stats.at(-1);
    expect(last?.connected).toBe(0);
    expect(last?.submitted).toBe(last?.accepted);
    expect(last?.accepted).toBe(submitsOf(pool).length);
  });

  it('ends when its parent is gone', async () => {
    const pool = await poolThat(withJob(1e-7));
    const { child, stats, exit } = forkMiners(
      '--port',
      String(pool.port),
      '--account',
      'acc',
      '--threads',
      '1',
    );
    await until(() => stats.length > 0);
    child.disconnect();
    expect(await exit).toBe(0);
  });

  it('refuses a command line it cannot follow, naming option and value', () => {
    const ok = ['--account', 'a'];
    expect(readSettings(ok, 2)).toEqual({
      ...{ host: '127.0.0.1', port: 3333, accounts: ['a'], miners: 4, hashrateHs: null, threads: 2 },
      submitsInFlightMax: 64,
    });
    expect(readSettings(['--account', 'a, b', '--hashrate', '1.5e6'], 2)).toMatchObject({
      accounts: ['a', 'b'],
      hashrateHs: 1_500_000,
    });
    expect(readSettings([...ok, '--hashrate', '0'], 2)?.hashrateHs).toBeNull();
    expect(readSettings(['--help'], 2)).toBeNull();
    const bad: [string[], RegExp][] = [
      [[], /--account must be/],
      [['--account', 'a,,b'], /--account must be/],
      [[...ok, '--port', '0'], /--port is "0", expected a whole number from 1 to 65535/],
      [[...ok, '--miners', 'many'], /--miners is "many"/],
      [[...ok, '--hashrate', '-1'], /--hashrate is "-1"|ambiguous/],
      [[...ok, '--hashrate=fast'], /--hashrate is "fast"/],
      [[...ok, '--no-such-option'], /no-such-option/],
    ];
    for (const [args, message] of bad) {
      expect(() => readSettings(args, 2)).toThrow(UsageError);
      expect(() => readSettings(args, 2)).toThrow(message);
    }
  });

  it('understands only hash rates that make sense', () => {
    expect(readHashrateCommand({ type: 'hashrate', hs: null })).toEqual({ type: 'hashrate', hs: null });
    expect(readHashrateCommand({ type: 'hashrate', hs: 5 })).toEqual({ type: 'hashrate', hs: 5 });
    for (const odd of [null, 'x', { type: 'stop' }, { type: 'hashrate' }, { type: 'hashrate', hs: -1 }]) {
      expect(readHashrateCommand(odd)).toBeNull();
    }
  });
});
