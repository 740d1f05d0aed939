// A clock that several processes of one machine share.

const OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of the machine's monotonic clock: the same in every process of a Linux machine. */
export function monotonicMs(): number {
  return performance.now() + OFFSET_MS;
}
