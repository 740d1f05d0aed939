// The payouts and sweeps of a ledger walk: planned, asked for, stored, replaced, confirmed and given up in random
// order, with made-up transactions in place of the node's.
import { createHash } from 'node:crypto';
import { CoinsTakenError } from '../../storage/postgres/payout-coins.js';
import type { Payout, SignedTransaction } from '../../storage/postgres/payout-store.js';
import type { PlainBooks } from './money-books.js';
import type { CrashingStores } from './money-operations.js';

const THRESHOLD = 500_000n;
const TERMS = { rail: 'a walk', tipHeight: 7, dailyCapSats: null };
const OPEN_MAX = 25;

interface WalkedPayout {
  id: bigint;
  status: 'planned' | 'awaiting_signatures' | 'signed' | 'broadcast';
  outputs: { account: string; amountSats: bigint; sentSats: bigint }[];
  versions: SignedTransaction[];
  coins: string[];
  /** What payees bear at most: every version costs as much or more. */
  feeSats: bigint;
}

interface WalkedSweep {
  id: bigint;
  status: 'planned' | 'signed' | 'broadcast';
  sentSats: bigint;
  feeSats: bigint;
}

export class LedgerPayouts {
  readonly #stores: CrashingStores;
  readonly #books: PlainBooks;
  readonly #random: () => number;
  readonly #miners: readonly string[];
  readonly #open: WalkedPayout[] = [];
  #sweep: WalkedSweep | null = null;
  #keys = 0;

  constructor(stores: CrashingStores, books: PlainBooks, random: () => number, miners: readonly string[]) {
    this.#stores = stores;
    this.#books = books;
    this.#random = random;
    this.#miners = miners;
  }

  /** Null when nothing of what was drawn is possible. */
  async step(): Promise<string | null> {
    const roll = this.#random() * 28;
    if (roll < 3) return await this.#plan();
    if (roll < 6) return await this.#request();
    if (roll < 12) return await this.#store();
    if (roll < 13) return await this.#collect();
    if (roll < 17) return await this.#broadcast();
    if (roll < 19) return await this.#replace();
    if (roll < 23) return await this.#confirm();
    if (roll < 25) return await this.#fail();
    return await this.#sweepStep();
  }

