// CPU time, so that other processes of a shared machine count as little as possible.
import { readFileSync } from 'node:fs';
import { median } from './figures.js';

export interface Variant {
  readonly name: string;
  /** Does the work `count` times; what one piece of work is, the variant knows. */
  readonly run: (count: number) => void;
}

/**
 * CPU nanoseconds per piece of work, garbage collection and other threads of the process included. The
 * variants take turns of `turnMs`, so a slow second of the machine hits all of them; the median of a
 * variant's turns is its figure.
 */
export function measureInTurns(
  variants: readonly Variant[],
  turns: number,
  turnMs: number,
): Record<string, number> {
  const counts = variants.map(({ run }) => calibrate(run, turnMs));
  const measured = variants.map((): number[] => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [index, { run }] of variants.entries()) {
      const count = counts[index] as number;
      const before = process.cpuUsage();
      run(count);
      const { user, system } = process.cpuUsage(before);
      measured[index]?.push(((user + system) * 1000) / count);
    }
  }
  return Object.fromEntries(variants.map(({ name }, index) => [name, median(measured[index] ?? [])]));
}

/** How often `run` fits into `turnMs`; warms the code on the way, each size at least twice. */
function calibrate(run: (count: number) => void, turnMs: number): number {
  for (let count = 4; ; count *= 2) {
    run(count);
    const startMs = performance.now();
    run(count);
    const tookMs = performance.now() - startMs;
    // Multiples of four: the kernel's groups are never cut.
    if (tookMs >= turnMs / 2) return Math.max(4, Math.round((count * turnMs) / tookMs / 4) * 4);
  }
}

/**
 * CPU milliseconds of the calling main thread alone. Exact on Node with threadCpuUsage. On Linux read from
 * the scheduler, which books when the thread has slept: call it at the start of a turn of the event loop.
 * Elsewhere the time that the event loop was busy, which also counts what other processes took.
 */
export function threadCpuMs(): number {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
  if (threadCpuUsage !== undefined) {
    const { user, system } = threadCpuUsage.call(process);
    return (user + system) / 1000;
  }
  if (process.platform === 'linux') {
    // The main thread has the number of its process. First field: nanoseconds on a processor.
    const stat = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1');
    return Number(stat.split(' ')[0]) / 1e6;
  }
  return performance.eventLoopUtilization().active;
}
