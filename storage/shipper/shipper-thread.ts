// The shipper's worker_thread program: reads the journals and feeds ClickHouse and Postgres, each lane into each
// store at its own pace from its own cursor. Started by shipper.ts; speaks the messages of messages.ts.
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import type { JournalLane } from '../journal/lanes.js';
import { ClickHouseSink } from './clickhouse-sink.js';
import { Lane } from './lane.js';
import type { ConsumerStatus, FromShipper, ShipperSettings, ToShipper } from './messages.js';
import { OutageLog } from './outage-log.js';
import { PostgresSink } from './postgres-sink.js';

const STATUS_MS = 1000;
/** Miners who wait for an answer come before stores that catch up. */
const NICE = 10;

if (parentPort === null) throw new Error('shipper-thread.js runs as a worker thread only');
const parent = parentPort;
giveWay();
const settings = workerData as ShipperSettings;
const send = (message: FromShipper) => parent.postMessage(message);
const log = (level: 'info' | 'warn' | 'error', message: string) => send({ type: 'log', level, message });

const onDelivered = (status: ConsumerStatus) => send({ type: 'status', ...status });
const nowMs = () => performance.now();
const { timeoutS, postgresUrl, defaultScheme } = settings;
const toClickHouse = ({ nodeId, journalFolder }: JournalLane) =>
  new ClickHouseSink({ timeoutS, ...settings.clickhouse }, nodeId, journalFolder, (message) =>
    log('warn', `clickhouse: ${message}`),
  );
const toLedger = ({ nodeId }: JournalLane) =>
  new PostgresSink({ url: postgresUrl, timeoutS }, nodeId, { defaultScheme, isAddress });
const lanes = [
  { makeSink: toClickHouse, outages: new OutageLog('clickhouse', log, nowMs) },
  { makeSink: toLedger, outages: new OutageLog('ledger', log, nowMs) },
].flatMap(({ makeSink, outages }) =>
  settings.lanes.map((lane) => new Lane({ ...lane, sink: makeSink(lane), outages, onDelivered, nowMs })),
);
const sendStatus = () => {
  for (const lane of lanes) send({ type: 'status', ...lane.status });
};
const timer = setInterval(sendStatus, STATUS_MS);

parent.on('message', (message: ToShipper) => {
  if (message.type === 'sealed') {
    for (const lane of lanes) {
      if (lane.nodeId === message.nodeId) lane.sealed(message.seq);
    }
  } else {
    for (const lane of lanes) lane.stop(message.deadlineMs);
    // A store that is frozen in the middle of a request must not hold the whole pool's exit.
    setTimeout(() => end(false), message.deadlineMs + 500).unref();
  }
});

const drained = await Promise.all(lanes.map((lane) => lane.run()));
end(drained.every(Boolean));

function end(everything: boolean): void {
  clearInterval(timer);
  sendStatus();
  send({ type: 'stopped', drained: everything });
  process.exit(0);
}

function giveWay(): void {
  // Linux takes it for the thread that asks; elsewhere it would slow the whole pool down.
  if (process.platform !== 'linux') return;
  try {
    if (getPriority() < NICE) setPriority(NICE);
  } catch {
    // A sandbox may forbid it. Then it runs as it is.
  }
}

function isAddress(name: string): boolean {
  try {
    scriptFromAddress(name, settings.network);
    return true;
  } catch {
    return false;
  }
}
