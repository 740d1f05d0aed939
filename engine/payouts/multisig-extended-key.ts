// Extended keys and their children (BIP32), as far as descriptors and PSBT signers need them. Used by
// multisig-descriptor.ts and signer/key-file.ts.
// https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { hmac } from '@noble/hashes/hmac.js';
import { ripemd160 } from '@noble/hashes/legacy.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { createBase58check } from '@scure/base';
import { sha256 } from '../bitcoin/hash.js';
import { concatBytes } from '../bitcoin/transaction.js';

const base58check = createBase58check(sha256);
const { Point } = secp256k1;

/** Children from here on need the private key. */
export const HARDENED = 0x80000000;
const EXTENDED_BYTES = 78;
const DEPTH_MAX = 255;
const VERSIONS = [
  { version: 0x0488b21e, prefix: 'xpub', isPrivate: false, isMainnet: true },
  { version: 0x0488ade4, prefix: 'xprv', isPrivate: true, isMainnet: true },
  { version: 0x043587cf, prefix: 'tpub', isPrivate: false, isMainnet: false },
  { version: 0x04358394, prefix: 'tprv', isPrivate: true, isMainnet: false },
] as const;

/** One key of a tree with all that its children are made of. */
export interface ExtendedKey {
  /** True for xpub and xprv, false for tpub and tprv. */
  isMainnet: boolean;
  depth: number;
  /** 32 bytes. */
  chainCode: Uint8Array;
  /** 33 bytes, compressed. */
  publicKey: Uint8Array;
  /** 32 bytes; null where only the public half is known. */
  privateKey: Uint8Array | null;
}

/** Reads xpub, xprv, tpub or tprv. Throws Error that never repeats the text: it can be a secret. */
export function parseExtendedKey(text: string): ExtendedKey {
  let bytes: Uint8Array;
  try {
    bytes = base58check.decode(text);
  } catch {
    throw new Error('an extended key is mistyped: its checksum is wrong. Copy it again');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const form =
    bytes.length === EXTENDED_BYTES
      ? VERSIONS.find(({ version }) => version === view.getUint32(0))
      : undefined;
  if (form === undefined) {
    throw new Error('an extended key is of an unknown kind: xpub, xprv, tpub and tprv are known');
  }
  const key = bytes.slice(45);
  const common = { isMainnet: form.isMainnet, depth: view.getUint8(4), chainCode: bytes.slice(13, 45) };
  try {
    if (!form.isPrivate)
      return { ...common, publicKey: Point.fromBytes(key).toBytes(true), privateKey: null };
    if (key[0] !== 0) throw new Error('first byte');
    const privateKey = key.slice(1);
    return { ...common, publicKey: secp256k1.getPublicKey(privateKey), privateKey };
  } catch {
    throw new Error('an extended key holds no valid key. Export it again');
  }
}

/**
 * The child at `index`; from HARDENED on it is hardened. Throws for a hardened child of a public key, and in the
 * one case in 2^127 where the standard has no child.
 */
export function childOf(parent: ExtendedKey, index: number): ExtendedKey {
  if (parent.depth >= DEPTH_MAX) throw new RangeError('the derivation path is deeper than 255');
  const isHardened = index >= HARDENED;
  if (isHardened && parent.privateKey === null) {
    throw new Error('a hardened step cannot be derived from a public key');
  }
  const data = new Uint8Array(37);
  if (isHardened && parent.privateKey !== null) data.set(parent.privateKey, 1);
  else data.set(parent.publicKey, 0);
  new DataView(data.buffer).setUint32(33, index);
  const digest = hmac(sha512, parent.chainCode, data);
  const tweak = Point.Fn.fromBytes(digest.subarray(0, 32));
  const common = { isMainnet: parent.isMainnet, depth: parent.depth + 1, chainCode: digest.slice(32) };
  if (parent.privateKey !== null) {
    const secret = Point.Fn.add(Point.Fn.fromBytes(parent.privateKey), tweak);
    if (secret === 0n) throw new Error(`there is no child ${index}`);
    const privateKey = Point.Fn.toBytes(secret);
    return { ...common, privateKey, publicKey: secp256k1.getPublicKey(privateKey) };
  }
  const point = Point.fromBytes(parent.publicKey).add(Point.BASE.multiply(tweak));
  if (point.is0()) throw new Error(`there is no child ${index}`);
  return { ...common, privateKey: null, publicKey: point.toBytes(true) };
}

/** The key at the end of `path`. Throws as `childOf`. */
export function derive(key: ExtendedKey, path: readonly number[]): ExtendedKey {
  return path.reduce(childOf, key);
}

/** First four bytes of HASH160 of the public key, as a big-endian number: what PSBTs call the master fingerprint. */
export function fingerprintOf(publicKey: Uint8Array): number {
  return new DataView(ripemd160(sha256(publicKey)).buffer).getUint32(0);
}

/** As people and descriptors write it: 8 hex digits. */
export function fingerprintText(fingerprint: number): string {
  return fingerprint.toString(16).padStart(8, '0');
}

/** Whether both stand for the same public key with the same children. */
export function isSameKey(a: ExtendedKey, b: ExtendedKey): boolean {
  const bytes = (key: ExtendedKey) => concatBytes([key.publicKey, key.chainCode]);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}
