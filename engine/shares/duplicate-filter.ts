// Remembers every accepted header hash for as long as its work can still be credited, so that no proof
// is paid twice. Keyed by the header hash alone: every duplicate exploit known (reliability notes: hex
// case, padding, dropped version bits) came from a key made of text. Sets are kept per job: the coinbase
// of each job is unique, so a hash belongs to one job, and its set dies with the job, never before.
// Bounded: when full it refuses the newcomer instead of forgetting, since forgetting re-opens replay.

const FIRST_CAPACITY = 32;
/** Tables of a job: each doubles by itself, so that no share waits for a million others to be moved. */
const SHARDS = 64;
/** Share of a table that may be filled; beyond it probing gets long. */
const MAX_LOAD = 0.5;
const WORDS = 4;

export type DuplicateResult = 'new' | 'duplicate' | 'full';

/** A table of hashes: open addressing over the low 128 bits of the hash (the high end is zeros). */
class HashSet {
  count = 0;
  #capacity = FIRST_CAPACITY;
  #words = new Uint32Array(FIRST_CAPACITY * WORDS);

  /** Entries the table can take before it must double. */
  get room(): number {
    return Math.floor(this.#capacity * MAX_LOAD) - this.count;
  }

  add(a: number, b: number, c: number, d: number): boolean {
    if (this.room <= 0) this.#grow();
    const at = this.#find(a, b, c, d);
    const words = this.#words;
    if ((words[at] as number) !== 0 || (words[at + 1] as number) !== 0) return false;
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    this.count++;
    return true;
  }

  has(a: number, b: number, c: number, d: number): boolean {
    const at = this.#find(a, b, c, d);
    return (this.#words[at] as number) !== 0 || (this.#words[at + 1] as number) !== 0;
  }

  /** Takes an entry out and closes the gap, so that probing never stops short (Knuth, 6.4, algorithm R). */
  remove(a: number, b: number, c: number, d: number): boolean {
    const words = this.#words;
    const mask = this.#capacity - 1;
    let gap = this.#find(a, b, c, d) / WORDS;
    if (words[gap * WORDS] === 0 && words[gap * WORDS + 1] === 0) return false;
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const first = words[slot * WORDS] as number;
      const second = words[slot * WORDS + 1] as number;
      if (first === 0 && second === 0) break;
      const home = (first ^ (second >>> 7)) & mask;
      // It may move up only if the gap lies between its home and its place.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      words.copyWithin(gap * WORDS, slot * WORDS, (slot + 1) * WORDS);
      gap = slot;
    }
    words.fill(0, gap * WORDS, (gap + 1) * WORDS);
    this.count--;
    return true;
  }

  /** Index of the entry, or of the free place where it belongs. */
  #find(a: number, b: number, c: number, d: number): number {
    const words = this.#words;
    const mask = this.#capacity - 1;
    let slot = (a ^ (b >>> 7)) & mask;
    for (;;) {
      const at = slot * WORDS;
      const first = words[at] as number;
      const second = words[at + 1] as number;
      if (first === 0 && second === 0) return at;
      if (first === a && second === b && words[at + 2] === c && words[at + 3] === d) return at;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#words;
    this.#capacity *= 2;
    this.#words = new Uint32Array(this.#capacity * WORDS);
    for (let at = 0; at < old.length; at += WORDS) {
      const a = old[at] as number;
      const b = old[at + 1] as number;
      if (a === 0 && b === 0) continue;
      const c = old[at + 2] as number;
      const d = old[at + 3] as number;
      this.#words.set([a, b, c, d], this.#find(a, b, c, d));
    }
  }
}

/** Hashes of one job, spread over tables by bits that the tables themselves do not look at. */
class JobHashes {
  readonly #shards: (HashSet | undefined)[] = new Array(SHARDS).fill(undefined);

  get count(): number {
    return this.#shards.reduce((sum, shard) => sum + (shard?.count ?? 0), 0);
  }

  shard(d: number): HashSet {
    const index = d & (SHARDS - 1);
    let shard = this.#shards[index];
    if (shard === undefined) {
      shard = new HashSet();
      this.#shards[index] = shard;
    }
    return shard;
  }
}

export class DuplicateFilter {
  readonly #limit: number;
  readonly #jobs = new Map<number, JobHashes>();
  #count = 0;

  /** `limit`: hashes kept in all, about 32 to 64 bytes each. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Hashes remembered now. */
  get count(): number {
    return this.#count;
  }

  /**
   * Remembers a valid share of job `jobKey`. Call it only for shares that met their target: junk is
   * never stored. `words` at `at`: the header hash as hashed, 8 little-endian words. `always`: remember it
   * even when full (a block, of which there are few).
   */
  add(jobKey: number, words: Uint32Array, at: number, always = false): DuplicateResult {
    let set = this.#jobs.get(jobKey);
    if (set === undefined) {
      set = new JobHashes();
      this.#jobs.set(jobKey, set);
    }
    // An all-zero pair marks a free place; a real hash has one with probability 2^-64.
    const a = words[at] as number;
    const b = words[at + 1] as number;
    const c = words[at + 2] as number;
    const d = words[at + 3] as number;
    const second = b === 0 && a === 0 ? 1 : b;
    if (this.#count >= this.#limit && !always)
      return set.shard(d).has(a, second, c, d) ? 'duplicate' : 'full';
    if (!set.shard(d).add(a, second, c, d)) return 'duplicate';
    this.#count++;
    return 'new';
  }

  /** Takes a hash back out: its share was not stored, it may come again. */
  remove(jobKey: number, words: Uint32Array, at: number): void {
    const a = words[at] as number;
    const b = words[at + 1] as number;
    const second = b === 0 && a === 0 ? 1 : b;
    const c = words[at + 2] as number;
    const d = words[at + 3] as number;
    const removed = this.#jobs.get(jobKey)?.shard(d).remove(a, second, c, d);
    if (removed === true) this.#count--;
  }

  /** The work of `jobKey` can no longer be credited. */
  forgetJob(jobKey: number): void {
    const set = this.#jobs.get(jobKey);
    if (set === undefined) return;
    this.#count -= set.count;
    this.#jobs.delete(jobKey);
  }
}
