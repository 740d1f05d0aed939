// Random operations on a ledger, one at a time, by the stores that the pool uses; now and then the connection is cut
// and the operation repeated, as recovery would. After each one the books must be those of the plain model.
import type { LedgerLine } from '../../engine/accounting/ledger-entries.js';
import type { Scheme } from '../../engine/accounting/schemes.js';
import { targetFromBits } from '../../engine/bitcoin/target.js';
import { AccountSettingsStore } from '../../storage/postgres/account-settings.js';
import { BlockStore } from '../../storage/postgres/block-store.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { ExpectedPayStore } from '../../storage/postgres/expected-pay-store.js';
import { postLedger } from '../../storage/postgres/ledger-store.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import { SweepStore } from '../../storage/postgres/sweep-store.js';
import { WorkStore } from '../../storage/postgres/work-store.js';
import { CUT_MODES, Cuts, cutDatabase } from './money-cuts.js';

export const BITS = 0x1d00ffff;
export const NETWORK_TARGET = targetFromBits(BITS);
export const FEE_PPM: Readonly<Record<Scheme, number>> = {
  pplns: 10_000,
  solo: 20_000,
  pps: 40_001,
  ppsplus: 30_000,
  fpps: 50_000,
};
export const SUBSIDY_SATS = 5_000_017n;
export const CREDIT_TERMS = {
  feePpm: (scheme: Scheme) => FEE_PPM[scheme],
  windowPermille: 2000,
  defaultScheme: 'pplns',
} as const;

export interface Crashes {
  count: number;
  /** Of these, while an operation that had crashed was repeated. */
  inRecovery: number;
  /** Serialisation failures and deadlocks, repeated too. */
  conflicts: number;
}

/** All stores of a process that is gone with its connection. */
class Process {
  readonly raw: Database;
  readonly database: Database;
  readonly work: WorkStore;
  readonly blocks: BlockStore;
  readonly expectedPay: ExpectedPayStore;
  readonly reserve: ReserveStore;
  readonly settings: AccountSettingsStore;
  readonly payouts: PayoutStore;
  readonly sweeps: SweepStore;

  constructor(url: string, cuts: Cuts) {
    this.raw = openPostgres({ url, poolSize: 1, timeoutS: 60 });
    const database = cutDatabase(this.raw, cuts);
    this.database = database;
    this.work = new WorkStore(database, { defaultScheme: 'pplns', isAddress: () => true });
    this.blocks = new BlockStore(database);
    this.expectedPay = new ExpectedPayStore(database);
    this.reserve = new ReserveStore(database);
    this.settings = new AccountSettingsStore(database);
    this.payouts = new PayoutStore(database);
    this.sweeps = new SweepStore(database);
  }

  /** One posting by hand; a second one of its key does nothing. */
  async adjust(key: string, lines: readonly LedgerLine[]): Promise<void> {
    try {
      await this.database.begin((tx) =>
        postLedger(tx, { kind: 'adjustment', key, rule: 'a correction for a test', inputs: {}, lines }),
      );
    } catch (error) {
      const { constraint_name: constraint } = error as { constraint_name?: string };
      if (constraint !== 'ledger_transactions_idempotency_key_key') throw error;
    }
  }
}

export type Stores = Omit<Process, 'raw' | 'database'>;

/** Does operations by stores whose process dies now and then. */
export class CrashingStores {
  readonly crashes: Crashes = { count: 0, inRecovery: 0, conflicts: 0 };
  readonly #url: string;
  readonly #cuts: Cuts;
  readonly #random: () => number;
  readonly #chance: number;
  #process: Process;

  /** `chance`: of a crash in an operation. */
  constructor(url: string, admin: Database, random: () => number, chance: number) {
    this.#url = url;
    this.#cuts = new Cuts(admin);
    this.#random = random;
    this.#chance = chance;
    this.#process = new Process(url, this.#cuts);
  }

  /** Repeats `act` in a new process until it ends without a crash. What it throws of itself, is thrown. */
  async sure<T>(act: (stores: Stores) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        if (attempt < 4 && this.#random() < (attempt === 0 ? this.#chance : 0.3)) {
          const mode = CUT_MODES[Math.floor(this.#random() * CUT_MODES.length)] ?? 'answer';
          await this.#cuts.arm(this.#process.raw, mode, 1 + Math.floor(this.#random() * 10));
        }
        return await act(this.#process);
      } catch (error) {
        const { code = '', message } = error as { code?: string; message: string };
        if (code === '40001' || code === '40P01') this.crashes.conflicts++;
        else if (/^(57P0|CONNECTION_|ECONNRESET|EPIPE)/.test(code) || message.startsWith('injected')) {
          this.#restart(attempt);
        } else throw error;
      } finally {
        this.#cuts.disarm();
      }
    }
  }

  async close(): Promise<void> {
    await this.#process.raw.end({ timeout: 1 });
  }

  #restart(attempt: number): void {
    this.crashes.count++;
    if (attempt > 0) this.crashes.inRecovery++;
    this.#process.raw.end({ timeout: 5 }).catch(() => {});
    this.#process = new Process(this.#url, this.#cuts);
  }
}

/** Compares the ledger with the sums that it should hold, and balances with lines, which it reads once each. */
export class LedgerProbe {
  readonly #admin: Database;
  readonly #lines = new Map<string, bigint>();
  #lastLine = 0n;

  constructor(admin: Database) {
    this.#admin = admin;
  }

  /** Throws when balances, lines and `expected` differ, the sum is not 0 or a credit account is negative. */
  async check(expected: ReadonlyMap<string, bigint>, after: string): Promise<void> {
    const balances = await this.#admin<{ kind: string; name: string | null; sats: bigint }[]>`
      select a.kind, m.name, b.balance_sats as sats
      from ledger_accounts a join ledger_balances b on b.ledger_account_id = a.id
      left join accounts m on m.id = a.account_id`;
    const fresh = await this.#admin<{ kind: string; name: string | null; sats: bigint; last: bigint }[]>`
      select a.kind, m.name, sum(l.amount_sats)::bigint as sats, max(l.id) as last
      from ledger_lines l join ledger_accounts a on a.id = l.ledger_account_id
      left join accounts m on m.id = a.account_id
      where l.id > ${this.#lastLine} group by a.kind, m.name`;
    for (const { kind, name, sats, last } of fresh) {
      const key = name === null ? kind : `${kind} ${name}`;
      this.#lines.set(key, (this.#lines.get(key) ?? 0n) + sats);
      if (last > this.#lastLine) this.#lastLine = last;
    }
    let sum = 0n;
    for (const { kind, name, sats } of balances) {
      const key = name === null ? kind : `${kind} ${name}`;
      const [lines, model] = [this.#lines.get(key) ?? 0n, expected.get(key) ?? 0n];
      if (sats !== lines || sats !== model) {
        throw new Error(
          `after ${after}: ${key} is ${sats}, its lines sum to ${lines}, it should be ${model}`,
        );
      }
      if (sats < 0n && !DEBITS.has(kind)) throw new Error(`after ${after}: ${key} is ${sats}`);
      sum += sats;
    }
    if (sum !== 0n) throw new Error(`after ${after}: the ledger sums to ${sum}`);
    const known = new Set(balances.map(({ kind, name }) => (name === null ? kind : `${kind} ${name}`)));
    const missing = [...expected.keys()].filter((key) => !known.has(key));
    if (missing.length > 0) throw new Error(`after ${after}: the ledger has no ${missing}`);
  }
}

const DEBITS = new Set([
  'coinbase_immature',
  'wallet',
  'cold_wallet',
  'network_fees',
  'orphan_loss',
  'capital',
]);
