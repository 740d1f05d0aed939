// What becomes of a block after it was found: credited once the node has it in its best chain, matured at
// 101 confirmations, reversed when a reorg takes it, credited again when it comes back. Works from the
// blocks table alone (the shipper fills it from the journal), so it goes on where it was after any crash.
import type { BlockRow, BlockStore, CreditTerms } from '../storage/postgres/block-store.js';
import { CreditRefused } from '../storage/postgres/coinbase-plans.js';
import { subsidyAndFees } from './accounting/coinbase-outputs.js';
import { MATURITY_CONFIRMATIONS } from './accounting/ledger-entries.js';
import type { TransactionOutput } from './bitcoin/transaction.js';

/** The node's word on a block. */
export interface ChainView {
  /** Height of the best chain's tip. */
  tipHeight(): Promise<number>;
  /** In the order asked; confirmations are 1 for the tip and -1 for a block outside the best chain. */
  standings(hashes: readonly string[]): Promise<{ confirmations: number; isKnown: boolean }[]>;
  /** What the block's coinbase pays, output by output. */
  coinbaseOutputs(hash: string): Promise<TransactionOutput[]>;
}

export type BlockEvent =
  | { type: 'block_credited'; block: BlockRow }
  | { type: 'block_confirmed'; block: BlockRow }
  | { type: 'block_orphaned'; block: BlockRow }
  | { type: 'block_rejected'; block: BlockRow; reason: string };

export interface BlockLifecycleOptions {
  blocks: BlockStore;
  chain: ChainView;
  subsidySats: (height: number) => bigint;
  terms: Omit<CreditTerms, 'subsidySats' | 'feesSats' | 'coinbase'>;
  onEvent: (event: BlockEvent) => void;
  /** Wall clock milliseconds. */
  nowMs: () => number;
}

/** A candidate that no node has heard of for this long, and that a node refused, is given up. */
const REJECT_AFTER_MS = 60_000;
/** Orphaned and rejected blocks this far below the tip are still watched: a reorg back would revive them. */
const REVIVE_DEPTH = 2016;
/** Matured blocks looked at in one go. */
const MATURED_PAGE = 16;

export class BlockLifecycle {
  readonly #options: BlockLifecycleOptions;
  /** Candidates that a node refused, with its reason; the row may come later than the answer. */
  readonly #refused = new Map<string, string>();

  constructor(options: BlockLifecycleOptions) {
    this.#options = options;
  }

  /** The node refused this candidate; it is booked as rejected unless a chain takes it up after all. */
  refuse(hash: string, reason: string): void {
    this.#refused.set(hash, reason);
  }

  /**
   * Looks at every block that is not settled. Throws when Postgres or the node is away: call it again later,
   * each block is its own transaction and nothing is done twice. Throws CreditRefused, after all others, for a block
   * whose coinbase the books cannot take.
   */
  async step(): Promise<void> {
    await this.#watchMatured();
    const tip = await this.#options.chain.tipHeight();
    const open = await this.#options.blocks.openBlocks(tip - REVIVE_DEPTH);
    const standings = await this.#options.chain.standings(open.map(({ hash }) => hash));
    let refused: CreditRefused | null = null;
    for (const [index, block] of open.entries()) {
      const standing = standings[index];
      const confirmations = standing?.isKnown ? standing.confirmations : null;
      try {
        if (block.status === 'immature') await this.#watch(block, confirmations, tip);
        else await this.#judge(block, confirmations, tip);
      } catch (error) {
        // One block that the books cannot take holds up no other.
        if (!(error instanceof CreditRefused)) throw error;
        refused ??= error;
      }
    }
    if (refused !== null) throw refused;
  }

  /** Matured blocks are all of one chain: once the best chain has one, it has all below it. */
  async #watchMatured(): Promise<void> {
    const { blocks, chain, onEvent } = this.#options;
    for (;;) {
      const matured = await blocks.highestMatured(MATURED_PAGE);
      const standings = await chain.standings(matured.map(({ hash }) => hash));
      for (const [index, { hash }] of matured.entries()) {
        const standing = standings[index];
        // A node that does not know it is new or behind: that proves nothing.
        if (standing === undefined || !standing.isKnown || standing.confirmations > 0) return;
        const block = await blocks.block(hash);
        const outcome = await blocks.orphanBlock(
          hash,
          'a reorg took it out of the best chain after it matured',
        );
        if (outcome === 'reversed' && block !== null) onEvent({ type: 'block_orphaned', block });
      }
      if (matured.length < MATURED_PAGE) return;
    }
  }

  /** A candidate, or a block given up that may have come back. */
  async #judge(block: BlockRow, confirmations: number | null, tip: number): Promise<void> {
    const { blocks, onEvent } = this.#options;
    if (confirmations !== null && confirmations > 0) {
      const credited = await blocks.creditBlock(block.hash, await this.#terms(block));
      if (credited === 'credited') onEvent({ type: 'block_credited', block });
      if (credited === 'credited' || credited === 'already') this.#refused.delete(block.hash);
      return;
    }
    if (block.status !== 'candidate') return;
    if (confirmations === -1) {
      await blocks.orphanBlock(block.hash, 'another block of this height is in the best chain');
      onEvent({ type: 'block_orphaned', block });
      return;
    }
    if (confirmations === null && tip >= block.height + MATURITY_CONFIRMATIONS) {
      // A node that died forgot it after taking it, and the chain has long gone on without it.
      await blocks.orphanBlock(block.hash, 'no node knows it any more');
      onEvent({ type: 'block_orphaned', block });
      return;
    }
    const reason = this.#refused.get(block.hash);
    const age = this.#options.nowMs() - block.foundAt.getTime();
    if (reason === undefined || age < REJECT_AFTER_MS) return;
    await blocks.rejectBlock(block.hash, reason);
    this.#refused.delete(block.hash);
    onEvent({ type: 'block_rejected', block, reason });
  }

  async #watch(block: BlockRow, confirmations: number | null, tip: number): Promise<void> {
    const { blocks, onEvent } = this.#options;
    // The node may be behind or new: that it does not know the block proves nothing until it is far past it.
    if (confirmations === null && tip < block.height + MATURITY_CONFIRMATIONS) return;
    if (confirmations === null || confirmations < 0) {
      const outcome = await blocks.orphanBlock(block.hash, 'a reorg took it out of the best chain');
      if (outcome === 'reversed') onEvent({ type: 'block_orphaned', block });
    } else if (confirmations >= MATURITY_CONFIRMATIONS) {
      const outcome = await blocks.matureBlock(block.hash, confirmations);
      if (outcome === 'matured') onEvent({ type: 'block_confirmed', block });
    } else {
      await blocks.setConfirmations(block.hash, confirmations);
    }
  }

  async #terms(block: BlockRow): Promise<CreditTerms> {
    const coinbase = await this.#options.chain.coinbaseOutputs(block.hash);
    const coinbaseSats = coinbase.reduce((sum, { sats }) => sum + sats, 0n);
    const amounts = subsidyAndFees(coinbaseSats, this.#options.subsidySats(block.height));
    return { ...this.#options.terms, ...amounts, coinbase };
  }
}
