import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CoinbaseOutputsInput, coinbaseOutputs } from '../../engine/accounting/coinbase-outputs.js';
import { creditLines } from '../../engine/accounting/ledger-entries.js';
import type { BlockSplit } from '../../engine/accounting/split-block.js';
import { buildCoinbase } from '../../engine/bitcoin/coinbase.js';

const SEED = 750;

const P2WPKH = 22;
const P2TR = 34;

const split = (amounts: bigint[]): BlockSplit => ({
  credits: amounts.map((amountSats, index) => ({ accountId: index + 1, amountSats })),
  reserveSats: 100n,
  feeSats: 20n,
  donationSats: 3n,
  remainderSats: 1n,
});

const input = (changes: Partial<CoinbaseOutputsInput>): CoinbaseOutputsInput => ({
  split: split([500n, 9000n, 7000n, 600n, 7000n]),
  baseBytes: 200,
  baseOutputs: 2,
  coinbaseBytesMax: 500,
  dustSats: 546n,
  scriptOf: () => new Uint8Array(P2WPKH),
  ...changes,
});

const paid = (changes: Partial<CoinbaseOutputsInput>) =>
  coinbaseOutputs(input(changes)).direct.map(({ accountId }) => accountId);

/** Length of the coinbase that a block would really carry, without witness. */
function coinbaseBytes(scripts: readonly Uint8Array[]): number {
  const { coinbase1, coinbase2 } = buildCoinbase({
    height: 900_000,
    tag: new Uint8Array(10),
    extranonceBytes: 12,
    outputs: [new Uint8Array(P2TR), ...scripts].map((script) => ({ sats: 1n, script })),
    witnessCommitment: new Uint8Array(38),
  });
  return coinbase1.length + 12 + coinbase2.length;
}

describe('a coinbase that pays miners straight', () => {
  it('pays the largest first, equal ones by account, and nobody below the dust limit', () => {
    expect(paid({})).toEqual([2, 3, 5, 4]);
    expect(paid({ dustSats: 500n })).toEqual([2, 3, 5, 4, 1]);
  });

  it('pays as many as fit the firmware, and the rest stays with the pool', () => {
    // An output to P2WPKH has 8 + 1 + 22 bytes.
    expect(paid({ coinbaseBytesMax: 200 + 31 * 2 + 30 })).toEqual([2, 3]);
    expect(paid({ coinbaseBytesMax: 200 + 31 * 3 })).toEqual([2, 3, 5]);
    expect(paid({ coinbaseBytesMax: 200 })).toEqual([]);
    const outputs = coinbaseOutputs(input({ coinbaseBytesMax: 200 + 31 }));
    expect(outputs.direct).toEqual([{ accountId: 2, script: new Uint8Array(P2WPKH), amountSats: 9000n }]);
    expect(outputs.poolSats).toBe(500n + 7000n + 600n + 7000n + 124n);
    expect(creditLines(outputs.rest).at(-1)?.amountSats).toBe(-outputs.poolSats);
  });

  it('counts the longer output count from the 253rd output on', () => {
    expect(paid({ baseOutputs: 252, coinbaseBytesMax: 200 + 31 + 1 })).toEqual([]);
    expect(paid({ baseOutputs: 252, coinbaseBytesMax: 200 + 31 + 2 })).toEqual([2]);
    expect(paid({ baseOutputs: 251, coinbaseBytesMax: 200 + 31 })).toEqual([2]);
  });

  it('passes over a script that does not fit for a smaller one that does, and accounts without an address', () => {
    const scriptOf = (accountId: number) => new Uint8Array(accountId === 3 ? P2TR : P2WPKH);
    expect(paid({ coinbaseBytesMax: 200 + 31 * 2 + 5, scriptOf })).toEqual([2, 5]);
    expect(paid({ scriptOf: (accountId) => (accountId === 2 ? null : scriptOf(accountId)) })).toEqual([
      3, 5, 4,
    ]);
  });

  it('refuses a coinbase that is too long before anyone is paid', () => {
    expect(() => coinbaseOutputs(input({ baseBytes: 501 }))).toThrow('shorten the pool tag');
  });

  it('leaves the pool nothing when all of it is paid straight', () => {
    const credits = [{ accountId: 1, amountSats: 1000n }];
    const whole = { credits, reserveSats: 0n, feeSats: 0n, donationSats: 0n, remainderSats: 0n };
    const outputs = coinbaseOutputs(input({ split: whole }));
    expect(outputs.poolSats).toBe(0n);
    expect(outputs.direct).toHaveLength(1);
  });

  it('sums to the coinbase, fits as built, and could not pay one account more', () => {
    const baseBytes = coinbaseBytes([]);
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 1n, max: 1n << 32n }), { maxLength: 300 }),
        fc.integer({ min: baseBytes, max: 12_000 }),
        fc.array(fc.integer({ min: 20, max: 45 }), { minLength: 1, maxLength: 5 }),
        (amounts, coinbaseBytesMax, lengths) => {
          const all = split(amounts);
          const scriptOf = (accountId: number) =>
            new Uint8Array(lengths[accountId % lengths.length] ?? P2WPKH);
          const chosen = coinbaseOutputs({
            split: all,
            baseBytes,
            baseOutputs: 2,
            coinbaseBytesMax,
            dustSats: 546n,
            scriptOf,
          });
          const scripts = chosen.direct.map(({ script }) => script);
          expect(coinbaseBytes(scripts)).toBeLessThanOrEqual(coinbaseBytesMax);
          const total = amounts.reduce((a, b) => a + b, 124n);
          expect(chosen.direct.reduce((sum, { amountSats }) => sum + amountSats, chosen.poolSats)).toBe(
            total,
          );
          const direct = new Set(chosen.direct.map(({ accountId }) => accountId));
          expect(chosen.rest.credits.map(({ accountId }) => accountId)).toEqual(
            all.credits.map(({ accountId }) => accountId).filter((accountId) => !direct.has(accountId)),
          );
          const left = chosen.rest.credits.filter(({ amountSats }) => amountSats >= 546n);
          const smallest = Math.min(...left.map(({ accountId }) => scriptOf(accountId).length));
          if (left.length > 0) {
            expect(coinbaseBytes([...scripts, new Uint8Array(smallest)])).toBeGreaterThan(coinbaseBytesMax);
          }
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });
});
