// ClickHouse as an analyst reads it: rows over HTTP, as the reader without a password.
import { hashFromDisplay } from '../../engine/bitcoin/hex.js';
import { targetFromBytesLE, workFromTarget } from '../../engine/bitcoin/target.js';
import { type ShareVerdict, verdictByName } from '../../engine/work/verdict.js';
import type { JournaledShare } from '../soak/comparison.js';
import type { Findings } from './findings.js';

/** Shares a query: an answer of some megabytes. */
const PIECE = 20_000;
/** Of a submit that was refused before hashing, or names no job that has a target. */
const NONE = new Uint8Array(32);
const ACCEPTED = verdictByName('accepted').code;

/** Work by `node account.worker`, and submits by `node verdict`: what Postgres must have, too. */
export interface ClickHouseSums {
  readonly work: ReadonlyMap<string, { readonly shares: number; readonly work: bigint }>;
  readonly verdicts: ReadonlyMap<string, number>;
  /** Display hashes of rows that are blocks: a share that comes too late for its tip may be one, too. */
  readonly blocks: ReadonlySet<string>;
  readonly rows: number;
}

/** Hands every row to `each`, node by node in the order of its numbers, and adds them up. @throws Error of ClickHouse */
export async function readClickHouse(
  origin: string,
  findings: Findings,
  each: (share: JournaledShare) => void,
): Promise<ClickHouseSums> {
  const work = new Map<string, { shares: number; work: bigint }>();
  const verdicts = new Map<string, number>();
  const blocks = new Set<string>();
  let rows = 0;
  const heads = await query(origin, 'SELECT node, max(seq) FROM submits GROUP BY node ORDER BY node');
  for (const [node = '', last = ''] of heads) {
    let expected = 1;
    for (let from = 1; from <= Number(last); from += PIECE) {
      const piece = await query(
        origin,
        `SELECT seq, verdict, hash, difficulty, target, toString(work), account, worker, is_block FROM submits
           WHERE node = ${node} AND seq BETWEEN ${from} AND ${from + PIECE - 1} ORDER BY seq`,
      );
      for (const row of piece) {
        const [seq = '', verdict = '', hash = '', difficulty = '', target = '', hashes = ''] = row;
        const [account = '', worker = '', isBlock = ''] = row.slice(6);
        rows++;
        if (Number(seq) !== expected)
          findings.add('ClickHouse: numbers with a gap or a repetition', `${node}/${seq}`);
        expected = Number(seq) + 1;
        const { code } = verdictByName(verdict as ShareVerdict);
        const user = `${account}.${worker}`;
        const targetLE = target === '' ? NONE : hashFromDisplay(target);
        const inHashes = BigInt(hashes);
        each({
          ...{ seq: Number(seq), verdict: code, user, targetLE, difficulty: Number(difficulty) },
          hash: hash === '' ? NONE : hashFromDisplay(hash),
        });
        const judged = `${node} ${code}`;
        verdicts.set(judged, (verdicts.get(judged) ?? 0) + 1);
        if (isBlock === 'true') blocks.add(hash);
        if (code !== ACCEPTED) continue;
        if (inHashes !== workFromTarget(targetFromBytesLE(targetLE))) {
          findings.add('ClickHouse: work that does not follow from the target', `${node}/${seq}: ${hashes}`);
        }
        const whose = `${node} ${user}`;
        const sum = work.get(whose) ?? { shares: 0, work: 0n };
        work.set(whose, { shares: sum.shares + 1, work: sum.work + inHashes });
      }
    }
  }
  return { work, verdicts, blocks, rows };
}

/** Holds the sums that ClickHouse keeps by minute, hour and day against its rows. */
export async function compareRollups(
  origin: string,
  { verdicts, work }: ClickHouseSums,
  findings: Findings,
): Promise<void> {
  const expected = [...work.values()].reduce((sum, each) => sum + each.work, 0n);
  for (const table of ['submits_1m', 'submits_1h', 'submits_1d']) {
    const what = `ClickHouse: ${table} differs from the rows`;
    const left = new Map(verdicts);
    let accepted = 0n;
    const sums = await query(
      origin,
      `SELECT node, verdict, sum(shares), toString(sum(work)) FROM ${table} GROUP BY node, verdict`,
    );
    for (const [node, verdict, shares = '', hashes = ''] of sums) {
      const { code } = verdictByName(verdict as ShareVerdict);
      const judged = `${node} ${code}`;
      const rows = left.get(judged) ?? 0;
      left.delete(judged);
      if (code === ACCEPTED) accepted += BigInt(hashes);
      if (Number(shares) !== rows)
        findings.add(what, `node ${node}, ${verdict}: ${shares} instead of ${rows}`);
    }
    for (const [judged, rows] of left) findings.add(what, `node and verdict ${judged}: none of ${rows}`);
    if (accepted !== expected) findings.add(what, `${accepted} hashes instead of ${expected}`);
  }
  for (const [node] of await query(origin, 'SELECT node FROM rollup_differences WHERE differs')) {
    findings.add('ClickHouse: its view rollup_differences names a node', `node ${node}`);
  }
}

/** Between the first and the last submit by the pool's own clock, milliseconds. */
export async function timeSpanMs(origin: string): Promise<number> {
  const sql = 'SELECT toUnixTimestamp64Milli(max(ts)) - toUnixTimestamp64Milli(min(ts)) FROM submits';
  return Number((await query(origin, sql))[0]?.[0] ?? 0);
}

async function query(origin: string, sql: string): Promise<string[][]> {
  const response = await fetch(
    `${origin}/?database=pool&query=${encodeURIComponent(`${sql} FORMAT TabSeparated`)}`,
  );
  const text = await response.text();
  if (!response.ok) throw new Error(`ClickHouse: ${text}`);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}
