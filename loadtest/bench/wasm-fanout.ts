// One process of the wasm suite: what handing shares to a hash worker costs the connection thread, and how
// long a share is on its way. Shares come at 50,000/s. Prints one JSON object. Arguments: segments of each
// kind, milliseconds of a segment.
//
// Segments alternate between loops that fill the same slots and read the same results. In the pairs the
// first settles the slots itself, unvalidated: what the loop costs anyway.
//   flowingWithout, flowing   a turn every quarter of a millisecond, as sockets of many miners bring them
//                             (more often in truth); results fetched on a later turn
//   bunchesWithout, bunches   a bunch each millisecond and nothing between: the doorbell wakes the thread
import { setTimeout as sleep } from 'node:timers/promises';
import { ValidationPool } from '../../engine/shares/validation-pool.js';
import { createSlab } from '../../wasm/kernel.js';
import {
  RESULT_MEETS_SHARE,
  readShareSlot,
  SHARE_SLOT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS_OFFSET,
  type ShareInput,
  writeJobSlot,
} from '../../wasm/slots.js';
import { threadCpuMs } from './cpu-time.js';
import { median } from './figures.js';
import { benchJob, benchShares, checkShares } from './share-paths.js';

const SHARES_PER_MS = 50;
const BRANCHES = 12;
const SHARES = 256;
/** Latencies are counted in steps of 10 us up to 100 ms. */
const STEP_MS = 0.01;
const STEPS = 10_000;
const NEVER_NOTIFIED = new Int32Array(new SharedArrayBuffer(4));

/** Milliseconds between two turns. */
const TURN_MS = { flowing: 0.25, bunches: 1 };

type Traffic = keyof typeof TURN_MS;
type Kind = Traffic | `${Traffic}Without`;

const slab = createSlab();
const words = new Uint32Array(slab.buffer);
const bytes = new Uint8Array(slab.buffer);
const job = benchJob(BRANCHES);
const shares = benchShares(job, 0, SHARES);
writeJobSlot(slab, 0, job);

const pool = new ValidationPool({
  memory: slab,
  workers: 1,
  onDoorbell: () => {
    if (kind === 'bunches') settleDone();
  },
  onWorkerLost: (error) => {
    throw error;
  },
});
const sentMs = new Float64Array(pool.ringSize);
const latencies = { flowing: new Uint32Array(STEPS), bunches: new Uint32Array(STEPS) };

let kind: Kind = 'flowing';
let nowMs = 0;
let settled = 0;
let accepted = 0;
/** The ring of the loop without workers. */
let ownNext = 0;
let histogram: Uint32Array = new Uint32Array(STEPS);

await pool.ready();
await checkPool();

const [segments = 1, segmentMs = 100] = process.argv.slice(2).map(Number);
const cost: Record<Kind, number[]> = { flowingWithout: [], flowing: [], bunchesWithout: [], bunches: [] };
for (let segment = -1; segment < segments; segment++) {
  for (const next of Object.keys(cost) as Kind[]) {
    const us = await runSegment(next, segmentMs);
    // The first round only warms the code.
    if (segment >= 0) cost[next].push(us);
    else for (const steps of Object.values(latencies)) steps.fill(0);
  }
}
await pool.close();

const flowingLoopUs = median(cost.flowingWithout);
const bunchesLoopUs = median(cost.bunchesWithout);
process.stdout.write(
  JSON.stringify({
    flowing_loop_us: flowingLoopUs,
    bunches_loop_us: bunchesLoopUs,
    flowing_us: median(cost.flowing) - flowingLoopUs,
    bunches_us: median(cost.bunches) - bunchesLoopUs,
    flowing_p50_ms: percentile(latencies.flowing, 0.5),
    flowing_p99_ms: percentile(latencies.flowing, 0.99),
    bunches_p50_ms: percentile(latencies.bunches, 0.5),
    bunches_p99_ms: percentile(latencies.bunches, 0.99),
  }),
);

