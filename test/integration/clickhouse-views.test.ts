// Every view of ClickHouse on the real engine against plain arithmetic on the same shares, and the manual's answers
// against those of the engine.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillWindow } from '../../engine/accounting/pplns-window.js';
import { estimateHashrate } from '../../engine/insight/hashrate.js';
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import { projectRoot } from '../../storage/project-root.js';
import { TEST_JOB, TEST_TIME_MS, testBatch } from '../fixtures/journal-batch.js';
import { type PlainShare, plainShares, poissonTail } from '../fixtures/plain-shares.js';
import {
  DAY_START_MS,
  day,
  floorTo,
  insert,
  type ShareServer,
  startShareServer,
  sumsBy,
  utc,
} from '../fixtures/share-server.js';

let server: ShareServer;

beforeAll(async () => {
  server = await startShareServer();
});

afterAll(async () => {
  await server?.stop();
});

/** A row of share_intervals. */
interface Intervals {
  worker: string;
  intervals: string;
  mean_s: number;
  deviation_ratio: number;
  below_half_life: number;
  distance: number;
  distance_95: number;
}

describe('the views', () => {
  const batches = day(7, 12_000);
  const shares = batches.flatMap(plainShares);
  const accepted = shares.filter(({ verdict }) => verdict === 'accepted');
  const since = utc(DAY_START_MS);
  let reader: ClickHouse;

  beforeAll(async () => {
    const clickhouse = await server.migrated('views');
    for (const batch of batches) await insert(clickhouse, batch);
    // As an analyst connects: without a password, read-only.
    reader = server.connect({ url: server.engine.url, database: 'views' });
  });

  const groups = <Row>(rows: readonly Row[], nameOf: (row: Row) => string): Map<string, Row[]> => {
    const found = new Map<string, Row[]>();
    for (const row of rows) found.set(nameOf(row), [...(found.get(nameOf(row)) ?? []), row]);
    return found;
  };

  it('submits: scheme, transport and age of the job as the journal has them', async () => {
    const rows = await reader.rows<{
      scheme: string;
      transport: string;
      protocol: string;
      job_age_ms: number | null;
    }>('SELECT scheme, transport, protocol, job_age_ms FROM submits ORDER BY seq');
    expect(rows.map(({ scheme, job_age_ms }) => [scheme, job_age_ms])).toEqual(
      shares.map(({ scheme, jobAgeMs }) => [scheme, jobAgeMs]),
    );
    expect(new Set(rows.map(({ protocol, transport }) => `${protocol} ${transport}`))).toEqual(
      new Set(['v1 tcp', 'v1 tls']),
    );
  });

  it.each([
    ['0 where a clock was set back', TEST_TIME_MS + 5000, 0],
    ['NULL where the journal does not say', undefined, null],
    ['the milliseconds between', TEST_TIME_MS - 1234, 1234],
  ])('submits: the age of a job is %s', async (what, bornMs, expected) => {
    const clickhouse = await server.migrated(`age_${String(bornMs)}`);
    const job = { ...TEST_JOB, ...(bornMs === undefined ? {} : { bornMs }) };
    await insert(clickhouse, { ...testBatch(1, [{ who: 'a.b' }]), jobs: new Map([[1, job]]) });
    expect(await clickhouse.rows('SELECT job_age_ms FROM submits'), what).toEqual([{ job_age_ms: expected }]);
  });

  it('accepted_by_minute: exact work of every minute', async () => {
    const rows = await reader.rows<{ t: string; shares: string; hashes: string }>(
      'SELECT t, shares, toString(work) AS hashes FROM accepted_by_minute',
    );
    const found = Object.fromEntries(
      rows.map((row) => [row.t, { shares: Number(row.shares), work: BigInt(row.hashes) }]),
    );
    expect(found).toEqual(sumsBy(accepted, ({ atMs }) => utc(floorTo(atMs, 60_000))));
  });

  it('worker_hashrate: the estimate and the band of the API, to a hundredth', async () => {
    const rows = await reader.rows<{
      t: string;
      worker: string;
      shares: string;
      hs: number;
      hs_low: number;
      hs_high: number;
    }>('SELECT * FROM worker_hashrate(step_s = 3600)');
    const expected = groups(accepted, ({ atMs, worker }) => `${utc(floorTo(atMs, 3_600_000))} ${worker}`);
    expect(rows).toHaveLength(expected.size);
    for (const row of rows) {
      const works = (expected.get(`${row.t} ${row.worker}`) ?? []).map(({ work }) => Number(work));
      const { hs, low, high } = estimateHashrate(
        {
          work: works.reduce((sum, work) => sum + work, 0),
          squares: works.reduce((sum, work) => sum + work * work, 0),
          heaviest: Math.max(...works),
          shares: works.length,
        },
        3600,
      );
      expect(Number(row.shares)).toBe(works.length);
      expect(row.hs / hs).toBeCloseTo(1, 9);
      expect(Math.abs(row.hs_low / low - 1)).toBeLessThan(0.0125);
      expect(Math.abs(row.hs_high / high - 1)).toBeLessThan(0.0025);
    }
  });

  it('reject_reasons: each verdict of each hour and its part', async () => {
    const rows = await reader.rows<{ t: string; verdict: string; shares: string; part: number }>(
      'SELECT t, verdict, shares, part FROM reject_reasons',
    );
    const hours = groups(shares, ({ atMs }) => utc(floorTo(atMs, 3_600_000)));
    const expected = groups(shares, (s) => `${utc(floorTo(s.atMs, 3_600_000))} ${s.verdict}`);
    expect(rows).toHaveLength(expected.size);
    for (const { t, verdict, shares: n, part } of rows) {
      const count = expected.get(`${t} ${verdict}`)?.length ?? 0;
      expect(Number(n)).toBe(count);
      expect(part).toBeCloseTo(count / (hours.get(t)?.length ?? 0), 12);
    }
  });

  it('stale_by_age: what part of the shares of each job age was stale', async () => {
    const ends: [number, string][] = [
      ...([
        [1, '0 to 1 s'],
        [5, '1 to 5 s'],
        [15, '5 to 15 s'],
        [30, '15 to 30 s'],
      ] as [number, string][]),
      ...([
        [60, '30 to 60 s'],
        [120, '1 to 2 min'],
        [Infinity, '2 min and more'],
      ] as [number, string][]),
    ];
    const ageOf = ({ jobAgeMs }: PlainShare) =>
      jobAgeMs === null ? 'unknown' : (ends.find(([end]) => jobAgeMs < end * 1000)?.[1] ?? '');
    const rows = await reader.rows<{
      age: string;
      submits: string;
      stale: string;
      part: number;
      lost: number;
    }>(`SELECT * FROM stale_by_age(since = '${since}')`);
    const expected = groups(shares, ageOf);
    expect(new Set(rows.map(({ age }) => age))).toEqual(new Set(expected.keys()));
    expect(expected.size).toBeGreaterThan(4);
    for (const { age, submits, stale, part, lost } of rows) {
      const all = expected.get(age) ?? [];
      const late = all.filter(({ verdict }) => verdict === 'stale');
      expect([Number(submits), Number(stale)]).toEqual([all.length, late.length]);
      expect(part).toBeCloseTo(late.length / all.length, 12);
      expect(lost).toBeCloseTo(
        late.reduce((sum, { difficulty }) => sum + difficulty, 0),
        3,
      );
    }
  });

  it('work_by_scheme: exact work of every hour and scheme', async () => {
    const rows = await reader.rows<{ t: string; scheme: string; shares: string; hashes: string }>(
      'SELECT t, scheme, shares, toString(work) AS hashes FROM work_by_scheme',
    );
    const found = Object.fromEntries(
      rows.map(({ t, scheme, shares: n, hashes }) => [
        `${t} ${scheme}`,
        { shares: Number(n), work: BigInt(hashes) },
      ]),
    );
    expect(found).toEqual(
      sumsBy(accepted, ({ atMs, scheme }) => `${utc(floorTo(atMs, 3_600_000))} ${scheme}`),
    );
    expect(new Set(rows.map(({ scheme }) => scheme))).toEqual(new Set(['pplns', 'solo']));
  });

  it('share_intervals: times between shares, their distance from the exponential', async () => {
    let unlikely = 0;
    for (const account of new Set(accepted.map((share) => share.account))) {
      unlikely += await expectIntervals(account);
    }
    // One honest worker of twenty is expected beyond the limit, by chance; these are thirty.
    expect(unlikely).toBeLessThanOrEqual(4);
  });

  /** Compares all rows of an account; returns how many of its workers are beyond the limit. */
  async function expectIntervals(account: string): Promise<number> {
    const rows = await reader.rows<Intervals>(
      `SELECT * FROM share_intervals(account = '${account}', since = '${since}')`,
    );
    const workers = groups(
      accepted.filter((share) => share.account === account),
      ({ worker }) => worker,
    );
    expect(rows).toHaveLength(workers.size);
    for (const row of rows) {
      const times = (workers.get(row.worker) ?? []).map(({ atMs }) => atMs / 1000);
      const gaps = times.slice(1).map((at, index) => at - (times[index] as number));
      gaps.sort((a, b) => a - b);
      const n = gaps.length;
      const mean = gaps.reduce((sum, gap) => sum + gap, 0) / n;
      const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / n);
      const distance = gaps.reduce((most, gap, index) => {
        const theory = 1 - Math.exp(-gap / mean);
        return Math.max(most, (index + 1) / n - theory, theory - index / n);
      }, 0);
      expect(Number(row.intervals)).toBe(n);
      expect(row.mean_s).toBeCloseTo(mean, 3);
      expect(row.deviation_ratio).toBeCloseTo(spread / mean, 3);
      expect(row.below_half_life).toBeCloseTo(gaps.filter((gap) => gap < mean * Math.LN2).length / n, 9);
      expect(row.distance).toBeCloseTo(distance, 5);
    }
    return rows.filter((row) => row.distance > row.distance_95).length;
  }

  it('share_intervals: a worker that sends by the clock is far beyond the limit', async () => {
    const clickhouse = await server.migrated('clock');
    const shares = Array.from({ length: 200 }, (_, i) => ({
      who: 'clock.w',
      atMs: DAY_START_MS + i * 60_000 + (i % 3) * 500,
    }));
    await insert(clickhouse, testBatch(1, shares));
    const [row] = await clickhouse.rows<Intervals>(
      `SELECT * FROM share_intervals(account = 'clock', since = '${since}')`,
    );
    expect(row?.intervals).toBe('199');
    expect(row?.distance).toBeGreaterThan(5 * (row?.distance_95 ?? Infinity));
  });

  it('worker_uptime: ten-minute steps with a share', async () => {
    const rows = await reader.rows<{ worker: string; active_steps: string; uptime: number }>(
      `SELECT * FROM worker_uptime WHERE day = '${since}'`,
    );
    const workers = groups(accepted, ({ worker }) => worker);
    expect(rows).toHaveLength(workers.size);
    for (const { worker, active_steps, uptime } of rows) {
      const steps = new Set(workers.get(worker)?.map(({ atMs }) => floorTo(atMs, 600_000))).size;
      expect(Number(active_steps)).toBe(steps);
      expect(uptime).toBeCloseTo(steps / 144, 12);
    }
  });

  /** Shares from one block to the next, the last round open. */
  function rounds(): PlainShare[][] {
    const found: PlainShare[][] = [[]];
    for (const share of accepted) {
      found.at(-1)?.push(share);
      if (share.isBlock) found.push([]);
    }
    return found.filter(({ length }) => length > 0);
  }
  const effortOf = (round: readonly PlainShare[]) =>
    round.reduce((sum, { difficulty, networkDifficulty }) => sum + difficulty / networkDifficulty, 0);

  it('block_rounds and rolling_luck: effort from block to block', async () => {
    const rows = await reader.rows<{
      is_closed: number;
      accepted: string;
      hashes: string;
      round_effort: number;
    }>(
      'SELECT is_closed, accepted, toString(hashes) AS hashes, round_effort FROM block_rounds ORDER BY number',
    );
    const expected = rounds();
    expect(expected.length).toBeGreaterThan(2);
    expect(rows).toHaveLength(expected.length);
    for (const [index, row] of rows.entries()) {
      const round = expected[index] ?? [];
      expect(row.is_closed).toBe(round.at(-1)?.isBlock ? 1 : 0);
      expect(Number(row.accepted)).toBe(round.length);
      expect(BigInt(row.hashes)).toBe(round.reduce((sum, { work }) => sum + work, 0n));
      expect(row.round_effort).toBeCloseTo(effortOf(round), 9);
    }
    const closed = expected.filter((round) => round.at(-1)?.isBlock).map(effortOf);
    const luck = await reader.rows<{ luck_10: number }>('SELECT luck_10 FROM rolling_luck ORDER BY number');
    expect(luck).toHaveLength(closed.length);
    for (const [index, { luck_10 }] of luck.entries()) {
      const last = closed.slice(Math.max(0, index - 9), index + 1);
      expect(luck_10).toBeCloseTo(last.length / last.reduce((sum, effort) => sum + effort, 0), 9);
    }
  });

  it('pplns_window: the same holders as the ledger, at any length', async () => {
    const shared = accepted.filter(({ scheme }) => scheme !== 'solo');
    expect(shared.length).toBeLessThan(accepted.length);
    const ids = [...new Set(shared.map(({ account }) => account))];
    const buckets = [...groups(shared, ({ atMs, round }) => `${floorTo(atMs, 60_000)} ${round}`)].map(
      ([name, bucket]) => ({
        order: name.split(' ').map(Number) as [number, number],
        entries: bucket.map(({ account, work }) => ({
          ...{ accountId: ids.indexOf(account), scheme: 'pplns' as const, work },
        })),
      }),
    );
    buckets.sort((a, b) => b.order[0] - a.order[0] || b.order[1] - a.order[1]);
    const all = shared.reduce((sum, { work }) => sum + work, 0n);
    const newest = buckets[0]?.entries.reduce((sum, { work }) => sum + work, 0n) ?? 0n;
    for (const window of [newest / 3n, newest, all / 7n, all / 2n, all, all * 2n]) {
      const { parts, totalWeight } = fillWindow(
        buckets.map(({ entries }) => entries),
        window,
      );
      const rows = await reader.rows<{ account: string; part: number }>(
        `SELECT account, part FROM pplns_window(hashes = '${window}') WHERE part > 0`,
      );
      const weights = new Map(parts.map(({ accountId, weight }) => [accountId, weight]));
      expect(rows).toHaveLength(weights.size);
      for (const { account, part } of rows) {
        const weight = weights.get(ids.indexOf(account)) ?? 0n;
        expect(part).toBeCloseTo(Number((weight * 10n ** 15n) / totalWeight) / 1e15, 9);
      }
    }
  });

  it('agents: workers and verdicts of each', async () => {
    const rows = await reader.rows<{ agent: string; workers: string; accepted: string; rejected: string }>(
      'SELECT * FROM agents',
    );
    const expected = groups(shares, ({ agent }) => agent);
    expect(rows).toHaveLength(expected.size);
    for (const row of rows) {
      const own = expected.get(row.agent) ?? [];
      const good = own.filter(({ verdict }) => verdict === 'accepted').length;
      expect(Number(row.workers)).toBe(new Set(own.map(({ worker }) => worker)).size);
      expect([Number(row.accepted), Number(row.rejected)]).toEqual([good, own.length - good]);
    }
  });

  it('withholding: the chance of so few blocks', async () => {
    const rows = await reader.rows<{ account: string; expected: number; found: string; chance: number }>(
      'SELECT * FROM withholding',
    );
    const accounts = groups(accepted, ({ account }) => account);
    expect(rows).toHaveLength(accounts.size);
    for (const { account, expected, found, chance } of rows) {
      const own = accounts.get(account) ?? [];
      const blocks = own.filter(({ isBlock }) => isBlock).length;
      expect(expected).toBeCloseTo(effortOf(own), 9);
      expect(Number(found)).toBe(blocks);
      expect(chance).toBeCloseTo(poissonTail(blocks, effortOf(own)), 9);
    }
  });

  it('answer each question of the manual as the manual says', async () => {
    const manual = readFileSync(join(projectRoot(), 'storage', 'clickhouse', 'README.md'), 'utf8');
    const questions = [...manual.matchAll(/```sql\n([^`]*)\n```\n\n```text\n([^`]*)\n```/g)];
    expect(questions.length).toBeGreaterThanOrEqual(20);
    const url = new URL(server.engine.url);
    url.searchParams.set('database', 'views');
    url.searchParams.set('default_format', 'PrettyCompactMonoBlock');
    for (const setting of ['color', 'row_numbers', 'single_large_number_tip_threshold']) {
      url.searchParams.set(`output_format_pretty_${setting}`, '0');
    }
    for (const [, sql = '', answer] of questions) {
      const response = await fetch(url, { method: 'POST', body: sql });
      expect((await response.text()).trimEnd(), sql).toBe(answer);
    }
  });
});
