// The stratum suite: its options, its templates, and one quick run of it. What the figures are is no matter here:
// speed is not tested.
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { buildJob } from '../../engine/work/job.js';
import { UsageError } from '../../loadtest/bench/command-line.js';
import {
  openFilesMax,
  processCpuMs,
  residentBytes,
  taskCpuMs,
  taskIds,
} from '../../loadtest/bench/process-usage.js';
import { suite } from '../../loadtest/bench/stratum.js';
import { MEASURES, measure, QUICK, requireConnections } from '../../loadtest/bench/stratum-measures.js';
import { parseEngine, parseMeasures, parsePeers } from '../../loadtest/bench/stratum-options.js';
import { startEcho } from '../../loadtest/bench/stratum-target.js';
import { benchTemplate } from '../../loadtest/bench/stratum-template.js';

const SHORT = { ...QUICK, warmupMs: 100, ms: 200, connections: 50 };

describe('options', () => {
  it('choose measures, all of them where none is named', () => {
    expect(parseMeasures([])).toEqual(MEASURES);
    expect(parseMeasures(['connections,100x1', 'latency'])).toEqual(['100x1', 'latency', 'connections']);
    expect(() => parseMeasures(['100x2'])).toThrow(UsageError);
    expect(() => parseMeasures(['100x2'])).toThrow(/"100x2".*10x32/);
  });

  it('choose the part of the engine that is measured', () => {
    expect([parseEngine([]), parseEngine(['thread']), parseEngine(['pool'])]).toEqual([
      'thread',
      'thread',
      'pool',
    ]);
    expect(() => parseEngine(['whole'])).toThrow('--engine "whole": expected thread or pool');
  });

  it('name pools that run', () => {
    const [peer] = parsePeers(['ckpool,127.0.0.1,3333,77,bc1qxyz'], ['mine one']);
    expect(peer).toEqual({
      name: 'ckpool',
      host: '127.0.0.1',
      port: 3333,
      pid: 77,
      user: 'bc1qxyz',
      tipCommand: 'mine one',
    });
    for (const spec of [
      'a',
      'a,h,0,1',
      'a,h,1,x',
      ',h,1,1',
      'a,,1,1',
      'a,h,1,1,u,v',
      'stratum,h,1,1',
      'a,h,1,1,"',
    ]) {
      expect(() => parsePeers([spec], [])).toThrow(`--peer "${spec}": expected NAME,HOST,PORT,PID`);
    }
    expect(() => parsePeers([], ['mine one'])).toThrow(UsageError);
  });
});

describe('a template of the suite', () => {
  it.each([0, 1, 2, 12])('gives a job with %i merkle branches', (branches) => {
    const template = benchTemplate(branches, 0, 1_750_000_000);
    const job = buildJob({
      template,
      jobId: 1,
      outputs: [{ script: new Uint8Array(22), sats: template.coinbaseValue }],
      tag: 'test',
      extranonce1Bytes: 4,
      extranonce2Bytes: 8,
    });
    expect(job.branch).toHaveLength(branches);
    expect(job.networkDifficulty).toBeGreaterThan(1e12);
  });

  it('stands on another block for each tip', () => {
    const tips = [0, 1, 2].map((tip) => benchTemplate(0, tip, 1_750_000_000).previousBlockHash);
    expect(new Set(tips).size).toBe(3);
    expect(() => benchTemplate(13, 0, 1_750_000_000)).toThrow(RangeError);
  });
});

