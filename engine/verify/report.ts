// What `millrace verify` prints: a table of credits for people, one JSON object for programs.
import type { BooksVerdict } from './day-books.js';
import type { CreditVerdict, InputDifference, LineDifference } from './verdict.js';

export interface VerifyReport {
  /** As many as were asked for: those that differ or cannot be recomputed first to be kept, in the order posted. */
  credits: CreditVerdict[];
  total: { credits: number; equal: number; different: number; incomplete: number; differenceSats: bigint };
  /** Null when single credits were asked for. */
  books: BooksVerdict | null;
  /** Whether the coinbases of blocks were compared with a node, in words. */
  node: string;
}

/** Gathers verdicts, `rowsMax` of them: all that are not equal before any that is. */
export class ReportRows {
  readonly total: VerifyReport['total'] = {
    ...{ credits: 0, equal: 0, different: 0, incomplete: 0 },
    differenceSats: 0n,
  };
  readonly #rowsMax: number;
  #credits: CreditVerdict[] = [];

  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax;
  }

  add(verdict: CreditVerdict): void {
    this.total.credits++;
    this.total[verdict.status]++;
    this.total.differenceSats += verdict.differenceSats;
    this.#credits.push(verdict);
    if (this.#credits.length <= this.#rowsMax) return;
    const equal = this.#credits.findIndex(({ status }) => status === 'equal');
    this.#credits.splice(equal < 0 ? this.#rowsMax : equal, 1);
  }

  get credits(): CreditVerdict[] {
    return this.#credits;
  }
}

const WHOLE_TABLE = ['credit', 'posted', 'accounts', 'satoshis', 'difference'] as const;

/** Lines that differ are shown `linesMax` a credit at most. */
export function reportText({ credits, total, books, node }: VerifyReport, linesMax: number): string {
  const rows = credits.map((verdict) => [
    verdict.key,
    `${verdict.postedAt.toISOString().slice(0, 16)}Z`,
    ...(verdict.status === 'incomplete'
      ? ['-', '-', 'incomplete']
      : [String(verdict.accounts), String(verdict.sats), String(verdict.differenceSats)]),
  ]);
  const widths = WHOLE_TABLE.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const format = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  const lines = rows.length === 0 ? [] : [format(WHOLE_TABLE)];
  for (const [index, verdict] of credits.entries()) {
    lines.push(format(rows[index] ?? []), ...detailLines(verdict, linesMax));
  }
  if (total.credits > credits.length) lines.push(`and ${total.credits - credits.length} more (--rows)`);
  if (lines.length > 0) lines.push('');
  if (books !== null) lines.push(...booksLines(books));
  lines.push(node, sentence(total));
  return `${lines.join('\n')}\n`;
}

/** One line; bigint as decimal strings. */
export function reportJson(report: VerifyReport): string {
  const text = JSON.stringify(report, (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  return `${text}\n`;
}

export function sentence({
  credits,
  equal,
  different,
  incomplete,
  differenceSats,
}: VerifyReport['total']): string {
  const parts = [`${credits} credits verified: ${equal} equal to the satoshi`];
  if (different > 0) parts.push(`${different} different, by ${differenceSats} sat`);
  if (incomplete > 0) parts.push(`${incomplete} cannot be recomputed, the stores are not complete`);
  return parts.join('; ');
}

function detailLines({ status, reason, lines, inputs }: CreditVerdict, linesMax: number): string[] {
  if (status === 'incomplete') return [`  ${reason}`];
  const shown = [...lines.slice(0, linesMax).map(lineText), ...inputs.slice(0, linesMax).map(inputText)];
  const more = Math.max(0, lines.length - linesMax) + Math.max(0, inputs.length - linesMax);
  return more === 0 ? shown : [...shown, `  and ${more} more (--rows)`];
}

function lineText({ kind, account, ledgerSats, recomputedSats, cause }: LineDifference): string {
  const because = cause === null ? '' : `; ${causeText(cause)}`;
  const whose = account === null ? kind : `${kind} of ${account}`;
  return `  ${whose}: ${ledgerSats} sat in the ledger, ${recomputedSats} recomputed${because}`;
}

function inputText(input: InputDifference): string {
  return `  input: ${causeText(input)}`;
}

function causeText({ what, account, ledger, recomputed }: InputDifference): string {
  return `${what}${account === null ? '' : ` of ${account}`} ${ledger} in the ledger, ${recomputed} recomputed`;
}

function booksLines({ sumSats, balancesDiffering, payouts, faults }: BooksVerdict): string[] {
  return [
    `all lines sum to ${sumSats} sat; ${balancesDiffering} balances differ from their lines; ${payouts} confirmed payouts, ` +
      `${faults.length === 0 ? 'each took what it sent and cost' : `${faults.length} faults`}`,
    ...faults.map((fault) => `  ${fault}`),
  ];
}
