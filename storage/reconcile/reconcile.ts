// Answered = ClickHouse = Postgres: counts every lane's shares minute by minute in its journal and in both stores.
// Called by `millrace reconcile`; explain.ts then names the shares of a minute that differs. Reads only, also beside
// a running pool: the journal first, then how far the stores are, then the stores, so that what arrives meanwhile is
// never taken for a difference.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouse } from '../clickhouse/client.js';
import type { JournalLane } from '../journal/lanes.js';
import { SHARE } from '../journal/record.js';
import { segmentsOf, type WalkSegment, walkJournal } from '../journal/walk.js';
import type { Database } from '../postgres/connection.js';
import { CLICKHOUSE_CURSOR_FILE } from '../shipper/clickhouse-sink.js';
import { readCursor } from '../shipper/cursor-file.js';
import { countClickHouse, lastBefore, nextSeqOf } from './clickhouse-side.js';
import { countJournal } from './journal-side.js';
import { type ComparedMinute, compareMinute, type MinuteCounts, NO_SHARES } from './minutes.js';
import { bookedUpTo, countPostgres } from './postgres-side.js';

/** Of the stores' minutes, so many are asked for at once. */
const WINDOW_S = 3600;
/** A share is in the journal so long after its receipt, or never. */
const LATE_MS = 60_000;

export interface ReconcileInput {
  lanes: readonly JournalLane[];
  clickhouse: ClickHouse;
  database: Database;
  /** Whole minutes, Unix seconds, half-open. */
  fromS: number;
  toS: number;
  /** Wall clock. */
  nowMs: number;
  /** Told how much is done, 0 to 1, and what it is at. */
  onProgress: (part: number, what: string) => void;
}

/** A lane's journal, as far as it was read. */
export interface LaneJournal {
  segments: readonly WalkSegment[];
  /** Segments that hold shares of a minute. */
  holding: ReadonlyMap<number, ReadonlySet<number>>;
}

export interface Reconciliation {
  /** Each minute of each lane that any store has, by lane, then time. */
  minutes: ComparedMinute[];
  journals: ReadonlyMap<number, LaneJournal>;
}

interface CountedLane extends LaneJournal {
  minutes: ReadonlyMap<number, MinuteCounts>;
  /** Minutes before it are no longer all in the journal, Unix seconds. */
  coveredFrom: number;
  lastSeq: number;
  clickhouseNextSeq: number;
}

/** @throws JournalFault for a damaged journal, and on errors of the stores */
export async function reconcileStores(input: ReconcileInput): Promise<Reconciliation> {
  const { clickhouse, database, fromS, toS, nowMs, onProgress } = input;
  const lanes = await countLanes(input);
  const booked = await bookedUpTo(database);
  const minutes: ComparedMinute[] = [];
  const openFrom = Math.floor((nowMs - LATE_MS) / 60_000) * 60;
  for (let windowS = fromS; windowS < toS; windowS += WINDOW_S) {
    onProgress(0.5 + (0.5 * (windowS - fromS)) / (toS - fromS), 'the stores');
    const endS = Math.min(windowS + WINDOW_S, toS);
    const inClickHouse = await countClickHouse(clickhouse, windowS, endS);
    const inPostgres = await countPostgres(database, windowS, endS);
    const nodes = new Set([...lanes.keys(), ...inClickHouse.keys(), ...inPostgres.keys()]);
    for (const node of nodes) {
      const lane = lanes.get(node);
      const inJournal = [...(lane?.minutes.keys() ?? [])].filter((s) => s >= windowS && s < endS);
      const seen = [...(inClickHouse.get(node)?.keys() ?? []), ...(inPostgres.get(node)?.keys() ?? [])];
      for (const minute of new Set([...inJournal, ...seen])) {
        const covered = lane !== undefined && minute >= lane.coveredFrom;
        const counts = {
          journal: covered ? (lane.minutes.get(minute) ?? NO_SHARES) : null,
          clickhouse: inClickHouse.get(node)?.get(minute) ?? NO_SHARES,
          postgres: inPostgres.get(node)?.get(minute) ?? { ...NO_SHARES, anonymous: null, rows: null },
        };
        minutes.push(
          compareMinute(node, minute, counts, {
            openFrom,
            journalLastSeq: lane?.lastSeq ?? 0,
            // Without a journal nothing is on its way.
            clickhouseNextSeq: lane?.clickhouseNextSeq ?? Number.POSITIVE_INFINITY,
            postgresNextSeq: lane === undefined ? Number.POSITIVE_INFINITY : (booked.get(node) ?? 0),
          }),
        );
      }
    }
  }
  minutes.sort((a, b) => a.node - b.node || a.minute - b.minute);
  return { minutes, journals: lanes };
}

async function countLanes(input: ReconcileInput): Promise<Map<number, CountedLane>> {
  const { lanes, clickhouse, fromS, toS, onProgress } = input;
  const journals = lanes.map(({ nodeId, journalFolder }) => {
    const all = segmentsOf(journalFolder);
    return { nodeId, journalFolder, all, segments: writtenSince(all, fromS * 1000) };
  });
  const bytes = journals.flatMap(({ segments }) => segments).reduce((sum, segment) => sum + segment.bytes, 0);
  let read = 0;
  const counted = new Map<number, CountedLane>();
  for (const { nodeId, journalFolder, all, segments } of journals) {
    const found = await countJournal(segments, fromS, toS, (frame) => {
      read += frame;
      onProgress((0.5 * read) / bytes, `the journal of node ${nodeId}`);
    });
    const cursor = readCursor(join(journalFolder, CLICKHOUSE_CURSOR_FILE));
    counted.set(nodeId, {
      segments,
      holding: found.segments,
      minutes: found.minutes,
      coveredFrom: await coveredFrom(clickhouse, nodeId, all),
      lastSeq: found.lastSeq,
      clickhouseNextSeq: cursor?.nextSeq ?? (await nextSeqOf(clickhouse, nodeId)),
    });
  }
  return counted;
}

/** Segments from the first on that was still written at `ms`: earlier ones hold nothing that came later. */
function writtenSince(segments: readonly WalkSegment[], ms: number): WalkSegment[] {
  const first = segments.findIndex(({ file }) => existsSync(file) && statSync(file).mtimeMs >= ms);
  return first < 0 ? [] : segments.slice(first);
}

/** The first minute, Unix seconds, of which no share can have been in a segment that is gone. */
async function coveredFrom(
  clickhouse: ClickHouse,
  node: number,
  segments: readonly WalkSegment[],
): Promise<number> {
  for (const { records } of walkJournal(segments)) {
    const [first] = records;
    if (first === undefined) continue;
    const seq = Number(first.readBigUInt64LE(SHARE.seq));
    if (seq <= 1) return 0;
    // Clocks may be set back: an earlier share can carry a later time.
    const firstMs = Number(first.readBigUInt64LE(SHARE.receivedUs)) / 1000;
    const lastMs = Math.max(firstMs, await lastBefore(clickhouse, node, seq));
    return Math.floor(lastMs / 60_000) * 60 + 60;
  }
  return Number.POSITIVE_INFINITY;
}
