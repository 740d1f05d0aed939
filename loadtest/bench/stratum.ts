// The suite "stratum": what a submit, a connection and a new tip cost the engine, beside a bare echo server and
// any other pool that runs, with the same client in the same run. Goals are those of the project; how it is
// measured is in stratum-measures.ts.

import { type Figure, figureOf, type Goal, median, type SuiteOptions, type SuiteResult } from './figures.js';
import { requireProcFiles } from './process-usage.js';
import {
  branchesOf,
  type Extent,
  FULL,
  LOADS,
  type LoadName,
  type Measured,
  type MeasureName,
  measure,
  QUICK,
  requireConnections,
} from './stratum-measures.js';
import { type EngineName, parseEngine, parseMeasures, parsePeers } from './stratum-options.js';
import { startPool } from './stratum-pool.js';
import { type Peer, peerTarget, startEcho, startEngine, type Target } from './stratum-target.js';

const ROUNDS = 3;
const ENGINE = 'stratum';
const ECHO = 'node_echo';

interface FigureKind {
  readonly unit: string;
  readonly goal?: Goal;
}

/** Figures of the engine, in the order of the table. */
const FIGURES: Readonly<Record<string, FigureKind>> = {
  submit_us_100x1: { unit: 'us', goal: { most: 9.5 } },
  submit_us_1000x1: { unit: 'us', goal: { most: 11 } },
  submit_us_10x32: { unit: 'us', goal: { most: 5 } },
  // A branch adds about 0.2 us of hashing to the goal without branches.
  submit_us_1000x1_12_branches: { unit: 'us', goal: { most: 13.4 } },
  submits_per_s_100x1: { unit: '1/s', goal: { least: 85_000 } },
  submits_per_s_1000x1: { unit: '1/s' },
  submits_per_s_10x32: { unit: '1/s', goal: { least: 190_000 } },
  submits_per_s_1000x1_12_branches: { unit: '1/s' },
  ack_p50_ms: { unit: 'ms' },
  ack_p99_ms: { unit: 'ms', goal: { most: 3 } },
  ack_p999_ms: { unit: 'ms' },
  ready_s: { unit: 's', goal: { most: 2.5 } },
  memory_idle_kb: { unit: 'kB', goal: { most: 10 } },
  memory_traffic_kb: { unit: 'kB', goal: { most: 10 } },
  tip_last_ms: { unit: 'ms', goal: { most: 100 } },
  tip_spread_ms: { unit: 'ms', goal: { most: 80 } },
  tip_ack_p99_ms: { unit: 'ms' },
  tip_submits: { unit: 'submits' },
  connection_thread_us_100x1: { unit: 'us' },
  connection_thread_us_1000x1: { unit: 'us' },
  connection_thread_us_10x32: { unit: 'us' },
  connection_thread_us_1000x1_12_branches: { unit: 'us' },
  client_cores_100x1: { unit: 'cores' },
  client_cores_1000x1: { unit: 'cores' },
  client_cores_10x32: { unit: 'cores' },
  client_cores_1000x1_12_branches: { unit: 'cores' },
};
/** Goals that speak of 10,000 connections. */
const OF_FULL_SIZE = /^(ready|memory|tip)_/;

/** Figures of the suite. Throws when the engine loses a session or a submit, or counts what it did not answer. */
export async function suite({ quick, progress, given }: SuiteOptions): Promise<SuiteResult> {
  requireProcFiles();
  const measures = parseMeasures(given.only ?? []);
  const peers = parsePeers(given.peer ?? [], given['tip-command'] ?? []);
  const engine = parseEngine(given.engine ?? []);
  const extent = quick ? QUICK : FULL;
  const rounds = quick ? 1 : ROUNDS;
  if (measures.includes('connections')) requireConnections(extent.connections);

  const run = new Run(engine, extent, progress);
  for (let round = 1; round <= rounds; round++) {
    for (const name of measures) {
      progress(`stratum: ${name}, round ${round} of ${rounds}`);
      await run.engine(name);
      if (isLoad(name) && !asksForBranches(name)) await run.take(ECHO, name, await startEcho());
      for (const peer of peers) await run.peer(name, peer);
    }
  }
  return { figures: run.figures(peers, quick), method: [...methodOf(engine, rounds, extent), ...run.notes] };
}

