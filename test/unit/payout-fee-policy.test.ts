import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DUST_SATS, splitFee, splitOverTargets } from '../../engine/accounting/payout-outputs.js';
import { NodeRpcError } from '../../engine/node/rpc-error.js';
import { decideBump, decideFee, FEE_POLICY } from '../../engine/payouts/fee-policy.js';
import { objectsToOutputs, refusedOutputs } from '../../engine/payouts/refused-outputs.js';

const SEED = { seed: 20261121, numRuns: 2000 };
const POLICY = { ...FEE_POLICY, floorSatPerVb: 2, capSatPerVb: 100, waitAboveSatPerVb: 20, waitMsMax: 1000 };
const sum = (amounts: readonly bigint[]) => amounts.reduce((total, sats) => total + sats, 0n);

describe('the fee of a payout', () => {
  const at = (estimateSatPerVb: number | null, nowMs = 0) =>
    decideFee(POLICY, { estimateSatPerVb, plannedAtMs: 0, nowMs });

  it('is the estimate, never below the floor, and the floor where there is none', () => {
    expect(at(7.5)).toEqual({ kind: 'pay', feeRateSatPerVb: 7.5 });
    expect(at(0.5)).toEqual({ kind: 'pay', feeRateSatPerVb: 2 });
    expect(at(null)).toEqual({ kind: 'pay', feeRateSatPerVb: 2 });
  });

  it('waits for cheaper times until the deadline, then pays at most the cap', () => {
    expect(at(300, 999)).toEqual({ kind: 'wait', feeRateSatPerVb: 300, untilMs: 1000 });
    expect(at(20, 0)).toEqual({ kind: 'pay', feeRateSatPerVb: 20 });
    expect(at(300, 1000)).toEqual({ kind: 'pay', feeRateSatPerVb: 100 });
  });

  it('is raised after some blocks, by enough to be relayed, never above the cap', () => {
    const now = { feeRateSatPerVb: 10, estimateSatPerVb: 4, blocksWaiting: POLICY.bumpAfterBlocks };
    expect(decideBump(POLICY, { ...now, blocksWaiting: POLICY.bumpAfterBlocks - 1 })).toBeNull();
    expect(decideBump(POLICY, now)).toBe(11.5);
    expect(decideBump(POLICY, { ...now, estimateSatPerVb: 30 })).toBe(30);
    expect(decideBump(POLICY, { ...now, estimateSatPerVb: 3000 })).toBe(100);
    expect(decideBump(POLICY, { ...now, feeRateSatPerVb: 99 })).toBeNull();
    expect(decideBump({ ...POLICY, bumpAfterBlocks: 0 }, now)).toBeNull();
  });
});

describe('a fee that payees bear', () => {
  it('is split by the weight of their outputs, to the satoshi', () => {
    const payers = fc.array(
      fc.record({
        amountSats: fc.bigInt(1_000_000n, 10n ** 12n),
        weight: fc.integer({ min: 124, max: 204 }),
      }),
      { minLength: 1, maxLength: 500 },
    );
    fc.assert(
      fc.property(payers, fc.bigInt(0n, 100_000n), (some, fee) => {
        const parts = splitFee(fee, some);
        expect(sum(parts)).toBe(fee);
        const weight = BigInt(some.reduce((total, payer) => total + payer.weight, 0));
        for (const [index, part] of parts.entries()) {
          const floor = (fee * BigInt(some[index]?.weight ?? 0)) / weight;
          expect(part === floor || part === floor + 1n).toBe(true);
        }
      }),
      SEED,
    );
  });

  it('leaves no payee less than the dust limit', () => {
    expect(
      splitFee(10_000n, [
        { amountSats: 600n, weight: 124 },
        { amountSats: 10n ** 8n, weight: 124 },
      ]),
    ).toEqual([54n, 5000n]);
    expect(splitFee(10_000n, [{ amountSats: DUST_SATS, weight: 124 }])).toEqual([0n]);
  });
});

describe('an amount over several addresses', () => {
  it('leaves no dust, not even to the first', () => {
    const targets = [
      { address: 'a', sharePpm: 10_000 },
      { address: 'b', sharePpm: 590_000 },
      { address: 'c', sharePpm: 400_000 },
    ];
    expect(splitOverTargets(10_001n, targets)).toEqual([
      { address: 'b', sats: 6001n },
      { address: 'c', sats: 4000n },
    ]);
    expect(splitOverTargets(600n, targets)).toEqual([{ address: 'a', sats: 600n }]);
  });

  it('is floored for each, the rest and what would be dust goes to the first that is paid', () => {
    const shares = fc
      .array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 10 })
      .map((weights) => {
        const total = weights.reduce((all, weight) => all + weight, 0);
        const ppm = weights.map((weight) => Math.max(1, Math.floor((weight * 1_000_000) / total)));
        const rest = 1_000_000 - ppm.reduce((all, part) => all + part, 0);
        return ppm.map((part, index) => (index === 0 ? part + rest : part));
      });
    fc.assert(
      fc.property(shares, fc.bigInt(546n, 10n ** 14n), (ppm, amount) => {
        const parts = splitOverTargets(
          amount,
          ppm.map((sharePpm, index) => ({ address: `a${index}`, sharePpm })),
        );
        expect(sum(parts.map(({ sats }) => sats))).toBe(amount);
        for (const { address, sats } of parts.slice(1)) {
          expect(sats).toBe((amount * BigInt(ppm[Number(address.slice(1))] ?? 0)) / 1_000_000n);
          expect(sats).toBeGreaterThanOrEqual(DUST_SATS);
        }
      }),
      SEED,
    );
  });

  it('is refused when the shares are not the whole', () => {
    expect(() => splitOverTargets(1000n, [{ address: 'a', sharePpm: 999_999 }])).toThrow(
      /999999, not 1000000/,
    );
    expect(() => splitOverTargets(1000n, [])).toThrow(RangeError);
  });
});

describe('a batch that the wallet refuses', () => {
  const batch = Array.from({ length: 40 }, (_, index) => ({ address: `a${index}`, sats: 1000n }));

  it('is halved until the bad outputs are found, whatever their number', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: 39 }), { minLength: 1, maxLength: 5 }),
        async (bad) => {
          let tries = 0;
          const found = await refusedOutputs(batch, async (outputs) => {
            tries++;
            return !outputs.some(({ address }) => bad.includes(Number(address.slice(1))));
          });
          expect(found.map(({ address }) => Number(address.slice(1)))).toEqual(
            [...bad].sort((a, b) => a - b),
          );
          expect(tries).toBeLessThanOrEqual(12 * bad.length);
        },
      ),
      { ...SEED, numRuns: 200 },
    );
  });

  it('blames an address only for what is the fault of an address', () => {
    const said = (code: number | string, text: string) =>
      objectsToOutputs(new NodeRpcError(code, 'm', 'n', text));
    expect(said(-5, 'Invalid Bitcoin address: x')).toBe(true);
    expect(said(-8, 'Invalid parameter, duplicated address: x')).toBe(true);
    expect(said(-4, 'The transaction amount is too small to pay the fee')).toBe(true);
    expect(said(-6, 'Insufficient funds')).toBe(false);
    expect(said(-8, 'Unexpected key minconf')).toBe(false);
    expect(said(-13, 'Please enter the wallet passphrase')).toBe(false);
    expect(said('ECONNRESET', 'address')).toBe(false);
  });
});
