// Blocks of the main chain with few transactions, whole enough to be mined again: header, coinbase, txids.
// Public data; each proves itself, since its header must hash to the name that the chain knows it by.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFromDisplay, hexToBytes } from '../../engine/bitcoin/hex.js';
import { merkleBranch } from '../../engine/bitcoin/merkle.js';
import { GENESIS_COINBASE, NETWORKS } from '../../engine/bitcoin/networks.js';
import { targetFromBits, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { projectRoot } from '../../storage/project-root.js';
import type { JobSlot, ShareInput } from '../../wasm/slots.js';

export interface SampleBlock {
  readonly height: number;
  /** As block explorers show it. */
  readonly hash: string;
  /** 80 bytes. */
  readonly header: Buffer;
  /** Without witness. */
  readonly coinbase: Uint8Array;
  /** Of the coinbase, lowest level first, 32 bytes each as hashed. */
  readonly branch: readonly Uint8Array[];
}

export const SAMPLE: readonly SampleBlock[] = [
  block(0, NETWORKS.mainnet.genesisHash, NETWORKS.mainnet.genesisHeader, GENESIS_COINBASE),
  block(
    1,
    '00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048',
    '010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299',
    '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d0104ffffffff0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66fb8be7947be63c52da7589379515d4e0a604f8141781e62294721166bf621e73a82cbf2342c858eeac00000000',
  ),
  block(
    170,
    '00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee',
    '0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166562cac7d51b96a49ffff001d283e9e70',
    '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963367c7a6ce34eec332b32e42e5f3407e052d64ac625da6f0718e7b302140434bd725706957c092db53805b821a85b23a7ac61725bac00000000',
    ['f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16'],
  ),
  block(
    100_000,
    '000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506',
    '0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710',
    '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff08044c86041b020602ffffffff0100f2052a010000004341041b0e8c2567c12536aa13357b79a073dc4444acb83c4ec7a0e2f99dd7457516c5817242da796924ca4e99947d087fedf9ce467cb9f7c6287078f801df276fdf84ac00000000',
    [
      'fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4',
      '6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4',
      'e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d',
    ],
  ),
];

/** Block 413567 (1,557 transactions) of `../shared/vectors`, or undefined and one line where that is absent. */
export function block413567(): SampleBlock | undefined {
  const path = join(projectRoot(), '../shared/vectors/mainnet_block_413567.json');
  if (!existsSync(path)) {
    console.log('mainnet_block_413567.json is not here: blocks of at most four transactions stand in for it');
    return undefined;
  }
  const vector = JSON.parse(readFileSync(path, 'utf8')) as {
    height: number;
    hash_be: string;
    header: string;
    coinbase_tx: string;
    merkle_branch: string[];
  };
  return {
    height: vector.height,
    hash: vector.hash_be,
    header: Buffer.from(vector.header, 'hex'),
    coinbase: hexToBytes(vector.coinbase_tx),
    branch: vector.merkle_branch.map(hexToBytes),
  };
}

/**
 * The block as a job and the share that solves it, the `extranonceBytes` bytes of its coinbase at `at` being
 * the extranonce. The share target is the network target.
 */
export function asJobAndShare(
  block: SampleBlock,
  at: number,
  extranonceBytes: number,
): [JobSlot, ShareInput] {
  const { header, coinbase } = block;
  const bits = header.readUInt32LE(72);
  const networkTargetLE = targetToBytesLE(targetFromBits(bits));
  const job = {
    coinbase1: coinbase.subarray(0, at),
    coinbase2: coinbase.subarray(at + extranonceBytes),
    branch: block.branch,
    previousBlock: header.subarray(4, 36),
    bits,
    networkTargetLE,
  };
  const share = {
    jobSlot: 7,
    version: header.readUInt32LE(0),
    ntime: header.readUInt32LE(68),
    nonce: header.readUInt32LE(76),
    extranonce: coinbase.subarray(at, at + extranonceBytes),
    shareTargetLE: networkTargetLE,
  };
  return [job, share];
}

function block(
  height: number,
  hash: string,
  header: string,
  coinbase: string,
  otherTxids: readonly string[] = [],
): SampleBlock {
  return {
    height,
    hash,
    header: Buffer.from(header, 'hex'),
    coinbase: hexToBytes(coinbase),
    branch: merkleBranch(otherTxids.map(hashFromDisplay)),
  };
}
