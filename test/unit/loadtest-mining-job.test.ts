import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { headerHash } from '../../engine/bitcoin/header.js';
import { bytesToHex, displayHash, hexToBytes } from '../../engine/bitcoin/hex.js';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { buildHeader, type MiningJob, parseNotify, type SessionWork } from '../../loadtest/mining-job.js';
import { projectRoot } from '../../storage/project-root.js';
import { FAKE_EXTRANONCE1, notifyParams } from './loadtest-fake-pool.js';

function session(extranonce1: string, extranonce2Bytes: number, difficulty = 1): SessionWork {
  const targetLE = targetToBytesLE(targetFromDifficulty(difficulty));
  return { difficulty, targetLE, extranonce1: hexToBytes(extranonce1), extranonce2Bytes };
}

const unrolled = { versionBits: 0, versionMask: 0 };

/** A hash in header order, written as mining.notify writes it: the 4-byte words each reversed. */
function notifyOrder(headerOrderHex: string): string {
  return (headerOrderHex.match(/.{8}/g) ?? [])
    .map((word) => (word.match(/../g) ?? []).reverse().join(''))
    .join('');
}

/** Cuts a coinbase into what the pool sends and the extranonces in between. */
function cutCoinbase(
  hex: string,
  atByte: number,
  bytes1: number,
  bytes2: number,
): [string, string, string, string] {
  const [a, b, c] = [atByte * 2, (atByte + bytes1) * 2, (atByte + bytes1 + bytes2) * 2];
  return [hex.slice(0, a), hex.slice(a, b), hex.slice(b, c), hex.slice(c)];
}

describe('header of a share as a miner builds it', () => {
  it('rebuilds the genesis block', () => {
    const coinbase =
      '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d010445' +
      '5468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e' +
      '64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7' +
      '105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac' +
      '00000000';
    const [part1, extranonce1, extranonce2, part2] = cutCoinbase(coinbase, 58, 4, 8);
    const params = ['g', '00'.repeat(32), part1, part2, [], '00000001', '1d00ffff', '495fab29', true];
    const job = parseNotify(params, session(extranonce1, 8));
    const header = buildHeader(job, {
      ...unrolled,
      extranonce2: hexToBytes(extranonce2),
      time: job.time,
      nonce: 2083236893,
    });
    expect(displayHash(headerHash(header))).toBe(
      '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    );
  });

  it("turns the share of the protocol's first public description into its known hash", () => {
    const job = parseNotify(notifyParams('bf', false), session(FAKE_EXTRANONCE1, 4));
    const header = buildHeader(job, {
      ...unrolled,
      extranonce2: hexToBytes('00000001'),
      time: 0x504e86ed,
      nonce: 0xb2957c02,
    });
    expect(displayHash(headerHash(header))).toBe(
      '000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32',
    );
  });

  it('rebuilds a full mainnet block from its coinbase and merkle branch', (context) => {
    const path = join(projectRoot(), '../shared/vectors/mainnet_block_413567.json');
    if (!existsSync(path)) {
      console.log('mainnet_block_413567.json is not here: the mainnet block is left out of this run');
      context.skip();
    }
    const block = JSON.parse(readFileSync(path, 'utf8')) as {
      hash_be: string;
      header: string;
      coinbase_tx: string;
      merkle_branch: string[];
    };
    const bytes = Buffer.from(block.header, 'hex');
    const word = (offset: number): string => bytes.readUInt32LE(offset).toString(16).padStart(8, '0');
    const [part1, extranonce1, extranonce2, part2] = cutCoinbase(block.coinbase_tx, 70, 4, 4);
    const previous = notifyOrder(bytes.subarray(4, 36).toString('hex'));
    const params = ['m', previous, part1, part2, block.merkle_branch, word(0), word(72), word(68), true];
    const job = parseNotify(params, session(extranonce1, 4));
    const choice = { ...unrolled, extranonce2: hexToBytes(extranonce2), time: job.time };
    const header = buildHeader(job, { ...choice, nonce: bytes.readUInt32LE(76) });
    expect(bytesToHex(header)).toBe(block.header);
    expect(displayHash(headerHash(header))).toBe(block.hash_be);
  });

  it.each([
    // job version, rolled bits, mask, version in the header
    [0x20000000, 0x00000000, 0x1fffe000, 0x20000000],
    [0x20000000, 0x1fffe000, 0x1fffe000, 0x3fffe000],
    // A bit inside the mask is set by the template: it is replaced, neither OR-ed nor XOR-ed.
    [0x20002000, 0x00000000, 0x1fffe000, 0x20000000],
    [0x20002000, 0x00002000, 0x1fffe000, 0x20002000],
    [0x20002000, 0x00004000, 0x1fffe000, 0x20004000],
    [0xe0000000, 0x00000000, 0x00000000, 0xe0000000],
  ])('rolls version %i with bits %i inside mask %i to %i', (version, versionBits, versionMask, expected) => {
    const params = notifyParams('v', false);
    params[5] = version.toString(16).padStart(8, '0');
    const job = parseNotify(params, session(FAKE_EXTRANONCE1, 4));
    const choice = { extranonce2: new Uint8Array(4), time: job.time, nonce: 0, versionBits, versionMask };
    expect(Buffer.from(buildHeader(job, choice)).readUInt32LE(0)).toBe(expected);
  });
});

describe('mining.notify', () => {
  const good: unknown[] = notifyParams('1', true);
  const bad: [string, number, unknown][] = [
    ['job id of another type', 0, 7],
    ['empty job id', 0, ''],
    ['short previous hash', 1, '00'.repeat(31)],
    ['previous hash that is not hex', 1, 'zz'.repeat(32)],
    ['coinbase with half a byte', 2, 'abc'],
    ['missing coinbase', 3, undefined],
    ['branch that is no list', 4, 'aa'],
    ['branch with a short hash', 4, ['aa']],
    ['branch without end', 4, Array.from({ length: 33 }, () => '00'.repeat(32))],
    ['long version', 5, '000000001'],
    ['bits as a number', 6, 0x1d00ffff],
    ['empty time', 7, ''],
    ['clean_jobs as a text', 8, 'true'],
  ];
  it.each(bad)('is refused with a %s', (_, index, value) => {
    const params = [...good];
    params[index] = value;
    expect(() => parseNotify(params, session(FAKE_EXTRANONCE1, 4))).toThrow(/mining\.notify|the pool sent/);
  });

  it('binds difficulty, target and extranonce of the session to the job', () => {
    const job: MiningJob = parseNotify(good, session('aabb', 3, 0.5));
    expect(job).toMatchObject({ difficulty: 0.5, extranonce2Bytes: 3, cleanJobs: true, jobId: '1' });
    expect(bytesToHex(job.targetLE)).toBe(bytesToHex(targetToBytesLE(targetFromDifficulty(0.5))));
  });
});
