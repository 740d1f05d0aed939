// A worker thread in the place of the connection thread: takes shares at a fixed rate, open loop, and commits each turn
// to the journal. How long a share waits from when it was due until its commit returned is its latency; a thread
// that is held up answers for every share that was due meanwhile. Started by storage-live.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { JournalWriter } from '../../storage/journal/writer.js';
import { ShareFeed } from './storage-feed.js';
import { Latencies } from './storage-latencies.js';
import type { FromLive, LiveSettings, ToLive } from './storage-live.js';
import { runTurns, wallMs } from './storage-turns.js';

const HEAD_MS = 100;
const SEAL_MS = 1000;

if (parentPort === null) throw new Error('storage-live-thread.js runs as a worker thread only');
const parent = parentPort;
const settings = workerData as LiveSettings;
const send = (message: FromLive): void => parent.postMessage(message);
const { journalFolder: folder, nodeId } = settings;
const journal = new JournalWriter({ folder, nodeId, nowMs: () => performance.now() });
const feed = new ShareFeed({ ...settings, startMs: Math.ceil(wallMs()) });
const latencies = new Latencies();
let dueUs = new Float64Array(1024);
let stopping = false;
let headAtMs = 0;
let sealAtMs = performance.now() + SEAL_MS;

feed.define(journal);
parent.on('message', (message: ToLive) => {
  if (message.type === 'summary') send({ type: 'summary', ...latencies.take() });
  else stopping = true;
});
await runTurns(() => {
  const nowUs = wallMs() * 1000;
  let shares = 0;
  while (feed.dueUs <= nowUs) {
    if (shares === dueUs.length) dueUs = grown(dueUs);
    dueUs[shares++] = feed.dueUs;
    feed.append(journal);
  }
  journal.commit();
  const doneUs = wallMs() * 1000;
  for (let share = 0; share < shares; share++) latencies.add(doneUs - (dueUs[share] as number));
  if (doneUs / 1000 - headAtMs >= HEAD_MS) {
    headAtMs = doneUs / 1000;
    send({ type: 'head', seq: journal.nextSeq - 1, atMs: headAtMs });
  }
  if (performance.now() >= sealAtMs) {
    sealAtMs += SEAL_MS;
    journal.sealWhenDue();
  }
  return !stopping;
});
journal.close();
send({ type: 'closed', seq: journal.nextSeq - 1 });
parent.close();

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
