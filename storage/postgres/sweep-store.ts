// Sweeps of the hot wallet to the cold address: planned -> signed -> broadcast -> confirmed. One is open at a
// time; its bytes are stored before anyone has seen them, and the ledger hears of it when it is confirmed.
import { walletSweepLines } from '../../engine/accounting/ledger-entries.js';
import type { Database } from './connection.js';
import { postLedger } from './ledger-store.js';
import { claimCoins } from './payout-coins.js';
import type { SignedTransaction } from './payout-store.js';

export type SweepStatus = 'planned' | 'signed' | 'broadcast' | 'confirmed' | 'failed';

export interface Sweep {
  id: bigint;
  status: SweepStatus;
  address: string;
  sentSats: bigint;
  /** Null while planned. */
  txid: string | null;
  /** Hex; null while planned. */
  rawTransaction: string | null;
  networkFeeSats: bigint | null;
}

export class SweepStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Plans a sweep; the one that is open, when there is one. */
  async plan(address: string, sentSats: bigint): Promise<Sweep> {
    await this.#database`
      insert into wallet_sweeps (address, sent_sats) values (${address}, ${sentSats}) on conflict do nothing`;
    const open = await this.open();
    if (open === null) throw new Error('the sweep was settled by another process meanwhile');
    return open;
  }

  /** The sweep that is not settled; null when there is none. */
  async open(): Promise<Sweep | null> {
    const [row] = await this.#database<Sweep[]>`
      select id, status, address, sent_sats as "sentSats", txid, raw_transaction as "rawTransaction",
             network_fee_sats as "networkFeeSats"
      from wallet_sweeps where status in ('planned', 'signed', 'broadcast')`;
    return row ?? null;
  }

  /** `coins`: `txid:index`. 'already': it has a transaction; forget yours. Throws CoinsTakenError. */
  async storeSigned(
    id: bigint,
    signed: SignedTransaction,
    coins: readonly string[],
  ): Promise<'stored' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const stored = await tx`
        update wallet_sweeps set status = 'signed', txid = ${signed.txid}, raw_transaction = ${signed.rawTransaction},
          network_fee_sats = ${signed.networkFeeSats}, signed_at = now()
        where id = ${id} and status = 'planned'`;
      if (stored.count === 0) return 'already';
      await claimCoins(tx, { sweepId: id }, coins);
      return 'stored';
    });
  }

  async markBroadcast(id: bigint): Promise<void> {
    await this.#database`
      update wallet_sweeps set status = 'broadcast', broadcast_at = now() where id = ${id} and status = 'signed'`;
  }

  /** Gives up a sweep that was never signed. */
  async drop(id: bigint, reason: string): Promise<void> {
    await this.#database`
      update wallet_sweeps set status = 'failed', reason = ${reason} where id = ${id} and status = 'planned'`;
  }

  async markConfirmed(id: bigint): Promise<'confirmed' | 'already'> {
    return await this.#database.begin(async (tx) => {
      const [row] = await tx<{ txid: string; sentSats: bigint; networkFeeSats: bigint }[]>`
        update wallet_sweeps set status = 'confirmed', confirmed_at = now()
        where id = ${id} and status = 'broadcast'
        returning txid, sent_sats as "sentSats", network_fee_sats as "networkFeeSats"`;
      if (row === undefined) return 'already';
      await postLedger(tx, {
        kind: 'wallet_sweep',
        key: `wallet-sweep:${id}`,
        rule: 'coins above what the hot wallet may hold went to the cold address',
        inputs: { ...row },
        lines: walletSweepLines(row.sentSats, row.networkFeeSats),
      });
      return 'confirmed';
    });
  }

  /** Satoshis of payouts that are planned but not reserved: the hot wallet still needs them. */
  async plannedSats(): Promise<bigint> {
    const [row] = await this.#database<{ sats: bigint }[]>`
      select coalesce(sum(o.amount_sats), 0)::bigint as sats
      from payouts p join payout_outputs o on o.payout_id = p.id
      where p.status in ('planned', 'awaiting_approval')`;
    return row?.sats ?? 0n;
  }
}
