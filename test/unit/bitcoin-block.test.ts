import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { heightPush } from '../../engine/bitcoin/coinbase.js';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { decodeHeader, encodeHeader, headerHash } from '../../engine/bitcoin/header.js';
import { bytesToHex, displayHash, hexToBytes } from '../../engine/bitcoin/hex.js';
import { merkleBranch, merkleRoot, rootFromBranch } from '../../engine/bitcoin/merkle.js';
import { GENESIS_COINBASE, NETWORKS } from '../../engine/bitcoin/networks.js';
import { targetFromBits, targetFromBytesLE } from '../../engine/bitcoin/target.js';
import { parseTransaction, txid } from '../../engine/bitcoin/transaction.js';
import { block413567, SAMPLE } from './wasm-mainnet-sample.js';

describe('the genesis block', () => {
  it.each(Object.values(NETWORKS))(
    'of $name hashes to what the chain calls it and meets its target',
    (network) => {
      const header = hexToBytes(network.genesisHeader);
      expect(displayHash(headerHash(header))).toBe(network.genesisHash);
      const { bits } = decodeHeader(header);
      const target = targetFromBits(bits);
      expect(targetFromBytesLE(headerHash(header)) <= target).toBe(true);
      expect(target <= network.powLimit).toBe(true);
    },
  );

  it('is rebuilt from its known facts', () => {
    const coinbase = parseTransaction(hexToBytes(GENESIS_COINBASE));
    expect(new TextDecoder().decode(coinbase.inputs[0]?.scriptSig.subarray(8))).toBe(
      'The Times 03/Jan/2009 Chancellor on brink of second bailout for banks',
    );
    expect(coinbase.outputs[0]?.sats).toBe(5_000_000_000n);
    const root = merkleRoot([txid(coinbase)]);
    expect(displayHash(root)).toBe('4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b');
    const header = encodeHeader({
      version: 1,
      previousBlock: new Uint8Array(32),
      merkleRoot: root,
      time: 1231006505,
      bits: 0x1d00ffff,
      nonce: 2083236893,
    });
    expect(bytesToHex(header)).toBe(NETWORKS.mainnet.genesisHeader);
    expect(displayHash(headerHash(header))).toBe(
      '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    );
  });
});

const fullBlock = block413567();

describe.each(fullBlock === undefined ? SAMPLE : [...SAMPLE, fullBlock])('mainnet block $height', (block) => {
  it('is rebuilt from its coinbase and merkle branch', () => {
    const fields = decodeHeader(block.header);
    const rebuilt = encodeHeader({
      ...fields,
      merkleRoot: rootFromBranch(sha256d(block.coinbase), block.branch),
    });
    expect(bytesToHex(rebuilt)).toBe(bytesToHex(block.header));
    expect(displayHash(headerHash(rebuilt))).toBe(block.hash);
    expect(targetFromBytesLE(headerHash(rebuilt)) <= targetFromBits(fields.bits)).toBe(true);
  });
});

it.skipIf(fullBlock === undefined)(
  'the coinbase of mainnet block 413567 begins with its height (BIP34)',
  () => {
    const push = heightPush(413_567);
    const { inputs } = parseTransaction(fullBlock?.coinbase ?? new Uint8Array(0));
    expect(inputs[0]?.scriptSig.subarray(0, push.length)).toEqual(push);
  },
);

describe('header', () => {
  it('goes there and back, whatever its fields', () => {
    const uint32 = fc.integer({ min: 0, max: 0xffffffff });
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(
        fc.record({
          version: uint32,
          previousBlock: hash,
          merkleRoot: hash,
          time: uint32,
          bits: uint32,
          nonce: uint32,
        }),
        (header) => {
          expect(decodeHeader(encodeHeader(header))).toEqual(header);
        },
      ),
      { seed: 1 },
    );
  });

  it('has 80 bytes and hashes of 32, nothing else', () => {
    expect(() => decodeHeader(new Uint8Array(81))).toThrow(/80/);
    expect(() => headerHash(new Uint8Array(79))).toThrow(/80/);
    const fields = decodeHeader(new Uint8Array(80));
    expect(() => encodeHeader({ ...fields, merkleRoot: new Uint8Array(31) })).toThrow(/merkleRoot/);
    expect(() => encodeHeader({ ...fields, previousBlock: new Uint8Array(33) })).toThrow(/previousBlock/);
  });
});

describe('merkle tree', () => {
  const leaf = (n: number): Uint8Array => sha256d(Uint8Array.of(n & 255, n >> 8));
  const leaves = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => leaf(i));

  it('of one transaction is its txid, and its branch is empty', () => {
    expect(merkleRoot([leaf(0)])).toEqual(leaf(0));
    expect(merkleBranch([])).toEqual([]);
  });

  it('pairs the last node of an odd level with itself', () => {
    expect(merkleRoot(leaves(3))).toEqual(merkleRoot([...leaves(3), leaf(2)]));
    expect(merkleRoot(leaves(5))).toEqual(merkleRoot([...leaves(5), leaf(4), leaf(4), leaf(4)]));
  });

  it('has the root that hashing level by level gives, and its branch leads any coinbase there', () => {
    for (let count = 1; count <= 70; count++) {
      const branch = merkleBranch(leaves(count).slice(1));
      expect(branch).toHaveLength(Math.ceil(Math.log2(count)));
      for (const coinbase of [leaf(0), leaf(999)]) {
        const expected = levelByLevel([coinbase, ...leaves(count).slice(1)]);
        expect(rootFromBranch(coinbase, branch)).toEqual(expected);
        expect(merkleRoot([coinbase, ...leaves(count).slice(1)])).toEqual(expected);
      }
    }
  });

  it('needs a coinbase', () => {
    expect(() => merkleRoot([])).toThrow(/coinbase/);
  });
});

function levelByLevel(nodes: Uint8Array[]): Uint8Array {
  let level = nodes;
  while (level.length > 1) {
    if (level.length % 2 === 1) level = [...level, level.at(-1) as Uint8Array];
    level = Array.from({ length: level.length / 2 }, (_, i) =>
      sha256d(Buffer.concat([level[2 * i] as Uint8Array, level[2 * i + 1] as Uint8Array])),
    );
  }
  return level[0] as Uint8Array;
}
