// What people add to payouts: approvals, signed copies of a PSBT, and the end of a quarantine. Each is a row
// with its actor and a row of the audit log, in one transaction.
import { writeAudit } from './audit-log.js';
import type { Database } from './connection.js';
import { lockPayout } from './payout-rows.js';

export interface QuarantinedAddress {
  account: string;
  address: string;
  reason: string;
  cure: string;
  since: Date;
}

export class PayoutApprovals {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * One person's agreement to a payout above the limit; upper and lower case of a name are one person. Returns
   * how many have agreed and how many must. Throws when the payout waits for no approval.
   */
  async approve(id: bigint, actor: string, reason: string): Promise<{ approvals: number; needed: number }> {
    const name = personOf(actor);
    return await this.#database.begin(async (tx) => {
      const { status, outputs } = await lockPayout(tx, id);
      if (status !== 'awaiting_approval') {
        throw new Error(`payout ${id} is ${status}: it waits for no approval`);
      }
      const added = await tx`
        insert into payout_approvals (payout_id, actor) values (${id}, ${name}) on conflict do nothing`;
      const [row] = await tx<{ approvals: number; needed: number }[]>`
        select (select count(*) from payout_approvals a where a.payout_id = p.id)::integer as approvals,
               p.approvals_needed as needed from payouts p where p.id = ${id}`;
      if (row === undefined) throw new Error(`payout ${id} does not exist`);
      if (added.count > 0) {
        const sats = outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
        const inputs = { sats, payees: outputs.length, ...row };
        await writeAudit(tx, { actor: name, action: 'payout_approve', subject: String(id), reason, inputs });
      }
      return row;
    });
  }

  /** A signed copy of the payout's PSBT, which the rail has found to be one. A later one of the same actor is ignored. */
  async addSignatures(id: bigint, actor: string, psbt: string): Promise<void> {
    const name = personOf(actor);
    await this.#database.begin(async (tx) => {
      const { status } = await lockPayout(tx, id);
      if (status !== 'awaiting_signatures') {
        throw new Error(`payout ${id} is ${status}: it waits for no signatures`);
      }
      const added = await tx`
        insert into payout_signatures (payout_id, actor, psbt) values (${id}, ${name}, ${psbt})
        on conflict do nothing`;
      if (added.count === 0) return;
      const reason = 'signed copy of the PSBT handed in';
      await writeAudit(tx, { actor: name, action: 'payout_sign', subject: String(id), reason, inputs: {} });
    });
  }

  /** Signed copies handed in so far, by time. Base64. */
  async signatures(id: bigint): Promise<string[]> {
    const rows = await this.#database<{ psbt: string }[]>`
      select psbt from payout_signatures where payout_id = ${id} order by added_at, actor`;
    return rows.map(({ psbt }) => psbt);
  }

  /** Keeps an address out of every plan until it is lifted or the account has another one. */
  async quarantine(accountId: number, address: string, reason: string, cure: string): Promise<void> {
    await this.#database`
      insert into payout_quarantine (account_id, address, reason, cure)
      values (${accountId}, ${address}, ${reason}, ${cure})
      on conflict (account_id, address) do update
        set reason = excluded.reason, cure = excluded.cure, since = now(), lifted_at = null, lifted_by = null`;
  }

  /** Addresses that are kept out of plans now, newest first, 1000 at most. */
  async quarantined(): Promise<QuarantinedAddress[]> {
    return await this.#database<QuarantinedAddress[]>`
      select m.name as account, q.address, q.reason, q.cure, q.since
      from payout_quarantine q join accounts m on m.id = q.account_id
      where q.lifted_at is null order by q.since desc, m.name limit 1000`;
  }

  /** Lets an address into plans again. False when it is in no quarantine. */
  async liftQuarantine(account: string, address: string, actor: string, reason: string): Promise<boolean> {
    const name = personOf(actor);
    return await this.#database.begin(async (tx) => {
      const lifted = await tx`
        update payout_quarantine q set lifted_at = now(), lifted_by = ${name}
        from accounts m
        where m.id = q.account_id and m.name = ${account} and q.address = ${address} and q.lifted_at is null`;
      if (lifted.count === 0) return false;
      const inputs = { address };
      await writeAudit(tx, { actor: name, action: 'quarantine_lift', subject: account, reason, inputs });
      return true;
    });
  }
}

/** Throws RangeError on an empty or too long name. */
function personOf(actor: string): string {
  const name = actor.trim().toLowerCase();
  if (name.length < 1 || name.length > 200)
    throw new RangeError('an actor needs a name of 1 to 200 characters');
  return name;
}
