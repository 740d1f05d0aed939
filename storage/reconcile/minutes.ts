// What is compared: the shares of one lane in one minute, as each of the three stores counts them. Pure.

import { createHash } from 'node:crypto';

const ACCEPTED = 1;

/** One lane's minute in one store. */
export interface MinuteCounts {
  /** Accepted shares, and their work in hashes, exact. */
  accepted: number;
  work: bigint;
  /** Refused submits of known accounts. Postgres books no others by minute. */
  rejected: number;
  /** All other refused submits; null where the store does not know. */
  anonymous: number | null;
  /**
   * Sum of (1 + work) x sliceKey over all shares of known accounts, modulo 2^64: one share too few here and one too
   * many there cancel out in the counts, and not in it.
   */
  slices: bigint;
  /** Sum of rowKey over all submits, modulo 2^64; null where there are no rows. */
  rows: bigint | null;
  /** Highest sequence number; 0 when not known. */
  lastSeq: number;
}

export const NO_SHARES: MinuteCounts = {
  ...{ accepted: 0, work: 0n, rejected: 0, anonymous: 0, slices: 0n, rows: 0n, lastSeq: 0 },
};

/** 2^64 / golden ratio, odd: neighbours in sequence get numbers far apart. */
export const SEQ_FACTOR = 0x9e3779b97f4a7c15n;

/**
 * Number of a slice: the first 8 bytes of an MD5, big-endian, odd. Both stores compute the same in SQL.
 * @param code of engine/work/verdict.ts
 */
export function sliceKey(account: string, worker: string, code: number, round: number): bigint {
  const text = `${account}\n${worker}\n${code}\n${code === ACCEPTED ? round : ''}`;
  return createHash('md5').update(text, 'utf8').digest().readBigUInt64BE(0) | 1n;
}

export type StoreName = 'journal' | 'clickhouse' | 'postgres';

/** `equal`, or what keeps it from being so. `pending`: a store has not come so far yet. */
export type MinuteState = 'equal' | 'different' | 'pending';

export interface ComparedMinute {
  node: number;
  /** Unix seconds, a whole minute. */
  minute: number;
  state: MinuteState;
  /** Stores that differ from the first one that has the minute: the journal, or ClickHouse where that is gone. */
  differing: StoreName[];
  /** Stores that have not come so far. */
  pending: StoreName[];
  /** Null: its segments are gone. */
  journal: MinuteCounts | null;
  clickhouse: MinuteCounts;
  postgres: MinuteCounts;
}

/** How far each store has come with a lane, read before its counts. */
export interface Reach {
  /** Sequence number of the next share that the store will get. */
  clickhouseNextSeq: number;
  postgresNextSeq: number;
  /** Highest sequence number that the journal held when it was read. */
  journalLastSeq: number;
  /** Minutes from here on, Unix seconds, may still grow while they are read. */
  openFrom: number;
}

export function compareMinute(
  node: number,
  minute: number,
  counts: Pick<ComparedMinute, 'journal' | 'clickhouse' | 'postgres'>,
  reach: Reach,
): ComparedMinute {
  const { journal, clickhouse, postgres } = counts;
  const pending: StoreName[] = [];
  if (minute >= reach.openFrom) pending.push('journal');
  // What a store holds beyond the end of the journal as it was read came in the meantime.
  if (journal !== null && Math.max(clickhouse.lastSeq, postgres.lastSeq) > reach.journalLastSeq) {
    pending.push('journal');
  }
  const lastSeq = journal?.lastSeq ?? Math.max(clickhouse.lastSeq, postgres.lastSeq);
  if (lastSeq >= reach.clickhouseNextSeq) pending.push('clickhouse');
  if (lastSeq >= reach.postgresNextSeq) pending.push('postgres');
  const base = journal ?? clickhouse;
  const differing: StoreName[] = [];
  if (journal !== null && !same(base, clickhouse)) differing.push('clickhouse');
  if (!same(base, postgres)) differing.push('postgres');
  const settled = differing.filter((store) => !pending.includes(store));
  const state =
    differing.length === 0
      ? 'equal'
      : // Nothing can be said while what the others are compared with is not complete itself.
        pending.includes(journal === null ? 'clickhouse' : 'journal') ||
          pending.includes('journal') ||
          settled.length === 0
        ? 'pending'
        : 'different';
  return { node, minute, state, differing: settled, pending: [...new Set(pending)], ...counts };
}

function same(a: MinuteCounts, b: MinuteCounts): boolean {
  return (
    a.accepted === b.accepted &&
    a.work === b.work &&
    a.rejected === b.rejected &&
    a.slices === b.slices &&
    sameWhereKnown(a.anonymous, b.anonymous) &&
    sameWhereKnown(a.rows, b.rows)
  );
}

function sameWhereKnown<T>(a: T | null, b: T | null): boolean {
  return a === null || b === null || a === b;
}

/** One share as a store has it. */
export interface StoredShare {
  seq: number;
  /** Name in engine/work/verdict.ts. */
  verdict: string;
  /** Hashes. */
  work: bigint;
  account: string;
  worker: string;
  round: number;
  /** Display order hex; '' when it never reached hashing. */
  hash: string;
  /** Received, Unix milliseconds. */
  ms: number;
}

/** One difference, share by share where that can be told. */
export interface Difference {
  node: number;
  minute: number;
  /** The store that is wrong, or that lacks it. */
  store: StoreName;
  kind: 'missing' | 'doubled' | 'different' | 'unknown';
  /** Shares it is about: one, or the ones that it can be. */
  seqs: number[];
  /** In words: what is where. */
  detail: string;
}
