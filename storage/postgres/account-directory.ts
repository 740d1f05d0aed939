// Finds or creates the rows of accounts and workers by name, many at once, and remembers their ids. Used
// by the stores that book work and blocks.
import type { Scheme } from '../../engine/accounting/schemes.js';
import type { Transaction } from './connection.js';

export type { Scheme } from '../../engine/accounting/schemes.js';

export interface AccountPolicy {
  /** Scheme of accounts that chose none. */
  defaultScheme: Scheme;
  /** True when the name is a payout address of the pool's network. */
  isAddress: (name: string) => boolean;
}

export interface WorkerName {
  account: string;
  /** '' when the miner gave none. */
  worker: string;
}

export interface WorkerRow {
  accountId: number;
  workerId: number;
  /** What the account chose, or the pool's default. A share says for itself under which it was taken. */
  scheme: Scheme;
}

/** More than this many remembered workers, and the memory starts anew. */
const REMEMBERED_MAX = 200_000;

/** Text that Postgres stores as it is: no NUL, no lone surrogates, at most 256 characters. */
function storable(text: string): string {
  return text.slice(0, 256).replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}

const keyOf = ({ account, worker }: WorkerName) => `${account}\0${worker}`;

export class AccountDirectory {
  readonly #policy: AccountPolicy;
  #known = new Map<string, WorkerRow>();

  constructor(policy: AccountPolicy) {
    this.#policy = policy;
  }

  /** Forgets all ids and schemes; the next lookup reads them again. */
  forget(): void {
    this.#known = new Map();
  }

  /**
   * Rows of `names`, in their order, created where new. Ids are remembered only by `remember`, which the
   * caller calls after its commit: a transaction that rolls back takes its new rows with it.
   */
  async resolve(tx: Transaction, names: readonly WorkerName[]): Promise<WorkerRow[]> {
    const missing = new Map<string, WorkerName>();
    for (const name of names) {
      if (!this.#known.has(keyOf(name))) missing.set(keyOf(name), name);
    }
    const fresh =
      missing.size === 0 ? new Map<string, WorkerRow>() : await this.#lookup(tx, [...missing.values()]);
    return names.map((name) => {
      const row = this.#known.get(keyOf(name)) ?? fresh.get(keyOf(name));
      if (row === undefined) throw new Error(`worker ${name.account}.${name.worker} was not stored`);
      return row;
    });
  }

  /** To be called with what `resolve` returned, after the commit. */
  remember(names: readonly WorkerName[], rows: readonly WorkerRow[]): void {
    if (this.#known.size + names.length > REMEMBERED_MAX) this.forget();
    for (const [index, name] of names.entries()) {
      const row = rows[index];
      if (row !== undefined) this.#known.set(keyOf(name), row);
    }
  }

  async #lookup(tx: Transaction, names: readonly WorkerName[]): Promise<Map<string, WorkerRow>> {
    const stored = names.map(({ account, worker }) => ({
      account: storable(account),
      worker: storable(worker),
    }));
    const accounts = [...new Set(stored.map(({ account }) => account))].sort();
    const areAddresses = accounts.map((name) => String(this.#policy.isAddress(name)));
    await tx`
      insert into accounts (name, is_address)
      select name, is_address::boolean from unnest(${accounts}::text[], ${areAddresses}::text[])
        as wanted (name, is_address)
      where not exists (select from accounts a where a.name = wanted.name)
      order by name
      on conflict (name) do nothing`;
    const accountNames = stored.map(({ account }) => account);
    const workerNames = stored.map(({ worker }) => worker);
    await tx`
      insert into workers (account_id, name)
      select distinct a.id, wanted.worker
      from unnest(${accountNames}::text[], ${workerNames}::text[]) as wanted (account, worker)
      join accounts a on a.name = wanted.account
      where not exists (select from workers w where w.account_id = a.id and w.name = wanted.worker)
      order by a.id, wanted.worker
      on conflict (account_id, name) do nothing`;
    const rows = await tx<{ place: number; accountId: number; workerId: number; scheme: Scheme | null }[]>`
      select wanted.place::integer as place, a.id as "accountId", w.id as "workerId", a.scheme
      from unnest(${accountNames}::text[], ${workerNames}::text[])
        with ordinality as wanted (account, worker, place)
      join accounts a on a.name = wanted.account
      join workers w on w.account_id = a.id and w.name = wanted.worker`;
    const found = new Map<string, WorkerRow>();
    for (const { place, accountId, workerId, scheme } of rows) {
      const name = names[place - 1];
      if (name !== undefined) {
        found.set(keyOf(name), { accountId, workerId, scheme: scheme ?? this.#policy.defaultScheme });
      }
    }
    return found;
  }
}
