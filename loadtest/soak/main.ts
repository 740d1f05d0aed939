// The soak run: starts an engine and thousands of mixed miners, lets them work for minutes, drains the engine under
// load, then compares its journal with the miners' books share by share. `node dist/loadtest/soak/main.js --help`
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '../bench/figures.js';
import { processCpuMs, requireProcFiles, residentBytes } from '../bench/process-usage.js';
import { type Certificate, loopbackCertificate } from './certificate.js';
import { type ComparedCounts, Comparison } from './comparison.js';
import { Differences } from './differences.js';
import type { SoakEngine } from './engine.js';
import { startConnectionThread } from './engine-child.js';
import { startPool } from './engine-pool.js';
import type { Transport } from './habits.js';
import { findJournals, readJournal } from './journal-shares.js';
import {
  GROWTH_MAX_KB_PER_MINUTE,
  JUDGED_FROM_MINUTES,
  type MemorySample,
  memoryGrowth,
} from './memory-trend.js';
import { Miners } from './miners.js';
import type { MinersSettings } from './miners-messages.js';
import { HELP, readOptions, type SoakOptions, UsageError } from './options.js';
import { progressLine, resultTable, type SoakResult } from './report.js';
import { readToldShares } from './told-shares.js';

/** 429 hashes a share: what a simulated miner can afford to find once a second. */
const START_DIFFICULTY = 1e-7;
const SHARES_PER_MINUTE = 60;
const HASHES_PER_DIFFICULTY = 2 ** 32;
const MEDIAN_HS = (START_DIFFICULTY * HASHES_PER_DIFFICULTY * SHARES_PER_MINUTE) / 60;
/** From so many miners on there are two processes of them. */
const TWO_PROCESSES_FROM = 200;
const RAMP_MS_MAX = 10_000;
const SAMPLE_MS_MAX = 10_000;
const SAMPLES_MIN = 12;
/** Time for all miners to hear that the engine is about to end. */
const LAST_WORD_MS = 300;
const DELAY_EVERY_MS = 1000;
/** Connections that the engine still closes while their miners are back already. */
const SPARE_CONNECTIONS = 1000;

async function soak(options: SoakOptions, folder: string, say: (line: string) => void): Promise<SoakResult> {
  const differences = new Differences();
  const certificate = loopbackCertificate();
  const start = options.engine === 'pool' ? startPool : startConnectionThread;
  const engine = await start(
    {
      ...{ folder, ...writeCertificate(folder, certificate) },
      ...{ startDifficulty: START_DIFFICULTY, sharesPerMinute: SHARES_PER_MINUTE },
      maxConnections: options.miners + SPARE_CONNECTIONS,
    },
    (line) => say(`engine: ${line}`),
  );
  const miners = new Miners(minersSettings(options, folder, engine.ports, certificate.cert), (what) => {
    differences.add('protocol', what);
  });
  try {
    const watched = await Promise.race([watch(options, engine, miners, say), engine.failed, miners.failed]);
    const { connections, closed } = engine.figures;
    const { connected } = miners.counts();
    miners.stop();
    await pause(LAST_WORD_MS);
    await engine.drain();
    await miners.end();
    say('comparing the journal with the books of the miners');
    const shares = compare(folder, miners.toldFiles, engine.figures.verdicts, differences);
    const { faults } = miners.counts();
    if (faults > miners.faultsTold) differences.add('protocol', 'more of them', faults - miners.faultsTold);
    const growth = memoryGrowth(watched.memory);
    if (options.minutes >= JUDGED_FROM_MINUTES && growth > GROWTH_MAX_KB_PER_MINUTE) {
      differences.add('memory', `${growth.toFixed(0)} kB a minute over the second half of the run`);
    }
    return {
      ...{ options, shares, ...watched, memoryGrowth: growth },
      miners: { ...miners.counts(), connected },
      engine: { ...engine.figures, connections, closed },
      differences: differences.list(),
    };
  } finally {
    miners.kill();
    engine.kill();
  }
}

