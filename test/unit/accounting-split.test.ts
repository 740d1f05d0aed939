import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cancelLines,
  confirmLines,
  creditLines,
  type LedgerLine,
  matureLines,
  orphanLines,
  orphanMaturedLines,
  reserveLines,
} from '../../engine/accounting/ledger-entries.js';
import { fillWindow, type WindowShares } from '../../engine/accounting/pplns-window.js';
import { splitBlock } from '../../engine/accounting/split-block.js';

const SEED = 413567;

const windows: fc.Arbitrary<WindowShares> = fc
  .array(
    fc.record({ accountId: fc.integer({ min: 1, max: 50 }), work: fc.bigInt({ min: 1n, max: 1n << 80n }) }),
    {
      minLength: 1,
      maxLength: 40,
    },
  )
  .chain((entries) =>
    fc.bigInt({ min: 1n, max: 1n << 84n }).map((size) =>
      fillWindow(
        entries.map((entry) => [entry]),
        size,
      ),
    ),
  );

const blocks = fc.record({
  scheme: fc.constantFrom('pplns' as const, 'solo' as const),
  coinbaseSats: fc.bigInt({ min: 1n, max: 60_0000_0000n }),
  feePpm: fc.integer({ min: 0, max: 1_000_000 }),
  finderId: fc.integer({ min: 1, max: 50 }),
  window: windows,
});

const sum = (lines: readonly LedgerLine[]) => lines.reduce((total, line) => total + line.amountSats, 0n);

/** Balances after a run of postings, by kind and account. */
function balances(...postings: (readonly LedgerLine[])[]): Map<string, bigint> {
  const result = new Map<string, bigint>();
  for (const { kind, accountId, amountSats } of postings.flat()) {
    const key = `${kind} ${accountId ?? ''}`.trim();
    const balance = (result.get(key) ?? 0n) + amountSats;
    if (balance === 0n) result.delete(key);
    else result.set(key, balance);
  }
  return result;
}

