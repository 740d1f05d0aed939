// Every movement of money as ledger lines that sum to zero. Pure: numbers in, lines out; the stores post
// them (storage/postgres/ledger-store.ts). Sign: positive is a credit (what the pool owes or earned),
// negative a debit (what it awaits, holds or has spent).
//
//   credit    coinbase_immature -C   miner_immature +c each   pool_fee_immature +f   remainder_immature +r
//   mature    each immature account back to zero, the same into wallet, miner_confirmed, pool_fee, remainder
//   orphan    the opposite of what the block has posted so far
//   reserve   miner_confirmed -a      miner_in_flight +a
//   confirm   miner_in_flight -a      wallet +(sent + network fee)      network_fees -(the pool's part)
//   cancel    miner_in_flight -a      miner_confirmed +a
import type { BlockSplit } from './split-block.js';

export type LedgerAccountKind =
  | 'miner_immature'
  | 'miner_confirmed'
  | 'miner_in_flight'
  | 'pool_fee_immature'
  | 'pool_fee'
  | 'remainder_immature'
  | 'remainder'
  | 'coinbase_immature'
  | 'wallet'
  | 'network_fees'
  | 'orphan_loss';

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
  pool_fee_immature: 'pool_fee',
  remainder_immature: 'remainder',
  coinbase_immature: 'wallet',
};

/** A found block enters the books. */
export function creditLines(split: BlockSplit): LedgerLine[] {
  const lines: LedgerLine[] = split.credits.map(({ accountId, amountSats }) =>
    line('miner_immature', amountSats, accountId),
  );
  if (split.feeSats > 0n) lines.push(line('pool_fee_immature', split.feeSats));
  if (split.remainderSats > 0n) lines.push(line('remainder_immature', split.remainderSats));
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
 * The block left the best chain after it matured (a reorg of more than 100 blocks). `available` is what a
 * miner's confirmed balance still holds; what was paid out already is the pool's loss, visible as such.
 */
export function orphanMaturedLines(
  credited: readonly LedgerLine[],
  available: (accountId: number) => bigint,
): LedgerLine[] {
  const lines: LedgerLine[] = [];
  let lost = 0n;
  for (const { kind, accountId, amountSats } of credited) {
    const from = MATURES_INTO[kind];
    if (from === undefined) throw new Error(`a block credit has no line of kind ${kind}`);
    if (accountId === null) {
      lines.push(line(from, -amountSats));
      continue;
    }
    let taken = available(accountId);
    if (taken > amountSats) taken = amountSats;
    if (taken > 0n) lines.push(line(from, -taken, accountId));
    lost += amountSats - taken;
  }
  if (lost > 0n) lines.push(line('orphan_loss', -lost));
  return zeroSum(lines);
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

function sumOf(lines: readonly LedgerLine[]): bigint {
  return lines.reduce((sum, { amountSats }) => sum + amountSats, 0n);
}

/** Kept on in production: the database would refuse it too, here the culprit is on the stack. */
function zeroSum(lines: LedgerLine[]): LedgerLine[] {
  const sum = sumOf(lines);
  if (sum !== 0n) throw new Error(`ledger lines sum to ${sum} satoshis, not 0`);
  return lines;
}
