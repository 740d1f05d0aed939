import { describe, expect, it } from 'vitest';
import type { NetworkName } from '../../engine/bitcoin/networks.js';
import { emptyTemplate, type TipHeader } from '../../engine/work/empty-template.js';
import { buildJob } from '../../engine/work/job.js';
import type { BlockTemplate } from '../../engine/work/template.js';

// That a real node takes such a block, and gives the very same template, is in test/integration/bitcoind.test.ts.
const TIP: TipHeader = {
  hash: '0a'.repeat(32),
  height: 899_999,
  bits: 0x17034219,
  medianTime: 1_700_000_000,
};
const last = {
  ...{ version: 0x20000004, witnessCommitment: new Uint8Array(38), weightLimit: 4_000_000 },
  ...{ rules: ['csv', '!segwit'], transactionsWeight: 3_900_000, coinbaseValue: 400_000_000n },
} as unknown as BlockTemplate;
const on = (tip: Partial<TipHeader>, network: NetworkName = 'mainnet', nodeTime = 1_700_003_000) =>
  emptyTemplate({ ...TIP, ...tip }, last, network, nodeTime);

describe('the empty template', () => {
  it('pays the subsidy of its height and no fees, under the target of its tip', () => {
    expect(on({})).toMatchObject({
      ...{ height: 900_000, version: 0x20000004, previousBlockHash: TIP.hash, bits: TIP.bits },
      ...{ coinbaseValue: 312_500_000n, fees: 0n, transactions: [], transactionsWeight: 0 },
    });
    expect(on({ height: 839_998 })?.coinbaseValue).toBe(625_000_000n);
    expect(on({ height: 839_999 })?.coinbaseValue).toBe(312_500_000n);
  });

  it('makes a job whose merkle branch is empty', () => {
    const template = on({});
    if (template === null) throw new Error('no template');
    const outputs = [{ script: Uint8Array.of(0x51), sats: template.coinbaseValue }];
    const job = buildJob({ template, jobId: 1, outputs, tag: '', extranonce1Bytes: 4, extranonce2Bytes: 8 });
    expect(job.branch).toEqual([]);
    expect(job.subsidy).toBe(312_500_000n);
  });

  it.each([
    [1_700_003_000, 1_700_003_000],
    [1_600_000_000, 1_700_000_001],
  ])('at %d by the node carries the time %d: later than the median of its chain', (nodeTime, curtime) => {
    expect(on({}, 'mainnet', nodeTime)).toMatchObject({ curtime, mintime: 1_700_000_001 });
  });

  it.each<[string, Partial<TipHeader>, NetworkName]>([
    ['at a change of the target', { height: 2015 }, 'mainnet'],
    ['at a later change of the target', { height: 901_151 }, 'private'],
    ['where an easier target comes with time', {}, 'testnet4'],
  ])('is not made %s', (_, tip, network) => {
    expect(on(tip, network)).toBeNull();
  });

  it.each([2014, 2016])('is made on block %d, beside a change of the target', (height) => {
    expect(on({ height })?.height).toBe(height + 1);
  });
});
