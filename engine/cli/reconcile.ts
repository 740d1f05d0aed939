// `millrace reconcile`: is what miners were answered `true` for, minute by minute, what ClickHouse has and what
// Postgres pays by; and if not, which share is where. Called through commands.ts.
import { parseArgs } from 'node:util';
import {
  type ClickHouse,
  type ClickHouseOptions,
  explainClickHouseError,
  openClickHouse,
} from '../../storage/clickhouse/client.js';
import { findLanes } from '../../storage/journal/lanes.js';
import { JournalFault } from '../../storage/journal/walk.js';
import { type Database, explainPostgresError, openPostgres } from '../../storage/postgres/connection.js';
import { explainMinute } from '../../storage/reconcile/explain.js';
import type { ComparedMinute, Difference, MinuteCounts } from '../../storage/reconcile/minutes.js';
import { type Reconciliation, reconcileStores } from '../../storage/reconcile/reconcile.js';
import { EXIT_USAGE } from './commands.js';
import { ProgressLine } from './progress-line.js';
import {
  findClickHouse,
  findPostgres,
  POOL_HELP,
  POOL_OPTIONS,
  parseTime,
  poolConfig,
} from './running-stores.js';

const EXIT_DIFFERENT = 1;
/** sysexits.h EX_UNAVAILABLE: nothing can be said. */
const EXIT_UNAVAILABLE = 69;
const DAY_S = 86_400;
const ROWS_DEFAULT = 20;
const ROWS_MAX = 10_000;
const TIMEOUT_S = 120;
const SEQS_SHOWN = 10;
const COLUMNS = ['accepted', 'work', 'rejected', 'anonymous', 'slices', 'rows'] as const;

const HELP = [
  'millrace reconcile: the journal (what miners were answered), ClickHouse and Postgres, compared lane by lane and',
  'minute by minute: accepted shares, their exact work, refused submits, and check sums of whose and which they are. Reads only; the pool may run.',
  '',
  '  --from TIME      first minute (ISO 8601, as 2026-11-21T08:00:00Z) [24 hours ago]',
  '  --to TIME        before this minute [now]',
  `  --rows N         differences named a store, 1 to ${ROWS_MAX} [${ROWS_DEFAULT}]`,
  '  --json           one JSON object',
  ...POOL_HELP,
  '',
  'Minutes that a store has not reached yet are pending, not different. Where the segments of the journal are gone,',
  'the two stores are compared with each other.',
  'Ends with 0 when nothing differs, 1 when something does, 64 for a wrong flag, 69 when a store does not answer.',
];

interface Request {
  fromS: number;
  toS: number;
  rowsMax: number;
  json: boolean;
  dataDir: string;
  clickhouse: ClickHouseOptions;
  postgresUrl: string;
}

