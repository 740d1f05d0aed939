// The ledger as a person reads it: an account's balances and its lines, newest first, each with the rule that made it
// and the balance after it. Reads only, one snapshot a call. Used by `millrace ledger`.
import type { LedgerAccountKind, LedgerTransactionKind } from '../../engine/accounting/ledger-entries.js';
import type { Database, Fragment } from './connection.js';

export interface HistoryLine {
  /** Of the ledger line; ascending with time. */
  id: bigint;
  at: Date;
  transaction: LedgerTransactionKind;
  kind: LedgerAccountKind;
  amountSats: bigint;
  /** Balance of this kind after the line. */
  balanceSats: bigint;
  /** In words. */
  rule: string;
  /** The numbers that the rule was given, as stored: bigint are decimal strings. */
  inputs: Record<string, unknown>;
  blockHash: string | null;
  payoutId: bigint | null;
}

export interface LedgerHistory {
  balances: { kind: LedgerAccountKind; balanceSats: bigint }[];
  /** Newest first. */
  lines: HistoryLine[];
}

/** Null: nobody of that name ever mined here. `limit`: lines at most. */
export async function accountHistory(
  database: Database,
  name: string,
  limit: number,
): Promise<LedgerHistory | null> {
  const [account] = await database<{ id: number }[]>`select id from accounts where name = ${name}`;
  if (account === undefined) return null;
  return await history(database, database`a.account_id = ${account.id}`, limit);
}

/** Of the accounts that are the pool's own. */
export async function poolHistory(database: Database, limit: number): Promise<LedgerHistory> {
  return await history(database, database`a.account_id is null`, limit);
}

/** `which`: on `ledger_accounts a`. */
async function history(database: Database, which: Fragment, limit: number): Promise<LedgerHistory> {
  return await database.begin('isolation level repeatable read read only', async (tx) => {
    const balances = await tx<LedgerHistory['balances']>`
      select a.kind, b.balance_sats as "balanceSats"
      from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
      where ${which} order by a.kind`;
    // The balance after a line is today's less all that came later; those are among the newest lines, too.
    const lines = await tx<HistoryLine[]>`
      select l.id, t.created_at as at, t.kind as transaction, l.kind, l.amount_sats as "amountSats",
             (l.balance_sats - coalesce(sum(l.amount_sats) over (
               partition by l.ledger_account_id order by l.id desc
               rows between unbounded preceding and 1 preceding), 0))::bigint as "balanceSats",
             t.rule, t.inputs, t.block_hash as "blockHash", t.payout_id as "payoutId"
      from (
        select newest.*, a.kind, b.balance_sats
        from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
        cross join lateral (
          select n.id, n.transaction_id, n.ledger_account_id, n.amount_sats from ledger_lines n
          where n.ledger_account_id = a.id order by n.id desc limit ${limit}) newest
        where ${which} order by newest.id desc limit ${limit}) l
      join ledger_transactions t on t.id = l.transaction_id
      order by l.id desc`;
    return { balances: [...balances], lines: [...lines] };
  });
}
