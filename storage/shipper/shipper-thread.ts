// The shipper's worker_thread program: reads the journal and feeds ClickHouse and Postgres, each at its own
// pace from its own cursor. Started by shipper.ts; speaks the messages of messages.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { ClickHouseSink } from './clickhouse-sink.js';
import { Lane } from './lane.js';
import type { ConsumerStatus, FromShipper, ShipperSettings, ToShipper } from './messages.js';
import { PostgresSink } from './postgres-sink.js';
import type { Sink } from './sink.js';

const STATUS_MS = 1000;

if (parentPort === null) throw new Error('shipper-thread.js runs as a worker thread only');
const parent = parentPort;
const settings = workerData as ShipperSettings;
const { journalFolder, nodeId } = settings;
const send = (message: FromShipper) => parent.postMessage(message);
const log = (level: 'info' | 'warn' | 'error', message: string) => send({ type: 'log', level, message });

const sinks: Sink[] = [
  new ClickHouseSink(
    { timeoutS: settings.timeoutS, ...settings.clickhouse },
    nodeId,
    journalFolder,
    (message) => log('warn', `clickhouse: ${message}`),
  ),
  new PostgresSink(
    { url: settings.postgresUrl, poolSize: settings.poolSize, timeoutS: settings.timeoutS },
    nodeId,
    { defaultScheme: settings.defaultScheme, isAddress },
  ),
];
const onDelivered = (status: ConsumerStatus) => send({ type: 'status', ...status });
const nowMs = () => performance.now();
const lanes = sinks.map((sink) => new Lane({ journalFolder, sink, log, onDelivered, nowMs }));
const sendStatus = () => {
  for (const lane of lanes) send({ type: 'status', ...lane.status });
};
const timer = setInterval(sendStatus, STATUS_MS);

parent.on('message', (message: ToShipper) => {
  if (message.type === 'sealed') {
    for (const lane of lanes) lane.sealed(message.seq);
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

function isAddress(name: string): boolean {
  try {
    scriptFromAddress(name, settings.network);
    return true;
  } catch {
    return false;
  }
}
