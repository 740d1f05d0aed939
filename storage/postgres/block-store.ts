// Blocks and their money: a candidate is credited when the node has it in its chain, matures, or is
// reversed by a reorg, always by new ledger transactions. Candidates come from the journal (work-store.ts),
// so a block whose share was answered is known even if this process died the moment after.
import {
  creditLines,
  type LedgerAccountKind,
  type LedgerLine,
  MATURITY_CONFIRMATIONS,
  matureLines,
  orphanLines,
  orphanMaturedLines,
} from '../../engine/accounting/ledger-entries.js';
import { windowWork } from '../../engine/accounting/pplns-window.js';
import { SCHEME_RULES, type Scheme } from '../../engine/accounting/schemes.js';
import type { TransactionOutput } from '../../engine/bitcoin/transaction.js';
import type { SchemeFees } from './account-terms.js';
import { creditOf } from './block-credit.js';
import type { Database, Fragment, Transaction } from './connection.js';
import { isRoundBooked } from './ledger-lanes.js';
import { postLedger, readLedgerLines } from './ledger-store.js';

export type BlockStatus = 'candidate' | 'immature' | 'confirmed' | 'orphaned' | 'rejected';

export interface BlockRow {
  /** Display order hex. */
  hash: string;
  height: number;
  status: BlockStatus;
  nodeId: number;
  seq: number;
  round: number;
  account: string;
  worker: string;
  /** Of the share that found it; null in blocks of old journals. */
  finderScheme: Scheme | null;
  foundAt: Date;
  networkTarget: bigint;
  networkDifficulty: number;
  /** Null until credited. */
  coinbaseSats: bigint | null;
  subsidySats: bigint | null;
  feesSats: bigint | null;
  /** Accepted work since the block candidate before it, in hashes. Null until credited. */
  roundWork: bigint | null;
  /** roundWork / expected work of a block: 1 is average luck. Null until credited. */
  effort: number | null;
  confirmations: number;
  reason: string;
}

export interface CreditTerms {
  subsidySats: bigint;
  /** Transaction fees of the block. Subsidy and fees together are what its coinbase pays. */
  feesSats: bigint;
  /** Pool fee by scheme; an account may have its own. */
  feePpm: SchemeFees;
  /** PPLNS window as a multiple of the network difficulty, in thousandths: 2000 is N = 2. */
  windowPermille: number;
  /** Scheme of a finder whose share says none (old journals) and whose account chose none. */
  defaultScheme: Scheme;
  /** The outputs of its coinbase, as a node has them. Needed for a block whose coinbase pays miners straight. */
  coinbase?: readonly TransactionOutput[];
}

/**
 * `not_yet`: the shipper has not booked all work up to this block from every lane, ask again soon. `already`:
 * it is credited now. `unknown`: no such block.
 */
export type CreditResult = 'credited' | 'already' | 'not_yet' | 'unknown';

interface BlockState {
  status: BlockStatus;
  height: number;
  credits: number;
  nodeId: number;
  seq: bigint;
  round: bigint;
  finderId: number;
  finderScheme: Scheme | null;
  networkTarget: bigint;
  /** Null: its coinbase pays the pool alone. */
  plan: string | null;
}

const creditKey = (hash: string, credit: number) => `credit:${hash}:${credit}`;
const matureKey = (hash: string, credit: number) => `mature:${hash}:${credit}`;
const orphanKey = (hash: string, credit: number) => `orphan:${hash}:${credit}`;

/** More unsettled blocks than this wait for the next call: 101 are normal, a chain of easy blocks has more. */
const OPEN_BLOCKS_MAX = 10_000;

