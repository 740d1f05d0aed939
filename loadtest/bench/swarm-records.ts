// What the client writes down while it measures.
import { monotonicMs } from './swarm-clock.js';
import type { AckTimes } from './swarm-messages.js';

/** How busy this process is: cores, since it was made. */
export class OwnCores {
  readonly #startMs = performance.now();
  readonly #start = process.cpuUsage();

  get value(): number {
    const { user, system } = process.cpuUsage(this.#start);
    return (user + system) / 1000 / (performance.now() - this.#startMs);
  }
}

/** Answers of an open loop: when each submit was planned, and how long its answer took. */
export class AckRecord {
  #plannedMs = new Float64Array(1 << 16);
  #tookMs = new Float64Array(1 << 16);
  #count = 0;

  add(plannedMs: number, tookMs: number): void {
    if (this.#count === this.#tookMs.length) {
      this.#plannedMs = doubled(this.#plannedMs);
      this.#tookMs = doubled(this.#tookMs);
    }
    this.#plannedMs[this.#count] = plannedMs;
    this.#tookMs[this.#count++] = tookMs;
  }

  /** Of the submits planned from `fromMs` to `toMs`, both included. */
  between(fromMs: number, toMs: number): { submits: number; ackMs: AckTimes } {
    const planned = this.#plannedMs.subarray(0, this.#count);
    const took = this.#tookMs.filter(
      (_, i) => i < this.#count && isWithin(planned[i] as number, fromMs, toMs),
    );
    took.sort();
    const quantile = (part: number): number => took[Math.ceil(took.length * part) - 1] ?? 0;
    return {
      submits: took.length,
      ackMs: { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) },
    };
  }
}

function isWithin(value: number, from: number, to: number): boolean {
  return value >= from && value <= to;
}

function doubled(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}

/** When the connections got the job of a new tip. */
export class TipWatch {
  firstAtMs = 0;
  lastAtMs = 0;
  /** Of this process between the two. */
  clientCores = 0;
  #missing: number;
  #own: OwnCores | null = null;

  constructor(connections: number) {
    this.#missing = connections;
  }

  /** Connections that wait for it. */
  get missing(): number {
    return this.#missing;
  }

  /** One more connection has it. */
  arrived(): void {
    const nowMs = monotonicMs();
    if (this.#own === null) {
      this.#own = new OwnCores();
      this.firstAtMs = nowMs;
    }
    this.lastAtMs = nowMs;
    if (--this.#missing === 0) this.clientCores = this.#own.value;
  }
}
