// Who is paid how much by Lightning: plans payments out of confirmed balances, for accounts that asked for it
// and one at a time each. Reserves nothing; the first invoice does (lightning-payments.ts).
import type { Database, Transaction } from './connection.js';
import { takePlanLock, usedToday } from './payout-plan.js';

export interface LightningFeeTerms {
  payer: 'pool' | 'miner';
  /** The most that routing may cost: this part of the amount, and at least this. */
  maxPpm: number;
  maxBaseSats: bigint;
}

export interface LightningPlanTerms {
  /** Names this run: the same key asked twice plans nothing twice. */
  requestKey: string;
  /** Accounts without a threshold of their own are paid from this balance on. */
  thresholdSats: bigint;
  /** One payment takes at most this from a balance. Set it to the limit above which payouts need approval. */
  amountMaxSats: bigint;
  /** Payouts of 24 h together, on the chain and by Lightning, take at most this. */
  dailyCapSats: bigint;
  fee: LightningFeeTerms;
  paymentsMax: number;
}

/** One payment on demand. */
export interface LightningWish {
  requestKey: string;
  accountId: number;
  /** user@domain, or one BOLT11 invoice. */
  destination: string;
  /** What arrives. */
  sentSats: bigint;
  fee: LightningFeeTerms;
}

/**
 * Plans a payment for each account that reached its threshold and whose schedule has come, largest balance
 * first. Reserves nothing yet. Returns how many.
 */
export async function planDueLightning(database: Database, terms: LightningPlanTerms): Promise<number> {
  return await database.begin((tx) => planDueLightningIn(tx, terms));
}

/** The same within `tx`, such as one that is rolled back to see the plan. */
export async function planDueLightningIn(tx: Transaction, terms: LightningPlanTerms): Promise<number> {
  await takePlanLock(tx);
  let leftSats = terms.dailyCapSats - (await usedToday(tx));
  const due = await tx<{ accountId: number; destination: string; balanceSats: bigint }[]>`
      select d.account_id as "accountId", d.destination, b.balance_sats as "balanceSats"
      from lightning_destinations d
      join accounts m on m.id = d.account_id
      join ledger_accounts a on a.account_id = m.id and a.kind = 'miner_confirmed'
      join ledger_balances b on b.ledger_account_id = a.id
      where b.balance_sats > 0 and b.balance_sats >= coalesce(m.payout_threshold_sats, ${terms.thresholdSats})
        and m.id not in (select account_id from lightning_fallen_back)
        and case coalesce(m.payout_schedule, 'each_run')
              when 'on_demand' then false
              when 'each_run' then true
              else not exists (select from lightning_payments p
                where p.account_id = m.id and p.status <> 'failed' and p.planned_at >=
                  date_trunc(case m.payout_schedule when 'daily' then 'day' else 'week' end, now()))
              end
        and not exists (select from lightning_payments p where p.account_id = m.id
          and (p.status in ('planned', 'invoiced', 'sent', 'retry')
            or p.request_key = ${terms.requestKey} || ':' || m.id))
        and not exists (select from payout_outputs o join payouts x on x.id = o.payout_id
          where o.account_id = m.id and x.status in ('planned', 'awaiting_approval'))
      order by b.balance_sats desc, m.id limit ${terms.paymentsMax}`;
  let planned = 0;
  for (const { accountId, destination, balanceSats } of due) {
    const tooMuch = balanceSats > terms.amountMaxSats;
    const amountSats = tooMuch ? terms.amountMaxSats : balanceSats;
    if (amountSats > leftSats) continue;
    const requestKey = `${terms.requestKey}:${accountId}`;
    if (!(await insertPayment(tx, { requestKey, accountId, destination, amountSats, fee: terms.fee }))) {
      continue;
    }
    leftSats -= amountSats;
    planned++;
  }
  return planned;
}

/**
 * Plans one payment on demand, to an address or to one invoice, and returns its id; the same key asked
 * twice gives the same. `sentSats` is what arrives. Throws when the account has an open payment.
 */
export async function planOneLightning(database: Database, wish: LightningWish): Promise<bigint> {
  return await database.begin(async (tx) => {
    await takePlanLock(tx);
    const [known] = await tx<{ id: bigint }[]>`
      select id from lightning_payments where request_key = ${wish.requestKey}`;
    if (known !== undefined) return known.id;
    const [open] = await tx<{ id: bigint }[]>`
      select id from lightning_payments
      where account_id = ${wish.accountId} and status in ('planned', 'invoiced', 'sent', 'retry')`;
    if (open !== undefined) {
      throw new Error(`Lightning payment ${open.id} of this account is still open. Wait until it is over`);
    }
    const maxFeeSats = feeLimit(wish.sentSats, wish.fee);
    const amountSats = wish.fee.payer === 'miner' ? wish.sentSats + maxFeeSats : wish.sentSats;
    const [row] = await tx<{ id: bigint }[]>`
      insert into lightning_payments
        (request_key, account_id, destination, amount_sats, sent_sats, max_fee_sats, fee_payer)
      values (${wish.requestKey}, ${wish.accountId}, ${wish.destination}, ${amountSats}, ${wish.sentSats},
              ${maxFeeSats}, ${wish.fee.payer})
      returning id`;
    if (row === undefined) throw new Error('Postgres returned no payment id');
    return row.id;
  });
}

function feeLimit(sats: bigint, { maxPpm, maxBaseSats }: LightningFeeTerms): bigint {
  const part = (sats * BigInt(maxPpm)) / 1_000_000n;
  return part > maxBaseSats ? part : maxBaseSats;
}

/** False when nothing would be left to send. */
async function insertPayment(
  tx: Transaction,
  wish: {
    requestKey: string;
    accountId: number;
    destination: string;
    amountSats: bigint;
    fee: LightningFeeTerms;
  },
): Promise<boolean> {
  const maxFeeSats = feeLimit(wish.amountSats, wish.fee);
  const sentSats = wish.fee.payer === 'miner' ? wish.amountSats - maxFeeSats : wish.amountSats;
  if (sentSats <= 0n) return false;
  await tx`
    insert into lightning_payments
      (request_key, account_id, destination, amount_sats, sent_sats, max_fee_sats, fee_payer)
    values (${wish.requestKey}, ${wish.accountId}, ${wish.destination}, ${wish.amountSats}, ${sentSats},
            ${maxFeeSats}, ${wish.fee.payer})`;
  return true;
}
