// The engine as the stratum suite measures it: the real connection thread with its hash workers and journal, fed
// with jobs of the real job maker, and nothing else in the process. Share difficulty so low that every hash
// is a share, no vardiff, a network target that no hash meets.
//
//   node dist/loadtest/bench/stratum-server.js [branches] [port]
//
// Prints one JSON object a line: {"port", "pid", "connectionThread"} when it listens; after SIGUSR2 a new tip
// and {"tipAtMs"}; after SIGTERM or SIGINT {"accepted"} of all its life. Also for any other client to try.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { CONNECTION_THREAD_LIMITS } from '../../engine/connection-threads.js';
import { JobMaker } from '../../engine/job-maker.js';
import { defaultCaps } from '../../engine/stratum/admission.js';
import type {
  ConnectionThreadSettings,
  FromConnectionThread,
  ToConnectionThread,
} from '../../engine/stratum/thread-messages.js';
import type { BlockTemplate } from '../../engine/work/template.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { endWithParent } from './end-with-parent.js';
import { taskIds } from './process-usage.js';
import { benchTemplate } from './stratum-template.js';
import { monotonicMs } from './swarm-clock.js';
import { SWARM_USER } from './swarm-user.js';

const EXTRANONCE1_BYTES = 4;
const EXTRANONCE2_BYTES = 8;
const EVERY_HASH = 1e-10;

/** All that the engine is told. */
function threadSettings(port: number, journalFolder: string): ConnectionThreadSettings {
  return {
    host: '127.0.0.1',
    ports: [
      {
        ...{ name: 'bench', port, kind: 'tcp' },
        ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
      },
    ],
    ...{ tls: null, proxyFrom: [], reusePort: false },
    network: 'regtest',
    software: 'millrace/bench',
    caps: defaultCaps(100_000),
    banSeconds: 0,
    shareDifficulty: EVERY_HASH,
    vardiff: { enabled: false, sharesPerMinute: 18, floor: EVERY_HASH, ceiling: 1e15, powersOfTwo: false },
    duplicateFilterEntries: 20_000_000,
    hashWorkers: 1,
    journalFolder,
    nodeId: 1,
    rounds: new RoundCounter().memory,
    ...{ lane: 0, epoch: 1 },
    extranonce2Bytes: EXTRANONCE2_BYTES,
  };
}

const [branches = 0, port = 0] = process.argv.slice(2).map(Number);
const journalFolder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
process.on('exit', () => rmSync(journalFolder, { recursive: true, force: true }));

let nextKey = 1;
let tip = 0;
let template = templateNow();
const jobs = new JobMaker({
  script: scriptFromAddress(SWARM_USER, 'regtest'),
  tag: 'millrace bench',
  extranonce1Bytes: EXTRANONCE1_BYTES,
  extranonce2Bytes: EXTRANONCE2_BYTES,
  keys: { next: () => nextKey++ },
});

const threadsBefore = new Set(taskIds(process.pid));
const worker = new Worker(new URL('../../engine/stratum/connection-thread.js', import.meta.url), {
  name: 'connections',
  workerData: threadSettings(port, journalFolder),
  resourceLimits: CONNECTION_THREAD_LIMITS,
});
const connectionThread = taskIds(process.pid).find((tid) => !threadsBefore.has(tid)) ?? null;
let accepted = 0;

worker.on('error', (error) => fail(error.message));
worker.on('exit', () => {
  print({ accepted });
  process.exit();
});
worker.on('message', (message: FromConnectionThread) => {
  switch (message.type) {
    case 'listening':
      send('all');
      print({ port: message.ports[0]?.port, pid: process.pid, connectionThread });
      break;
    case 'failed':
      fail(message.reason);
      break;
    case 'need_job':
      send('retarget');
      break;
    case 'stats':
      accepted = message.stats.verdicts.accepted ?? 0;
      break;
    case 'log':
      process.stderr.write(`engine: ${message.message}\n`);
      break;
    default:
  }
});

process.on('SIGUSR2', () => {
  tip++;
  template = templateNow();
  // From here on, as from the template that a node's event brought.
  const tipAtMs = monotonicMs();
  send('all');
  print({ tipAtMs });
});
const drain = (): void => post({ type: 'drain' });
process.on('SIGTERM', drain);
process.on('SIGINT', drain);
endWithParent(drain);

function templateNow(): BlockTemplate {
  return benchTemplate(branches, tip, Math.floor(Date.now() / 1000));
}

function send(audience: 'all' | 'retarget'): void {
  post({ type: 'job', job: jobs.make(template), audience, spread: false, tipSeenAtMs: null });
}

function post(message: ToConnectionThread): void {
  worker.postMessage(message);
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function fail(reason: string): void {
  process.stderr.write(`the engine failed: ${reason}\n`);
  process.exit(1);
}
