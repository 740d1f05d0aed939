// The kill loop, short: the whole pool killed and frozen part by part, then every share looked for in every store.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import type { KillResult } from '../../loadtest/chaos/report.js';
import { projectRoot } from '../../storage/project-root.js';

/** A round takes 2 to 3 s; the project's CI runs 25. */
const ROUNDS = Number(process.env.MILLRACE_CHAOS_ROUNDS ?? 8);
const BEFORE_AND_AFTER_MS = 240_000;
const ROUND_MS_MAX = 30_000;

const folder = mkdtempSync(join(tmpdir(), 'millrace-chaos-run-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.runIf(process.platform === 'linux')(
  'ends with every share that was answered true in each store once, whatever was killed',
  async () => {
    const json = join(folder, 'result.json');
    const program = join(projectRoot(), 'dist/loadtest/chaos/main.js');
    const args = [
      program,
      'kill',
      '--rounds',
      String(ROUNDS),
      '--seed',
      '9',
      '--threads',
      '2',
      '--json',
      json,
    ];
    const run = await promisify(execFile)(process.execPath, args).catch((failed) => failed);
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
