// Checks of the books beyond single credits: all lines sum to zero, balances are the sums of their lines, and each payout
// that was confirmed took from the miners what its transaction sent and cost.
import type { Database } from '../../storage/postgres/connection.js';
import { scriptFromAddress } from '../bitcoin/address.js';
import { bytesToHex, hexToBytes } from '../bitcoin/hex.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { parseTransaction } from '../bitcoin/transaction.js';
import { addLine, type Lines, readLines } from './ledger-credits.js';
import type { ShortSlices } from './short-slices.js';
import { DIFFERENCES_MAX } from './verdict.js';

export interface BooksVerdict {
  /** Of every line ever posted; must be 0. */
  sumSats: bigint;
  /** Ledger accounts whose balance is not the sum of their lines; must be 0. */
  balancesDiffering: number;
  payouts: number;
  /** One sentence each. */
  faults: string[];
}

const PAYOUTS_MAX = 10_000;

interface ConfirmedPayout {
  id: bigint;
  rawTransaction: string;
  networkFeeSats: bigint;
}

/** `day`: whose confirmed payouts are checked, as 2026-11-21, UTC; null: of all days. */
export async function verifyBooks(
  database: Database,
  network: NetworkName,
  day: string | null,
  slices: ShortSlices,
): Promise<BooksVerdict> {
  const [sum] = await database<{ sats: bigint }[]>`
    select coalesce(sum(amount_sats), 0) as sats from ledger_lines`;
  const [balances] = await database<{ count: number }[]>`
    select count(*)::integer as count from ledger_reconciliation where difference_sats is distinct from 0`;
  const faults: string[] = [];
  const ofDay =
    day === null
      ? database`true`
      : database`confirmed_at >= ${day}::date and confirmed_at < ${day}::date + 1`;
  const payouts = await database<ConfirmedPayout[]>`
    select id, raw_transaction as "rawTransaction", network_fee_sats as "networkFeeSats"
    from payouts where status = 'confirmed' and ${ofDay} order by id limit ${PAYOUTS_MAX}`;
  if (payouts.length === PAYOUTS_MAX)
    faults.push(`more than ${PAYOUTS_MAX} payouts: those after are not checked`);
  for (const payout of payouts) {
    await slices.pause();
    faults.push(...(await payoutFaults(database, network, payout, slices)).slice(0, DIFFERENCES_MAX));
  }
  return {
    sumSats: sum?.sats ?? 0n,
    balancesDiffering: balances?.count ?? 0,
    payouts: payouts.length,
    faults,
  };
}

async function payoutFaults(
  database: Database,
  network: NetworkName,
  { id, rawTransaction, networkFeeSats }: ConfirmedPayout,
  slices: ShortSlices,
): Promise<string[]> {
  const outputs = await database<{ accountId: number; address: string; taken: bigint; sent: bigint }[]>`
    select account_id as "accountId", address, amount_sats as taken, sent_sats as sent
    from payout_outputs where payout_id = ${id}`;
  const faults: string[] = [];
  const reserved: Lines = new Map();
  const confirmed: Lines = new Map();
  let taken = 0n;
  let sent = 0n;
  for (const output of outputs) {
    taken += output.taken;
    sent += output.sent;
    addLine(reserved, 'miner_confirmed', output.accountId, -output.taken);
    addLine(reserved, 'miner_in_flight', output.accountId, output.taken);
    addLine(confirmed, 'miner_in_flight', output.accountId, -output.taken);
  }
  addLine(confirmed, 'wallet', null, sent + networkFeeSats);
  addLine(confirmed, 'network_fees', null, taken - sent - networkFeeSats);
  for (const [key, expected] of [
    [`payout-reserve:${id}`, reserved],
    [`payout-confirm:${id}`, confirmed],
  ] as const) {
    const posted = await readLines(database, key, slices);
    for (const line of new Set([...posted.keys(), ...expected.keys()])) {
      const [ledger, wanted] = [posted.get(line) ?? 0n, expected.get(line) ?? 0n];
      if (ledger !== wanted) {
        faults.push(`${key}: ${line.trim()} has ${ledger} sat in the ledger, by the payout it is ${wanted}`);
      }
    }
  }
  faults.push(...unpaid(outputs, rawTransaction, network).map((what) => `payout ${id}: ${what}`));
  return faults;
}

/** Outputs that the transaction does not have. */
function unpaid(
  outputs: readonly { address: string; sent: bigint }[],
  rawTransaction: string,
  network: NetworkName,
): string[] {
  const there = new Map<string, number>();
  for (const { sats, script } of parseTransaction(hexToBytes(rawTransaction)).outputs) {
    const key = `${bytesToHex(script)} ${sats}`;
    there.set(key, (there.get(key) ?? 0) + 1);
  }
  return outputs.flatMap(({ address, sent }) => {
    const key = `${bytesToHex(scriptFromAddress(address, network))} ${sent}`;
    const left = there.get(key) ?? 0;
    there.set(key, left - 1);
    return left > 0 ? [] : [`its transaction has no output of ${sent} sat to ${address}`];
  });
}
