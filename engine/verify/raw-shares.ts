// The raw shares of ClickHouse, summed as a credit needs them: by plain SQL over the rows themselves, none of the sums
// that the pool keeps. ClickHouse adds up; what comes here is one row for each account and scheme.
import type { ClickHouse } from '../../storage/clickhouse/client.js';
import { IncompleteError } from './verdict.js';

/** Work under one scheme, in hashes, times a factor that is the same for all of a window. */
export interface RawWork {
  account: string;
  /** '' in rows from before it was recorded. */
  scheme: string;
  work: bigint;
}

export interface RawWindow {
  entries: RawWork[];
  /** What `work` of the entries is counted in: hashes times this. */
  factor: bigint;
  /** In hashes: at most what was wanted. */
  work: bigint;
  /** Start of the oldest minute in it, Unix seconds; null when the shares end before the window does. */
  sinceS: number | null;
}

/** The newest shares of a window: of a round and earlier ones, or of each node those below a number. */
export type WindowEnd = { round: bigint } | { cut: readonly { node: number; nextSeq: bigint }[] };

export interface WindowQuestion {
  /** Length in hashes. */
  wanted: bigint;
  end: WindowEnd;
  /** When the block was found, Unix seconds. */
  foundS: number;
  /** Accounts whose shares without a recorded scheme are SOLO. */
  unnamedSolo: readonly string[];
}

const DAY_S = 86_400;
const FIRST_STEP_S = 3600;
const MAX_STEP_S = 32 * DAY_S;
const UNNAMED_MAX = 1000;

/** In a PPLNS window: accepted, before its end, not SOLO. Numbers only, no text of anybody's. */
function inWindow({ end }: WindowQuestion): string {
  const before =
    'round' in end
      ? `round <= ${end.round}`
      : end.cut.map(({ node, nextSeq }) => `(node = ${node} AND seq < ${nextSeq})`).join(' OR ') || 'false';
  return `scheme != 'solo' AND (${before}) AND NOT (scheme = '' AND account IN {solo:Array(String)})`;
}

// Not toDateTime: compared with whole seconds, the engine skips parts whose oldest share came within the last second.
const AT = `ts >= toDateTime64({from:Int64}, 3, 'UTC') AND ts < toDateTime64({until:Int64}, 3, 'UTC')`;

/**
 * The window that ends with a block: newest first by (minute, round); of the (minute, round) on its far edge each
 * share counts by the same fraction.
 */
export async function rawWindow(clickhouse: ClickHouse, question: WindowQuestion): Promise<RawWindow> {
  const { wanted } = question;
  const where = inWindow(question);
  const parameters = { solo: question.unnamedSolo };
  const newest = await newestShare(clickhouse, where, question.foundS, parameters);
  if (newest === null) return { entries: [], factor: 1n, work: 0n, sinceS: null };
  const oldestS = await oldestShare(clickhouse);

  let work = 0n;
  let step = FIRST_STEP_S;
  for (let until = newest - (newest % 60) + 60; until > oldestS; ) {
    const from = until - step;
    const [row] = await clickhouse.rows<{ work: string }>(
      `SELECT toString(sum(toUInt256(work))) AS work FROM shares WHERE ${where} AND ${AT}`,
      { ...parameters, from, until },
    );
    const here = BigInt(row?.work ?? 0);
    if (work + here >= wanted) {
      const edge = await farEdge(clickhouse, where, { ...parameters, from, until }, work, wanted);
      return await windowFrom(clickhouse, where, parameters, wanted, edge);
    }
    work += here;
    until = from;
    step = Math.min(step * 2, MAX_STEP_S);
  }
  const rows = await clickhouse.rows<{ account: string; scheme: string; hashes: string }>(
    `SELECT account, scheme, toString(sum(toUInt256(work))) AS hashes
     FROM shares WHERE ${where} GROUP BY account, scheme`,
    parameters,
  );
  const entries = rows.map(({ account, scheme, hashes }) => ({ account, scheme, work: BigInt(hashes) }));
  return { entries, factor: 1n, work, sinceS: null };
}

/** When the newest share of the window came, Unix seconds. */
async function newestShare(
  clickhouse: ClickHouse,
  where: string,
  foundS: number,
  parameters: Record<string, unknown>,
): Promise<number | null> {
  // All later rows are read whatever the clock did; only when there is none, those before.
  for (const from of [foundS - DAY_S, 0]) {
    const [row] = await clickhouse.rows<{ found: string; newest: string }>(
      `SELECT count() AS found, toUnixTimestamp(max(ts)) AS newest
       FROM shares WHERE ${where} AND ts >= toDateTime64({from:Int64}, 3, 'UTC')`,
      { ...parameters, from },
    );
    if (row !== undefined && Number(row.found) > 0) return Number(row.newest);
  }
  return null;
}

