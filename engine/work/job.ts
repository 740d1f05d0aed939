// A job: what miners need of a template, and the way back from a winning share to a whole block.
// Built once per template by the coordinator; every coinbase carries the number of its job, so no two jobs of
// a pool can ever give the same header.
// mining.notify: https://en.bitcoin.it/wiki/Stratum_mining_protocol

import { strict as assert } from 'node:assert';
import { buildCoinbase, COINBASE_WITNESS_BYTES, withWitness } from '../bitcoin/coinbase.js';
import { sha256d } from '../bitcoin/hash.js';
import { encodeHeader, HEADER_BYTES, headerHash } from '../bitcoin/header.js';
import { bytesToHex } from '../bitcoin/hex.js';
import { merkleBranch, rootFromBranch } from '../bitcoin/merkle.js';
import { difficultyFromTarget } from '../bitcoin/target.js';
import { concatBytes, encodeVarint, type TransactionOutput } from '../bitcoin/transaction.js';
import type { BlockTemplate } from './template.js';

export interface Job {
  /** The number it was built with: grows, never repeats. */
  readonly key: number;
  /** The same in hex, as `mining.notify` sends it. */
  readonly id: string;
  readonly height: number;
  /** 32 bytes, header order. */
  readonly previousBlock: Uint8Array;
  /** The same in display order, hex. */
  readonly previousBlockHash: string;
  /** uint32. */
  readonly version: number;
  /** Compact network target, uint32. */
  readonly bits: number;
  readonly networkTarget: bigint;
  /** For display; blocks are judged by `networkTarget`. */
  readonly networkDifficulty: number;
  /** Unix seconds by the node's clock. */
  readonly curtime: number;
  /** Earliest header time, Unix seconds. */
  readonly mintime: number;
  /** Coinbase before the extranonce, without witness. */
  readonly coinbase1: Uint8Array;
  /** Coinbase after the extranonce. */
  readonly coinbase2: Uint8Array;
  readonly extranonce1Bytes: number;
  readonly extranonce2Bytes: number;
  /** Merkle branch of the coinbase, lowest level first, 32 bytes each as hashed. */
  readonly branch: readonly Uint8Array[];
  /** Satoshis the coinbase pays. */
  readonly coinbaseValue: bigint;
  /** Fees in it. */
  readonly fees: bigint;
  /** New coins in it. */
  readonly subsidy: bigint;
  readonly template: BlockTemplate;
}

export interface JobParts {
  readonly template: BlockTemplate;
  /** Counter, 1 .. 2^53-1. The caller never gives one twice, also not after a restart. */
  readonly jobId: number;
  /** Who the coinbase pays; must sum to exactly `template.coinbaseValue`. */
  readonly outputs: readonly TransactionOutput[];
  /** Pool name for scriptSig, at most 70 bytes of UTF-8. */
  readonly tag: string;
  readonly extranonce1Bytes: number;
  readonly extranonce2Bytes: number;
  /** Goes before the job counter: for pools of which several processes pay the same script. */
  readonly uniquifier?: Uint8Array;
}

/** What of a header and coinbase the miner chose. */
export interface Solution {
  readonly extranonce1: Uint8Array;
  readonly extranonce2: Uint8Array;
  /** The whole header version, rolled bits applied, uint32. */
  readonly version: number;
  /** Unix seconds. */
  readonly ntime: number;
  /** uint32. */
  readonly nonce: number;
}

export interface AssembledBlock {
  /** 80 bytes. */
  readonly header: Uint8Array;
  /** 32 bytes as hashed. */
  readonly hash: Uint8Array;
  /** 32 bytes as hashed. */
  readonly coinbaseTxid: Uint8Array;
  /** The whole block for `submitblock`, witnesses included. */
  readonly blockHex: string;
}

/** Parameters of `mining.notify`: job id, prevhash, coinb1, coinb2, branch, version, nbits, ntime, clean_jobs. */
export type NotifyParams = [string, string, string, string, string[], string, string, string, boolean];

/**
 * Makes the job with number `jobId` from a template.
 * Throws RangeError when the coinbase breaks a limit of consensus: scriptSig length, or the block weight with it.
 */
