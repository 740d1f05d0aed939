// What an outage run tells: a line a scenario, a table at the end, the same as JSON.
import type { ComparedCounts } from '../soak/comparison.js';
import type { PhaseAnswers } from './answer-times.js';
import type { Finding } from './findings.js';
import type { LedgerCounts } from './ledger-rows.js';
import type { OutageOptions } from './options.js';
import type { ScenarioName } from './scenario-names.js';

export interface ScenarioResult {
  readonly name: ScenarioName;
  readonly what: string;
  readonly before: PhaseAnswers;
  readonly during: PhaseAnswers;
  /** From the end of the outage on: catching up, and some time after. */
  readonly after: PhaseAnswers;
  readonly journalBytes: number;
  /** From the end of the outage until both stores had all but a second's load and the node gave work; null: never. */
  readonly catchUpS: number | null;
  /** Until the first new job; null: none came before it had caught up. */
  readonly newJobS: number | null;
  readonly jobsDuring: number;
  /** Since the run began, as all that follows. */
  readonly clickhouse: ComparedCounts;
  readonly journal: ComparedCounts;
  /** Work is a decimal integer of hashes. */
  readonly ledger: Omit<LedgerCounts, 'work'> & { readonly work: string };
  /** How the disk was filled; null in other scenarios. */
  readonly how: string | null;
  /** What the pool logged as a warning or worse. */
  readonly warnings: readonly { readonly text: string; readonly count: number }[];
  readonly findings: readonly Finding[];
}

export interface OutageResult {
  readonly options: OutageOptions;
  readonly scenarios: readonly ScenarioResult[];
  readonly seconds: number;
  readonly starts: number;
}

const COLUMNS = [
  ...['outage', 'accepted', 'refused', 'gap ms', 'p99 ms before', 'during', 'after', 'dropped'],
  ...['journal kB', 'jobs', 'new job s', 'caught up s', 'told true', 'rows', 'Postgres', 'differences'],
];

export function scenarioLine(result: ScenarioResult): string {
  const { name, during, catchUpS, findings, clickhouse, ledger } = result;
  const found = findings.reduce((sum, { count }) => sum + count, 0);
  return (
    `${name}: ${during.accepted} accepted, longest gap ${ms(during.gapMs)} ms, caught up after ${seconds(catchUpS)} s; ` +
    `${clickhouse.told} told true, ${clickhouse.accepted} rows, ${ledger.shares} in Postgres; ${found} differences`
  );
}

export function outageTable({ options, scenarios, seconds: took, starts }: OutageResult): string {
  const rows = [COLUMNS, ...scenarios.map(cells)];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  );
  const found = scenarios.filter(({ findings }) => findings.length > 0);
  return [
    `outages of ${options.minutes} minutes, seed ${options.seed}, ${options.threads} connection threads, ` +
      `${options.miners} miners; ${took.toFixed(0)} s, ${starts} start${starts === 1 ? '' : 's'} of the pool`,
    '',
    ...lines,
    '',
    'accepted, refused, gap, jobs: during the outage. told true, rows, Postgres: since the run began.',
    ...(found.length === 0
      ? ['No differences: every share that was answered true is in each store once, and the books add up.']
      : []),
    ...found.flatMap(({ name, findings }) =>
      findings.flatMap(({ what, count, examples }) => [
        `DIFFERENCE ${name}: ${count} x ${what}`,
        ...examples.map((example) => `  ${example}`),
      ]),
    ),
  ].join('\n');
}

function cells(result: ScenarioResult): string[] {
  const { name, before, during, after, clickhouse, ledger, findings } = result;
  return [
    ...[name, String(during.accepted), String(during.notStored), ms(during.gapMs)],
    ...[ms(before.p99Ms), ms(during.p99Ms), ms(after.p99Ms)],
    String(before.dropped + during.dropped + after.dropped),
    ...[String(Math.round(result.journalBytes / 1000)), String(result.jobsDuring)],
    ...[seconds(result.newJobS), seconds(result.catchUpS)],
    ...[String(clickhouse.told), String(clickhouse.accepted), String(ledger.shares)],
    String(findings.reduce((sum, { count }) => sum + count, 0)),
  ];
}

const ms = (value: number): string => value.toFixed(value < 10 ? 1 : 0);
const seconds = (value: number | null): string => value?.toFixed(1) ?? '-';
