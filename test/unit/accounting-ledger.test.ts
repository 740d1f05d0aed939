import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CREDIT_KINDS,
  cancelLines,
  capitalDepositLines,
  confirmLines,
  creditLines,
  type LedgerAccountKind,
  type LedgerLine,
  matureLines,
  orphanLines,
  orphanMaturedLines,
  reserveFundLines,
  reserveLines,
  walletSweepLines,
} from '../../engine/accounting/ledger-entries.js';
import { fillWindow } from '../../engine/accounting/pplns-window.js';
import { SCHEMES } from '../../engine/accounting/schemes.js';
import { type BlockSplit, splitBlock } from '../../engine/accounting/split-block.js';
import { roundsOf } from './accounting-rounds.js';

const SEED = 413567;

const splits: fc.Arbitrary<BlockSplit> = fc
  .constantFrom(...SCHEMES)
  .chain((scheme) => roundsOf(scheme))
  .map((round) => splitBlock({ ...round, window: fillWindow(round.buckets, round.windowHashes) }));

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

/** A block of 100: accounts 60 and 10, reserve 20, fee 5, donation 3, remainder 2. */
const credit = creditLines({
  credits: [
    { accountId: 1, amountSats: 60n },
    { accountId: 2, amountSats: 10n },
  ],
  reserveSats: 20n,
  feeSats: 5n,
  donationSats: 3n,
  remainderSats: 2n,
});

describe('ledger entries of a block', () => {
  it('name the reserve, the fee, the donation and the remainder, and move each to its spendable side', () => {
    expect(balances(credit)).toEqual(
      new Map([
        ['miner_immature 1', 60n],
        ['miner_immature 2', 10n],
        ['reserve_immature', 20n],
        ['pool_fee_immature', 5n],
        ['donation_immature', 3n],
        ['remainder_immature', 2n],
        ['coinbase_immature', -100n],
      ]),
    );
    expect(balances(credit, matureLines(credit))).toEqual(
      new Map([
        ['miner_confirmed 1', 60n],
        ['miner_confirmed 2', 10n],
        ['reserve', 20n],
        ['pool_fee', 5n],
        ['donation', 3n],
        ['remainder', 2n],
        ['wallet', -100n],
      ]),
    );
  });

  it('sum to zero at every step and have no line of 0, for every scheme; maturity leaves nothing immature', () => {
    fc.assert(
      fc.property(splits, (split) => {
        const credit = creditLines(split);
        const mature = matureLines(credit);
        expect(sum(credit)).toBe(0n);
        expect(sum(mature)).toBe(0n);
        expect([...credit, ...mature].filter(({ amountSats }) => amountSats === 0n)).toEqual([]);
        const after = balances(credit, mature);
        expect([...after.keys()].filter((key) => key.includes('immature'))).toEqual([]);
        expect(after.get('wallet')).toBe(balances(credit).get('coinbase_immature'));
        expect(balances(credit, orphanLines(credit)).size).toBe(0);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('take back a matured block in full while nothing of it was spent', () => {
    fc.assert(
      fc.property(splits, (split) => {
        const credit = creditLines(split);
        const held = balances(credit, matureLines(credit));
        const orphan = orphanMaturedLines(
          credit,
          (kind, accountId) => held.get(`${kind} ${accountId ?? ''}`.trim()) ?? 0n,
        );
        expect(balances(credit, matureLines(credit), orphan).size).toBe(0);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('book what is gone of a matured and orphaned block as a loss, and take no account below zero', () => {
    const held: Partial<Record<LedgerAccountKind, bigint>> = { reserve: 8n, pool_fee: 0n, donation: 99n };
    const orphan = orphanMaturedLines(credit, (kind, accountId) =>
      accountId === null ? (held[kind] ?? 2n) : accountId === 1 ? 25n : 500n,
    );
    expect(balances(orphan)).toEqual(
      new Map([
        ['miner_confirmed 1', -25n],
        ['miner_confirmed 2', -10n],
        ['reserve', -8n],
        ['donation', -3n],
        ['remainder', -2n],
        ['wallet', 100n],
        ['orphan_loss', -52n],
      ]),
    );
    expect(orphan.some(({ amountSats }) => amountSats === 0n)).toBe(false);
    expect(sum(orphan)).toBe(0n);
  });

  it('refuse to mature what no block credit posts', () => {
    const lines: LedgerLine[] = [{ kind: 'reserve', accountId: null, amountSats: 1n }];
    expect(() => matureLines(lines)).toThrow('no line of kind reserve');
    expect(() => orphanMaturedLines(lines, () => 0n)).toThrow('no line of kind reserve');
  });
});

describe('ledger entries of payouts and wallets', () => {
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

  it('bring the operator’s money into the wallet, and it or the earned fees into the reserve', () => {
    expect(balances(capitalDepositLines(700n), reserveFundLines(500n, 'capital'))).toEqual(
      new Map([
        ['wallet', -700n],
        ['capital', 200n],
        ['reserve', 500n],
      ]),
    );
    expect(balances(reserveFundLines(5n, 'pool_fee'))).toEqual(
      new Map([
        ['pool_fee', -5n],
        ['reserve', 5n],
      ]),
    );
    expect(() => capitalDepositLines(0n)).toThrow(RangeError);
    expect(() => reserveFundLines(-1n, 'capital')).toThrow(RangeError);
  });

  it('sweep hot coins to cold, the network fee spent', () => {
    expect(balances(walletSweepLines(900n, 12n))).toEqual(
      new Map([
        ['wallet', 912n],
        ['cold_wallet', -900n],
        ['network_fees', -12n],
      ]),
    );
    expect(walletSweepLines(900n, 0n)).toHaveLength(2);
    expect(() => walletSweepLines(0n, 5n)).toThrow(RangeError);
    expect(() => walletSweepLines(5n, -1n)).toThrow(RangeError);
  });

  it('know which kinds may never be negative', () => {
    expect(CREDIT_KINDS).not.toContain('wallet');
    expect(CREDIT_KINDS).toContain('reserve');
    expect(CREDIT_KINDS).toContain('energy_credits');
  });
});
