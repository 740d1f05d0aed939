// Raw shares by sequence numbers, as expected-pay credits name them. Rows are kept by time, so the time is searched
// for: backwards from the credit in growing steps, until every number of the ranges has its row.
import type { ClickHouse } from '../../storage/clickhouse/client.js';

/** Numbers [from, to) of a node. */
export interface SeqRange {
  node: number;
  from: bigint;
  to: bigint;
}

export interface PartQuestion {
  ranges: readonly SeqRange[];
  scheme: string;
  /** Accounts whose shares without a recorded scheme are of `scheme`. */
  unnamed: readonly string[];
  height: number;
  /** Of the blocks that were worked on. */
  networkDifficulty: number;
}

const FIRST_STEP_S = 2 * 3600;
/** Between the clocks of pool and Postgres. */
const SKEW_S = 3600;

/** Searches the time of shares; keeps where it found the last ones, for the next are near. */
export class RawRanges {
  readonly #clickhouse: ClickHouse;
  #reachS = FIRST_STEP_S;
  #oldestS: number | null = null;

  constructor(clickhouse: ClickHouse) {
    this.#clickhouse = clickhouse;
  }

  /**
   * Accepted work by account of the shares that `question` means, in hashes. `missing`: how many rows of the ranges
   * are not there, of any verdict; below 0 when there are too many.
   */
  async work(
    question: PartQuestion,
    postedS: number,
  ): Promise<{ work: Map<string, bigint>; missing: bigint }> {
    this.#oldestS ??= await this.#oldest();
    const numbers = question.ranges.reduce((sum, { from, to }) => sum + to - from, 0n);
    let when = `ts >= toDateTime64({since:Int64}, 3, 'UTC') AND ts < toDateTime64({until:Int64}, 3, 'UTC')`;
    let missing = numbers;
    for (let reachS = this.#reachS; ; reachS *= 4) {
      const sinceS = postedS - reachS;
      // A clock may have been set meanwhile: the last time without regard to it.
      const isLast = sinceS < this.#oldestS;
      if (isLast) when = 'true';
      const parameters = { since: sinceS, until: postedS + SKEW_S };
      missing = numbers - (await this.#count(question.ranges, when, parameters));
      if (missing === 0n && !isLast) this.#reachS = reachS;
      if (missing <= 0n || isLast) return { work: await this.#sum(question, when, parameters), missing };
    }
  }

  async #count(ranges: readonly SeqRange[], when: string, parameters: Record<string, unknown>) {
    const [row] = await this.#clickhouse.rows<{ rows: string }>(
      `SELECT count() AS rows FROM submits WHERE ${when} AND ${inRanges(ranges)}`,
      parameters,
    );
    return BigInt(row?.rows ?? 0);
  }

  async #sum(question: PartQuestion, when: string, parameters: Record<string, unknown>) {
    const rows = await this.#clickhouse.rows<{ account: string; hashes: string }>(
      `SELECT account, toString(sum(toUInt256(work))) AS hashes FROM shares
       WHERE ${when} AND ${inRanges(question.ranges)} AND height = {height:UInt32}
         AND (scheme = {scheme:String} OR (scheme = '' AND account IN {unnamed:Array(String)}))
         AND abs(network_difficulty - {difficulty:Float64}) <= 1e-9 * {difficulty:Float64}
       GROUP BY account`,
      {
        ...parameters,
        height: question.height,
        scheme: question.scheme,
        unnamed: question.unnamed,
        difficulty: question.networkDifficulty,
      },
    );
    return new Map(rows.map(({ account, hashes }) => [account, BigInt(hashes)]));
  }

  async #oldest(): Promise<number> {
    const [row] = await this.#clickhouse.rows<{ oldest: string }>(
      'SELECT toUnixTimestamp(min(ts)) AS oldest FROM submits',
    );
    return Number(row?.oldest ?? 0);
  }
}

/** Numbers only, no text of anybody's: safe inside a statement. */
function inRanges(ranges: readonly SeqRange[]): string {
  const each = ranges.map(({ node, from, to }) => `(node = ${node} AND seq >= ${from} AND seq < ${to})`);
  return `(${each.join(' OR ')})`;
}
