// A whole pool's money as random operations, in any order that the stores allow: at every step the ledger sums to
// zero and no credit account is negative; at the end every balance is explained by what happened.
import { describe, expect, it } from 'vitest';
import { type CarryQ64, settleExpectedPay } from '../../engine/accounting/expected-pay.js';
import {
  CREDIT_KINDS,
  cancelLines,
  capitalDepositLines,
  confirmLines,
  creditLines,
  expectedPayLines,
  type LedgerAccountKind,
  type LedgerLine,
  matureLines,
  orphanLines,
  orphanMaturedLines,
  type PayoutShare,
  reserveFundLines,
  reserveLines,
  walletSweepLines,
} from '../../engine/accounting/ledger-entries.js';
import { fillWindow, type WorkBucket } from '../../engine/accounting/pplns-window.js';
import { SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import { splitBlock } from '../../engine/accounting/split-block.js';
import { seededRandom } from './accounting-random.js';

/** `ACCOUNTING_OPERATIONS=1000000` is the full run. */
const OPERATIONS = Number(process.env.ACCOUNTING_OPERATIONS ?? 20_000);

const ACCOUNTS = 12;
const WINDOW_SCHEMES = SCHEMES.filter((scheme) => scheme !== 'solo');
const MAY_NOT_BE_NEGATIVE: ReadonlySet<LedgerAccountKind> = new Set(CREDIT_KINDS);

interface Block {
  coinbaseSats: bigint;
  credited: LedgerLine[];
}

class Pool {
  readonly balances = new Map<string, bigint>();
  readonly immature: Block[] = [];
  readonly matured: Block[] = [];
  readonly orphaned: Block[] = [];
  readonly open: PayoutShare[][] = [];
  readonly done: Record<string, number> = {};
  carries = new Map<number, CarryQ64>();
  /** What has gone where, counted apart from the ledger. */
  depositedSats = 0n;
  sweptSats = 0n;
  spentSats = 0n;
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  balance(kind: LedgerAccountKind, accountId: number | null = null): bigint {
    return this.balances.get(`${kind} ${accountId}`) ?? 0n;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  /** 0 .. max, of any size. */
  amount(max: bigint): bigint {
    if (max <= 0n) return 0n;
    let wide = 0n;
    for (let i = 0; i < 4; i++) wide = (wide << 31n) | BigInt(this.below(2 ** 31));
    return this.below(4) === 0 ? (max < 3n ? max : wide % 3n) : wide % (max + 1n);
  }

  pick<T>(list: readonly T[]): T {
    const chosen = list[this.below(list.length)];
    if (chosen === undefined) throw new Error('picked from an empty list');
    return chosen;
  }

  take<T>(list: T[]): T | null {
    const [chosen] = list.splice(this.below(list.length), 1);
    return chosen ?? null;
  }

  post(what: string, lines: readonly LedgerLine[]): void {
    this.done[what] = (this.done[what] ?? 0) + 1;
    let sum = 0n;
    for (const { kind, accountId, amountSats } of lines) {
      if (amountSats === 0n) throw new Error(`${what}: a line of 0 for ${kind}`);
      sum += amountSats;
      this.balances.set(`${kind} ${accountId}`, this.balance(kind, accountId) + amountSats);
    }
    if (sum !== 0n || lines.length < 2) throw new Error(`${what}: ${lines.length} lines sum to ${sum}`);
    for (const { kind, accountId } of lines) {
      const balance = this.balance(kind, accountId);
      if (balance < 0n && MAY_NOT_BE_NEGATIVE.has(kind)) {
        throw new Error(`${what}: ${kind} of ${accountId} is ${balance}`);
      }
    }
  }
}

const OPERATION_TABLE: readonly (readonly [weight: number, run: (pool: Pool) => void])[] = [
  [6, findBlock],
  [5, mature],
  [1, orphan],
  [1, orphanMatured],
  [1, comeBack],
  [6, payShares],
  [1, deposit],
  [2, fundReserve],
  [4, reservePayout],
  [3, confirmPayout],
  [1, cancelPayout],
  [1, sweep],
];
const OPERATION_OF_DRAW = OPERATION_TABLE.flatMap(([weight, run]) => new Array<typeof run>(weight).fill(run));

const termsOf = (accountId: number, scheme: Scheme) => ({
  feePpm: accountId % 4 === 0 ? 0 : 5_000 * (1 + SCHEMES.indexOf(scheme)),
  donationPpm: accountId % 3 === 0 ? 12_345 : 0,
});

function findBlock(pool: Pool): void {
  const subsidySats = 1n + pool.amount(3_1250_0000n);
  const feesSats = pool.amount(5000_0000n);
  const buckets: WorkBucket[] = Array.from({ length: pool.below(4) }, () =>
    Array.from({ length: pool.below(6) }, () => ({
      accountId: 1 + pool.below(ACCOUNTS),
      scheme: pool.pick(WINDOW_SCHEMES),
      work: pool.amount(1n << 60n),
    })),
  );
  const finder = { accountId: 1 + pool.below(ACCOUNTS), scheme: pool.pick(SCHEMES) };
  const window = fillWindow(buckets, 1n + pool.amount(1n << 60n));
  const credited = creditLines(splitBlock({ finder, subsidySats, feesSats, window, termsOf }));
  pool.immature.push({ coinbaseSats: subsidySats + feesSats, credited });
  pool.post('credit', credited);
}

function mature(pool: Pool): void {
  const block = pool.take(pool.immature);
  if (block === null) return;
  pool.matured.push(block);
  pool.post('mature', matureLines(block.credited));
}

function orphan(pool: Pool): void {
  const block = pool.take(pool.immature);
  if (block === null) return;
  pool.orphaned.push(block);
  pool.post('orphan', orphanLines(block.credited));
}

function orphanMatured(pool: Pool): void {
  // One of the latest: most of what it brought is still there or has just been spent.
  const block = pool.matured.pop();
  if (block === undefined) return;
  pool.orphaned.push(block);
  pool.post(
    'orphan matured',
    orphanMaturedLines(block.credited, (kind, accountId) => pool.balance(kind, accountId)),
  );
}

function comeBack(pool: Pool): void {
  const block = pool.take(pool.orphaned);
  if (block === null) return;
  pool.immature.push(block);
  pool.post('credit again', block.credited);
}

function payShares(pool: Pool): void {
  const entries = Array.from({ length: 1 + pool.below(5) }, () => {
    const accountId = 1 + pool.below(ACCOUNTS);
    const scheme = pool.pick(['pps', 'ppsplus', 'fpps'] as const);
    const valueQ64 = pool.amount(1_0000_0000n << 64n);
    return { accountId, scheme, valueQ64, ...termsOf(accountId, scheme) };
  });
  const settled = settleExpectedPay(entries, pool.carries, pool.balance('reserve'));
  if (settled.short) {
    pool.done.short = (pool.done.short ?? 0) + 1;
    return;
  }
  for (const [accountId, carry] of settled.carries) pool.carries.set(accountId, carry);
  if (settled.totalSats === 0n) return;
  pool.post('expected pay', expectedPayLines(settled.pays));
}

function deposit(pool: Pool): void {
  const amountSats = 1n + pool.amount(1_0000_0000n);
  pool.depositedSats += amountSats;
  pool.post('deposit', capitalDepositLines(amountSats));
}

function fundReserve(pool: Pool): void {
  const from = pool.pick(['capital', 'pool_fee'] as const);
  const amountSats = pool.amount(pool.balance(from));
  if (amountSats > 0n) pool.post(`fund from ${from}`, reserveFundLines(amountSats, from));
}

function reservePayout(pool: Pool): void {
  const shares: PayoutShare[] = [];
  for (let accountId = 1; accountId <= ACCOUNTS; accountId++) {
    const amountSats = pool.amount(pool.balance('miner_confirmed', accountId));
    if (amountSats === 0n || pool.below(2) === 0) continue;
    shares.push({ accountId, amountSats, sentSats: amountSats - pool.amount(amountSats / 100n) });
  }
  if (shares.length === 0) return;
  pool.open.push(shares);
  pool.post('reserve', reserveLines(shares));
}

function confirmPayout(pool: Pool): void {
  const shares = pool.take(pool.open);
  if (shares === null) return;
  const owed = shares.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  if (owed + 500n > -pool.balance('wallet')) {
    // Swept coins are cold: this payout waits.
    pool.open.push(shares);
    return;
  }
  const sent = shares.reduce((sum, { sentSats }) => sum + sentSats, 0n);
  const networkFeeSats = owed - sent + pool.amount(500n);
  pool.spentSats += sent + networkFeeSats;
  pool.post('confirm', confirmLines(shares, networkFeeSats));
}

function cancelPayout(pool: Pool): void {
  const shares = pool.take(pool.open);
  if (shares !== null) pool.post('cancel', cancelLines(shares));
}

function sweep(pool: Pool): void {
  const sentSats = pool.amount(-pool.balance('wallet') / 4n);
  if (sentSats <= 0n) return;
  const networkFeeSats = pool.amount(500n);
  pool.sweptSats += sentSats;
  pool.spentSats += networkFeeSats;
  pool.post('sweep', walletSweepLines(sentSats, networkFeeSats));
}

describe('the ledger as a whole', () => {
  it(
    `sums to zero with no negative credit account after each of ${OPERATIONS} random operations`,
    () => {
      const pool = new Pool(60_311);
      for (let i = 0; i < OPERATIONS; i++) {
        pool.pick(OPERATION_OF_DRAW)(pool);
        if (i % 1000 === 0) expect([...pool.balances.values()].reduce((a, b) => a + b, 0n)).toBe(0n);
      }

      const coinbases = (blocks: readonly Block[]) =>
        blocks.reduce((sum, { coinbaseSats }) => sum + coinbaseSats, 0n);
      expect([...pool.balances.values()].reduce((a, b) => a + b, 0n)).toBe(0n);
      expect(pool.balance('coinbase_immature')).toBe(-coinbases(pool.immature));
      expect(pool.balance('cold_wallet')).toBe(-pool.sweptSats);
      expect(-pool.balance('wallet')).toBe(
        pool.depositedSats + coinbases(pool.matured) - pool.sweptSats - pool.spentSats,
      );
      const inFlight = pool.open.flat().reduce((sum, { amountSats }) => sum + amountSats, 0n);
      let booked = 0n;
      for (let id = 1; id <= ACCOUNTS; id++) booked += pool.balance('miner_in_flight', id);
      expect(booked).toBe(inFlight);
      for (const kind of ['remainder', 'reserve', 'pool_fee', 'donation'] as const) {
        const expected = pool.immature
          .flatMap(({ credited }) => credited)
          .filter((line) => line.kind === `${kind}_immature`);
        expect(pool.balance(`${kind}_immature`)).toBe(
          expected.reduce((sum, line) => sum + line.amountSats, 0n),
        );
      }
      // The run went everywhere: also into a reserve that is short, and into a loss.
      for (const what of [
        'credit',
        'mature',
        'orphan',
        'orphan matured',
        'credit again',
        'expected pay',
        'short',
        'deposit',
        'fund from capital',
        'fund from pool_fee',
        'reserve',
        'confirm',
        'cancel',
        'sweep',
      ]) {
        expect(pool.done[what] ?? 0, what).toBeGreaterThan(OPERATIONS / 400);
      }
      expect(pool.balance('orphan_loss')).toBeLessThan(0n);
    },
    60_000 + OPERATIONS,
  );
});
