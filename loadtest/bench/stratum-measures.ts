// What the stratum suite measures of a pool, each with a client process of its own and, where the pool is ours, a
// pool process of its own. Values are by name, without the pool's; goals and units are in stratum.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import { localPorts, openFilesMax, residentBytes } from './process-usage.js';
import type { Target } from './stratum-target.js';
import type { Left, LoadResult, TipResult } from './swarm-messages.js';
import { SwarmProcess } from './swarm-process.js';

/** Closed loops: connections, submits in flight on each, merkle branches of the job. */
export const LOADS = {
  '100x1': { connections: 100, inFlight: 1, branches: 0 },
  '1000x1': { connections: 1000, inFlight: 1, branches: 0 },
  '10x32': { connections: 10, inFlight: 32, branches: 0 },
  '1000x1_12_branches': { connections: 1000, inFlight: 1, branches: 12 },
} as const;

export type LoadName = keyof typeof LOADS;
export type MeasureName = LoadName | 'latency' | 'connections';
export const MEASURES: readonly MeasureName[] = [
  ...(Object.keys(LOADS) as LoadName[]),
  'latency',
  'connections',
];

/** How long and how much. */
export interface Extent {
  readonly warmupMs: number;
  readonly ms: number;
  /** Of the measure `connections`. */
  readonly connections: number;
  readonly tips: number;
}

export const FULL: Extent = { warmupMs: 1000, ms: 3000, connections: 10_000, tips: 3 };
export const QUICK: Extent = { warmupMs: 300, ms: 1000, connections: 1000, tips: 1 };

const LATENCY = { connections: 100, perSecond: 20_000, branches: 0 };
/** Transactions in the block: the notify that goes to everybody is as long as in the field. */
const CONNECTIONS_BRANCHES = 12;
/** Traffic after which memory is looked at again. */
const TRAFFIC_PER_S = 20_000;
/** Submits a second while a new tip goes out. */
const TIP_PER_S = 2000;
const SETTLE_MS = 1000;
/** Files a process needs beside its sockets. */
const FILES_BESIDE = 200;
/** Client CPU, in cores, from which on the client and not the pool sets the pace. */
const CLIENT_BUSY = 0.95;
/** Part of an open loop that must be answered within the time in which it was sent. */
const KEEPS_UP = 0.98;
const REFUSED_MAX = 0.01;

export interface Measured {
  readonly values: Readonly<Record<string, number>>;
  /** What the reader must know to trust them. */
  readonly notes: readonly string[];
}

/** Merkle branches that a measure asks of the pool. */
export function branchesOf(measure: MeasureName): number {
  if (measure === 'latency') return LATENCY.branches;
  return measure === 'connections' ? CONNECTIONS_BRANCHES : LOADS[measure].branches;
}

/** Throws with cause and cure when this machine does not allow so many connections to one port. */
export function requireConnections(connections: number): void {
  const files = openFilesMax();
  if (files < connections + FILES_BESIDE) {
    throw new Error(
      `${connections} connections need ${connections + FILES_BESIDE} open files, the limit is ${files}: ` +
        `raise it ("ulimit -Hn", LimitNOFILE=), or leave them out with --only`,
    );
  }
  const ports = localPorts();
  if (ports < connections) {
    throw new Error(
      `${connections} connections need as many local ports, there are ${ports}: widen ` +
        `net.ipv4.ip_local_port_range, or leave them out with --only`,
    );
  }
}

/**
 * Measures a pool, then ends it if it is ours. Throws when it loses a session, leaves a submit without answer,
 * refuses one, or counted others than it answered.
 */
export async function measure(name: MeasureName, target: Target, extent: Extent): Promise<Measured> {
  const swarm = new SwarmProcess();
  let left: Left;
  let measured: Measured;
  let counted: number | null = null;
  try {
    if (name === 'latency') measured = await latency(swarm, target, extent);
    else if (name === 'connections') measured = await connections(swarm, target, extent);
    else measured = await load(name, swarm, target, extent);
    left = await swarm.leave();
  } finally {
    swarm.kill();
    counted = await target.stop();
  }
  if (counted !== null && counted !== left.accepted) {
    throw new Error(`the pool counted ${counted} accepted shares, but answered ${left.accepted} with true`);
  }
  return measured;
}

