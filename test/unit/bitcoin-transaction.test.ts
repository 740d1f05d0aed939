import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, displayHash, hexToBytes } from '../../engine/bitcoin/hex.js';
import {
  ByteReader,
  encodeOutput,
  encodeVarint,
  parseTransaction,
  serializeTransaction,
  serializeWithoutWitness,
  txid,
  wtxid,
} from '../../engine/bitcoin/transaction.js';

// The signed native P2WPKH example of BIP143.
const BIP143 =
  '01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000';

// As decoderawtransaction of a node gives them.
const BIP143_TXID = 'e8151a2af31c368a35053ddd4bdb285a8595c769a3ad83e0fa02314a602d4609';
const BIP143_WTXID = 'c36c38370907df2324d9ce9d149d191192f338b37665a82e78e76a12c909b762';

const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const anyTransaction = fc.record({
  version: uint32,
  inputs: fc.array(
    fc.record({
      previousTxid: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      previousIndex: uint32,
      scriptSig: bytes(300),
      sequence: uint32,
      witness: fc.array(bytes(300), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  outputs: fc.array(fc.record({ sats: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), script: bytes(60) }), {
    maxLength: 4,
  }),
  lockTime: uint32,
});

describe('transaction', () => {
  it('reads the signed example of BIP143 and writes it again', () => {
    const transaction = parseTransaction(hexToBytes(BIP143));
    expect(transaction.inputs.map((input) => input.witness.length)).toEqual([0, 2]);
    expect(transaction.outputs.map((output) => output.sats)).toEqual([112_340_000n, 223_450_000n]);
    expect(transaction.lockTime).toBe(17);
    expect(bytesToHex(serializeTransaction(transaction))).toBe(BIP143);
    expect(displayHash(txid(transaction))).toBe(BIP143_TXID);
    expect(displayHash(wtxid(transaction))).toBe(BIP143_WTXID);
  });

  it('goes there and back, with and without witness', () => {
    fc.assert(
      fc.property(anyTransaction, (transaction) => {
        expect(parseTransaction(serializeTransaction(transaction))).toEqual(transaction);
        const bare = parseTransaction(serializeWithoutWitness(transaction));
        expect(txid(bare)).toEqual(txid(transaction));
        expect(wtxid(bare)).toEqual(txid(transaction));
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('cut anywhere, or followed by anything, is refused', () => {
    const whole = hexToBytes(BIP143);
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseTransaction(whole.subarray(0, length))).toThrow(RangeError);
    }
    expect(() => parseTransaction(Uint8Array.of(...whole, 0))).toThrow(/1 bytes after/);
  });

  it('with a witness flag but no witness is refused, as Core does', () => {
    const bare = serializeWithoutWitness(parseTransaction(hexToBytes(BIP143)));
    const flagged = Uint8Array.of(
      ...bare.subarray(0, 4),
      0,
      1,
      ...bare.subarray(4, -4),
      0,
      0,
      ...bare.subarray(-4),
    );
    expect(() => parseTransaction(flagged)).toThrow(/no witness/);
    flagged[5] = 2;
    expect(() => parseTransaction(flagged)).toThrow(/flag 2/);
  });

  it('with a forged count is refused before anything is allocated for it', () => {
    expect(() => parseTransaction(hexToBytes('01000000fe00ffffff00'))).toThrow(/more than the data holds/);
  });

  it('pays only what fits the wire', () => {
    const script = new Uint8Array(0);
    expect(bytesToHex(encodeOutput({ sats: 5_000_000_000n, script }))).toBe('00f2052a0100000000');
    expect(() => encodeOutput({ sats: -1n, script })).toThrow(RangeError);
    expect(() => encodeOutput({ sats: 1n << 64n, script })).toThrow(RangeError);
  });
});

describe('compact size', () => {
  it.each([
    [0, '00'],
    [252, 'fc'],
    [253, 'fdfd00'],
    [0xffff, 'fdffff'],
    [0x10000, 'fe00000100'],
    [0xffffffff, 'feffffffff'],
    [0x100000000, 'ff0000000001000000'],
  ])('%i is %s', (value, hex) => {
    expect(bytesToHex(encodeVarint(value))).toBe(hex);
    expect(new ByteReader(hexToBytes(hex)).varint()).toBe(value);
  });

  it.each(['fdfc00', 'feffff0000', 'ffffffffff00000000'])('%s is longer than needed and refused', (hex) => {
    expect(() => new ByteReader(hexToBytes(hex)).varint()).toThrow(/shortest/);
  });

  it('never loses precision', () => {
    expect(() => new ByteReader(hexToBytes('ffffffffffffffffff')).varint()).toThrow(/too large/);
    expect(() => encodeVarint(2 ** 53)).toThrow(RangeError);
    expect(() => encodeVarint(-1)).toThrow(RangeError);
  });
});