class Run {
  readonly notes = new Set<string>();
  readonly #engine: EngineName;
  readonly #extent: Extent;
  readonly #progress: (line: string) => void;
  /** Pool -> figure -> its values, one a round. */
  readonly #values = new Map<string, Map<string, number[]>>();

  constructor(engine: EngineName, extent: Extent, progress: (line: string) => void) {
    this.#engine = engine;
    this.#extent = extent;
    this.#progress = progress;
  }

  async engine(name: MeasureName): Promise<void> {
    if (this.#engine === 'thread') await this.take(ENGINE, name, await startEngine(branchesOf(name)));
    else if (!asksForBranches(name)) await this.take(ENGINE, name, await startPool());
  }

  /** What another pool cannot do is a note, no reason to lose the figures of the rest. */
  async peer(name: MeasureName, peer: Peer): Promise<void> {
    if (asksForBranches(name)) return;
    try {
      await this.take(peer.name, name, peerTarget(peer));
    } catch (error) {
      this.#note(`${peer.name}, ${name}: not measured, ${(error as Error).message}`);
    }
  }

  async take(pool: string, name: MeasureName, target: Target): Promise<void> {
    const measured: Measured = await measure(name, target, this.#extent);
    const values = this.#values.get(pool) ?? new Map<string, number[]>();
    this.#values.set(pool, values);
    for (const [figure, value] of Object.entries(measured.values)) {
      values.set(figure, [...(values.get(figure) ?? []), value]);
    }
    for (const note of measured.notes) this.#note(pool === ENGINE ? note : `${pool}, ${note}`);
  }

  figures(peers: readonly Peer[], quick: boolean): Figure[] {
    const figures: Figure[] = [];
    for (const [name, { unit, goal }] of Object.entries(FIGURES)) {
      const own = this.#values.get(ENGINE)?.get(name);
      if (own === undefined) continue;
      const inForce = quick && OF_FULL_SIZE.test(name) ? undefined : goal;
      figures.push(
        figureOf(`${ENGINE}.${name}`, unit, own, { goal: inForce, ratio: this.#ratio(name, own) }),
      );
    }
    for (const pool of [ECHO, ...peers.map((peer) => peer.name)]) {
      for (const [name, { unit }] of Object.entries(FIGURES)) {
        const values = this.#values.get(pool)?.get(name);
        if (values !== undefined) figures.push(figureOf(`${pool}.${name}`, unit, values));
      }
    }
    return figures;
  }

  /** The engine's value as a multiple of each other pool's. */
  #ratio(name: string, own: readonly number[]): string | undefined {
    const parts: string[] = [];
    for (const [pool, values] of this.#values) {
      const others = values.get(name);
      if (pool === ENGINE || others === undefined || name.startsWith('client_')) continue;
      parts.push(`${(median(own) / median(others)).toFixed(2)} x ${pool}`);
    }
    return parts.length === 0 ? undefined : parts.join(', ');
  }

  #note(note: string): void {
    if (!this.notes.has(note)) this.#progress(`stratum: ${note}`);
    this.notes.add(note);
  }
}

function isLoad(name: MeasureName): name is LoadName {
  return name in LOADS;
}

/** True for a load that only we can set up: a pool with a node takes the template that this gives. */
function asksForBranches(name: MeasureName): boolean {
  return isLoad(name) && branchesOf(name) > 0;
}

function methodOf(engine: EngineName, rounds: number, { ms, connections }: Extent): string[] {
  const whole =
    engine === 'thread'
      ? 'process with the connection thread and its hash worker'
      : 'main process of the pool with its shipper, without node and stores';
  return [
    `medians over ${rounds} rounds of ${ms / 1000} s, in each a pool and a client process of its own for each measure`,
    `us: CPU (user and system) an answered submit of the ${whole}; journal on, every hash a share`,
    'ack: open loop of 20,000/s over 100 connections, counted from the planned time',
    `ready, memory, tip: ${connections} connections; tip: from the template of the new tip to the last of them`,
  ];
}
