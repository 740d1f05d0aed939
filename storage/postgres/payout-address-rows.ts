// Rows of address changes, read and moved within a transaction of payout-addresses.ts. Its callers hold the lock of the
// account, so what is read stays true until they commit.
import { type Authority, writeAudit } from './audit-log.js';
import type { Transaction } from './connection.js';
import { describeTargets, type PayoutTarget } from './payout-address-text.js';

export interface Account {
  id: number;
  name: string;
}

export interface AcceptedChange {
  id: bigint;
  targets: PayoutTarget[];
  acceptedAt: Date;
  effectiveAt: Date;
}

/** A refusal that the one who asked can mend; the message says how. */
export class PayoutAddressError extends Error {}

/**
 * Present targets of `accountIds`; the shares of each sum to 1,000,000. An account that set none is paid to its name
 * when that is an address; else it has no entry.
 */
export async function currentTargets(
  tx: Transaction,
  accountIds: readonly number[],
): Promise<Map<number, PayoutTarget[]>> {
  const ids = [...accountIds];
  const rows = await tx<(PayoutTarget & { accountId: number })[]>`
    with present as (
      select distinct on (account_id) account_id, id from payout_address_changes
      where account_id = any(${ids}::integer[]) and status = 'accepted' and effective_at <= statement_timestamp()
      order by account_id, effective_at desc, id desc)
    select m.id as "accountId", coalesce(t.address, m.name) as address,
           coalesce(t.share_ppm, 1000000) as "sharePpm"
    from accounts m
    left join present p on p.account_id = m.id
    left join payout_address_targets t on t.change_id = p.id
    where m.id = any(${ids}::integer[]) and (p.id is not null or m.is_address)
    order by m.id, t.position`;
  const targets = new Map<number, PayoutTarget[]>();
  for (const { accountId, address, sharePpm } of rows) {
    const known = targets.get(accountId);
    if (known === undefined) targets.set(accountId, [{ address, sharePpm }]);
    else known.push({ address, sharePpm });
  }
  return targets;
}

export async function findAccount(tx: Transaction, name: string): Promise<Account> {
  const [row] = await tx<Account[]>`select id, name from accounts where name = ${name}`;
  if (row === undefined) throw new PayoutAddressError(`account ${name} never mined here. Check the name`);
  return row;
}

/** Changes of one account take turns. */
export async function lockAccount(tx: Transaction, name: string): Promise<Account> {
  const account = await findAccount(tx, name);
  await tx`select from accounts where id = ${account.id} for no key update`;
  return account;
}

export async function firstAddress(tx: Transaction, { id }: Account): Promise<string | null> {
  return (await currentTargets(tx, [id])).get(id)?.[0]?.address ?? null;
}

export function requireSigner({ name }: Account, signer: string | null): string {
  if (signer !== null) return signer;
  throw new PayoutAddressError(
    `account ${name} has no address yet that could sign: the operator names its first one`,
  );
}

export async function targetsOf(tx: Transaction, changeId: bigint): Promise<PayoutTarget[]> {
  const rows = await tx<PayoutTarget[]>`
    select address, share_ppm as "sharePpm" from payout_address_targets
    where change_id = ${changeId} order by position`;
  return [...rows];
}

export type Pending = AcceptedChange & { nonce: string };

export async function findPending(tx: Transaction, { id }: Account): Promise<Pending | null> {
  const [row] = await tx<Omit<Pending, 'targets'>[]>`
    select id, nonce, accepted_at as "acceptedAt", effective_at as "effectiveAt"
    from payout_address_changes
    where account_id = ${id} and status = 'accepted' and effective_at > clock_timestamp()
    order by id desc limit 1`;
  return row === undefined ? null : { ...row, targets: await targetsOf(tx, row.id) };
}

export async function requirePending(tx: Transaction, account: Account): Promise<Pending> {
  const pending = await findPending(tx, account);
  if (pending !== null) return pending;
  throw new PayoutAddressError(`no change of account ${account.name} waits: there is nothing to cancel`);
}

export async function close(
  tx: Transaction,
  owner: Account,
  change: AcceptedChange,
  status: 'replaced' | 'cancelled',
  authority: Authority,
  inputs: Record<string, unknown>,
): Promise<void> {
  await tx`
    update payout_address_changes set status = ${status}, closed_at = clock_timestamp() where id = ${change.id}`;
  const text = `The change of account ${owner.name} to ${describeTargets(change.targets)} was ${status} and never took effect.`;
  await notify(tx, owner, change.id, status, text);
  await writeAudit(tx, {
    ...authority,
    action: `payout_address_${status}`,
    subject: owner.name,
    inputs: { change: change.id, targets: change.targets, ...inputs },
  });
}

export async function notify(
  tx: Transaction,
  { id }: Account,
  changeId: bigint,
  kind: string,
  text: string,
): Promise<void> {
  await tx`
    insert into payout_address_notices (account_id, change_id, kind, text)
    values (${id}, ${changeId}, ${kind}, ${text})`;
}
