import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressFromScript, looksLikeAddress, scriptFromAddress } from '../../engine/bitcoin/address.js';
import { bytesToHex, hexToBytes } from '../../engine/bitcoin/hex.js';
import { NETWORKS, type NetworkName } from '../../engine/bitcoin/networks.js';

const P2WPKH = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
const published: [NetworkName, string, string][] = [
  // BIP173 and BIP350, valid addresses.
  ['mainnet', 'BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4', P2WPKH],
  ['mainnet', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', P2WPKH],
  ['testnet4', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx', P2WPKH],
  ['private', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx', P2WPKH],
  ['regtest', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', P2WPKH],
  [
    'signet',
    'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7',
    '00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262',
  ],
  [
    'mainnet',
    'bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y',
    '5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6',
  ],
  ['mainnet', 'BC1SW50QGDZ25J', '6002751e'],
  ['mainnet', 'bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs', '5210751e76e8199196d454941c45d1b3a323'],
  [
    'testnet4',
    'tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy',
    '0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433',
  ],
  [
    'testnet4',
    'tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c',
    '5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433',
  ],
  [
    'mainnet',
    'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0',
    '512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798',
  ],
  // BIP86, first receiving address.
  [
    'mainnet',
    'bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr',
    '5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c',
  ],
  // The genesis block's key as an address, and the examples of the wiki's list of prefixes.
  ['mainnet', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', '76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac'],
  ['mainnet', '17VZNX1SN5NtKa8UQFxwQbFeFc3iqRYhem', '76a91447376c6f537d62177a2c41c4ca9b45829ab9908388ac'],
  ['mainnet', '3EktnHQD7RiAE6uzMj2ZifT9YgRrkSgzQX', 'a9148f55563b9a19f321c211e9b9f38cdf686ea0784587'],
  ['testnet4', 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', '76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac'],
  ['regtest', '2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc', 'a9144e9f39ca4688ff102128ea4ccda34105324305b087'],
];

describe('published addresses', () => {
  it.each(published)('on %s, %s pays its script', (network, address, script) => {
    expect(bytesToHex(scriptFromAddress(address, network))).toBe(script);
    expect(addressFromScript(hexToBytes(script), network)).toBe(
      /^bc1/i.test(address) ? address.toLowerCase() : address,
    );
    expect(looksLikeAddress(address)).toBe(true);
  });

  // BIP350, invalid addresses, with its reasons.
  it.each<[string, NetworkName, string, RegExp]>([
    [
      'prefix',
      'mainnet',
      'tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut',
      /not a Bitcoin address/,
    ],
    ['bech32', 'mainnet', 'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd', /needs bech32m/],
    ['bech32', 'testnet4', 'tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf', /needs bech32m/],
    ['bech32', 'mainnet', 'BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL', /needs bech32m/],
    ['bech32m', 'mainnet', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh', /needs bech32$/],
    [
      'bech32m',
      'testnet4',
      'tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47',
      /needs bech32$/,
    ],
    ['character', 'mainnet', 'bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4', /checksum/],
    [
      'version',
      'mainnet',
      'BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R',
      /witness version/,
    ],
    ['1 byte', 'mainnet', 'bc1pw5dgrnzv', /2 to 40 bytes/],
    [
      '41 bytes',
      'mainnet',
      'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav',
      /2 to 40/,
    ],
    ['16 bytes', 'mainnet', 'BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P', /20 or 32/],
    [
      'case',
      'testnet4',
      'tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq',
      /upper and lower case/,
    ],
    [
      'padding',
      'mainnet',
      'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf',
      /2 to 40 bytes/,
    ],
    [
      'padding',
      'testnet4',
      'tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j',
      /2 to 40 bytes/,
    ],
    ['empty', 'mainnet', 'bc1gmk9yu', /witness version/],
  ])('refuses the invalid %s of BIP350 on %s: %s', (_why, network, address, reason) => {
    expect(() => scriptFromAddress(address, network)).toThrow(reason);
  });
});

describe('an address of another network', () => {
  it.each<[NetworkName, string, RegExp]>([
    [
      'mainnet',
      'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx',
      /belongs to testnet4, signet, private.*runs on mainnet/,
    ],
    ['private', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', /belongs to mainnet.*runs on private/],
    ['signet', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', /belongs to regtest/],
    ['regtest', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx', /belongs to testnet4/],
    ['regtest', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', /belongs to mainnet/],
    ['mainnet', 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', /belongs to testnet4, signet, regtest, private/],
    // Dogecoin: a good checksum, a version byte of nobody here.
    ['mainnet', 'DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L', /no network Millrace knows/],
  ])('is refused by name on %s: %s', (network, address, reason) => {
    expect(() => scriptFromAddress(address, network)).toThrow(reason);
  });
});

describe('a mistyped address', () => {
  const good: [NetworkName, string][] = [
    ['mainnet', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa'],
    ['mainnet', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'],
    ['mainnet', 'bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr'],
    ['regtest', '2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc'],
  ];

  it('is refused, and never taken for an account name, whichever one character is wrong', () => {
    const alphabet = '023456789acdefghjklmnpqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ1b';
    fc.assert(
      fc.property(
        fc.constantFrom(...good),
        fc.nat(),
        fc.constantFrom(...alphabet),
        ([network, address], at, letter) => {
          // Beyond the prefix: with another first character it is no address to begin with.
          const place = 5 + (at % (address.length - 5));
          fc.pre(address[place] !== letter);
          const mistyped = address.slice(0, place) + letter + address.slice(place + 1);
          expect(() => scriptFromAddress(mistyped, network)).toThrow();
          expect(looksLikeAddress(mistyped)).toBe(true);
        },
      ),
      { seed: 1, numRuns: 1000 },
    );
  });

  it.each(['alice', 'farm-7', '3090rig', 'bc1', 'miner1', '1', '', 'nicehash', 'm'])(
    '%j is an account name',
    (name) => {
      expect(looksLikeAddress(name)).toBe(false);
    },
  );

  it.each(['', '1', 'alice', 'bc1', '0'.repeat(34), '1'.repeat(30), 'x'.repeat(5000)])(
    '%j pays nobody',
    (text) => {
      expect(() => scriptFromAddress(text, 'mainnet')).toThrow(Error);
    },
  );
});

describe('scripts', () => {
  it('of every type go to an address and back on every network', () => {
    const hash = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(bytesToHex);
    const script = fc.oneof(
      hash(20).map((h) => `76a914${h}88ac`),
      hash(20).map((h) => `a914${h}87`),
      hash(20).map((h) => `0014${h}`),
      hash(32).map((h) => `0020${h}`),
      hash(32).map((h) => `5120${h}`),
      fc
        .tuple(fc.integer({ min: 0x51, max: 0x60 }), fc.uint8Array({ minLength: 2, maxLength: 40 }))
        .map(([version, program]) => bytesToHex(Uint8Array.of(version, program.length, ...program))),
    );
    fc.assert(
      fc.property(script, fc.constantFrom(...Object.values(NETWORKS)), (hex, { name }) => {
        const address = addressFromScript(hexToBytes(hex), name);
        expect(bytesToHex(scriptFromAddress(address ?? '', name))).toBe(hex);
      }),
      { seed: 2, numRuns: 500 },
    );
  });

  it.each([
    '',
    '00',
    '51',
    '6a',
    '6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9',
    '0015751e76e8199196d454941c45d1b3a323f1433bd600',
    '5101aa',
    '6120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c',
    '76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ad',
  ])('%j has no address', (hex) => {
    expect(addressFromScript(hexToBytes(hex), 'mainnet')).toBeNull();
  });
});
