// Who is paid next: the plan of one payout transaction, by schedule or on demand. A plan reserves nothing; it
// only keeps the next plan from counting on the same satoshis. All plans take turns (one advisory lock).
import { splitOverTargets } from '../../engine/accounting/payout-outputs.js';
import type { Database, Transaction } from './connection.js';
import { currentTargets, type PayoutTarget } from './payout-addresses.js';

export interface PayoutPlanTerms {
  /** Names this wish, such as `auto:2026-11-21T03`: the same key asked twice gives the same payout. */
  requestKey: string;
  /** Accounts without a threshold of their own are paid from this balance on. */
  thresholdSats: bigint;
  /** Outputs in one transaction at most. */
  outputsMax: number;
  /** Smallest payment ever made; less is carried forward. Default 1. */
  minimumSats?: bigint;
  /** Weight units of all outputs together at most; see `weightOf`. Default: no limit. */
  weightMax?: number;
  /** Weight units of an output to this address. */
  weightOf?: (address: string) => number;
  limits?: PayoutLimits;
}

/** What protects the hot wallet from whoever got hold of the pool. */
export interface PayoutLimits {
  /** Reserved within 24 hours at most; null: no cap. */
  dailyCapSats: bigint | null;
  /** A payout of more than this needs the approval of two people; null: none does. */
  approvalAboveSats: bigint | null;
}

export type PayoutRequestAnswer =
  | { kind: 'planned'; payoutId: bigint; amountSats: bigint }
  /** `message`: what is wrong and what to do about it. */
  | { kind: 'refused'; message: string };

/** Serialises planning and reservations: two of them must not count on the same balance or the same cap. */
const PLAN_LOCK_KEY = 0x70617931;
const APPROVERS = 2;
const DUE_PAGE = 1000;
const NO_LIMITS: PayoutLimits = { dailyCapSats: null, approvalAboveSats: null };

export async function takePlanLock(tx: Transaction): Promise<void> {
  await tx`select pg_advisory_xact_lock(${PLAN_LOCK_KEY})`;
}

/**
 * Plans one payout to accounts that reached their threshold, whose schedule has come and of which nothing is
 * planned yet, and whom Lightning does not pay; those that waited longest since their last payout first. Null when
 * nobody is due.
 */
export async function planScheduled(database: Database, terms: PayoutPlanTerms): Promise<bigint | null> {
  return await database.begin((tx) => planScheduledIn(tx, terms));
}

/** The same within `tx`, such as one that is rolled back to see the plan. */
export async function planScheduledIn(tx: Transaction, terms: PayoutPlanTerms): Promise<bigint | null> {
  await takePlanLock(tx);
  const known = await payoutOfKey(tx, terms.requestKey);
  if (known !== null) return known;
  const outputs = await dueOutputs(tx, terms);
  if (outputs.length === 0) return null;
  return await insertPlan(tx, terms.requestKey, outputs, terms.limits ?? NO_LIMITS);
}

/** As many outputs as one transaction and the daily cap take. */
async function dueOutputs(tx: Transaction, terms: PayoutPlanTerms): Promise<PlannedOutput[]> {
  const minimum = terms.minimumSats ?? 1n;
  let left = await capLeft(tx, terms.limits?.dailyCapSats ?? null);
  const outputs: PlannedOutput[] = [];
  let weight = 0;
  // Page by page: accounts that cannot be paid now must not stand before those that can.
  for (let from = 0; ; from += DUE_PAGE) {
    const due = await dueAccounts(tx, terms, from);
    const ids = due.map(({ accountId }) => accountId);
    const targets = await payableTargets(tx, ids);
    for (const { accountId, balanceSats } of due) {
      const of = targets.get(accountId);
      if (of === undefined) continue;
      const amount = left !== null && left < balanceSats ? left : balanceSats;
      if (amount < minimum) return outputs;
      const parts = splitOverTargets(amount, of);
      weight += parts.reduce((sum, { address }) => sum + (terms.weightOf?.(address) ?? 0), 0);
      const full = outputs.length + parts.length > terms.outputsMax || weight > (terms.weightMax ?? Infinity);
      if (full && outputs.length > 0) return outputs;
      outputs.push(...parts.map((part, position) => ({ accountId, position, ...part })));
      if (left !== null) left -= amount;
    }
    if (due.length < DUE_PAGE) return outputs;
  }
}