/** Runs `argv` (what follows `reconcile`) and returns the exit code. */
export async function reconcile(argv: readonly string[]): Promise<number> {
  let request: Request | null;
  try {
    request = await readRequest(argv);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nmillrace reconcile --help lists the flags.\n`);
    return EXIT_USAGE;
  }
  if (request === null) {
    process.stdout.write(`${HELP.join('\n')}\n`);
    return 0;
  }
  const clickhouse = openClickHouse({ ...request.clickhouse, timeoutS: TIMEOUT_S });
  const database = openPostgres({ url: request.postgresUrl, poolSize: 1, timeoutS: TIMEOUT_S });
  const progress = new ProgressLine();
  try {
    const result = await reconcileStores({
      ...{ clickhouse, database, fromS: request.fromS, toS: request.toS, nowMs: Date.now() },
      lanes: findLanes(request.dataDir),
      onProgress: (part, what) => progress.show(part, () => what),
    });
    const differences = await explainAll(result, clickhouse, database, request.rowsMax);
    progress.clear();
    process.stdout.write(
      request.json ? jsonReport(result, differences) : textReport(result, differences, request),
    );
    return differing(result).length > 0 ? EXIT_DIFFERENT : 0;
  } catch (error) {
    progress.clear();
    process.stderr.write(`${explainFault(error)}.\n`);
    return EXIT_UNAVAILABLE;
  } finally {
    await clickhouse.close();
    await database.end({ timeout: 1 });
  }
}

async function readRequest(argv: readonly string[]): Promise<Request | null> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...POOL_OPTIONS,
      ...{ from: { type: 'string' }, to: { type: 'string' }, rows: { type: 'string' } },
      ...{ json: { type: 'boolean' }, help: { type: 'boolean' } },
    },
  });
  if (values.help === true) return null;
  const toMs = values.to === undefined ? Date.now() : parseTime('--to', values.to);
  const fromMs = values.from === undefined ? toMs - DAY_S * 1000 : parseTime('--from', values.from);
  const fromS = Math.floor(fromMs / 60_000) * 60;
  const toS = Math.ceil(toMs / 60_000) * 60;
  if (fromS >= toS) throw new Error('--from must be before --to');
  const rowsMax = Number(values.rows ?? ROWS_DEFAULT);
  if (!Number.isInteger(rowsMax) || rowsMax < 1 || rowsMax > ROWS_MAX) {
    throw new Error(`--rows is a number from 1 to ${ROWS_MAX}, not ${values.rows}`);
  }
  const config = poolConfig(values);
  return {
    ...{ fromS, toS, rowsMax, json: values.json === true, dataDir: config.dataDir },
    clickhouse: await findClickHouse(config),
    postgresUrl: findPostgres(config),
  };
}

const differing = ({ minutes }: Reconciliation): ComparedMinute[] =>
  minutes.filter(({ state }) => state === 'different');

async function explainAll(
  result: Reconciliation,
  clickhouse: ClickHouse,
  database: Database,
  rowsMax: number,
): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const compared of differing(result)) {
    const room = rowsMax - differences.length;
    if (room <= 0) break;
    const journal = result.journals.get(compared.node);
    differences.push(...(await explainMinute({ compared, journal, clickhouse, database, rowsMax: room })));
  }
  return differences;
}

function textReport(result: Reconciliation, differences: readonly Difference[], request: Request): string {
  const minutes = differing(result);
  const shown = minutes.slice(0, request.rowsMax);
  const lines: string[] = [];
  if (shown.length > 0) {
    const head = ['minute', 'node', '', 'journal', 'clickhouse', 'postgres'];
    const rows = shown.flatMap((minute) => tableRows(minute));
    const widths = head.map((title, column) =>
      Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
    );
    const format = (row: readonly string[]) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd();
    lines.push(format(head), ...rows.map(format));
    if (minutes.length > shown.length) lines.push(`and ${minutes.length - shown.length} minutes more`);
    lines.push('');
    for (const difference of differences) lines.push(differenceLine(difference));
    if (differences.length >= request.rowsMax) lines.push(`There may be more: --rows ${ROWS_MAX} at most.`);
    lines.push('');
  }
  const { compared, pending, storesOnly, shares } = summary(result);
  lines.push(
    `${compared} minutes, ${shares} accepted shares: ${minutes.length === 0 ? 'nothing differs' : `${minutes.length} differ`}` +
      `${pending === 0 ? '' : `; ${pending} pending, a store has not come so far`}` +
      `${storesOnly === 0 ? '' : `; ${storesOnly} compared without the journal, whose segments are gone`}`,
  );
  return `${lines.join('\n')}\n`;
}

/** A line for each figure that differs; the check sums only where no other does. */
function tableRows(compared: ComparedMinute): string[][] {
  const { minute, node, journal, clickhouse, postgres } = compared;
  const value = (counts: MinuteCounts | null, field: (typeof COLUMNS)[number]) =>
    counts === null ? 'gone' : (counts[field] ?? '-').toString();
  const fields = COLUMNS.filter((field) => {
    const values = [journal?.[field], clickhouse[field], postgres[field]].filter((one) => one != null);
    return new Set(values).size > 1;
  });
  const counted = fields.filter((field) => field !== 'slices' && field !== 'rows');
  return (counted.length > 0 ? counted : fields).map((field, index) => [
    index === 0 ? timeOf(minute) : '',
    index === 0 ? String(node) : '',
    field,
    ...[journal, clickhouse, postgres].map((counts) => value(counts, field)),
  ]);
}

function differenceLine({ minute, node, kind, seqs, detail }: Difference): string {
  const shown = seqs.slice(0, SEQS_SHOWN).join(', ');
  const more = seqs.length > SEQS_SHOWN ? ` and ${seqs.length - SEQS_SHOWN} more` : '';
  const which =
    seqs.length === 0 ? 'no share known' : seqs.length === 1 ? `share ${shown}` : `one of ${shown}${more}`;
  return `${timeOf(minute)}  node ${node}  ${kind}: ${which}: ${detail}`;
}

function jsonReport(result: Reconciliation, differences: readonly Difference[]): string {
  const counts = (one: MinuteCounts | null) =>
    one === null
      ? null
      : {
          accepted: one.accepted,
          work: one.work.toString(),
          rejected: one.rejected,
          anonymous: one.anonymous,
        };
  const minutes = result.minutes
    .filter(({ state }) => state !== 'equal')
    .map(({ node, minute, state, pending, journal, clickhouse, postgres }) => ({
      ...{ node, minute: timeOf(minute), state, pending },
      ...{ journal: counts(journal), clickhouse: counts(clickhouse), postgres: counts(postgres) },
    }));
  const named = differences.map((difference) => ({ ...difference, minute: timeOf(difference.minute) }));
  return `${JSON.stringify({ ...summary(result), different: differing(result).length, minutes, differences: named })}\n`;
}

function summary({ minutes }: Reconciliation) {
  return {
    compared: minutes.length,
    pending: minutes.filter(({ state }) => state === 'pending').length,
    storesOnly: minutes.filter(({ journal }) => journal === null).length,
    shares: minutes.reduce((sum, { journal, clickhouse }) => sum + (journal ?? clickhouse).accepted, 0),
  };
}

const timeOf = (minute: number): string => new Date(minute * 1000).toISOString().replace(':00.000Z', 'Z');

function explainFault(error: unknown): string {
  if (error instanceof JournalFault) return `The share journal is damaged: ${error.message}`;
  const { name, code } = error as { name?: string; code?: string };
  const isPostgres = name === 'PostgresError' || code?.startsWith('CONN') === true;
  return isPostgres ? explainPostgresError(error) : explainClickHouseError(error);
}
