// What a soak run asks of an engine, whichever it is: the connection thread alone (engine-child.ts) or the whole pool
// (engine-pool.ts).
import type { Transport } from './habits.js';

export interface EngineSettings {
  /** Its own to fill, the journal included. */
  readonly folder: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly startDifficulty: number;
  readonly sharesPerMinute: number;
  readonly maxConnections: number;
}

/** What the engine says of itself; of now, or of its last word. */
export interface EngineFigures {
  readonly connections: number;
  /** Connections closed or refused, by reason. */
  readonly closed: Readonly<Record<string, number>>;
  readonly jobs: number;
  readonly tips: number;
  readonly journalBytes: number;
  /** Event loop delay of the connection thread, milliseconds: 99th percentile and maximum of the last interval. */
  readonly delayMs: { readonly p99: number; readonly max: number };
  /** Answers by verdict, once it has ended; null when it does not tell. */
  readonly verdicts: Readonly<Record<string, number>> | null;
}

export interface SoakEngine {
  readonly pid: number;
  readonly ports: Readonly<Record<Transport, number>>;
  readonly figures: EngineFigures;
  /** Rejects when the engine fails or dies before it was drained. */
  readonly failed: Promise<never>;
  /** Has it answer what is in flight and close its journal; resolves when the process is gone. */
  drain(): Promise<void>;
  kill(): void;
}

export const NO_FIGURES: EngineFigures = {
  ...{ connections: 0, closed: {}, jobs: 0, tips: 0, journalBytes: 0 },
  delayMs: { p99: 0, max: 0 },
  verdicts: null,
};