async function load(name: LoadName, swarm: SwarmProcess, target: Target, extent: Extent): Promise<Measured> {
  const { connections, inFlight } = LOADS[name];
  await swarm.connect(target.swarm, connections);
  const result = await swarm.closedLoop(inFlight, extent.warmupMs, extent.ms);
  requireAccepted(result);
  return {
    values: {
      [`submit_us_${name}`]: result.cpuUs,
      ...(result.connectionThreadUs === null
        ? {}
        : { [`connection_thread_us_${name}`]: result.connectionThreadUs }),
      [`submits_per_s_${name}`]: result.answeredPerS,
      [`client_cores_${name}`]: result.clientCores,
    },
    notes: clientNotes(name, result.clientCores),
  };
}

async function latency(swarm: SwarmProcess, target: Target, extent: Extent): Promise<Measured> {
  await swarm.connect(target.swarm, LATENCY.connections);
  const result = await swarm.openLoop(LATENCY.perSecond, extent.warmupMs, extent.ms);
  requireAccepted(result);
  const { p50, p99, p999 } = result.ackMs;
  return {
    values: { ack_p50_ms: p50, ack_p99_ms: p99, ack_p999_ms: p999 },
    notes: [
      ...clientNotes('latency', result.clientCores),
      ...(result.answeredPerS >= LATENCY.perSecond * KEEPS_UP
        ? []
        : [`latency: only ${Math.round(result.answeredPerS)} submits a second were answered`]),
    ],
  };
}

async function connections(swarm: SwarmProcess, target: Target, extent: Extent): Promise<Measured> {
  const count = extent.connections;
  const { pid, withChildren } = target.swarm;
  const residentKb = (): number => residentBytes(pid, withChildren) / 1000;
  const emptyKb = residentKb();
  const connected = await swarm.connect(target.swarm, count);
  await sleep(SETTLE_MS);
  const idleKb = residentKb();
  requireAccepted(await swarm.openLoop(TRAFFIC_PER_S, extent.warmupMs, extent.ms));
  const trafficKb = residentKb();
  const tip = target.newTip === null ? null : await medianTip(swarm, target.newTip, extent.tips);
  return {
    values: {
      ready_s: connected.readyS,
      memory_idle_kb: (idleKb - emptyKb) / count,
      memory_traffic_kb: (trafficKb - emptyKb) / count,
      ...(tip === null
        ? {}
        : {
            tip_last_ms: tip.lastAtMs - tip.tipAtMs,
            tip_spread_ms: tip.lastAtMs - tip.firstAtMs,
            tip_submits: tip.submits,
            tip_ack_p99_ms: tip.ackMs.p99,
          }),
    },
    notes: [
      ...clientNotes('connecting', connected.clientCores),
      ...(tip === null ? [] : clientNotes('new tip', tip.clientCores)),
    ],
  };
}

/** Of several new tips the one whose last connection was neither early nor late. */
async function medianTip(
  swarm: SwarmProcess,
  newTip: () => Promise<number>,
  count: number,
): Promise<TipResult & { tipAtMs: number }> {
  const tips = [];
  for (let i = 0; i < count; i++) tips.push(await swarm.tip(TIP_PER_S, newTip));
  tips.sort((a, b) => a.lastAtMs - a.tipAtMs - (b.lastAtMs - b.tipAtMs));
  const middle = tips[tips.length >> 1];
  if (middle === undefined) throw new RangeError('no new tip was asked for');
  return middle;
}

/** A refused share costs a pool something else than an accepted one. A few may be stale: a block was found. */
function requireAccepted({ answered, accepted, lastRefusal }: LoadResult): void {
  if (accepted >= answered * (1 - REFUSED_MAX)) return;
  throw new Error(
    `${answered - accepted} of ${answered} submits were refused, the last with ${lastRefusal}: ` +
      'the share target must admit every hash',
  );
}

function clientNotes(what: string, clientCores: number): string[] {
  if (clientCores < CLIENT_BUSY) return [];
  return [
    `${what}: the client was busy with ${clientCores.toFixed(2)} cores and set the pace: rates and times are its ` +
      "own limit, CPU a submit still is the pool's",
  ];
}
