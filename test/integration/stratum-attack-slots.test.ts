// Under attack, second part: who takes slots. Deadlines, caps by address and net, the space of extranonces. Against the
// real connection thread, over sockets; time is put forward (stratum-attack-thread.ts).
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { AttackMiner } from './stratum-attack-miner.js';
import { AttackedPool, type AttackedPoolOptions } from './stratum-attack-pool.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** In which the pool has looked at each of a few connections. */
const LOOKED_AT_MS = 500;

let pool: AttackedPool;
const startPool = async (options?: AttackedPoolOptions): Promise<AttackMiner> => {
  pool = await AttackedPool.start(options);
  return await pool.miner();
};
afterEach(async () => {
  await pool.stop();
  expect(pool.faults).toEqual([]);
});

/** True when a new connection from there is served; it stays open. */
async function isTaken(from: string): Promise<boolean> {
  const peer = await pool.connect(from);
  peer.send(peer.request('mining.ping', [], 1));
  return await peer.answerTo(1).then(
    () => true,
    () => false,
  );
}

async function taken(addresses: readonly string[]): Promise<boolean[]> {
  const all: boolean[] = [];
  for (const address of addresses) all.push(await isTaken(address));
  return all;
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe('a deadline', () => {
  it('of 15 s to subscribe and 30 s to authorize ends strangers, and no miner, however quiet', async () => {
    const quiet = await startPool();
    const silent = await pool.connect();
    const talking = await pool.connect();
    const authorizedOnly = await pool.connect();
    await authorizedOnly.ask('mining.authorize', ['somebody.rig', 'x']);
    const subscribed = await pool.connect();
    await subscribed.subscribe();

    pool.advance(8 * SECOND);
    await sleep(LOOKED_AT_MS);
    for (const peer of [silent, talking, authorizedOnly, subscribed]) await peer.ask('mining.ping');

    pool.advance(8 * SECOND);
    await Promise.all([silent, talking, authorizedOnly].map((peer) => peer.untilClosed()));
    expect((await subscribed.ask('mining.ping')).result).toBe('pong');
    expect((await pool.stats()).closed).toMatchObject({ no_subscribe: 3 });

    // A line that never ends is no way to stay: what counts is not when the last byte came.
    subscribed.send('{"id":1,"method":"mining.auth');
    pool.advance(15 * SECOND);
    await subscribed.untilClosed();
    expect((await pool.stats()).closed).toMatchObject({ no_subscribe: 3, no_authorize: 1 });

    pool.advance(20 * MINUTE);
    await sleep(LOOKED_AT_MS);
    expect(await quiet.share()).toMatchObject({ result: true });
  });
});

describe('connections', () => {
  it('are held by the caps of their address and of their net, and others are not', async () => {
    const honest = await startPool({ caps: { perAddress: 3, perNet: 5 } });
    expect(await taken(times(4, '203.0.113.1'))).toEqual([true, true, true, false]);
    expect(await taken(times(4, '203.0.113.2'))).toEqual([true, true, false, false]);
    expect(await taken(['203.0.113.200', '203.0.112.1', '198.51.100.1'])).toEqual([false, true, true]);
    expect((await pool.stats()).closed).toMatchObject({ address_full: 1, net_full: 3 });
    // Loopback is a load test, or a proxy of the operator.
    expect(await taken(times(8, '127.0.0.1'))).toEqual(times(8, true));
    expect(await honest.share()).toMatchObject({ result: true });
  });

  it('over IPv6 are held by their /64 and /56, whatever address in it they take', async () => {
    await startPool({ caps: { perAddress: 2, perNet: 3 } });
    const inOne64 = ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', '2001:db8:0:1:1:2:3:4'];
    expect(await taken(inOne64)).toEqual([true, true, false]);
    expect(await taken(['2001:db8:0:ff::1', '2001:db8:0:fe::1'])).toEqual([true, false]);
    expect(await taken(['2001:db8:0:100::1', '::1'])).toEqual([true, true]);
    // IPv4 in IPv6 is IPv4.
    expect(await taken(['203.0.113.1', '::ffff:203.0.113.1', '203.0.113.1'])).toEqual([true, true, false]);
  });

  it('that have not authorized have caps of their own; who authorizes makes room', async () => {
    await startPool({ caps: { pendingPerAddress: 2, pendingPerNet: 3 } });
    const from = '203.0.113.1';
    const waiting = await pool.connect(from);
    await waiting.ask('mining.ping');
    expect(await taken([from, from, '203.0.113.2', '203.0.113.3'])).toEqual([true, false, true, false]);
    await waiting.mine();
    expect(await isTaken(from)).toBe(true);
    expect((await pool.stats()).closed).toMatchObject({ address_pending_full: 1, net_pending_full: 1 });
  });

  it('beyond MAX_CONNECTIONS are refused; a slot that is left is free again', async () => {
    const honest = await startPool({ caps: { total: 4 } });
    const first = await pool.miner('203.0.113.1');
    expect(await taken(['198.51.100.1', '198.51.100.2', '192.0.2.1', '127.0.0.1'])).toEqual([
      ...[true, true],
      ...[false, false],
    ]);
    expect(await pool.closedFor('full')).toBe(2);
    first.leave();
    expect(await honest.share()).toMatchObject({ result: true });
    expect(await isTaken('192.0.2.1')).toBe(true);
  });

  it('that come and go leave nothing behind: 3,000 of one address, then it is as free as before', async () => {
    const honest = await startPool({ caps: { perAddress: 20, pendingPerAddress: 20 } });
    const churn = async (): Promise<void> => {
      for (let i = 0; i < 300; i++) {
        const peer = await pool.connect('203.0.113.1');
        // Some leave in the middle of a request, some before they are refused or served.
        if (i % 3 === 0) await peer.ask('mining.ping');
        else if (i % 3 === 1) peer.send('{"id":1,"method":"mini');
        peer.leave();
      }
    };
    await Promise.all(times(10, null).map(churn));
    expect(await honest.share()).toMatchObject({ result: true });
    expect((await pool.stats()).connections).toBe(1);
    expect(await taken(times(21, '203.0.113.1'))).toEqual([...times(20, true), false]);
  });
});

describe('extranonces', () => {
  it('that are all taken keep the newcomer out, in words, and nobody else', async () => {
    const honest = await startPool({ extranoncesMax: 3 });
    const others = [await pool.miner(), await pool.miner()];
    const newcomer = await pool.connect();
    expect((await newcomer.subscribe()).error).toEqual([20, expect.stringContaining('full'), null]);
    // However often one subscribes, it is one slot.
    for (let i = 0; i < 5; i++) await honest.subscribe();
    for (const miner of [honest, ...others]) expect(await miner.share()).toMatchObject({ result: true });
    expect(new Set([honest, ...others].map((miner) => miner.extranonce1)).size).toBe(3);

    for (const miner of others) miner.leave();
    await pool.stats();
    expect((await newcomer.subscribe()).error).not.toBeNull();
    // Ten minutes in which they could come back, and the life of the last job they worked on.
    pool.advance(10 * MINUTE);
    await pool.stats();
    for (let i = 0; i < 3; i++) {
      pool.putUp();
      pool.advance(3 * MINUTE);
      await pool.stats();
    }
    const later = await pool.miner();
    expect(await later.share()).toMatchObject({ result: true });
    expect(await honest.share()).toMatchObject({ result: true });
  });
});
