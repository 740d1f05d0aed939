// The chaos runs, short: the whole pool killed and frozen part by part, its stores, disk and clock taken away, then every
// share looked for in every store.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { AnswerTimes } from '../../loadtest/chaos/answer-times.js';
import { shownMs } from '../../loadtest/chaos/faults.js';
import { readOptions, UsageError } from '../../loadtest/chaos/options.js';
import type { OutageResult, ScenarioResult } from '../../loadtest/chaos/outage-report.js';
import type { KillResult } from '../../loadtest/chaos/report.js';
import { projectRoot } from '../../storage/project-root.js';

/** A round takes 2 to 3 s; the project's CI runs 25. */
const ROUNDS = Number(process.env.MILLRACE_CHAOS_ROUNDS ?? 8);
const BEFORE_AND_AFTER_MS = 240_000;
const ROUND_MS_MAX = 30_000;

const folder = mkdtempSync(join(tmpdir(), 'millrace-chaos-run-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Kills of single parts are in the kill loop and in outages.test.ts. */
const OUTAGES = ['clickhouse-slow', 'both-frozen', 'disk-full', 'clock'];
const OUTAGE_MINUTES = 0.05;

async function chaos(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const program = join(projectRoot(), 'dist/loadtest/chaos/main.js');
  return await promisify(execFile)(process.execPath, [program, ...args]).catch((failed) => failed);
}

describe.runIf(process.platform === 'linux')('the whole pool', { concurrent: true }, () => {
  it(
    'ends with every share that was answered true in each store once, whatever was killed',
    async ({ expect }) => {
      const json = join(folder, 'kill.json');
      const rounds = ['--rounds', String(ROUNDS), '--seed', '9', '--threads', '2'];
      const run = await chaos('kill', ...rounds, '--json', json);
      expect(run.stdout, run.stderr).toContain('No differences');
      const { hits, miners, clickhouse, journal, ledger, findings } = JSON.parse(
        readFileSync(json, 'utf8'),
      ) as KillResult;
      expect(findings).toEqual([]);
      expect(hits.length).toBe(ROUNDS);
      expect(new Set(hits.map(({ target }) => target)).size).toBeGreaterThan(2);
      expect(hits.filter(({ recovery }) => recovery !== null).length).toBeGreaterThan(0);
      expect(miners.accepted).toBeGreaterThan(1000);
      expect(miners.resent).toBeGreaterThan(0);
      expect(clickhouse.told).toBe(miners.accepted);
      expect(clickhouse.accepted).toBe(clickhouse.told + clickhouse.cutOffAccepted);
      expect(journal).toEqual(clickhouse);
      expect(ledger.shares).toBe(clickhouse.accepted);
      expect(ledger.blocks).toBeGreaterThan(0);
    },
    BEFORE_AND_AFTER_MS + ROUNDS * ROUND_MS_MAX,
  );

  it(
    'mines on, or says that it cannot, while stores, disk and clock are taken away',
    async ({ expect }) => {
      const json = join(folder, 'outage.json');
      const args = ['--minutes', String(OUTAGE_MINUTES), '--only', OUTAGES.join(','), '--threads', '2'];
      const run = await chaos('outage', ...args, '--json', json);
      expect(run.stdout, run.stderr).toContain('No differences');
      const { scenarios, starts } = JSON.parse(readFileSync(json, 'utf8')) as OutageResult;
      expect(starts).toBe(1);
      expect(scenarios.map(({ name }) => name).sort()).toEqual([...OUTAGES].sort());
      for (const { name, before, during, after, findings, clickhouse, journal, ledger } of scenarios) {
        expect(findings, name).toEqual([]);
        expect([before.accepted > 0, after.accepted > 0], name).toEqual([true, true]);
        expect([before, during, after].map(({ dropped }) => dropped)).toEqual([0, 0, 0]);
        expect(clickhouse.told, name).toBe(clickhouse.accepted);
        expect(ledger.shares, name).toBe(clickhouse.accepted);
        expect(journal, name).toEqual(clickhouse);
      }
      const of = (name: string) => scenarios.find((each) => each.name === name) as ScenarioResult;
      expect(of('both-frozen').during.accepted).toBeGreaterThan(500);
      expect(of('both-frozen').catchUpS).not.toBeNull();
      const full = of('disk-full');
      expect(full.during.notStored).toBeGreaterThan(full.during.accepted);
      expect(full.warnings.map(({ text }) => text).join('\n')).toMatch(
        /share journal .* could not be written .*ENOSPC/,
      );
      expect(full.after.notStored).toBeLessThan(full.during.notStored / 10);
      expect(of('clock').during.stale).toBeLessThan(of('clock').during.accepted / 20);
    },
    BEFORE_AND_AFTER_MS,
  );
});

describe('what an outage run measures with', () => {
  it('shows a clock that is off, stands or runs fast, from the moment on that it was set', () => {
    const clock = [
      { fromMs: 1000, offsetMs: 3_600_000, rate: 1 },
      { fromMs: 2000, offsetMs: 0, rate: 0 },
      { fromMs: 3000, offsetMs: 0, rate: 2 },
    ];
    const real = (nowMs: number) => 1_700_000_000_000 + nowMs;
    const shown = (nowMs: number) => shownMs(clock, real(nowMs), nowMs) - real(0);
    expect([999, 1000, 1999].map(shown)).toEqual([999, 3_601_000, 3_601_999]);
    expect([2000, 2500, 2999].map(shown)).toEqual([2000, 2000, 2000]);
    expect([3000, 3500, 4000].map(shown)).toEqual([3000, 4000, 5000]);
  });

  it('counts a gap that began in the phase before, and a rest that was asked for not at all', () => {
    const times = new AnswerTimes(0);
    times.accepted(100);
    expect(times.next(1000)).toMatchObject({ accepted: 1, gapMs: 900 });
    times.accepted(2500);
    expect(times.next(3000)).toMatchObject({ seconds: 2, gapMs: 2400 });
    times.resume(60_000);
    times.accepted(60_010);
    expect(times.next(60_020).gapMs).toBe(10);
  });

  it('gives quantiles at most 9 % too high', () => {
    const times = new AnswerTimes(0);
    for (let ms = 1; ms <= 1000; ms++) times.answered(ms, ms);
    const { p50Ms, p99Ms, maxMs } = times.next(1000);
    expect([500 <= p50Ms, p50Ms <= 545, 990 <= p99Ms, p99Ms <= 1080, maxMs]).toEqual([
      true,
      true,
      true,
      true,
      1000,
    ]);
  });

  it('does not blame vardiff for a process that was held up', () => {
    const times = new AnswerTimes(0);
    times.waited(1000, 1800);
    times.retargeted(2000, 0.25);
    expect(times.next(3000)).toMatchObject({ retargetMax: 1, leaps: 0 });
    times.retargeted(7000, 0.25);
    expect(times.next(8000)).toMatchObject({ retargetMax: 4, leaps: 1 });
  });

  it.each([
    [['outage', '--only', 'clock,postgres-frozen'], { only: ['postgres-frozen', 'clock'], minutes: 2 }],
    [['outage', '--minutes', '0.05'], { minutes: 0.05, threads: 1, seed: 1 }],
    [['kill', '--rounds', '3'], { run: 'kill', rounds: 3 }],
  ])('reads %j', (args, expected) => {
    expect(readOptions(args)).toMatchObject(expected);
  });

  it.each([
    [['outage', '--only', 'flood'], /"flood", expected some of clickhouse-killed,/],
    [['outage', '--rounds', '3'], /--rounds is no option of outage/],
    [['kill', '--minutes', '3'], /--minutes is no option of kill/],
    [['outage', '--minutes', '0'], /--minutes is "0", expected a number from 0.05 to 60/],
    [['outage', 'kill'], /expected kill or outage/],
  ])('refuses %j', (args, expected) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(expected);
  });
});
