// The program of a process of simulated miners, forked by miners.ts. All its miners share one nonce searcher; a wheel
// gives each a tick a second.
import { NonceSearcher } from '../../wasm/nonce-searcher.js';
import { SoakMiner } from './miner.js';
import type { FromMiners, MinerCounts, MinersSettings, ToMiners } from './miners-messages.js';
import { ToldSharesWriter } from './told-shares.js';

const WHEEL_MS = 20;
const ROUND_MS = 1000;
const FAULTS_TOLD = 20;

const counts: MinerCounts = {
  connected: 0,
  connects: 0,
  disconnects: 0,
  resumptions: 0,
  retargets: 0,
  slowReadings: 0,
  hashes: 0,
  submitted: 0,
  repeats: 0,
  answers: {},
  faults: 0,
};

class MinersProcess {
  readonly #told: ToldSharesWriter;
  readonly #miners: SoakMiner[] = [];
  readonly #wheel: NodeJS.Timeout;
  readonly #reports: NodeJS.Timeout;
  #next = 0;
  #roundStartMs = performance.now();

  constructor(settings: MinersSettings) {
    this.#told = new ToldSharesWriter(settings.toldFile);
    const searcher = new NonceSearcher();
    const { firstMiner, miners, rampMs } = settings;
    const now = performance.now();
    for (let i = 0; i < miners; i++) {
      const options = {
        ...settings,
        ...{ number: firstMiner + i, searcher, told: this.#told, counts, onFault: report },
      };
      this.#miners.push(new SoakMiner(options, now + (rampMs * i) / miners));
    }
    this.#wheel = setInterval(() => this.#turn(), WHEEL_MS);
    this.#reports = setInterval(() => {
      this.#told.flush();
      post({ type: 'counts', counts: this.#count() });
    }, ROUND_MS);
  }

  stop(): void {
    for (const miner of this.#miners) miner.stop();
  }

  end(): void {
    clearInterval(this.#wheel);
    clearInterval(this.#reports);
    const last = this.#count();
    for (const miner of this.#miners) miner.end();
    this.#told.close();
    const message: FromMiners = { type: 'ended', counts: last };
    process.send?.(message, () => process.exit(0));
  }

  /** Looks at those whose turn has come by now, so that a late timer skips nobody. */
  #turn(): void {
    const now = performance.now();
    const due = ((now - this.#roundStartMs) / ROUND_MS) * this.#miners.length;
    for (; this.#next < Math.min(due, this.#miners.length); this.#next++) {
      this.#miners[this.#next]?.tick(performance.now());
    }
    if (this.#next < this.#miners.length) return;
    this.#next = 0;
    this.#roundStartMs = Math.max(this.#roundStartMs + ROUND_MS, now - ROUND_MS);
  }

  #count(): MinerCounts {
    counts.connected = this.#miners.filter((miner) => miner.connected).length;
    return counts;
  }
}

function report(what: string): void {
  counts.faults++;
  if (counts.faults <= FAULTS_TOLD) post({ type: 'fault', what });
}

function post(message: FromMiners): void {
  process.send?.(message);
}

let miners: MinersProcess | null = null;
process.on('message', (message: ToMiners) => {
  if (message.type === 'start') miners = new MinersProcess(message.settings);
  else if (message.type === 'stop') miners?.stop();
  else miners?.end();
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
