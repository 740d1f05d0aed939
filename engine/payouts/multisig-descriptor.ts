// Output descriptors of the pool's watched wallet (BIP380 to 383, 386, 389): what is ours. One text gives the receive
// and the change branch (`<0;1>`); scripts are derived here, without the node, so that a signer needs to believe nobody.
// Known: wsh(sortedmulti(k,...)), wsh(multi(k,...)), wpkh(KEY), tr(KEY); KEY is an extended public key with origin,
// or one compressed public key.
// https://github.com/bitcoin/bips/blob/master/bip-0380.mediawiki

import { p2ms, p2tr, p2wpkh, p2wsh } from '@scure/btc-signer';
import { hexToBytes } from '../bitcoin/hex.js';
import type { NetworkName } from '../bitcoin/networks.js';
import {
  derive,
  type ExtendedKey,
  fingerprintOf,
  HARDENED,
  parseExtendedKey,
} from './multisig-extended-key.js';

/** Keys of a multisig. Bitcoin Core takes up to 20 in wsh, the signing library up to 16; we stop below both. */
const KEYS_MAX = 15;
const TEXT_CHARS_MAX = 4096;

export type Branch = 'receive' | 'change';

export interface DescriptorKey {
  /** Of the master key that the path starts at. */
  fingerprint: number;
  /** Path from that master key to `extended`. */
  originPath: readonly number[];
  /** Public; null for a single key. */
  extended: ExtendedKey | null;
  /** The single key, 33 bytes; null for an extended one. */
  single: Uint8Array | null;
  /** Child number of each branch below `extended`. */
  branches: Readonly<Record<Branch, number>>;
}

export interface Descriptor {
  kind: 'wsh' | 'wpkh' | 'tr';
  /** Signatures an input needs. */
  threshold: number;
  isSorted: boolean;
  keys: readonly DescriptorKey[];
  /** Without checksum, one text a branch, as the node imports them. */
  texts: Readonly<Record<Branch, string>>;
}

/** The script of one address. */
export interface OwnScript {
  branch: Branch;
  index: number;
  /** Output script. */
  script: Uint8Array;
  /** 33 bytes each, in the order of the descriptor. */
  publicKeys: readonly Uint8Array[];
}

/** Reads a descriptor of `network`. Throws Error saying what to write instead. */
export function parseDescriptor(text: string, network: NetworkName): Descriptor {
  const trimmed = text.trim();
  if (trimmed.length > TEXT_CHARS_MAX)
    throw new Error(`the descriptor is longer than ${TEXT_CHARS_MAX} characters`);
  const [body = '', checksum] = trimmed.split('#');
  if (checksum !== undefined && checksum !== descriptorChecksum(body)) {
    throw new Error(
      'the checksum of the descriptor is wrong: copy it again, or leave out what follows the #',
    );
  }
  const form = /^(wsh)\((sortedmulti|multi)\((\d{1,2}),([^()]+)\)\)$|^(wpkh|tr)\(([^(),]+)\)$/.exec(body);
  if (form === null) {
    throw new Error(
      'the descriptor is of an unknown form: write wsh(sortedmulti(k,KEY,KEY,...)), wpkh(KEY) or tr(KEY)',
    );
  }
  const kind = (form[1] ?? form[5]) as Descriptor['kind'];
  const keyTexts = (form[4] ?? form[6] ?? '').split(',');
  const threshold = kind === 'wsh' ? Number(form[3]) : 1;
  if (keyTexts.length > KEYS_MAX || threshold < 1 || threshold > keyTexts.length) {
    throw new Error(
      `the descriptor asks for ${threshold} of ${keyTexts.length} keys: 1 to n of at most ${KEYS_MAX}`,
    );
  }
  const keys = keyTexts.map((key) => parseKey(key, network));
  const isRanged = keys[0]?.extended !== null;
  if (keys.some(({ extended }) => (extended !== null) !== isRanged)) {
    throw new Error('the descriptor mixes extended and single keys: use one kind');
  }
  const branchText = (part: 1 | 2) =>
    body.replace(/<(\d+);(\d+)>/g, (_, ...numbers: string[]) => numbers[part - 1] ?? '');
  return {
    kind,
    threshold,
    isSorted: form[2] === 'sortedmulti',
    keys,
    texts: { receive: branchText(1), change: branchText(2) },
  };
}

/** Whether addresses are numbered; if not there is one script for everything. */
export function isRanged({ keys }: Descriptor): boolean {
  return keys[0]?.extended !== null;
}

/** The script at (branch, index 0 .. 2^31-1). */
export function scriptAt(descriptor: Descriptor, branch: Branch, index: number): OwnScript {
  const publicKeys = descriptor.keys.map(
    ({ extended, single, branches }) =>
      single ?? derive(extended as ExtendedKey, [branches[branch], index]).publicKey,
  );
  const [first = new Uint8Array()] = publicKeys;
  return { branch, index, publicKeys, script: outputScript(descriptor, publicKeys, first) };
}

/** Where an extended key of ours may stand in a PSBT. */
export interface Derivation {
  fingerprint: number;
  path: readonly number[];
}

/**
 * The address of ours that `script` pays, or null. `derivations` are hints of where to look, as PSBTs carry them; the
 * script itself is derived and compared, so a wrong hint finds nothing.
 */
