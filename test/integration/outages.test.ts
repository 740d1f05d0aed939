// What a pool meets in real life: a plain old miner, hostile bytes, and each of its servers dying in the
// middle of work. A pool on regtest (every second hash is a block there) without simulated miners.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../storage/project-root.js';
import { PoolProcess } from './pool-process.js';

const MINUTES = 60_000;
const USER = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.plain';

interface MinerEvent {
  event: string;
  accepted?: boolean;
  block?: boolean;
  error?: unknown;
}

let pool: PoolProcess;

beforeAll(async () => {
  pool = await PoolProcess.start(['--network', 'regtest', '--sim-miners', '0', '--vardiff-enabled', 'false']);
}, 3 * MINUTES);
afterAll(async () => {
  await pool.stop();
  pool.remove();
}, MINUTES);

/** Runs the independent miner of test/fixtures until it found `shares`; resolves with all it was answered. */
async function minePlainly(shares: number, port = pool.stratumPort): Promise<MinerEvent[]> {
  const program = join(projectRoot(), 'test', 'fixtures', 'plain-stratum-miner.mjs');
  const child: ChildProcess = spawn(process.execPath, [
    program,
    '127.0.0.1',
    String(port),
    USER,
    String(shares),
    '60',
  ]);
  let out = '';
  child.stdout?.on('data', (bytes: Buffer) => {
    out += bytes.toString('utf8');
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code, out).toBe(0);
  const events = out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as MinerEvent);
  if (port === pool.stratumPort) answeredTrue += accepted(events).length;
  return events;
}

const accepted = (events: MinerEvent[]) =>
  events.filter((each) => each.event === 'answer' && each.accepted === true);

/** All shares that were ever answered `true`; statistics lag by seconds, so the count is asked for by name. */
let answeredTrue = 0;

async function everythingIsStored(): Promise<void> {
  await pool.until(
    `${answeredTrue} shares in journal, ClickHouse and Postgres`,
    async () => {
      const { shares } = await pool.stats();
      return (
        shares.answered_true === answeredTrue &&
        shares.difference === 0 &&
        shares.clickhouse_rows === shares.answered_true &&
        shares.postgres_accepted === shares.answered_true
      );
    },
    90_000,
  );
}

/** Pid from the pid file of a server that the pool brought up. */
function pidOf(...path: string[]): number {
  return (JSON.parse(readFileSync(join(pool.dataDir, ...path), 'utf8')) as { pid: number }).pid;
}

async function say(lines: string, waitMs = 500): Promise<string> {
  return await new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(pool.stratumPort, '127.0.0.1', () => socket.write(lines));
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    setTimeout(() => socket.destroy(), waitMs);
  });
}

describe('a plain Stratum V1 miner', () => {
  it(
    'mines blocks with nothing but subscribe, authorize and submit',
    async () => {
      const answers = accepted(await minePlainly(5));
      expect(answers.length).toBeGreaterThanOrEqual(5);
      expect(answers.some((answer) => answer.block === true)).toBe(true);
      await pool.until('its blocks are in the chain', async () => (await pool.stats()).blocks.found >= 1);
      const { miners } = await pool.stats();
      await everythingIsStored();
      const rows = await pool.sql("SELECT count() FROM shares WHERE worker = 'plain'");
      expect(Number(rows)).toBe(answers.length);
      expect(miners).toBeDefined();
    },
    2 * MINUTES,
  );
});

