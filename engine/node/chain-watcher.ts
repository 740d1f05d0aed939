// Asks a node where our blocks stand: how deep in the active chain, or out of it. The ledger decides from
// this when a reward has matured or must be reversed.
import type { NodeRpc } from './rpc.js';
import { NodeRpcError, RPC_NOT_FOUND } from './rpc-error.js';

export interface BlockStanding {
  /** Display order, hex. */
  hash: string;
  /** -1: not in the active chain. 1: it is the tip. */
  confirmations: number;
  /** Undefined when the node does not know the block. */
  height: number | undefined;
  /** False when this node has never seen the block: it may be behind, so that alone proves no orphan. */
  isKnown: boolean;
}

const PARALLEL_MAX = 4;

/**
 * The standing of each of `hashes`, in their order. Throws NodeRpcError when the node is away: a partial
 * answer is never given.
 */
export async function blockStandings(rpc: NodeRpc, hashes: readonly string[]): Promise<BlockStanding[]> {
  const standings: BlockStanding[] = [];
  let next = 0;
  const work = async () => {
    for (let at = next++; at < hashes.length; at = next++) {
      standings[at] = await standingOf(rpc, hashes[at] ?? '');
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, hashes.length) }, work));
  return standings;
}

async function standingOf(rpc: NodeRpc, hash: string): Promise<BlockStanding> {
  try {
    const { confirmations, height } = await rpc.getBlockHeader(hash);
    return { hash, confirmations, height, isKnown: true };
  } catch (error) {
    if (!(error instanceof NodeRpcError) || error.code !== RPC_NOT_FOUND) throw error;
    return { hash, confirmations: -1, height: undefined, isKnown: false };
  }
}