/** CPU microseconds of this thread per share. */
async function runSegment(next: Kind, lengthMs: number): Promise<number> {
  kind = next;
  const without = kind === 'flowingWithout' || kind === 'bunchesWithout';
  const flowing = kind === 'flowing' || kind === 'flowingWithout';
  histogram = kind === 'flowing' || kind === 'bunches' ? latencies[kind] : new Uint32Array(STEPS);
  settled = 0;
  let sent = 0;
  await sleep(5);
  const startMs = performance.now();
  const startCpuMs = threadCpuMs();
  while (performance.now() - startMs < lengthMs) {
    await nextTurn(flowing);
    if (kind === 'flowing') settleDone();
    const due = Math.floor((performance.now() - startMs) * SHARES_PER_MS);
    // A turn that came late brings no flood: its shares are dropped, as a client that waits would.
    const count = Math.min(due - sent, SHARES);
    if (without) turnWithout(count);
    else turnWithPool(count);
    sent += count;
    if (due > sent) sent = due;
  }
  await sleep(5);
  if (kind === 'flowing') settleDone();
  const cpuMs = threadCpuMs() - startCpuMs;
  for (let tries = 0; pool.outstanding > 0; tries++) {
    if (tries > 1000) throw new Error('the hash worker does not finish');
    await sleep(1);
    settleDone();
  }
  return (cpuMs * 1000) / settled;
}

/** Timers of the loop know whole milliseconds only: shorter turns are slept within it. */
async function nextTurn(flowing: boolean): Promise<void> {
  if (!flowing) return sleep(TURN_MS.bunches);
  Atomics.wait(NEVER_NOTIFIED, 0, 0, TURN_MS.flowing);
  await new Promise((resolve) => setImmediate(resolve));
}

function turnWithPool(count: number): void {
  nowMs = performance.now();
  for (let i = 0; i < count; i++) {
    const slot = pool.nextSlot();
    if (slot < 0) throw new Error('the ring is full: the hash worker does not keep up');
    fill(slot, shares[i % SHARES] as ShareInput);
  }
  pool.flush(kind === 'flowing');
  if (kind === 'bunches') settleDone();
}

function turnWithout(count: number): void {
  nowMs = performance.now();
  const first = ownNext;
  for (let i = 0; i < count; i++) fill(ownNext++ % pool.ringSize, shares[i % SHARES] as ShareInput);
  nowMs = performance.now();
  for (let position = first; position < ownNext; position++) settle(position % pool.ringSize);
}

function settleDone(): void {
  nowMs = performance.now();
  pool.drain(settle);
  if (kind === 'bunches') pool.armDoorbell();
}

/** As the share path does it. */
function fill(slot: number, share: ShareInput): void {
  const at = SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES;
  const word = at / 4;
  words[word + SHARE_SLOT.jobSlot / 4] = share.jobSlot;
  words[word + SHARE_SLOT.result / 4] = 0;
  words[word + SHARE_SLOT.ntime / 4] = share.ntime;
  words[word + SHARE_SLOT.nonce / 4] = share.nonce;
  words[word + SHARE_SLOT.version / 4] = share.version;
  words[word + SHARE_SLOT.extranonceBytes / 4] = share.extranonce.length;
  bytes.set(share.extranonce, at + SHARE_SLOT.extranonce);
  bytes.set(share.shareTargetLE, at + SHARE_SLOT.target);
  sentMs[slot] = nowMs;
}

function settle(slot: number): void {
  const word = SHARE_SLOTS_OFFSET / 4 + (slot * SHARE_SLOT_BYTES) / 4;
  accepted += (words[word + SHARE_SLOT.result / 4] as number) & RESULT_MEETS_SHARE;
  const step = Math.min(STEPS - 1, Math.floor((nowMs - (sentMs[slot] as number)) / STEP_MS));
  histogram[step] = (histogram[step] as number) + 1;
  settled++;
}

/** All shares through the worker once, each against node:crypto. */
async function checkPool(): Promise<void> {
  kind = 'flowing';
  const slots: number[] = [];
  for (const share of shares) {
    const slot = pool.nextSlot();
    fill(slot, share);
    slots.push(slot);
  }
  pool.flush(false);
  for (let tries = 0; pool.outstanding > 0; tries++) {
    if (tries > 1000) throw new Error('the hash worker does not answer');
    await sleep(1);
    settleDone();
  }
  if (accepted !== SHARES / 2) throw new Error(`the hash worker accepts ${accepted} of ${SHARES} shares`);
  checkShares('the hash worker', job, shares, (_, index) => readShareSlot(slab, slots[index] ?? 0));
}

/** In milliseconds: the upper edge of the step in which it lies. */
function percentile(steps: Uint32Array, part: number): number {
  const wanted = steps.reduce((sum, count) => sum + count, 0) * part;
  let sum = 0;
  for (const [step, count] of steps.entries()) {
    sum += count;
    if (sum >= wanted) return (step + 1) * STEP_MS;
  }
  return STEPS * STEP_MS;
}
