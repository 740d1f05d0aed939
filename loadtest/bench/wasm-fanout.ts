// One process of the wasm suite: what handing shares to a hash worker costs the connection thread, and how
// long a share is on its way. Shares come at 50,000/s in turns of about 1 ms, as sockets bring them.
// Prints one JSON object. Arguments: segments of each kind, milliseconds of a segment.
//
// Segments alternate between three loops that fill the same slots and read the same results:
//   without    settles the slots itself, unvalidated: what the loop costs anyway
//   doorbell   ValidationPool, one worker; results fetched when the doorbell rings: a connection
//              thread that has nothing else to do
//   next turn  the same without doorbell; results fetched on the next turn of the loop: a connection
//              thread that other sockets wake anyway
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

type Kind = 'without' | 'doorbell' | 'nextTurn';

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
    if (kind === 'doorbell') settleDone();
  },
  onWorkerLost: (error) => {
    throw error;
  },
});
const sentMs = new Float64Array(pool.ringSize);
const latencies = { doorbell: new Uint32Array(STEPS), nextTurn: new Uint32Array(STEPS) };

let kind: Kind = 'without';
let nowMs = 0;
let settled = 0;
let accepted = 0;
/** The ring of the loop without workers. */
let ownNext = 0;
let histogram: Uint32Array = new Uint32Array(STEPS);

await pool.ready();
await checkPool();

const [segments = 1, segmentMs = 100] = process.argv.slice(2).map(Number);
const cost: Record<Kind, number[]> = { without: [], doorbell: [], nextTurn: [] };
for (let segment = -1; segment < segments; segment++) {
  for (const next of Object.keys(cost) as Kind[]) {
    const us = await runSegment(next, segmentMs);
    // The first round only warms the code.
    if (segment >= 0) cost[next].push(us);
    else for (const steps of Object.values(latencies)) steps.fill(0);
  }
}
await pool.close();

const without = median(cost.without);
process.stdout.write(
  JSON.stringify({
    loop_us: without,
    doorbell_us: median(cost.doorbell) - without,
    next_turn_us: median(cost.nextTurn) - without,
    doorbell_p50_ms: percentile(latencies.doorbell, 0.5),
    doorbell_p99_ms: percentile(latencies.doorbell, 0.99),
    next_turn_p50_ms: percentile(latencies.nextTurn, 0.5),
    next_turn_p99_ms: percentile(latencies.nextTurn, 0.99),
  }),
);

/** CPU microseconds of this thread per share. */
async function runSegment(next: Kind, lengthMs: number): Promise<number> {
  kind = next;
  histogram = kind === 'without' ? new Uint32Array(STEPS) : latencies[kind];
  settled = 0;
  let sent = 0;
  await sleep(5);
  const startMs = performance.now();
  const startCpuMs = threadCpuMs();
  while (performance.now() - startMs < lengthMs) {
    await sleep(1);
    if (kind === 'nextTurn') settleDone();
    const due = Math.floor((performance.now() - startMs) * SHARES_PER_MS);
    // A turn that came late brings no flood: its shares are dropped, as a client that waits would.
    const count = Math.min(due - sent, SHARES);
    if (kind === 'without') turnWithout(count);
    else turnWithPool(count);
    sent += count;
    if (due > sent) sent = due;
  }
  await sleep(5);
  if (kind === 'nextTurn') settleDone();
  const cpuMs = threadCpuMs() - startCpuMs;
  for (let tries = 0; pool.outstanding > 0; tries++) {
    if (tries > 1000) throw new Error('the hash worker does not finish');
    await sleep(1);
    settleDone();
  }
  return (cpuMs * 1000) / settled;
}

function turnWithPool(count: number): void {
  nowMs = performance.now();
  for (let i = 0; i < count; i++) {
    const slot = pool.nextSlot();
    if (slot < 0) throw new Error('the ring is full: the hash worker does not keep up');
    fill(slot, shares[i % SHARES] as ShareInput);
  }
  pool.flush();
  if (kind === 'doorbell') settleDone();
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
  if (kind === 'doorbell') pool.armDoorbell();
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
  kind = 'nextTurn';
  const slots: number[] = [];
  for (const share of shares) {
    const slot = pool.nextSlot();
    fill(slot, share);
    slots.push(slot);
  }
  pool.flush();
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
