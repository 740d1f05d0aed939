// The engine of a soak run as a program, forked by engine-child.ts: the connection thread with its hash workers and
// journal, fed with jobs of the real job maker on made-up templates; no node, no stores. A network target that no
// hash meets, so the tip moves by the clock.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { JobMaker } from '../../engine/job-maker.js';
import { defaultCaps } from '../../engine/stratum/admission.js';
import type {
  ConnectionThreadSettings,
  ConnectionThreadStats,
  FromConnectionThread,
  ToConnectionThread,
} from '../../engine/stratum/thread-messages.js';
import { EXTRANONCE1_BYTES } from '../../engine/work/extranonce.js';
import type { BlockTemplate } from '../../engine/work/template.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { benchTemplate } from '../bench/stratum-template.js';
import { SWARM_USER } from '../bench/swarm-user.js';
import type { EngineFigures, EngineSettings } from './engine.js';
import type { FromEngine, ToEngine } from './engine-messages.js';
import { TRANSPORTS, type Transport } from './habits.js';

const EXTRANONCE2_BYTES = 8;
const BRANCHES = 3;
const REFRESH_MS = 5000;
/** Every sixth refresh is a new tip: one in 30 s. */
const REFRESHES_PER_TIP = 6;
/** Difficulties that a minute of bad luck or sleep may lead to. */
const FLOOR_BELOW_START = 256;

class Engine {
  readonly #worker: Worker;
  readonly #jobs: JobMaker;
  readonly #refreshes: NodeJS.Timeout;
  #nextKey = 1;
  #tip = 0;
  #refreshed = 0;
  #template = this.#templateNow();

  constructor(settings: EngineSettings) {
    this.#jobs = new JobMaker({
      script: scriptFromAddress(SWARM_USER, 'regtest'),
      tag: 'millrace soak',
      extranonce1Bytes: EXTRANONCE1_BYTES,
      extranonce2Bytes: EXTRANONCE2_BYTES,
      keys: { next: () => this.#nextKey++ },
    });
    this.#worker = new Worker(new URL('../../engine/stratum/connection-thread.js', import.meta.url), {
      name: 'connections',
      workerData: threadSettings(settings),
    });
    this.#worker.on('error', (error) => post({ type: 'failed', reason: error.message }));
    this.#worker.on('message', (message: FromConnectionThread) => this.#take(message));
    this.#refreshes = setInterval(() => this.#refresh(), REFRESH_MS);
  }

  drain(): void {
    clearInterval(this.#refreshes);
    this.#send({ type: 'drain' });
  }

  #take(message: FromConnectionThread): void {
    switch (message.type) {
      case 'listening':
        this.#putUp('all', true);
        post({ type: 'listening', ports: portsOf(message.ports) });
        break;
      case 'need_job':
        this.#putUp('retarget', false);
        break;
      case 'stats':
        post({ type: 'figures', figures: this.#figures(message.stats) });
        break;
      case 'log':
        post({ type: 'log', line: `${message.level}: ${message.message}` });
        break;
      case 'failed':
        post({ type: 'failed', reason: message.reason });
        break;
      case 'candidate':
        post({ type: 'failed', reason: 'a share was taken for a block on a target that no hash meets' });
        break;
      case 'drained':
        process.send?.({ type: 'drained' } satisfies FromEngine, () => process.exit(0));
        break;
    }
  }

  #figures({
    connections,
    closed,
    journal,
    eventLoopDelayMs,
    verdicts,
  }: ConnectionThreadStats): EngineFigures {
    const { p99, max } = eventLoopDelayMs;
    return {
      ...{ connections, closed, verdicts, jobs: this.#jobs.made, tips: this.#tip + 1 },
      ...{ journalBytes: journal.bytes, delayMs: { p99, max } },
    };
  }

  #refresh(): void {
    this.#refreshed++;
    const movesTip = this.#refreshed % REFRESHES_PER_TIP === 0;
    if (movesTip) this.#tip++;
    this.#template = this.#templateNow();
    this.#putUp('all', movesTip);
  }

  #templateNow(): BlockTemplate {
    return benchTemplate(BRANCHES, this.#tip, Math.floor(Date.now() / 1000));
  }

  #putUp(audience: 'all' | 'retarget', newTip: boolean): void {
    this.#send({
      type: 'job',
      job: this.#jobs.make(this.#template),
      audience,
      spread: audience === 'all' && !newTip,
      tipSeenAtMs: newTip ? performance.timeOrigin + performance.now() : null,
    });
  }

  #send(message: ToConnectionThread): void {
    this.#worker.postMessage(message);
  }
}

function threadSettings(settings: EngineSettings): ConnectionThreadSettings {
  const { startDifficulty, sharesPerMinute, maxConnections, certFile, keyFile, folder } = settings;
  const bounds = { startDifficulty: null, minDifficulty: null, maxDifficulty: null };
  return {
    host: '127.0.0.1',
    ports: TRANSPORTS.map((kind) => ({ name: kind, kind, port: 0, ...bounds })),
    tls: { certFile, keyFile },
    ...{ proxyFrom: [], reusePort: false },
    network: 'regtest',
    software: 'millrace/soak',
    caps: defaultCaps(maxConnections),
    banSeconds: 0,
    shareDifficulty: startDifficulty,
    vardiff: {
      ...{ enabled: true, sharesPerMinute, powersOfTwo: false },
      ...{ floor: startDifficulty / FLOOR_BELOW_START, ceiling: 1e15 },
    },
    duplicateFilterEntries: 20_000_000,
    hashWorkers: 1,
    journalFolder: join(folder, 'journal'),
    ...{ nodeId: 1, lane: 0, epoch: 1, rounds: new RoundCounter().memory },
    extranonce2Bytes: EXTRANONCE2_BYTES,
  };
}

function portsOf(
  ports: readonly { readonly kind: Transport; readonly port: number }[],
): Record<Transport, number> {
  return Object.fromEntries(ports.map(({ kind, port }) => [kind, port])) as Record<Transport, number>;
}

function post(message: FromEngine): void {
  process.send?.(message);
}

let engine: Engine | null = null;
process.on('message', (message: ToEngine) => {
  if (message.type === 'start') engine = new Engine(message.settings);
  else engine?.drain();
});
process.on('disconnect', () => (engine === null ? process.exit(0) : engine.drain()));
process.on('SIGINT', () => {});
