// Which coins stored payouts and sweeps spend. A second line of defence behind the wallet's locks, which a restart
// of the node forgets: two stored transactions never spend the same coin, for one of them could never confirm.
import type { Transaction } from './connection.js';

/** Another stored transaction spends one of these coins. Build anew; nothing was stored. */
export class CoinsTakenError extends Error {
  override readonly name = 'CoinsTakenError';
}

/**
 * Claims coins (`txid:index`, txid in display order) for a payout or a sweep, within the transaction that stores its
 * bytes. A coin that the same payout claimed before is fine: its replacement spends it too.
 */
export async function claimCoins(
  tx: Transaction,
  owner: { payoutId: bigint } | { sweepId: bigint },
  coins: readonly string[],
): Promise<void> {
  const payoutId = 'payoutId' in owner ? owner.payoutId : null;
  const sweepId = 'sweepId' in owner ? owner.sweepId : null;
  await tx`
    insert into payout_coins (coin, payout_id, sweep_id)
    select distinct wanted.coin, ${payoutId}::bigint, ${sweepId}::bigint
    from unnest(${[...coins]}::text[]) as wanted (coin) order by wanted.coin
    on conflict (coin) where not released do nothing`;
  const [taken] = await tx<{ coin: string; payoutId: bigint | null }[]>`
    select coin, payout_id as "payoutId" from payout_coins
    where coin = any(${[...coins]}::text[]) and not released
      and (payout_id is distinct from ${payoutId}::bigint or sweep_id is distinct from ${sweepId}::bigint)
    limit 1`;
  if (taken === undefined) return;
  const other = taken.payoutId === null ? 'a sweep' : `payout ${taken.payoutId}`;
  throw new CoinsTakenError(`${other} spends coin ${taken.coin} already. It is built anew from other coins`);
}
