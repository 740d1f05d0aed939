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

export class AccountDirectory {
  readonly #policy: AccountPolicy;
  /** By account, then by worker: a batch looks up thousands, and a joined key would have to be built for each. */
  #known = new Map<string, Map<string, WorkerRow>>();
  #remembered = 0;

  constructor(policy: AccountPolicy) {
    this.#policy = policy;
  }

  /** Forgets all ids and schemes; the next lookup reads them again. */
  forget(): void {
    this.#known = new Map();
    this.#remembered = 0;
  }

  /**
   * Rows of `names`, in their order, created where new. Ids are remembered only by `remember`, which the
   * caller calls after its commit: a transaction that rolls back takes its new rows with it.
   */
  async resolve(tx: Transaction, names: readonly WorkerName[]): Promise<WorkerRow[]> {
    const rows = names.map(({ account, worker }) => this.#known.get(account)?.get(worker));
    const missing = names.filter((_, index) => rows[index] === undefined);
    const fresh = missing.length === 0 ? [] : await this.#lookup(tx, missing);
    let next = 0;
    return rows.map((row, index) => {
      const found = row ?? fresh[next++];
      if (found === undefined) {
        throw new Error(`worker ${names[index]?.account}.${names[index]?.worker} was not stored`);
      }
      return found;
    });
  }

  /** To be called with what `resolve` returned, after the commit. */
  remember(names: readonly WorkerName[], rows: readonly WorkerRow[]): void {
    if (this.#remembered + names.length > REMEMBERED_MAX) this.forget();
    for (const [index, { account, worker }] of names.entries()) {
      const row = rows[index];
      if (row === undefined) continue;
      let workers = this.#known.get(account);
      if (workers === undefined) {
        workers = new Map();
        this.#known.set(account, workers);
      }
      if (!workers.has(worker)) this.#remembered++;
      workers.set(worker, row);
    }
  }

  /** Rows of `names`, in their order; undefined where there is none. */
  async #lookup(tx: Transaction, names: readonly WorkerName[]): Promise<(WorkerRow | undefined)[]> {
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
    const found: (WorkerRow | undefined)[] = names.map(() => undefined);
    for (const { place, accountId, workerId, scheme } of rows) {
      found[place - 1] = { accountId, workerId, scheme: scheme ?? this.#policy.defaultScheme };
    }
    return found;
  }
}