function compare(
  folder: string,
  toldFiles: readonly string[],
  verdicts: Readonly<Record<string, number>> | null,
  differences: Differences,
): ComparedCounts {
  const comparison = new Comparison(differences);
  for (const journal of findJournals(folder)) {
    readJournal(journal, differences, (share) => comparison.addJournaled(share));
  }
  for (const file of toldFiles) for (const share of readToldShares(file)) comparison.addTold(share);
  return comparison.finish(verdicts);
}

function writeCertificate(folder: string, { cert, key }: Certificate): { certFile: string; keyFile: string } {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  return { certFile, keyFile };
}

function minersSettings(
  { miners, seed, minutes }: SoakOptions,
  folder: string,
  ports: Readonly<Record<Transport, number>>,
  ca: string,
): MinersSettings[] {
  const host = '127.0.0.1';
  const endpoints = {
    tcp: { host, port: ports.tcp, ca: null },
    tls: { host, port: ports.tls, ca },
    // A pool with a certificate serves wss on its WebSocket ports.
    ws: { host, port: ports.ws, ca },
  };
  const processes = miners >= TWO_PROCESSES_FROM ? 2 : 1;
  return Array.from({ length: processes }, (_, i) => {
    const firstMiner = Math.floor((miners * i) / processes);
    return {
      ...{ seed, firstMiner, endpoints },
      miners: Math.floor((miners * (i + 1)) / processes) - firstMiner,
      medianHs: MEDIAN_HS,
      startDifficulty: START_DIFFICULTY,
      rampMs: Math.min(RAMP_MS_MAX, (minutes * 60_000) / 6),
      toldFile: join(folder, `told-${i}`),
    };
  });
}

/** Lets the load run for its time. */
async function watch(
  { minutes }: SoakOptions,
  engine: SoakEngine,
  miners: Miners,
  say: (line: string) => void,
): Promise<Pick<SoakResult, 'memory' | 'loopDelayMs' | 'engineCores' | 'minersCores'>> {
  const runMs = minutes * 60_000;
  const sampleMs = Math.min(SAMPLE_MS_MAX, runMs / SAMPLES_MIN);
  const startMs = performance.now();
  const memory: MemorySample[] = [];
  const delays: { p99: number; max: number }[] = [];
  const looks = setInterval(() => delays.push(engine.figures.delayMs), DELAY_EVERY_MS);
  const engineStartMs = processCpuMs(engine.pid, false);
  let engineMs = engineStartMs;
  try {
    for (let dueMs = sampleMs; dueMs < runMs + sampleMs / 2; dueMs += sampleMs) {
      await pause(startMs + dueMs - performance.now());
      const atMs = performance.now() - startMs;
      const kB = residentBytes(engine.pid, false) / 1024;
      memory.push({ minutes: atMs / 60_000, kB });
      const nowMs = processCpuMs(engine.pid, false);
      say(progressLine(atMs / 1000, miners.counts(), kB, (nowMs - engineMs) / sampleMs, engine.figures));
      engineMs = nowMs;
    }
  } finally {
    clearInterval(looks);
  }
  const p99s = delays.map(({ p99 }) => p99);
  return {
    memory,
    loopDelayMs: {
      p99Median: median(p99s),
      p99Worst: Math.max(...p99s),
      longest: Math.max(...delays.map(({ max }) => max)),
    },
    engineCores: (engineMs - engineStartMs) / runMs,
    minersCores: miners.pids.reduce((sum, pid) => sum + processCpuMs(pid, false), 0) / runMs,
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(HELP);
    return;
  }
  requireProcFiles();
  const folder = mkdtempSync(join(tmpdir(), 'millrace-soak-'));
  const result = await soak(options, folder, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${resultTable(result)}\n`);
  if (options.jsonFile !== null) writeFileSync(options.jsonFile, `${JSON.stringify(result, null, 2)}\n`);
  if (result.differences.length > 0) {
    process.exitCode = 1;
    process.stdout.write(`\nJournal and books are kept in ${folder}\n`);
  } else {
    rmSync(folder, { recursive: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    error instanceof UsageError
      ? `${error.message}. See --help.\n`
      : `the soak run failed: ${(error as Error).stack}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
