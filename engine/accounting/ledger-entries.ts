// Every movement of money as ledger lines that sum to zero. Pure: numbers in, lines out; the stores post
// them (storage/postgres/ledger-store.ts). Sign: positive is a credit (what the pool owes or earned),
// negative a debit (what it awaits, holds or has spent).
//
//   credit    coinbase_immature -C   miner_immature +c each   reserve_, pool_fee_, donation_, remainder_immature +
//   mature    each immature account back to zero, the same into wallet, miner_confirmed, reserve, pool_fee, ...
//   orphan    the opposite of what the block has posted so far
//   expected  reserve -t              miner_confirmed +m each   pool_fee +f   donation +d
//   reserve   miner_confirmed -a      miner_in_flight +a
//   confirm   miner_in_flight -a      wallet +(sent + network fee)      network_fees -(the pool's part)
//   cancel    miner_in_flight -a      miner_confirmed +a
//   deposit   wallet -x               capital +x
//   fund      capital or pool_fee -x  reserve +x
//   sweep     wallet +(sent + fee)    cold_wallet -sent         network_fees -fee
import type { ExpectedPay } from './expected-pay.js';
import type { BlockSplit } from './split-block.js';

/** What the pool owes or has earned. A balance of these is never negative. */
export const CREDIT_KINDS = [
  'miner_immature',
  'miner_confirmed',
  'miner_in_flight',
  'pool_fee_immature',
  'pool_fee',
  'donation_immature',
  'donation',
  'remainder_immature',
  'remainder',
  'reserve_immature',
  'reserve',
  'energy_credits',
] as const;

/** What the pool awaits, holds (hot and cold) or has spent; `capital`, the operator's own money, has any sign. */
export const OTHER_KINDS = [
  'coinbase_immature',
  'wallet',
  'cold_wallet',
  'network_fees',
  'orphan_loss',
  'capital',
] as const;

export type LedgerAccountKind = (typeof CREDIT_KINDS)[number] | (typeof OTHER_KINDS)[number];

export type LedgerTransactionKind =
  | 'block_credit'
  | 'block_mature'
  | 'block_orphan'
  | 'payout_reserve'
  | 'payout_confirm'
  | 'payout_cancel'
  | 'expected_pay'
  | 'capital_deposit'
  | 'wallet_sweep'
  | 'adjustment';

export interface LedgerLine {
  kind: LedgerAccountKind;
  /** The miner for `miner_*` kinds, null for the pool's own accounts. */
  accountId: number | null;
  /** Never 0. */
  amountSats: bigint;
}

/** One payee of a payout. */
export interface PayoutShare {
  accountId: number;
  /** Taken from the balance. */
  amountSats: bigint;
  /** Sent to the address; the rest of `amountSats` is the payee's part of the network fee. */
  sentSats: bigint;
}

/** Confirmations from which a coinbase may be spent in the next block (Bitcoin Core COINBASE_MATURITY = 100). */
export const MATURITY_CONFIRMATIONS = 101;

const MATURES_INTO: Partial<Record<LedgerAccountKind, LedgerAccountKind>> = {
  miner_immature: 'miner_confirmed',
  reserve_immature: 'reserve',
  pool_fee_immature: 'pool_fee',
  donation_immature: 'donation',
  remainder_immature: 'remainder',
  coinbase_immature: 'wallet',
};

/** A found block enters the books. */
export function creditLines(split: BlockSplit): LedgerLine[] {
  const lines: LedgerLine[] = split.credits.map(({ accountId, amountSats }) =>
    line('miner_immature', amountSats, accountId),
  );
  lines.push(
    ...nonZero([
      line('reserve_immature', split.reserveSats),
      line('pool_fee_immature', split.feeSats),
      line('donation_immature', split.donationSats),
      line('remainder_immature', split.remainderSats),
    ]),
  );
  lines.push(line('coinbase_immature', -sumOf(lines)));
  return zeroSum(lines);
}

/** The coinbase may be spent: what `creditLines` posted moves to the spendable side. */
export function matureLines(credited: readonly LedgerLine[]): LedgerLine[] {
  return zeroSum(
    credited.flatMap(({ kind, accountId, amountSats }) => {
      const into = MATURES_INTO[kind];
      if (into === undefined) throw new Error(`a block credit has no line of kind ${kind}`);
      return [line(kind, -amountSats, accountId), line(into, amountSats, accountId)];
    }),
  );
}

/** The block left the best chain before it matured: the opposite of its credit. */
export function orphanLines(credited: readonly LedgerLine[]): LedgerLine[] {
  return zeroSum(credited.map((posted) => ({ ...posted, amountSats: -posted.amountSats })));
}

/**
 * The block left the best chain after it matured (a reorg of more than 100 blocks). `available` is what the
 * credit account of that kind and owner (null: the pool's own) still holds; what has gone from there already,
 * to payouts or out of the reserve into expected pay, is the pool's loss, visible as such.
 */
