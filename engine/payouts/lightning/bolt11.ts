// BOLT11 invoices: decodes, and proves that the payee signed. Pure. Money is sent by what this reads, so
// nothing is guessed: a wrong checksum, an amount finer than a millisatoshi, an unknown mandatory feature
// or a signature of somebody else is an error that says so.
// https://github.com/lightning/bolts/blob/master/11-payment-encoding.md
//
//   ln + prefix + amount | 1 | timestamp (7 words) | fields: type (1) length (2) data | signature (104) | checksum (6)
//   a word has 5 bits
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bech32 } from '@scure/base';
import { sha256 } from '../../bitcoin/hash.js';
import { bytesToHex } from '../../bitcoin/hex.js';
import type { NetworkName } from '../../bitcoin/networks.js';

export interface Invoice {
  /** The invoice in lower case, without `lightning:`. */
  bolt11: string;
  /** What follows `ln`. */
  prefix: InvoicePrefix;
  /** Null: the payer chooses. */
  amountMsat: bigint | null;
  createdAtS: number;
  /** Seconds since 1970 after which the payee refuses. */
  expiresAtS: number;
  /** 32 bytes, hex, in the order they are hashed. */
  paymentHash: string;
  /** 32 bytes, hex; null in old invoices, which nodes of today do not pay. */
  paymentSecret: string | null;
  /** Compressed public key of the payee's node, 33 bytes, hex. */
  payee: string;
  description: string | null;
  /** SHA-256 of a description that is kept elsewhere, 32 bytes, hex. */
  descriptionHash: string | null;
  minFinalCltvExpiry: number;
  /** Numbers of the bits set, ascending. */
  features: readonly number[];
}

export type InvoicePrefix = 'bc' | 'tb' | 'tbs' | 'bcrt';

/** The invoice prefix of each network. Both testnets share one, and so do all signets. */
export const INVOICE_PREFIX: Readonly<Record<NetworkName, InvoicePrefix>> = {
  mainnet: 'bc',
  testnet4: 'tb',
  signet: 'tbs',
  private: 'tbs',
  regtest: 'bcrt',
};

/** A text that is no invoice that may be paid; the message says what is wrong with it. */
export class InvoiceError extends Error {
  override readonly name = 'InvoiceError';
}

/** More than any QR code holds; routing hints of real invoices take a few hundred. */
export const INVOICE_CHARS_MAX = 7089;
const TIMESTAMP_WORDS = 7;
const SIGNATURE_WORDS = 104;
const HASH_WORDS = 52;
const NODE_ID_WORDS = 53;
/** Numbers are read up to this length: 50 bits, exact in a double. */
const NUMBER_WORDS_MAX = 10;
const DEFAULT_EXPIRY_S = 3600;
const DEFAULT_MIN_FINAL_CLTV = 18;
const SUPPLY_MSAT = 21_000_000n * 100_000_000_000n;
const HUMAN_PART = /^ln(bcrt|tbs|tb|bc)(?:([1-9]\d{0,19})([munp]?))?$/;
/** Millisatoshi in one unit, times ten: a pico-bitcoin is a tenth of a millisatoshi. */
const TENTHS_OF_MSAT: Readonly<Record<string, bigint>> = {
  '': 1_000_000_000_000n,
  m: 1_000_000_000n,
  u: 1_000_000n,
  n: 1_000n,
  p: 1n,
};

const FIELD = { p: 1, '9': 5, x: 6, d: 13, s: 16, n: 19, h: 23, c: 24 } as const;

/** Features of BOLT 9 that an invoice may demand and nodes of today have, by their even bit. */
const VAR_ONION = 8;
const PAYMENT_SECRET = 14;
const BASIC_MPP = 16;
const ROUTE_BLINDING = 24;
const PAYMENT_METADATA = 48;
const KNOWN_FEATURES: ReadonlySet<number> = new Set([
  ...[VAR_ONION, PAYMENT_SECRET, BASIC_MPP, ROUTE_BLINDING, PAYMENT_METADATA],
]);
/** [feature, what it needs] (BOLT 9). */
const DEPENDENCIES: readonly (readonly [number, number])[] = [
  [PAYMENT_SECRET, VAR_ONION],
  [BASIC_MPP, PAYMENT_SECRET],
];

