// One process of the measure "journal": appends shares at a fixed rate in turns, for slices of a second that alternate
// with slices in which the same shares are only filled into memory. The difference is what the journal costs.
//
//   node dist/loadtest/bench/storage-journal-process.js process|power SHARES_PER_SECOND SECONDS FOLDER
//
// Prints {"cpuUs", "stallMs", "turnMs", "idleStallMs"} and for power {"diskP50Ms", "diskP99Ms"} as one JSON object.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { PowerJournalWriter } from '../../storage/journal/power-writer.js';
import { SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { poolDay } from './storage-data.js';
import { appendRecord, fillRecord } from './storage-feed.js';
import { Latencies } from './storage-latencies.js';
import { runTurns } from './storage-turns.js';

interface Slice {
  shares: number;
  cpuUs: number;
  /** Longest time from when the oldest share of a turn was due until the turn ended, less the turn itself. */
  stallMs: number;
  /** Longest time that the turn's own work took. */
  turnMs: number;
}

/** Shares made beforehand and sent round and round: making them is not to be seen in the figures. */
const MADE = 100_000;
const WORKERS = 10_000;
const SEED = 9;
const SLICE_S = 1;
/** Behind each slice: what runs beside the thread (a segment brought to the disk) belongs to it. */
const PAUSE_MS = 500;
const SEAL_MS = 1000;

const [mode, rateText, secondsText, parentFolder = ''] = process.argv.slice(2);
const sharesPerMs = Number(rateText) / 1000;
const seconds = Number(secondsText);
const folder = join(parentFolder, `journal-${process.pid}`);
const nowMs = (): number => performance.now();
const [batch] = poolDay({
  rows: MADE,
  workers: WORKERS,
  seed: SEED,
  startMs: Math.floor(Date.now() / 86_400_000) * 86_400_000,
  batchRows: MADE,
});
if (batch === undefined) throw new Error('no shares were made');
const { records, identities, jobs } = batch;
const options = { folder, nodeId: 1, nowMs };
const power = mode === 'power' ? new PowerJournalWriter(options) : null;
const journal = power ?? new JournalWriter(options);
for (const [id, identity] of identities) journal.defineIdentity(id, identity);
for (const [key, job] of jobs) journal.defineJob(key, job);

const disk = new Latencies();
/** Commits that the disk does not have yet, oldest first. */
const waiting: { commit: number; atMs: number }[] = [];
power?.tell({
  durable: (commit) => {
    const doneMs = nowMs();
    const left = waiting.findIndex((each) => each.commit > commit);
    for (const { atMs } of waiting.splice(0, left < 0 ? waiting.length : left))
      disk.add((doneMs - atMs) * 1000);
  },
  undone: (_commit, error) => {
    throw error;
  },
});

let nextRecord = 0;
let sealAtMs = nowMs() + SEAL_MS;
const memory = Buffer.alloc(SHARE_RECORD_BYTES * 1024);
const inMemory = (shares: number): void => {
  for (let share = 0; share < shares; share++) {
    fillRecord(memory, (share % 1024) * SHARE_RECORD_BYTES, records, recordAt());
  }
};
const inJournal = (shares: number): void => {
  for (let share = 0; share < shares; share++) appendRecord(journal, records, recordAt());
  if (power !== null && shares > 0) waiting.push({ commit: power.nextCommit, atMs: nowMs() });
  journal.commit();
  if (nowMs() < sealAtMs) return;
  sealAtMs = nowMs() + SEAL_MS;
  journal.sealWhenDue();
};

try {
  await slice(inMemory);
  await slice(inJournal);
  disk.take();
  const idle: Slice[] = [];
  const busy: Slice[] = [];
  for (let run = 0; run < seconds; run += SLICE_S) {
    idle.push(await slice(inMemory));
    busy.push(await slice(inJournal));
  }
  const { p50Ms, p99Ms } = disk.take();
  const longestOf = (slices: Slice[], pick: (slice: Slice) => number): number =>
    Math.max(...slices.map(pick));
  print({
    cpuUs: cpuPerShare(busy) - cpuPerShare(idle),
    stallMs: longestOf(busy, ({ stallMs }) => stallMs),
    turnMs: longestOf(busy, ({ turnMs }) => turnMs),
    idleStallMs: longestOf(idle, ({ stallMs }) => stallMs),
    ...(power === null ? {} : { diskP50Ms: p50Ms, diskP99Ms: p99Ms }),
  });
  journal.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function slice(work: (shares: number) => void): Promise<Slice> {
  const measured: Slice = { shares: 0, cpuUs: 0, stallMs: 0, turnMs: 0 };
  const cpuBefore = process.cpuUsage();
  const startMs = nowMs();
  const all = Math.round(SLICE_S * 1000 * sharesPerMs);
  await runTurns(() => {
    const beginMs = nowMs();
    const due = Math.min(all, Math.floor((beginMs - startMs) * sharesPerMs));
    const oldestDueMs = startMs + measured.shares / sharesPerMs;
    work(due - measured.shares);
    const endMs = nowMs();
    if (due > measured.shares) {
      measured.stallMs = Math.max(measured.stallMs, endMs - oldestDueMs - 1);
      measured.turnMs = Math.max(measured.turnMs, endMs - beginMs);
    }
    measured.shares = due;
    return due < all;
  });
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  const { user, system } = process.cpuUsage(cpuBefore);
  measured.cpuUs = user + system;
  return measured;
}

function cpuPerShare(slices: readonly Slice[]): number {
  const shares = slices.reduce((sum, slice) => sum + slice.shares, 0);
  return slices.reduce((sum, slice) => sum + slice.cpuUs, 0) / shares;
}

/** Offset of the next record. */
function recordAt(): number {
  const at = nextRecord * SHARE_RECORD_BYTES;
  nextRecord = (nextRecord + 1) % MADE;
  return at;
}

function print(result: Record<string, number>): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
