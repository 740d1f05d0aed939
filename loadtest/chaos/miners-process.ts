// The program of the process of miners, forked by miners.ts: it outlives every kill of the pool, and its books say what
// each miner was answered.
import { NonceSearcher } from '../../wasm/nonce-searcher.js';
import { ToldSharesWriter } from '../soak/told-shares.js';
import { AnswerTimes } from './answer-times.js';
import { ChaosMiner } from './miner.js';
import {
  type FromMiners,
  type MinerCounts,
  type MinersSettings,
  noCounts,
  type ToMiners,
} from './miners-messages.js';

const TICK_MS = 20;
/** A miner has its turn every so many ticks: shares come in packets of one or two. */
const TURNS = 5;
const COUNTS_EVERY_MS = 200;
const FAULTS_TOLD = 20;

const counts = noCounts();

class MinersProcess {
  readonly #told: ToldSharesWriter;
  readonly #miners: ChaosMiner[];
  readonly #timers: NodeJS.Timeout[];
  readonly #times = new AnswerTimes(performance.now());
  ports: readonly number[];
  #turn = 0;
  #tickedMs = performance.now();

  constructor({ toldFile, miners, hashrateHs, host, ports, vardiff }: MinersSettings) {
    this.ports = ports;
    const told = new ToldSharesWriter(toldFile);
    this.#told = told;
    const searcher = new NonceSearcher();
    this.#miners = Array.from(
      { length: miners },
      (_, number) =>
        new ChaosMiner({
          ...{ number, hashrateHs, searcher, told, counts, times: this.#times, vardiff, onFault: report },
          endpoint: () => ({ host, port: this.ports[number % this.ports.length] ?? 0 }),
        }),
    );
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS),
      setInterval(() => post({ type: 'counts', counts: this.#count() }), COUNTS_EVERY_MS),
    ];
  }

  rest(): void {
    for (const miner of this.#miners) miner.rest();
  }

  work(): void {
    this.#times.resume(performance.now());
    for (const miner of this.#miners) miner.workAgain();
  }

  resend(): void {
    for (const miner of this.#miners) miner.resendRefused();
  }

  endPhase(): void {
    this.#told.flush();
    post({ type: 'phase', answers: this.#times.next(performance.now()) });
  }

  end(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const miner of this.#miners) miner.end();
    this.#told.close();
    process.send?.({ type: 'ended', counts: this.#count() } satisfies FromMiners, () => process.exit(0));
  }

  #tick(): void {
    const nowMs = performance.now();
    this.#times.waited(nowMs, nowMs - this.#tickedMs);
    this.#tickedMs = nowMs;
    this.#turn = (this.#turn + 1) % TURNS;
    for (let i = this.#turn; i < this.#miners.length; i += TURNS) this.#miners[i]?.tick(performance.now());
  }

  #count(): MinerCounts {
    counts.connected = this.#miners.filter(({ connected }) => connected).length;
    counts.open = this.#miners.reduce((sum, { open }) => sum + open, 0);
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
  switch (message.type) {
    case 'start':
      miners = new MinersProcess(message.settings);
      return;
    case 'ports':
      if (miners !== null) miners.ports = message.ports;
      return;
    case 'phase':
      miners?.endPhase();
      return;
    default:
      miners?.[message.type]();
  }
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