  async #plan(): Promise<string | null> {
    if (this.#open.length >= OPEN_MAX) return null;
    const planned = new Set(
      this.#of('planned').flatMap(({ outputs }) => outputs.map(({ account }) => account)),
    );
    const due = this.#miners
      .map((account) => ({ account, sats: this.#confirmed(account) }))
      .filter(({ account, sats }) => sats >= THRESHOLD && !planned.has(account));
    const requestKey = `auto:${++this.#keys}`;
    const plan = { requestKey, thresholdSats: THRESHOLD, outputsMax: 100 };
    const payout = await this.#stores.sure(({ payouts }) => payouts.planPayout(plan));
    const outputs = (payout?.outputs ?? []).map(({ account, amountSats }) => ({ account, sats: amountSats }));
    const byName = (a: { account: string }, b: { account: string }) => (a.account < b.account ? -1 : 1);
    same(outputs.toSorted(byName), due.toSorted(byName), 'planned outputs');
    if (payout === null) return 'plan nothing';
    this.#keep(payout);
    return 'plan';
  }

  async #request(): Promise<string | null> {
    if (this.#open.length >= OPEN_MAX) return null;
    const account = this.#pick(this.#miners);
    const planned = this.#of('planned')
      .flatMap(({ outputs }) => outputs)
      .filter((output) => output.account === account)
      .reduce((sum, { amountSats }) => sum + amountSats, 0n);
    const free = this.#confirmed(account) - planned;
    const amountSats = this.#random() < 0.2 ? null : 1n + BigInt(Math.floor(this.#random() * 400_000));
    const wanted = amountSats ?? free;
    const key = `wish ${++this.#keys}`;
    const answer = await this.#stores.sure(({ payouts }) =>
      payouts.requestPayout({
        account,
        amountSats,
        key,
        minimumSats: 1n,
        limits: { dailyCapSats: null, approvalAboveSats: null },
      }),
    );
    const expected = wanted >= 1n && wanted <= free ? 'planned' : 'refused';
    if (answer.kind !== expected) throw new Error(`a wish for ${wanted} of ${free} was ${answer.kind}`);
    if (answer.kind === 'refused') return 'request refused';
    const { payoutId } = answer;
    this.#keep(await this.#stores.sure(({ payouts }) => payouts.payout(payoutId)));
    return 'request';
  }

  /** Its amounts are reserved, or the plan is given up when balances no longer cover it. */
  async #store(): Promise<string | null> {
    const payout = this.#pick(this.#of('planned'));
    if (payout === undefined) return null;
    const signed = this.#transaction();
    const coins = [`${hex(`coin ${++this.#keys}`)}:0`];
    const taken = this.#random() < 0.1 ? this.#pick(this.#open)?.coins[0] : undefined;
    if (taken !== undefined) coins.push(taken);
    const charged = signed.networkFeeSats / BigInt(payout.outputs.length);
    const sentSats =
      this.#random() < 0.5
        ? null
        : payout.outputs.map(({ amountSats: a }) => (a > charged ? a - charged : a));
    const isUnsigned = this.#random() < 0.25;
    const built = isUnsigned
      ? ({
          state: 'unsigned',
          psbt: 'cHNidA==',
          networkFeeSats: signed.networkFeeSats,
          signaturesNeeded: 1,
        } as const)
      : ({ state: 'signed', transaction: signed } as const);
    const isCovered = payout.outputs.every(
      ({ account, amountSats }) => this.#confirmed(account) >= amountSats,
    );
    const answer = await this.#stores.sure(async ({ payouts }) => {
      return await payouts
        .storeBuilt(payout.id, built, { ...TERMS, coins, sentSats })
        .catch((error: Error & { code?: string }) => {
          if (error instanceof CoinsTakenError) return 'taken' as const;
          if (error.code === '23514') return 'not covered' as const;
          throw error;
        });
    });
    if (taken !== undefined) {
      if (answer !== 'taken') throw new Error(`coin ${taken} was stored twice: ${answer}`);
      return 'store taken';
    }
    if (!isCovered) {
      if (answer !== 'not covered') throw new Error(`payout ${payout.id} is not covered, but ${answer}`);
      await this.#stores.sure(({ payouts }) => payouts.failPayout(payout.id, 'not covered'));
      this.#drop(payout);
      return 'store not covered';
    }
    if (answer !== 'stored' && answer !== 'already') throw new Error(`payout ${payout.id}: ${answer}`);
    payout.outputs = payout.outputs.map((output, index) => ({
      ...output,
      sentSats: sentSats?.[index] ?? output.amountSats,
    }));
    this.#move(payout, 'miner_confirmed', 'miner_in_flight');
    payout.status = isUnsigned ? 'awaiting_signatures' : 'signed';
    payout.coins = coins;
    payout.feeSats = signed.networkFeeSats;
    if (!isUnsigned) payout.versions.push(signed);
    return isUnsigned ? 'store unsigned' : 'store signed';
  }

  async #collect(): Promise<string | null> {
    const payout = this.#pick(this.#of('awaiting_signatures'));
    if (payout === undefined) return null;
    const signed = this.#transaction(payout.feeSats);
    await this.#stores.sure(({ payouts }) => payouts.storeCollected(payout.id, signed, 7));
    payout.versions.push(signed);
    payout.status = 'signed';
    return 'collect';
  }

