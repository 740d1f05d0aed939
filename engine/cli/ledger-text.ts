// What `millrace ledger` prints for people.
import type { AuditRow } from '../../storage/postgres/audit-log.js';
import type { OwedPay } from '../../storage/postgres/expected-pay-store.js';
import type { HistoryLine, LedgerHistory } from '../../storage/postgres/ledger-history.js';
import type { ReserveBalances } from '../../storage/postgres/reserve-store.js';
import type { ReserveMode } from '../accounting/reserve-policy.js';
import type { NetworkName } from '../bitcoin/networks.js';

export interface PoolPicture extends LedgerHistory {
  network: NetworkName;
  sumSats: bigint;
  mismatches: number;
  mode: ReserveMode;
  reserve: ReserveBalances;
  limitSats: bigint;
  owed: OwedPay;
  /** Null: no epoch is known yet. */
  averageFeesSats: bigint | null;
  /** Null: nobody is promised expected values. */
  ruinProbability: number | null;
}

export function historyText(title: string, { balances, lines }: LedgerHistory, verbose: boolean): string {
  return [
    title,
    ...(balances.length === 0 ? ['  no line yet'] : balancesText(balances)),
    ...linesText(lines, verbose),
  ].join('\n');
}

export function poolText(picture: PoolPicture, verbose: boolean): string {
  const { mode, reserve, limitSats, owed, averageFeesSats, ruinProbability } = picture;
  const isWhole = picture.sumSats === 0n && picture.mismatches === 0;
  return [
    `the pool (${picture.network}); positive is owed or earned, negative is held, awaited or spent`,
    ...balancesText(picture.balances),
    isWhole
      ? '  all accounts together, those of miners too, sum to 0, and each balance is the sum of its lines'
      : `  WRONG: all accounts sum to ${picture.sumSats} sat, ${picture.mismatches} balance(s) differ from their lines`,
    'reserve of pps, ppsplus and fpps',
    `  there        ${reserve.reserveSats} sat, and ${reserve.reserveImmatureSats} immature`,
    `  owed         ${owed.sats} sat for ${owed.shares} shares that are not paid yet` +
      (owed.notReadyShares === 0n ? '' : `, ${owed.notReadyShares} of them wait for average fees`),
    `  limit        ${limitSats} sat`,
    mode === 'covered'
      ? '  mode         covered: shares are recorded and paid as chosen'
      : '  mode         fall back: new shares of pps, ppsplus and fpps are recorded as pplns (millrace ledger fund)',
    `  average fees ${averageFeesSats === null ? 'not known yet' : `${averageFeesSats} sat a block`}`,
    ruinProbability === null
      ? '  ruin         nobody was promised expected values in 24 hours'
      : `  ruin         ${percentText(ruinProbability)} that it ever runs out, if work stays as in 24 hours`,
    ...linesText(picture.lines, verbose),
  ].join('\n');
}

export function auditText(rows: readonly AuditRow[]): string {
  if (rows.length === 0) return 'no privileged action yet';
  return rows
    .map(
      ({ at, actor, action, subject, reason, inputs }) =>
        `${at.toISOString()}  ${actor}  ${action} ${subject}: ${reason}  ${JSON.stringify(inputs)}`,
    )
    .join('\n');
}

function balancesText(balances: LedgerHistory['balances']): string[] {
  const width = Math.max(0, ...balances.map(({ kind }) => kind.length));
  return balances.map(({ kind, balanceSats }) => `  ${kind.padEnd(width)}  ${balanceSats} sat`);
}

function linesText(lines: readonly HistoryLine[], verbose: boolean): string[] {
  if (lines.length === 0) return [];
  const amounts = lines.map(({ amountSats }) => `${amountSats > 0n ? '+' : ''}${amountSats}`);
  const kindWidth = Math.max(...lines.map(({ kind }) => kind.length));
  const amountWidth = Math.max(...amounts.map(({ length }) => length));
  const balanceWidth = Math.max(...lines.map(({ balanceSats }) => balanceSats.toString().length));
  return [
    'lines, newest first: time, kind, amount, balance after it, rule',
    ...lines.flatMap(({ at, kind, balanceSats, rule, blockHash, payoutId, inputs }, index) => {
      const cause =
        blockHash === null ? (payoutId === null ? '' : ` (payout ${payoutId})`) : ` (block ${blockHash})`;
      const columns = [
        at.toISOString(),
        kind.padEnd(kindWidth),
        (amounts[index] ?? '').padStart(amountWidth),
        balanceSats.toString().padStart(balanceWidth),
      ];
      const text = `  ${columns.join('  ')}  ${rule}${cause}`;
      return verbose ? [text, `      ${JSON.stringify(inputs)}`] : [text];
    }),
  ];
}

function percentText(probability: number): string {
  const percent = probability * 100;
  return percent !== 0 && percent < 0.01 ? 'less than 0.01 %' : `${percent.toFixed(2)} %`;
}