/**
 * Decodes an invoice and verifies its signature; `lightning:` before it is allowed. Throws InvoiceError.
 * Does not judge its age, network or amount: the caller knows what it wants.
 */
export function decodeInvoice(text: string): Invoice {
  const bare = text.replace(/^lightning:/i, '');
  if (bare.length > INVOICE_CHARS_MAX) {
    throw new InvoiceError(`an invoice has at most ${INVOICE_CHARS_MAX} characters, this has ${bare.length}`);
  }
  const decoded = bech32.decodeUnsafe(bare, false);
  if (!decoded) throw new InvoiceError('the invoice is not bech32 or its checksum is wrong');
  const { prefix: human, words } = decoded;
  const { prefix, amountMsat } = readHumanPart(human);
  if (words.length < TIMESTAMP_WORDS + SIGNATURE_WORDS) throw new InvoiceError('the invoice is too short');
  const signed = words.slice(0, -SIGNATURE_WORDS);
  const fields = readFields(signed.slice(TIMESTAMP_WORDS));
  const createdAtS = numberOf(signed.slice(0, TIMESTAMP_WORDS));
  if (fields.paymentHash === null) throw new InvoiceError('the invoice has no payment hash');
  checkFeatures(fields.features);
  return {
    bolt11: bare.toLowerCase(),
    prefix,
    amountMsat,
    createdAtS,
    expiresAtS: createdAtS + (fields.expiryS ?? DEFAULT_EXPIRY_S),
    paymentHash: fields.paymentHash,
    paymentSecret: fields.paymentSecret,
    payee: payeeOf(human, signed, words.slice(-SIGNATURE_WORDS), fields.nodeId),
    description: fields.description,
    descriptionHash: fields.descriptionHash,
    minFinalCltvExpiry: fields.minFinalCltvExpiry ?? DEFAULT_MIN_FINAL_CLTV,
    features: fields.features,
  };
}

function readHumanPart(human: string): Pick<Invoice, 'prefix' | 'amountMsat'> {
  const match = HUMAN_PART.exec(human);
  if (match === null) throw new InvoiceError(`"${human.slice(0, 40)}" is not the beginning of an invoice`);
  const [, prefix, digits, multiplier = ''] = match;
  if (digits === undefined) return { prefix: prefix as InvoicePrefix, amountMsat: null };
  const tenths = BigInt(digits) * (TENTHS_OF_MSAT[multiplier] ?? 0n);
  if (tenths % 10n !== 0n) throw new InvoiceError('the amount of the invoice is finer than a millisatoshi');
  if (tenths / 10n > SUPPLY_MSAT) throw new InvoiceError('the invoice asks for more bitcoin than exist');
  return { prefix: prefix as InvoicePrefix, amountMsat: tenths / 10n };
}

interface Fields {
  paymentHash: string | null;
  paymentSecret: string | null;
  description: string | null;
  descriptionHash: string | null;
  nodeId: Uint8Array | null;
  expiryS: number | null;
  minFinalCltvExpiry: number | null;
  features: number[];
}