  async #broadcast(): Promise<string | null> {
    const payout = this.#pick(this.#of('signed'));
    if (payout === undefined) return null;
    await this.#stores.sure(({ payouts }) => payouts.markBroadcast(payout.id));
    payout.status = 'broadcast';
    return 'broadcast';
  }

  async #replace(): Promise<string | null> {
    const payout = this.#pick(this.#of('broadcast'));
    const newest = payout?.versions.at(-1);
    if (payout === undefined || newest === undefined) return null;
    const signed = this.#transaction(newest.networkFeeSats);
    const terms = { coins: payout.coins, tipHeight: 8 };
    await this.#stores.sure(({ payouts }) => payouts.storeReplacement(payout.id, newest.txid, signed, terms));
    payout.versions.push(signed);
    return 'replace';
  }

  /** Any of its versions is in the chain. */
  async #confirm(): Promise<string | null> {
    const payout = this.#pick(this.#of('broadcast'));
    if (payout === undefined) return null;
    const mined = this.#pick(payout.versions);
    await this.#stores.sure(({ payouts }) => payouts.markConfirmed(payout.id, mined?.txid));
    const sent = payout.outputs.reduce((sum, { sentSats }) => sum + sentSats, 0n);
    const amount = payout.outputs.reduce((sum, { amountSats }) => sum + amountSats, 0n);
    const spent = sent + (mined?.networkFeeSats ?? 0n);
    for (const { account, amountSats } of payout.outputs) {
      this.#books.add(`miner_in_flight ${account}`, -amountSats);
    }
    this.#books.add('wallet', spent);
    this.#books.add('network_fees', amount - spent);
    this.#drop(payout);
    return 'confirm';
  }

  async #fail(): Promise<string | null> {
    const payout = this.#pick(this.#open);
    if (payout === undefined) return null;
    await this.#stores.sure(({ payouts }) => payouts.failPayout(payout.id, 'its coins were spent elsewhere'));
    if (payout.status !== 'planned') this.#move(payout, 'miner_in_flight', 'miner_confirmed');
    this.#drop(payout);
    return `fail ${payout.status}`;
  }

  async #sweepStep(): Promise<string> {
    const sweep = this.#sweep;
    if (sweep === null) {
      const sentSats = 1n + BigInt(Math.floor(this.#random() * 1_000_000));
      const { id } = await this.#stores.sure(({ sweeps }) => sweeps.plan('cold', sentSats));
      this.#sweep = { id, status: 'planned', sentSats, feeSats: 0n };
      return 'sweep plan';
    }
    if (sweep.status === 'planned' && this.#random() < 0.2) {
      await this.#stores.sure(({ sweeps }) => sweeps.drop(sweep.id, 'the wallet said no'));
      this.#sweep = null;
      return 'sweep drop';
    }
    if (sweep.status === 'planned') {
      const signed = this.#transaction();
      const coins = [`${hex(`coin ${++this.#keys}`)}:1`];
      await this.#stores.sure(({ sweeps }) => sweeps.storeSigned(sweep.id, signed, coins));
      Object.assign(sweep, { status: 'signed', feeSats: signed.networkFeeSats });
      return 'sweep sign';
    }
    if (sweep.status === 'signed') {
      await this.#stores.sure(({ sweeps }) => sweeps.markBroadcast(sweep.id));
      sweep.status = 'broadcast';
      return 'sweep broadcast';
    }
    await this.#stores.sure(({ sweeps }) => sweeps.markConfirmed(sweep.id));
    this.#books.add('wallet', sweep.sentSats + sweep.feeSats);
    this.#books.add('cold_wallet', -sweep.sentSats);
    this.#books.add('network_fees', -sweep.feeSats);
    this.#sweep = null;
    return 'sweep confirm';
  }

  #keep({ id, outputs }: Payout): void {
    this.#open.push({ id, status: 'planned', outputs, versions: [], coins: [], feeSats: 0n });
  }

  #drop(payout: WalkedPayout): void {
    this.#open.splice(this.#open.indexOf(payout), 1);
  }

  #move(payout: WalkedPayout, from: string, to: string): void {
    for (const { account, amountSats } of payout.outputs) {
      this.#books.add(`${from} ${account}`, -amountSats);
      this.#books.add(`${to} ${account}`, amountSats);
    }
  }

  #of(status: WalkedPayout['status']): WalkedPayout[] {
    return this.#open.filter((payout) => payout.status === status);
  }

  #confirmed(account: string): bigint {
    return this.#books.get(`miner_confirmed ${account}`);
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  /** With a fee of at least `over`. */
  #transaction(over = 0n): SignedTransaction {
    const txid = hex(`transaction ${++this.#keys}`);
    return { txid, rawTransaction: txid, networkFeeSats: over + BigInt(Math.floor(this.#random() * 2000)) };
  }
}

function hex(of: string): string {
  return createHash('sha256').update(of).digest('hex');
}

function same(got: unknown, wanted: unknown, what: string): void {
  const text = (of: unknown) =>
    JSON.stringify(of, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  if (text(got) !== text(wanted)) throw new Error(`${what}: ${text(got)}, not ${text(wanted)}`);
}