describe('hostile bytes on the Stratum port', () => {
  it.each([
    ['malformed JSON', '{"id":1,\n', /"error":\[20/],
    [
      'an unknown method',
      '{"id":"a","method":"mining.dance","params":[]}\n',
      /"id":"a","result":null,"error":\[20/,
    ],
    [
      'a submit before authorize',
      '{"id":4,"method":"mining.submit","params":["a","b","c","d","e"]}\n',
      /"error":\[25/,
    ],
    ['bytes that are no text', '\u0000\u0001\u00ff\u00fe\n', /"error":\[20/],
    [
      'deep nesting',
      `{"id":1,"method":"x","params":${'['.repeat(7000)}${']'.repeat(7000)}}\n`,
      /"error":\[20/,
    ],
  ])('answers %s with an error', async (_what, bytes, expected) => {
    expect(await say(bytes)).toMatch(expected);
  });

  it(
    'refuses bad hex and wrong lengths in words, and stores them as what they are',
    async () => {
      const hello = `{"id":1,"method":"mining.subscribe","params":[]}\n{"id":2,"method":"mining.authorize","params":["hostile","x"]}\n`;
      const bad = [
        '["hostile","zz","00","00000000","00000000"]',
        '["hostile","1","0011223344556677","6553f100","xyzxyzxy"]',
        '["hostile","1","00","6553f100","00000000"]',
        '["hostile"]',
      ].map((params, index) => `{"id":${10 + index},"method":"mining.submit","params":${params}}\n`);
      const answer = await say(hello + bad.join(''), 1000);
      for (const index of bad.keys())
        expect(answer).toMatch(new RegExp(`"id":${10 + index},"result":null,"error":\\[2\\d`));
      await pool.until('the refusals are in ClickHouse', async () => {
        const rows = await pool.sql(
          "SELECT count() FROM submits WHERE account = 'hostile' AND verdict != 'accepted'",
        );
        return Number(rows) === bad.length;
      });
    },
    MINUTES,
  );

  it(
    'closes a peer whose line never ends, and goes on serving the others',
    async () => {
      await say('x'.repeat(20_000), 2000);
      expect(accepted(await minePlainly(1)).length).toBeGreaterThanOrEqual(1);
    },
    MINUTES,
  );
});

describe('servers that die in the middle of work', () => {
  it.each([
    ['the ClickHouse engine', () => pidOf('clickhouse', 'clickhouse.pid')],
    ['PostgreSQL', () => pidOf('postgres', 'postgres.pid')],
  ])(
    'mines on while %s is killed, and loses no share',
    async (_what, pid) => {
      process.kill(pid(), 'SIGKILL');
      const answers = accepted(await minePlainly(5));
      expect(answers.length).toBeGreaterThanOrEqual(5);
      await everythingIsStored();
      await pool.until('the pool is healthy', async () => (await pool.health()).body.status === 'ok', 90_000);
    },
    4 * MINUTES,
  );

  it(
    'starts a killed node again and finds blocks with it',
    async () => {
      const { found } = (await pool.stats()).blocks;
      process.kill(pidOf('bitcoind', 'regtest.pid'), 'SIGKILL');
      await pool.until('the end of the node is logged', () =>
        pool.log.some(({ msg }) => /Bitcoin node ended/.test(msg ?? '')),
      );
      await pool.until('it runs again', () =>
        pool.log.some(({ msg }) => /Bitcoin node runs again/.test(msg ?? '')),
      );
      await minePlainly(5);
      await pool.until('blocks are found again', async () => (await pool.stats()).blocks.found > found);
      await everythingIsStored();
    },
    3 * MINUTES,
  );

  it(
    'says so while the node is frozen, keeps answering its miners, and goes on when it thaws',
    async () => {
      const node = pidOf('bitcoind', 'regtest.pid');
      process.kill(node, 'SIGSTOP');
      try {
        await pool.until(
          'the loss is logged',
          () => pool.log.some(({ msg }) => /is lost/.test(msg ?? '')),
          90_000,
        );
        expect(accepted(await minePlainly(3)).length).toBeGreaterThanOrEqual(3);
        await pool.until(
          '/health says that the pool does not serve',
          async () => (await pool.health()).status === 503,
        );
      } finally {
        process.kill(node, 'SIGCONT');
      }
      await pool.until('/health is well again', async () => (await pool.health()).status === 200);
      await everythingIsStored();
    },
    4 * MINUTES,
  );
});

describe('servers that are not there at the start', () => {
  it.each([
    ['a node', { BITCOIN_RPC_URL: 'http://user:topsecret@127.0.0.1:1' }, /BITCOIN_RPC_URL|node/i],
    ['Postgres', { DATABASE_URL: 'postgres://user:topsecret@127.0.0.1:1/x' }, /DATABASE_URL/],
  ])(
    'refuses to start without %s, names the setting and no password',
    async (_what, env, expected) => {
      const { code, said } = await PoolProcess.refusal(['--network', 'regtest'], env);
      expect(code).toBe(1);
      expect(said).toMatch(expected);
      expect(said).not.toContain('topsecret');
    },
    2 * MINUTES,
  );

  it(
    'starts without ClickHouse, says so, and keeps its shares in the journal',
    async () => {
      const lonely = await PoolProcess.start(['--network', 'regtest', '--sim-miners', '0'], {
        env: { CLICKHOUSE_URL: 'http://127.0.0.1:1' },
      });
      try {
        accepted(await minePlainly(2, lonely.stratumPort));
        await lonely.until('ClickHouse is reported away', async () => {
          const { shares, pipelines } = await lonely.stats();
          return (
            shares.answered_true >= 2 &&
            pipelines.some((each) => each.consumer === 'clickhouse' && each.error !== null)
          );
        });
      } finally {
        await lonely.stop();
        lonely.remove();
      }
    },
    2 * MINUTES,
  );
});
