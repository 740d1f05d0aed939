import { afterEach, describe, expect, it } from 'vitest';
import { bytesToHex } from '../../engine/bitcoin/hex.js';
import { LINE_MAX_BYTES, LineReader, LineTooLongError } from '../../loadtest/line-reader.js';
import type { HeaderChoice, MiningJob } from '../../loadtest/mining-job.js';
import { ShareLedger } from '../../loadtest/share-ledger.js';
import { StratumClient, type StratumClientOptions } from '../../loadtest/stratum-client.js';
import {
  FakePool,
  type FakePoolConnection,
  type FakePoolScript,
  notifyParams,
} from './loadtest-fake-pool.js';

const pools: FakePool[] = [];
const clients: StratumClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const pool of pools.splice(0)) await pool.stop();
});

interface Session {
  readonly client: StratumClient;
  readonly connection: FakePoolConnection;
  readonly ledger: ShareLedger;
  readonly jobs: MiningJob[];
  readonly faults: string[];
}

async function connected(
  script?: FakePoolScript,
  options: Partial<StratumClientOptions> = {},
): Promise<Session> {
  const pool = await FakePool.start(script);
  pools.push(pool);
  const ledger = new ShareLedger();
  const client = new StratumClient({
    ...{ host: '127.0.0.1', port: pool.port, userAgent: 'test/1', ledger },
    ...options,
  });
  clients.push(client);
  const jobs: MiningJob[] = [];
  const faults: string[] = [];
  client.on('job', (job) => jobs.push(job));
  client.on('fault', (what) => faults.push(what));
  await client.connect();
  await until(() => pool.connections.length === 1);
  const connection = pool.connections[0];
  if (connection === undefined) throw new Error('no connection reached the fake pool');
  return { client, connection, ledger, jobs, faults };
}

