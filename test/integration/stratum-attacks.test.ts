// Under attack, first part: what arrives. Whatever a peer sends, it is answered or loses its connection, nothing is
// thrown, and an honest miner on another connection goes on. Against the real connection thread, over sockets.
// MILLRACE_FUZZ_LINES and MILLRACE_FUZZ_SEED choose how many mutated lines are sent, and which.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { LineReader } from '../../engine/stratum/line-reader.js';
import {
  HOSTILE_LINES,
  HOSTILE_USERS,
  mutatedLine,
  seededRandom,
  UNUSUAL_IDS,
} from './stratum-attack-lines.js';
import { ADDRESS, type AttackMiner } from './stratum-attack-miner.js';
import { AttackedPool } from './stratum-attack-pool.js';

const LINE_MAX_BYTES = 16 * 1024;
const FUZZ_LINES = Number(process.env.MILLRACE_FUZZ_LINES ?? 20_000);
const FUZZ_SEED = Number(process.env.MILLRACE_FUZZ_SEED ?? 4);
const MIB = 1024 * 1024;

let pool: AttackedPool;
let honest: AttackMiner;
beforeAll(async () => {
  pool = await AttackedPool.start();
  honest = await pool.miner();
});
afterAll(() => pool.stop());

// The accept probe: who was there mines on, who comes now is served, and the thread has thrown nothing.
afterEach(async () => {
  expect(await honest.share()).toMatchObject({ result: true });
  await pool.probe();
  expect(pool.faults).toEqual([]);
});

/** Bytes that Buffers look through or move while a line of so many comes a byte at a time. */
function bytesTouched(bytes: number): number {
  let touched = 0;
  const indexOf = vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function (this: Buffer) {
    touched += this.length;
    return -1;
  } as never);
  const copy = vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function (
    this: Buffer,
    ...[_target, _at, start, end]: unknown[]
  ) {
    touched += this.subarray(start as number, end as number).length;
  } as never);
  const concat = vi.spyOn(Buffer, 'concat');
  const reader = new LineReader(LINE_MAX_BYTES);
  const byte = Buffer.from('x');
  for (let i = 0; i < bytes; i++) reader.push(byte, () => true);
  const others = concat.mock.calls.length;
  for (const spy of [indexOf, copy, concat]) spy.mockRestore();
  expect(others).toBe(0);
  return touched;
}

describe('a line', () => {
  it.each(HOSTILE_LINES)(
    'of %s is answered or ends its connection, before and after authorize',
    async (_, line) => {
      for (const peer of [await pool.connect(), await pool.miner()]) {
        const answered = peer.replies.length;
        peer.send(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
        await peer.until(() => peer.closed || peer.replies.length > answered, 'neither');
        peer.leave();
      }
    },
  );

  it.each(UNUSUAL_IDS)('with the id %s is answered with that id', async (id) => {
    const peer = await pool.connect();
    peer.send(`{"id":${id},"method":"mining.ping","params":[]}\n`);
    await peer.until(() => peer.replies.length === 1, 'no answer');
    expect(peer.replies[0]).toEqual({ id: JSON.parse(id), result: 'pong', error: null });
    peer.leave();
  });

  it('may have 16 KiB and not a byte more', async () => {
    const closed = await pool.closedFor('line_too_long');
    const lineOf = (bytes: number) => `{"id":1,"method":"mining.ping","params":[]}`.padEnd(bytes, ' ');
    const peer = await pool.connect();
    peer.send(`${lineOf(LINE_MAX_BYTES)}\n`);
    await peer.until(() => peer.replies.length === 1, 'no answer');
    peer.send(`${lineOf(LINE_MAX_BYTES + 1)}\n`);
    await peer.untilClosed();
    expect(peer.replies).toHaveLength(1);
    expect(await pool.closedFor('line_too_long')).toBe(closed + 1);
  });

  it('without end costs its sender the connection, not the pool its memory', async () => {
    const peers = await Promise.all(Array.from({ length: 20 }, () => pool.connect()));
    const before = process.memoryUsage.rss();
    const block = Buffer.alloc(MIB, 'x');
    for (const peer of peers) for (let i = 0; i < 4; i++) peer.send(block);
    await Promise.all(peers.map((peer) => peer.untilClosed()));
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MIB);
  });

  it('that comes a byte at a time is read once: twice the bytes, twice the work', () => {
    const once = bytesTouched(LINE_MAX_BYTES / 4);
    const twice = bytesTouched(LINE_MAX_BYTES / 2);
    // Looked at, copied, and moved once or twice more as the space for the line doubles.
    expect(once).toBeLessThan(4 * (LINE_MAX_BYTES / 4));
    expect(twice).toBeLessThan(2.2 * once);
  });

  it('that comes a byte at a time is answered, and so are others meanwhile', async () => {
    const slow = await pool.connect();
    const line = `${slow.request('mining.subscribe', ['x'.repeat(500)], 77)}`;
    let shares = 0;
    for (const byte of line) {
      slow.send(byte);
      if (shares * 50 < slow.socket.bytesWritten) {
        expect(await honest.share()).toMatchObject({ result: true });
        shares++;
      } else await sleep(0);
    }
    expect(await slow.answerTo(77)).toMatchObject({ error: null });
    expect(shares).toBeGreaterThan(9);
    slow.leave();
  });
});

