// Payouts: planned -> signed -> broadcast -> confirmed | failed. Signing reserves: the raw transaction, its
// txid and the ledger reservation are one commit, before anyone has seen the transaction, and recovery
// broadcasts those bytes again (reliability rule: never build twice for one reservation).
import {
  cancelLines,
  confirmLines,
  type PayoutShare,
  reserveLines,
} from '../../engine/accounting/ledger-entries.js';
import type { Database, Fragment, Transaction } from './connection.js';
import { postLedger } from './ledger-store.js';

export type PayoutStatus = 'planned' | 'signed' | 'broadcast' | 'confirmed' | 'failed';

export interface PayoutOutput extends PayoutShare {
  account: string;
  address: string;
}

export interface Payout {
  id: bigint;
  status: PayoutStatus;
  /** Null while planned. */
  txid: string | null;
  /** Hex; null while planned. */
  rawTransaction: string | null;
  networkFeeSats: bigint | null;
  broadcasts: number;
  reason: string;
  plannedAt: Date;
  confirmedAt: Date | null;
  outputs: PayoutOutput[];
}

export interface PayoutPlanTerms {
  /** Names this wish, such as `auto:2026-11-21T03`: the same key asked twice gives the same payout. */
  requestKey: string;
  /** Accounts without a threshold of their own are paid from this balance on. */
  thresholdSats: bigint;
  /** Outputs in one transaction at most. */
  outputsMax: number;
}

export interface SignedTransaction {
  /** Display order hex. */
  txid: string;
  /** The exact bytes to broadcast, hex. */
  rawTransaction: string;
  /** Inputs less outputs. */
  networkFeeSats: bigint;
}

/** Serialises planning: two planners must not pick the same balance. */
const PLAN_LOCK_KEY = 0x70617931;

