// A block template as `getblocktemplate` gives it (BIP22, BIP23, BIP9, BIP145), checked field by field before any miner
// works on it. A template that asks for something this pool does not do is refused: mining on it would burn
// every block found.
// https://github.com/bitcoin/bips/blob/master/bip-0022.mediawiki

import { isWitnessCommitment } from '../bitcoin/coinbase.js';
import { hexToBytes, isHex } from '../bitcoin/hex.js';
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import { targetFromBits } from '../bitcoin/target.js';

/** Rules that change how a block is built and that this pool follows. */
const KNOWN_RULES = new Set(['csv', 'segwit', 'taproot', 'signet']);

/** OP_TRUE: the one signet challenge that needs no signature in the block. */
const OPEN_SIGNET_CHALLENGE = '51';

const SATS_MAX = 2_100_000_000_000_000n;
const BLOCK_WEIGHT_MAX = 4_000_000;

/** Where hex is decoded to be checked; nothing is kept in it. */
const scratch = Buffer.alloc(65_536);

export interface TemplateTransaction {
  /** Whole transaction in hex, witness included: it only ever goes back to the node, so it stays text. */
  readonly data: string;
  /** Txid, 32 bytes as hashed. */
  readonly txid: Uint8Array;
  /** Wtxid, 32 bytes as hashed. */
  readonly hash: Uint8Array;
  /** Satoshis. */
  readonly fee: bigint;
}

export interface BlockTemplate {
  readonly height: number;
  /** uint32. */
  readonly version: number;
  /** 32 bytes, header order. */
  readonly previousBlock: Uint8Array;
  /** The same in display order, hex. */
  readonly previousBlockHash: string;
  /** Compact target, uint32. */
  readonly bits: number;
  readonly target: bigint;
  /** Unix seconds by the node's clock. */
  readonly curtime: number;
  /** Earliest time a header may carry, Unix seconds. */
  readonly mintime: number;
  /** Satoshis the coinbase may claim: subsidy and fees. */
  readonly coinbaseValue: bigint;
  /** Sum of the fees of `transactions` in satoshis. */
  readonly fees: bigint;
  /** Output script of the BIP141 commitment; absent where segwit is not active. */
  readonly witnessCommitment?: Uint8Array;
  /** In block order, coinbase left out. */
  readonly transactions: readonly TemplateTransaction[];
  /** Sum of the weights of `transactions`. */
  readonly transactionsWeight: number;
  /** Weight a whole block may have. */
  readonly weightLimit: number;
  readonly longpollId?: string;
  /** As the node lists them, with `!` where a miner must know the rule. */
  readonly rules: readonly string[];
  /** Hex of the challenge on a signet. */
  readonly signetChallenge?: string;
}

/** The template cannot be mined on. `field` names what is wrong with it. */
export class TemplateRefused extends Error {
  readonly field: string;

  constructor(field: string, reason: string) {
    super(`block template refused: ${field} ${reason}`);
    this.name = 'TemplateRefused';
    this.field = field;
  }
}

/**
 * The template in the node's answer `json`. Throws TemplateRefused naming the field or rule that is missing, malformed,
 * contradicts another one, or is not supported. With `network`, a signet rule is refused where the network is no signet.
 */
export function parseTemplate(json: unknown, network?: NetworkName): BlockTemplate {
  const fields = record(json, 'template');
  const rules = checkRules(fields, network);
  const transactions: TemplateTransaction[] = [];
  let fees = 0n;
  let transactionsWeight = 0;
  for (const [i, entry] of list(fields.transactions, 'transactions').entries()) {
    const field = `transactions[${i}]`;
    const transaction = record(entry, field);
    const data = text(transaction.data, `${field}.data`);
    if (data.length === 0 || !isWholeHex(data)) throw new TemplateRefused(`${field}.data`, 'is not hex');
    const fee = sats(transaction.fee, `${field}.fee`);
    transactions.push({
      data,
      txid: hash(transaction.txid, `${field}.txid`),
      hash: hash(transaction.hash, `${field}.hash`),
      fee,
    });
    fees += fee;
    transactionsWeight += integer(transaction.weight, `${field}.weight`, 1, BLOCK_WEIGHT_MAX);
  }
  const previousBlock = hash(fields.previousblockhash, 'previousblockhash');
  const { bits, target } = checkTarget(fields);
  const curtime = integer(fields.curtime, 'curtime', 0, 0xffffffff);
  const mintime = integer(fields.mintime, 'mintime', 0, 0xffffffff);
  if (mintime > curtime) throw new TemplateRefused('mintime', `${mintime} is later than curtime ${curtime}`);
  const coinbaseValue = sats(fields.coinbasevalue, 'coinbasevalue');
  if (coinbaseValue < fees) {
    throw new TemplateRefused(
      'coinbasevalue',
      `${coinbaseValue} is less than the fees of its transactions, ${fees}`,
    );
  }
  if (integer(fields.vbrequired ?? 0, 'vbrequired', 0, 0xffffffff) !== 0) {
    throw new TemplateRefused('vbrequired', 'fixes version bits that miners may roll');
  }
  const witnessCommitment = checkCommitment(fields, transactions);
  return {
    height: integer(fields.height, 'height', 1, 0x7fffffff),
    version: integer(fields.version, 'version', -0x80000000, 0xffffffff) >>> 0,
    previousBlock,
    previousBlockHash: text(fields.previousblockhash, 'previousblockhash').toLowerCase(),
    bits,
    target,
    curtime,
    mintime,
    coinbaseValue,
    fees,
    ...(witnessCommitment === undefined ? {} : { witnessCommitment }),
    transactions,
    transactionsWeight,
    weightLimit: integer(fields.weightlimit ?? BLOCK_WEIGHT_MAX, 'weightlimit', 1, 0xffffffff),
    ...(fields.longpollid === undefined ? {} : { longpollId: text(fields.longpollid, 'longpollid') }),
    rules,
    ...(fields.signet_challenge === undefined
      ? {}
      : { signetChallenge: text(fields.signet_challenge, 'signet_challenge') }),
  };
}

