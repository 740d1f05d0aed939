// Which journals (lanes) a block's credit waits for, and whether it still has to. Money depends on it: a block
// is credited when nothing that any lane delivers later can be of its round or an earlier one. The argument is
// in storage/README.md, "A block waits for every lane".
import type { Database, Transaction } from './connection.js';
import { LEDGER_CONSUMER } from './work-store.js';

export interface LaneActivation {
  /** The pool's round counter must not be below this: the ledger has seen it. */
  round: number;
  /** Lanes whose journal is gone before the ledger had all of it. Credits wait for them. */
  missing: number[];
}

/**
 * Says at the start of a pool which lanes it has: `running` ones get a connection thread, `former` ones have a
 * journal that nobody writes any more. Blocks wait for all of them from the commit on, for a former one until
 * `closeLane`. To be called before any of the threads starts and before any block is credited.
 */
export async function activateLanes(
  database: Database,
  { running, former }: { running: readonly number[]; former: readonly number[] },
): Promise<LaneActivation> {
  return await database.begin(async (tx) => {
    const states = [...running.map(() => 'running'), ...former.map(() => 'former')];
    await tx`
      insert into ledger_lanes as l (node_id, state)
      select * from unnest(${[...running, ...former]}::integer[], ${states}::text[])
      on conflict (node_id) do update set
        state = excluded.state, activation = l.activation + 1, updated_at = now()`;
    const missing = await tx<{ nodeId: number }[]>`
      select node_id as "nodeId" from ledger_lanes
      where state <> 'closed' and node_id <> all(${[...running, ...former]}::integer[]) order by node_id`;
    const [seen] = await tx<{ round: bigint }[]>`
      select greatest(
        (select max(round) from shipper_cursor), (select max(round) + 1 from blocks),
        (select max(round) from work_slices), 0)::bigint as round`;
    return { round: Number(seen?.round ?? 0n), missing: missing.map(({ nodeId }) => nodeId) };
  });
}

/** Number of the activation of a former lane; null when the lane is not a former one. */
export async function formerLane(database: Database, nodeId: number): Promise<bigint | null> {
  const [row] = await database<{ activation: bigint }[]>`
    select activation from ledger_lanes where node_id = ${nodeId} and state = 'former'`;
  return row?.activation ?? null;
}

/**
 * All of a former lane's journal is booked: no block waits for it any more. Does nothing when the lane was
 * activated anew since `activation`: its journal may have grown.
 */
export async function closeLane(database: Database, nodeId: number, activation: bigint): Promise<void> {
  await database`
    update ledger_lanes set state = 'closed', updated_at = now()
    where node_id = ${nodeId} and state = 'former' and activation = ${activation}`;
}

/**
 * True when every share of round `round` or earlier that the pool took is booked. `nodeId` and `seq` are those
 * of the share that closed the round: its own lane has told all once the cursor is past it.
 */
export async function isRoundBooked(
  tx: Transaction,
  block: { nodeId: number; seq: bigint; round: bigint },
): Promise<boolean> {
  const [row] = await tx<{ booked: boolean }[]>`
    select exists (select from ledger_lanes where node_id = ${block.nodeId})
      and exists (
        select from shipper_cursor
        where node_id = ${block.nodeId} and consumer = ${LEDGER_CONSUMER} and next_seq > ${block.seq})
      and not exists (
        select from ledger_lanes l
        left join shipper_cursor c on c.node_id = l.node_id and c.consumer = ${LEDGER_CONSUMER}
        where l.state <> 'closed' and l.node_id <> ${block.nodeId}
          and (c.round is null or c.round <= ${block.round})) as booked`;
  return row?.booked ?? false;
}
