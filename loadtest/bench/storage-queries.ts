// The questions that the storage benchmark times: those that the project sets a limit to, and what the pool itself
// asks every two seconds. All stand in storage/clickhouse/README.md.
import type { Goal } from './figures.js';

export interface TimedQuery {
  /** `worker_24h` becomes the figure `storage.query_worker_24h_ms`. */
  readonly name: string;
  readonly sql: string;
  readonly goal?: Goal;
}

/** What to fill in. */
export interface QueryFacts {
  readonly account: string;
  readonly worker: string;
  /** Half of the work of the data, in hashes. */
  readonly windowHashes: bigint;
  /** Start of the data's day, `2026-11-20 00:00:00`. */
  readonly since: string;
}

export function timedQueries({ account, worker, windowHashes, since }: QueryFacts): TimedQuery[] {
  return [
    { name: 'share_counts', sql: 'SELECT node, rows, difficulty FROM share_counts', goal: { most: 20 } },
    {
      name: 'share_counts_raw',
      sql: 'SELECT node, count() AS rows, sum(difficulty) FROM shares GROUP BY node',
    },
    {
      name: 'worker_24h',
      sql: `SELECT t, shares, hs, hs_low, hs_high FROM worker_hashrate(step_s = 600)
            WHERE account = '${account}' AND worker = '${worker}' AND t >= '${since}' ORDER BY t`,
      goal: { most: 100 },
    },
    {
      name: 'top_accounts_day',
      sql: `SELECT account, sum(submits_1h.work) AS hashes, sum(submits_1h.shares) AS accepted FROM submits_1h
            WHERE verdict = 'accepted' AND t >= '${since}' GROUP BY account ORDER BY hashes DESC LIMIT 20`,
      goal: { most: 100 },
    },
    {
      name: 'pplns_holders',
      sql: `SELECT account, part FROM pplns_window(hashes = '${windowHashes}') ORDER BY part DESC`,
      goal: { most: 300 },
    },
    {
      name: 'reject_reasons',
      sql: `SELECT t, verdict, shares, part FROM reject_reasons WHERE t >= '${since}' ORDER BY t, shares DESC`,
      goal: { most: 100 },
    },
    { name: 'block_rounds', sql: 'SELECT * FROM block_rounds ORDER BY number DESC LIMIT 20' },
    { name: 'withholding', sql: 'SELECT * FROM withholding ORDER BY chance LIMIT 20' },
  ];
}
