import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { decodeHeader } from '../../engine/bitcoin/header.js';
import { bytesToHex, displayHash, hashFromDisplay, hexToBytes } from '../../engine/bitcoin/hex.js';
import { merkleRoot } from '../../engine/bitcoin/merkle.js';
import { NETWORKS } from '../../engine/bitcoin/networks.js';
import { targetFromBytesLE } from '../../engine/bitcoin/target.js';
import { ByteReader, concatBytes, readTransaction, txid, wtxid } from '../../engine/bitcoin/transaction.js';
import { assembleBlock, buildJob, type JobParts, notifyParams } from '../../engine/work/job.js';
import { type BlockTemplate, parseTemplate } from '../../engine/work/template.js';
import { projectRoot } from '../../storage/project-root.js';

// Captured: the template, and the block that this code made of it and the same node accepted at height 161.
const fixture = JSON.parse(
  readFileSync(join(projectRoot(), 'test/fixtures/regtest-template-161.json'), 'utf8'),
) as {
  template: unknown;
  block: { nonce: number; hash: string; hex: string; script: string };
  transactionIds: { txid: string; hash: string; weight: number }[];
  merkleRoot: string;
};
const template = parseTemplate(fixture.template, 'regtest');
const script = hexToBytes(fixture.block.script);

const build = (more: Partial<JobParts> = {}) =>
  buildJob({
    template,
    jobId: 161,
    outputs: [{ script, sats: template.coinbaseValue }],
    tag: '/Millrace/',
    extranonce1Bytes: 4,
    extranonce2Bytes: 8,
    ...more,
  });

const solution = {
  extranonce1: new Uint8Array(4).fill(0xac),
  extranonce2: new Uint8Array(8).fill(0xae),
  version: template.version,
  ntime: template.curtime,
  nonce: fixture.block.nonce,
};

describe('a job', () => {
  it('explains its coinbase value: subsidy and fees', () => {
    const job = build();
    expect(job.subsidy).toBe(2_500_000_000n);
    expect(job.fees).toBe(1104n);
    expect(job.subsidy + job.fees).toBe(job.coinbaseValue);
  });

  it('knows the network target, and its difficulty for display', () => {
    const job = build();
    expect(job.networkTarget).toBe(template.target);
    expect(job.networkDifficulty).toBeCloseTo(4.656542373906925e-10, 24);
  });

  it('is told from every other by its coinbase, even of the same template', () => {
    const coinbases = [1, 2, 255, 256, 2 ** 32, 2 ** 53 - 1].map((jobId) =>
      bytesToHex(build({ jobId }).coinbase1),
    );
    expect(new Set(coinbases).size).toBe(coinbases.length);
    expect(build({ jobId: 2 ** 53 - 1 }).id).toBe('1fffffffffffff');
    const other = build({ uniquifier: Uint8Array.of(1) });
    expect(bytesToHex(other.coinbase1)).not.toBe(bytesToHex(build().coinbase1));
  });

  it('pays exactly what the template allows: no satoshi burnt, none invented', () => {
    for (const sats of [template.coinbaseValue - 1n, template.coinbaseValue + 1n]) {
      expect(() => build({ outputs: [{ script, sats }] })).toThrow(/exactly/);
    }
    const halves = [
      { script, sats: 1n },
      { script, sats: template.coinbaseValue - 1n },
    ];
    expect(() => build({ outputs: halves })).not.toThrow();
  });

  it.each([0, -1, 1.5, 2 ** 53])('with id %d is refused: no counter', (jobId) => {
    expect(() => build({ jobId })).toThrow(/counter/);
  });

  it('with a tag too long for scriptSig is refused', () => {
    const today = { template: { ...template, height: 900_000 } };
    expect(() => build({ ...today, tag: 'x'.repeat(74) })).not.toThrow();
    expect(() => build({ ...today, tag: 'x'.repeat(75) })).toThrow(/shorten the pool tag by 1/);
    expect(() => build({ ...today, tag: '⛏'.repeat(25) })).toThrow(/shorten the pool tag by 1/);
  });

  it('that would make its block too heavy is refused, one weight unit before it is not', () => {
    const weight = fixture.transactionIds.reduce((sum, transaction) => sum + transaction.weight, 0) + 4 * 81;
    const limited = (weightLimit: number): BlockTemplate => ({ ...template, weightLimit });
    expect(() => build({ template: limited(weight) })).not.toThrow();
    expect(() => build({ template: limited(weight - 1) })).toThrow(/1 too much.*blockreservedweight/);
  });
});

