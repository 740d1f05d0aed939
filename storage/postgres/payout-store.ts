// Payouts: planned -> (awaiting_approval) -> (awaiting_signatures) -> signed -> broadcast -> confirmed | failed.
// The transaction, or the PSBT that is still to be signed, and the ledger reservation are one commit, before
// anyone has seen the bytes; recovery broadcasts stored bytes again (reliability rule: never build twice for one
// reservation). A replacement with a higher fee is a further version: any of them may confirm.
import { cancelLines, confirmLines, reserveLines } from '../../engine/accounting/ledger-entries.js';
import type { Database, Transaction } from './connection.js';
import { postLedger } from './ledger-store.js';
import { PayoutApprovals } from './payout-approvals.js';
import { claimCoins } from './payout-coins.js';
import {
  type PayoutPlanTerms,
  type PayoutRequest,
  type PayoutRequestAnswer,
  planRequested,
  planScheduled,
  takePlanLock,
} from './payout-plan.js';
import { lockPayout, type Payout, readPayouts } from './payout-rows.js';

export type { PayoutPlanTerms } from './payout-plan.js';
export type { Payout, PayoutOutput, PayoutStatus, PayoutVersion } from './payout-rows.js';

export interface SignedTransaction {
  /** Display order hex. */
  txid: string;
  /** The exact bytes to broadcast, hex. */
  rawTransaction: string;
  /** Inputs less outputs. */
  networkFeeSats: bigint;
}

/** What a rail made of a plan: complete, or still to be signed by others. */
export type BuiltPayout =
  | { state: 'signed'; transaction: SignedTransaction }
  | { state: 'unsigned'; psbt: string; networkFeeSats: bigint; signaturesNeeded: number };

export interface ReservationTerms {
  rail: string;
  /** What it spends: `txid:index`, txid in display order. */
  coins: readonly string[];
  /** What each output sends, in the order of `Payout.outputs`; null: what was planned. */
  sentSats: readonly bigint[] | null;
  tipHeight: number | null;
  /** Reserved within 24 hours at most; null: no cap. */
  dailyCapSats: bigint | null;
}

/** The daily cap has no room for this payout now: it waits, it has not failed. */
export class DailyCapError extends Error {
  override readonly name = 'DailyCapError';
}

const NODE_WALLET_TERMS: ReservationTerms = {
  rail: 'node wallet',
  coins: [],
  sentSats: null,
  tipHeight: null,
  dailyCapSats: null,
};
const OPEN_MAX = 1000;

