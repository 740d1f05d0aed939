// What a kill loop tells: a line a kill, a table at the end, the same as JSON.
import type { ComparedCounts } from '../soak/comparison.js';
import type { Finding } from './findings.js';
import type { Hit } from './kill-loop.js';
import type { LedgerCounts } from './ledger-rows.js';
import type { MinerCounts } from './miners-messages.js';
import type { KillOptions } from './options.js';
import { TARGETS } from './plan.js';

export interface KillResult {
  readonly options: KillOptions;
  readonly hits: readonly Hit[];
  readonly seconds: number;
  readonly starts: number;
  /** Starts of the pool that ended by themselves because a part of it had been killed meanwhile. */
  readonly startsGivenUp: number;
  /** From the end of the load until both stores had everything. */
  readonly drainS: number;
  readonly miners: MinerCounts;
  readonly clickhouse: ComparedCounts;
  readonly journal: ComparedCounts;
  /** Work is a decimal integer of hashes. */
  readonly ledger: Omit<LedgerCounts, 'work'> & { readonly work: string };
  readonly findings: readonly Finding[];
}

export function hitLine(hit: Hit, miners: MinerCounts): string {
  const { round, target, action, pid, atS, sinceRestartS, recovery } = hit;
  return [
    String(round).padStart(4),
    `${atS.toFixed(1)} s`.padStart(9),
    action.padEnd(6),
    target.padEnd(10),
    `pid ${pid}`.padEnd(12),
    `${sinceRestartS.toFixed(2)} s after a restart`.padEnd(23),
    `${miners.accepted} accepted`.padEnd(16),
    recovery === null ? '' : `hit recovery: ${recovery}`,
  ]
    .join('  ')
    .trimEnd();
}

export function resultTable(result: KillResult): string {
  const { options, hits, miners, clickhouse, journal, ledger, findings } = result;
  const counted = (action: Hit['action']): string =>
    TARGETS.map(
      (target) => `${target} ${hits.filter((hit) => hit.action === action && hit.target === target).length}`,
    ).join(', ');
  const recoveries = hits.filter(({ recovery }) => recovery !== null);
  const starting = recoveries.filter(({ recovery }) => recovery?.includes('starting'));
  const kills = hits.filter(({ action }) => action === 'kill').length;
  const rows: [string, string][] = [
    ['rounds, seed, connection threads', `${options.rounds}, ${options.seed}, ${options.threads}`],
    ['time', `${result.seconds.toFixed(0)} s, ${result.drainS.toFixed(1)} s of them to drain`],
    ['killed', `${kills}: ${counted('kill')}`],
    ['frozen', `${hits.length - kills}: ${counted('freeze')}`],
    [
      'hit a recovery',
      `${recoveries.length} of ${hits.length}: ${starting.length} a starting pool, ${recoveries.length - starting.length} stores behind`,
    ],
    ['starts of the pool', `${result.starts}, ${result.startsGivenUp} given up after a part was killed`],
    ['shares sent', `${miners.submitted}, ${miners.resent} of them once more after a reconnect`],
    ['answered true', String(clickhouse.told)],
    ['answers cut off', `${clickhouse.cutOff}, ${clickhouse.cutOffAccepted} of these shares accepted`],
    ['journal', `${journal.journaled} verdicts, ${journal.accepted} accepted`],
    ['ClickHouse', `${clickhouse.journaled} rows, ${clickhouse.accepted} accepted`],
    ['Postgres', `${ledger.shares} accepted, ${ledger.work} hashes`],
    [
      'blocks',
      `${ledger.blocks}: ${ledger.credited} credited, ${ledger.orphaned} orphaned, ${ledger.forgotten} forgotten by the killed node`,
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    '',
    ...(findings.length === 0
      ? ['No differences: every share that was answered true is in each store once.']
      : []),
    ...findings.flatMap(({ what, count, examples }) => [
      `DIFFERENCE ${count} x ${what}`,
      ...examples.map((example) => `  ${example}`),
    ]),
  ].join('\n');
}
