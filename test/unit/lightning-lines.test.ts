import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type LightningTerms,
  lightningPaidLines,
  splitLightningFee,
} from '../../storage/postgres/lightning-lines.js';

const payment = fc
  .record({
    sentSats: fc.bigInt(1n, 1_000_000n),
    maxFeeSats: fc.bigInt(0n, 5_000n),
    feeMsat: fc.bigInt(0n, 6_000_000n),
    feePayer: fc.constantFrom('pool' as const, 'miner' as const),
  })
  .map(({ sentSats, maxFeeSats, feeMsat, feePayer }) => {
    const amountSats = feePayer === 'miner' ? sentSats + maxFeeSats : sentSats;
    const terms: LightningTerms = { accountId: 7, amountSats, sentSats, feePayer };
    return { terms, feeMsat };
  });

describe('the lines of Lightning payments', () => {
  it('sum to zero, and over any number of payments the wallet loses what was sent and all fees', () => {
    fc.assert(
      fc.property(fc.array(payment, { maxLength: 50 }), (payments) => {
        let carryMsat = 0n;
        let wallet = 0n;
        let leftMsat = 0n;
        for (const { terms, feeMsat } of payments) {
          const fee = splitLightningFee(feeMsat, carryMsat, terms);
          carryMsat = fee.carryMsat;
          const lines = lightningPaidLines(terms, fee);
          expect(lines.reduce((sum, { amountSats }) => sum + amountSats, 0n)).toBe(0n);
          expect(lines.every(({ amountSats }) => amountSats !== 0n)).toBe(true);
          const of = (kind: string) => lines.find((line) => line.kind === kind)?.amountSats ?? 0n;
          expect(of('miner_in_flight')).toBe(-terms.amountSats);
          const back = of('miner_confirmed');
          const used = terms.amountSats - terms.sentSats - back;
          // The miner bears the fee rounded up, within what was kept back for it.
          const roundedUp = (feeMsat + 999n) / 1000n;
          const keptBack = terms.amountSats - terms.sentSats;
          expect(used).toBe(roundedUp < keptBack ? roundedUp : keptBack);
          wallet += of('wallet');
          leftMsat += terms.sentSats * 1000n + feeMsat;
        }
        expect(wallet * 1000n + carryMsat).toBe(leftMsat);
      }),
      { numRuns: 500, seed: 21 },
    );
  });
});
