// The generated day that the storage benchmark inserts, and the size it takes from the command line.
import { describe, expect, it } from 'vitest';
import { targetFromBytesLE } from '../../engine/bitcoin/target.js';
import { verdictByName } from '../../engine/work/verdict.js';
import { UsageError } from '../../loadtest/bench/command-line.js';
import { DAY_MS, poolDay } from '../../loadtest/bench/storage-data.js';
import { rowsOf } from '../../loadtest/bench/storage-options.js';
import { SHARE, SHARE_FLAG_BLOCK, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';

const DAY = { rows: 5000, workers: 100, seed: 3, startMs: Date.UTC(2025, 0, 15), batchRows: 2000 };

describe('the generated day', () => {
  const batches = [...poolDay(DAY)];
  const records = batches.flatMap((batch) =>
    Array.from({ length: batch.shares }, (_, row) =>
      batch.records.subarray(row * SHARE_RECORD_BYTES, (row + 1) * SHARE_RECORD_BYTES),
    ),
  );

  it('is the same for the same seed, another for another', () => {
    const bytes = (seed: number) =>
      Buffer.concat([...poolDay({ ...DAY, seed })].map((batch) => batch.records));
    expect(bytes(3).equals(Buffer.concat(records))).toBe(true);
    expect(bytes(4).equals(Buffer.concat(records))).toBe(false);
  });

  it('has as many shares as asked for, numbered without gaps, in order of time, within the day', () => {
    expect(batches.map(({ shares }) => shares)).toEqual([2000, 2000, 1000]);
    let lastUs = BigInt(DAY.startMs) * 1000n;
    for (const [index, record] of records.entries()) {
      expect(record.readBigUInt64LE(SHARE.seq)).toBe(BigInt(index + 1));
      const us = record.readBigUInt64LE(SHARE.receivedUs);
      expect(us >= lastUs && us < BigInt(DAY.startMs + DAY_MS) * 1000n).toBe(true);
      lastUs = us;
    }
  });

  it('credits only hashes that meet their target, and counts a round for each block', () => {
    let blocks = 0;
    for (const record of records) {
      expect(record.readUInt32LE(SHARE.round)).toBe(blocks);
      const isBlock = ((record[SHARE.flags] as number) & SHARE_FLAG_BLOCK) !== 0;
      const hash = targetFromBytesLE(record.subarray(SHARE.hash, SHARE.hash + 32));
      const target = targetFromBytesLE(record.subarray(SHARE.target, SHARE.target + 32));
      const verdict = record[SHARE.verdict];
      if (verdict === verdictByName('accepted').code) expect(hash > 0n && hash <= target).toBe(true);
      else expect(isBlock).toBe(false);
      if (verdict === verdictByName('low_difficulty').code) expect(hash > target).toBe(true);
      if (isBlock) blocks++;
    }
    expect(blocks).toBeGreaterThan(0);
    expect(batches.at(-1)?.round).toBe(blocks);
  });
});

describe('--rows', () => {
  it('is 10 million, with --quick 200,000, or what was asked for', () => {
    expect([rowsOf([], false), rowsOf([], true), rowsOf(['50000000'], true)]).toEqual([
      10_000_000, 200_000, 50_000_000,
    ]);
  });

  it.each([['999'], ['1e6'], ['-5'], ['200000001'], [''], ['1000', '2000']])('refuses %j %j', (...given) => {
    expect(() => rowsOf(given, false)).toThrow(UsageError);
  });
});