export class BlockStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * The node has the block in its best chain: its coinbase enters the books. A block that a reorg took and
   * gave back gets the opposite of what its loss posted: the very lines of its first credit, unless some of it
   * had matured and been paid out, which is not credited twice. Throws CreditRefused when the coinbase was to pay
   * miners and does not pay them as planned.
   */
  async creditBlock(hash: string, terms: CreditTerms): Promise<CreditResult> {
    return await this.#database.begin(async (tx) => {
      const block = await lockBlock(tx, hash);
      if (block === null) return 'unknown';
      if (block.status === 'immature' || block.status === 'confirmed') return 'already';
      const credit = block.credits + 1;
      if (block.credits > 0) {
        await postLedger(tx, {
          kind: 'block_credit',
          key: creditKey(hash, credit),
          blockHash: hash,
          rule: 'the block is back in the best chain: the opposite of what its loss posted, to mature again',
          inputs: { credit, lost: orphanKey(hash, block.credits) },
          lines: comesBack(await readLedgerLines(tx, orphanKey(hash, block.credits))),
        });
        await tx`
          update blocks set status = 'immature', credits = ${credit}, confirmations = 1, reason = ''
          where hash = ${hash}`;
        return 'credited';
      }

      if (!(await isRoundBooked(tx, block))) return 'not_yet';

      const coinbaseSats = terms.subsidySats + terms.feesSats;
      const credited = await creditOf(tx, { hash, ...block }, terms);
      await postLedger(tx, {
        kind: 'block_credit',
        key: creditKey(hash, credit),
        blockHash: hash,
        rule: `${[...credited.schemes].map((each) => SCHEME_RULES[each]).join('. ')}. Floor for each line, the rest to remainder${credited.note}`,
        inputs: {
          coinbaseSats,
          subsidySats: terms.subsidySats,
          feesSats: terms.feesSats,
          ...credited.inputs,
          node: block.nodeId,
          round: block.round,
          seq: block.seq,
        },
        lines: creditLines(credited.split),
      });
      await tx`
        update blocks set status = 'immature', credits = ${credit}, confirmations = 1, reason = '',
          subsidy_sats = ${terms.subsidySats}, fees_sats = ${terms.feesSats}, coinbase_sats = ${coinbaseSats},
          round_work = (
            select coalesce(sum(work), 0) from work_slices
            where round <= ${block.round}
              and round > coalesce((select max(b.round) from blocks b where b.round < ${block.round}), -1))
        where hash = ${hash}`;
      return 'credited';
    });
  }

  /**
   * Moves a credit to the spendable side. Throws below MATURITY_CONFIRMATIONS. 'already' when it is
   * confirmed, 'not_credited' when there is nothing to mature.
   */
  async matureBlock(hash: string, confirmations: number): Promise<'matured' | 'already' | 'not_credited'> {
    if (confirmations < MATURITY_CONFIRMATIONS) {
      throw new RangeError(
        `block ${hash} has ${confirmations} confirmations, ${MATURITY_CONFIRMATIONS} are needed`,
      );
    }
    return await this.#database.begin(async (tx) => {
      const block = await lockBlock(tx, hash);
      if (block?.status === 'confirmed') return 'already';
      if (block?.status !== 'immature') return 'not_credited';
      await postLedger(tx, {
        kind: 'block_mature',
        key: matureKey(hash, block.credits),
        blockHash: hash,
        rule: `coinbase spendable at ${MATURITY_CONFIRMATIONS} confirmations`,
        inputs: { confirmations, credit: creditKey(hash, block.credits) },
        lines: matureLines(ofBlock(await readLedgerLines(tx, creditKey(hash, block.credits)))),
      });
      await tx`update blocks set status = 'confirmed', confirmations = ${confirmations} where hash = ${hash}`;
      return 'matured';
    });
  }

  /**
   * The block is not in the best chain: whatever it posted is reversed by new lines. 'not_credited' when
   * it had posted nothing; it is marked orphaned then too. The row stays for ever.
   */
  async orphanBlock(
    hash: string,
    reason: string,
  ): Promise<'reversed' | 'already' | 'not_credited' | 'unknown'> {
    return await this.#database.begin(async (tx) => {
      const block = await lockBlock(tx, hash);
      if (block === null) return 'unknown';
      if (block.status === 'orphaned') return 'already';
      await tx`
        update blocks set status = 'orphaned', confirmations = 0, reason = ${reason} where hash = ${hash}`;
      if (block.status !== 'immature' && block.status !== 'confirmed') return 'not_credited';
      const credited = await readLedgerLines(tx, creditKey(hash, block.credits));
      let lines = orphanLines(credited);
      if (block.status === 'confirmed') {
        lines = orphanMaturedLines(ofBlock(credited), await lockSpendable(tx));
      }
      await postLedger(tx, {
        kind: 'block_orphan',
        key: orphanKey(hash, block.credits),
        blockHash: hash,
        rule: 'the block left the best chain: its credit is reversed',
        inputs: { reason, was: block.status, credit: creditKey(hash, block.credits) },
        lines,
      });
      return 'reversed';
    });
  }

  /** The node refused the candidate for good. Only a block that was never credited can be refused. */
  async rejectBlock(hash: string, reason: string): Promise<void> {
    await this.#database`
      update blocks set status = 'rejected', reason = ${reason}
      where hash = ${hash} and status = 'candidate'`;
  }

  /** For display; maturity is booked by `matureBlock`. */
  async setConfirmations(hash: string, confirmations: number): Promise<void> {
    await this.#database`
      update blocks set confirmations = ${confirmations} where hash = ${hash} and confirmations <> ${confirmations}`;
  }

  /**
   * Blocks that are not settled, oldest first: candidates, immature ones, and of those the chain does not
   * have the ones from height `reviveFromHeight` on, which a reorg could still bring back.
   */
  async openBlocks(reviveFromHeight: number): Promise<BlockRow[]> {
    const open = this.#database`
      b.status in ('candidate', 'immature')
      or (b.status in ('orphaned', 'rejected') and b.height >= ${reviveFromHeight})`;
    return await this.#read(open, 'oldest', OPEN_BLOCKS_MAX);
  }

  /** Matured blocks, highest first. */
  async highestMatured(limit: number): Promise<{ hash: string }[]> {
    return await this.#database<{ hash: string }[]>`
      select hash from blocks where status = 'confirmed' order by height desc limit ${limit}`;
  }

  /** One block; null when it is not known. */
  async block(hash: string): Promise<BlockRow | null> {
    const [row] = await this.#read(this.#database`b.hash = ${hash}`, 'newest', 1);
    return row ?? null;
  }

  /** Latest blocks of any status, newest first. */
  async latestBlocks(limit: number): Promise<BlockRow[]> {
    return await this.#read(this.#database`true`, 'newest', limit);
  }

  /** Number of blocks by status. */
  async countByStatus(): Promise<Partial<Record<BlockStatus, number>>> {
    const rows = await this.#database<{ status: BlockStatus; count: number }[]>`
      select status, count(*)::integer as count from blocks group by status`;
    return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
  }

  async #read(where: Fragment, order: 'oldest' | 'newest', limit: number): Promise<BlockRow[]> {
    const direction = order === 'oldest' ? this.#database`asc` : this.#database`desc`;
    const rows = await this.#database<
      (Omit<BlockRow, 'effort' | 'seq' | 'round'> & { seq: bigint; round: bigint })[]
    >`
      select b.hash, b.height, b.status, b.node_id as "nodeId", b.seq, b.round, a.name as account,
             w.name as worker, b.finder_scheme as "finderScheme", b.found_at as "foundAt", b.network_target as "networkTarget",
             b.network_difficulty as "networkDifficulty", b.coinbase_sats as "coinbaseSats",
             b.subsidy_sats as "subsidySats", b.fees_sats as "feesSats", b.round_work as "roundWork",
             b.confirmations, b.reason
      from blocks b
      join accounts a on a.id = b.finder_account_id
      join workers w on w.id = b.finder_worker_id
      where (${where}) order by b.found_at ${direction}, b.seq ${direction} limit ${limit}`;
    return rows.map((row) => ({
      ...row,
      seq: Number(row.seq),
      round: Number(row.round),
      effort:
        row.roundWork === null ? null : Number(row.roundWork) / Number(windowWork(row.networkTarget, 1000)),
    }));
  }
}

async function lockBlock(tx: Transaction, hash: string): Promise<BlockState | null> {
  const [row] = await tx<BlockState[]>`
    select b.status, b.height, b.credits, b.node_id as "nodeId", b.seq, b.round,
           b.finder_account_id as "finderId", coalesce(b.finder_scheme, a.scheme) as "finderScheme", b.network_target as "networkTarget",
           b.coinbase_plan as plan
    from blocks b join accounts a on a.id = b.finder_account_id
    where b.hash = ${hash} for update of b`;
  return row ?? null;
}

/**
 * What each credit account that a matured block paid into still holds, locked until the end of the transaction. All
 * kinds in one order, the one in which postings lock balances.
 */
async function lockSpendable(
  tx: Transaction,
): Promise<(kind: LedgerAccountKind, accountId: number | null) => bigint> {
  const rows = await tx<{ kind: LedgerAccountKind; accountId: number | null; balance: bigint }[]>`
    select a.kind, a.account_id as "accountId", b.balance_sats as balance
    from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
    where a.kind in ('miner_confirmed', 'reserve', 'pool_fee', 'donation', 'remainder')
    order by a.id for update of b`;
  const held = new Map(rows.map(({ kind, accountId, balance }) => [`${kind} ${accountId}`, balance]));
  return (kind, accountId) => held.get(`${kind} ${accountId}`) ?? 0n;
}

const IMMATURE: Partial<Record<LedgerAccountKind, LedgerAccountKind>> = {
  miner_confirmed: 'miner_immature',
  reserve: 'reserve_immature',
  pool_fee: 'pool_fee_immature',
  donation: 'donation_immature',
  remainder: 'remainder_immature',
  wallet: 'coinbase_immature',
};

/** The opposite of what the loss of a block posted, on the immature side. */
function comesBack(lost: readonly LedgerLine[]): LedgerLine[] {
  return lost.map(({ kind, accountId, amountSats }) => ({
    kind: IMMATURE[kind] ?? kind,
    accountId,
    amountSats: -amountSats,
  }));
}

/** Lines of a credit without the loss that a returning block made good: that is settled, nothing of it matures. */
function ofBlock(credited: readonly LedgerLine[]): LedgerLine[] {
  return credited.filter(({ kind }) => kind !== 'orphan_loss');
}