/** Accounts that should be paid now, a page of them; those that waited longest since their last payout first. */
async function dueAccounts(
  tx: Transaction,
  { thresholdSats, minimumSats }: PayoutPlanTerms,
  from: number,
): Promise<{ accountId: number; balanceSats: bigint }[]> {
  return await tx<{ accountId: number; balanceSats: bigint }[]>`
    select m.id as "accountId", b.balance_sats as "balanceSats"
    from accounts m
    join ledger_accounts a on a.account_id = m.id and a.kind = 'miner_confirmed'
    join ledger_balances b on b.ledger_account_id = a.id
    left join lateral (
      select max(o.payout_id) as payout_id,
             max(p.planned_at) filter (where p.request_key like 'auto:%') as at
      from payout_outputs o join payouts p on p.id = o.payout_id
      where o.account_id = m.id and p.status <> 'failed') last on true
    where b.balance_sats >= greatest(coalesce(m.payout_threshold_sats, ${thresholdSats}), ${minimumSats ?? 1n})
      and case coalesce(m.payout_schedule, 'each_run')
            when 'on_demand' then false
            when 'daily' then last.at is null or last.at < date_trunc('day', now())
            when 'weekly' then last.at is null or last.at < date_trunc('week', now())
            else true end
      and not exists (
        select from payout_outputs o join payouts p on p.id = o.payout_id
        where o.account_id = m.id and p.status in ('planned', 'awaiting_approval'))
      and m.id not in (select account_id from lightning_held)
    order by last.payout_id nulls first, b.balance_sats desc, m.id limit ${DUE_PAGE} offset ${from}`;
}

export interface PayoutRequest {
  /** Name of the account. */
  account: string;
  /** Null: all that it has. */
  amountSats: bigint | null;
  /** The caller's name for this wish: asked twice, it is one payout. 1 to 100 characters. */
  key: string;
  minimumSats: bigint;
  limits: PayoutLimits;
}

/** Plans a payout of one account at its own wish. Never more than its balance less what is planned already. */
export async function planRequested(
  database: Database,
  request: PayoutRequest,
): Promise<PayoutRequestAnswer> {
  if (request.key.length < 1 || request.key.length > 100) {
    return refused('The idempotency key must have 1 to 100 characters');
  }
  return await database.begin(async (tx) => {
    await takePlanLock(tx);
    const [account] = await tx<{ id: number; balance: bigint; planned: bigint }[]>`
      select m.id,
        coalesce((select b.balance_sats from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
          where a.account_id = m.id and a.kind = 'miner_confirmed'), 0)::bigint as balance,
        coalesce((select sum(o.amount_sats) from payout_outputs o join payouts p on p.id = o.payout_id
          where o.account_id = m.id and p.status in ('planned', 'awaiting_approval')), 0)::bigint as planned
      from accounts m where m.name = ${request.account}`;
    if (account === undefined) return refused(`No account "${request.account}" ever mined here`);
    const requestKey = `demand:${account.id}:${request.key}`;
    const known = await payoutOfKey(tx, requestKey);
    if (known !== null) {
      const [row] = await tx<{ sats: bigint; status: string; reason: string }[]>`
        select sum(o.amount_sats)::bigint as sats, p.status, p.reason
        from payouts p join payout_outputs o on o.payout_id = p.id where p.id = ${known} group by p.id`;
      if (row === undefined || row.status === 'failed') {
        return refused(`Payout ${known} of this key failed: ${row?.reason}. Ask again with another key`);
      }
      return { kind: 'planned', payoutId: known, amountSats: row.sats };
    }
    const [lightning] = await tx<{ id: bigint }[]>`
      select id from lightning_payments
      where account_id = ${account.id} and status in ('planned', 'invoiced', 'sent', 'retry')`;
    if (lightning !== undefined) {
      return refused(
        `Lightning payment ${lightning.id} of this account is still open. Ask again when it is over`,
      );
    }
    const free = account.balance - account.planned;
    const amount = request.amountSats ?? free;
    if (amount < request.minimumSats) {
      return refused(
        `${amount} sats are less than the smallest payout, ${request.minimumSats} sats. Wait for more`,
      );
    }
    if (amount > free)
      return refused(`${amount} sats are more than the ${free} sats that are free. Ask for less`);
    const left = await capLeft(tx, request.limits.dailyCapSats);
    if (left !== null && amount > left) {
      return refused(
        `The pool pays no more than ${left} sats until its daily cap has room. Ask for less, or later`,
      );
    }
    const targets = (await payableTargets(tx, [account.id])).get(account.id);
    if (targets === undefined) {
      return refused(`Account "${request.account}" has no address that can be paid. Give it a valid one`);
    }
    const outputs = splitOverTargets(amount, targets).map((part, position) => ({
      accountId: account.id,
      position,
      ...part,
    }));
    return {
      kind: 'planned',
      payoutId: await insertPlan(tx, requestKey, outputs, request.limits),
      amountSats: amount,
    };
  });
}

