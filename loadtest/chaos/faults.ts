// What fault-injector.ts does in a pool under test, as the run sets it and every thread of the pool reads it. Pure but
// for the file.
import { renameSync, writeFileSync } from 'node:fs';

/** Environment variable that names the file. */
export const FAULTS_FILE_VARIABLE = 'CHAOS_FAULTS_FILE';

/** Threads read the file every 50 ms: what is set for this long ahead begins in all of them at one moment. */
const AHEAD_MS = 500;

/** From `fromMs` on the wall clock is off by `offsetMs`, and by (rate - 1) more for each millisecond since. */
export interface ClockPiece {
  /** As `monotonicMs`. */
  readonly fromMs: number;
  readonly offsetMs: number;
  /** 1: as fast as it is. 0: it stands. */
  readonly rate: number;
}

export interface Faults {
  /** Oldest first; the last one that has begun holds. */
  readonly clock: readonly ClockPiece[];
  readonly journalFull: boolean;
}

export const NO_FAULTS: Faults = { clock: [], journalFull: false };

/** CLOCK_MONOTONIC, the same in all processes of a machine. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** What the wall clock shows. @param realMs what it should show @param nowMs `monotonicMs` of the same moment */
export function shownMs(clock: readonly ClockPiece[], realMs: number, nowMs: number): number {
  const piece = clock.findLast(({ fromMs }) => fromMs <= nowMs);
  if (piece === undefined) return realMs;
  return realMs + Math.floor(piece.offsetMs + (piece.rate - 1) * (nowMs - piece.fromMs));
}

export class FaultSwitch {
  readonly #file: string;
  #faults: Faults = NO_FAULTS;

  constructor(file: string) {
    this.#file = file;
    this.#write();
  }

  /** Moves the clock half a second from now, away from what is right. @returns the wait until then, milliseconds */
  setClock(offsetMs: number, rate: number): number {
    const piece = { fromMs: monotonicMs() + AHEAD_MS, offsetMs, rate };
    this.#faults = { ...this.#faults, clock: [...this.#faults.clock, piece] };
    this.#write();
    return AHEAD_MS;
  }

  setJournalFull(journalFull: boolean): void {
    this.#faults = { ...this.#faults, journalFull };
    this.#write();
  }

  #write(): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#faults));
    renameSync(`${this.#file}.new`, this.#file);
  }
}
