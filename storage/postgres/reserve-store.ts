// The reserve that PPS, PPS+ and FPPS are paid from: the operator's deposits into it, what it holds, and the mode it
// is in. Each deposit is asked for by a key of the caller's choosing: the same key twice is one deposit.
import { capitalDepositLines, reserveFundLines } from '../../engine/accounting/ledger-entries.js';
import type { ReserveMode } from '../../engine/accounting/reserve-policy.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { type Authority, writeAudit } from './audit-log.js';
import type { Database, Transaction } from './connection.js';
import { type LedgerPosting, postLedger } from './ledger-store.js';

export interface Deposit extends Authority {
  /** Names this wish, 1 to 128 characters. */
  key: string;
  /** Above 0. */
  sats: bigint;
}

export interface ReserveBalances {
  /** There to be paid. */
  reserveSats: bigint;
  /** From blocks that have not matured. */
  reserveImmatureSats: bigint;
  /** Earned and kept: stands in for the reserve when it comes to the worst. */
  poolFeeSats: bigint;
  capitalSats: bigint;
}

const UNIQUE_VIOLATION = '23505';
const MODE_ACTION: Record<ReserveMode, string> = {
  fall_back: 'reserve_fall_back',
  covered: 'reserve_covered',
};

export class ReserveStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * The operator's own coins came into the pool's hot wallet. 'already': this key was deposited before. Throws when
   * it was with another amount.
   */
  async depositCapital(deposit: Deposit): Promise<'deposited' | 'already'> {
    return await this.#post(deposit, 'deposit_capital', async () => ({
      rule: 'the operator’s own coins came into the hot wallet',
      lines: capitalDepositLines(deposit.sats),
    }));
  }

  /**
   * Money of the operator becomes the reserve's, for good. 'already' as above. Throws when `from` holds less.
   */
  async fundReserve(deposit: Deposit, from: 'capital' | 'pool_fee'): Promise<'deposited' | 'already'> {
    return await this.#post(deposit, 'fund_reserve', async (tx) => {
      // Capital may be negative by other ways; the reserve is not filled with what is not there.
      // Locked in the order in which postings lock balances.
      const rows = await tx<{ kind: string; sats: bigint }[]>`
        select kind, balance_sats as sats from ledger_balances where kind in (${from}, 'reserve')
        order by ledger_account_id for update`;
      const held = rows.find(({ kind }) => kind === from)?.sats ?? 0n;
      if (held < deposit.sats) {
        throw new Error(
          `the reserve cannot get ${deposit.sats} satoshis from ${from}, which holds ${held}. ` +
            'Deposit capital first, or ask for less',
        );
      }
      return {
        rule: `${from === 'capital' ? 'capital' : 'pool fees'} of the operator to the reserve`,
        lines: reserveFundLines(deposit.sats, from),
      };
    });
  }

  async balances(): Promise<ReserveBalances> {
    const [row] = await this.#database<ReserveBalances[]>`
      select coalesce(sum(balance_sats) filter (where kind = 'reserve'), 0)::bigint as "reserveSats",
             coalesce(sum(balance_sats) filter (where kind = 'reserve_immature'), 0)::bigint as "reserveImmatureSats",
             coalesce(sum(balance_sats) filter (where kind = 'pool_fee'), 0)::bigint as "poolFeeSats",
             coalesce(sum(balance_sats) filter (where kind = 'capital'), 0)::bigint as "capitalSats"
      from ledger_balances where kind in ('reserve', 'reserve_immature', 'pool_fee', 'capital')`;
    if (row === undefined) throw new Error('Postgres returned no balances');
    return row;
  }

  /** Accepted work by scheme since `since`, to the minute, solo work left out. For figures, not for money. */
  async workByScheme(since: Date): Promise<Map<Scheme, number>> {
    const rows = await this.#database<{ scheme: Scheme; work: number }[]>`
      select scheme, sum(work)::double precision as work from work_slices
      where scheme <> 'solo' and bucket_start >= date_trunc('minute', ${since}::timestamptz) group by scheme`;
    return new Map(rows.map(({ scheme, work }) => [scheme, work]));
  }

  /** The mode that was announced last; a reserve begins as covered. */
  async mode(): Promise<ReserveMode> {
    const [row] = await this.#database<{ action: string }[]>`
      select action from audit_log
      where subject = 'reserve' and action in (${MODE_ACTION.fall_back}, ${MODE_ACTION.covered})
      order by id desc limit 1`;
    return row?.action === MODE_ACTION.fall_back ? 'fall_back' : 'covered';
  }

  /** Keeps a change of mode, with the announcement and the numbers that it was made by. */
  async announceMode(
    mode: ReserveMode,
    announcement: string,
    inputs: Record<string, unknown>,
  ): Promise<void> {
    const entry = {
      actor: 'pool',
      action: MODE_ACTION[mode],
      subject: 'reserve',
      reason: announcement,
      inputs,
    };
    await this.#database.begin((tx) => writeAudit(tx, entry));
  }

  async #post(
    { key, sats, actor, reason }: Deposit,
    action: 'deposit_capital' | 'fund_reserve',
    posting: (tx: Transaction) => Promise<Pick<LedgerPosting, 'rule' | 'lines'>>,
  ): Promise<'deposited' | 'already'> {
    if (key.length < 1 || key.length > 128)
      throw new RangeError('a deposit needs a key of 1 to 128 characters');
    if (sats <= 0n) throw new RangeError(`a deposit must be above 0 satoshis, not ${sats}`);
    const ledgerKey = `${action}:${key}`;
    try {
      return await this.#database.begin(async (tx) => {
        const [known] = await tx<{ sats: string }[]>`
          select inputs->>'sats' as sats from ledger_transactions where idempotency_key = ${ledgerKey}`;
        if (known !== undefined) {
          if (BigInt(known.sats) === sats) return 'already';
          throw new Error(
            `the key ${key} was used for ${known.sats} satoshis. Choose another one for ${sats}`,
          );
        }
        const { rule, lines } = await posting(tx);
        const inputs = { sats, actor, reason };
        await postLedger(tx, { kind: 'capital_deposit', key: ledgerKey, rule, inputs, lines });
        await writeAudit(tx, { actor, action, subject: 'reserve', reason, inputs: { key, sats } });
        return 'deposited';
      });
    } catch (error) {
      // The same wish came twice at once; the other one is committed and is found now.
      const { code, constraint_name: constraint } = error as { code?: string; constraint_name?: string };
      if (code !== UNIQUE_VIOLATION || constraint !== 'ledger_transactions_idempotency_key_key') throw error;
      return await this.#post({ key, sats, actor, reason }, action, posting);
    }
  }
}
