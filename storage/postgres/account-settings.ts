// What an account chose: scheme, own fee, donation, payout threshold. Every change is a row of the audit log, with
// the values before and after it. A new scheme counts for shares submitted after the connection threads heard of it
// (`chosenSchemes`); fee and donation count for what is credited from now on.
import { isScheme, type Scheme } from '../../engine/accounting/schemes.js';
import { type Authority, writeAudit } from './audit-log.js';
import type { Database } from './connection.js';

export interface AccountSettings {
  /** Null: the pool's, or the port's. */
  scheme: Scheme | null;
  /** Parts per million. Null: the pool's for the scheme; 0 is an exemption. */
  feePpm: number | null;
  /** Parts per million of what is left after the fee. Null: none. */
  donationPpm: number | null;
  /** Null: the pool's. */
  thresholdSats: bigint | null;
}

const NAMES = ['scheme', 'feePpm', 'donationPpm', 'thresholdSats'] as const;
/** More accounts than this that chose a scheme are not told to the connection threads at once. */
const CHOSEN_MAX = 1_000_000;

export class AccountSettingsStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Null when nobody of that name ever mined here. */
  async read(account: string): Promise<AccountSettings | null> {
    const [row] = await this.#database<AccountSettings[]>`
      select scheme, fee_ppm as "feePpm", donation_ppm as "donationPpm",
             payout_threshold_sats as "thresholdSats"
      from accounts where name = ${account}`;
    return row ?? null;
  }

  /**
   * Changes what `change` names and leaves the rest; null goes back to the pool's. Returns the settings after it.
   * A change to what is set already leaves no row in the audit log.
   * @throws Error when the account is unknown, RangeError on a value out of range.
   */
  async change(
    account: string,
    change: Partial<AccountSettings>,
    authority: Authority,
  ): Promise<AccountSettings> {
    check(change);
    return await this.#database.begin(async (tx) => {
      const [before] = await tx<AccountSettings[]>`
        select scheme, fee_ppm as "feePpm", donation_ppm as "donationPpm",
               payout_threshold_sats as "thresholdSats"
        from accounts where name = ${account} for no key update`;
      if (before === undefined) {
        throw new Error(`account ${account} never mined here: nothing can be set for it. Check the name`);
      }
      const changed = NAMES.filter((name) => change[name] !== undefined && change[name] !== before[name]);
      const after = { ...before, ...Object.fromEntries(changed.map((name) => [name, change[name]])) };
      if (changed.length === 0) return before;
      await tx`
        update accounts set scheme = ${after.scheme}, fee_ppm = ${after.feePpm},
          donation_ppm = ${after.donationPpm}, payout_threshold_sats = ${after.thresholdSats}
        where name = ${account}`;
      await writeAudit(tx, {
        ...authority,
        action: 'account_settings',
        subject: account,
        inputs: Object.fromEntries(
          changed.map((name) => [name, { before: before[name], after: after[name] }]),
        ),
      });
      return after;
    });
  }

  /** Every account that chose a scheme of its own. */
  async chosenSchemes(): Promise<[account: string, scheme: Scheme][]> {
    const rows = await this.#database<{ name: string; scheme: Scheme }[]>`
      select name, scheme from accounts where scheme is not null order by id limit ${CHOSEN_MAX}`;
    return rows.map(({ name, scheme }) => [name, scheme]);
  }
}

function check({ scheme, feePpm, donationPpm, thresholdSats }: Partial<AccountSettings>): void {
  if (scheme !== undefined && scheme !== null && !isScheme(scheme)) {
    throw new RangeError(`there is no scheme ${scheme}`);
  }
  for (const [what, ppm] of [
    ['fee', feePpm],
    ['donation', donationPpm],
  ] as const) {
    if (ppm === undefined || ppm === null) continue;
    if (!Number.isSafeInteger(ppm) || ppm < 0 || ppm > 1_000_000) {
      throw new RangeError(`the ${what} must be 0 to 1000000 ppm, not ${ppm}`);
    }
  }
  if (thresholdSats !== undefined && thresholdSats !== null && thresholdSats <= 0n) {
    throw new RangeError(`a payout threshold must be above 0 satoshis, not ${thresholdSats}`);
  }
}
