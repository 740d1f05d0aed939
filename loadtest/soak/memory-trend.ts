// Whether memory stays flat: a straight line through the samples of the second half of a run, by least squares. Pure.

/** Below this the second half is still warm-up: V8 sizes its heap, the first sessions are kept for resumption. */
export const JUDGED_FROM_MINUTES = 5;
/**
 * Growth of the engine's resident memory, kB a minute, at which a run fails. Over the second half of 10 minutes that is
 * 10 MB: about what V8's collections and the duplicate filter's life of one tip move it up and down by.
 */
export const GROWTH_MAX_KB_PER_MINUTE = 2048;

export interface MemorySample {
  /** Since the start of the load. */
  readonly minutes: number;
  readonly kB: number;
}

/** kB a minute over the samples of the second half; 0 for fewer than two. */
export function memoryGrowth(samples: readonly MemorySample[]): number {
  const last = samples.at(-1)?.minutes ?? 0;
  const half = samples.filter(({ minutes }) => minutes >= last / 2);
  if (half.length < 2) return 0;
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanMinutes = mean(half.map(({ minutes }) => minutes));
  const meanKB = mean(half.map(({ kB }) => kB));
  let above = 0;
  let below = 0;
  for (const { minutes, kB } of half) {
    above += (minutes - meanMinutes) * (kB - meanKB);
    below += (minutes - meanMinutes) ** 2;
  }
  return above / below;
}