async function oldestShare(clickhouse: ClickHouse): Promise<number> {
  const [row] = await clickhouse.rows<{ oldest: string }>(
    'SELECT toUnixTimestamp(min(ts)) AS oldest FROM submits',
  );
  return Number(row?.oldest ?? 0);
}

interface FarEdge {
  minuteS: number;
  round: number;
  /** Of all shares in that minute of that round, and what of it is in the window. */
  bucket: bigint;
  room: bigint;
}

async function farEdge(
  clickhouse: ClickHouse,
  where: string,
  parameters: Record<string, unknown>,
  newerWork: bigint,
  wanted: bigint,
): Promise<FarEdge> {
  const [row] = await clickhouse.rows<{
    minute: string;
    edge_round: string;
    hashes: string;
    up_to: string;
  }>(
    `SELECT toUnixTimestamp(m) AS minute, r AS edge_round, toString(bucket) AS hashes, toString(reach) AS up_to
     FROM (
       SELECT m, r, bucket, toUInt256({newer:String}) + sum(bucket) OVER (
         ORDER BY m DESC, r DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reach
       FROM (
         SELECT toStartOfMinute(ts) AS m, round AS r, sum(toUInt256(work)) AS bucket
         FROM shares WHERE ${where} AND ${AT} GROUP BY m, r
       )
     )
     WHERE reach >= toUInt256({wanted:String}) ORDER BY reach LIMIT 1`,
    { ...parameters, newer: newerWork.toString(), wanted: wanted.toString() },
  );
  if (row === undefined)
    throw new Error('ClickHouse summed the same shares twice and differently: they change');
  const bucket = BigInt(row.hashes);
  return {
    minuteS: Number(row.minute),
    round: Number(row.edge_round),
    bucket,
    room: bucket - (BigInt(row.up_to) - wanted),
  };
}

async function windowFrom(
  clickhouse: ClickHouse,
  where: string,
  parameters: Record<string, unknown>,
  wanted: bigint,
  { minuteS, round, bucket, room }: FarEdge,
): Promise<RawWindow> {
  const atEdge = `toStartOfMinute(ts) = toDateTime({minute:Int64}) AND round = {edge_round:UInt32}`;
  const inside = `(toStartOfMinute(ts) > toDateTime({minute:Int64}) OR
    (toStartOfMinute(ts) = toDateTime({minute:Int64}) AND round > {edge_round:UInt32}))`;
  const rows = await clickhouse.rows<{ account: string; scheme: string; whole: string; edge: string }>(
    `SELECT account, scheme, toString(sumIf(toUInt256(work), ${inside})) AS whole,
       toString(sumIf(toUInt256(work), ${atEdge})) AS edge
     FROM shares WHERE ${where} AND ts >= toDateTime64({minute:Int64}, 3, 'UTC') AND (${inside} OR ${atEdge})
     GROUP BY account, scheme`,
    { ...parameters, minute: minuteS, edge_round: round },
  );
  const entries = rows.map(({ account, scheme, whole, edge }) => ({
    account,
    scheme,
    work: BigInt(whole) * bucket + BigInt(edge) * room,
  }));
  return { entries, factor: bucket, work: wanted, sinceS: minuteS };
}

/** The row of the share that found a block; null when it is not there. */
export async function rawFinder(
  clickhouse: ClickHouse,
  { node, seq, foundS }: { node: number; seq: bigint; foundS: number },
) {
  const [row] = await clickhouse.rows<{
    account: string;
    scheme: string;
    round: number;
    height: number;
    hash: string;
    network_difficulty: number;
  }>(
    `SELECT account, scheme, round, height, hash, network_difficulty FROM submits
     WHERE node = {node:UInt16} AND seq = {seq:UInt64} AND ${AT}`,
    { node, seq: seq.toString(), from: foundS, until: foundS + 1 },
  );
  return row ?? null;
}

/** Accounts with accepted shares from before schemes were recorded; asked once. */
export class UnnamedShares {
  readonly #clickhouse: ClickHouse;
  #accounts: string[] | null = null;

  constructor(clickhouse: ClickHouse) {
    this.#clickhouse = clickhouse;
  }

  /** Throws IncompleteError when they are too many to be looked at one by one. */
  async accounts(): Promise<readonly string[]> {
    if (this.#accounts !== null) return this.#accounts;
    const rows = await this.#clickhouse.rows<{ account: string }>(
      `SELECT DISTINCT account FROM shares WHERE scheme = '' LIMIT ${UNNAMED_MAX + 1}`,
    );
    if (rows.length > UNNAMED_MAX) {
      throw new IncompleteError(
        `more than ${UNNAMED_MAX} accounts have shares from before schemes were recorded: what they were paid by is not known`,
      );
    }
    this.#accounts = rows.map(({ account }) => account);
    return this.#accounts;
  }
}
