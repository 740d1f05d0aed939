// The fees that FPPS pays: by epochs of 144 blocks counted from genesis, a share of epoch e is paid with
// floor(total fees of the 144 blocks of epoch e-1 / 144). Epochs go by height, not by clock: whoever has the chain
// gets the same figure. No block is trimmed: what outliers pay, the pool's own blocks earn on average too.
// Inputs: `totalfee` of Bitcoin Core's getblockstats for each block, in satoshis.

export const FEE_EPOCH_BLOCKS = 144;

/** Epoch of the block at `height` (0 = genesis). */
export function feeEpoch(height: number): number {
  if (!Number.isSafeInteger(height) || height < 0) throw new RangeError(`block height ${height}`);
  return Math.floor(height / FEE_EPOCH_BLOCKS);
}

/** First and last height of `epoch`, both in it. */
export function feeEpochHeights(epoch: number): { first: number; last: number } {
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new RangeError(`fee epoch ${epoch}`);
  const first = epoch * FEE_EPOCH_BLOCKS;
  return { first, last: first + FEE_EPOCH_BLOCKS - 1 };
}

/** The epoch whose fees pay work for the block at `height`; null in the first epoch, which is paid no fees. */
export function paidFeeEpoch(height: number): number | null {
  const epoch = feeEpoch(height);
  return epoch === 0 ? null : epoch - 1;
}

/**
 * Average fees in satoshis of one epoch, rounded down. `totalFeesSats`: of each of its blocks, in any order.
 * Throws RangeError unless there are 144, none negative: an average of less would be paid as if it were final.
 */
export function averageFees(totalFeesSats: readonly bigint[]): bigint {
  if (totalFeesSats.length !== FEE_EPOCH_BLOCKS) {
    throw new RangeError(`a fee epoch has ${FEE_EPOCH_BLOCKS} blocks, not ${totalFeesSats.length}`);
  }
  let sum = 0n;
  for (const fees of totalFeesSats) {
    if (fees < 0n) throw new RangeError(`a block with ${fees} satoshis of fees`);
    sum += fees;
  }
  return sum / BigInt(FEE_EPOCH_BLOCKS);
}
