// Under attack, third part: bad work and floods of requests. The strike ladder, bans, and who must not be hit by them.
// Against the real connection thread, over sockets; time is put forward (stratum-attack-thread.ts).
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { seededRandom } from './stratum-attack-lines.js';
import { ADDRESS, type AttackMiner } from './stratum-attack-miner.js';
import { AttackedPool, type AttackedPoolOptions } from './stratum-attack-pool.js';

const SECOND = 1000;
const FARM = '203.0.113.9';
/** Time that passes between two bursts of junk, and a moment for the pool to look at its connections. */
const STEP_S = 5;
const LOOK_MS = 50;
/** Ids of submits that nobody waits for one by one. */
const MANY = 1_000_000;

let pool: AttackedPool;
const startPool = async (options?: AttackedPoolOptions): Promise<void> => {
  pool = await AttackedPool.start(options);
};
afterEach(async () => {
  await pool.probe();
  await pool.stop();
  expect(pool.faults).toEqual([]);
});

/** Nothing but junk from these until `wanted`. @returns seconds that passed for the pool, to the step */
async function junkUntil(miners: readonly AttackMiner[], wanted: () => boolean): Promise<number> {
  let passed = 0;
  for (; !wanted(); passed += STEP_S) {
    if (passed > 3600) throw new Error('an hour of junk has led to nothing');
    for (const miner of miners) if (!miner.closed) miner.send(miner.junk(STEP_S, MANY));
    await sleep(LOOK_MS);
    pool.advance(STEP_S * SECOND);
  }
  return passed;
}

const all = (miners: readonly AttackMiner[], wanted: (miner: AttackMiner) => boolean) => () =>
  miners.every(wanted);
const isTold = (miner: AttackMiner) => miner.told.includes('client.reconnect');

async function farmOf(count: number, from: string): Promise<AttackMiner[]> {
  return await Promise.all(Array.from({ length: count }, (_, i) => pool.miner(from, `rig${i}`)));
}

/** Each has delivered good work, and lives. */
async function expectAllMine(miners: readonly AttackMiner[]): Promise<void> {
  for (const reply of await Promise.all(miners.map((miner) => miner.share()))) {
    expect(reply).toMatchObject({ result: true });
  }
}

describe('nothing but bad work', () => {
  it('leads to a new job after 60 s, a reconnect after 120 s, the end after 180 s, and a ban of the address', async () => {
    await startPool({ banSeconds: 600 });
    const honest = await pool.miner('198.51.100.1');
    const bad = await pool.miner('203.0.113.1');
    const untilJob = await junkUntil([bad], () => bad.jobs.length > 1);
    expect(bad.told).not.toContain('client.reconnect');
    const untilReconnect = await junkUntil([bad], () => isTold(bad));
    expect(bad.closed).toBe(false);
    const untilEnd = await junkUntil([bad], () => bad.closed);
    for (const passed of [untilJob, untilReconnect, untilEnd]) {
      expect(passed).toBeGreaterThanOrEqual(60 - STEP_S);
    }
    expect(bad.jobs).toHaveLength(2);
    const { bans, closed } = await pool.stats();
    expect(closed).toMatchObject({ bad_work: 1 });
    expect(bans).toMatchObject([{ address: '203.0.113.1', offences: 1 }]);

    const again = await pool.connect('203.0.113.1');
    await again.untilClosed();
    expect(await pool.closedFor('banned')).toBe(1);
    await expectAllMine([honest, await pool.miner('203.0.113.2')]);

    // The ban ends, the strikes are remembered, and the next ban is longer.
    pool.advance(600 * SECOND);
    const back = await pool.miner('203.0.113.1');
    await junkUntil([back], () => back.closed);
    expect(back.told).not.toContain('client.reconnect');
    const [ban] = (await pool.stats()).bans;
    expect(ban).toMatchObject({ offences: 2 });
    expect(ban?.secondsLeft).toBeGreaterThan(1000);
  });

  it('is not forgiven by connecting again', async () => {
    await startPool();
    let bad = await pool.miner('203.0.113.1');
    await junkUntil([bad], () => bad.jobs.length > 1);
    bad.leave();
    bad = await pool.miner('203.0.113.1');
    await junkUntil([bad], () => isTold(bad));
    bad.leave();
    bad = await pool.miner('203.0.113.1');
    await junkUntil([bad], () => bad.closed);
    expect(bad.told).not.toContain('client.reconnect');
    expect(await pool.closedFor('bad_work')).toBe(1);
  });

  it('in a flood ends after 15 s', async () => {
    await startPool();
    const bad = await pool.miner('203.0.113.1');
    bad.send(bad.junk(5000, MANY));
    await bad.until(() => bad.replies.length >= 5000, 'not all is answered');
    await pool.stats();
    expect(bad.closed).toBe(false);
    pool.advance(15 * SECOND);
    await bad.untilClosed();
    expect(await pool.closedFor('bad_work')).toBe(1);
  });

  it('of one machine of a farm ends that machine; the farm and its address stay', async () => {
    await startPool({ banSeconds: 600 });
    const farm = await farmOf(12, FARM);
    await expectAllMine(farm);
    const [broken, ...rest] = farm as [AttackMiner, ...AttackMiner[]];
    await junkUntil([broken], () => broken.closed);
    await expectAllMine(rest);
    await expectAllMine([await pool.miner(FARM, 'repaired')]);
    expect((await pool.stats()).bans).toEqual([]);
  });

  it('of everybody at once is our fault: new jobs are offered and nobody is dropped', async () => {
    await startPool({ banSeconds: 600 });
    const miners = await farmOf(10, FARM);
    await expectAllMine(miners);
    await junkUntil(miners, all(miners, isTold));
    for (let passed = 0; passed < 180; passed += STEP_S) {
      for (const miner of miners) miner.send(miner.junk(STEP_S, MANY));
      await sleep(LOOK_MS);
      pool.advance(STEP_S * SECOND);
    }
    await pool.stats();
    await expectAllMine(miners);
    for (const miner of miners) expect(miner.jobs.length).toBeGreaterThan(1);
  });

  it('of many strangers does not make it our fault: only miners that have done good work speak for us', async () => {
    await startPool();
    const honest = await farmOf(9, FARM);
    await expectAllMine(honest);
    const bad = await farmOf(30, '203.0.113.1');
    await junkUntil(
      bad,
      all(bad, (miner) => miner.closed),
    );
    await expectAllMine(honest);
    expect((await pool.stats()).closed).toEqual(expect.objectContaining({ bad_work: 30 }));
  });
});

