// The one secret of a signer: a file with a WIF key or an extended private key, and the keys that it yields. Only its
// owner may read the file. Called by cli/signer.ts.

import { lstatSync, readFileSync } from 'node:fs';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { createBase58check } from '@scure/base';
import { sha256 } from '../bitcoin/hash.js';
import type { NetworkName } from '../bitcoin/networks.js';
import type { Descriptor, DescriptorKey, OwnScript } from '../payouts/multisig-descriptor.js';
import {
  derive,
  type ExtendedKey,
  fingerprintOf,
  isSameKey,
  parseExtendedKey,
} from '../payouts/multisig-extended-key.js';

const base58check = createBase58check(sha256);
const FILE_BYTES_MAX = 1024;
const OTHERS = 0o077;
const WIF_MAINNET = 0x80;
const WIF_TEST = 0xef;

export type SigningKey =
  | { kind: 'wif'; privateKey: Uint8Array; publicKey: Uint8Array }
  | { kind: 'extended'; key: ExtendedKey };

/** Reads the key. Throws Error with cause and cure; never repeats what is in the file. */
export function readKeyFile(path: string, network: NetworkName): SigningKey {
  let text: string;
  try {
    const { mode, size, uid } = lstatSync(path);
    if ((mode & 0o170000) !== 0o100000) throw new Error('it is no plain file');
    if ((mode & OTHERS) !== 0) {
      const shown = (mode & 0o777).toString(8).padStart(4, '0');
      throw new Error(`others may read it (mode ${shown}): chmod 600 ${path}`);
    }
    const self = process.getuid?.();
    if (self !== undefined && uid !== self) {
      throw new Error(`it belongs to user ${uid}, the signer runs as ${self}: chown it`);
    }
    if (size > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX} bytes`);
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`Key file ${path}: ${code === 'ENOENT' ? 'it does not exist' : message}`);
  }
  try {
    return parseKey(text, network);
  } catch (error) {
    throw new Error(`Key file ${path}: ${(error as Error).message}`);
  }
}

/** Reads a WIF or extended private key of `network`. Throws Error. */
export function parseKey(text: string, network: NetworkName): SigningKey {
  const wrongNetwork = `the key is of the wrong network: the signer runs on ${network}`;
  const isMainnet = network === 'mainnet';
  if (/^[xt]prv/.test(text)) {
    const key = parseExtendedKey(text);
    if (key.isMainnet !== isMainnet) throw new Error(wrongNetwork);
    return { kind: 'extended', key };
  }
  let bytes: Uint8Array;
  try {
    bytes = base58check.decode(text);
  } catch {
    throw new Error('it holds neither a WIF nor an extended private key (xprv, tprv) with a right checksum');
  }
  if (bytes.length !== 34 || bytes[33] !== 1 || (bytes[0] !== WIF_MAINNET && bytes[0] !== WIF_TEST)) {
    throw new Error('it holds no WIF of a compressed key. Export the key again');
  }
  if ((bytes[0] === WIF_MAINNET) !== isMainnet) throw new Error(wrongNetwork);
  const privateKey = bytes.slice(1, 33);
  if (!secp256k1.utils.isValidSecretKey(privateKey)) throw new Error('its number is no key');
  return { kind: 'wif', privateKey, publicKey: secp256k1.getPublicKey(privateKey) };
}

/** The part that this signer plays in a descriptor. */
export interface SignerPart {
  /** Fingerprint of the master key that the descriptor names for our key. */
  fingerprint: number;
  /** The private key for one of our addresses, 32 bytes. */
  privateKeyFor: (own: OwnScript) => Uint8Array;
}

/** Throws Error when the key is none of the descriptor's. */
export function partOf(key: SigningKey, descriptor: Descriptor): SignerPart {
  const found = descriptor.keys.flatMap((place) => matching(key, place));
  const [part] = found;
  if (part === undefined) {
    throw new Error(
      'The key is none of those in the descriptor: give the signer the key or the descriptor it belongs to',
    );
  }
  return part;
}

function matching(key: SigningKey, place: DescriptorKey): SignerPart[] {
  const { fingerprint } = place;
  if (key.kind === 'wif') {
    if (place.single === null || Buffer.compare(place.single, key.publicKey) !== 0) return [];
    return [{ fingerprint, privateKeyFor: () => key.privateKey }];
  }
  if (place.extended === null) return [];
  const account = accountKey(key.key, place);
  if (account === null) return [];
  return [
    {
      fingerprint,
      privateKeyFor: ({ branch, index }) =>
        derive(account, [place.branches[branch], index]).privateKey as Uint8Array,
    },
  ];
}

/** `key` is the key of the descriptor, or the master key that its path starts at. */
function accountKey(
  key: ExtendedKey,
  { extended, fingerprint, originPath }: DescriptorKey,
): ExtendedKey | null {
  if (key.privateKey === null || extended === null) return null;
  if (isSameKey(key, extended)) return key;
  if (fingerprintOf(key.publicKey) !== fingerprint) return null;
  const derived = derive(key, originPath);
  return isSameKey(derived, extended) ? derived : null;
}
