// Posts ledger lines and reads balances. Every movement of money goes through `postLedger`, inside the
// database transaction of the store that causes it; the schema (migrations/002_ledger.sql) enforces
// append-only, zero sum and no negative balances against mistakes of this code.
import type {
  LedgerAccountKind,
  LedgerLine,
  LedgerTransactionKind,
} from '../../engine/accounting/ledger-entries.js';
import type { Database, Transaction } from './connection.js';

export interface LedgerPosting {
  kind: LedgerTransactionKind;
  /** Names the event: a second posting with this key is refused. */
  key: string;
  blockHash?: string;
  payoutId?: bigint;
  /** The rule in words, for whoever audits the line in ten years. */
  rule: string;
  /** Every number the rule was given. */
  inputs: Record<string, unknown>;
  lines: readonly LedgerLine[];
}

export interface AccountBalance {
  account: string;
  immatureSats: bigint;
  confirmedSats: bigint;
  inFlightSats: bigint;
  /** Sum of confirmed payouts, on the chain and by Lightning, and of what matured coinbases paid straight. */
  paidSats: bigint;
}

export interface LedgerTotals {
  /** Balance by kind, in the ledger's sign: owed and earned positive, held and spent negative. */
  balances: Partial<Record<LedgerAccountKind, bigint>>;
  /** Sum of all balances. Must be 0. */
  sumSats: bigint;
  /** Ledger accounts whose balance is not the sum of their lines, as of the last minute. Must be 0. */
  mismatches: number;
}

/** JSON text of numbers that a rule was given; bigint becomes a decimal string. */
export function toJson(inputs: Record<string, unknown>): string {
  return JSON.stringify(inputs, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
}

/**
 * Posts one ledger transaction within `tx` and returns its id. Throws on a key that was used before, on
 * lines that do not sum to zero (at commit) and when a miner's balance would become negative.
 */
export async function postLedger(tx: Transaction, posting: LedgerPosting): Promise<bigint> {
  const [row] = await tx<{ id: bigint }[]>`
    insert into ledger_transactions (kind, idempotency_key, block_hash, payout_id, rule, inputs)
    values (${posting.kind}, ${posting.key}, ${posting.blockHash ?? null}, ${posting.payoutId ?? null},
            ${posting.rule}, ${toJson(posting.inputs)}::text::jsonb)
    returning id`;
  if (row === undefined) throw new Error('Postgres returned no ledger transaction id');

  const kinds = posting.lines.map((line) => line.kind as string);
  const accounts = posting.lines.map((line) => line.accountId);
  const amounts = posting.lines.map((line) => line.amountSats.toString());
  // In order of kind and account: two postings that open the same accounts wait, they do not deadlock.
  await tx`
    insert into ledger_accounts (kind, account_id)
    select distinct kind, account_id
    from unnest(${kinds}::text[], ${accounts}::integer[]) as wanted (kind, account_id)
    where not exists (
      select from ledger_accounts a
      where a.kind = wanted.kind and a.account_id is not distinct from wanted.account_id)
    order by kind, account_id
    on conflict (kind, account_id) do nothing`;
  const inserted = await tx`
    insert into ledger_lines (transaction_id, ledger_account_id, amount_sats)
    select ${row.id}, a.id, wanted.amount_sats
    from unnest(${kinds}::text[], ${accounts}::integer[], ${amounts}::bigint[])
      with ordinality as wanted (kind, account_id, amount_sats, place)
    join ledger_accounts a
      on a.kind = wanted.kind and a.account_id is not distinct from wanted.account_id
    order by wanted.place`;
  if (inserted.count !== posting.lines.length) {
    throw new Error(
      `ledger posting ${posting.key}: ${inserted.count} of ${posting.lines.length} lines stored`,
    );
  }
  return row.id;
}

/** The lines of a ledger transaction, in the order they were posted. */
export async function readLedgerLines(tx: Transaction, key: string): Promise<LedgerLine[]> {
  return await tx<LedgerLine[]>`
    select a.kind, a.account_id as "accountId", l.amount_sats as "amountSats"
    from ledger_transactions t
    join ledger_lines l on l.transaction_id = t.id
    join ledger_accounts a on a.id = l.ledger_account_id
    where t.idempotency_key = ${key}
    order by l.id`;
}

const COMPARE_EVERY_MS = 60_000;

/** What the ledger says, for the API, metrics and the operator. Reads only. */
export class LedgerStore {
  readonly #database: Database;
  #mismatches = 0;
  #comparedAtMs = Number.NEGATIVE_INFINITY;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Balances of accounts that ever had one, largest claim first. `limit` rows at most. */
  async balances(limit: number): Promise<AccountBalance[]> {
    return await this.#database<AccountBalance[]>`
      select b.name as account, b.immature_sats as "immatureSats", b.confirmed_sats as "confirmedSats",
             b.in_flight_sats as "inFlightSats", coalesce(p.paid, 0)::bigint as "paidSats"
      from account_balances b
      left join (${this.#paid()}) p on p.account_id = b.account_id
      where b.immature_sats + b.confirmed_sats + b.in_flight_sats + coalesce(p.paid, 0) > 0
      order by b.immature_sats + b.confirmed_sats + b.in_flight_sats desc, b.name
      limit ${limit}`;
  }

  /** Balance of one account by name; null when nobody of that name ever mined here. */
  async balance(account: string): Promise<AccountBalance | null> {
    const [row] = await this.#database<AccountBalance[]>`
      select b.name as account, b.immature_sats as "immatureSats", b.confirmed_sats as "confirmedSats",
             b.in_flight_sats as "inFlightSats", coalesce(p.paid, 0)::bigint as "paidSats"
      from account_balances b
      left join (${this.#paid()}) p on p.account_id = b.account_id
      where b.name = ${account}`;
    return row ?? null;
  }

  /**
   * Sums over the whole ledger, and whether it holds together. Balances are read each time; comparing them
   * with every line ever posted costs more as the ledger grows and is done at most once a minute.
   */
  async totals(): Promise<LedgerTotals> {
    const rows = await this.#database<{ kind: LedgerAccountKind; balance: bigint }[]>`
      select kind, sum(balance_sats) as balance from ledger_balances group by kind order by kind`;
    const balances: LedgerTotals['balances'] = {};
    let sumSats = 0n;
    for (const row of rows) {
      balances[row.kind] = row.balance;
      sumSats += row.balance;
    }
    const now = performance.now();
    if (now - this.#comparedAtMs >= COMPARE_EVERY_MS) {
      this.#comparedAtMs = now;
      const [row] = await this.#database<{ mismatches: number }[]>`
        select count(*)::integer as mismatches from ledger_reconciliation
        where difference_sats is distinct from 0`;
      this.#mismatches = row?.mismatches ?? 0;
    }
    return { balances, sumSats, mismatches: this.#mismatches };
  }

  #paid() {
    // Of a Lightning payment, what was kept back for its fee and not used went back to the balance.
    return this.#database`
      select account_id, sum(sats) as paid from (
        select o.account_id, o.amount_sats as sats
        from payout_outputs o join payouts p on p.id = o.payout_id where p.status = 'confirmed'
        union all
        select account_id, sent_sats + least(amount_sats - sent_sats, (fee_msat + 999) / 1000)
        from lightning_payments where status = 'paid'
        union all
        select c.account_id, c.amount_sats
        from coinbase_payments c join blocks b on b.hash = c.block_hash
        where b.status = 'confirmed') each_paid
      group by account_id`;
  }
}
