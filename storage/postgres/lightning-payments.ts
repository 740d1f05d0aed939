// Lightning payments in the books: planned -> invoiced -> sent -> paid, with retry and failed beside it
// (migrations/009_lightning.sql draws it). Each method is one commit and says whether it was the one that
// moved the payment; the runner (engine/payouts/lightning/lightning-runner.ts) acts only when it was.
import { cancelLines, reserveLines } from '../../engine/accounting/ledger-entries.js';
import type { Database, Transaction } from './connection.js';
import { postLedger } from './ledger-store.js';
import { type LightningTerms, lightningPaidLines, splitLightningFee } from './lightning-lines.js';
import {
  type LightningPlanTerms,
  type LightningWish,
  planDueLightning,
  planOneLightning,
} from './lightning-plan.js';

export type LightningStatus = 'planned' | 'invoiced' | 'sent' | 'retry' | 'paid' | 'failed';

export interface LightningPayment extends LightningTerms {
  id: bigint;
  requestKey: string;
  account: string;
  /** user@domain, or one BOLT11 invoice. */
  destination: string;
  maxFeeSats: bigint;
  status: LightningStatus;
  failures: number;
  /** Its next invoice may be fetched now. */
  due: boolean;
  onChainFallback: boolean;
  reason: string;
  preimage: string | null;
  feeMsat: bigint | null;
  /** The newest one; null before the first. */
  attempt: LightningAttempt | null;
}

export interface LightningAttempt {
  number: number;
  status: 'invoiced' | 'sent' | 'paid' | 'failed';
  bolt11: string;
  paymentHash: string;
  description: string | null;
  expiresAt: Date;
  nodeId: string | null;
  sends: number;
  triesUntil: Date | null;
}

/** What to do after a failure. */
export interface RetryTerms {
  /** With this many failures the payment is given up and the balance is left to the on-chain planner. */
  failuresMax: number;
  /** Before this, no new invoice is fetched. */
  nextTryAt: Date;
}

