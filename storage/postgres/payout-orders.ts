// What an operator orders about payouts by name and reason: gives up one whose coins are not reserved, and pays an
// account by Lightning. Each is one transaction with its row in the audit log.
import { type Authority, writeAudit } from './audit-log.js';
import type { Database } from './connection.js';
import { lockPayout } from './payout-rows.js';

/** 'already': it was cancelled, or failed, before. Throws when coins are reserved for it. */
export async function cancelPlanned(
  database: Database,
  id: bigint,
  authority: Authority,
): Promise<'cancelled' | 'already'> {
  return await database.begin(async (tx) => {
    const { status, outputs } = await lockPayout(tx, id);
    if (status === 'failed') return 'already';
    if (status !== 'planned' && status !== 'awaiting_approval') {
      throw new Error(
        `payout ${id} is ${status}: its coins are reserved and its transaction may be known to others. ` +
          'It can only be waited for',
      );
    }
    const reason = `cancelled by ${authority.actor}: ${authority.reason}`;
    await tx`update payouts set status = 'failed', failed_at = now(), reason = ${reason} where id = ${id}`;
    const sats = outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
    const inputs = { status, sats, payees: outputs.length };
    await writeAudit(tx, { ...authority, action: 'payout_cancel', subject: String(id), inputs });
    return 'cancelled';
  });
}

/**
 * Pays an account by Lightning to `destination` (user@domain, checked by the caller) from now on; null: on the chain
 * again. 'already': it is so. Throws when nobody of that name ever mined here.
 */
export async function orderLightning(
  database: Database,
  name: string,
  destination: string | null,
  authority: Authority,
): Promise<'changed' | 'already'> {
  return await database.begin(async (tx) => {
    const [account] = await tx<{ id: number }[]>`select id from accounts where name = ${name} for update`;
    if (account === undefined) throw new Error(`account ${name} never mined here. Check the name`);
    const [known] = await tx<{ destination: string }[]>`
      select destination from lightning_destinations where account_id = ${account.id}`;
    const before = known?.destination ?? null;
    if (before === destination) return 'already';
    if (destination === null) await tx`delete from lightning_destinations where account_id = ${account.id}`;
    else {
      await tx`
        insert into lightning_destinations (account_id, destination) values (${account.id}, ${destination})
        on conflict (account_id) do update set destination = excluded.destination, set_at = now()`;
    }
    const inputs = { before, after: destination };
    await writeAudit(tx, { ...authority, action: 'lightning_destination', subject: name, inputs });
    return 'changed';
  });
}

/** Accounts for which an address is in quarantine. */
export async function quarantinedFor(database: Database, address: string): Promise<string[]> {
  const rows = await database<{ name: string }[]>`
    select m.name from payout_quarantine q join accounts m on m.id = q.account_id
    where q.address = ${address} and q.lifted_at is null order by m.name`;
  return rows.map(({ name }) => name);
}
