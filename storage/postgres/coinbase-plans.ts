// Plans by which coinbases pay miners straight (engine/accounting/coinbase-outputs.ts): made of the window as it is
// booked now and stored before a job may use them, and read again when a block that was found on one is credited.
import { createHash } from 'node:crypto';
import {
  type CoinbasePlan,
  chooseDirect,
  coinbaseOutputs,
  type DirectTarget,
  transactionOutputs,
} from '../../engine/accounting/coinbase-outputs.js';
import { fillWindow, windowWork } from '../../engine/accounting/pplns-window.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { type BlockSplit, splitBlock } from '../../engine/accounting/split-block.js';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { isWitnessCommitment } from '../../engine/bitcoin/coinbase.js';
import { bytesToHex, hexToBytes } from '../../engine/bitcoin/hex.js';
import type { NetworkName } from '../../engine/bitcoin/networks.js';
import type { TransactionOutput } from '../../engine/bitcoin/transaction.js';
import { readTerms, type SchemeFees } from './account-terms.js';
import type { Database, Transaction } from './connection.js';
import { payableTargets } from './payout-plan.js';
import { readWindow } from './window-work.js';
import { LEDGER_CONSUMER } from './work-store.js';

/** How coinbases are built; the same for every plan of a run. */
export interface CoinbasePlanTerms {
  network: NetworkName;
  poolScript: Uint8Array;
  feePpm: SchemeFees;
  /** As in CreditTerms. */
  windowPermille: number;
  /** Smallest payment; an account may want larger ones. */
  minimumSats: bigint;
  /** As in DirectChoice. */
  baseBytes: number;
  baseOutputs: number;
  coinbaseBytesMax: number;
}

/** The block that would be found now. */
export interface NextBlock {
  height: number;
  /** Display order hex. */
  previousBlock: string;
  networkTarget: bigint;
  subsidySats: bigint;
  feesSats: bigint;
}

export interface StoredPlan {
  /** 64 hex characters. */
  id: string;
  plan: CoinbasePlan;
}

/** A plan as stored. Satoshis and hashes are decimal text. */
interface PlanRow {
  networkTarget: string;
  windowPermille: number;
  windowWork: string;
  workInWindow: string;
  totalWeight: string;
  /** Where the window ends in the journal of each node: it holds the accepted shares below `nextSeq`. */
  cut: { node: number; nextSeq: string }[];
  parts: { account: number; scheme: Scheme; weight: string; feePpm: number; donationPpm: number }[];
  poolScript: string;
  direct: { account: number; address: string; script: string; minimumSats: string }[];
}

export interface PlannedCredit {
  /** What the pool's own output holds, and for whom. */
  rest: BlockSplit;
  payments: { accountId: number; address: string; amountSats: bigint }[];
  schemes: Set<Scheme>;
  /** For the ledger, under the names that other block credits use. */
  inputs: Record<string, unknown>;
}

/** A block's coinbase is not what the books say of it. Nothing of it is credited. */
export class CreditRefused extends Error {
  override readonly name = 'CreditRefused';
}

/** Of the accounts that are paid most, so many are looked at. */
const CANDIDATES_MAX = 1000;
const ALL_ROUNDS = (1n << 63n) - 1n;

export class CoinbasePlanStore {
  readonly #database: Database;
  readonly #terms: CoinbasePlanTerms;

  constructor(database: Database, terms: CoinbasePlanTerms) {
    this.#database = database;
    this.#terms = terms;
  }

