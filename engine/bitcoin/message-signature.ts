// Was this message signed by the owner of this address? BIP322 (simple and full) and the older "Bitcoin Signed Message"
// with the header bytes of BIP137. Called where an account's payout address changes: what is doubtful is refused.
// https://github.com/bitcoin/bips/blob/master/bip-0322.mediawiki
// https://github.com/bitcoin/bips/blob/master/bip-0137.mediawiki

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { ripemd160 } from '@noble/hashes/legacy.js';
import { base64 } from '@scure/base';
import { type PayoutAddress, parsePayoutAddress } from './address.js';
import { sha256, sha256d } from './hash.js';
import { simpleTransaction, verifyToSign } from './message-signature-bip322.js';
import type { NetworkName } from './networks.js';
import { concatBytes, encodeVarint, parseTransaction } from './transaction.js';

export type MessageSignatureKind = 'legacy' | 'bip322_simple' | 'bip322_full';

export interface SignedMessage {
  address: string;
  network: NetworkName;
  /** Signed as UTF-8, as it is: no newline is added or taken away. */
  message: string;
  /** Base64; BIP322 may be prefixed with `smp` or `ful`. */
  signature: string;
}

export type MessageVerdict =
  | {
      valid: true;
      kind: MessageSignatureKind;
      /** nLockTime and nSequence that a full signature chose: it is valid at that time and age only. Else 0. */
      lockTime: number;
      sequence: number;
    }
  | { valid: false /** One sentence for the signer. */; why: string };

/** UTF-8 bytes of a message. */
export const MESSAGE_BYTES_MAX = 8192;
/** Characters of a signature: 15 of 15 keys take 2200. */
export const SIGNATURE_CHARS_MAX = 8192;

const LEGACY_BYTES = 65;
const LEGACY_MAGIC = new TextEncoder().encode('\x18Bitcoin Signed Message:\n');
/** What the header of a legacy signature says of the address, four header bytes each from 27 on (BIP137). */
const LEGACY_HEADERS = ['p2pkh', 'p2pkh', 'p2sh', 'p2wpkh'] as const;

/** Checks a signed message. Never throws: whatever is wrong with any input is told in `why`. */
export function verifyMessage({ address, network, message, signature }: SignedMessage): MessageVerdict {
  try {
    const payee = parsePayoutAddress(address, network);
    const bytes = messageBytes(message);
    const { form, data } = decodeSignature(signature);
    if (form === 'legacy') {
      verifyLegacy(payee, bytes, data);
      return { valid: true, kind: 'legacy', lockTime: 0, sequence: 0 };
    }
    const transaction =
      form === 'simple'
        ? simpleTransaction(payee, bytes, data)
        : parseAs('transaction', data, parseTransaction);
    const { lockTime, sequence } = verifyToSign(payee, bytes, transaction);
    return { valid: true, kind: `bip322_${form}`, lockTime, sequence };
  } catch (error) {
    return { valid: false, why: (error as Error).message };
  }
}

function messageBytes(message: string): Uint8Array {
  // A lone surrogate has no UTF-8: two different texts would be one message.
  if (/\p{Surrogate}/u.test(message)) throw new Error('the message is not valid Unicode');
  const bytes = new TextEncoder().encode(message);
  if (bytes.length > MESSAGE_BYTES_MAX) {
    throw new Error(`the message has ${bytes.length} bytes, ${MESSAGE_BYTES_MAX} is the most`);
  }
  return bytes;
}

function decodeSignature(text: string): { form: 'legacy' | 'simple' | 'full'; data: Uint8Array } {
  if (text.length > SIGNATURE_CHARS_MAX) {
    throw new Error(`the signature has ${text.length} characters, ${SIGNATURE_CHARS_MAX} is the most`);
  }
  if (text.startsWith('pof'))
    throw new Error('a proof of funds (BIP322 "pof") is not accepted, only a signature');
  const prefix = /^(smp|ful)/.exec(text)?.[0];
  let data: Uint8Array;
  try {
    data = base64.decode(prefix === undefined ? text : text.slice(prefix.length));
  } catch {
    throw new Error('the signature is not base64: a character is missing, added or changed');
  }
  if (data.length === 0) throw new Error('the signature is empty');
  if (prefix === 'smp') return { form: 'simple', data };
  if (prefix === 'ful') return { form: 'full', data };
  if (data.length === LEGACY_BYTES) return { form: 'legacy', data };
  // No prefix: a transaction begins with its version, 0 or 2, in four bytes. A witness stack that begins like that holds
  // empty items only or has bytes left over.
  const version = data.length < 4 ? -1 : new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  return { form: version === 0 || version === 2 ? 'full' : 'simple', data };
}

function verifyLegacy(payee: PayoutAddress, message: Uint8Array, data: Uint8Array): void {
  const header = data[0] as number;
  const meant = LEGACY_HEADERS[(header - 27) >> 2];
  if (header < 27 || meant === undefined) {
    throw new Error(`the signature has 65 bytes but its header ${header} is not one of 27 to 42 (BIP137)`);
  }
  if (meant !== payee.type) {
    throw new Error(
      `the signature is of an older kind (BIP137 header ${header}) for ${meant === 'p2sh' ? 'p2sh-p2wpkh' : meant} ` +
        `addresses, this one is ${payee.type}. Sign with BIP322`,
    );
  }
  const digest = sha256d(concatBytes([LEGACY_MAGIC, encodeVarint(message.length), message]));
  let key: Uint8Array;
  const compact = parseAs('signature', data.subarray(1), (bytes) =>
    secp256k1.Signature.fromBytes(bytes, 'compact'),
  );
  if (compact.hasHighS()) throw new Error('the signature is not in its canonical form (high S)');
  try {
    key = compact
      .addRecoveryBit((header - 27) & 3)
      .recoverPublicKey(digest)
      .toBytes(header >= 31);
  } catch {
    throw new Error('the signature belongs to no key');
  }
  const keyHash = ripemd160(sha256(key));
  const hash = meant === 'p2sh' ? ripemd160(sha256(concatBytes([Uint8Array.of(0, 20), keyHash]))) : keyHash;
  if (!payee.hash.every((byte, i) => byte === hash[i])) {
    throw new Error('the signature is of another message or by another key');
  }
}

function parseAs<T>(what: string, data: Uint8Array, parse: (bytes: Uint8Array) => T): T {
  try {
    return parse(data);
  } catch (error) {
    throw new Error(`the signature holds no well-formed ${what}: ${(error as Error).message}`);
  }
}
