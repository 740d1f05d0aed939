// Extended keys and descriptors: the vectors of BIP32 and BIP380, and what is refused.
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../engine/bitcoin/hex.js';
import {
  descriptorChecksum,
  locateScript,
  parseDescriptor,
  scriptAt,
} from '../../engine/payouts/multisig-descriptor.js';
import {
  derive,
  fingerprintOf,
  fingerprintText,
  HARDENED,
  parseExtendedKey,
} from '../../engine/payouts/multisig-extended-key.js';

// BIP32, test vector 1.
const MASTER =
  'xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi';
const MASTER_PUBLIC =
  'xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8';
const M_0H_1 =
  'xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ';
const M_0H_1_2H_2 =
  'xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV';

describe('extended keys', () => {
  it('derive the children of BIP32’s first vector, from the private and from the public key', () => {
    const master = parseExtendedKey(MASTER);
    expect(bytesToHex(master.publicKey)).toBe(bytesToHex(parseExtendedKey(MASTER_PUBLIC).publicKey));
    expect(fingerprintText(fingerprintOf(master.publicKey))).toBe('3442193e');
    const account = derive(master, [HARDENED, 1]);
    const expected = parseExtendedKey(M_0H_1);
    expect({ ...account, privateKey: null }).toEqual(expected);
    expect({ ...derive(account, [HARDENED + 2, 2]), privateKey: null }).toEqual(
      parseExtendedKey(M_0H_1_2H_2),
    );
    expect(derive(expected, [7, 9]).publicKey).toEqual(derive(account, [7, 9]).publicKey);
    expect(() => derive(expected, [HARDENED])).toThrow(/hardened/);
  });

  it('refuse a mistyped text and never repeat it', () => {
    const typo = MASTER.replace('NNU3', 'NNU4');
    expect(() => parseExtendedKey(typo)).toThrow(/checksum/);
    try {
      parseExtendedKey(typo);
    } catch (error) {
      expect((error as Error).message).not.toContain(typo.slice(10, 30));
    }
  });
});

describe('descriptors', () => {
  const key = `[3442193e/0h/1]${M_0H_1}/<0;1>/*`;
  const other = `${MASTER_PUBLIC}/<4;5>/*`;
  const multisig = `wsh(sortedmulti(2,${key},${other}))`;

  it('have the checksum of BIP380', () => {
    expect(descriptorChecksum('raw(deadbeef)')).toBe('89f8spxm');
    expect(() => parseDescriptor(`${multisig}#qqqqqqqq`, 'mainnet')).toThrow(/checksum/);
    parseDescriptor(`${multisig}#${descriptorChecksum(multisig)}`, 'mainnet');
  });

  it('give one text a branch', () => {
    const { texts } = parseDescriptor(multisig, 'mainnet');
    expect(texts.receive).toBe(multisig.replace('<0;1>', '0').replace('<4;5>', '4'));
    expect(texts.change).toBe(multisig.replace('<0;1>', '1').replace('<4;5>', '5'));
  });

  it('find their own scripts where a PSBT says they are, and nothing else', () => {
    const descriptor = parseDescriptor(multisig, 'mainnet');
    const change = scriptAt(descriptor, 'change', 12);
    const at = (path: number[], fingerprint = 0x3442193e) =>
      locateScript(descriptor, change.script, [{ fingerprint, path }]);
    expect(at([HARDENED, 1, 1, 12])).toMatchObject({ branch: 'change', index: 12 });
    expect(at([5, 12])).toMatchObject({ branch: 'change', index: 12 });
    for (const path of [[HARDENED, 1, 1, 13], [HARDENED, 1, 0, 12], [HARDENED, 2, 1, 12], [1, 12], []]) {
      expect(at(path)).toBeNull();
    }
    expect(at([HARDENED, 1, 1, 12], 1)).toBeNull();
  });

  it('sort the keys of sortedmulti and leave those of multi as they are', () => {
    const both = (form: string, ...keys: string[]) =>
      bytesToHex(
        scriptAt(parseDescriptor(`wsh(${form}(2,${keys.join(',')}))`, 'mainnet'), 'receive', 3).script,
      );
    expect(both('sortedmulti', key, other)).toBe(both('sortedmulti', other, key));
    expect(both('multi', key, other)).not.toBe(both('multi', other, key));
  });

  it.each([
    ['private keys', `wpkh(${MASTER}/<0;1>/*)`, /private key/],
    [
      'a key of another network',
      `wpkh(${other.replace('<4;5>', '<0;1>')})`,
      /wrong network/,
      'regtest' as const,
    ],
    ['one branch only', `wpkh(${MASTER_PUBLIC}/0/*)`, /not of the form/],
    ['the same branch twice', `wpkh(${MASTER_PUBLIC}/<1;1>/*)`, /must end with/],
    ['more signatures than keys', `wsh(sortedmulti(3,${key},${other}))`, /3 of 2 keys/],
    ['no signature at all', `wsh(sortedmulti(0,${key},${other}))`, /0 of 2 keys/],
    [
      'a mix of keys',
      `wsh(multi(1,${key},02${'79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'}))`,
      /mixes/,
    ],
    ['a script nobody signs here', `sh(wpkh(${key}))`, /unknown form/],
  ])('refuse %s', (_, text, reason, network: 'regtest' | 'mainnet' = 'mainnet') => {
    expect(() => parseDescriptor(text, network)).toThrow(reason);
  });
});