  /**
   * The plan for coinbases from now on, stored. Null when nobody would be paid straight by it. Throws RangeError when
   * the coinbase is too long before anyone is paid.
   */
  async make(block: NextBlock): Promise<StoredPlan | null> {
    const { windowPermille, feePpm, poolScript } = this.#terms;
    // One view of the database: the window is exactly the shares below the cursors.
    return await this.#database.begin('isolation level repeatable read', async (tx) => {
      const cut = await tx<{ node: number; nextSeq: bigint }[]>`
        select node_id as node, next_seq as "nextSeq" from shipper_cursor
        where consumer = ${LEDGER_CONSUMER} order by node_id`;
      const wanted = windowWork(block.networkTarget, windowPermille);
      const window = fillWindow(await readWindow(tx, ALL_ROUNDS, wanted), wanted);
      const [first] = window.parts;
      if (first === undefined) return null;
      const accounts = new Set(window.parts.map(({ accountId }) => accountId));
      const termsOf = await readTerms(tx, accounts, feePpm);
      const { subsidySats, feesSats } = block;
      const split = splitBlock({ finder: first, subsidySats, feesSats, window, termsOf });
      const direct = await this.#chooseDirect(tx, split);
      if (direct.length === 0) return null;
      const row: PlanRow = {
        networkTarget: block.networkTarget.toString(),
        windowPermille,
        windowWork: wanted.toString(),
        workInWindow: window.work.toString(),
        totalWeight: window.totalWeight.toString(),
        cut: cut.map(({ node, nextSeq }) => ({ node, nextSeq: nextSeq.toString() })),
        parts: window.parts.map(({ accountId, scheme, weight }) => {
          const { feePpm, donationPpm } = termsOf(accountId, scheme);
          return { account: accountId, scheme, weight: weight.toString(), feePpm, donationPpm };
        }),
        poolScript: bytesToHex(poolScript),
        direct: direct.map(({ accountId, address, script, minimumSats }) => {
          const [sats, hex] = [minimumSats.toString(), bytesToHex(script)];
          return { account: accountId, address, script: hex, minimumSats: sats };
        }),
      };
      const text = JSON.stringify(row);
      const id = createHash('sha256').update(text).digest('hex');
      await tx`
        insert into coinbase_plans (id, height, previous_block, plan)
        values (${id}, ${block.height}, ${block.previousBlock}, ${text}::text::jsonb)
        on conflict (id) do update set used_at = excluded.used_at`;
      await dropUnused(tx);
      return { id, plan: planOf(row) };
    });
  }

  /** Accounts with one address that want to be paid whenever there is something, on the chain. */
  async #chooseDirect(tx: Transaction, split: BlockSplit): Promise<(DirectTarget & { address: string })[]> {
    const { network, minimumSats, baseBytes, baseOutputs, coinbaseBytesMax } = this.#terms;
    const ids = split.credits
      .filter(({ amountSats }) => amountSats >= minimumSats)
      .sort((a, b) => Number(b.amountSats - a.amountSats))
      .slice(0, CANDIDATES_MAX)
      .map(({ accountId }) => accountId);
    const willing = await tx<{ id: number; minimumSats: bigint }[]>`
      select id, greatest(payout_threshold_sats, ${minimumSats}::bigint) as "minimumSats" from accounts
      where id = any(${ids}::integer[]) and coalesce(payout_schedule, 'each_run') = 'each_run'
        and id not in (select account_id from lightning_held)`;
    const payable = await payableTargets(
      tx,
      willing.map(({ id }) => id),
    );
    const targets = new Map<number, { address: string; script: Uint8Array; minimumSats: bigint }>();
    for (const { id, minimumSats } of willing) {
      const [target, second] = payable.get(id) ?? [];
      const script = target === undefined ? null : scriptOf(target.address, network);
      if (target === undefined || second !== undefined || script === null) continue;
      targets.set(id, { address: target.address, script, minimumSats });
    }
    const targetOf = (accountId: number) => targets.get(accountId) ?? null;
    const chosen = chooseDirect({ split, baseBytes, baseOutputs, coinbaseBytesMax, targetOf });
    return chosen.map((target) => ({ ...target, address: targets.get(target.accountId)?.address ?? '' }));
  }
}

/**
 * Deletes plans that no block was found on. One can still come as long as a journal holds shares of that time which are
 * not booked; and a miner may be late. So a plan goes when every journal is booked to a day after its last use: journals
 * are in order of time, and no job lives for a day.
 */
async function dropUnused(tx: Transaction): Promise<void> {
  await tx`
    delete from coinbase_plans p
    where p.used_at < (
        select case when count(*) = count(s.newest) then min(s.newest) - interval '1 day' end
        from ledger_lanes l
        left join lateral (
          select max(bucket_start) as newest from work_slices where node_id = l.node_id) s on true
        where l.state <> 'closed')
      and not exists (select from blocks b where b.coinbase_plan = p.id)`;
}

