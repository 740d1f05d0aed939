// Under attack, last part: load. Peers that do not read, floods of shares, and a crowd of all sorts beside honest miners.
// Against the real connection thread, over sockets; time is put forward (stratum-attack-thread.ts).
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AttackMiner } from './stratum-attack-miner.js';
import { AttackedPool } from './stratum-attack-pool.js';

const SECOND = 1000;
const KIB = 1024;
const MIB = 1024 * KIB;
/** Ids of seven digits: each answer is as long as the next. */
const FIRST_ID = 1_000_000;
/** More answers than the kernel's buffers of both ends hold. */
const NEVER_READ = 300_000;
const FILLED_WITHIN_MS = 30_000;

let pool: AttackedPool;
let honest: AttackMiner;
beforeEach(async () => {
  pool = await AttackedPool.start();
  honest = await pool.miner();
});
afterEach(async () => {
  expect(await honest.share()).toMatchObject({ result: true });
  await pool.probe();
  await pool.stop();
  expect(pool.faults).toEqual([]);
});

/** Each id from FIRST_ID on was answered `true`, once. */
function expectAllAccepted(miner: AttackMiner, count: number): void {
  const ids = new Set<unknown>();
  for (const { id, result } of miner.replies) if (result === true && Number(id) >= FIRST_ID) ids.add(id);
  expect(ids.size).toBe(count);
  expect(miner.replies.filter(({ id }) => Number(id) >= FIRST_ID)).toHaveLength(count);
}

/** Sends lines and reads no answer, until the pool takes no more of them. @returns answers given, of that verdict */
async function stopReading(peer: AttackMiner, lines: string, verdict: string): Promise<number> {
  const count = async (): Promise<number> => (await pool.stats()).verdicts[verdict] ?? 0;
  const before = await count();
  peer.socket.pause();
  peer.send(lines);
  let answered = 0;
  let same = 0;
  for (const end = performance.now() + FILLED_WITHIN_MS; performance.now() < end; ) {
    const now = (await count()) - before;
    same = now === answered && now > 0 ? same + 1 : 0;
    if (same === 2) return answered;
    answered = now;
  }
  throw new Error('the pool goes on reading from a peer that does not read');
}

/** Bytes that the kernel holds for a connection to the pool, on both ends of it. Linux. */
function heldByKernel(port: number): number {
  const end = (number: number) => `0100007F:${number.toString(16).toUpperCase().padStart(4, '0')}`;
  let held = 0;
  for (const row of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local, remote, , queues = ''] = row.trim().split(/\s+/);
    const [sent = '', received = ''] = queues.split(':');
    if (local === end(pool.port) && remote === end(port)) held += Number.parseInt(sent, 16);
    if (local === end(port) && remote === end(pool.port)) held += Number.parseInt(received, 16);
  }
  return held;
}

describe('a peer that does not read its answers', () => {
  const work = (peer: AttackMiner) => peer.work(NEVER_READ, FIRST_ID);
  const junk = (peer: AttackMiner) => peer.junk(NEVER_READ, FIRST_ID);
  const errorAnswer = (id: number, code: number, reason: string) =>
    `{"id":${id},"result":null,"error":[${code},"${reason}",null]}\n`;
  const shortest = () => '{"id":1,"method":"mining.submit"}\n'.repeat(NEVER_READ);

  it.runIf(process.platform === 'linux')(
    'is not read from, and the pool keeps 64 KiB for it',
    async () => {
      const kinds = [
        { lines: work, verdict: 'accepted', answer: `{"id":${FIRST_ID},"result":true,"error":null}\n` },
        { lines: junk, verdict: 'unknown_job', answer: errorAnswer(FIRST_ID, 21, 'Job not found') },
        { lines: shortest, verdict: 'not_subscribed', answer: errorAnswer(1, 25, 'Not subscribed') },
      ];
      const attack = kinds.map(async ({ lines, verdict, answer }) => {
        const peer = lines === shortest ? await pool.connect() : await pool.miner();
        const read = peer.socket.bytesRead;
        const answered = await stopReading(peer, lines(peer), verdict);
        expect(peer.untaken).toBeGreaterThan(0);
        const sent = peer.socket.bytesRead - read + heldByKernel(peer.socket.localPort ?? 0);
        // And the answers of what was in flight, 1,024 and a slice, when that was reached.
        expect(answered * answer.length - sent, verdict).toBeLessThan(64 * KIB + 1100 * answer.length);
        peer.leave();
      });
      await Promise.all(attack);
    },
    60_000,
  );

  it('gets every answer and the newest job when it reads again, and the jobs between are skipped', async () => {
    const peer = await pool.miner();
    await stopReading(peer, work(peer), 'accepted');
    const jobs = Array.from({ length: 100 }, () => pool.putUp());
    await honest.until(() => honest.jobs.at(-1) === jobs.at(-1), 'no job');
    const jobsBefore = peer.jobs.length;
    peer.socket.resume();
    await peer.until(() => peer.jobs.at(-1) === jobs.at(-1), 'the newest job does not come');
    expect(peer.jobs.length - jobsBefore).toBeLessThan(60);
    await peer.until(() => peer.replies.length >= NEVER_READ + 2, 'not all is answered');
    expectAllAccepted(peer, NEVER_READ);
  }, 60_000);

  it('is dropped after 60 s, not before', async () => {
    const peer = await pool.miner();
    await stopReading(peer, work(peer), 'accepted');
    pool.advance(55 * SECOND);
    await pool.stats();
    expect((await pool.stats()).closed).not.toHaveProperty('not_reading');
    pool.advance(10 * SECOND);
    while ((await pool.closedFor('not_reading')) === 0) await sleep(0);
    expect((await pool.stats()).connections).toBe(1);
    peer.leave();
  }, 60_000);
});

