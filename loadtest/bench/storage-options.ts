// Options of the storage suite: which measures, of how many shares, for how long.
import { UsageError } from './command-line.js';

export const MEASURES = ['tables', 'rate', 'backlog', 'journal', 'postgres'] as const;
export type MeasureName = (typeof MEASURES)[number];

const ROWS = { quick: 200_000, full: 10_000_000, most: 200_000_000 } as const;
const SECONDS = { quick: 8, full: 300 } as const;
const MINUTES_MOST = 60;

/** @throws UsageError for a measure that does not exist */
export function measuresOf(only: readonly string[]): MeasureName[] {
  const names = only.flatMap((list) => list.split(','));
  for (const name of names) {
    if (!MEASURES.some((known) => known === name)) {
      throw new UsageError(`--only: there is no measure "${name}", expected some of: ${MEASURES.join(',')}`);
    }
  }
  return names.length === 0 ? [...MEASURES] : MEASURES.filter((name) => names.includes(name));
}

/**
 * Shares of the measures tables and backlog.
 * @throws UsageError when --rows is no whole number within its bounds
 */
export function rowsOf(given: readonly string[], quick: boolean): number {
  const [text, ...more] = given;
  if (text === undefined) return quick ? ROWS.quick : ROWS.full;
  const rows = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (more.length === 0 && rows >= 1000 && rows <= ROWS.most) return rows;
  throw new UsageError(`--rows "${given.join(' ')}": expected one whole number from 1000 to ${ROWS.most}`);
}

/**
 * How long the measure rate lasts.
 * @throws UsageError when --minutes is no whole number within its bounds
 */
export function rateSeconds(given: readonly string[], quick: boolean): number {
  const [text, ...more] = given;
  if (text === undefined) return quick ? SECONDS.quick : SECONDS.full;
  const minutes = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (more.length === 0 && minutes >= 1 && minutes <= MINUTES_MOST) return minutes * 60;
  throw new UsageError(`--minutes "${given.join(' ')}": expected one whole number from 1 to ${MINUTES_MOST}`);
}