export class LightningPayments {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Pays this account by Lightning from now on; null: on the chain again. The caller checked the address. */
  async setDestination(accountId: number, destination: string | null): Promise<void> {
    if (destination === null) {
      await this.#database`delete from lightning_destinations where account_id = ${accountId}`;
      return;
    }
    await this.#database`
      insert into lightning_destinations (account_id, destination) values (${accountId}, ${destination})
      on conflict (account_id) do update set destination = excluded.destination, set_at = now()`;
  }

  /** As `planDueLightning`. */
  async planDue(terms: LightningPlanTerms): Promise<number> {
    return await planDueLightning(this.#database, terms);
  }

  /** As `planOneLightning`. */
  async planOne(wish: LightningWish): Promise<bigint> {
    return await planOneLightning(this.#database, wish);
  }

  /**
   * Stores an invoice as the next attempt and, with the first one, reserves the amount, in one commit.
   * 'stale': the payment is not waiting for an invoice. 'used': an attempt has this payment hash already.
   * 'balance_gone': the balance no longer covers it; the payment has failed, nothing was reserved.
   */
  async storeInvoice(
    id: bigint,
    invoice: { bolt11: string; paymentHash: string; description: string | null; expiresAt: Date },
  ): Promise<'stored' | 'stale' | 'used' | 'balance_gone'> {
    try {
      return await this.#database.begin(async (tx) => {
        const payment = await lockPayment(tx, id);
        if (payment.status !== 'planned' && payment.status !== 'retry') return 'stale';
        const [used] = await tx`
          select from lightning_attempts where payment_hash = ${invoice.paymentHash}`;
        if (used !== undefined) return 'used';
        await tx`
          insert into lightning_attempts (payment_id, number, bolt11, payment_hash, description, expires_at)
          values (${id}, ${payment.attempts + 1}, ${invoice.bolt11}, ${invoice.paymentHash},
                  ${invoice.description}, ${invoice.expiresAt})`;
        await tx`
          update lightning_payments set status = 'invoiced', reserved_at = coalesce(reserved_at, now())
          where id = ${id}`;
        if (!payment.reserved) {
          await postLedger(tx, {
            kind: 'payout_reserve',
            key: `lightning-reserve:${id}`,
            rule: 'the amount leaves the balance when the invoice to pay it by is stored',
            inputs: {
              lightningPayment: id,
              paymentHash: invoice.paymentHash,
              maxFeeSats: payment.maxFeeSats,
            },
            lines: reserveLines([payment]),
          });
        }
        return 'stored';
      });
    } catch (error) {
      const { code, constraint_name: constraint } = error as { code?: string; constraint_name?: string };
      // Another process stored it between our look and our insert.
      if (code === '23505' && constraint === 'lightning_attempts_payment_hash_key') return 'used';
      if (code !== '23514' || constraint !== 'balance_not_negative') throw error;
      await this.#database`
        update lightning_payments set status = 'failed', failed_at = now(),
          reason = 'the balance no longer covers it' where id = ${id} and status = 'planned'`;
      return 'balance_gone';
    }
  }

  /**
   * To be called before the node is asked to pay, each time: true when this attempt is the live one and was
   * marked; only then may it be asked. `triesUntil`: until then the node may look for routes.
   */
  async markSent(id: bigint, number: number, nodeId: string, triesUntil: Date): Promise<boolean> {
    return await this.#database.begin(async (tx) => {
      const { status } = await lockPayment(tx, id);
      if (status !== 'invoiced' && status !== 'sent') return false;
      const moved = await tx`
        update lightning_attempts set status = 'sent', node_id = coalesce(node_id, ${nodeId}),
          sends = sends + 1, sent_at = now(), tries_until = ${triesUntil}
        where payment_id = ${id} and number = ${number} and status in ('invoiced', 'sent')
          and coalesce(node_id, ${nodeId}) = ${nodeId}`;
      if (moved.count === 0) return false;
      if (status === 'invoiced') await tx`update lightning_payments set status = 'sent' where id = ${id}`;
      return true;
    });
  }

  /** The invoice is paid, as `preimage` (32 bytes, hex; checked by the caller) proves: settled. */
  async markPaid(
    id: bigint,
    number: number,
    paid: { preimage: string; feeMsat: bigint },
  ): Promise<'paid' | 'stale'> {
    return await this.#database.begin(async (tx) => {
      const payment = await lockPayment(tx, id);
      if (payment.status !== 'sent' || !(await endAttempt(tx, id, number, 'paid', ''))) return 'stale';
      const [carry] = await tx<{ msat: number }[]>`select msat from lightning_fee_carry for update`;
      const carryMsat = BigInt(carry?.msat ?? 0);
      const fee = splitLightningFee(paid.feeMsat, carryMsat, payment);
      await tx`update lightning_fee_carry set msat = ${Number(fee.carryMsat)}`;
      await tx`
        update lightning_payments set status = 'paid', paid_at = now(), preimage = ${paid.preimage},
          fee_msat = ${paid.feeMsat}, reason = '' where id = ${id}`;
      await postLedger(tx, {
        kind: 'payout_confirm',
        key: `lightning-paid:${id}`,
        rule: 'the payee gave the preimage; routing fees are booked in whole satoshis, fractions are carried',
        inputs: {
          lightningPayment: id,
          preimage: paid.preimage,
          feeMsat: paid.feeMsat,
          carryBeforeMsat: carryMsat,
          carryAfterMsat: fee.carryMsat,
          feePayer: payment.feePayer,
        },
        lines: lightningPaidLines(payment, fee),
      });
      return 'paid';
    });
  }

  /**
   * Attempt `number` can never be paid any more: the node said so, or it was never asked and the invoice is
   * over. The caller must have that proof. 'fallen_back': that was the last one, the amount is in the balance.
   */
  async attemptFailed(
    id: bigint,
    number: number,
    reason: string,
    retry: RetryTerms,
  ): Promise<'retry' | 'fallen_back' | 'stale'> {
    return await this.#database.begin(async (tx) => {
      const payment = await lockPayment(tx, id);
      if (payment.status !== 'invoiced' && payment.status !== 'sent') return 'stale';
      if (!(await endAttempt(tx, id, number, 'failed', reason))) return 'stale';
      return await failOnce(tx, payment, reason, retry);
    });
  }

  /** No invoice was to be had. As `attemptFailed`. */
  async invoiceFailed(
    id: bigint,
    reason: string,
    retry: RetryTerms,
  ): Promise<'retry' | 'fallen_back' | 'stale'> {
    return await this.#database.begin(async (tx) => {
      const payment = await lockPayment(tx, id);
      if (payment.status !== 'planned' && payment.status !== 'retry') return 'stale';
      return await failOnce(tx, payment, reason, retry);
    });
  }

  /** Payments that are not settled, oldest first. `now` decides which are due. */
  async openPayments(now: Date, limit: number): Promise<LightningPayment[]> {
    return await this.#read(
      this.#database`p.status in ('planned', 'invoiced', 'sent', 'retry')`,
      now,
      this.#database`asc`,
      limit,
    );
  }

  /** Newest first. */
  async latestPayments(limit: number): Promise<LightningPayment[]> {
    return await this.#read(this.#database`true`, new Date(0), this.#database`desc`, limit);
  }

  /** Throws when there is no such payment. */
  async payment(id: bigint, now = new Date(0)): Promise<LightningPayment> {
    const [payment] = await this.#read(this.#database`p.id = ${id}`, now, this.#database`asc`, 1);
    if (payment === undefined) throw new Error(`Lightning payment ${id} does not exist`);
    return payment;
  }

  async #read(
    where: ReturnType<Database>,
    now: Date,
    direction: ReturnType<Database>,
    limit: number,
  ): Promise<LightningPayment[]> {
    const rows = await this.#database<(Omit<LightningPayment, 'attempt'> & { attempt: null })[]>`
      select p.id, p.request_key as "requestKey", p.account_id as "accountId", m.name as account, p.destination,
             p.amount_sats as "amountSats", p.sent_sats as "sentSats", p.max_fee_sats as "maxFeeSats",
             p.fee_payer as "feePayer", p.status, p.failures, p.next_try_at <= ${now} as due,
             p.on_chain_fallback as "onChainFallback", p.reason, p.preimage, p.fee_msat as "feeMsat"
      from lightning_payments p join accounts m on m.id = p.account_id
      where ${where} order by p.id ${direction} limit ${limit}`;
    const attempts = await this.#database<(LightningAttempt & { paymentId: bigint })[]>`
      select distinct on (payment_id) payment_id as "paymentId", number, status, bolt11,
             payment_hash as "paymentHash", description, expires_at as "expiresAt", node_id as "nodeId", sends,
             tries_until as "triesUntil"
      from lightning_attempts where payment_id = any(${rows.map(({ id }) => id.toString())}::bigint[])
      order by payment_id, number desc`;
    const byPayment = new Map(attempts.map(({ paymentId, ...attempt }) => [paymentId, attempt]));
    return rows.map((row) => ({ ...row, attempt: byPayment.get(row.id) ?? null }));
  }
}

interface LockedPayment extends LightningTerms {
  id: bigint;
  status: LightningStatus;
  maxFeeSats: bigint;
  failures: number;
  reserved: boolean;
  attempts: number;
}

async function lockPayment(tx: Transaction, id: bigint): Promise<LockedPayment> {
  const [row] = await tx<LockedPayment[]>`
    select id, status, account_id as "accountId", amount_sats as "amountSats", sent_sats as "sentSats",
           max_fee_sats as "maxFeeSats", fee_payer as "feePayer", failures, reserved_at is not null as reserved,
           (select coalesce(max(number), 0) from lightning_attempts where payment_id = id) as attempts
    from lightning_payments where id = ${id} for update`;
  if (row === undefined) throw new Error(`Lightning payment ${id} does not exist`);
  return row;
}

async function endAttempt(
  tx: Transaction,
  id: bigint,
  number: number,
  status: 'paid' | 'failed',
  reason: string,
): Promise<boolean> {
  const ended = await tx`
    update lightning_attempts set status = ${status}, reason = ${reason}, ended_at = now()
    where payment_id = ${id} and number = ${number} and status in ('invoiced', 'sent')`;
  return ended.count === 1;
}

async function failOnce(
  tx: Transaction,
  payment: LockedPayment,
  reason: string,
  { failuresMax, nextTryAt }: RetryTerms,
): Promise<'retry' | 'fallen_back'> {
  const failures = payment.failures + 1;
  if (failures < failuresMax) {
    await tx`
      update lightning_payments set failures = ${failures}, reason = ${reason}, next_try_at = ${nextTryAt},
        status = case status when 'planned' then 'planned' else 'retry' end where id = ${payment.id}`;
    return 'retry';
  }
  await tx`
    update lightning_payments set status = 'failed', failures = ${failures}, reason = ${reason},
      failed_at = now(), on_chain_fallback = true where id = ${payment.id}`;
  if (payment.reserved) {
    await postLedger(tx, {
      kind: 'payout_cancel',
      key: `lightning-cancel:${payment.id}`,
      rule: 'no invoice of it can be paid any more: the amount returns to the balance, to be paid on the chain',
      inputs: { lightningPayment: payment.id, failures, reason },
      lines: cancelLines([payment]),
    });
  }
  return 'fallen_back';
}