/**
 * Satoshis that may still be planned today: the cap less what was reserved in 24 hours or is planned, on the chain and
 * by Lightning.
 */
async function capLeft(tx: Transaction, capSats: bigint | null): Promise<bigint | null> {
  if (capSats === null) return null;
  return capSats - (await usedToday(tx));
}

/** Satoshis that count to the daily cap now. */
export async function usedToday(tx: Transaction): Promise<bigint> {
  const [row] = await tx<{ used: bigint }[]>`
    select (
      (select coalesce(sum(o.amount_sats), 0) from payouts p join payout_outputs o on o.payout_id = p.id
       where p.status in ('planned', 'awaiting_approval')
          or (p.reserved_at > now() - interval '24 hours' and p.status <> 'failed'))
      + (select coalesce(sum(amount_sats), 0) from lightning_payments
         where planned_at > now() - interval '24 hours' and status <> 'failed'))::bigint as used`;
  return row?.used ?? 0n;
}

/** Accounts with an address that is not in quarantine. */
export async function payableTargets(
  tx: Transaction,
  accountIds: readonly number[],
): Promise<Map<number, PayoutTarget[]>> {
  if (accountIds.length === 0) return new Map();
  const targets = await currentTargets(tx, accountIds);
  const bad = await tx<{ accountId: number; address: string }[]>`
    select account_id as "accountId", address from payout_quarantine
    where lifted_at is null and account_id = any(${[...accountIds]}::integer[])`;
  for (const { accountId, address } of bad) {
    if (targets.get(accountId)?.some((target) => target.address === address)) targets.delete(accountId);
  }
  return targets;
}

interface PlannedOutput {
  accountId: number;
  position: number;
  address: string;
  sats: bigint;
}

async function insertPlan(
  tx: Transaction,
  requestKey: string,
  outputs: readonly PlannedOutput[],
  { approvalAboveSats }: PayoutLimits,
): Promise<bigint> {
  const total = outputs.reduce((sum, { sats }) => sum + sats, 0n);
  const approvals = approvalAboveSats !== null && total > approvalAboveSats ? APPROVERS : 0;
  const [row] = await tx<{ id: bigint }[]>`
    insert into payouts (request_key, status, approvals_needed)
    values (${requestKey}, ${approvals > 0 ? 'awaiting_approval' : 'planned'}, ${approvals}) returning id`;
  if (row === undefined) throw new Error('Postgres returned no payout id');
  const amounts = outputs.map(({ sats }) => sats.toString());
  await tx`
    insert into payout_outputs (payout_id, account_id, position, address, amount_sats, sent_sats)
    select ${row.id}, * from unnest(
      ${outputs.map(({ accountId }) => accountId)}::integer[],
      ${outputs.map(({ position }) => position)}::integer[],
      ${outputs.map(({ address }) => address)}::text[], ${amounts}::bigint[], ${amounts}::bigint[])`;
  return row.id;
}

async function payoutOfKey(tx: Transaction, requestKey: string): Promise<bigint | null> {
  const [known] = await tx<{ id: bigint }[]>`select id from payouts where request_key = ${requestKey}`;
  return known?.id ?? null;
}

function refused(message: string): PayoutRequestAnswer {
  return { kind: 'refused', message };
}
