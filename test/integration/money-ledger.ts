// A seeded walk over everything that moves money. Each step picks an operation that the plain model says is possible,
// does it by the real stores until it is through, and puts its effect into the model.
import { createHash } from 'node:crypto';
import { SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import type { Database } from '../../storage/postgres/connection.js';
import { type BookBlock, type PaidWork, PlainBooks } from './money-books.js';
import { LedgerPayouts } from './money-ledger-payouts.js';
import { type PlainShare, plainWindow } from './money-model.js';
import {
  BITS,
  CREDIT_TERMS,
  CrashingStores,
  FEE_PPM,
  LedgerProbe,
  NETWORK_TARGET,
  SUBSIDY_SATS,
} from './money-operations.js';
import { seeded } from './money-random.js';
import { hashesOf, type MoneyShare, moneyBatch } from './money-shares.js';

const MINERS = Array.from({ length: 8 }, (_, index) => `miner${index}`);
/** A quarter of a block's work. */
const SHARE_TARGET = NETWORK_TARGET * 4n;
/** More than any window holds. */
const SHARES_KEPT = 64;
const SETTLED_KEPT = 200;
/** Below the first height at which FPPS needs the fees of real blocks. */
const HEIGHTS = 144;

export class LedgerWalk {
  readonly books = new PlainBooks(FEE_PPM);
  readonly stores: CrashingStores;
  readonly probe: LedgerProbe;
  /** Operations by name. */
  readonly done = new Map<string, number>();
  readonly #random: () => number;
  readonly #payouts: LedgerPayouts;
  readonly #shares: PlainShare[] = [];
  readonly #blocks: BookBlock[] = [];
  #unpaid: PaidWork[] = [];
  #nextSeq = 1;
  #round = 0;
  #minute = 0;
  #keys = 0;

  constructor(url: string, admin: Database, seed: number, crashChance: number) {
    this.#random = seeded(seed);
    this.stores = new CrashingStores(url, admin, seeded(seed + 1), crashChance);
    this.probe = new LedgerProbe(admin);
    this.#payouts = new LedgerPayouts(this.stores, this.books, this.#random, MINERS);
  }

  /** One operation; returns its name. */
  async step(): Promise<string> {
    const name = await this.#operation();
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
    return name;
  }

  async #operation(): Promise<string> {
    const roll = this.#random() * 100;
    if (roll < 16) return await this.#work();
    if (roll < 28) return (await this.#onBlock('credit', 'candidate')) ?? (await this.#work());
    if (roll < 37) return (await this.#onBlock('mature', 'immature')) ?? (await this.#work());
    if (roll < 40) return (await this.#onBlock('orphan', 'candidate')) ?? (await this.#work());
    if (roll < 45) return (await this.#onBlock('orphan', 'immature')) ?? (await this.#work());
    if (roll < 48) return (await this.#onBlock('orphan', 'confirmed')) ?? (await this.#work());
    if (roll < 54) return (await this.#onBlock('credit', 'orphaned')) ?? (await this.#work());
    if (roll < 60) return await this.#payExpected();
    if (roll < 64) return await this.#deposit();
    if (roll < 68) return await this.#settings();
    if (roll < 70) return await this.#adjust();
    if (roll < 72) return await this.#refused();
    return (await this.#payouts.step()) ?? (await this.#work());
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  #sats(most: number): bigint {
    return 1n + BigInt(Math.floor(this.#random() * most));
  }

  /** A batch of shares of all schemes; half of them end with a block. */
  async #work(): Promise<string> {
    const { stores } = this;
    const height = 1 + Math.floor(this.#random() * (HEIGHTS - 1));
    const minute = ++this.#minute;
    const isBlock = this.#random() < 0.5;
    const shares: MoneyShare[] = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () => ({
      account: this.#pick(MINERS),
      scheme: this.#pick(SCHEMES),
      target: SHARE_TARGET,
      minute,
      round: this.#round,
    }));
    const last = shares.at(-1) as MoneyShare;
    if (isBlock) last.block = createHash('sha256').update(`block ${this.#round}`).digest('hex');
    const batch = moneyBatch(this.#nextSeq, shares, { height, bits: BITS });
    await stores.sure(({ work }) => work.applyBatch(batch));
    this.#nextSeq += shares.length;
    for (const { account, scheme } of shares) {
      const work = hashesOf(SHARE_TARGET);
      this.#shares.push({ account, scheme, work, minute, round: this.#round });
      if (scheme === 'pplns' || scheme === 'solo') continue;
      // One row for each account, scheme and height: its floor is taken once.
      const row = this.#unpaid.find(
        (r) => r.account === account && r.scheme === scheme && r.height === height,
      );
      if (row === undefined) this.#unpaid.push({ account, scheme, height, work });
      else row.work += work;
    }
    this.#shares.splice(0, this.#shares.length - SHARES_KEPT);
    if (last.block !== undefined) {
      const { account, scheme } = last;
      this.#blocks.push({
        hash: last.block,
        finder: { account, scheme },
        subsidySats: SUBSIDY_SATS,
        feesSats: this.#sats(300_000),
        ...plainWindow(this.#shares, this.#round, 2n * hashesOf(NETWORK_TARGET)),
        status: 'candidate',
        pays: new Map(),
        lostSats: 0n,
      });
      this.#round++;
    }
    return 'work';
  }

  async #onBlock(what: 'credit' | 'mature' | 'orphan', status: BookBlock['status']): Promise<string | null> {
    const { stores, books } = this;
    const of = this.#blocks.filter((each) => each.status === status);
    if (of.length === 0) return null;
    const block = this.#pick(of);
    const { hash, subsidySats, feesSats } = block;
    if (what === 'credit') {
      const terms = { ...CREDIT_TERMS, subsidySats, feesSats };
      expectOneOf(await stores.sure(({ blocks }) => blocks.creditBlock(hash, terms)), 'credited', 'already');
    } else if (what === 'mature') {
      expectOneOf(await stores.sure(({ blocks }) => blocks.matureBlock(hash, 101)), 'matured', 'already');
    } else {
      const fresh = status === 'candidate' ? 'not_credited' : 'reversed';
      expectOneOf(await stores.sure(({ blocks }) => blocks.orphanBlock(hash, 'a reorg')), fresh, 'already');
    }
    if (what === 'orphan' && status === 'candidate') {
      // Its first credit is yet to come, at the terms of then.
      this.#blocks.splice(this.#blocks.indexOf(block), 1);
    } else books[what](block);
    const settled = this.#blocks.filter((each) => each.status === 'confirmed');
    const [oldest] = settled;
    if (settled.length > SETTLED_KEPT && oldest) this.#blocks.splice(this.#blocks.indexOf(oldest), 1);
    return `${what} ${status}`;
  }

  async #payExpected(): Promise<string> {
    const { stores, books } = this;
    const terms = { subsidySats: () => SUBSIDY_SATS, feePpm: CREDIT_TERMS.feePpm };
    const result = await stores.sure(({ expectedPay }) => expectedPay.creditExpectedPay(terms));
    const outcome = books.payExpected(this.#unpaid, () => SUBSIDY_SATS, hashesOf(NETWORK_TARGET));
    // Paid by an attempt whose answer was lost, nothing waits any more.
    const isSame = result.status === outcome || (result.status === 'nothing' && outcome === 'paid');
    if (!isSame) throw new Error(`expected pay: ${result.status}, not ${outcome}`);
    if (outcome === 'paid') this.#unpaid = [];
    return `expected pay ${outcome}`;
  }

  /** The operator's money comes in, or goes on to the reserve. */
  async #deposit(): Promise<string> {
    const { stores, books } = this;
    const from = this.#random() < 0.7 ? 'capital' : 'pool_fee';
    const sats = this.#sats(from === 'capital' ? 100_000_000 : 2_000_000);
    const deposit = { key: `${++this.#keys}`, sats, actor: 'operator', reason: 'a walk' };
    if (this.#random() < 0.4) {
      await stores.sure(({ reserve }) => reserve.depositCapital(deposit));
      books.add('wallet', -sats);
      books.add('capital', sats);
      return 'deposit';
    }
    const isThere = books.get(from) >= sats;
    const outcome = await stores.sure(async ({ reserve }) => {
      return await reserve.fundReserve(deposit, from).catch((error: Error) => {
        if (error.message.startsWith('the reserve cannot get')) return 'refused' as const;
        throw error;
      });
    });
    expectOneOf(outcome, ...(isThere ? ['deposited', 'already'] : ['refused']));
    if (!isThere) return `fund from ${from} refused`;
    books.add(from, -sats);
    books.add('reserve', sats);
    return `fund from ${from}`;
  }

  async #settings(): Promise<string> {
    const { stores, books } = this;
    const account = this.#pick(MINERS);
    const known = await stores.sure(({ settings }) => settings.read(account));
    if (known === null) return await this.#work();
    const ppm = () => (this.#random() < 0.4 ? null : Math.floor(this.#random() * 200_000));
    const change = {
      feePpm: ppm(),
      donationPpm: ppm(),
      scheme: this.#pick<Scheme | null>([null, ...SCHEMES]),
    };
    const authority = { actor: 'operator', reason: 'a walk' };
    await stores.sure(({ settings }) => settings.change(account, change, authority));
    books.terms.set(account, change);
    return 'settings';
  }

  async #adjust(): Promise<string> {
    const sats = this.#sats(1000);
    const lines = [
      { kind: 'capital' as const, accountId: null, amountSats: -sats },
      { kind: 'energy_credits' as const, accountId: null, amountSats: sats },
    ];
    const key = `adjust:${++this.#keys}`;
    await this.stores.sure((stores) => stores.adjust(key, lines));
    this.books.add('capital', -sats);
    this.books.add('energy_credits', sats);
    return 'adjust';
  }

  /** What must never be booked: lines that do not balance, and more than there is. */
  async #refused(): Promise<string> {
    const { stores, books } = this;
    const from = this.#pick(['pool_fee', 'reserve', 'donation', 'remainder'] as const);
    const sats = this.#random() < 0.5 ? books.get(from) + 1n : 0n;
    const amountSats = sats === 0n ? 7n : sats;
    const lines = [
      { kind: from, accountId: null, amountSats: sats === 0n ? amountSats : -amountSats },
      { kind: 'capital' as const, accountId: null, amountSats },
    ];
    const key = `refused:${++this.#keys}`;
    const answer = await stores.sure(async (process) => {
      return await process.adjust(key, lines).catch((error: { code?: string; message: string }) => {
        if (error.code === '23514' || /not 0$/.test(error.message)) return 'refused';
        throw error;
      });
    });
    if (answer !== 'refused')
      throw new Error(`the ledger took ${lines.map((line) => line.amountSats)} of ${from}`);
    return 'refused';
  }
}

export function expectOneOf(answer: string, ...allowed: string[]): void {
  if (!allowed.includes(answer)) throw new Error(`${answer}, not ${allowed.join(' or ')}`);
}
