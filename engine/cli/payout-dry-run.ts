// What the next payout run would plan, without planning it: the very plan, in a transaction that is rolled back.
import type { Database, Transaction } from '../../storage/postgres/connection.js';
import { planDueLightningIn } from '../../storage/postgres/lightning-plan.js';
import { type PayoutPlanTerms, planScheduledIn } from '../../storage/postgres/payout-plan.js';
import { confirmedBalances } from '../../storage/postgres/payout-status.js';
import { outputWeight } from '../accounting/payout-outputs.js';
import { scriptFromAddress } from '../bitcoin/address.js';
import type { Config } from '../config/config.js';
import { lightningTerms } from '../lightning-payer.js';
import { NodeRpc } from '../node/rpc.js';
import { parseRpcUrl } from '../node/rpc-endpoint.js';
import { payoutTerms } from '../payout-rails.js';
import { decideFee, type FeeDecision } from '../payouts/fee-policy.js';

export interface PlannedPayee {
  account: string;
  address: string;
  sats: bigint;
  balanceSats: bigint;
  /** Its own; null: the pool's. */
  thresholdSats: bigint | null;
  schedule: 'each_run' | 'daily' | 'weekly' | 'on_demand' | null;
}

export interface PlannedTransaction {
  payees: PlannedPayee[];
  sats: bigint;
  needsApproval: boolean;
  /** Virtual bytes with one input and change of the pool; each further input adds about 68. */
  vbytes: number;
  feeSats: bigint;
}

export interface DryRun {
  transactions: PlannedTransaction[];
  lightning: (Omit<PlannedPayee, 'address'> & { destination: string; maxFeeSats: bigint })[];
  /** Accounts with a confirmed balance, whether paid now or not. */
  balances: { accounts: number; sats: bigint };
  fee: FeeDecision;
  /** Whether the rate is a node's estimate; else it is the lowest that is allowed. */
  isEstimate: boolean;
}

/** As the runner plans in one slot. */
const PLANS_MAX = 100;
const PAYMENTS_MAX = 100;
/** Version, lock time, counts and witness marker 10.5 vB, one P2WPKH input 68, change 31. */
const FRAME_WEIGHT = 438;
const ESTIMATE_MS = 5000;

class RolledBack extends Error {}

export async function dryRun(database: Database, config: Config): Promise<DryRun> {
  const terms = payoutTerms(config);
  const estimate = await feeEstimate(config);
  const now = Date.now();
  const fee = decideFee(terms.fees, { estimateSatPerVb: estimate, plannedAtMs: now, nowMs: now });
  const weightOf = (address: string) => outputWeight(scriptBytes(address, config));
  let found: Pick<DryRun, 'transactions' | 'lightning' | 'balances'> | undefined;
  try {
    await database.begin(async (tx) => {
      const plan = { ...terms, requestKey: '', weightOf, limits: terms };
      const ids = await planAll(tx, plan);
      const lightning = config.lightning === null ? [] : await planLightning(tx, config);
      const transactions: PlannedTransaction[] = [];
      for (const id of ids) transactions.push(await readTransaction(tx, id, fee.feeRateSatPerVb, weightOf));
      found = { transactions, lightning, balances: await confirmedBalances(tx) };
      throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
  if (found === undefined) throw new Error('the plan was not read');
  return { ...found, fee, isEstimate: estimate !== null };
}

async function planAll(tx: Transaction, plan: PayoutPlanTerms): Promise<bigint[]> {
  const ids: bigint[] = [];
  const run = `dry-run:${process.pid}:${Date.now()}`;
  for (let part = 0; part < PLANS_MAX; part++) {
    const id = await planScheduledIn(tx, { ...plan, requestKey: `${run}:${part}` });
    if (id === null) break;
    ids.push(id);
  }
  return ids;
}

async function planLightning(tx: Transaction, config: Config): Promise<DryRun['lightning']> {
  if (config.lightning === null) return [];
  const requestKey = `dry-run:${process.pid}:${Date.now()}`;
  await planDueLightningIn(tx, {
    ...lightningTerms(config, config.lightning),
    requestKey,
    paymentsMax: PAYMENTS_MAX,
  });
  const rows = await tx<DryRun['lightning']>`
    select m.name as account, p.destination, p.sent_sats as sats, p.max_fee_sats as "maxFeeSats",
           b.confirmed_sats as "balanceSats", m.payout_threshold_sats as "thresholdSats",
           m.payout_schedule as schedule
    from lightning_payments p join accounts m on m.id = p.account_id
    join account_balances b on b.account_id = m.id
    where p.request_key like ${`${requestKey}:%`} order by p.id`;
  return [...rows];
}

async function readTransaction(
  tx: Transaction,
  id: bigint,
  feeRateSatPerVb: number,
  weightOf: (address: string) => number,
): Promise<PlannedTransaction> {
  const payees = await tx<PlannedPayee[]>`
    select m.name as account, o.address, o.amount_sats as sats, b.confirmed_sats as "balanceSats",
           m.payout_threshold_sats as "thresholdSats", m.payout_schedule as schedule
    from payout_outputs o join accounts m on m.id = o.account_id
    join account_balances b on b.account_id = m.id
    where o.payout_id = ${id} order by o.amount_sats desc, m.name, o.position`;
  const [payout] = await tx<{ needed: number }[]>`
    select approvals_needed as needed from payouts where id = ${id}`;
  const weight = payees.reduce((sum, { address }) => sum + weightOf(address), FRAME_WEIGHT);
  const vbytes = Math.ceil(weight / 4);
  return {
    payees: [...payees],
    sats: payees.reduce((sum, { sats }) => sum + sats, 0n),
    needsApproval: (payout?.needed ?? 0) > 0,
    vbytes,
    feeSats: BigInt(Math.ceil(vbytes * feeRateSatPerVb)),
  };
}

/** Null when no node is set, or it knows none, or does not answer: a plan is worth reading without. */
async function feeEstimate(config: Config): Promise<number | null> {
  const [url] = config.bitcoinRpcUrls;
  if (url === undefined) return null;
  const rpc = new NodeRpc({ endpoint: parseRpcUrl(url) });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ESTIMATE_MS);
  });
  try {
    return await Promise.race([rpc.estimateSmartFee(config.fees.targetBlocks), late]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    rpc.close();
  }
}

function scriptBytes(address: string, { network }: Config): number | null {
  try {
    return scriptFromAddress(address, network).length;
  } catch {
    return null;
  }
}