describe('a user name', () => {
  it.each(HOSTILE_USERS)('with %s is refused in printable words', async (_, user) => {
    const peer = await pool.connect();
    const { result, error } = await peer.ask('mining.authorize', [user, 'x']);
    expect(result).toBeNull();
    expect(error?.[0]).toBe(24);
    expect(error?.[1]).toMatch(/^[ -~]{10,300}$/);
    expect(error?.[1]).not.toMatch(/[<>]/);
    peer.leave();
  });

  it('that was refused is known to nobody', async () => {
    const { workersByAccount, miners } = await pool.stats();
    expect(workersByAccount.map(([account]) => account)).toEqual([ADDRESS]);
    expect(miners).toBe(1);
  });

  it.each([
    ['percent-encoded', `${ADDRESS}%2Erig%2D1`],
    ['in capitals', `${ADDRESS.toUpperCase()}.rig-1`],
  ])('%s is known in its plain form, and its shares count', async (_, user) => {
    const peer = await pool.connect();
    await peer.subscribe();
    expect(await peer.ask('mining.authorize', [user, 'x'])).toMatchObject({ result: true });
    peer.user = user;
    await peer.until(() => peer.jobs.length > 0, 'no job');
    expect(await peer.share()).toMatchObject({ result: true });
    const { workersByAccount } = await pool.stats();
    expect(workersByAccount.map(([account]) => account)).toEqual([ADDRESS]);
    peer.leave();
  });
});

it('a session that fails for a fault of ours dies alone, and the log says why', async () => {
  const closed = await pool.closedFor('failed');
  for (const peer of [await pool.connect(), await pool.miner()]) {
    peer.send(peer.request('test.fault'));
    await peer.untilClosed();
  }
  expect(await pool.closedFor('failed')).toBe(closed + 2);
  // Once a minute at most: whoever found out how must not fill the disk.
  expect(pool.faults.splice(0)).toEqual([expect.stringMatching(/failed and was closed.*injected fault/s)]);
});

it(`${FUZZ_LINES} mutated lines neither end nor fill the thread (seed ${FUZZ_SEED})`, async () => {
  const random = seededRandom(FUZZ_SEED);
  const before = process.memoryUsage.rss();
  const linesAtOnce = 10;
  let sent = 0;
  let answers = 0;
  let connections = 0;
  const attack = async (): Promise<void> => {
    while (sent < FUZZ_LINES) {
      const authorized = random() < 0.5;
      const peer = authorized ? await pool.miner() : await pool.connect();
      connections++;
      // Faults may come one after the other in one connection: its state is part of what is tried.
      for (let rounds = 0; rounds < 20 && !peer.closed && sent < FUZZ_LINES; rounds++) {
        let burst = '';
        for (let i = 0; i < linesAtOnce; i++) {
          burst += mutatedLine(
            random,
            peer.user === '' ? `${ADDRESS}.fuzz` : peer.user,
            peer.jobs.at(-1) ?? '1',
          );
        }
        sent += linesAtOnce;
        peer.send(Buffer.from(burst, 'latin1'));
        await sleep(0);
      }
      // What it has sent is read before it leaves: it hears its last answer or is closed.
      peer.send('\n{"id":424242,"method":"mining.ping"}\n');
      const isLast = () => peer.replies.at(-1)?.id === 424242;
      while (!peer.closed && !isLast()) await sleep(2);
      answers += peer.replies.length;
      peer.leave();
    }
  };
  await Promise.all(Array.from({ length: 10 }, attack));
  expect(connections).toBeGreaterThan(10);
  expect(answers).toBeGreaterThan(FUZZ_LINES / 10);
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MIB);
}, 600_000);