function checkRules(fields: Record<string, unknown>, network: NetworkName | undefined): string[] {
  const rules = list(fields.rules ?? [], 'rules').map((rule, i) => text(rule, `rules[${i}]`));
  for (const rule of rules) {
    // BIP9: a rule without `!` may be ignored by who does not know it.
    if (rule.startsWith('!') && !KNOWN_RULES.has(rule.slice(1))) {
      throw new TemplateRefused(
        'rules',
        `demand "${rule}", which this pool does not know: blocks built without it would be invalid`,
      );
    }
  }
  if (rules.some((rule) => rule === '!signet' || rule === 'signet')) {
    if (network !== undefined && !NETWORKS[network].templateRules.includes('signet')) {
      throw new TemplateRefused('rules', `demand "!signet", but the pool runs on ${network}`);
    }
    if (fields.signet_challenge !== OPEN_SIGNET_CHALLENGE) {
      throw new TemplateRefused(
        'signet_challenge',
        'needs a signature in every block, which this pool does not make: use a signet whose challenge is 51',
      );
    }
  }
  return rules;
}

function checkTarget(fields: Record<string, unknown>): { bits: number; target: bigint } {
  const bitsHex = text(fields.bits, 'bits');
  if (bitsHex.length !== 8 || !isHex(bitsHex)) throw new TemplateRefused('bits', 'are not 8 hex digits');
  const bits = Number.parseInt(bitsHex, 16);
  let target: bigint;
  try {
    target = targetFromBits(bits);
  } catch (error) {
    throw new TemplateRefused('bits', `are unusable: ${(error as Error).message}`);
  }
  if (fields.target !== undefined) {
    const given = text(fields.target, 'target');
    if (given.length !== 64 || !isHex(given)) throw new TemplateRefused('target', 'is not 64 hex digits');
    if (BigInt(`0x${given}`) !== target)
      throw new TemplateRefused('target', `is not what bits ${bitsHex} stand for`);
  }
  return { bits, target };
}

function checkCommitment(
  fields: Record<string, unknown>,
  transactions: readonly TemplateTransaction[],
): Uint8Array | undefined {
  const field = 'default_witness_commitment';
  if (fields[field] !== undefined) {
    const hex = text(fields[field], field);
    if (!isHex(hex)) throw new TemplateRefused(field, 'is not hex');
    const script = hexToBytes(hex);
    if (!isWitnessCommitment(script)) throw new TemplateRefused(field, 'is not a BIP141 commitment script');
    return script;
  }
  const withWitness = transactions.findIndex(
    ({ txid, hash: wtxid }) => !txid.every((byte, i) => byte === wtxid[i]),
  );
  if (withWitness >= 0)
    throw new TemplateRefused(field, `is missing, but transactions[${withWitness}] has a witness`);
  return undefined;
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TemplateRefused(field, 'is not an object');
  }
  return value as Record<string, unknown>;
}

function list(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value))
    throw new TemplateRefused(field, value === undefined ? 'is missing' : 'is not a list');
  return value;
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string')
    throw new TemplateRefused(field, value === undefined ? 'is missing' : 'is not text');
  return value;
}

function integer(value: unknown, field: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new TemplateRefused(
      field,
      value === undefined ? 'is missing' : `is not an integer of ${least} to ${most}`,
    );
  }
  return value;
}

/** Amount in satoshis. Some JSON readers give long numbers as text, to keep every digit: both forms are read. */
function sats(value: unknown, field: string): bigint {
  const digits = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof digits === 'string' && /^\d{1,16}$/.test(digits)) {
    const amount = BigInt(digits);
    if (amount <= SATS_MAX) return amount;
  }
  throw new TemplateRefused(field, value === undefined ? 'is missing' : 'is not an amount in satoshis');
}

/** 32 bytes as hashed. `write` stops at the first character that is no hex digit. */
function hash(value: unknown, field: string): Uint8Array {
  const hex = text(value, field);
  if (hex.length !== 64 || scratch.write(hex, 0, 32, 'hex') !== 32) {
    throw new TemplateRefused(field, 'is not a hash of 64 hex digits');
  }
  return new Uint8Array(scratch.subarray(0, 32)).reverse();
}

// Decoding is the quickest test: a template of 4000 transactions takes 1 ms, with a regular expression 9.
function isWholeHex(hex: string): boolean {
  if (hex.length > 2 * scratch.length) return isHex(hex);
  return scratch.write(hex, 'hex') * 2 === hex.length;
}
