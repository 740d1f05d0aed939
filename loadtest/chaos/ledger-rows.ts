// Postgres as an auditor reads it: work by worker, verdicts, blocks and what the ledger did with each.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { blockStandings } from '../../engine/node/chain-watcher.js';
import type { NodeRpc } from '../../engine/node/rpc.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import type { ClickHouseSums } from './clickhouse-rows.js';
import type { Findings } from './findings.js';

const TIMEOUT_S = 60;

export interface LedgerCounts {
  readonly shares: number;
  readonly work: bigint;
  readonly blocks: number;
  /** Blocks whose credit stands. */
  readonly credited: number;
  readonly orphaned: number;
  /**
   * A node that is killed forgets blocks that it had not written down. Ours is alone, so nobody brings them back: they
   * are neither credited nor given up.
   */
  readonly forgotten: number;
}

/** Opens the embedded Postgres of a pool's data folder, by the server's own files. */
export function openLedger(dataFolder: string): Database {
  const folder = join(dataFolder, 'postgres');
  const password = encodeURIComponent(readFileSync(join(folder, 'password'), 'utf8').trim());
  // Fourth line of postmaster.pid (PostgreSQL, src/include/utils/pidfile.h).
  const port = readFileSync(join(folder, 'cluster', 'postmaster.pid'), 'utf8').split('\n')[3];
  const url = `postgres://millrace:${password}@127.0.0.1:${port}/millrace`;
  return openPostgres({ url, poolSize: 2, timeoutS: TIMEOUT_S });
}

/** Blocks that the node knows and the ledger has not settled yet: neither credited nor given up. */
export async function openBlocks(ledger: Database, node: NodeRpc): Promise<number> {
  const rows = await ledger<{ hash: string }[]>`select hash from blocks where status = 'candidate'`;
  const hashes = rows.map(({ hash }) => hash);
  return (await blockStandings(node, hashes)).filter(({ isKnown }) => isKnown).length;
}

/** Holds Postgres against the rows of ClickHouse, and the ledger against itself. */
export async function auditLedger(
  ledger: Database,
  node: NodeRpc,
  shares: ClickHouseSums,
  findings: Findings,
): Promise<LedgerCounts> {
  const slices = await compareWork(ledger, shares, findings);
  await compareTotals(ledger, shares, slices.work, findings);
  await checkLines(ledger, findings);
  return { ...slices, ...(await checkBlocks(ledger, node, shares.blocks, findings)) };
}

/**
 * Every block of the chain must be in the ledger and credited: the chain is private, so nobody else found one. Not for runs
 * that kill the pool: it may die after a block went to the node and before its share was written.
 */
export async function checkChain(ledger: Database, node: NodeRpc, findings: Findings): Promise<void> {
  const rows = await ledger<{ hash: string; status: string }[]>`select hash, status from blocks`;
  const known = new Map(rows.map(({ hash, status }) => [hash, status]));
  const { blocks: tip } = await node.getBlockchainInfo();
  for (let height = 1; height <= tip; height++) {
    const hash = await node.getBlockHash(height);
    const status = known.get(hash) ?? 'missing';
    if (status === 'immature' || status === 'confirmed') continue;
    findings.add('blocks: one of the chain is not credited', `${height} ${hash}: ${status}`);
  }
}

async function compareWork(
  ledger: Database,
  { work: expected }: ClickHouseSums,
  findings: Findings,
): Promise<{ shares: number; work: bigint }> {
  const rows = await ledger<
    { node: number; account: string; worker: string; shares: bigint; work: bigint }[]
  >`
    select node_id as node, a.name as account, w.name as worker, sum(shares)::bigint as shares, sum(work) as work
    from work_slices s join accounts a on a.id = s.account_id join workers w on w.id = s.worker_id
    group by node_id, a.name, w.name`;
  const left = new Map(expected);
  const sum = { shares: 0, work: 0n };
  for (const { node, account, worker, shares, work } of rows) {
    sum.shares += Number(shares);
    sum.work += work;
    const whose = `${node} ${account}.${worker}`;
    const other = left.get(whose);
    left.delete(whose);
    if (other?.work !== work || BigInt(other.shares) !== shares) {
      const text = `${work} hashes of ${shares} shares, ClickHouse has ${other?.work ?? 0} of ${other?.shares ?? 0}`;
      findings.add('Postgres: work of a worker differs from the rows in ClickHouse', `${whose}: ${text}`);
    }
  }
  for (const [whose, { shares }] of left) {
    findings.add(
      'Postgres: work of a worker differs from the rows in ClickHouse',
      `${whose}: none, ${shares}`,
    );
  }
  return sum;
}

