// Addresses to output scripts and back: P2PKH, P2SH (base58check), segwit version 0 (BIP173), taproot and later
// witness versions (BIP350). Money goes where these lines say, so an address of another network, in mixed case or with a
// wrong checksum is refused, and the error says which.
// https://github.com/bitcoin/bips/blob/master/bip-0350.mediawiki

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bech32, bech32m, createBase58check } from '@scure/base';
import { sha256 } from './hash.js';
import { NETWORKS, type NetworkName, type NetworkParameters } from './networks.js';
import { concatBytes } from './transaction.js';

const base58check = createBase58check(sha256);
const BASE58_ALPHABET = /^[1-9A-HJ-NP-Za-km-z]+$/;
const BECH32_PREFIX = /^(bc|tb|bcrt)1/i;

/**
 * Output script that pays `address` on `network`.
 * Throws Error naming what is wrong: network, mixed case, checksum, or form.
 */
export function scriptFromAddress(address: string, network: NetworkName): Uint8Array {
  return address.includes('1') && BECH32_PREFIX.test(address)
    ? segwitScript(address, network)
    : base58Script(address, network);
}

/** Address of `script` on `network`; null where the script has none (bare keys, OP_RETURN, anything unusual). */
export function addressFromScript(script: Uint8Array, network: NetworkName): string | null {
  const { p2pkhVersion, p2shVersion, bech32Prefix } = NETWORKS[network];
  if (
    script.length === 25 &&
    startsWith(script, 0x76, 0xa9, 20) &&
    script[23] === 0x88 &&
    script[24] === 0xac
  ) {
    return base58check.encode(concatBytes([Uint8Array.of(p2pkhVersion), script.subarray(3, 23)]));
  }
  if (script.length === 23 && startsWith(script, 0xa9, 20) && script[22] === 0x87) {
    return base58check.encode(concatBytes([Uint8Array.of(p2shVersion), script.subarray(2, 22)]));
  }
  const version = script[0] === 0 ? 0 : (script[0] ?? 0) - 0x50;
  const program = script.subarray(2);
  if (
    version < 0 ||
    version > 16 ||
    script[1] !== program.length ||
    program.length < 2 ||
    program.length > 40
  )
    return null;
  if (version === 0 && program.length !== 20 && program.length !== 32) return null;
  const coder = version === 0 ? bech32 : bech32m;
  return coder.encode(bech32Prefix, [version, ...coder.toWords(program)]);
}

export type PayoutAddressType = 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2wsh' | 'p2tr';

export interface PayoutAddress {
  /** The one form to store: segwit addresses in lower case. */
  address: string;
  type: PayoutAddressType;
  /** Output script. */
  script: Uint8Array;
  /** The hash or, for taproot, the key (x only) that the script holds: 20 or 32 bytes. */
  hash: Uint8Array;
}

/**
 * An address of `network` that coins can be sent to and spent from today. Throws Error naming what is wrong, also for
 * witness versions without rules yet (anyone could take the coins) and taproot keys off the curve (nobody could).
 */
export function parsePayoutAddress(text: string, network: NetworkName): PayoutAddress {
  const script = scriptFromAddress(text, network);
  const address = addressFromScript(script, network) ?? text;
  if (script[0] === 0x76) return { address, type: 'p2pkh', script, hash: script.subarray(3, 23) };
  if (script[0] === 0xa9) return { address, type: 'p2sh', script, hash: script.subarray(2, 22) };
  const hash = script.subarray(2);
  if (script[0] === 0) return { address, type: hash.length === 20 ? 'p2wpkh' : 'p2wsh', script, hash };
  if (script[0] !== 0x51 || hash.length !== 32) {
    throw new Error(
      `address ${address} is of witness version ${(script[0] as number) - 0x50} with ${hash.length} bytes, which has no ` +
        'rules yet: anyone could take coins sent to it',
    );
  }
  if (!isCurvePoint(hash)) {
    throw new Error(`address ${address} holds no key of the curve: coins sent to it would be lost`);
  }
  return { address, type: 'p2tr', script, hash };
}

