// The journal's side of a reconciliation: counts by lane and minute, and the shares of one minute. Reads only.
import { targetFromBytesLE, workFromTarget } from '../../engine/bitcoin/target.js';
import { verdictByCode } from '../../engine/work/verdict.js';
import { type JournalIdentity, SHARE } from '../journal/record.js';
import { type WalkedFrame, type WalkSegment, walkJournal } from '../journal/walk.js';
import { type MinuteCounts, NO_SHARES, SEQ_FACTOR, type StoredShare, sliceKey } from './minutes.js';

const ACCEPTED = 1;
const MINUTE_US = 60_000_000;
const PAGE_SHARES = 20_000;
const KEYS_MAX = 200_000;

export interface JournalMinutes {
  minutes: Map<number, MinuteCounts>;
  /** Segments that hold shares of a minute. */
  segments: Map<number, Set<number>>;
  /** 0 when no share was read. */
  lastSeq: number;
}

/**
 * Counts `segments` of one lane by minute.
 * @param fromS, toS whole minutes, Unix seconds, half-open
 * @param onBytes called with the bytes of each frame read; the loop gives way to others there
 */
export async function countJournal(
  segments: readonly WalkSegment[],
  fromS: number,
  toS: number,
  onBytes: (bytes: number) => Promise<void> | void,
): Promise<JournalMinutes> {
  const found: JournalMinutes = { minutes: new Map(), segments: new Map(), lastSeq: 0 };
  const works = new WorkByTarget();
  const keys = new SliceKeys();
  for (const walked of walkJournal(segments)) {
    for (const record of walked.records) {
      const seq = Number(record.readBigUInt64LE(SHARE.seq));
      const minute = minuteOf(record);
      found.lastSeq = seq;
      if (minute < fromS || minute >= toS) continue;
      let counts = found.minutes.get(minute);
      if (counts === undefined) {
        counts = { ...NO_SHARES };
        found.minutes.set(minute, counts);
        found.segments.set(minute, new Set());
      }
      found.segments.get(minute)?.add(walked.segment);
      counts.lastSeq = seq;
      const row = record.readBigUInt64LE(SHARE.hash) + BigInt(seq) * SEQ_FACTOR;
      counts.rows = BigInt.asUintN(64, (counts.rows ?? 0n) + row);
      const who = walked.known.identities.get(record.readUInt32LE(SHARE.identity));
      const accepted = record[SHARE.verdict] === ACCEPTED;
      const work = accepted ? works.of(record) : 0n;
      if (accepted) {
        counts.accepted++;
        counts.work += work;
      } else if (who === undefined || who.account === '') {
        counts.anonymous = (counts.anonymous ?? 0) + 1;
        continue;
      } else counts.rejected++;
      const key = keys.of(who, record);
      counts.slices = BigInt.asUintN(64, counts.slices + (1n + work) * key);
    }
    await onBytes(walked.frame.end - walked.offset);
  }
  return found;
}

/** The shares of one minute, in the order of their numbers, some thousands at a time. */
export function* journalShares(
  segments: readonly WalkSegment[],
  holding: ReadonlySet<number>,
  minute: number,
): Generator<StoredShare[]> {
  const works = new WorkByTarget();
  let page: StoredShare[] = [];
  for (const wanted of segments.filter(({ number }) => holding.has(number))) {
    // One at a time: the segments between two of them are not read, and no gap is none.
    for (const walked of walkJournal([wanted])) {
      for (const record of walked.records) {
        if (minuteOf(record) === minute) page.push(shareOf(record, walked, works));
      }
      if (page.length >= PAGE_SHARES) {
        yield page;
        page = [];
      }
    }
  }
  if (page.length > 0) yield page;
}

function shareOf(record: Buffer, { known }: WalkedFrame, works: WorkByTarget): StoredShare {
  const who = known.identities.get(record.readUInt32LE(SHARE.identity));
  const hash = record.subarray(SHARE.hash, SHARE.hash + 32);
  return {
    seq: Number(record.readBigUInt64LE(SHARE.seq)),
    verdict: verdictByCode(record[SHARE.verdict] as number).name,
    work: works.of(record),
    account: who?.account ?? '',
    worker: who?.worker ?? '',
    round: record.readUInt32LE(SHARE.round),
    hash: hash.every((byte) => byte === 0) ? '' : Buffer.from(hash).reverse().toString('hex'),
    ms: Math.floor(Number(record.readBigUInt64LE(SHARE.receivedUs)) / 1000),
  };
}

function minuteOf(record: Buffer): number {
  return Math.floor(Number(record.readBigUInt64LE(SHARE.receivedUs)) / MINUTE_US) * 60;
}

/** Keys of slices, by who, verdict and the present round. */
class SliceKeys {
  #round = -1;
  #keys = new Map<JournalIdentity | undefined, Map<number, bigint>>();

  of(who: JournalIdentity | undefined, record: Buffer): bigint {
    const round = record.readUInt32LE(SHARE.round);
    // Rounds grow, identities come anew with every segment: what was is not asked for again.
    if (round !== this.#round || this.#keys.size > KEYS_MAX) this.#keys = new Map();
    this.#round = round;
    let byVerdict = this.#keys.get(who);
    if (byVerdict === undefined) {
      byVerdict = new Map();
      this.#keys.set(who, byVerdict);
    }
    const code = record[SHARE.verdict] as number;
    let key = byVerdict.get(code);
    if (key === undefined) {
      key = sliceKey(who?.account ?? '', who?.worker ?? '', code, round);
      byVerdict.set(code, key);
    }
    return key;
  }
}

/** Division of 256-bit numbers is dear, and most shares have the target of the one before. */
class WorkByTarget {
  #target = Buffer.alloc(32);
  #work = 0n;

  of(record: Buffer): bigint {
    const target = record.subarray(SHARE.target, SHARE.target + 32);
    if (!target.equals(this.#target)) {
      this.#target = Buffer.from(target);
      this.#work = target.every((byte) => byte === 0) ? 0n : workFromTarget(targetFromBytesLE(target));
    }
    return this.#work;
  }
}
