// The soak run, short: mixed miners on all transports against the real connection thread, then its journal against
// their books.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import type { SoakResult } from '../../loadtest/soak/report.js';
import { projectRoot } from '../../storage/project-root.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-soak-run-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.runIf(process.platform === 'linux')(
  'ends with every accepted share in the journal once',
  async () => {
    const json = join(folder, 'result.json');
    const program = join(projectRoot(), 'dist/loadtest/soak/main.js');
    const args = [program, '--minutes', '0.3', '--miners', '60', '--seed', '2', '--json', json];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toContain('No differences');
    const { shares, miners, engine, memory, differences } = JSON.parse(
      readFileSync(json, 'utf8'),
    ) as SoakResult;
    expect(differences).toEqual([]);
    expect(shares.accepted).toBe(shares.told + shares.cutOffAccepted);
    expect(shares.told).toBeGreaterThan(100);
    expect(shares.journaled).toBeGreaterThan(shares.accepted);
    expect(miners.repeats).toBeGreaterThan(0);
    expect(miners.disconnects).toBeGreaterThan(0);
    expect(miners.retargets).toBeGreaterThan(0);
    expect(engine.jobs).toBeGreaterThan(2);
    expect(engine.verdicts?.accepted).toBe(shares.accepted);
    expect(memory.length).toBeGreaterThan(5);
  },
  60_000,
);