/** Fields of unknown type or wrong length are skipped, as the standard wants; of two, the first counts. */
function readFields(words: readonly number[]): Fields {
  const fields: Fields = {
    paymentHash: null,
    paymentSecret: null,
    description: null,
    descriptionHash: null,
    nodeId: null,
    expiryS: null,
    minFinalCltvExpiry: null,
    features: [],
  };
  for (let at = 0; at < words.length; ) {
    const head = words.slice(at, at + 3);
    const length = numberOf(head.slice(1));
    const data = words.slice(at + 3, at + 3 + length);
    if (head.length < 3 || data.length < length) {
      throw new InvoiceError('a field of the invoice reaches beyond its end');
    }
    at += 3 + length;
    switch (head[0]) {
      case FIELD.p:
        if (length === HASH_WORDS) fields.paymentHash ??= bytesToHex(bytesOf(data));
        break;
      case FIELD.s:
        if (length === HASH_WORDS) fields.paymentSecret ??= bytesToHex(bytesOf(data));
        break;
      case FIELD.h:
        if (length === HASH_WORDS) fields.descriptionHash ??= bytesToHex(bytesOf(data));
        break;
      case FIELD.n:
        if (length === NODE_ID_WORDS) fields.nodeId ??= bytesOf(data);
        break;
      case FIELD.d:
        fields.description ??= textOf(bytesOf(data));
        break;
      case FIELD.x:
        fields.expiryS ??= numberOf(data);
        break;
      case FIELD.c:
        fields.minFinalCltvExpiry ??= numberOf(data);
        break;
      case FIELD['9']:
        if (fields.features.length === 0) fields.features = bitsOf(data);
        break;
    }
  }
  return fields;
}

function checkFeatures(features: readonly number[]): void {
  const unknown = features.find((bit) => bit % 2 === 0 && !KNOWN_FEATURES.has(bit));
  if (unknown !== undefined)
    throw new InvoiceError(`the invoice demands feature ${unknown}, which is unknown`);
  const has = (bit: number) => features.includes(bit) || features.includes(bit + 1);
  for (const [feature, needed] of DEPENDENCIES) {
    if (has(feature) && !has(needed)) {
      throw new InvoiceError(
        `the invoice has feature ${feature} without feature ${needed}, which that needs`,
      );
    }
  }
}

/** The public key whose signature this is: the one named in the invoice, else the one recovered. */
function payeeOf(
  human: string,
  signed: readonly number[],
  signatureWords: readonly number[],
  nodeId: Uint8Array | null,
): string {
  const signature = bytesOf(signatureWords);
  const compact = signature.subarray(0, 64);
  const message = Buffer.concat([Buffer.from(human, 'utf8'), paddedBytesOf(signed)]);
  const hash = sha256(message);
  try {
    if (nodeId !== null) {
      if (secp256k1.verify(compact, hash, nodeId, { prehash: false })) return bytesToHex(nodeId);
    } else {
      const recovered = secp256k1.Signature.fromBytes(compact, 'compact').addRecoveryBit(
        signature[64] ?? 255,
      );
      return bytesToHex(recovered.recoverPublicKey(hash).toBytes(true));
    }
  } catch {
    // Numbers outside the curve are a wrong signature like any other.
  }
  throw new InvoiceError('the signature of the invoice is wrong');
}

function numberOf(words: readonly number[]): number {
  if (words.length > NUMBER_WORDS_MAX) throw new InvoiceError('a number of the invoice is out of all bounds');
  return words.reduce((number, word) => number * 32 + word, 0);
}

/** Whole bytes; bits that fill no byte are padding and dropped. */
function bytesOf(words: readonly number[]): Uint8Array {
  return paddedBytesOf(words).subarray(0, Math.floor((words.length * 5) / 8));
}

/** Bytes with zero bits after the last word. */
function paddedBytesOf(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((words.length * 5) / 8));
  for (const [index, word] of words.entries()) {
    const at = index * 5;
    const shifted = word << (11 - (at % 8));
    bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (shifted >> 8);
    if ((shifted & 0xff) !== 0) bytes[(at >> 3) + 1] = (bytes[(at >> 3) + 1] ?? 0) | (shifted & 0xff);
  }
  return bytes;
}

/** Numbers of the bits set; bit 0 is the lowest of the last word. */
function bitsOf(words: readonly number[]): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < words.length * 5; bit++) {
    const word = words[words.length - 1 - Math.floor(bit / 5)] ?? 0;
    if ((word >> (bit % 5)) & 1) bits.push(bit);
  }
  return bits;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InvoiceError('the description of the invoice is not UTF-8');
  }
}
