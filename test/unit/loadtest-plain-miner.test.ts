import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DIFFICULTY_1_TARGET, targetFromDifficulty } from '../../engine/bitcoin/target.js';
import { projectRoot } from '../../storage/project-root.js';
import { FakePool, type FakePoolScript, hashOfSubmit } from './loadtest-fake-pool.js';

const stops: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Line = Record<string, unknown> & { readonly event: string };

/** Runs the plain miner to its end. */
async function mine(pool: FakePool, ...args: string[]): Promise<{ code: number | null; lines: Line[] }> {
  const path = join(projectRoot(), 'test/fixtures/plain-stratum-miner.mjs');
  const child = spawn(process.execPath, [path, '127.0.0.1', String(pool.port), 'acc.plain', ...args]);
  stops.push(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (text) => {
    output += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { code, lines };
}

async function poolThat(script: FakePoolScript): Promise<FakePool> {
  const pool = await FakePool.start(script);
  stops.push(() => pool.stop());
  return pool;
}

const withWork =
  (difficulty: number, onSubmit: FakePoolScript = () => undefined): FakePoolScript =>
  (request, connection) => {
    if (request.method === 'mining.submit') return onSubmit(request, connection);
    if (request.method !== 'mining.authorize') return undefined;
    connection.setDifficulty(difficulty);
    connection.notify('first', true);
    connection.answer(request.id, true);
    return 'handled';
  };

describe('the plain miner program of the end-to-end test', () => {
  it('speaks nothing but subscribe, authorize and submit, and finds shares that meet the difficulty', async () => {
    const difficulty = 1e-6;
    const pool = await poolThat(withWork(difficulty));
    const { code, lines } = await mine(pool, '12');
    expect(code).toBe(0);
    const connection = pool.connections[0];
    expect(new Set(connection?.requests.map(({ method }) => method))).toEqual(
      new Set(['mining.subscribe', 'mining.authorize', 'mining.submit']),
    );
    const hashes = connection?.submits().map(hashOfSubmit) ?? [];
    expect(hashes).toHaveLength(12);
    expect(new Set(hashes).size).toBe(12);
    for (const hash of hashes) expect(hash <= targetFromDifficulty(difficulty)).toBe(true);
    const answers = lines.filter(({ event }) => event === 'answer');
    expect(answers.map(({ hash }) => BigInt(`0x${String(hash)}`))).toEqual(hashes);
    expect(answers.every(({ accepted, block }) => accepted === true && block === false)).toBe(true);
    expect(hashes.every((hash) => hash > DIFFICULTY_1_TARGET)).toBe(true);
    expect(lines.at(-1)).toEqual({ event: 'end', reason: 'done', accepted: 12 });
  });

  it('prints rejections and goes on until enough shares are accepted', async () => {
    let seen = 0;
    const pool = await poolThat(
      withWork(1e-10, ({ id }, connection) => {
        if (++seen % 2 === 0) return undefined;
        connection.answer(id, null, [23, 'Low difficulty share', null]);
        return 'handled';
      }),
    );
    const { code, lines } = await mine(pool, '5');
    const answers = lines.filter(({ event }) => event === 'answer');
    expect(code).toBe(0);
    expect(answers.filter(({ accepted }) => accepted === true)).toHaveLength(5);
    expect(answers.find(({ accepted }) => accepted === false)?.error).toEqual([
      23,
      'Low difficulty share',
      null,
    ]);
  });

  it('ends at its deadline, and on a refused login', async () => {
    const silent = await poolThat(() => 'handled');
    expect(await mine(silent, '1', '0.3')).toMatchObject({
      code: 1,
      lines: [{ event: 'end', reason: 'deadline', accepted: 0 }],
    });
    const refusing = await poolThat(({ id, method }, connection) => {
      if (method !== 'mining.authorize') return undefined;
      connection.answer(id, null, [24, 'Unauthorized worker', null]);
      return 'handled';
    });
    expect((await mine(refusing)).code).toBe(3);
  });
});