/**
 * True when `text` was meant to be an address of any network, however mistyped: such a text must never be taken for
 * the name of an account, or the work of its sender is credited to nobody.
 */
export function looksLikeAddress(text: string): boolean {
  return (BECH32_PREFIX.test(text) && text.length >= 14) || /^[123mn][0-9A-Za-z]{24,34}$/.test(text);
}

function segwitScript(address: string, network: NetworkName): Uint8Array {
  const lower = address.toLowerCase();
  if (address !== lower && address !== address.toUpperCase()) {
    throw new Error(`address ${address} mixes upper and lower case: write it in lower case`);
  }
  const prefix = lower.slice(0, lower.lastIndexOf('1'));
  if (prefix !== NETWORKS[network].bech32Prefix) {
    throw new Error(wrongNetwork(address, network, (other) => other.bech32Prefix === prefix));
  }
  // The checksum that fits says which encoding this is; the version says which one it must be.
  const v0 = bech32.decodeUnsafe(lower);
  const decoded = v0 ?? bech32m.decodeUnsafe(lower);
  if (!decoded)
    throw new Error(`address ${address} has a wrong checksum: a character is mistyped or missing`);
  const version = decoded.words[0];
  const program = bech32.fromWordsUnsafe(decoded.words.slice(1));
  if (version === undefined || version > 16 || !program || program.length < 2 || program.length > 40) {
    throw new Error(`address ${address} is not a witness version 0 to 16 with a program of 2 to 40 bytes`);
  }
  if ((version === 0) !== Boolean(v0)) {
    throw new Error(
      `address ${address} has the checksum of the wrong encoding: witness version ${version} needs ${version === 0 ? 'bech32' : 'bech32m'}`,
    );
  }
  if (version === 0 && program.length !== 20 && program.length !== 32) {
    throw new Error(
      `address ${address} is of witness version 0 but its program has ${program.length} bytes, not 20 or 32`,
    );
  }
  return concatBytes([Uint8Array.of(version === 0 ? 0 : 0x50 + version, program.length), program]);
}

function base58Script(address: string, network: NetworkName): Uint8Array {
  if (address.length < 26 || address.length > 35 || !BASE58_ALPHABET.test(address)) {
    throw new Error(`${JSON.stringify(address.slice(0, 100))} is not a Bitcoin address`);
  }
  let payload: Uint8Array;
  try {
    payload = base58check.decode(address);
  } catch {
    throw new Error(`address ${address} has a wrong checksum: a character is mistyped or missing`);
  }
  if (payload.length !== 21) throw new Error(`address ${address} holds ${payload.length} bytes, not 21`);
  const { p2pkhVersion, p2shVersion } = NETWORKS[network];
  const version = payload[0];
  const hash = payload.subarray(1);
  if (version === p2pkhVersion)
    return concatBytes([Uint8Array.of(0x76, 0xa9, 20), hash, Uint8Array.of(0x88, 0xac)]);
  if (version === p2shVersion) return concatBytes([Uint8Array.of(0xa9, 20), hash, Uint8Array.of(0x87)]);
  throw new Error(
    wrongNetwork(
      address,
      network,
      (other) => other.p2pkhVersion === version || other.p2shVersion === version,
    ),
  );
}

function wrongNetwork(
  address: string,
  network: NetworkName,
  fits: (other: NetworkParameters) => boolean,
): string {
  const names = Object.values(NETWORKS)
    .filter(fits)
    .map((other) => other.name);
  const belongs = names.length === 0 ? 'no network Millrace knows' : names.join(', ');
  return `address ${address} belongs to ${belongs}, but the pool runs on ${network}`;
}

function isCurvePoint(x: Uint8Array): boolean {
  try {
    secp256k1.Point.fromBytes(concatBytes([Uint8Array.of(2), x]));
    return true;
  } catch {
    return false;
  }
}

function startsWith(script: Uint8Array, ...bytes: number[]): boolean {
  return bytes.every((byte, i) => script[i] === byte);
}
