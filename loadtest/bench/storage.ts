// The suite "storage": each measure is a file of its own, named storage-MEASURE.ts. The servers are the embedded ones, in
// a folder below the system's temporary one; journal, shipper and encoders are the pool's own. Linux only (/proc).
import type { SuiteOptions, SuiteResult } from './figures.js';
import { requireProcFiles } from './process-usage.js';
import { measureBacklog } from './storage-backlog.js';
import { measureJournal } from './storage-journal.js';
import { type MeasureName, measuresOf, rateSeconds, rowsOf } from './storage-options.js';
import { measurePostgres } from './storage-postgres.js';
import { measureRate } from './storage-rate.js';
import { measureTables } from './storage-tables.js';

/** Figures of the suite. Throws when a store does not hold exactly what it was sent. */
export async function suite({ quick, given, progress }: SuiteOptions): Promise<SuiteResult> {
  requireProcFiles();
  const rows = rowsOf(given.rows ?? [], quick);
  const seconds = rateSeconds(given.minutes ?? [], quick);
  const measures: Record<MeasureName, () => Promise<SuiteResult>> = {
    tables: () => measureTables(rows, quick, progress),
    rate: () => measureRate(seconds, progress),
    backlog: () => measureBacklog(rows, quick, progress),
    journal: () => measureJournal(quick, progress),
    postgres: () => measurePostgres(quick, progress),
  };
  const results: SuiteResult[] = [];
  for (const name of measuresOf(given.only ?? [])) {
    progress(`storage: measure ${name}`);
    results.push(await measures[name]());
  }
  return {
    figures: results.flatMap(({ figures }) => figures),
    method: results.flatMap(({ method }) => method),
  };
}
