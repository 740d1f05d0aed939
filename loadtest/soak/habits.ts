// What each miner of a soak run is like: its transport, its hash rate, its manners. Drawn once from the seed and the
// miner's number, so a farm of 60 and one of 2,000 have the same mix. Pure.
import { type Random, seededRandom, waitingTime, weighted } from './seeded-random.js';

export const TRANSPORTS = ['tcp', 'tls', 'ws'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** How a miner says which difficulty it wants. */
export type Wish = 'none' | 'password' | 'minimum' | 'suggest_difficulty' | 'suggest_target';

export interface Habits {
  readonly transport: Transport;
  /** Hashes per second at the start. */
  readonly hashrateHs: number;
  /** Swinging: the hash rate jumps by 4 now and then. Sleepy: it is 0 for a minute or so now and then. */
  readonly mood: 'steady' | 'swinging' | 'sleepy';
  readonly rollsVersions: boolean;
  /** All requests in one packet, as proxies do, or one after the other, as firmware does. */
  readonly asksAtOnce: boolean;
  /** Names on the connection. */
  readonly workers: number;
  readonly wish: Wish;
  /** Mean length of a session; null: it never leaves by itself. */
  readonly sessionMs: number | null;
  /** Sends shares a second time. */
  readonly repeats: boolean;
  /** Goes on with old jobs, also with those of an old tip. */
  readonly lingers: boolean;
  /** Sends work below its target. */
  readonly sendsLow: boolean;
  /** Reads nothing for seconds, and goes on submitting. */
  readonly readsSlowly: boolean;
}

/** Spread of hash rates: the largest miner has so many times the median. */
const HASHRATE_SPREAD = 6;
const SESSION_MIN_MS = 15_000;
const SESSION_MEAN_MS = 90_000;
const PROXY_WORKERS_MAX = 8;
/** Keeps the chance of one miner apart from that of the next. */
const SEED_STEP = 0x9e3779b1;

/** Chance of miner `number` in a run with this seed, for all that it ever decides. */
export function chanceOf(seed: number, number: number): Random {
  const random = seededRandom((Math.imul(number + 1, SEED_STEP) ^ seed) >>> 0);
  // The first values of neighbouring seeds are alike.
  for (let i = 0; i < 4; i++) random();
  return random;
}

/** @param medianHs median of all miners' hash rates */
export function drawHabits(random: Random, medianHs: number): Habits {
  return {
    transport: weighted(random, [
      ['tcp', 6],
      ['tls', 2],
      ['ws', 2],
    ]),
    hashrateHs: medianHs * HASHRATE_SPREAD ** (2 * random() - 1),
    mood: weighted(random, [
      ['steady', 7],
      ['swinging', 2],
      ['sleepy', 1],
    ]),
    rollsVersions: random() < 0.5,
    asksAtOnce: random() < 0.5,
    workers: random() < 0.12 ? 2 + Math.floor(random() * (PROXY_WORKERS_MAX - 1)) : 1,
    wish: weighted(random, [
      ['none', 6],
      ['password', 1],
      ['minimum', 1],
      ['suggest_difficulty', 1],
      ['suggest_target', 1],
    ]),
    sessionMs: random() < 0.6 ? SESSION_MIN_MS + waitingTime(random, SESSION_MEAN_MS) : null,
    repeats: random() < 0.15,
    lingers: random() < 0.15,
    sendsLow: random() < 0.08,
    readsSlowly: random() < 0.06,
  };
}
