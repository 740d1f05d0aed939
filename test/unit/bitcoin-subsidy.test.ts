import { describe, expect, it } from 'vitest';
import { blockSubsidy } from '../../engine/bitcoin/subsidy.js';

describe('subsidy', () => {
  it.each([
    [0, 5_000_000_000n],
    [209_999, 5_000_000_000n],
    [210_000, 2_500_000_000n],
    [420_000, 1_250_000_000n],
    [630_000, 625_000_000n],
    [840_000, 312_500_000n],
    [1_050_000, 156_250_000n],
    [32 * 210_000, 1n],
    [33 * 210_000, 0n],
    [64 * 210_000, 0n],
    [100 * 210_000, 0n],
  ])('on mainnet at height %i is %d sats', (height, sats) => {
    expect(blockSubsidy(height, 'mainnet')).toBe(sats);
  });

  it('halves every 150 blocks on regtest and like mainnet everywhere else', () => {
    expect(blockSubsidy(149, 'regtest')).toBe(5_000_000_000n);
    expect(blockSubsidy(150, 'regtest')).toBe(2_500_000_000n);
    for (const network of ['testnet4', 'signet', 'private'] as const) {
      expect(blockSubsidy(210_000, network)).toBe(2_500_000_000n);
    }
  });

  it('sums to the supply that Core tests for: 2,099,999,997,690,000 sats', () => {
    let supply = 0n;
    for (let height = 0; height < 7_000_000; height += 1000)
      supply += 1000n * blockSubsidy(height, 'mainnet');
    expect(supply).toBe(2_099_999_997_690_000n);
  });

  it('has no block below the first', () => {
    expect(() => blockSubsidy(-1, 'mainnet')).toThrow(RangeError);
  });
});