export function buildJob(parts: JobParts): Job {
  const { template } = parts;
  assert(Number.isSafeInteger(parts.jobId) && parts.jobId > 0, `job id ${parts.jobId} is no counter`);
  const paid = parts.outputs.reduce((sum, output) => sum + output.sats, 0n);
  assert(
    paid === template.coinbaseValue,
    `coinbase outputs sum to ${paid} sats, the template allows exactly ${template.coinbaseValue}`,
  );
  const counter = new Uint8Array(8);
  new DataView(counter.buffer).setBigUint64(0, BigInt(parts.jobId));
  const extranonceBytes = parts.extranonce1Bytes + parts.extranonce2Bytes;
  const halves = buildCoinbase({
    height: template.height,
    tag: new TextEncoder().encode(parts.tag),
    uniquifier: concatBytes([parts.uniquifier ?? new Uint8Array(0), counter]),
    extranonceBytes,
    outputs: parts.outputs,
    ...(template.witnessCommitment === undefined ? {} : { witnessCommitment: template.witnessCommitment }),
  });
  checkWeight(template, halves.coinbase1.length + extranonceBytes + halves.coinbase2.length);
  return {
    key: parts.jobId,
    id: parts.jobId.toString(16),
    height: template.height,
    previousBlock: template.previousBlock,
    previousBlockHash: template.previousBlockHash,
    version: template.version,
    bits: template.bits,
    networkTarget: template.target,
    networkDifficulty: difficultyFromTarget(template.target),
    curtime: template.curtime,
    mintime: template.mintime,
    ...halves,
    extranonce1Bytes: parts.extranonce1Bytes,
    extranonce2Bytes: parts.extranonce2Bytes,
    branch: merkleBranch(template.transactions.map((transaction) => transaction.txid)),
    coinbaseValue: template.coinbaseValue,
    fees: template.fees,
    subsidy: template.coinbaseValue - template.fees,
    template,
  };
}

/** `mining.notify` of `job`. `cleanJobs` is true only when the tip moved. */
export function notifyParams(job: Job, cleanJobs: boolean): NotifyParams {
  return [
    job.id,
    bytesToHex(swappedWords(job.previousBlock)),
    bytesToHex(job.coinbase1),
    bytesToHex(job.coinbase2),
    job.branch.map(bytesToHex),
    uint32Hex(job.version),
    uint32Hex(job.bits),
    uint32Hex(job.curtime),
    cleanJobs,
  ];
}

/** The block that `solution` makes of `job`. Does not judge its hash. */
export function assembleBlock(job: Job, solution: Solution): AssembledBlock {
  assert(
    solution.extranonce1.length === job.extranonce1Bytes,
    'extranonce1 has the length the job was built for',
  );
  assert(
    solution.extranonce2.length === job.extranonce2Bytes,
    'extranonce2 has the length the job was built for',
  );
  const coinbase = concatBytes([job.coinbase1, solution.extranonce1, solution.extranonce2, job.coinbase2]);
  const coinbaseTxid = sha256d(coinbase);
  const header = encodeHeader({
    version: solution.version,
    previousBlock: job.previousBlock,
    merkleRoot: rootFromBranch(coinbaseTxid, job.branch),
    time: solution.ntime,
    bits: job.bits,
    nonce: solution.nonce,
  });
  const { transactions, witnessCommitment } = job.template;
  // Without a commitment a coinbase witness is an error of its own ("unexpected-witness").
  const coinbaseInBlock = witnessCommitment === undefined ? coinbase : withWitness(coinbase);
  const blockHex = [
    bytesToHex(header),
    bytesToHex(encodeVarint(transactions.length + 1)),
    bytesToHex(coinbaseInBlock),
    ...transactions.map((transaction) => transaction.data),
  ].join('');
  return { header, hash: headerHash(header), coinbaseTxid, blockHex };
}

/** The node keeps room for a coinbase of its own guess (8000 weight units in Core); many outputs can pass it. */
function checkWeight(template: BlockTemplate, coinbaseBytes: number): void {
  const counts = encodeVarint(template.transactions.length + 1).length;
  const coinbase =
    4 * coinbaseBytes + (template.witnessCommitment === undefined ? 0 : COINBASE_WITNESS_BYTES);
  const weight = 4 * (HEADER_BYTES + counts) + coinbase + template.transactionsWeight;
  if (weight > template.weightLimit) {
    throw new RangeError(
      `block would weigh ${weight}, ${weight - template.weightLimit} too much: the coinbase is larger than the node reserved for it; raise -blockreservedweight of the node`,
    );
  }
}

/** Stratum sends the previous hash with the bytes of every 4-byte word swapped: miners swap them back. */
function swappedWords(hash: Uint8Array): Uint8Array {
  const swapped = new Uint8Array(hash);
  for (let at = 0; at < swapped.length; at += 4) swapped.subarray(at, at + 4).reverse();
  return swapped;
}

function uint32Hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
