// Average fees by epoch, for FPPS (engine/accounting/fee-average.ts has the rule). Each is stored once, with the
// fees of every block it was taken from, and never changes: whoever pays later pays the same.
import { averageFees, FEE_EPOCH_BLOCKS, feeEpochHeights } from '../../engine/accounting/fee-average.js';
import type { Database } from './connection.js';

export interface FeeAverage {
  /** Of the blocks. Shares of the epoch after it are paid with it. */
  epoch: number;
  firstHeight: number;
  lastHeight: number;
  /** Display order hex. */
  lastBlockHash: string;
  /** Of each block, by height. */
  blockFeesSats: bigint[];
  totalFeesSats: bigint;
  averageFeesSats: bigint;
}

export class FeeAverages {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Epochs whose average FPPS work waits for, oldest first; `limit` at most. It may be of blocks that the chain does
   * not have yet.
   */
  async missing(limit: number): Promise<number[]> {
    const rows = await this.#database<{ epoch: number }[]>`
      select distinct w.height / ${FEE_EPOCH_BLOCKS}::integer - 1 as epoch
      from expected_work w
      where w.scheme = 'fpps' and w.height >= ${FEE_EPOCH_BLOCKS}
        and not exists (select from fee_averages f where f.epoch = w.height / ${FEE_EPOCH_BLOCKS}::integer - 1)
      order by epoch limit ${limit}`;
    return rows.map(({ epoch }) => epoch);
  }

  /**
   * Stores the average of `epoch` from the fees of its 144 blocks, by height. 'already': it is stored, and stays as
   * it is. Throws RangeError unless there are 144 fees, none negative.
   */
  async store(
    epoch: number,
    blockFeesSats: readonly bigint[],
    lastBlockHash: string,
  ): Promise<'stored' | 'already'> {
    const { first, last } = feeEpochHeights(epoch);
    const total = blockFeesSats.reduce((sum, fees) => sum + fees, 0n);
    const stored = await this.#database`
      insert into fee_averages (epoch, first_height, last_height, last_block_hash, block_fees_sats,
                                total_fees_sats, average_fees_sats)
      values (${epoch}, ${first}, ${last}, ${lastBlockHash}, ${blockFeesSats.map(String)}::bigint[],
              ${total}, ${averageFees(blockFeesSats)})
      on conflict (epoch) do nothing`;
    return stored.count === 1 ? 'stored' : 'already';
  }

  /** Newest epoch first; `limit` at most. */
  async latest(limit: number): Promise<FeeAverage[]> {
    return await this.#database<FeeAverage[]>`
      select epoch, first_height as "firstHeight", last_height as "lastHeight",
             last_block_hash as "lastBlockHash", block_fees_sats as "blockFeesSats",
             total_fees_sats as "totalFeesSats", average_fees_sats as "averageFeesSats"
      from fee_averages order by epoch desc limit ${limit}`;
  }
}
