// Random rounds of a pool for the money tests: mixed schemes, terms, windows and amounts.
import fc from 'fast-check';
import type { WorkBucket } from '../../engine/accounting/pplns-window.js';
import { SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import type { Terms } from '../../engine/accounting/terms.js';
import type { Round } from './accounting-oracle.js';

/** Rounds a scheme; `ACCOUNTING_ROUNDS=100000` is the full run. */
export const ROUNDS = Number(process.env.ACCOUNTING_ROUNDS ?? 5_000);

const WINDOW_SCHEMES = SCHEMES.filter((scheme) => scheme !== 'solo');

const parts = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(0, 1_000_000) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 60_000 }) },
);
export const terms: fc.Arbitrary<Terms> = fc.record({ feePpm: parts, donationPpm: parts });

/** Terms for every account and scheme. */
export const termTables = fc
  .array(terms, { minLength: 5, maxLength: 5 })
  .map((table) => (accountId: number, scheme: Scheme) => {
    const chosen = table[(accountId + SCHEMES.indexOf(scheme)) % table.length];
    if (chosen === undefined) throw new Error('no terms');
    return chosen;
  });

const amounts = (max: bigint) =>
  fc.oneof(
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 50n }) },
    { weight: 4, arbitrary: fc.bigInt({ min: 0n, max }) },
  );

/** Rounds whose finder works by `scheme`; half of them have no other scheme in the window. */
export function roundsOf(scheme: Scheme): fc.Arbitrary<Round> {
  const alone = scheme === 'solo' ? 'pplns' : scheme;
  const entries = (schemes: readonly Scheme[]): fc.Arbitrary<WorkBucket[]> =>
    fc.array(
      fc.array(
        fc.record({
          accountId: fc.integer({ min: 1, max: 6 }),
          scheme: fc.constantFrom(...schemes),
          work: amounts(1n << 70n),
        }),
        { maxLength: 4 },
      ),
      { maxLength: 5 },
    );
  return fc.record({
    finder: fc.record({ accountId: fc.integer({ min: 1, max: 8 }), scheme: fc.constant(scheme) }),
    subsidySats: amounts(50_0000_0000n).map((sats) => sats + 1n),
    feesSats: amounts(10_0000_0000n),
    buckets: fc.oneof(entries([alone]), entries(WINDOW_SCHEMES)),
    windowHashes: amounts(1n << 73n).map((hashes) => hashes + 1n),
    termsOf: termTables,
  });
}
