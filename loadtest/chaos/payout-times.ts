// Whether money moved before its time: payouts by the clock of Postgres, maturity by the node.

import { blockStandings } from '../../engine/node/chain-watcher.js';
import type { NodeRpc } from '../../engine/node/rpc.js';
import type { Database } from '../../storage/postgres/connection.js';
import type { Findings } from './findings.js';

/** A payout run names the slot of the wall clock that it belongs to: auto:PERIODms:SLOT. */
const EARLY_S_MAX = 1;
const MATURE_AT = 101;

export async function checkPayoutTimes(ledger: Database, node: NodeRpc, findings: Findings): Promise<void> {
  const early = await ledger<{ key: string; seconds: number }[]>`
    select key, (slot - at)::float8 as seconds from (
      select request_key as key, extract(epoch from planned_at) as at,
        split_part(request_key, ':', 3)::numeric * rtrim(split_part(request_key, ':', 2), 'ms')::numeric / 1000 as slot
      from payouts where request_key ~ '^auto:[0-9]+ms:[0-9]+') as runs
    where slot - at > ${EARLY_S_MAX}`;
  for (const { key, seconds } of early) {
    findings.add('payouts: a run that came early', `${key}: by ${Math.round(seconds)} s`);
  }
  const blocks = await ledger<{ hash: string }[]>`select hash from blocks where status = 'confirmed'`;
  const standings = await blockStandings(
    node,
    blocks.map(({ hash }) => hash),
  );
  for (const [index, { hash }] of blocks.entries()) {
    const { confirmations = 0 } = standings[index] ?? {};
    if (confirmations < MATURE_AT)
      findings.add('blocks: matured early', `${hash}: ${confirmations} confirmations`);
  }
}
