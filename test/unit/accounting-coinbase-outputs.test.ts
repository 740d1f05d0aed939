import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CoinbasePlan,
  chooseDirect,
  coinbaseOutputs,
  type DirectChoice,
  forJobs,
  subsidyAndFees,
  transactionOutputs,
} from '../../engine/accounting/coinbase-outputs.js';
import { creditLines } from '../../engine/accounting/ledger-entries.js';
import { type BlockSplit, splitBlock } from '../../engine/accounting/split-block.js';
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

const choice = (changes: Partial<DirectChoice>): DirectChoice => ({
  split: split([500n, 9000n, 7000n, 600n, 7000n]),
  baseBytes: 200,
  baseOutputs: 2,
  coinbaseBytesMax: 500,
  targetOf: () => ({ script: new Uint8Array(P2WPKH), minimumSats: 546n }),
  ...changes,
});

const chosen = (changes: Partial<DirectChoice>) =>
  chooseDirect(choice(changes)).map(({ accountId }) => accountId);

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

describe('who is paid straight', () => {
  it('is the largest first, equal ones by account, and nobody below the least that they may be paid', () => {
    expect(chosen({})).toEqual([2, 3, 5, 4]);
    const script = new Uint8Array(P2WPKH);
    expect(chosen({ targetOf: () => ({ script, minimumSats: 500n }) })).toEqual([2, 3, 5, 4, 1]);
    const own = (accountId: number) => ({ script, minimumSats: accountId === 3 ? 7001n : 7000n });
    expect(chosen({ targetOf: own })).toEqual([2, 5]);
  });

  it('are as many as fit the firmware', () => {
    // An output to P2WPKH has 8 + 1 + 22 bytes.
    expect(chosen({ coinbaseBytesMax: 200 + 31 * 2 + 30 })).toEqual([2, 3]);
    expect(chosen({ coinbaseBytesMax: 200 + 31 * 3 })).toEqual([2, 3, 5]);
    expect(chosen({ coinbaseBytesMax: 200 })).toEqual([]);
  });

  it('counts the longer output count from the 253rd output on', () => {
    expect(chosen({ baseOutputs: 252, coinbaseBytesMax: 200 + 31 + 1 })).toEqual([]);
    expect(chosen({ baseOutputs: 252, coinbaseBytesMax: 200 + 31 + 2 })).toEqual([2]);
    expect(chosen({ baseOutputs: 251, coinbaseBytesMax: 200 + 31 })).toEqual([2]);
  });

  it('passes over a script that does not fit for a smaller one that does, and accounts without an address', () => {
    const targetOf = (accountId: number) => ({
      script: new Uint8Array(accountId === 3 ? P2TR : P2WPKH),
      minimumSats: 546n,
    });
    expect(chosen({ coinbaseBytesMax: 200 + 31 * 2 + 5, targetOf })).toEqual([2, 5]);
    expect(chosen({ targetOf: (accountId) => (accountId === 2 ? null : targetOf(accountId)) })).toEqual([
      3, 5, 4,
    ]);
  });

  it('refuses a coinbase that is too long before anyone is paid', () => {
    expect(() => chooseDirect(choice({ baseBytes: 501 }))).toThrow('shorten COINBASE_TAG');
  });

  it('fits as built, and could not be one account more', () => {
    const baseBytes = coinbaseBytes([]);
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 1n, max: 1n << 32n }), { maxLength: 300 }),
        fc.integer({ min: baseBytes, max: 12_000 }),
        fc.array(fc.integer({ min: 20, max: 45 }), { minLength: 1, maxLength: 5 }),
        (amounts, coinbaseBytesMax, lengths) => {
          const lengthOf = (accountId: number) => lengths[accountId % lengths.length] ?? P2WPKH;
          const targetOf = (accountId: number) => {
            return { script: new Uint8Array(lengthOf(accountId)), minimumSats: 546n };
          };
          const all = split(amounts);
          const direct = chooseDirect({ split: all, baseBytes, baseOutputs: 2, coinbaseBytesMax, targetOf });
          const scripts = direct.map(({ script }) => script);
          expect(coinbaseBytes(scripts)).toBeLessThanOrEqual(coinbaseBytesMax);
          const paid = new Set(direct.map(({ accountId }) => accountId));
          const left = all.credits.filter(
            ({ accountId, amountSats }) => amountSats >= 546n && !paid.has(accountId),
          );
          const smallest = Math.min(...left.map(({ accountId }) => lengthOf(accountId)));
          if (left.length > 0) {
            expect(coinbaseBytes([...scripts, new Uint8Array(smallest)])).toBeGreaterThan(coinbaseBytesMax);
          }
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe('what a coinbase pays by a plan', () => {
  const script = (accountId: number) => Uint8Array.of(0, 20, accountId);
  const target = (accountId: number, minimumSats = 546n) => {
    return { accountId, script: script(accountId), minimumSats };
  };
  const part = (accountId: number, weight: bigint, feePpm = 10_000, scheme: 'pplns' | 'fpps' = 'pplns') => {
    return { accountId, scheme, weight, feePpm, donationPpm: 0 };
  };
  const poolScript = Uint8Array.of(0x51);
  const plan: CoinbasePlan = {
    parts: [part(1, 3n), part(2, 5n), part(3, 1n), part(4, 1n, 0, 'fpps')],
    totalWeight: 10n,
    poolScript,
    direct: [target(2), target(1), target(3, 200n)],
  };

  it('is for each the exact part that the split gives them, the rest for the pool', () => {
    const outputs = coinbaseOutputs(plan, 10_000n, 1000n);
    // 11,000: half less 1 %, three tenths less 1 %, a tenth less 1 %; a tenth is the reserve's.
    expect(outputs.direct).toEqual([
      { accountId: 2, script: script(2), amountSats: 5445n },
      { accountId: 1, script: script(1), amountSats: 3267n },
      { accountId: 3, script: script(3), amountSats: 1089n },
    ]);
    expect(outputs.poolSats).toBe(1199n);
    expect(outputs.rest).toMatchObject({ credits: [], reserveSats: 1100n, feeSats: 99n });
    expect(transactionOutputs(plan, outputs)).toEqual([
      { script: poolScript, sats: 1199n },
      { script: script(2), sats: 5445n },
      { script: script(1), sats: 3267n },
      { script: script(3), sats: 1089n },
    ]);
  });

  it('leaves with the pool what is too little in this coinbase', () => {
    const outputs = coinbaseOutputs(plan, 1800n, 0n);
    expect(outputs.direct.map(({ accountId }) => accountId)).toEqual([2]);
    expect(outputs.rest.credits).toEqual([
      { accountId: 1, amountSats: 534n },
      { accountId: 3, amountSats: 178n },
    ]);
    expect(coinbaseOutputs(plan, 100n, 0n)).toMatchObject({ direct: [], poolSats: 100n });
  });

  it('leaves the smallest with the pool when else it had nothing', () => {
    const parts = [part(1, 6n, 0), part(2, 4n, 0)];
    const free = { ...plan, parts, totalWeight: 10n, direct: [target(1), target(2)] };
    const outputs = coinbaseOutputs(free, 10_000n, 0n);
    expect(outputs.direct).toEqual([{ accountId: 1, script: script(1), amountSats: 6000n }]);
    expect(outputs.poolSats).toBe(4000n);
  });

  it('does not take a plan without work', () => {
    expect(() => coinbaseOutputs({ ...plan, parts: [], totalWeight: 0n }, 1n, 0n)).toThrow('without work');
  });

  it('sums to the coinbase, is what an undivided split gives, and the ledger books what the pool holds', () => {
    const parts = fc.array(
      fc.record({
        weight: fc.bigInt({ min: 1n, max: 1n << 80n }),
        feePpm: fc.constantFrom(0, 1, 10_000, 1_000_000),
        donationPpm: fc.constantFrom(0, 3, 500_000),
        scheme: fc.constantFrom('pplns', 'pps', 'ppsplus', 'fpps'),
        direct: fc.boolean(),
      }),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(
        parts,
        fc.bigInt({ min: 0n, max: 5_000_000_000n }),
        fc.bigInt({ min: 1n, max: 1n << 33n }),
        fc.bigInt({ min: 1n, max: 100_000n }),
        (list, subsidySats, feesSats, minimumSats) => {
          const held = list.map(({ direct: _, ...each }, index) => ({ ...each, accountId: index + 1 }));
          const totalWeight = held.reduce((sum, { weight }) => sum + weight, 0n);
          const direct = list.flatMap((each, index) => (each.direct ? [target(index + 1, minimumSats)] : []));
          const made: CoinbasePlan = { parts: held, totalWeight, poolScript, direct };
          const outputs = coinbaseOutputs(made, subsidySats, feesSats);
          const { direct: payments, poolSats } = coinbaseOutputs(forJobs(made), subsidySats, feesSats);
          expect({ payments, poolSats }).toEqual({ payments: outputs.direct, poolSats: outputs.poolSats });
          const sum = transactionOutputs(made, outputs).reduce((sats, output) => sats + output.sats, 0n);
          expect(sum).toBe(subsidySats + feesSats);
          expect(outputs.poolSats).toBeGreaterThan(0n);
          expect(creditLines(outputs.rest).at(-1)?.amountSats).toBe(-outputs.poolSats);
          const whole = splitBlock({
            finder: { accountId: 1, scheme: 'pplns' },
            subsidySats,
            feesSats,
            window: { parts: held, totalWeight, work: totalWeight },
            termsOf: (accountId) => held[accountId - 1] as (typeof held)[number],
          });
          const credits = [...outputs.rest.credits, ...outputs.direct]
            .map(({ accountId, amountSats }) => ({ accountId, amountSats }))
            .sort((a, b) => a.accountId - b.accountId);
          expect(credits).toEqual(whole.credits);
          for (const { accountId, amountSats } of outputs.direct) {
            expect(list[accountId - 1]?.direct).toBe(true);
            expect(amountSats).toBeGreaterThanOrEqual(minimumSats);
          }
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('new coins and fees of a coinbase', () => {
  it('are told apart by what its height allows, and never more than it pays', () => {
    expect(subsidyAndFees(1050n, 1000n)).toEqual({ subsidySats: 1000n, feesSats: 50n });
    expect(subsidyAndFees(900n, 1000n)).toEqual({ subsidySats: 900n, feesSats: 0n });
  });
});