async function subscribed(
  script?: FakePoolScript,
  options: Partial<StratumClientOptions> = {},
): Promise<Session> {
  const session = await connected(script, options);
  await session.client.subscribe();
  await session.client.authorize('account.rig1', 'x');
  return session;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

const closeOf = (client: StratumClient): Promise<string> =>
  new Promise((resolve) => client.once('close', resolve));

const choice = (nonce: number, versionBits = 0): HeaderChoice => ({
  extranonce2: Uint8Array.of(0, 0, 0, 1),
  time: 0x504e86ed,
  nonce,
  versionBits,
  versionMask: 0x1fffe000,
});

async function jobOf(session: Session, jobId: string, cleanJobs = false): Promise<MiningJob> {
  session.connection.notify(jobId, cleanJobs);
  await until(() => session.jobs.some((job) => job.jobId === jobId));
  return session.jobs.find((job) => job.jobId === jobId) as MiningJob;
}

describe('Stratum client: the conversation', () => {
  it('subscribes, authorizes and submits a share as plain miners write it', async () => {
    const session = await subscribed();
    const job = await jobOf(session, 'bf');
    const answer = await session.client.submit('account.rig1', job, choice(0xb2957c02));
    expect(answer).toEqual({ outcome: 'accepted' });
    expect(session.connection.requests.map(({ method, params }) => [method, params])).toEqual([
      ['mining.subscribe', ['test/1']],
      ['mining.authorize', ['account.rig1', 'x']],
      ['mining.submit', ['account.rig1', 'bf', '00000001', '504e86ed', 'b2957c02']],
    ]);
  });

  it('sends the rolled version bits as sixth parameter once rolling is negotiated', async () => {
    const session = await connected();
    expect(await session.client.configure(0x1fffe000)).toBe(0x1fffe000);
    await session.client.subscribe();
    const job = await jobOf(session, '1');
    await session.client.submit('w', job, choice(1, 0x00a00000));
    expect(session.connection.requests[0]?.params).toEqual([
      ['version-rolling'],
      { 'version-rolling.mask': '1fffe000', 'version-rolling.min-bit-count': 2 },
    ]);
    expect(session.connection.submits()[0]?.params[5]).toBe('00a00000');
  });

  it('rolls nothing when the pool declines, and only the common bits when it allows fewer or more', async () => {
    const reply =
      (result: unknown): FakePoolScript =>
      (request, connection) => {
        if (request.method !== 'mining.configure') return undefined;
        connection.answer(request.id, result);
        return 'handled';
      };
    const declined = await connected(reply({ 'version-rolling': false }));
    expect(await declined.client.configure(0x1fffe000)).toBe(0);
    const narrow = await connected(reply({ 'version-rolling': true, 'version-rolling.mask': '00ff0000' }));
    expect(await narrow.client.configure(0x1fffe000)).toBe(0x00ff0000);
    const wide = await connected(reply({ 'version-rolling': true, 'version-rolling.mask': 'ffffffff' }));
    expect(await wide.client.configure(0x1fffe000)).toBe(0x1fffe000);
  });

  it('takes over a new version mask at once, even from the packet that carries the configure reply', async () => {
    const session = await connected((request, connection) => {
      if (request.method !== 'mining.configure') return undefined;
      const reply = { 'version-rolling': true, 'version-rolling.mask': '1fffe000' };
      connection.raw(
        `${JSON.stringify({ id: request.id, result: reply, error: null })}\n` +
          `${JSON.stringify({ id: null, method: 'mining.set_version_mask', params: ['00006000'] })}\n`,
      );
      return 'handled';
    });
    await session.client.configure(0x1fffe000);
    expect(session.client.versionMask).toBe(0x00006000);
    session.connection.send({ id: null, method: 'mining.set_version_mask', params: ['ffffffff'] });
    await until(() => session.client.versionMask === 0x1fffe000);
  });

  it('does not roll for a pool that sends a mask to a miner that never asked', async () => {
    const session = await subscribed();
    session.connection.send({ id: null, method: 'mining.set_version_mask', params: ['1fffe000'] });
    await jobOf(session, '1');
    expect(session.client.versionMask).toBe(0);
  });

  it('takes the first job from the packet that carries the subscribe reply', async () => {
    const session = await connected((request, connection) => {
      if (request.method !== 'mining.subscribe') return undefined;
      connection.raw(
        `${JSON.stringify({ id: request.id, result: [[], 'aabbccdd', 8], error: null })}\n` +
          `${JSON.stringify({ id: null, method: 'mining.set_difficulty', params: [0.25] })}\n` +
          `${JSON.stringify({ id: null, method: 'mining.notify', params: notifyParams('first', true) })}\n`,
      );
      return 'handled';
    });
    await session.client.subscribe();
    expect(session.jobs[0]).toMatchObject({ jobId: 'first', difficulty: 0.25, extranonce2Bytes: 8 });
  });

  it('gives a new extranonce to the jobs that follow and leaves it from those before', async () => {
    const session = await subscribed();
    const before = await jobOf(session, '1');
    session.connection.send({ id: null, method: 'mining.set_extranonce', params: ['ff00ff', 6] });
    const after = await jobOf(session, '2');
    expect([bytesToHex(before.extranonce1), before.extranonce2Bytes]).toEqual(['08000002', 4]);
    expect([bytesToHex(after.extranonce1), after.extranonce2Bytes]).toEqual(['ff00ff', 6]);
  });

  it('answers what a pool asks, and refuses what it does not know', async () => {
    const session = await subscribed();
    session.connection.send({ id: 71, method: 'client.get_version', params: [] });
    session.connection.send({ id: 72, method: 'mining.ping', params: [] });
    session.connection.send({ id: 73, method: 'mining.dance', params: [] });
    await until(() => session.connection.requests.some(({ id }) => id === 73));
    expect(session.connection.requests.slice(-3)).toEqual([
      { id: 71, result: 'test/1', error: null },
      { id: 72, result: 'pong', error: null },
      { id: 73, result: null, error: [20, 'Unsupported method', null] },
    ]);
  });

  it('ends the session on client.reconnect and never follows it to another address', async () => {
    const session = await subscribed();
    const closed = closeOf(session.client);
    session.connection.send({ id: null, method: 'client.reconnect', params: ['thief.example', 3333, 0] });
    expect(await closed).toBe('the pool asked to connect again');
  });

  it('rejects a login that the pool refuses with an error, and tells false from true', async () => {
    const session = await connected((request, connection) => {
      if (request.method !== 'mining.authorize') return undefined;
      if (request.params[0] === 'nobody')
        connection.answer(request.id, null, [24, 'Unauthorized worker', null]);
      else connection.answer(request.id, false);
      return 'handled';
    });
    await expect(session.client.authorize('nobody', 'x')).rejects.toThrow(
      'the pool refused mining.authorize: 24 Unauthorized worker',
    );
    expect(await session.client.authorize('other', 'x')).toBe(false);
  });
});

describe("Stratum client: the miner's books", () => {
  it('credits a share with the difficulty that was in force when its job came', async () => {
    const session = await subscribed();
    session.connection.setDifficulty(0.5);
    const early = await jobOf(session, 'early');
    session.connection.setDifficulty(1e-10);
    const late = await jobOf(session, 'late');
    expect(session.client.difficulty).toBe(1e-10);
    await session.client.submit('w', late, choice(1));
    await session.client.submit('w', early, choice(2));
    expect(session.ledger.totals()).toMatchObject({
      submitted: 2,
      accepted: 2,
      acceptedDifficulty: 0.5 + 1e-10,
    });
    expect(bytesToHex(late.targetLE)).toBe('ff'.repeat(32));
  });

  it('counts rejections by code and reason, in every shape in which pools write errors', async () => {
    const errors: [unknown, unknown][] = [
      [null, [21, 'Job not found', null]],
      [null, { code: 23, message: 'Low difficulty share' }],
      [null, 'go away'],
      [false, null],
      ['true', null],
      [true, [22, 'Duplicate share', null]],
    ];
    const session = await subscribed((request, connection) => {
      if (request.method !== 'mining.submit') return undefined;
      const [result, error] = errors.shift() ?? [true, null];
      connection.answer(request.id, result, error);
      return 'handled';
    });
    const job = await jobOf(session, '1');
    for (let i = 0; i < 7; i++) await session.client.submit('w', job, choice(i));
    expect(session.ledger.totals()).toEqual({
      submitted: 7,
      accepted: 1,
      acceptedDifficulty: 1,
      rejected: {
        '21 Job not found': 1,
        '23 Low difficulty share': 1,
        '20 go away': 1,
        '20 answered without true and without an error': 2,
        '22 Duplicate share': 1,
      },
      unanswered: 0,
    });
  });

  it('counts a share as unanswered when the pool drops the connection in between', async () => {
    const session = await subscribed((request, connection) => {
      if (request.method !== 'mining.submit') return undefined;
      connection.raw('{"id":3,"resu');
      connection.socket.destroySoon();
      return 'handled';
    });
    const job = await jobOf(session, '1');
    const answers = [1, 2, 3].map((nonce) => session.client.submit('w', job, choice(nonce)));
    expect(await Promise.all(answers)).toEqual(answers.map(() => ({ outcome: 'unanswered' })));
    expect(session.ledger.totals()).toMatchObject({ submitted: 3, accepted: 0, unanswered: 3 });
    expect(session.ledger.pending).toBe(0);
    expect(() => session.client.submit('w', job, choice(4))).toThrow(RangeError);
  });

  it('ends the connection when a request stays unanswered, so that no late answer upsets the books', async () => {
    const silent: FakePoolScript = ({ method }) => (method === 'mining.submit' ? 'handled' : undefined);
    const session = await subscribed(silent, { requestTimeoutMs: 100 });
    const job = await jobOf(session, '1');
    const closed = closeOf(session.client);
    expect(await session.client.submit('w', job, choice(1))).toEqual({ outcome: 'unanswered' });
    expect(await closed).toBe('the pool was silent for 100 ms');
  });

  it('has no more shares in flight than it may', async () => {
    const silent: FakePoolScript = ({ method }) => (method === 'mining.submit' ? 'handled' : undefined);
    const session = await subscribed(silent, { submitsInFlightMax: 3 });
    const job = await jobOf(session, '1');
    for (let i = 0; i < 3; i++) void session.client.submit('w', job, choice(i));
    expect(session.client.submitSlots).toBe(0);
    expect(() => session.client.submit('w', job, choice(9))).toThrow(RangeError);
    await until(() => session.connection.submits().length === 3);
    const first = session.connection.submits()[0];
    session.connection.answer(first?.id ?? 0, true);
    await until(() => session.client.submitSlots === 1);
  });
});

describe('Stratum client: a pool that misbehaves', () => {
  it('reports nonsense and goes on working', async () => {
    const session = await subscribed();
    const nonsense = [
      'this is not JSON',
      '[1,2,3]',
      'null',
      '{"id":9999,"result":true,"error":null}',
      '{"result":true}',
      '{"id":null,"method":"mining.notify","params":["x"]}',
      '{"id":null,"method":"mining.notify"}',
      '{"id":null,"method":"mining.set_difficulty","params":[0]}',
      '{"id":null,"method":"mining.set_difficulty","params":["1"]}',
      '{"id":null,"method":"mining.set_difficulty","params":[]}',
      '{"id":null,"method":"mining.set_extranonce","params":["xyz",4]}',
      '{"id":null,"method":"mining.set_extranonce","params":["aa",33]}',
      '{"id":null,"method":"mining.no_such_thing","params":[]}',
      `"${'x'.repeat(10_000)}"`,
    ];
    for (const line of nonsense) session.connection.raw(`${line}\r\n\n`);
    const job = await jobOf(session, 'good');
    expect(session.faults).toHaveLength(nonsense.length);
    for (const fault of session.faults) expect(fault.length).toBeLessThan(300);
    expect(job).toMatchObject({ difficulty: 1, extranonce2Bytes: 4 });
    expect(await session.client.submit('w', job, choice(1))).toEqual({ outcome: 'accepted' });
  });

  it('refuses a subscribe reply without a usable extranonce', async () => {
    for (const result of [
      true,
      null,
      [],
      [[], 'zz', 4],
      [[], 'aabb', -1],
      [[], 'aabb', 2.5],
      [[], 'aabb', '4'],
    ]) {
      const session = await connected((request, connection) => {
        if (request.method !== 'mining.subscribe') return undefined;
        connection.answer(request.id, result);
        return 'handled';
      });
      await expect(session.client.subscribe()).rejects.toThrow();
    }
  });

  it('takes no job before it is subscribed', async () => {
    const session = await connected();
    session.connection.notify('too early', true);
    await until(() => session.faults.length === 1);
    expect(session.jobs).toHaveLength(0);
  });

  it('gives up on a line without end', async () => {
    const session = await subscribed();
    const closed = closeOf(session.client);
    session.connection.raw('x'.repeat(LINE_MAX_BYTES + 1));
    expect(await closed).toMatch(/longer than/);
  });

  it('rejects connecting to a closed port with the reason', async () => {
    const pool = await FakePool.start();
    await pool.stop();
    const ledger = new ShareLedger();
    const client = new StratumClient({ host: '127.0.0.1', port: pool.port, userAgent: 'test/1', ledger });
    await expect(client.connect()).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe('line reader', () => {
  it('finds the same lines however the stream is cut', () => {
    const stream = Buffer.from('{"a":1}\r\n\n{"b":"Österreich"}\n  \n{"c":3}\nrest');
    for (let size = 1; size <= stream.length; size++) {
      const reader = new LineReader();
      const lines: string[] = [];
      for (let at = 0; at < stream.length; at += size) {
        reader.push(stream.subarray(at, at + size), (line) => lines.push(line));
      }
      expect(lines).toEqual(['{"a":1}', '{"b":"Österreich"}', '{"c":3}']);
    }
  });

  it('bounds a line that comes in pieces', () => {
    const reader = new LineReader();
    const piece = new Uint8Array(LINE_MAX_BYTES / 2).fill(0x61);
    reader.push(piece, () => {});
    reader.push(piece, () => {});
    expect(() => reader.push(Uint8Array.of(0x61), () => {})).toThrow(LineTooLongError);
  });
});
