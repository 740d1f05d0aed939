// Reads a journal for a store that is behind: sealed batches that wait are joined into one. An insert costs ClickHouse
// about 0.1 s of CPU and a booking some round trips, whatever their size. A store that keeps up gets each batch alone.
import type { JournalBatch, JournalPosition } from '../journal/batch.js';
import { JournalReader } from '../journal/reader.js';

/**
 * A joined batch holds no more shares than this: 24 MB of records. At 140,000 a share costs ClickHouse less than half of
 * what it does at 20,000; more wins little.
 */
export const JOIN_SHARES_MAX = 150_000;

export interface JoinedBatch {
  batch: JournalBatch;
  /** False: it is one batch as the journal sealed it. */
  joined: boolean;
}

export class JoinedReader {
  readonly #reader: JournalReader;
  /** Read, and no part of the batch before it. */
  #ahead: JournalBatch | null = null;

  /** `position`: `next` of the last batch that was consumed, or null to start at the oldest segment. */
  constructor(folder: string, position: JournalPosition | null) {
    this.#reader = new JournalReader(folder, position);
  }

  /**
   * What is sealed and not read yet, of one segment, or null. The disk has it when this returns.
   * @param joinUpTo last number that a batch which begins with `first` may hold. A number above its own is a cut that
   *   was made before: it is made again, at any size. Infinity: whatever waits.
   * @throws JournalCorruptError once all before the damage was returned
   */
  next(joinUpTo: (first: JournalBatch) => number): JoinedBatch | null {
    const first = this.#read();
    if (first === null) return null;
    const upTo = joinUpTo(first);
    const parts = [first];
    let last = first;
    let shares = first.shares;
    while (last.lastSeq < upTo) {
      const more = this.#readBehind(upTo);
      if (more === null) break;
      const isLarge = upTo === Number.POSITIVE_INFINITY && shares + more.shares > JOIN_SHARES_MAX;
      if (isLarge || more.lastSeq > upTo || !follows(last, more)) {
        this.#ahead = more;
        break;
      }
      parts.push(more);
      last = more;
      shares += more.shares;
    }
    return parts.length === 1 ? { batch: first, joined: false } : { batch: join(parts), joined: true };
  }

  /** True when the last `next` found the journal read to its very end. */
  get atEnd(): boolean {
    return this.#ahead === null && this.#reader.atEnd;
  }

  close(): void {
    this.#reader.close();
  }

  #read(): JournalBatch | null {
    const ahead = this.#ahead;
    if (ahead !== null) {
      this.#ahead = null;
      return ahead;
    }
    const batch = this.#reader.next();
    // Now: the reader may leave its segment with the next batch.
    if (batch !== null) this.#reader.sync();
    return batch;
  }

  /** Damage behind a batch is found again by the next read. A cut that was made before needs all of it. */
  #readBehind(upTo: number): JournalBatch | null {
    try {
      return this.#read();
    } catch (error) {
      if (upTo === Number.POSITIVE_INFINITY) return null;
      throw error;
    }
  }
}

/** In another segment the numbers of identities and jobs mean others. */
function follows(last: JournalBatch, more: JournalBatch): boolean {
  return (
    more.identities === last.identities && more.nodeId === last.nodeId && more.firstSeq === last.lastSeq + 1
  );
}

function join(parts: readonly JournalBatch[]): JournalBatch {
  const [first, last] = [parts[0] as JournalBatch, parts.at(-1) as JournalBatch];
  return {
    ...last,
    firstSeq: first.firstSeq,
    shares: last.lastSeq - first.firstSeq + 1,
    records: Buffer.concat(parts.map(({ records }) => records)),
    token: `${first.nodeId}-${first.firstSeq}-${last.lastSeq}`,
  };
}