describe('an honest farm', () => {
  it('of 40 machines and a proxy, with 2 % rejects, mines for 20 minutes and hears of no strike', async () => {
    await startPool({ banSeconds: 600 });
    const random = seededRandom(20);
    const farm = await farmOf(40, FARM);
    const proxy = await pool.miner(FARM, 'proxy');
    let rejects = 0;
    const reject = async (miner: AttackMiner): Promise<void> => {
      rejects++;
      miner.send(miner.junk(1, MANY + rejects));
      await miner.answerTo(MANY + rejects);
    };
    for (let passed = 0; passed < 1200; passed += 10) {
      proxy.send(proxy.work(196, 1));
      for (let i = 0; i < 4; i++) await reject(proxy);
      await Promise.all(farm.map((miner) => (random() < 0.02 ? reject(miner) : expectAllMine([miner]))));
      pool.advance(10 * SECOND);
    }
    expect(rejects).toBeGreaterThan(500);
    const { closed, connections } = await pool.stats();
    expect(connections).toBe(41);
    expect(closed).not.toHaveProperty('bad_work');
    for (const miner of [...farm, proxy]) {
      expect(miner.told).not.toContain('client.reconnect');
      expect(miner.jobs).toHaveLength(1);
    }
  });
});

describe('requests that are no shares', () => {
  const FLOOD = 20_000;

  it.each([
    [
      'of authorize',
      (peer: AttackMiner, i: number) => peer.request('mining.authorize', [`bad name ${i}`, 'x']),
    ],
    ['of unknown methods', (peer: AttackMiner) => peer.request('mining.nonsense')],
    ['of replies to nothing', (_: AttackMiner, i: number) => `{"id":${i},"result":true,"error":null}\n`],
    ['of answers to pings that were never sent', () => '{"id":null,"method":"mining.pong","params":[]}\n'],
  ])('in a flood %s end the connection of a stranger and of a miner', async (_, lineOf) => {
    await startPool();
    const honest = await pool.miner();
    for (const peer of [await pool.connect(), await pool.miner()]) {
      let flood = '';
      for (let i = 0; i < FLOOD; i++) flood += lineOf(peer, i);
      peer.send(flood);
      await peer.untilClosed();
    }
    expect(await pool.closedFor('request_flood')).toBe(2);
    await expectAllMine([honest]);
  });

  it('may be 1,024 workers that a proxy authorizes in one go, and not one more', async () => {
    await startPool();
    const proxy = await pool.connect();
    await proxy.subscribe();
    let names = '';
    for (let i = 0; i <= 1024; i++) {
      names += proxy.request('mining.authorize', [`${ADDRESS}.w${i}`, 'x'], MANY + i);
    }
    proxy.send(names);
    expect(await proxy.answerTo(MANY + 1024)).toMatchObject({
      result: null,
      error: [24, expect.any(String), null],
    });
    const refused = proxy.replies.filter(({ error }) => error !== null);
    expect(refused).toHaveLength(1);
    expect((await pool.stats()).workers).toBe(1024);
    proxy.user = `${ADDRESS}.w1023`;
    await proxy.until(() => proxy.jobs.length > 0, 'no job');
    await expectAllMine([proxy]);
  });
});
