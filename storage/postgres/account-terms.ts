// Fee and donation of accounts as they are now, for whoever credits them: block-store.ts, expected-pay-store.ts.
import type { Scheme } from '../../engine/accounting/schemes.js';
import type { Terms } from '../../engine/accounting/terms.js';
import type { Transaction } from './connection.js';

/** Pool fee of a scheme, parts per million. An account may have its own. */
export type SchemeFees = (scheme: Scheme) => number;

/** Terms of the accounts `accountIds` under each scheme: their own, else the pool's fee and no donation. */
export async function readTerms(
  tx: Transaction,
  accountIds: Iterable<number>,
  feePpm: SchemeFees,
): Promise<(accountId: number, scheme: Scheme) => Terms> {
  const rows = await tx<{ id: number; feePpm: number | null; donationPpm: number | null }[]>`
    select id, fee_ppm as "feePpm", donation_ppm as "donationPpm" from accounts
    where (fee_ppm is not null or donation_ppm is not null) and id = any(${[...accountIds]}::integer[])`;
  const own = new Map(rows.map((row) => [row.id, row]));
  return (accountId, scheme) => ({
    feePpm: own.get(accountId)?.feePpm ?? feePpm(scheme),
    donationPpm: own.get(accountId)?.donationPpm ?? 0,
  });
}