describe('what the kernel says of a process', () => {
  it('is its CPU time, with and without children, and its memory', async () => {
    const child = spawn(process.execPath, ['-e', 'for (;;);']);
    try {
      const own = processCpuMs(process.pid, false);
      const alone = processCpuMs(child.pid ?? 0, false);
      while (processCpuMs(child.pid ?? 0, false) < alone + 100) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(processCpuMs(process.pid, true)).toBeGreaterThanOrEqual(own + 100);
      expect(residentBytes(process.pid, true)).toBeGreaterThan(residentBytes(process.pid, false) + 1e6);
      const tasks = taskIds(child.pid ?? 0);
      expect(tasks).toContain(child.pid);
      expect(taskCpuMs(child.pid ?? 0, child.pid ?? 0)).toBeGreaterThanOrEqual(100);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('says how many connections it allows, and more are refused with the cure', () => {
    expect(() => requireConnections(1)).not.toThrow();
    const most = openFilesMax();
    if (Number.isFinite(most))
      expect(() => requireConnections(most)).toThrow(/open files.*ulimit -Hn.*--only/);
    else expect(() => requireConnections(1e6)).toThrow(/local ports/);
  });
});

describe('the suite', () => {
  it('measures the engine, a bare echo and a pool that runs, in one run', async () => {
    const peer = await startEcho();
    const { port, pid } = peer.swarm;
    const said: string[] = [];
    const { figures, method } = await suite({
      quick: true,
      given: { only: ['10x32,latency,connections'], peer: [`other,127.0.0.1,${port},${pid}`] },
      progress: (line) => said.push(line),
    }).finally(() => peer.stop());

    const byName = new Map(figures.map((figure) => [figure.name, figure]));
    for (const [name, most] of [
      ['stratum.submit_us_10x32', 10_000],
      ['stratum.submits_per_s_10x32', 1e7],
      ['stratum.connection_thread_us_10x32', 10_000],
      ['stratum.client_cores_10x32', 3],
      ['stratum.ack_p50_ms', 60_000],
      ['stratum.ack_p99_ms', 60_000],
      ['stratum.ack_p999_ms', 60_000],
      ['stratum.ready_s', 60],
      ['stratum.memory_idle_kb', 1e6],
      ['stratum.memory_traffic_kb', 1e6],
      ['stratum.tip_last_ms', 20_000],
      ['stratum.tip_spread_ms', 20_000],
      ['stratum.tip_ack_p99_ms', 20_000],
      ['node_echo.submit_us_10x32', 10_000],
      ['other.submit_us_10x32', 10_000],
      ['other.ack_p99_ms', 60_000],
      ['other.ready_s', 60],
    ] as const) {
      expect(byName.get(name)?.value, name).toBeGreaterThan(0);
      expect(byName.get(name)?.value, name).toBeLessThan(most);
    }
    const value = (name: string): number => byName.get(`stratum.${name}`)?.value ?? Number.NaN;
    expect(value('connection_thread_us_10x32')).toBeLessThanOrEqual(value('submit_us_10x32') * 1.5);
    expect(value('ack_p50_ms')).toBeLessThanOrEqual(value('ack_p99_ms'));
    expect(value('tip_spread_ms')).toBeLessThanOrEqual(value('tip_last_ms'));
    // A pool whose node nobody can ask for a block has no figures of a new tip.
    expect(byName.has('other.tip_last_ms')).toBe(false);
    expect(byName.get('stratum.submit_us_10x32')?.goal).toEqual({ most: 5 });
    // The goal speaks of 10,000 connections, a quick run has fewer.
    expect(byName.get('stratum.ready_s')?.goal).toBeUndefined();
    expect(byName.get('stratum.submit_us_10x32')?.ratio).toMatch(
      /^\d+\.\d\d x node_echo, \d+\.\d\d x other$/,
    );
    expect(method.length).toBeGreaterThan(0);
    expect(said.some((line) => line.includes('10x32'))).toBe(true);
  }, 120_000);

  it('takes no figure from a pool that counted others than it answered', async () => {
    const echo = await startEcho();
    const boasting = { ...echo, stop: async () => ((await echo.stop()) ?? 0) + 1 };
    await expect(measure('10x32', boasting, SHORT)).rejects.toThrow(
      /the pool counted 1 accepted shares, but/,
    );
  }, 60_000);
});
