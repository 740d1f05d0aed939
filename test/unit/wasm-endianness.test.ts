// The places where Bitcoin and Stratum turn bytes around, each with the pool's own code on both sides: what
// mining.notify says, what mining.submit brings, what the kernel hashes. Block 100000 decides who is right.
import { describe, expect, it } from 'vitest';
import { bytesToHex, displayHash, hexToBytes } from '../../engine/bitcoin/hex.js';
import { targetFromBytesLE, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { hexInto, hexWord, PARAM, SubmitParts, scanSubmit } from '../../engine/stratum/v1/submit-scanner.js';
import { type Job, notifyParams } from '../../engine/work/job.js';
import { createSlab, Kernel } from '../../wasm/kernel.js';
import { RESULT_MEETS_NETWORK, RESULT_MEETS_SHARE } from '../../wasm/slots.js';
import { asJobAndShare, SAMPLE, type SampleBlock } from './wasm-mainnet-sample.js';
import { everyPath, type Judge } from './wasm-random-shares.js';
import { sha256d } from './wasm-share-oracle.js';

const BLOCK = SAMPLE[3] as SampleBlock;
// The bits in its scriptSig, 4c86041b, stand where extranonce2 would.
const EXTRANONCE2_AT = 43;
const [job, share] = asJobAndShare(BLOCK, EXTRANONCE2_AT, 4);
const BOTH = RESULT_MEETS_SHARE | RESULT_MEETS_NETWORK;

const notified: Pick<
  Job,
  'id' | 'previousBlock' | 'coinbase1' | 'coinbase2' | 'branch' | 'version' | 'bits' | 'curtime'
> = { ...job, id: 'a1', version: share.version, curtime: share.ntime };
const [, previousHash, , , branch, version, bits, ntime] = notifyParams(notified as Job, true);

// What a miner that solved it sends, by the words of the protocol.
const line = Buffer.from(
  '{"id":4,"method":"mining.submit","params":["addr.rig","a1","4c86041b","4d1b2237","10572b0f"]}',
);
const submitted = new SubmitParts();

const slab = createSlab();
const kernel = Kernel.load(slab, 0);
const onEveryPath = (check: (judge: Judge) => void): void => everyPath(slab, kernel, check);

/** `hex` with the bytes of each group of `size` in the opposite order. */
function turned(hex: string, size: number): string {
  const groups = hex.match(new RegExp(`.{${2 * size}}`, 'g')) ?? [];
  return groups.map((group) => (group.match(/../g) ?? []).reverse().join('')).join('');
}

describe('endianness traps', () => {
  it('previous hash: mining.notify turns each of its eight words, the header does not', () => {
    const shown = '000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250';
    expect(previousHash).toBe('1901125004612a1701c3a621d930d31d36b607df1fccc2160002d01c00000000');
    expect(displayHash(job.previousBlock)).toBe(shown);
    onEveryPath((judge) => {
      const hashWith = (hex: string): string =>
        displayHash(judge({ ...job, previousBlock: hexToBytes(hex) }, share).hash);
      expect(hashWith(turned(previousHash, 4))).toBe(BLOCK.hash);
      expect(hashWith(turned(shown, 32))).toBe(BLOCK.hash);
      expect(hashWith(previousHash)).not.toBe(BLOCK.hash);
      expect(hashWith(shown)).not.toBe(BLOCK.hash);
    });
  });

  it('version hex: a number, highest digit first; little-endian in the header', () => {
    expect(version).toBe('00000001');
    expect(bytesToHex(BLOCK.header.subarray(0, 4))).toBe('01000000');
    onEveryPath((judge) => {
      const hashWith = (hex: string): string =>
        displayHash(judge(job, { ...share, version: Number.parseInt(hex, 16) }).hash);
      expect(hashWith(version)).toBe(BLOCK.hash);
      expect(hashWith(turned(version, 4))).not.toBe(BLOCK.hash);
    });
  });

  it('bits hex: the same', () => {
    expect(bits).toBe('1b04864c');
    expect(bytesToHex(BLOCK.header.subarray(72, 76))).toBe('4c86041b');
    onEveryPath((judge) => {
      const hashWith = (hex: string): string =>
        displayHash(judge({ ...job, bits: Number.parseInt(hex, 16) }, share).hash);
      expect(hashWith(bits)).toBe(BLOCK.hash);
      expect(hashWith(turned(bits, 4))).not.toBe(BLOCK.hash);
    });
  });

  it('ntime and nonce hex: the same, in mining.notify as in mining.submit', () => {
    expect(ntime).toBe('4d1b2237');
    expect(bytesToHex(BLOCK.header.subarray(68, 72))).toBe('37221b4d');
    expect(scanSubmit(line, submitted)).toBe(true);
    const word = (param: number): number => hexWord(line, submitted.starts[param] ?? 0);
    const chosen = { ntime: word(PARAM.ntime), nonce: word(PARAM.nonce) };
    expect(chosen.ntime).toBe(Number.parseInt(ntime, 16));
    expect(chosen).toEqual({ ntime: share.ntime, nonce: share.nonce });
    onEveryPath((judge) => {
      expect(displayHash(judge(job, { ...share, ...chosen }).hash)).toBe(BLOCK.hash);
      const swapped = { ntime: 0x37221b4d, nonce: 0x0f2b5710 };
      expect(displayHash(judge(job, { ...share, ntime: swapped.ntime }).hash)).not.toBe(BLOCK.hash);
      expect(displayHash(judge(job, { ...share, nonce: swapped.nonce }).hash)).not.toBe(BLOCK.hash);
    });
  });

  it('extranonce2: bytes, in the order in which they were sent; not a number', () => {
    expect(scanSubmit(line, submitted)).toBe(true);
    const extranonce = new Uint8Array(4);
    expect(hexInto(line, submitted.starts[PARAM.extranonce2] ?? 0, 4, extranonce)).toBe(true);
    expect(bytesToHex(extranonce)).toBe('4c86041b');
    onEveryPath((judge) => {
      expect(judge(job, { ...share, extranonce }).result).toBe(BOTH);
      const asNumber = Uint8Array.from(extranonce).reverse();
      expect(judge(job, { ...share, extranonce: asNumber }).result).toBe(0);
    });
  });

  it('merkle branch: as hashed, in mining.notify too; not as txids are shown', () => {
    // The coinbase's neighbour is the second transaction, fff2525b...02c4 in explorers.
    expect(branch[0]).toBe('c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff');
    onEveryPath((judge) => {
      const hashWith = (hashes: string[]): string =>
        displayHash(judge({ ...job, branch: hashes.map(hexToBytes) }, share).hash);
      expect(hashWith(branch)).toBe(BLOCK.hash);
      expect(hashWith(branch.map((hash) => turned(hash, 32)))).not.toBe(BLOCK.hash);
    });
  });

  it('displayed hash: the reverse of what was hashed and stored', () => {
    onEveryPath((judge) => {
      const { hash } = judge(job, share);
      expect(hash).toEqual(Uint8Array.from(sha256d(BLOCK.header)));
      expect(bytesToHex(hash)).toBe('06e533fd1ada86391f3f6c343204b0d278d4aaec1c0b20aa27ba030000000000');
      expect(displayHash(hash)).toBe('000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506');
    });
  });

  it('targets: little-endian like the hash they are compared with, so the zeros of both come last', () => {
    const value = targetFromBytesLE(sha256d(BLOCK.header));
    const exact = targetToBytesLE(value);
    expect(bytesToHex(exact).endsWith('0000000000')).toBe(true);
    onEveryPath((judge) => {
      expect(judge(job, { ...share, shareTargetLE: exact }).result).toBe(BOTH);
      expect(judge(job, { ...share, shareTargetLE: targetToBytesLE(value - 1n) }).result).toBe(
        RESULT_MEETS_NETWORK,
      );
      // Read from the other end it would be 06e533fd...: easy.
      const asShown = { ...share, shareTargetLE: Uint8Array.from(exact).reverse() };
      expect(judge({ ...job, networkTargetLE: new Uint8Array(32) }, asShown).result).toBe(RESULT_MEETS_SHARE);
    });
  });
});