async function compareTotals(
  ledger: Database,
  { verdicts }: ClickHouseSums,
  acceptedWork: bigint,
  findings: Findings,
): Promise<void> {
  const totals = await ledger<{ node: number; verdict: number; shares: bigint; work: bigint }[]>`
    select node_id as node, verdict, shares, work from share_totals where shares > 0`;
  const [rejects] = await ledger<{ shares: bigint }[]>`
    select coalesce(sum(shares), 0)::bigint as shares from reject_slices`;
  const left = new Map(verdicts);
  let work = 0n;
  let refused = 0n;
  for (const total of totals) {
    const judged = `${total.node} ${total.verdict}`;
    const rows = left.get(judged) ?? 0;
    left.delete(judged);
    if (BigInt(rows) !== total.shares) {
      const text = `node and verdict ${judged}: ${total.shares}, ClickHouse has ${rows}`;
      findings.add('Postgres: submits by verdict differ from the rows in ClickHouse', text);
    }
    if (total.verdict === 1) work += total.work;
    else refused += total.shares;
  }
  for (const [judged, rows] of left) {
    const text = `node and verdict ${judged}: none, ClickHouse has ${rows}`;
    findings.add('Postgres: submits by verdict differ from the rows in ClickHouse', text);
  }
  if (work !== acceptedWork) {
    findings.add('Postgres: share_totals and work_slices differ', `${work} and ${acceptedWork} hashes`);
  }
  if (rejects?.shares !== refused) {
    findings.add('Postgres: share_totals and reject_slices differ', `${refused} and ${rejects?.shares}`);
  }
}

async function checkLines(ledger: Database, findings: Findings): Promise<void> {
  const [sum] = await ledger<{ sats: bigint }[]>`
    select coalesce(sum(amount_sats), 0)::bigint as sats from ledger_lines`;
  if (sum?.sats !== 0n) findings.add('ledger: its lines do not sum to zero', `${sum?.sats} sats`);
  const uneven = await ledger<{ id: bigint; sats: bigint }[]>`
    select transaction_id as id, sum(amount_sats)::bigint as sats from ledger_lines
    group by transaction_id having sum(amount_sats) <> 0`;
  for (const { id, sats } of uneven)
    findings.add('ledger: a transaction does not sum to zero', `${id}: ${sats}`);
  const wrong = await ledger<{ id: bigint; sats: bigint }[]>`
    select ledger_account_id as id, difference_sats::bigint as sats from ledger_reconciliation
    where difference_sats <> 0`;
  for (const { id, sats } of wrong)
    findings.add('ledger: a balance is not the sum of its lines', `${id}: ${sats}`);
}

/** A block of the chain is credited once more than it was taken back, any other exactly as often. */
async function checkBlocks(
  ledger: Database,
  node: NodeRpc,
  shares: ReadonlySet<string>,
  findings: Findings,
): Promise<Pick<LedgerCounts, 'blocks' | 'credited' | 'orphaned' | 'forgotten'>> {
  const blocks = await ledger<{ hash: string; status: string; credits: bigint; orphans: bigint }[]>`
    select hash, status,
      (select count(*) from ledger_transactions where block_hash = hash and kind = 'block_credit') as credits,
      (select count(*) from ledger_transactions where block_hash = hash and kind = 'block_orphan') as orphans
    from blocks`;
  const standings = await blockStandings(
    node,
    blocks.map(({ hash }) => hash),
  );
  const left = new Set(shares);
  const counts = { blocks: blocks.length, credited: 0, orphaned: 0, forgotten: 0 };
  for (const [index, { hash, status, credits, orphans }] of blocks.entries()) {
    if (!left.delete(hash)) findings.add('blocks: one that is no share in ClickHouse', hash);
    const { isKnown = false, confirmations = -1 } = standings[index] ?? {};
    const isCredited = status === 'immature' || status === 'confirmed';
    if (isCredited) counts.credited++;
    if (status === 'orphaned') counts.orphaned++;
    if (!isKnown && status !== 'rejected') counts.forgotten++;
    if (credits - orphans !== (isCredited ? 1n : 0n)) {
      const text = `${hash} is ${status}: credited ${credits}, taken back ${orphans}`;
      findings.add('blocks: not credited exactly once', text);
    }
    if (isKnown && isCredited !== confirmations > 0) {
      const text = `${hash} is ${status} with ${confirmations} confirmations`;
      findings.add('blocks: chain and ledger differ', text);
    }
  }
  for (const hash of left) findings.add('blocks: one of ClickHouse is not in Postgres', hash);
  return counts;
}
