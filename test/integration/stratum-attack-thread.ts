// The real connection thread with three faults that a test can inject: a monotonic clock that it puts forward, so that
// minutes pass in no time; a small space of extranonces; a method that throws, as a fault of ours would. Everything else
// is the thread as it ships.
import { performance } from 'node:perf_hooks';
import { workerData } from 'node:worker_threads';
import { METHODS } from '../../engine/stratum/v1/methods/table.js';
import { ExtranonceLeases } from '../../engine/work/extranonce.js';

export interface InjectedFaults {
  /** One double: milliseconds by which the monotonic clock of the thread is ahead. */
  clockAhead: SharedArrayBuffer;
  /** Extranonces that can be leased at a time. */
  extranoncesMax: number;
}

const { clockAhead, extranoncesMax } = (workerData as { faults: InjectedFaults }).faults;
const ahead = new Float64Array(clockAhead);
const realNow = performance.now.bind(performance);
performance.now = () => realNow() + (ahead[0] as number);

const { lease } = ExtranonceLeases.prototype;
ExtranonceLeases.prototype.lease = function (this: ExtranonceLeases) {
  return this.taken < extranoncesMax ? lease.call(this) : null;
};

(METHODS as Map<string, unknown>).set('test.fault', () => {
  throw new Error('injected fault');
});

await import('../../engine/stratum/connection-thread.js');