export class PayoutStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Plans one payout to every address account whose confirmed balance reaches its threshold and which is
   * in no other planned payout; largest first. Reserves nothing yet. Null when nobody is due.
   */
  async planPayout(terms: PayoutPlanTerms): Promise<Payout | null> {
    const id = await this.#database.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${PLAN_LOCK_KEY})`;
      const [known] = await tx<
        { id: bigint }[]
      >`select id from payouts where request_key = ${terms.requestKey}`;
      if (known !== undefined) return known.id;
      const due = await tx<{ accountId: number; name: string; amountSats: bigint }[]>`
        select m.id as "accountId", m.name, b.balance_sats as "amountSats"
        from accounts m
        join ledger_accounts a on a.account_id = m.id and a.kind = 'miner_confirmed'
        join ledger_balances b on b.ledger_account_id = a.id
        where m.is_address and b.balance_sats > 0
          and b.balance_sats >= coalesce(m.payout_threshold_sats, ${terms.thresholdSats})
          and not exists (
            select from payout_outputs o join payouts p on p.id = o.payout_id
            where o.account_id = m.id and p.status = 'planned')
        order by b.balance_sats desc, m.id limit ${terms.outputsMax}`;
      if (due.length === 0) return null;
      const [row] = await tx<{ id: bigint }[]>`
        insert into payouts (request_key) values (${terms.requestKey}) returning id`;
      if (row === undefined) throw new Error('Postgres returned no payout id');
      const amounts = due.map(({ amountSats }) => amountSats.toString());
      await tx`
        insert into payout_outputs (payout_id, account_id, address, amount_sats, sent_sats)
        select ${row.id}, * from unnest(
          ${due.map(({ accountId }) => accountId)}::integer[], ${due.map(({ name }) => name)}::text[],
          ${amounts}::bigint[], ${amounts}::bigint[])`;
      return row.id;
    });
    return id === null ? null : await this.payout(id);
  }

  /**
   * Stores the signed transaction and reserves its amounts, in one commit. Only after this may it be
   * broadcast. 'already': this payout has a transaction; forget yours and broadcast that one. Throws when
   * a balance no longer covers its output; the payout is still planned then, and can be cancelled.
   */
  async storeSigned(id: bigint, signed: SignedTransaction): Promise<'stored' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status, outputs } = await lockPayout(tx, id);
      if (status !== 'planned') return 'already';
      await tx`
        update payouts set status = 'signed', txid = ${signed.txid}, raw_transaction = ${signed.rawTransaction},
          network_fee_sats = ${signed.networkFeeSats}, signed_at = now() where id = ${id}`;
      await postLedger(tx, {
        kind: 'payout_reserve',
        key: `payout-reserve:${id}`,
        payoutId: id,
        rule: 'amounts leave the balance when the transaction is signed and stored',
        inputs: { txid: signed.txid, networkFeeSats: signed.networkFeeSats },
        lines: reserveLines(outputs),
      });
      return 'stored';
    });
  }

  /** The bytes were handed to a node, once more. Allowed as often as needed until confirmed. */
  async markBroadcast(id: bigint): Promise<void> {
    await this.#database`
      update payouts set status = 'broadcast', broadcasts = broadcasts + 1, broadcast_at = now()
      where id = ${id} and status in ('signed', 'broadcast')`;
  }

  /** The transaction is deep enough in the chain: settled. */
  async markConfirmed(id: bigint): Promise<'confirmed' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status, outputs, networkFeeSats } = await lockPayout(tx, id);
      if (status === 'confirmed') return 'already';
      if (status !== 'broadcast' || networkFeeSats === null) {
        throw new Error(`payout ${id} is ${status}: only a broadcast payout can be confirmed`);
      }
      await tx`update payouts set status = 'confirmed', confirmed_at = now() where id = ${id}`;
      await postLedger(tx, {
        kind: 'payout_confirm',
        key: `payout-confirm:${id}`,
        payoutId: id,
        rule: 'the transaction is confirmed; the network fee beyond the payees’ part is the pool’s',
        inputs: { networkFeeSats },
        lines: confirmLines(outputs, networkFeeSats),
      });
      return 'confirmed';
    });
  }

  /**
   * Gives up a payout: a planned one at will; a signed or broadcast one only when its inputs are spent by
   * another confirmed transaction, for then its bytes can never be mined. The caller must have proof.
   */
  async failPayout(id: bigint, reason: string): Promise<'failed' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status, outputs } = await lockPayout(tx, id);
      if (status === 'failed') return 'already';
      if (status === 'confirmed') throw new Error(`payout ${id} is confirmed and cannot fail`);
      await tx`update payouts set status = 'failed', failed_at = now(), reason = ${reason} where id = ${id}`;
      if (status === 'planned') return 'failed';
      await postLedger(tx, {
        kind: 'payout_cancel',
        key: `payout-cancel:${id}`,
        payoutId: id,
        rule: 'the transaction can never confirm: amounts return to the balances',
        inputs: { reason },
        lines: cancelLines(outputs),
      });
      return 'failed';
    });
  }

  /** Payouts that are not settled, oldest first: what recovery goes through at start. */
  async openPayouts(): Promise<Payout[]> {
    return await this.#read(
      this.#database`p.status in ('planned', 'signed', 'broadcast')`,
      this.#database`asc`,
      1000,
    );
  }

  /** Newest first. */
  async latestPayouts(limit: number): Promise<Payout[]> {
    return await this.#read(this.#database`true`, this.#database`desc`, limit);
  }

  /** Throws when there is no such payout. */
  async payout(id: bigint): Promise<Payout> {
    const [payout] = await this.#read(this.#database`p.id = ${id}`, this.#database`asc`, 1);
    if (payout === undefined) throw new Error(`payout ${id} does not exist`);
    return payout;
  }

  async #read(where: Fragment, direction: Fragment, limit: number): Promise<Payout[]> {
    const payouts = await this.#database<Omit<Payout, 'outputs'>[]>`
      select p.id, p.status, p.txid, p.raw_transaction as "rawTransaction",
             p.network_fee_sats as "networkFeeSats", p.broadcasts, p.reason, p.planned_at as "plannedAt",
             p.confirmed_at as "confirmedAt"
      from payouts p where ${where} order by p.id ${direction} limit ${limit}`;
    const outputs = await this.#database<(PayoutOutput & { payoutId: bigint })[]>`
      select o.payout_id as "payoutId", o.account_id as "accountId", m.name as account, o.address,
             o.amount_sats as "amountSats", o.sent_sats as "sentSats"
      from payout_outputs o join accounts m on m.id = o.account_id
      where o.payout_id = any(${payouts.map(({ id }) => id.toString())}::bigint[])
      order by o.payout_id, o.account_id`;
    return payouts.map((payout) => ({
      ...payout,
      outputs: outputs.filter(({ payoutId }) => payoutId === payout.id),
    }));
  }
}

interface LockedPayout {
  status: PayoutStatus;
  networkFeeSats: bigint | null;
  outputs: PayoutShare[];
}

async function lockPayout(tx: Transaction, id: bigint): Promise<LockedPayout> {
  const [row] = await tx<{ status: PayoutStatus; networkFeeSats: bigint | null }[]>`
    select status, network_fee_sats as "networkFeeSats" from payouts where id = ${id} for update`;
  if (row === undefined) throw new Error(`payout ${id} does not exist`);
  const outputs = await tx<PayoutShare[]>`
    select account_id as "accountId", amount_sats as "amountSats", sent_sats as "sentSats"
    from payout_outputs where payout_id = ${id} order by account_id`;
  return { ...row, outputs };
}
