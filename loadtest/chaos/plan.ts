// What happens in each round of the kill loop, drawn from the seed: whom it hits, how, and when. Pure.
import { type Random, seededRandom, weighted } from '../soak/seeded-random.js';

export const TARGETS = ['pool', 'clickhouse', 'postgres', 'bitcoind'] as const;
export type Target = (typeof TARGETS)[number];

export interface Round {
  readonly target: Target;
  /** kill: SIGKILL. freeze: SIGSTOP, and SIGCONT after `frozenMs`. */
  readonly action: 'kill' | 'freeze';
  /** True: counted from the last restart, which makes it meet recovery. False: once the stores have caught up. */
  readonly early: boolean;
  readonly delayMs: number;
  readonly frozenMs: number;
}

/** Shares of rounds. */
const EARLY = 0.6;
const FREEZES = 0.2;
/** After a restart the pool opens its journal, its stores, its node: within this window it is caught at each of them. */
const EARLY_MS = { min: 50, max: 1500 };
const LATE_MS = { min: 200, max: 2000 };
const FROZEN_MS = { min: 500, max: 4000 };

export function planRounds(seed: number, rounds: number): Round[] {
  const random = seededRandom(seed);
  // The first values of neighbouring seeds are alike.
  for (let i = 0; i < 4; i++) random();
  return Array.from({ length: rounds }, () => planRound(random));
}

function planRound(random: Random): Round {
  const early = random() < EARLY;
  const { min, max } = early ? EARLY_MS : LATE_MS;
  return {
    early,
    delayMs: min + random() * (max - min),
    // The shipper is a thread of the pool: it dies with it.
    target: weighted(random, [
      ['pool', 9],
      ['clickhouse', 5],
      ['postgres', 4],
      ['bitcoind', 2],
    ]),
    action: random() < FREEZES ? 'freeze' : 'kill',
    frozenMs: FROZEN_MS.min + random() * (FROZEN_MS.max - FROZEN_MS.min),
  };
}