export function orphanMaturedLines(
  credited: readonly LedgerLine[],
  available: (kind: LedgerAccountKind, accountId: number | null) => bigint,
): LedgerLine[] {
  const lines: LedgerLine[] = [];
  for (const { kind, accountId, amountSats } of credited) {
    const from = MATURES_INTO[kind];
    if (from === undefined) throw new Error(`a block credit has no line of kind ${kind}`);
    let taken = amountSats;
    if (amountSats > 0n) {
      const held = available(from, accountId);
      if (held < taken) taken = held;
    }
    lines.push(line(from, -taken, accountId));
  }
  lines.push(line('orphan_loss', -sumOf(lines)));
  return zeroSum(nonZero(lines));
}

/**
 * Shares are paid their expected value out of the reserve. `pays`: of a settlement that is not short. Throws
 * RangeError when nothing in it makes a whole satoshi: then there is nothing to post.
 */
export function expectedPayLines(pays: readonly ExpectedPay[]): LedgerLine[] {
  let feeSats = 0n;
  let donationSats = 0n;
  const lines: LedgerLine[] = [];
  for (const pay of pays) {
    lines.push(line('miner_confirmed', pay.minerSats, pay.accountId));
    feeSats += pay.feeSats;
    donationSats += pay.donationSats;
  }
  lines.push(line('pool_fee', feeSats), line('donation', donationSats));
  const totalSats = sumOf(lines);
  if (totalSats <= 0n) throw new RangeError('expected pay of no whole satoshi has no ledger lines');
  lines.push(line('reserve', -totalSats));
  return zeroSum(nonZero(lines));
}

/** The operator's own coins came into the hot wallet. */
export function capitalDepositLines(amountSats: bigint): LedgerLine[] {
  checkPositive(amountSats, 'a capital deposit');
  return zeroSum([line('wallet', -amountSats), line('capital', amountSats)]);
}

/** Money of the operator, deposited or earned as pool fee, becomes the reserve's. */
export function reserveFundLines(amountSats: bigint, from: 'capital' | 'pool_fee'): LedgerLine[] {
  checkPositive(amountSats, 'a transfer to the reserve');
  return zeroSum([line(from, -amountSats), line('reserve', amountSats)]);
}

/** Coins went from the hot wallet to the cold one. `sentSats` arrive, `networkFeeSats` the pool spent on it. */
export function walletSweepLines(sentSats: bigint, networkFeeSats: bigint): LedgerLine[] {
  checkPositive(sentSats, 'a sweep');
  if (networkFeeSats < 0n) throw new RangeError(`a network fee of ${networkFeeSats} satoshis`);
  return zeroSum(
    nonZero([
      line('wallet', sentSats + networkFeeSats),
      line('cold_wallet', -sentSats),
      line('network_fees', -networkFeeSats),
    ]),
  );
}

/** A signed payout takes its amounts out of the balances. */
export function reserveLines(shares: readonly PayoutShare[]): LedgerLine[] {
  return zeroSum(
    shares.flatMap(({ accountId, amountSats }) => [
      line('miner_confirmed', -amountSats, accountId),
      line('miner_in_flight', amountSats, accountId),
    ]),
  );
}

/** The payout transaction is in the chain. `networkFeeSats`: what its inputs exceed its outputs by. */
export function confirmLines(shares: readonly PayoutShare[], networkFeeSats: bigint): LedgerLine[] {
  let amount = 0n;
  let sent = 0n;
  const lines = shares.map((share) => {
    if (share.sentSats > share.amountSats) {
      throw new RangeError(`account ${share.accountId} is sent more than is taken from it`);
    }
    amount += share.amountSats;
    sent += share.sentSats;
    return line('miner_in_flight', -share.amountSats, share.accountId);
  });
  const spent = sent + networkFeeSats;
  const paidByPool = spent - amount;
  if (paidByPool < 0n) throw new RangeError('payees were charged more network fee than the transaction paid');
  lines.push(line('wallet', spent));
  if (paidByPool > 0n) lines.push(line('network_fees', -paidByPool));
  return zeroSum(lines);
}

/** The payout can never be in the chain: its amounts are the miners' again. */
export function cancelLines(shares: readonly PayoutShare[]): LedgerLine[] {
  return zeroSum(
    shares.flatMap(({ accountId, amountSats }) => [
      line('miner_in_flight', -amountSats, accountId),
      line('miner_confirmed', amountSats, accountId),
    ]),
  );
}

function line(kind: LedgerAccountKind, amountSats: bigint, accountId: number | null = null): LedgerLine {
  return { kind, accountId, amountSats };
}

function nonZero(lines: readonly LedgerLine[]): LedgerLine[] {
  return lines.filter(({ amountSats }) => amountSats !== 0n);
}

function checkPositive(amountSats: bigint, what: string): void {
  if (amountSats <= 0n) throw new RangeError(`${what} must be above 0 satoshis, not ${amountSats}`);
}

function sumOf(lines: readonly LedgerLine[]): bigint {
  return lines.reduce((sum, { amountSats }) => sum + amountSats, 0n);
}

/** Kept on in production: the database would refuse it too, here the culprit is on the stack. */
function zeroSum(lines: LedgerLine[]): LedgerLine[] {
  const sum = sumOf(lines);
  if (sum !== 0n) throw new Error(`ledger lines sum to ${sum} satoshis, not 0`);
  return lines;
}
