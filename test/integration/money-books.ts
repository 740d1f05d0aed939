// The books as a plain table of sums, and how each event changes them: what the ledger must say after it. Knows
// blocks, expected pay, payouts, deposits and sweeps by their effect alone.
import type { Scheme } from '../../engine/accounting/schemes.js';

const MILLION = 1_000_000n;
const Q64 = 64n;

export interface AccountTerms {
  feePpm: number | null;
  donationPpm: number | null;
}

/** Part of an account's work under one scheme in a block's window. */
export interface WindowPart {
  account: string;
  scheme: Scheme;
  part: bigint;
}

export interface BookBlock {
  hash: string;
  finder: { account: string; scheme: Scheme };
  subsidySats: bigint;
  feesSats: bigint;
  parts: WindowPart[];
  total: bigint;
  status: 'candidate' | 'immature' | 'confirmed' | 'orphaned';
  /** What it still pays, by name of the spendable account. */
  pays: Map<string, bigint>;
  /** What of its coinbase a loss after maturity could not take back. */
  lostSats: bigint;
}

export interface PaidWork {
  account: string;
  scheme: Scheme;
  height: number;
  work: bigint;
}

export interface Books {
  get(name: string): bigint;
  add(name: string, sats: bigint): void;
}

export class PlainBooks implements Books {
  /** `kind` or `kind account`. */
  readonly sats = new Map<string, bigint>();
  readonly terms = new Map<string, AccountTerms>();
  /** What each account was paid and owed by expected values, all its life, in 2^-64 sat. */
  readonly #earned = new Map<string, { miner: bigint; fee: bigint; donation: bigint }>();
  readonly #feePpm: Readonly<Record<Scheme, number>>;

  constructor(feePpm: Readonly<Record<Scheme, number>>) {
    this.#feePpm = feePpm;
  }

  get(name: string): bigint {
    return this.sats.get(name) ?? 0n;
  }

  add(name: string, sats: bigint): void {
    const now = this.get(name) + sats;
    if (now === 0n) this.sats.delete(name);
    else this.sats.set(name, now);
  }

  /** The block is in the chain, for the first time or again. */
  credit(block: BookBlock): void {
    if (block.status === 'candidate') block.pays = this.#split(block);
    for (const [name, sats] of block.pays) this.add(immature(name), sats);
    this.add('coinbase_immature', -block.subsidySats - block.feesSats);
    this.add('orphan_loss', block.lostSats);
    block.status = 'immature';
  }

  mature(block: BookBlock): void {
    for (const [name, sats] of block.pays) {
      this.add(immature(name), -sats);
      this.add(name, sats);
    }
    const coinbase = block.subsidySats + block.feesSats;
    this.add('coinbase_immature', coinbase);
    this.add('wallet', -coinbase);
    block.status = 'confirmed';
  }

  orphan(block: BookBlock): void {
    const coinbase = block.subsidySats + block.feesSats;
    if (block.status === 'immature') {
      for (const [name, sats] of block.pays) this.add(immature(name), -sats);
      this.add('coinbase_immature', coinbase);
      this.add('orphan_loss', -block.lostSats);
    } else if (block.status === 'confirmed') {
      let lost = coinbase;
      for (const [name, sats] of block.pays) {
        const held = this.get(name);
        let taken = sats;
        if (held < sats) taken = held;
        this.add(name, -taken);
        block.pays.set(name, taken);
        lost -= taken;
      }
      this.add('wallet', coinbase);
      this.add('orphan_loss', -lost);
      block.lostSats = lost;
    }
    block.status = 'orphaned';
  }

  /** Pays `work` out of the reserve; false and nothing when that does not hold enough. */
  payExpected(
    work: readonly PaidWork[],
    reward: (height: number) => bigint,
    networkWork: bigint,
  ): 'paid' | 'short' | 'nothing' {
    const sums = new Map<string, { value: bigint; fee: bigint; donation: bigint }>();
    for (const { account, scheme, height, work: hashes } of work) {
      const value = ((hashes * reward(height)) << Q64) / networkWork;
      const { fee, donation } = this.termsOf(account, scheme);
      const sum = sums.get(account) ?? { value: 0n, fee: 0n, donation: 0n };
      sum.value += value;
      sum.fee += value * fee;
      sum.donation += value * (MILLION - fee) * donation;
      sums.set(account, sum);
    }
    const moves: [string, bigint][] = [];
    const earned = new Map<string, { miner: bigint; fee: bigint; donation: bigint }>();
    for (const [account, sum] of sums) {
      const before = this.#earned.get(account) ?? { miner: 0n, fee: 0n, donation: 0n };
      const fee = sum.fee / MILLION;
      const donation = sum.donation / (MILLION * MILLION);
      const after = {
        miner: before.miner + sum.value - fee - donation,
        fee: before.fee + fee,
        donation: before.donation + donation,
      };
      earned.set(account, after);
      moves.push([`miner_confirmed ${account}`, (after.miner >> Q64) - (before.miner >> Q64)]);
      moves.push(['pool_fee', (after.fee >> Q64) - (before.fee >> Q64)]);
      moves.push(['donation', (after.donation >> Q64) - (before.donation >> Q64)]);
    }
    const total = moves.reduce((sum, [, sats]) => sum + sats, 0n);
    if (total > this.get('reserve')) return 'short';
    if (total === 0n) return 'nothing';
    for (const [account, sum] of earned) this.#earned.set(account, sum);
    for (const [name, sats] of moves) this.add(name, sats);
    this.add('reserve', -total);
    return 'paid';
  }

  /** Its own terms, else the pool's, in parts per million. */
  termsOf(account: string, scheme: Scheme): { fee: bigint; donation: bigint } {
    const own = this.terms.get(account);
    return { fee: BigInt(own?.feePpm ?? this.#feePpm[scheme]), donation: BigInt(own?.donationPpm ?? 0) };
  }

  #split(block: BookBlock): Map<string, bigint> {
    const { finder, subsidySats, feesSats } = block;
    const whole = finder.scheme === 'solo' || block.total === 0n;
    const parts = whole ? [{ ...finder, part: 1n }] : block.parts;
    const numerators = new Map<string, bigint>();
    const put = (name: string, numerator: bigint) =>
      numerators.set(name, (numerators.get(name) ?? 0n) + numerator);
    for (const { account, scheme, part } of parts) {
      const direct =
        scheme === 'pplns' || scheme === 'solo'
          ? subsidySats + feesSats
          : scheme === 'ppsplus'
            ? feesSats
            : 0n;
      put('reserve', (subsidySats + feesSats - direct) * part * MILLION * MILLION);
      const { fee, donation } = this.termsOf(account, scheme);
      put('pool_fee', direct * part * fee * MILLION);
      put('donation', direct * part * (MILLION - fee) * donation);
      put(`miner_confirmed ${account}`, direct * part * (MILLION - fee) * (MILLION - donation));
    }
    const of = (whole ? 1n : block.total) * MILLION * MILLION;
    const pays = new Map([...numerators].map(([name, numerator]) => [name, numerator / of]));
    const paid = [...pays.values()].reduce((sum, sats) => sum + sats, 0n);
    pays.set('remainder', subsidySats + feesSats - paid);
    return pays;
  }
}

function immature(name: string): string {
  return name.startsWith('miner_confirmed ')
    ? name.replace('miner_confirmed', 'miner_immature')
    : `${name}_immature`;
}
