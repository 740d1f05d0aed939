// The check of every chaos run: once nothing is on its way any more, what the miners were told against the journal,
// ClickHouse and Postgres, share by share and to the last hash.
import { join } from 'node:path';
import type { NodeRpc } from '../../engine/node/rpc.js';
import { verdictByName } from '../../engine/work/verdict.js';
import { findLanes } from '../../storage/journal/lanes.js';
import type { Database } from '../../storage/postgres/connection.js';
import { type ComparedCounts, Comparison, type JournaledShare } from '../soak/comparison.js';
import { Differences } from '../soak/differences.js';
import { readJournal } from '../soak/journal-shares.js';
import { readToldShares, UNANSWERED } from '../soak/told-shares.js';
import { type ClickHouseSums, compareRollups, readClickHouse } from './clickhouse-rows.js';
import type { Findings } from './findings.js';
import { pause } from './kill-loop.js';
import { auditLedger, checkChain, type LedgerCounts, openBlocks, openLedger } from './ledger-rows.js';
import { checkPayoutTimes } from './payout-times.js';
import type { ChaosPool } from './pool.js';

const DRAINS_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;
/** Two seconds of answers: a batch without an accepted share fails before the first that says so. */
const FULL_AROUND = 1000;
const ACCEPTED = verdictByName('accepted').code;
const NOT_STORED = verdictByName('storage_failed').code;

export class StoresCheck {
  readonly #pool: ChaosPool;
  readonly #dataFolder: string;
  readonly #toldFile: string;

  /** @param folder of the run: `data` is the pool's, `told` the books of the miners */
  constructor(pool: ChaosPool, folder: string) {
    this.#pool = pool;
    this.#dataFolder = join(folder, 'data');
    this.#toldFile = join(folder, 'told');
  }

  /** Until all that was answered is shipped, and all blocks are credited or given up. Miners must rest. */
  async drain(findings: Findings): Promise<void> {
    const ledger = openLedger(this.#dataFolder);
    const node = this.#pool.openNode();
    try {
      const end = performance.now() + DRAINS_WITHIN_MS;
      for (;;) {
        const left = await this.#undrained(ledger, node);
        if (left === null) return;
        if (performance.now() > end) {
          findings.add(`not drained within ${DRAINS_WITHIN_MS / 1000} s`, left);
          return;
        }
        await pause(LOOK_EVERY_MS);
      }
    } finally {
      node.close();
      await ledger.end({ timeout: 2 });
    }
  }

  async compareClickHouse(findings: Findings): Promise<{ clickhouse: ComparedCounts; sums: ClickHouseSums }> {
    const comparison = new Told(this.#toldFile, findings, 'ClickHouse');
    const sums = await readClickHouse(this.#pool.clickhouse, findings, (share) => comparison.add(share));
    const clickhouse = comparison.finish();
    await compareRollups(this.#pool.clickhouse, sums, findings);
    return { clickhouse, sums };
  }

  /** @param poolLived false when the pool was killed at times */
  async auditLedger(sums: ClickHouseSums, findings: Findings, poolLived: boolean): Promise<LedgerCounts> {
    const ledger = openLedger(this.#dataFolder);
    const node = this.#pool.openNode();
    try {
      const counts = await auditLedger(ledger, node, sums, findings);
      await checkPayoutTimes(ledger, node, findings);
      if (poolLived) await checkChain(ledger, node, findings);
      return counts;
    } finally {
      node.close();
      await ledger.end({ timeout: 2 });
    }
  }

  /** Only while nobody writes it. */
  compareJournal(findings: Findings): ComparedCounts {
    const comparison = new Told(this.#toldFile, findings, 'the journal');
    for (const { journalFolder } of findLanes(this.#dataFolder)) {
      readJournal(journalFolder, comparison.differences, (share) => comparison.add(share));
    }
    return comparison.finish();
  }

  /** What is still on its way, in words; null when nothing is. */
  async #undrained(ledger: Database, node: NodeRpc): Promise<string | null> {
    const snapshot = await this.#pool.stats();
    if (snapshot === null) return 'the pool does not answer';
    const { answered_true, clickhouse_rows, postgres_accepted, difference } = snapshot.shares;
    const behind = snapshot.pipelines.filter(({ lag, state }) => lag > 0 || state !== 'ok');
    const isEqual = clickhouse_rows === answered_true && postgres_accepted === answered_true;
    if (behind.length > 0 || difference !== 0 || !isEqual) {
      return JSON.stringify({ ...snapshot.shares, verdicts: undefined, behind });
    }
    const open = await openBlocks(ledger, node);
    return open === 0 ? null : `${open} blocks are not credited`;
  }
}

/**
 * The comparison of the soak run for a pool whose disk may refuse shares. Such a share is in no store: it counts as one
 * that got no answer, and being credited is a difference of its own. What was refused for other reasons meanwhile was
 * answered and may not have been written down either.
 */
class Told {
  readonly differences = new Differences();
  readonly #comparison = new Comparison(this.differences);
  readonly #file: string;
  readonly #findings: Findings;
  readonly #where: string;
  /** Header hashes of shares that were refused and never accepted when they were sent again. */
  readonly #refused = new Set<string>();
  /** Numbers of the told shares between which the disk was full. */
  #fullFrom = Number.POSITIVE_INFINITY;
  #fullTo = Number.NEGATIVE_INFINITY;
  #refusals = 0;

  constructor(file: string, findings: Findings, where: string) {
    this.#file = file;
    this.#findings = findings;
    this.#where = where;
    let number = 0;
    for (const { hash, answer } of readToldShares(file)) {
      number++;
      if (answer !== NOT_STORED) continue;
      this.#refused.add(keyOf(hash));
      this.#fullFrom = Math.min(this.#fullFrom, number - FULL_AROUND);
      this.#fullTo = number + FULL_AROUND;
    }
    if (this.#refused.size === 0) return;
    for (const { hash, answer } of readToldShares(file)) {
      if (answer === ACCEPTED || answer === UNANSWERED) this.#refused.delete(keyOf(hash));
    }
  }

  add(share: JournaledShare): void {
    if (share.verdict === ACCEPTED && this.#refused.has(keyOf(share.hash))) {
      const what = `${this.#where}: a share is credited that was refused as not stored`;
      this.#findings.add(what, Buffer.from(share.hash).reverse().toString('hex'));
    }
    this.#comparison.addJournaled(share);
  }

  finish(): ComparedCounts {
    let number = 0;
    for (const share of readToldShares(this.#file)) {
      number++;
      const isFull = number >= this.#fullFrom && number <= this.#fullTo;
      const isCutOff = isFull && share.answer !== ACCEPTED && share.answer !== UNANSWERED;
      if (isCutOff) this.#refusals++;
      this.#comparison.addTold(isCutOff ? { ...share, answer: UNANSWERED } : share);
    }
    const counts = this.#comparison.finish(null);
    this.#findings.addAll(this.differences.list(), this.#where);
    return { ...counts, cutOff: counts.cutOff - this.#refusals };
  }
}

function keyOf(hash: Uint8Array): string {
  return Buffer.from(hash).toString('latin1');
}