describe('mining.notify', () => {
  it('carries what the miner needs, in the byte orders of the protocol', () => {
    const job = build();
    const [id, prevhash, coinb1, coinb2, branch, version, nbits, ntime, clean] = notifyParams(job, true);
    expect(id).toBe('a1');
    expect(coinb1).toBe(bytesToHex(job.coinbase1));
    expect(coinb2).toBe(bytesToHex(job.coinbase2));
    expect([version, nbits, clean]).toEqual(['30000000', '207fffff', true]);
    expect(Number.parseInt(ntime, 16)).toBe(template.curtime);
    expect(branch).toHaveLength(3);
    expect(branch[0]).toBe(bytesToHex(hashFromDisplay(fixture.transactionIds[1]?.txid ?? '')));
    // A miner swaps the words back and has the header order.
    const swappedBack = (prevhash.match(/.{8}/g) ?? []).map((word) =>
      (word.match(/../g) ?? []).reverse().join(''),
    );
    expect(swappedBack.join('')).toBe(bytesToHex(job.previousBlock));
  });

  it('shows the genesis block as previous hash the way pools show it', () => {
    const previousBlock = hashFromDisplay(NETWORKS.mainnet.genesisHash);
    const [, prevhash] = notifyParams(build({ template: { ...template, previousBlock } }), false);
    expect(prevhash).toBe('0a8ce26f72b3f1b646a2a6c14ff763ae65831e939c085ae10019d66800000000');
  });

  it('writes eight digits also for a version with leading zeros', () => {
    const params = notifyParams(build({ template: { ...template, version: 4, bits: 0x03123456 } }), false);
    expect(params.slice(5, 7)).toEqual(['00000004', '03123456']);
    expect(params[8]).toBe(false);
  });

  it('is enough to build the very header that the pool checks', () => {
    const job = build();
    const [, , coinb1, coinb2, branch] = notifyParams(job, true);
    let node = sha256d(hexToBytes(`${coinb1}acacacacaeaeaeaeaeaeaeae${coinb2}`));
    for (const sibling of branch) node = sha256d(concatBytes([node, hexToBytes(sibling)]));
    expect(decodeHeader(assembleBlock(job, solution).header).merkleRoot).toEqual(node);
  });
});

describe('an assembled block', () => {
  it('is byte for byte the one that a node accepted', () => {
    const block = assembleBlock(build(), solution);
    expect(displayHash(block.hash)).toBe(fixture.block.hash);
    expect(block.blockHex).toBe(fixture.block.hex);
    expect(targetFromBytesLE(block.hash) <= template.target).toBe(true);
  });

  it('holds the transactions the node named, under the root it computed', () => {
    const reader = new ByteReader(hexToBytes(assembleBlock(build(), solution).blockHex));
    const header = decodeHeader(reader.take(80));
    const transactions = Array.from({ length: reader.varint() }, () => readTransaction(reader));
    expect(reader.left).toBe(0);
    expect(transactions.map((t) => displayHash(txid(t)))).toEqual(fixture.transactionIds.map((t) => t.txid));
    expect(transactions.map((t) => displayHash(wtxid(t)))).toEqual(fixture.transactionIds.map((t) => t.hash));
    expect(displayHash(merkleRoot(transactions.map(txid)))).toBe(fixture.merkleRoot);
    expect(displayHash(header.merkleRoot)).toBe(fixture.merkleRoot);
  });

  it('takes version, time and nonce from the miner', () => {
    const rolled = { ...solution, version: 0x3fffe000, ntime: template.curtime + 7, nonce: 0xffffffff };
    const block = assembleBlock(build(), rolled);
    expect(decodeHeader(block.header)).toMatchObject({
      version: 0x3fffe000,
      time: template.curtime + 7,
      nonce: 0xffffffff,
    });
    expect(displayHash(block.coinbaseTxid)).toBe(fixture.transactionIds[0]?.txid);
  });

  it('has no witness in its coinbase where the template has no commitment', () => {
    const { witnessCommitment: _, ...bare } = { ...template, transactions: [], transactionsWeight: 0 };
    const reader = new ByteReader(
      hexToBytes(assembleBlock(build({ template: bare }), solution).blockHex),
      81,
    );
    const coinbase = readTransaction(reader);
    expect(coinbase.inputs[0]?.witness).toEqual([]);
    expect(coinbase.outputs).toHaveLength(1);
  });

  it('is not made with an extranonce of another length', () => {
    expect(() => assembleBlock(build(), { ...solution, extranonce2: new Uint8Array(7) })).toThrow(
      /extranonce2/,
    );
    expect(() => assembleBlock(build(), { ...solution, extranonce1: new Uint8Array(5) })).toThrow(
      /extranonce1/,
    );
  });
});