describe('a flood of shares', () => {
  it('of one connection, far more than may be in flight, is answered share by share', async () => {
    const miner = await pool.miner();
    const count = 50_000;
    miner.send(miner.work(count, FIRST_ID));
    await miner.until(() => miner.replies.length >= count + 2, 'not all is answered');
    expectAllAccepted(miner, count);
  });

  it('of 100 connections at once, more than the hash workers can hold, loses no share of anybody', async () => {
    const miners = await Promise.all(Array.from({ length: 100 }, () => pool.miner()));
    const count = 1500;
    const floods = miners.map((miner) => Buffer.from(miner.work(count, FIRST_ID)));
    const before = process.memoryUsage.rss();
    floods.forEach((flood, i) => void miners[i]?.send(flood));
    const answered = () => miners.every((miner) => miner.replies.length >= count + 2);
    let shares = 0;
    while (!answered()) {
      expect(await honest.share()).toMatchObject({ result: true });
      shares++;
    }
    for (const miner of miners) expectAllAccepted(miner, count);
    expect(shares).toBeGreaterThan(0);
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * MIB);
  });
});

it('200 idle, 50 slow and 20 junk connections cost 50 honest miners no share and no connection', async () => {
  const honestMiners = await Promise.all(Array.from({ length: 50 }, () => pool.miner()));
  const idle = await Promise.all(Array.from({ length: 200 }, () => pool.connect()));
  const slow = await Promise.all(Array.from({ length: 50 }, () => pool.connect()));
  const junk = await Promise.all(Array.from({ length: 20 }, () => pool.miner()));
  const end = performance.now() + 4 * SECOND;
  const over = () => performance.now() >= end;
  let shares = 0;
  const mine = async (miner: AttackMiner): Promise<void> => {
    while (!over()) {
      expect(await miner.share()).toMatchObject({ result: true });
      shares++;
      await sleep(20);
    }
  };
  const trickle = async (peer: AttackMiner): Promise<void> => {
    const line = peer.request('mining.subscribe', ['x'.repeat(10_000)]);
    for (let at = 0; !over(); at++) {
      peer.send(line[at] ?? '');
      await sleep(5);
    }
  };
  const flood = async (peer: AttackMiner): Promise<void> => {
    while (!over()) {
      peer.send(peer.junk(50, FIRST_ID));
      await sleep(10);
    }
  };
  await Promise.all([...honestMiners.map(mine), ...slow.map(trickle), ...junk.map(flood)]);
  expect(shares).toBeGreaterThan(50 * 20);
  expect(honestMiners.filter(({ closed }) => closed)).toEqual([]);

  // The attackers meet their deadlines; the honest ones meet none.
  pool.advance(20 * SECOND);
  await Promise.all([...idle, ...slow].map((peer) => peer.untilClosed()));
  for (const miner of honestMiners) expect(await miner.share()).toMatchObject({ result: true });
}, 60_000);