/**
 * How the block `hash` is credited, whose coinbase was built by plan `id`. `coinbase`: the outputs it really has. Throws
 * CreditRefused when they are not those of the plan, or the plan is gone.
 */
export async function creditByPlan(
  tx: Transaction,
  hash: string,
  id: string,
  paid: { subsidySats: bigint; feesSats: bigint; coinbase: readonly TransactionOutput[] },
): Promise<PlannedCredit> {
  const [stored] = await tx<{ plan: PlanRow; plannedAt: Date }[]>`
    select plan, created_at as "plannedAt" from coinbase_plans where id = ${id}`;
  if (stored === undefined) {
    throw new CreditRefused(
      `block ${hash} pays miners by coinbase plan ${id}, which this database does not have: it was restored from a ` +
        'backup that is older than the block. Put this row of coinbase_plans back from a newer one',
    );
  }
  const row = stored.plan;
  const plan = planOf(row);
  const outputs = coinbaseOutputs(plan, paid.subsidySats, paid.feesSats);
  checkCoinbase(hash, id, transactionOutputs(plan, outputs), paid.coinbase);
  const addresses = new Map(row.direct.map(({ account, address }) => [account, address]));
  const payments = outputs.direct.map(({ accountId, amountSats }) => {
    return { accountId, address: addresses.get(accountId) ?? '', amountSats };
  });
  const { networkTarget, windowPermille, windowWork, workInWindow, totalWeight, parts, cut } = row;
  return {
    rest: outputs.rest,
    payments,
    schemes: new Set(parts.map(({ scheme }) => scheme)),
    inputs: {
      ...{ networkTarget, windowPermille, windowWork, workInWindow, totalWeight, parts },
      plan: id,
      plannedAt: stored.plannedAt,
      cut,
      direct: payments.map(({ accountId, ...payment }) => ({ account: accountId, ...payment })),
      poolSats: outputs.poolSats,
    },
  };
}

/** Keeps what the coinbase of a block that is credited now pays to miners itself. */
export async function insertPayments(
  tx: Transaction,
  hash: string,
  payments: PlannedCredit['payments'],
): Promise<void> {
  await tx`
    insert into coinbase_payments (block_hash, account_id, address, amount_sats)
    select ${hash}, * from unnest(
      ${payments.map(({ accountId }) => accountId)}::integer[],
      ${payments.map(({ address }) => address)}::text[],
      ${payments.map(({ amountSats }) => amountSats.toString())}::bigint[])`;
}

function checkCoinbase(
  hash: string,
  id: string,
  planned: readonly TransactionOutput[],
  coinbase: readonly TransactionOutput[],
): void {
  const found = coinbase.filter(({ sats, script }) => sats !== 0n || !isWitnessCommitment(script));
  for (let index = 0; index < Math.max(planned.length, found.length); index++) {
    const [ours, theirs] = [describe(planned[index]), describe(found[index])];
    if (ours === theirs) continue;
    throw new CreditRefused(
      `block ${hash} is not credited: output ${index} of its coinbase is ${theirs}, its plan ${id} says ${ours}. ` +
        'Books and coins would disagree; please report this',
    );
  }
}

function describe(output: TransactionOutput | undefined): string {
  return output === undefined ? 'none' : `${output.sats} sats to script ${bytesToHex(output.script)}`;
}

function planOf({ parts, totalWeight, poolScript, direct }: PlanRow): CoinbasePlan {
  return {
    parts: parts.map(({ account, weight, ...part }) => {
      return { ...part, accountId: account, weight: BigInt(weight) };
    }),
    totalWeight: BigInt(totalWeight),
    poolScript: hexToBytes(poolScript),
    direct: direct.map(({ account, script, minimumSats }) => {
      return { accountId: account, script: hexToBytes(script), minimumSats: BigInt(minimumSats) };
    }),
  };
}

function scriptOf(address: string, network: NetworkName): Uint8Array | null {
  try {
    return scriptFromAddress(address, network);
  } catch {
    return null;
  }
}
