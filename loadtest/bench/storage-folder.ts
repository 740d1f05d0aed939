// The folder that a storage measure works in: enough room before it begins, gone when it ends or is interrupted.
import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Left free whatever a measure writes: a full disk disturbs everything else on the machine. */
const RESERVE_BYTES = 2 * 1024 ** 3;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface WorkFolder {
  readonly path: string;
  /** Called before the folder goes, the last one added first. */
  readonly atEnd: (stop: () => Promise<unknown> | undefined) => void;
}

/**
 * Runs `work` in a new folder below the system's temporary one (TMPDIR), stops what it started and removes the folder.
 * @param bytes the most that `work` has on the disk at a time
 * @throws Error with cause and cure when there is less room
 */
export async function inWorkFolder<Result>(
  measure: string,
  bytes: number,
  work: (folder: WorkFolder) => Promise<Result>,
): Promise<Result> {
  requireRoom(measure, bytes, freeBytes(tmpdir()));
  const path = mkdtempSync(join(tmpdir(), 'millrace-bench-storage-'));
  // PostgreSQL may run as another user and must get through.
  chmodSync(path, 0o711);
  const stops: (() => Promise<unknown> | undefined)[] = [];
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= (async () => {
      for (const stop of stops.toReversed()) await stop()?.catch(() => {});
      rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    })();
    return ending;
  };
  const interrupted = (signal: (typeof SIGNALS)[number]): void => {
    void end().finally(() => process.exit(128 + constants.signals[signal]));
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    return await work({ path, atEnd: (stop) => stops.push(stop) });
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await end();
  }
}

/** @throws Error when `free` does not hold `bytes` and a reserve */
export function requireRoom(measure: string, bytes: number, free: number): void {
  if (free >= bytes + RESERVE_BYTES) return;
  throw new Error(
    `the measure ${measure} needs ${gigabytes(bytes + RESERVE_BYTES)} of disk in ${tmpdir()}, ` +
      `${gigabytes(free)} are free: free some, set TMPDIR to a larger disk, or give a smaller --rows`,
  );
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
