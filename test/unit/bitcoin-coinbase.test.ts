import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildCoinbase,
  COINBASE_WITNESS_BYTES,
  heightPush,
  isWitnessCommitment,
  SCRIPT_SIG_BYTES_MAX,
  withWitness,
  witnessCommitmentScript,
} from '../../engine/bitcoin/coinbase.js';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { bytesToHex, hexToBytes } from '../../engine/bitcoin/hex.js';
import { concatBytes, parseTransaction, txid } from '../../engine/bitcoin/transaction.js';

const script = hexToBytes('0014751e76e8199196d454941c45d1b3a323f1433bd6');
const tag = new TextEncoder().encode('/Millrace/');
const parts = { height: 840_000, tag, extranonceBytes: 12, outputs: [{ script, sats: 312_500_000n }] };

describe('BIP34 height', () => {
  it.each([
    [1, '51'],
    [2, '52'],
    [16, '60'],
    [17, '0111'],
    [127, '017f'],
    [128, '028000'],
    [255, '02ff00'],
    [256, '020001'],
    [32_767, '02ff7f'],
    [32_768, '03008000'],
    [65_535, '03ffff00'],
    [227_931, '035b7a03'],
    [413_567, '037f4f06'],
    [8_388_607, '03ffff7f'],
    [8_388_608, '0400008000'],
    [0x7fffffff, '04ffffff7f'],
  ])('%i is pushed as %s', (height, hex) => {
    expect(bytesToHex(heightPush(height))).toBe(hex);
  });

  it.each([0, -1, 1.5, 2 ** 31])('%d is no height of a coinbase', (height) => {
    expect(() => heightPush(height)).toThrow(RangeError);
  });
});

describe('coinbase', () => {
  const extranonce = hexToBytes('acacacacaeaeaeaeaeaeaeae');
  const whole = (more: Partial<Parameters<typeof buildCoinbase>[0]> = {}): Uint8Array => {
    const { coinbase1, coinbase2 } = buildCoinbase({ ...parts, ...more });
    return concatBytes([coinbase1, extranonce, coinbase2]);
  };

  it('spends the null outpoint and carries height, tag, uniquifier and extranonce, in this order', () => {
    const { inputs } = parseTransaction(whole({ uniquifier: Uint8Array.of(1, 2) }));
    expect(inputs).toHaveLength(1);
    expect(inputs[0]?.previousTxid).toEqual(new Uint8Array(32));
    expect(inputs[0]?.previousIndex).toBe(0xffffffff);
    expect(bytesToHex(inputs[0]?.scriptSig ?? tag)).toBe(
      `0340d10c0a${bytesToHex(tag)}0e0102${bytesToHex(extranonce)}`,
    );
  });

  it('cannot equal the coinbase of another height: lock time and sequence as BIP54 asks', () => {
    const coinbase = parseTransaction(whole());
    expect(coinbase.lockTime).toBe(839_999);
    expect(coinbase.inputs[0]?.sequence).not.toBe(0xffffffff);
  });

  it('pays its outputs in order, the commitment last and with nothing', () => {
    const commitment = witnessCommitmentScript([]);
    const outputs = [
      { script, sats: 5n },
      { script: Uint8Array.of(0x51), sats: 7n },
    ];
    expect(parseTransaction(whole({ outputs })).outputs).toEqual(outputs);
    expect(parseTransaction(whole({ outputs, witnessCommitment: commitment })).outputs).toEqual([
      ...outputs,
      { script: commitment, sats: 0n },
    ]);
  });

  it('counts no signature operation, whatever bytes the miner puts into the extranonce', () => {
    const scriptSig = parseTransaction(whole()).inputs[0]?.scriptSig ?? tag;
    for (let at = 0; at < scriptSig.length; ) {
      const opcode = scriptSig[at] as number;
      expect(opcode).toBeLessThanOrEqual(75);
      at += 1 + opcode;
      expect(at).toBeLessThanOrEqual(scriptSig.length);
    }
  });

  it('has a scriptSig of at least 2 bytes at height 1 with nothing in it', () => {
    const { coinbase1, coinbase2 } = buildCoinbase({
      ...parts,
      height: 1,
      tag: new Uint8Array(0),
      extranonceBytes: 1,
    });
    const { inputs } = parseTransaction(concatBytes([coinbase1, Uint8Array.of(7), coinbase2]));
    expect([...(inputs[0]?.scriptSig ?? [])]).toEqual([0x51, 1, 7]);
  });

  it('fills scriptSig to 100 bytes and not to 101', () => {
    // height push 4, tag push 1 + tag, extranonce push 1 + 20.
    const longest = { ...parts, extranonceBytes: 20, tag: new Uint8Array(SCRIPT_SIG_BYTES_MAX - 26) };
    expect(() => buildCoinbase(longest)).not.toThrow();
    expect(() => buildCoinbase({ ...longest, extranonceBytes: 21 })).toThrow(
      /101 bytes.*shorten the pool tag by 1/,
    );
    expect(() => buildCoinbase({ ...parts, tag: new Uint8Array(76) })).toThrow(
      /76 bytes in one coinbase push/,
    );
  });

  it('needs an output and room for an extranonce', () => {
    expect(() => buildCoinbase({ ...parts, outputs: [] })).toThrow(/output/);
    expect(() => buildCoinbase({ ...parts, extranonceBytes: 0 })).toThrow(/extranonce/);
  });

  it('in the block carries the witness reserved value and keeps its txid', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.uint8Array({ maxLength: 60 }),
        (height, anyTag) => {
          const bare = whole({ height, tag: anyTag });
          const full = withWitness(bare);
          expect(full.length).toBe(bare.length + COINBASE_WITNESS_BYTES);
          const transaction = parseTransaction(full);
          expect(transaction.inputs[0]?.witness).toEqual([new Uint8Array(32)]);
          expect(txid(transaction)).toEqual(sha256d(bare));
        },
      ),
      { seed: 1 },
    );
  });
});

describe('BIP141 commitment', () => {
  it('of a block with nothing but its coinbase is the one every empty block on chain carries', () => {
    expect(bytesToHex(witnessCommitmentScript([]))).toBe(
      '6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9',
    );
  });

  it('is known by its first six bytes and its length', () => {
    const commitment = witnessCommitmentScript([]);
    expect(isWitnessCommitment(commitment)).toBe(true);
    expect(isWitnessCommitment(concatBytes([commitment, Uint8Array.of(1)]))).toBe(true);
    expect(isWitnessCommitment(commitment.subarray(0, 37))).toBe(false);
    expect(isWitnessCommitment(script)).toBe(false);
  });
});
