// Merkle trees of a block: root, and the branch that lets a miner change only the coinbase.
// Odd levels pair their last node with itself (Bitcoin Core consensus/merkle.cpp).

import { sha256d } from './hash.js';

/** Root over `txidsLE` (32 bytes each, block order, coinbase first). Throws RangeError when there is none. */
export function merkleRoot(txidsLE: readonly Uint8Array[]): Uint8Array {
  const [first, ...others] = txidsLE;
  if (first === undefined) throw new RangeError('a merkle tree needs at least the coinbase');
  return rootFromBranch(first, merkleBranch(others));
}

/**
 * Branch of position 0, lowest level first: what `mining.notify` carries.
 * `otherTxidsLE`: txids of the block in order, without the coinbase; none of them gives an empty branch.
 */
export function merkleBranch(otherTxidsLE: readonly Uint8Array[]): Uint8Array[] {
  const branch: Uint8Array[] = [];
  // `level` is always the level without its leftmost node, which depends on the coinbase.
  let level = otherTxidsLE;
  for (;;) {
    const sibling = level[0];
    if (sibling === undefined) return branch;
    branch.push(sibling);
    const next: Uint8Array[] = [];
    for (let i = 1; i < level.length; i += 2) {
      const left = level[i] as Uint8Array;
      next.push(hashPair(left, level[i + 1] ?? left));
    }
    level = next;
  }
}

/** Root from the coinbase txid (32 bytes as hashed) and its branch, lowest level first. */
export function rootFromBranch(coinbaseTxidLE: Uint8Array, branch: readonly Uint8Array[]): Uint8Array {
  let node = coinbaseTxidLE;
  for (const sibling of branch) node = hashPair(node, sibling);
  return node;
}

function hashPair(left: Uint8Array, right: Uint8Array): Uint8Array {
  const pair = new Uint8Array(64);
  pair.set(left, 0);
  pair.set(right, 32);
  return sha256d(pair);
}
