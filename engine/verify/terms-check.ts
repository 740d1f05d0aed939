// Fee and donation of the miners of one credit: as the ledger wrote them down, if that is what they had chosen then. What
// the pool asked of those without a fee of their own is recorded in the credit alone; there it must be one figure a scheme.
import type { ChosenAt } from './account-records.js';
import type { InputDifferences } from './verdict.js';

export interface Terms {
  feePpm: number;
  donationPpm: number;
}

export class TermsCheck {
  readonly #chosen: ReadonlyMap<number, ChosenAt>;
  readonly #names: ReadonlyMap<number, string>;
  readonly #differences: InputDifferences;
  readonly #poolFees = new Map<string, number>();

  constructor(
    chosen: ReadonlyMap<number, ChosenAt>,
    names: ReadonlyMap<number, string>,
    differences: InputDifferences,
  ) {
    this.#chosen = chosen;
    this.#names = names;
    this.#differences = differences;
  }

  /** The terms to recompute with. `recorded` undefined: the ledger does not have this miner in the credit. */
  settle(account: number, scheme: string, recorded: Terms | undefined): Terms {
    return {
      feePpm: this.#fee(account, scheme, recorded?.feePpm),
      donationPpm: this.#donation(account, recorded?.donationPpm),
    };
  }

  #fee(account: number, scheme: string, recorded: number | undefined): number {
    const own = this.#chosen.get(account)?.feePpm ?? new Set([null]);
    if (recorded !== undefined && own.has(recorded)) return recorded;
    const poolFee = this.#poolFees.get(scheme);
    if (own.has(null)) {
      if (recorded !== undefined && poolFee === undefined) this.#poolFees.set(scheme, recorded);
      const expected = poolFee ?? recorded ?? 0;
      if (recorded !== undefined && recorded !== expected) {
        this.#note(`pool fee of ${scheme}, ppm`, account, recorded, expected);
      }
      return expected;
    }
    const [chosen] = own as Set<number>;
    if (recorded !== undefined) this.#note('fee of its own, ppm', account, recorded, chosen);
    return chosen ?? 0;
  }

  #donation(account: number, recorded: number | undefined): number {
    const own = [...(this.#chosen.get(account)?.donationPpm ?? [])].map((each) => each ?? 0);
    if (recorded !== undefined && own.includes(recorded)) return recorded;
    const [chosen = 0] = own;
    if (recorded !== undefined) this.#note('donation, ppm', account, recorded, chosen);
    return chosen;
  }

  #note(what: string, account: number, recorded: number, expected: number | undefined): void {
    this.#differences.add(what, recorded, expected, this.#names.get(account) ?? `account ${account}`);
  }
}