export function locateScript(
  descriptor: Descriptor,
  script: Uint8Array,
  derivations: readonly Derivation[],
): OwnScript | null {
  const places = isRanged(descriptor)
    ? derivations.flatMap((derivation) => placesOf(descriptor, derivation))
    : [{ branch: 'change' as const, index: 0 }];
  const seen = new Set<string>();
  for (const { branch, index } of places) {
    const name = `${branch}/${index}`;
    if (seen.has(name)) continue;
    seen.add(name);
    const own = scriptAt(descriptor, branch, index);
    if (Buffer.compare(own.script, script) === 0) return own;
  }
  return null;
}

/** The eight characters behind the # of a descriptor (BIP380). Throws on a character that descriptors do not have. */
export function descriptorChecksum(body: string): string {
  const INPUT =
    '0123456789()[],\'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#"\\ ';
  const OUTPUT = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
  const GENERATOR = [0xf5dee51989n, 0xa9fdca3312n, 0x1bab10e32dn, 0x3706b1677an, 0x644d626ffdn];
  let state = 1n;
  const feed = (value: number) => {
    const top = state >> 35n;
    state = ((state & 0x7ffffffffn) << 5n) ^ BigInt(value);
    GENERATOR.forEach((generator, bit) => {
      if ((top >> BigInt(bit)) & 1n) state ^= generator;
    });
  };
  let group = 0;
  let grouped = 0;
  for (const character of body) {
    const position = INPUT.indexOf(character);
    if (position < 0) throw new Error(`the descriptor holds ${JSON.stringify(character)}, which none can`);
    feed(position & 31);
    group = group * 3 + (position >> 5);
    if (++grouped === 3) {
      feed(group);
      group = 0;
      grouped = 0;
    }
  }
  if (grouped > 0) feed(group);
  for (let i = 0; i < 8; i++) feed(0);
  state ^= 1n;
  return Array.from({ length: 8 }, (_, i) => OUTPUT[Number((state >> BigInt(5 * (7 - i))) & 31n)]).join('');
}

function outputScript(
  { kind, threshold, isSorted }: Descriptor,
  publicKeys: readonly Uint8Array[],
  first: Uint8Array,
): Uint8Array {
  if (kind === 'wpkh') return p2wpkh(first).script;
  if (kind === 'tr') return p2tr(first.subarray(1)).script;
  const ordered = isSorted ? [...publicKeys].sort(Buffer.compare) : [...publicKeys];
  return p2wsh(p2ms(threshold, ordered)).script;
}

function placesOf({ keys }: Descriptor, { fingerprint, path }: Derivation) {
  const [branchNumber, index] = path.slice(-2);
  if (branchNumber === undefined || index === undefined || index >= HARDENED) return [];
  return keys
    .filter(
      (key) =>
        key.fingerprint === fingerprint &&
        path.length === key.originPath.length + 2 &&
        key.originPath.every((step, i) => step === path[i]),
    )
    .flatMap(({ branches }) =>
      (['receive', 'change'] as const).filter((branch) => branches[branch] === branchNumber),
    )
    .map((branch) => ({ branch, index }));
}

function parseKey(text: string, network: NetworkName): DescriptorKey {
  const form =
    /^(?:\[([0-9a-f]{8})((?:\/\d{1,10}['h]?)*)\])?([0-9A-Za-z]+)(?:\/<(\d{1,10});(\d{1,10})>\/\*)?$/.exec(
      text,
    );
  const [, fingerprint, path = '', key = '', receive, change] = form ?? [];
  if (/[xt]prv/.test(text))
    throw new Error('the descriptor holds a private key: give the public one (xpub, tpub)');
  if (form === null) {
    throw new Error(`the key ${JSON.stringify(text)} is not of the form [fingerprint/path]xpub/<0;1>/*`);
  }
  const originPath = path.split('/').slice(1).map(pathStep);
  if (/^0[23][0-9a-f]{64}$/.test(key) && receive === undefined) {
    const single = hexToBytes(key);
    const own = fingerprint === undefined ? fingerprintOf(single) : Number.parseInt(fingerprint, 16);
    return { fingerprint: own, originPath, extended: null, single, branches: { receive: 0, change: 0 } };
  }
  const extended = parseExtendedKey(key);
  if (extended.isMainnet !== (network === 'mainnet')) {
    throw new Error(`the key ${key.slice(0, 12)}... is of the wrong network: the pool runs on ${network}`);
  }
  if (receive === undefined || change === undefined || receive === change) {
    throw new Error(
      `the key ${key.slice(0, 12)}... must end with /<0;1>/*, one branch to receive and one for change`,
    );
  }
  return {
    fingerprint:
      fingerprint === undefined ? fingerprintOf(extended.publicKey) : Number.parseInt(fingerprint, 16),
    originPath,
    extended,
    single: null,
    branches: { receive: pathStep(receive), change: pathStep(change) },
  };
}

function pathStep(text: string): number {
  const number = Number.parseInt(text, 10);
  if (number >= HARDENED) throw new RangeError(`${number} is not a step of a derivation path`);
  return number + (/['h]$/.test(text) ? HARDENED : 0);
}
