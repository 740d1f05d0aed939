// New coins of a block: 50 BTC, halved every interval, gone after 33 halvings (Bitcoin Core GetBlockSubsidy).

import { NETWORKS, type NetworkName } from './networks.js';

const INITIAL_SUBSIDY_SATS = 5_000_000_000n;

/** Subsidy in satoshis of the block at `height` (0 = genesis), fees not counted. */
export function blockSubsidy(height: number, network: NetworkName): bigint {
  if (!Number.isSafeInteger(height) || height < 0) throw new RangeError(`block height ${height}`);
  const halvings = Math.floor(height / NETWORKS[network].halvingInterval);
  return INITIAL_SUBSIDY_SATS >> BigInt(halvings);
}
