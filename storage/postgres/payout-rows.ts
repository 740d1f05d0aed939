// Payouts as they are read: one row with its outputs, approvals and every version of its transaction.
import type { PayoutShare } from '../../engine/accounting/ledger-entries.js';
import type { Database, Fragment, Transaction } from './connection.js';

export type PayoutStatus =
  | 'planned'
  | 'awaiting_approval'
  | 'awaiting_signatures'
  | 'signed'
  | 'broadcast'
  | 'confirmed'
  | 'failed';

export interface PayoutOutput extends PayoutShare {
  account: string;
  address: string;
  /** 0, 1, ... among the outputs of one account. */
  position: number;
}

/** One signed transaction of a payout; version 0 is the first, each later one replaces the one before. */
export interface PayoutVersion {
  version: number;
  txid: string;
  /** Hex. */
  rawTransaction: string;
  networkFeeSats: bigint;
  /** Height of the best block when it was stored; null for old rows. */
  tipHeight: number | null;
}

export interface Payout {
  id: bigint;
  requestKey: string;
  status: PayoutStatus;
  /** Of the newest version, or of the one that confirmed; null until signed. */
  txid: string | null;
  /** Hex; null until signed. */
  rawTransaction: string | null;
  networkFeeSats: bigint | null;
  /** Base64; null unless signatures are or were collected. */
  psbt: string | null;
  /** Signatures that each input lacked when the PSBT was stored. */
  signaturesNeeded: number | null;
  broadcasts: number;
  approvalsNeeded: number;
  /** Names of those who agreed, by time. */
  approvedBy: string[];
  reason: string;
  plannedAt: Date;
  confirmedAt: Date | null;
  /** By account, then position. */
  outputs: PayoutOutput[];
  /** Oldest first; empty until signed. */
  versions: PayoutVersion[];
}

/** Reads the payouts that `where` (on `p`) selects. */
export async function readPayouts(
  database: Database,
  where: Fragment,
  direction: Fragment,
  limit: number,
): Promise<Payout[]> {
  const payouts = await database<Omit<Payout, 'outputs' | 'versions'>[]>`
    select p.id, p.request_key as "requestKey", p.status, p.txid, p.raw_transaction as "rawTransaction",
           p.network_fee_sats as "networkFeeSats", p.psbt, p.signatures_needed as "signaturesNeeded",
           p.broadcasts, p.approvals_needed as "approvalsNeeded", p.reason, p.planned_at as "plannedAt",
           p.confirmed_at as "confirmedAt",
           array(select a.actor from payout_approvals a where a.payout_id = p.id
                 order by a.approved_at, a.actor) as "approvedBy"
    from payouts p where ${where} order by p.id ${direction} limit ${limit}`;
  if (payouts.length === 0) return [];
  const ids = payouts.map(({ id }) => id.toString());
  const outputs = await database<(PayoutOutput & { payoutId: bigint })[]>`
    select o.payout_id as "payoutId", o.account_id as "accountId", m.name as account, o.address, o.position,
           o.amount_sats as "amountSats", o.sent_sats as "sentSats"
    from payout_outputs o join accounts m on m.id = o.account_id
    where o.payout_id = any(${ids}::bigint[]) order by o.payout_id, o.account_id, o.position`;
  const versions = await database<(PayoutVersion & { payoutId: bigint })[]>`
    select payout_id as "payoutId", version, txid, raw_transaction as "rawTransaction",
           network_fee_sats as "networkFeeSats", tip_height as "tipHeight"
    from payout_transactions where payout_id = any(${ids}::bigint[]) order by payout_id, version`;
  const outputsOf = byPayout(outputs);
  const versionsOf = byPayout(versions);
  return payouts.map((payout) => ({
    ...payout,
    outputs: outputsOf.get(payout.id) ?? [],
    versions: versionsOf.get(payout.id) ?? [],
  }));
}

export interface LockedPayout {
  status: PayoutStatus;
  outputs: PayoutShare[];
}

/** Locks one payout until the end of the transaction. Throws when there is no such payout. */
export async function lockPayout(tx: Transaction, id: bigint): Promise<LockedPayout> {
  const [row] = await tx<{ status: PayoutStatus }[]>`select status from payouts where id = ${id} for update`;
  if (row === undefined) throw new Error(`payout ${id} does not exist`);
  const outputs = await tx<PayoutShare[]>`
    select account_id as "accountId", amount_sats as "amountSats", sent_sats as "sentSats"
    from payout_outputs where payout_id = ${id} order by account_id, position`;
  return { status: row.status, outputs };
}

function byPayout<Row extends { payoutId: bigint }>(
  rows: readonly Row[],
): Map<bigint, Omit<Row, 'payoutId'>[]> {
  const grouped = new Map<bigint, Omit<Row, 'payoutId'>[]>();
  for (const { payoutId, ...row } of rows) {
    const list = grouped.get(payoutId);
    if (list === undefined) grouped.set(payoutId, [row]);
    else list.push(row);
  }
  return grouped;
}
