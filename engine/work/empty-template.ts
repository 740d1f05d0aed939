// The template of a block with nothing but its coinbase, made of the header of a new tip and what the last
// template said. Miners get it while the node still puts the full one together (8 to 21 ms for 4000
// transactions, 15 more to read it and make a job; a header takes 1 ms): hashing on the old tip is wasted work.
// Called by the template source, only with a tip that our own node has validated and made its best block.
import { witnessCommitmentScript } from '../bitcoin/coinbase.js';
import { hashFromDisplay } from '../bitcoin/hex.js';
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import { blockSubsidy } from '../bitcoin/subsidy.js';
import { targetFromBits } from '../bitcoin/target.js';
import type { BlockTemplate } from './template.js';

/** What the header of the tip must tell. */
export interface TipHeader {
  /** Display order, hex. */
  readonly hash: string;
  readonly height: number;
  /** Compact target of the tip, uint32. */
  readonly bits: number;
  /** Unix seconds: median of the tip and the ten blocks below it. */
  readonly medianTime: number;
}

/** Blocks between two changes of the target, and of the version bits (Bitcoin Core, kernel/chainparams.cpp). */
const RETARGET_BLOCKS = 2016;

/**
 * The empty template on `tip`, or null where its target cannot be known from the header alone: at a change of
 * the target, and on networks where the target depends on the time of the block.
 * `last`: a template of the same node; version, rules and limits are taken from it. `nodeTime`: Unix seconds
 * by the node's clock.
 */
export function emptyTemplate(
  tip: TipHeader,
  last: BlockTemplate,
  network: NetworkName,
  nodeTime: number,
): BlockTemplate | null {
  const height = tip.height + 1;
  if (NETWORKS[network].chain === 'testnet4' || height % RETARGET_BLOCKS === 0) return null;
  const mintime = tip.medianTime + 1;
  return {
    height,
    version: last.version,
    previousBlock: hashFromDisplay(tip.hash),
    previousBlockHash: tip.hash,
    bits: tip.bits,
    target: targetFromBits(tip.bits),
    curtime: Math.max(mintime, nodeTime),
    mintime,
    coinbaseValue: blockSubsidy(height, network),
    fees: 0n,
    // Always the same without transactions. Signets demand it (BIP325), elsewhere it does no harm.
    ...(last.witnessCommitment === undefined ? {} : { witnessCommitment: witnessCommitmentScript([]) }),
    transactions: [],
    transactionsWeight: 0,
    weightLimit: last.weightLimit,
    rules: last.rules,
    ...(last.signetChallenge === undefined ? {} : { signetChallenge: last.signetChallenge }),
  };
}
