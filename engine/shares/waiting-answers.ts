// Answers side by side, and those of JOURNAL_DURABILITY=power that wait until the disk has their shares. Used by
// the share path alone. What waits is bounded by the shares that sockets may have in flight (back-pressure.ts).
import type { CommitWaiter } from '../../storage/journal/power-writer.js';
import type { JournalWriteError } from '../../storage/journal/writer.js';
import { type VerdictFacts, verdictByName } from '../work/verdict.js';
import type { DuplicateFilter } from './duplicate-filter.js';
import type { ShareOwner } from './submission.js';

const ACCEPTED = verdictByName('accepted');
const STORAGE_FAILED = verdictByName('storage_failed');
const HASH_WORDS = 8;

/** Answers of one turn, given together. */
export class Answers {
  readonly owners: ShareOwner[] = [];
  readonly ids: string[] = [];
  readonly verdicts: VerdictFacts[] = [];
  readonly difficulties: number[] = [];

  get count(): number {
    return this.owners.length;
  }

  add(owner: ShareOwner, requestId: string, verdict: VerdictFacts, difficulty: number): void {
    this.owners.push(owner);
    this.ids.push(requestId);
    this.verdicts.push(verdict);
    this.difficulties.push(difficulty);
  }

  /** Their shares were not stored: none is credited. */
  refuseAccepted(): void {
    for (let i = 0; i < this.verdicts.length; i++) {
      if (this.verdicts[i] === ACCEPTED) this.verdicts[i] = STORAGE_FAILED;
    }
  }

  clear(): void {
    this.owners.length = 0;
    this.ids.length = 0;
    this.verdicts.length = 0;
    this.difficulties.length = 0;
  }
}

/** Answers that are given when commit number `commit` is on the disk. */
interface Group {
  commit: number;
  answers: Answers;
  /** What entered the duplicate filter with them: job keys, and 8 words of hash for each. */
  jobKeys: number[];
  hashes: number[];
}

export interface WaitingAnswersOptions {
  filter: DuplicateFilter;
  give: (answers: Answers) => void;
  /** After some were given. */
  onReleased: () => void;
  /** Shares were refused; or (null) some were stored. */
  onJournal: (error: JournalWriteError | null) => void;
}

export class WaitingAnswers implements CommitWaiter {
  /** Shares that wait. */
  count = 0;
  readonly #options: WaitingAnswersOptions;
  #groups: Group[] = [];
  #durable = 0;

  constructor(options: WaitingAnswersOptions) {
    this.#options = options;
  }

  /** Keeps `answers` until the disk has commit `commit`, and behind all that were added before. */
  add(commit: number, answers: Answers): void {
    this.#groups.push({ commit, answers, jobKeys: [], hashes: [] });
    this.count += answers.count;
  }

  /** A hash of the group added last that may come again when its share is not stored: 8 words at `at`. */
  remember(jobKey: number, words: Uint32Array, at: number): void {
    const group = this.#groups[this.#groups.length - 1] as Group;
    group.jobKeys.push(jobKey);
    for (let i = 0; i < HASH_WORDS; i++) group.hashes.push(words[at + i] as number);
  }

  durable(commit: number): void {
    this.#durable = commit;
    this.#options.onJournal(null);
    this.#release();
  }

  undone(commit: number, error: JournalWriteError): void {
    this.#options.onJournal(error);
    for (const group of this.#groups) {
      if (group.commit <= commit) continue;
      group.commit = commit;
      group.answers.refuseAccepted();
      const hashes = Uint32Array.from(group.hashes);
      for (const [index, jobKey] of group.jobKeys.entries()) {
        this.#options.filter.remove(jobKey, hashes, index * HASH_WORDS);
      }
      group.jobKeys = [];
    }
    this.#release();
  }

  #release(): void {
    const waits = this.#groups.findIndex(({ commit }) => commit > this.#durable);
    const released = this.#groups.splice(0, waits < 0 ? this.#groups.length : waits);
    if (released.length === 0) return;
    for (const { answers } of released) {
      this.count -= answers.count;
      this.#options.give(answers);
    }
    this.#options.onReleased();
  }
}
