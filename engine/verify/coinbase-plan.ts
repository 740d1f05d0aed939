// Blocks whose coinbase pays miners itself: it was built by a plan, so the window ends where the plan was made, and what
// the coinbase paid straight is not in the ledger lines.
import type { Database } from '../../storage/postgres/connection.js';
import { addLine, type Credit, type Lines } from './ledger-credits.js';
import type { WindowEnd } from './raw-shares.js';
import { IncompleteError } from './verdict.js';

export interface UsedPlan {
  /** In each journal, the shares that the plan knew of. */
  end: WindowEnd;
  /** When accounts were asked for their terms. */
  madeAt: Date;
}

/** Null: the coinbase pays the pool alone. */
export async function readPlan(database: Database, { inputs }: Credit): Promise<UsedPlan | null> {
  if (typeof inputs.plan !== 'string') return null;
  const [row] = await database<{ cut: { node: number; nextSeq: string }[]; madeAt: Date }[]>`
    select plan->'cut' as cut, created_at as "madeAt" from coinbase_plans where id = ${inputs.plan}`;
  if (row === undefined) throw new IncompleteError(`its coinbase plan ${inputs.plan} is not in Postgres`);
  const cut = row.cut.map(({ node, nextSeq }) => ({ node: Number(node), nextSeq: BigInt(nextSeq) }));
  return { end: { cut }, madeAt: row.madeAt };
}

/** Takes out of `lines` what the coinbase of the block paid to miners itself. */
export async function withoutDirect(database: Database, blockHash: string, lines: Lines): Promise<Lines> {
  const rows = await database<{ accountId: number; sats: bigint }[]>`
    select account_id as "accountId", amount_sats as sats from coinbase_payments where block_hash = ${blockHash}`;
  for (const { accountId, sats } of rows) {
    addLine(lines, 'miner_immature', accountId, -sats);
    addLine(lines, 'coinbase_immature', null, sats);
  }
  return lines;
}
