// The coinbase transaction: BIP34 height, pool tag, a hole for the miner's extranonce, outputs, BIP141 commitment.
// Everything in scriptSig is a data push: bytes that happen to read as OP_CHECKSIG would count as signature
// operations of the block, and extranonces are arbitrary bytes.
//
//   | version, input count, null outpoint, scriptSig length | height | tag push | push opcode, uniquifier |  coinbase1
//   | extranonce1, extranonce2 |                                                                             the hole
//   | sequence | outputs | lock time |                                                                       coinbase2
//
// https://github.com/bitcoin/bips/blob/master/bip-0034.mediawiki
// https://github.com/bitcoin/bips/blob/master/bip-0141.mediawiki

import { sha256d } from './hash.js';
import { merkleRoot } from './merkle.js';
import { concatBytes, encodeOutput, encodeVarint, type TransactionOutput, uint32LE } from './transaction.js';

/** Consensus limit of a coinbase scriptSig (Bitcoin Core tx_check.cpp: 2 .. 100 bytes). */
export const SCRIPT_SIG_BYTES_MAX = 100;

/** Bytes that BIP141 adds to a coinbase in the block: marker, flag, stack count, item length, reserved value. */
export const COINBASE_WITNESS_BYTES = 2 + 1 + 1 + 32;

const DIRECT_PUSH_BYTES_MAX = 75;
const COMMITMENT_PREFIX = Uint8Array.of(0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed);

export interface CoinbaseParts {
  /** Block height, 1 .. 2^31-1. */
  readonly height: number;
  /** Name of the pool in scriptSig, at most 75 bytes; may be empty. */
  readonly tag: Uint8Array;
  /** Bytes before the extranonce that tell this coinbase from every other one of the pool. */
  readonly uniquifier?: Uint8Array;
  /** Length of the hole: extranonce1 and extranonce2 together, at least 1. */
  readonly extranonceBytes: number;
  /** Who is paid, in this order. */
  readonly outputs: readonly TransactionOutput[];
  /** Output script of the witness commitment as the template gives it; comes last. Omit for a block without witnesses. */
  readonly witnessCommitment?: Uint8Array;
}

export interface CoinbaseHalves {
  readonly coinbase1: Uint8Array;
  readonly coinbase2: Uint8Array;
}

/**
 * The height as scriptSig must begin with it: what Bitcoin Core's `CScript() << height` gives. That is OP_1 .. OP_16
 * for 1 .. 16 (met on regtest and young signets), else a push of the minimal signed little-endian number.
 * Throws RangeError outside 1 .. 2^31-1.
 */
export function heightPush(height: number): Uint8Array {
  if (!Number.isInteger(height) || height < 1 || height > 0x7fffffff) {
    throw new RangeError(`block height ${height} is not within 1 .. 2^31-1`);
  }
  if (height <= 16) return Uint8Array.of(0x50 + height);
  const number: number[] = [];
  for (let rest = height; rest > 0; rest = Math.floor(rest / 256)) number.push(rest % 256);
  // The top bit is the sign: a number that would set it gets one more byte.
  if (((number.at(-1) ?? 0) & 0x80) !== 0) number.push(0);
  return Uint8Array.of(number.length, ...number);
}

/**
 * Both halves of the coinbase around the extranonce, without witness: coinbase1 + extranonce + coinbase2 hashes to the txid.
 * Lock time is height - 1 with a non-final sequence, as BIP54 asks and Bitcoin Core 30 mines: no coinbase can equal an older one.
 * Throws RangeError when scriptSig passes 100 bytes or a push its 75, and when the extranonce has no room.
 */
export function buildCoinbase(parts: CoinbaseParts): CoinbaseHalves {
  const uniquifier = parts.uniquifier ?? new Uint8Array(0);
  if (!Number.isInteger(parts.extranonceBytes) || parts.extranonceBytes < 1) {
    throw new RangeError(`extranonce of ${parts.extranonceBytes} bytes`);
  }
  if (parts.outputs.length === 0) throw new RangeError('a coinbase needs at least one output');
  const scriptStart = concatBytes([
    heightPush(parts.height),
    ...(parts.tag.length === 0 ? [] : [pushOpcode(parts.tag.length), parts.tag]),
    pushOpcode(uniquifier.length + parts.extranonceBytes),
    uniquifier,
  ]);
  const scriptBytes = scriptStart.length + parts.extranonceBytes;
  if (scriptBytes > SCRIPT_SIG_BYTES_MAX) {
    throw new RangeError(
      `coinbase scriptSig has ${scriptBytes} bytes, consensus allows ${SCRIPT_SIG_BYTES_MAX}: shorten the pool tag by ${scriptBytes - SCRIPT_SIG_BYTES_MAX}`,
    );
  }
  const outputs = [...parts.outputs];
  if (parts.witnessCommitment !== undefined) outputs.push({ sats: 0n, script: parts.witnessCommitment });
  return {
    coinbase1: concatBytes([
      uint32LE(2),
      Uint8Array.of(1),
      new Uint8Array(32),
      uint32LE(0xffffffff),
      encodeVarint(scriptBytes),
      scriptStart,
    ]),
    coinbase2: concatBytes([
      uint32LE(0xfffffffe),
      encodeVarint(outputs.length),
      ...outputs.map(encodeOutput),
      uint32LE(parts.height - 1),
    ]),
  };
}

/**
 * The coinbase as a block with witnesses carries it: marker and flag after the version, and one stack item of 32 zero
 * bytes (the witness reserved value) before the lock time. The txid stays what it was.
 */
export function withWitness(coinbaseNoWitness: Uint8Array): Uint8Array {
  const end = coinbaseNoWitness.length - 4;
  return concatBytes([
    coinbaseNoWitness.subarray(0, 4),
    Uint8Array.of(0, 1),
    coinbaseNoWitness.subarray(4, end),
    Uint8Array.of(1, 32),
    new Uint8Array(32),
    coinbaseNoWitness.subarray(end),
  ]);
}

/**
 * Output script that commits to the witnesses of a block (BIP141), reserved value 32 zero bytes.
 * `otherWtxidsLE`: wtxids of the block in order without the coinbase, 32 bytes each as hashed.
 */
export function witnessCommitmentScript(otherWtxidsLE: readonly Uint8Array[]): Uint8Array {
  const root = merkleRoot([new Uint8Array(32), ...otherWtxidsLE]);
  return concatBytes([COMMITMENT_PREFIX, sha256d(concatBytes([root, new Uint8Array(32)]))]);
}

/** True when `script` is a BIP141 commitment output: at least 38 bytes, beginning 6a24aa21a9ed. */
export function isWitnessCommitment(script: Uint8Array): boolean {
  return script.length >= 38 && COMMITMENT_PREFIX.every((byte, i) => script[i] === byte);
}

function pushOpcode(length: number): Uint8Array {
  if (length > DIRECT_PUSH_BYTES_MAX) {
    throw new RangeError(
      `${length} bytes in one coinbase push, at most ${DIRECT_PUSH_BYTES_MAX} are supported`,
    );
  }
  return Uint8Array.of(length);
}
