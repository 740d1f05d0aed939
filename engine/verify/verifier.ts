// Verifies credits one by one, each by its own path from the raw shares to the ledger lines (block-credit.ts,
// expected-credit.ts). Independent on purpose: nothing of engine/accounting is used.
import { verifyBlockCredit } from './block-credit.js';
import { emptyVerdict, type VerifyStores } from './credit-check.js';
import { verifyExpectedCredit } from './expected-credit.js';
import type { Credit } from './ledger-credits.js';
import { UnnamedShares } from './raw-shares.js';
import { ShortSlices } from './short-slices.js';
import { type CreditVerdict, IncompleteError } from './verdict.js';

export class Verifier {
  readonly #stores: VerifyStores;
  readonly #slices = new ShortSlices();
  readonly #unnamed: UnnamedShares;

  /** One Verifier sees the accounts of old shares as they were when it first asked: use one for a run, not for ever. */
  constructor(stores: VerifyStores) {
    this.#stores = stores;
    this.#unnamed = new UnnamedShares(stores.clickhouse);
  }

  /** Throws when a store is away. */
  async verify(credit: Credit): Promise<CreditVerdict> {
    const stores = { ...this.#stores, unnamed: this.#unnamed };
    this.#slices.begin();
    try {
      return credit.kind === 'block_credit'
        ? await verifyBlockCredit(stores, credit, this.#slices)
        : await verifyExpectedCredit(stores, credit, this.#slices);
    } catch (error) {
      if (!(error instanceof IncompleteError)) throw error;
      return { ...emptyVerdict(credit), status: 'incomplete', reason: error.message };
    }
  }
}
