// Whose raw shares are not what was booked: when a window cannot be recomputed, the work of each account since the
// window's far edge as ClickHouse has it row by row, against the slices that the ledger read.
import { accountIds, accountNames } from './account-records.js';
import { type CheckStores, unnamedSchemes } from './credit-check.js';
import type { ShortSlices } from './short-slices.js';
import type { InputDifferences } from './verdict.js';

/** Notes each account and scheme whose booked and raw work differ since `sinceS` (null: ever) up to `round`. */
export async function bookedDifferences(
  stores: CheckStores,
  round: bigint,
  sinceS: number | null,
  inputs: InputDifferences,
  slices: ShortSlices,
): Promise<void> {
  const { clickhouse, database } = stores;
  const raw = await clickhouse.rows<{ account: string; scheme: string; hashes: string }>(
    `SELECT account, scheme, toString(sum(toUInt256(work))) AS hashes FROM shares
     WHERE round <= {round:UInt32} AND ts >= toDateTime64({since:Int64}, 3, 'UTC') GROUP BY account, scheme`,
    { round: round.toString(), since: sinceS ?? 0 },
  );
  const booked = await database<{ accountId: number; scheme: string; work: bigint }[]>`
    select account_id as "accountId", scheme, sum(work) as work from work_slices
    where scheme <> 'solo' and round <= ${round} and bucket_start >= ${new Date((sinceS ?? 0) * 1000)}
    group by account_id, scheme`;
  const ids = await accountIds(
    database,
    raw.map(({ account }) => account),
    slices,
  );
  const unnamed = await unnamedSchemes(stores, new Date(), slices);
  const left = new Map<string, bigint>();
  for (const { account, scheme, hashes } of raw) {
    await slices.pause();
    const found = scheme === '' ? unnamed.get(account) : scheme;
    if (found === 'solo') continue;
    const key = `${ids.get(account)} ${found}`;
    left.set(key, (left.get(key) ?? 0n) + BigInt(hashes));
  }
  const differing: { accountId: number; scheme: string; booked: bigint; found: bigint }[] = [];
  for (const { accountId, scheme, work } of booked) {
    await slices.pause();
    const key = `${accountId} ${scheme}`;
    const found = left.get(key) ?? 0n;
    left.delete(key);
    if (found !== work) differing.push({ accountId, scheme, booked: work, found });
  }
  for (const [key, found] of left) {
    const [id, scheme = ''] = key.split(' ');
    differing.push({ accountId: Number(id), scheme, booked: 0n, found });
  }
  const names = await accountNames(
    database,
    differing.map(({ accountId }) => accountId),
    slices,
  );
  for (const { accountId, scheme, booked: ledger, found } of differing) {
    const name = names.get(accountId) ?? `account ${accountId}`;
    inputs.add(`hashes booked under ${scheme}`, ledger, found, name);
  }
}
