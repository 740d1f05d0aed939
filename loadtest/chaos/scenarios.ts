// The outages of an outage run: what is done to the pool, and what must hold meanwhile beside what holds in all.
import type { FaultSwitch } from './faults.js';
import type { FullDisk } from './full-disk.js';
import { pause } from './kill-loop.js';
import type { ScenarioName } from './scenario-names.js';
import type { Child, Victims } from './victims.js';

const BEAT_MS = 100;
const HOUR_MS = 3_600_000;

export interface Means {
  readonly victims: Victims;
  readonly faults: FaultSwitch;
  readonly disk: FullDisk | null;
}

export interface Scenario {
  readonly name: ScenarioName;
  readonly what: string;
  /** Shares are refused meanwhile, instead of being accepted. */
  readonly refusesShares: boolean;
  /** Begins it, holds it for about `ms`, ends it. */
  readonly run: (means: Means, ms: number) => Promise<void>;
}

const held =
  (begin: (means: Means) => void, end: (means: Means) => void) =>
  async (means: Means, ms: number): Promise<void> => {
    begin(means);
    await pause(ms);
    end(means);
  };

const released = (begin: (victims: Victims) => void): Scenario['run'] =>
  held(
    ({ victims }) => begin(victims),
    ({ victims }) => victims.release(),
  );

const killed = (...targets: Child[]): Scenario['run'] =>
  released((victims) => {
    for (const target of targets) victims.keepAway(target);
  });

const frozen = (...targets: Child[]): Scenario['run'] =>
  released((victims) => {
    for (const target of targets) victims.freeze(victims.pidOf(target), null);
  });

const slow = (target: Child): Scenario['run'] => released((victims) => victims.slow(target, BEAT_MS));

/** Between the clock's first and last moment in `clock`. */
export const CLOCK_SPAN_MS = 25 * HOUR_MS;

/** One after the other: how far the clock is off from then on, and how fast it runs. */
const CLOCK = [
  { offsetMs: HOUR_MS, rate: 1 },
  { offsetMs: -HOUR_MS, rate: 1 },
  { offsetMs: 24 * HOUR_MS, rate: 1 },
  { offsetMs: 0, rate: 0 },
  { offsetMs: 0, rate: 2 },
] as const;

async function moveClock({ faults }: Means, ms: number): Promise<void> {
  for (const { offsetMs, rate } of CLOCK) {
    await pause(faults.setClock(offsetMs, rate));
    await pause(ms / CLOCK.length);
  }
  await pause(faults.setClock(0, 1));
}

const STORES = { clickhouse: 'ClickHouse', postgres: 'Postgres' } as const;

const SCENARIOS: Readonly<Record<ScenarioName, Omit<Scenario, 'name'>>> = {
  'clickhouse-killed': outage(`${STORES.clickhouse} killed, again at each start`, killed('clickhouse')),
  'clickhouse-frozen': outage(`${STORES.clickhouse} stopped (SIGSTOP)`, frozen('clickhouse')),
  'clickhouse-slow': outage(`${STORES.clickhouse} stopped for every other 100 ms`, slow('clickhouse')),
  'postgres-killed': outage(`${STORES.postgres} killed, again at each start`, killed('postgres')),
  'postgres-frozen': outage(`${STORES.postgres} stopped, with its connections`, frozen('postgres')),
  'postgres-slow': outage(`${STORES.postgres} stopped for every other 100 ms`, slow('postgres')),
  'both-killed': outage('both killed, again at each start', killed('clickhouse', 'postgres')),
  'both-frozen': outage('both stopped', frozen('clickhouse', 'postgres')),
  'node-frozen': outage('the node stopped', frozen('bitcoind')),
  'node-killed': outage('the node killed, again at each start', killed('bitcoind')),
  'disk-full': {
    what: 'no space for the journal',
    refusesShares: true,
    run: held(
      ({ disk }) => disk?.fill(),
      ({ disk }) => disk?.makeSpace(),
    ),
  },
  clock: outage('the clock off by +1 h, -1 h, +1 day; then it stands; then it runs twice as fast', moveClock),
};

function outage(what: string, run: Scenario['run']): Omit<Scenario, 'name'> {
  return { what, run, refusesShares: false };
}

export function scenario(name: ScenarioName): Scenario {
  return { name, ...SCENARIOS[name] };
}