export class PayoutStore {
  /** Approvals, collected signatures, quarantine. */
  readonly people: PayoutApprovals;
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    this.people = new PayoutApprovals(database);
  }

  /** Plans one payout to all who are due; see `planScheduled`. Reserves nothing yet. Null when nobody is. */
  async planPayout(terms: PayoutPlanTerms): Promise<Payout | null> {
    const id = await planScheduled(this.#database, terms);
    return id === null ? null : await this.payout(id);
  }

  /** Plans a payout of one account at its own wish. The same key asked twice gives the same payout. */
  async requestPayout(request: PayoutRequest): Promise<PayoutRequestAnswer> {
    return await planRequested(this.#database, request);
  }

  /** Stores a signed transaction with the reservation; see `storeBuilt`. */
  async storeSigned(id: bigint, signed: SignedTransaction): Promise<'stored' | 'already'> {
    return await this.storeBuilt(id, { state: 'signed', transaction: signed }, NODE_WALLET_TERMS);
  }

  /**
   * Stores what the rail built and reserves its amounts, in one commit. Only after this may anyone see it.
   * 'already': this payout has a transaction or PSBT; forget yours and go on with that one. Throws when a balance
   * no longer covers its output, approvals are missing, the daily cap is reached (DailyCapError) or another payout
   * spends a coin of it (CoinsTakenError); nothing is reserved then.
   */
  async storeBuilt(id: bigint, built: BuiltPayout, terms: ReservationTerms): Promise<'stored' | 'already'> {
    return await this.#database.begin(async (tx) => {
      await takePlanLock(tx);
      const before = await lockPayout(tx, id);
      if (before.status !== 'planned' && before.status !== 'awaiting_approval') return 'already';
      if (terms.dailyCapSats !== null) await checkDailyCap(tx, before.outputs, terms.dailyCapSats);
      if (terms.sentSats !== null) await storeSent(tx, id, terms.sentSats, before.outputs.length);
      const { outputs } = await lockPayout(tx, id);
      await claimCoins(tx, { payoutId: id }, terms.coins);
      if (built.state === 'signed') {
        await insertVersion(tx, id, built.transaction, null, terms.tipHeight);
        const { txid, rawTransaction, networkFeeSats } = built.transaction;
        await tx`
          update payouts set status = 'signed', rail = ${terms.rail}, txid = ${txid},
            raw_transaction = ${rawTransaction}, network_fee_sats = ${networkFeeSats},
            reserved_at = now(), signed_at = now() where id = ${id}`;
      } else {
        await tx`
          update payouts set status = 'awaiting_signatures', rail = ${terms.rail}, psbt = ${built.psbt},
            signatures_needed = ${built.signaturesNeeded}, reserved_at = now() where id = ${id}`;
      }
      await postLedger(tx, {
        kind: 'payout_reserve',
        key: `payout-reserve:${id}`,
        payoutId: id,
        rule: 'amounts leave the balance when the transaction, signed or to be signed, is stored',
        inputs:
          built.state === 'signed'
            ? { txid: built.transaction.txid, networkFeeSats: built.transaction.networkFeeSats }
            : { signaturesNeeded: built.signaturesNeeded, networkFeeSats: built.networkFeeSats },
        lines: reserveLines(outputs),
      });
      return 'stored';
    });
  }

  /** The collected signatures suffice: the transaction of a payout that awaits them. Its coins are reserved. */
  async storeCollected(
    id: bigint,
    signed: SignedTransaction,
    tipHeight: number | null,
  ): Promise<'stored' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status } = await lockPayout(tx, id);
      if (status !== 'awaiting_signatures') return 'already';
      await insertVersion(tx, id, signed, null, tipHeight);
      await tx`
        update payouts set status = 'signed', txid = ${signed.txid}, raw_transaction = ${signed.rawTransaction},
          network_fee_sats = ${signed.networkFeeSats}, signed_at = now() where id = ${id}`;
      return 'stored';
    });
  }

  /**
   * Stores a replacement of the newest version, `replaces`. 'already': another one was stored meanwhile, or the
   * payout is settled; forget yours.
   */
  async storeReplacement(
    id: bigint,
    replaces: string,
    signed: SignedTransaction,
    terms: Pick<ReservationTerms, 'coins' | 'tipHeight'>,
  ): Promise<'stored' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status } = await lockPayout(tx, id);
      const [newest] = await tx<{ txid: string }[]>`
        select txid from payout_transactions where payout_id = ${id} order by version desc limit 1`;
      if (status !== 'broadcast' || newest?.txid !== replaces) return 'already';
      await claimCoins(tx, { payoutId: id }, terms.coins);
      await insertVersion(tx, id, signed, replaces, terms.tipHeight);
      await tx`
        update payouts set txid = ${signed.txid}, raw_transaction = ${signed.rawTransaction},
          network_fee_sats = ${signed.networkFeeSats} where id = ${id}`;
      return 'stored';
    });
  }

  /** The bytes were handed to a node, once more. Allowed as often as needed until confirmed. */
  async markBroadcast(id: bigint): Promise<void> {
    await this.#database`
      update payouts set status = 'broadcast', broadcasts = broadcasts + 1, broadcast_at = now()
      where id = ${id} and status in ('signed', 'broadcast')`;
  }

  /** A version of the transaction is deep enough in the chain: settled, with the fee of that one. */
  async markConfirmed(id: bigint, txid?: string): Promise<'confirmed' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status, outputs } = await lockPayout(tx, id);
      if (status === 'confirmed') return 'already';
      if (status !== 'broadcast') {
        throw new Error(`payout ${id} is ${status}: only a broadcast payout can be confirmed`);
      }
      const [version] = await tx<{ txid: string; networkFeeSats: bigint; replacements: bigint }[]>`
        select t.txid, t.network_fee_sats as "networkFeeSats",
               (select max(version) from payout_transactions where payout_id = ${id})::bigint as replacements
        from payout_transactions t
        where t.payout_id = ${id} and ${txid === undefined ? tx`true` : tx`t.txid = ${txid}`}
        order by t.version desc limit 1`;
      if (version === undefined) throw new Error(`payout ${id} has no transaction ${txid ?? ''}`);
      await tx`
        update payouts set status = 'confirmed', confirmed_at = now(), txid = t.txid,
          raw_transaction = t.raw_transaction, network_fee_sats = t.network_fee_sats
        from payout_transactions t where t.txid = ${version.txid} and payouts.id = ${id}`;
      await postLedger(tx, {
        kind: 'payout_confirm',
        key: `payout-confirm:${id}`,
        payoutId: id,
        rule: 'the transaction is confirmed; the network fee beyond the payees’ part is the pool’s',
        inputs: { ...version },
        lines: confirmLines(outputs, version.networkFeeSats),
      });
      return 'confirmed';
    });
  }

  /**
   * Gives up a payout: one without reservation at will; any other only when its inputs are spent by another
   * confirmed transaction, for then its bytes can never be mined. The caller must have proof.
   */
  async failPayout(id: bigint, reason: string): Promise<'failed' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const { status, outputs } = await lockPayout(tx, id);
      if (status === 'failed') return 'already';
      if (status === 'confirmed') throw new Error(`payout ${id} is confirmed and cannot fail`);
      await tx`update payouts set status = 'failed', failed_at = now(), reason = ${reason} where id = ${id}`;
      if (status === 'planned' || status === 'awaiting_approval') return 'failed';
      await postLedger(tx, {
        kind: 'payout_cancel',
        key: `payout-cancel:${id}`,
        payoutId: id,
        rule: 'the transaction can never confirm: amounts return to the balances',
        inputs: { reason },
        lines: cancelLines(outputs),
      });
      await tx`update payout_coins set released = true where payout_id = ${id}`;
      return 'failed';
    });
  }

  /** Payouts that are not settled, oldest first: what recovery goes through at start. */
  async openPayouts(): Promise<Payout[]> {
    const open = this.#database`p.status in
      ('planned', 'awaiting_approval', 'awaiting_signatures', 'signed', 'broadcast')`;
    return await readPayouts(this.#database, open, this.#database`asc`, OPEN_MAX);
  }

  /** Settled within the last two weeks, newest first: a reorg may have taken them out of the chain again. */
  async settledLately(): Promise<{ id: bigint; txid: string; rawTransaction: string }[]> {
    return await this.#database<{ id: bigint; txid: string; rawTransaction: string }[]>`
      select id, txid, raw_transaction as "rawTransaction" from payouts
      where status = 'confirmed' and confirmed_at > now() - interval '14 days'
      order by confirmed_at desc, id desc limit ${OPEN_MAX}`;
  }

  /** Bytes (hex) and PSBTs (base64) whose inputs must stay locked: stored, and not known to be mined. */
  async openTransactions(): Promise<string[]> {
    const rows = await this.#database<{ bytes: string }[]>`
      select coalesce(raw_transaction, psbt) as bytes from payouts
      where status in ('awaiting_signatures', 'signed', 'broadcast')
      union all
      select raw_transaction from wallet_sweeps where status in ('signed', 'broadcast')`;
    return rows.map(({ bytes }) => bytes);
  }

  /** Newest first. */
  async latestPayouts(limit: number): Promise<Payout[]> {
    return await readPayouts(this.#database, this.#database`true`, this.#database`desc`, limit);
  }

  /** Throws when there is no such payout. */
  async payout(id: bigint): Promise<Payout> {
    const [payout] = await readPayouts(this.#database, this.#database`p.id = ${id}`, this.#database`asc`, 1);
    if (payout === undefined) throw new Error(`payout ${id} does not exist`);
    return payout;
  }
}

async function insertVersion(
  tx: Transaction,
  id: bigint,
  signed: SignedTransaction,
  replaces: string | null,
  tipHeight: number | null,
): Promise<void> {
  await tx`
    insert into payout_transactions
      (payout_id, version, txid, raw_transaction, network_fee_sats, replaces, tip_height)
    select ${id}, coalesce(max(version) + 1, 0), ${signed.txid}, ${signed.rawTransaction},
           ${signed.networkFeeSats}, ${replaces}, ${tipHeight}
    from payout_transactions where payout_id = ${id}`;
}

async function storeSent(
  tx: Transaction,
  id: bigint,
  sentSats: readonly bigint[],
  outputs: number,
): Promise<void> {
  if (sentSats.length !== outputs)
    throw new Error(`payout ${id} has ${outputs} outputs, not ${sentSats.length}`);
  await tx`
    update payout_outputs o set sent_sats = s.sats
    from (select account_id, position, row_number() over (order by account_id, position) as place
          from payout_outputs where payout_id = ${id}) p
    join unnest(${sentSats.map(String)}::bigint[]) with ordinality as s (sats, place) on s.place = p.place
    where o.payout_id = ${id} and o.account_id = p.account_id and o.position = p.position`;
}

/** The plan lock is held: no other reservation can slip in between. */
async function checkDailyCap(
  tx: Transaction,
  outputs: readonly { amountSats: bigint }[],
  capSats: bigint,
): Promise<void> {
  const amount = outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const [row] = await tx<{ used: bigint }[]>`
    select coalesce(sum(o.amount_sats), 0)::bigint as used
    from payouts p join payout_outputs o on o.payout_id = p.id
    where p.reserved_at > now() - interval '24 hours' and p.status <> 'failed'`;
  const used = row?.used ?? 0n;
  if (used + amount > capSats) {
    throw new DailyCapError(
      `${amount} sats on top of ${used} within 24 hours would pass the daily cap of ${capSats} sats. ` +
        'It goes on by itself when there is room; raise the cap to go on now',
    );
  }
}
