// By which scheme a miner's work is paid: the account's own choice, else that of the port, else the pool's. While the
// reserve is too low for promises, what would be paid by its expected value is recorded as pplns.
import { EXPECTED_VALUE_SCHEMES, type Scheme } from '../accounting/schemes.js';

/** What the coordinator says of it; replaces all that it said before. */
export interface SchemeSettings {
  /** Accounts that chose for themselves. */
  readonly chosen: readonly (readonly [account: string, scheme: Scheme])[];
  /** No new work is recorded by expected value. */
  readonly fallback: boolean;
}

export class SchemeChoice {
  readonly #default: Scheme;
  #chosen: ReadonlyMap<string, Scheme> = new Map();
  /** Nothing is promised before the coordinator has looked into the reserve. */
  #fallback = true;

  constructor(defaultScheme: Scheme) {
    this.#default = defaultScheme;
  }

  replace({ chosen, fallback }: SchemeSettings): void {
    this.#chosen = new Map(chosen);
    this.#fallback = fallback;
  }

  /** @param ofPort null: the port says nothing. */
  schemeOf(account: string, ofPort: Scheme | null): Scheme {
    const scheme = this.#chosen.get(account) ?? ofPort ?? this.#default;
    return this.#fallback && EXPECTED_VALUE_SCHEMES.has(scheme) ? 'pplns' : scheme;
  }
}