describe('splitting a block', () => {
  it('pays PPLNS by the part of the window, the fee first and the rest to the remainder', () => {
    const window = fillWindow([[{ accountId: 1, work: 1n }], [{ accountId: 2, work: 2n }]], 10n);
    const split = splitBlock({
      scheme: 'pplns',
      coinbaseSats: 5_000_000_000n,
      feePpm: 10_000,
      finderId: 2,
      window,
    });
    expect(split).toEqual({
      feeSats: 50_000_000n,
      credits: [
        { accountId: 1, amountSats: 1_650_000_000n },
        { accountId: 2, amountSats: 3_300_000_000n },
      ],
      remainderSats: 0n,
    });
  });

  it('pays SOLO blocks to the finder less the fee', () => {
    const window = fillWindow([[{ accountId: 1, work: 100n }]], 10n);
    const split = splitBlock({ scheme: 'solo', coinbaseSats: 999n, feePpm: 15_000, finderId: 3, window });
    expect(split).toEqual({ feeSats: 14n, credits: [{ accountId: 3, amountSats: 985n }], remainderSats: 0n });
  });

  it('pays the finder when nobody has work in the window', () => {
    const window = fillWindow([], 10n);
    const split = splitBlock({ scheme: 'pplns', coinbaseSats: 100n, feePpm: 0, finderId: 3, window });
    expect(split.credits).toEqual([{ accountId: 3, amountSats: 100n }]);
  });

  it('refuses fees and coinbases that make no sense', () => {
    const window = fillWindow([], 10n);
    const block = { scheme: 'solo' as const, coinbaseSats: 100n, feePpm: 0, finderId: 3, window };
    expect(() => splitBlock({ ...block, feePpm: 1_000_001 })).toThrow(RangeError);
    expect(() => splitBlock({ ...block, feePpm: 0.5 })).toThrow(RangeError);
    expect(() => splitBlock({ ...block, coinbaseSats: 0n })).toThrow(RangeError);
  });

  it('explains every satoshi, and gives nobody more than the exact fraction nor a satoshi less', () => {
    fc.assert(
      fc.property(blocks, (block) => {
        const { credits, feeSats, remainderSats } = splitBlock(block);
        const credited = credits.reduce((total, credit) => total + credit.amountSats, 0n);
        expect(credited + feeSats + remainderSats).toBe(block.coinbaseSats);
        expect(remainderSats >= 0n).toBe(true);
        expect(feeSats * 1_000_000n <= block.coinbaseSats * BigInt(block.feePpm)).toBe(true);
        expect((feeSats + 1n) * 1_000_000n > block.coinbaseSats * BigInt(block.feePpm)).toBe(true);
        if (block.scheme === 'solo') return;
        const net = block.coinbaseSats - feeSats;
        const paid = new Map(credits.map((credit) => [credit.accountId, credit.amountSats]));
        for (const [accountId, weight] of block.window.weights) {
          const exact = net * weight;
          const amount = (paid.get(accountId) ?? 0n) * block.window.totalWeight;
          expect(amount <= exact && exact - amount < block.window.totalWeight).toBe(true);
        }
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe('ledger entries', () => {
  it('sum to zero at every step of a block, and maturity leaves nothing immature', () => {
    fc.assert(
      fc.property(blocks, (block) => {
        const credit = creditLines(splitBlock(block));
        const mature = matureLines(credit);
        expect(sum(credit)).toBe(0n);
        expect(sum(mature)).toBe(0n);
        const after = balances(credit, mature);
        expect([...after.keys()].filter((key) => key.includes('immature'))).toEqual([]);
        expect(after.get('wallet')).toBe(-block.coinbaseSats);
        expect(balances(credit, orphanLines(credit)).size).toBe(0);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('take back a matured block in full while nothing of it was paid', () => {
    fc.assert(
      fc.property(blocks, (block) => {
        const credit = creditLines(splitBlock(block));
        const held = new Map(credit.map((line) => [line.accountId, line.amountSats]));
        const orphan = orphanMaturedLines(credit, (accountId) => held.get(accountId) ?? 0n);
        expect(balances(credit, matureLines(credit), orphan).size).toBe(0);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('book what was already paid of a matured and orphaned block as a loss of the pool', () => {
    const credit: LedgerLine[] = [
      { kind: 'miner_immature', accountId: 1, amountSats: 60n },
      { kind: 'miner_immature', accountId: 2, amountSats: 40n },
      { kind: 'coinbase_immature', accountId: null, amountSats: -100n },
    ];
    const orphan = orphanMaturedLines(credit, (accountId) => (accountId === 1 ? 25n : 500n));
    expect(sum(orphan)).toBe(0n);
    expect(balances(orphan)).toEqual(
      new Map([
        ['miner_confirmed 1', -25n],
        ['miner_confirmed 2', -40n],
        ['wallet', 100n],
        ['orphan_loss', -35n],
      ]),
    );
  });

  it('move a payout out of the balance, and to the chain or back', () => {
    const shares = [
      { accountId: 1, amountSats: 1000n, sentSats: 1000n },
      { accountId: 2, amountSats: 500n, sentSats: 450n },
    ];
    const reserve = reserveLines(shares);
    expect(balances(reserve, cancelLines(shares)).size).toBe(0);
    // Payees bore 50 of 80 satoshis of network fee, the pool 30.
    expect(balances(reserve, confirmLines(shares, 80n))).toEqual(
      new Map([
        ['miner_confirmed 1', -1000n],
        ['miner_confirmed 2', -500n],
        ['wallet', 1530n],
        ['network_fees', -30n],
      ]),
    );
  });

  it('refuse a payout that charges payees more fee than was paid, or sends more than it takes', () => {
    expect(() => confirmLines([{ accountId: 1, amountSats: 100n, sentSats: 50n }], 10n)).toThrow(RangeError);
    expect(() => confirmLines([{ accountId: 1, amountSats: 100n, sentSats: 101n }], 10n)).toThrow(RangeError);
  });
});
