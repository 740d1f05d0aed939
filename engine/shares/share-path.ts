// The share path: submitted record -> validation in place -> duplicate filter -> block check -> journal
// -> answer. Runs on the connection thread, once per event-loop turn for all shares of that turn. Knows
// no protocol: an owner (a session) hands shares in and is told each verdict after it is in the journal.
// Order of things: DESIGN.md, "the journey of a share".

import { PowerJournalWriter } from '../../storage/journal/power-writer.js';
import { SHARE } from '../../storage/journal/record.js';
import { JournalWriteError, type JournalWriter } from '../../storage/journal/writer.js';
import {
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  RESULT_REFUSED,
  SHARE_SLOT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
} from '../../wasm/slots.js';
import { VERDICTS, type VerdictFacts, verdictByName } from '../work/verdict.js';
import type { DuplicateFilter } from './duplicate-filter.js';
import { Pacing } from './pacing.js';
import { fillShareRecord } from './share-record.js';
import type { BlockCandidate, Refusal, ShareJob, ShareOwner, ShareTarget, Submission } from './submission.js';
import type { ValidationPool } from './validation-pool.js';
import { Answers, WaitingAnswers } from './waiting-answers.js';

export interface SharePathOptions {
  memory: WebAssembly.Memory;
  pool: ValidationPool;
  filter: DuplicateFilter;
  journal: JournalWriter;
  /** Wall clock microseconds. */
  nowUs: () => number;
  onCandidate: (candidate: BlockCandidate) => void;
  /** The journal refused (disk full or failing), or takes frames again. */
  onJournal: (error: JournalWriteError | null) => void;
  /** Something that only a fault of ours explains; for the log. */
  onFault: (message: string) => void;
  /** Once per turn, after the answers of the batch were handed to their owners. */
  onSettled: () => void;
}

const ACCEPTED = verdictByName('accepted');
const STALE = verdictByName('stale');
const LOW = verdictByName('low_difficulty');
const MALFORMED = verdictByName('malformed');
const DUPLICATE = verdictByName('duplicate');
const FILTER_FULL = verdictByName('filter_full');
const VERDICT_CODE_MAX = Math.max(...VERDICTS.map((verdict) => verdict.code));

/** While shares flow results are fetched in passing; this is for the last ones, after which nothing came. */
const FETCH_WITHIN_MS = 1;
const SLOT_WORDS = SHARE_SLOT_BYTES / 4;
const HASH_BYTES = 32;

export class SharePath {
  /** Answers given, by verdict code, this run. */
  readonly counts = new Float64Array(VERDICT_CODE_MAX + 1);
  /** Sum of credited difficulty this run, of its squares (for the confidence band), and the largest. */
  acceptedDifficulty = 0;
  acceptedSquares = 0;
  heaviestDifficulty = 0;

  readonly #options: SharePathOptions;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** Facts of the share in each slot that hashing does not need. */
  readonly #owners: (ShareOwner | null)[] = new Array(SHARE_SLOTS).fill(null);
  readonly #requestIds: string[] = new Array(SHARE_SLOTS).fill('');
  readonly #jobs: (ShareJob | null)[] = new Array(SHARE_SLOTS).fill(null);
  readonly #targets: (ShareTarget | null)[] = new Array(SHARE_SLOTS).fill(null);
  readonly #identities = new Uint32Array(SHARE_SLOTS);
  readonly #extranonce1Bytes = new Uint8Array(SHARE_SLOTS);
  readonly #stale = new Uint8Array(SHARE_SLOTS);
  readonly #receivedUs = new Float64Array(SHARE_SLOTS);
  #refusals: Refusal[] = [];
  /** Wall clock at the time of the present turn, microseconds. */
  #turnUs = 0;
  #scheduled = false;
  readonly #pacing = new Pacing();
  #fetchTimer: NodeJS.Timeout | null = null;
  #journalDown = false;
  /** Settled in this turn, side by side: answered together, after the commit. */
  #answers = new Answers();
  /** Committed, and not on the disk yet; null where a commit is enough to answer. */
  readonly #waiting: WaitingAnswers | null = null;
  /** Slots whose hash entered the duplicate filter in this turn. */
  readonly #remembered: number[] = [];

  constructor(options: SharePathOptions) {
    this.#options = options;
    this.#bytes = new Uint8Array(options.memory.buffer);
    this.#words = new Uint32Array(options.memory.buffer);
    const { journal, filter } = options;
    if (journal instanceof PowerJournalWriter) {
      this.#waiting = new WaitingAnswers({
        filter,
        give: (answers) => this.#giveAnswers(answers),
        onReleased: options.onSettled,
        onJournal: (error) => this.#reportJournal(error),
      });
      journal.tell(this.#waiting);
    }
  }

  /** Takes a share that passed the cheap checks. False: every ring is full, stop reading and try again. */
  submit(submission: Submission): boolean {
    const slot = this.#options.pool.nextSlot();
    if (slot < 0) {
      this.#schedule();
      return false;
    }
    const at = SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES;
    const word = at / 4;
    const words = this.#words;
    const first = submission.extranonce1.length;
    words[word + SHARE_SLOT.jobSlot / 4] = submission.job.slot;
    words[word + SHARE_SLOT.result / 4] = 0;
    words[word + SHARE_SLOT.ntime / 4] = submission.ntime;
    words[word + SHARE_SLOT.nonce / 4] = submission.nonce;
    words[word + SHARE_SLOT.version / 4] = submission.version;
    words[word + SHARE_SLOT.extranonceBytes / 4] = first + submission.extranonce2.length;
    this.#bytes.set(submission.extranonce1, at + SHARE_SLOT.extranonce);
    this.#bytes.set(submission.extranonce2, at + SHARE_SLOT.extranonce + first);
    this.#bytes.set(submission.target.targetLE, at + SHARE_SLOT.target);
    submission.job.inFlight++;
    this.#owners[slot] = submission.owner;
    this.#requestIds[slot] = submission.requestId;
    this.#jobs[slot] = submission.job;
    this.#targets[slot] = submission.target;
    this.#identities[slot] = submission.identity;
    this.#extranonce1Bytes[slot] = first;
    this.#stale[slot] = submission.stale ? 1 : 0;
    this.#receivedUs[slot] = submission.receivedUs;
    this.#schedule();
    return true;
  }

  /** Takes a submit that is already refused; it is journaled and answered with its batch. */
  refuse(refusal: Refusal): void {
    this.#refusals.push(refusal);
    this.#schedule();
  }

  /** Results may be ready: settles them now. */
  drain(): void {
    this.#turn();
  }

  /** True while the journal does not take shares. */
  get journalDown(): boolean {
    return this.#journalDown;
  }

  /** Shares taken and not answered yet. */
  get outstanding(): number {
    return this.#options.pool.outstanding + this.#refusals.length + (this.#waiting?.count ?? 0);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    const { pool, journal } = this.#options;
    this.#turnUs = this.#options.nowUs();
    if (this.#scheduled) this.#pacing.sharesCame(this.#turnUs);
    this.#scheduled = false;
    const flowing = this.#pacing.flowing;
    if (this.#pacing.holdsBack(pool.collecting)) this.#schedule();
    else pool.flush(flowing);
    pool.drain(this.#settle);
    for (const refusal of this.#refusals) this.#journalRefusal(refusal);
    this.#refusals = [];
    if (this.#answers.count > 0) {
      if (this.#waiting === null) this.#commitAndAnswer();
      else this.#commitAndWait(journal as PowerJournalWriter, this.#waiting);
    }
    if (!flowing) pool.armDoorbell();
    else if (this.#fetchTimer === null && pool.outstanding > 0) {
      this.#fetchTimer = setTimeout(this.#fetch, FETCH_WITHIN_MS);
    }
  };

  #commitAndAnswer(): void {
    const answers = this.#answers;
    try {
      this.#options.journal.commit();
      if (this.#journalDown) this.#reportJournal(null);
    } catch (error) {
      if (!(error instanceof JournalWriteError)) throw error;
      this.#reportJournal(error);
      // Nothing of this batch was stored: not one share of it is credited.
      answers.refuseAccepted();
      this.#forgetRemembered();
    }
    this.#remembered.length = 0;
    this.#giveAnswers(answers);
    answers.clear();
    this.#options.onSettled();
  }

  /** Answered when the disk has them: their slots are used again long before. */
  #commitAndWait(journal: PowerJournalWriter, waiting: WaitingAnswers): void {
    waiting.add(journal.nextCommit, this.#answers);
    for (const slot of this.#remembered) {
      const word = SHARE_SLOTS_OFFSET / 4 + slot * SLOT_WORDS;
      const result = this.#words[word + SHARE_SLOT.result / 4] as number;
      // Blocks went to the node: they are not forgotten.
      if ((result & RESULT_MEETS_NETWORK) !== 0) continue;
      waiting.remember((this.#jobs[slot] as ShareJob).key, this.#words, word + SHARE_SLOT.hash / 4);
    }
    this.#remembered.length = 0;
    this.#answers = new Answers();
    try {
      journal.commit();
    } catch (error) {
      // Those who wait were told.
      if (!(error instanceof JournalWriteError)) throw error;
    }
  }

  readonly #fetch = (): void => {
    this.#fetchTimer = null;
    this.#turn();
  };

  #giveAnswers({ owners, ids, verdicts, difficulties }: Answers): void {
    for (let i = 0; i < owners.length; i++) {
      const verdict = verdicts[i] as VerdictFacts;
      const difficulty = difficulties[i] as number;
      this.counts[verdict.code] = (this.counts[verdict.code] as number) + 1;
      if (verdict === ACCEPTED) {
        this.acceptedDifficulty += difficulty;
        this.acceptedSquares += difficulty * difficulty;
        if (difficulty > this.heaviestDifficulty) this.heaviestDifficulty = difficulty;
      }
      (owners[i] as ShareOwner).settle(ids[i] as string, verdict, difficulty);
    }
  }

  readonly #settle = (slot: number): void => {
    const owner = this.#owners[slot] as ShareOwner;
    const job = this.#jobs[slot] as ShareJob;
    const target = this.#targets[slot] as ShareTarget;
    this.#owners[slot] = null;
    job.inFlight--;
    const word = SHARE_SLOTS_OFFSET / 4 + slot * SLOT_WORDS;
    const result = this.#words[word + SHARE_SLOT.result / 4] as number;
    const hashWord = word + SHARE_SLOT.hash / 4;
    const meetsNetwork = (result & RESULT_MEETS_NETWORK) !== 0;
    let verdict: VerdictFacts = LOW;
    let block = false;
    if ((result & RESULT_MEETS_SHARE) !== 0 || meetsNetwork) {
      verdict = this.#stale[slot] === 1 ? STALE : ACCEPTED;
      // A stale share can still be a block, and a block found once is submitted once.
      if (verdict === ACCEPTED || meetsNetwork) {
        const seen = this.#options.filter.add(job.key, this.#words, hashWord, meetsNetwork);
        if (seen === 'duplicate') verdict = DUPLICATE;
        else if (seen === 'full') verdict = FILTER_FULL;
        else this.#remembered.push(slot);
        block = meetsNetwork && seen === 'new';
      }
    } else if ((result & RESULT_REFUSED) !== 0) {
      verdict = MALFORMED;
      // What gets here has passed the checks of session and board: they and the kernel disagree.
      this.#options.onFault(`the kernel refuses a share of job slot ${job.slot}: please report this`);
    }
    if (block) this.#announceBlock(slot, owner, job, word);
    this.#journalShare(slot, owner, job, target, verdict, block, word);
    this.#answers.add(owner, this.#requestIds[slot] as string, verdict, target.difficulty);
  };

  /** The journal did not take them, so they may be sent again. Blocks went to the node: they may not. */
  #forgetRemembered(): void {
    for (const slot of this.#remembered) {
      const word = SHARE_SLOTS_OFFSET / 4 + slot * SLOT_WORDS;
      const result = this.#words[word + SHARE_SLOT.result / 4] as number;
      const job = this.#jobs[slot] as ShareJob;
      if ((result & RESULT_MEETS_NETWORK) !== 0) continue;
      this.#options.filter.remove(job.key, this.#words, word + SHARE_SLOT.hash / 4);
    }
  }

  #announceBlock(slot: number, owner: ShareOwner, job: ShareJob, word: number): void {
    const words = this.#words;
    const extranonceAt = word * 4 + SHARE_SLOT.extranonce;
    const first = this.#extranonce1Bytes[slot] as number;
    const all = words[word + SHARE_SLOT.extranonceBytes / 4] as number;
    const hashAt = word * 4 + SHARE_SLOT.hash;
    this.#options.onCandidate({
      jobKey: job.key,
      sessionNumber: owner.sessionNumber,
      identity: this.#identities[slot] as number,
      extranonce1: this.#bytes.slice(extranonceAt, extranonceAt + first),
      extranonce2: this.#bytes.slice(extranonceAt + first, extranonceAt + all),
      version: words[word + SHARE_SLOT.version / 4] as number,
      ntime: words[word + SHARE_SLOT.ntime / 4] as number,
      nonce: words[word + SHARE_SLOT.nonce / 4] as number,
      hash: this.#bytes.slice(hashAt, hashAt + HASH_BYTES),
      seq: this.#options.journal.nextSeq,
    });
  }

  #journalShare(
    slot: number,
    owner: ShareOwner,
    job: ShareJob,
    target: ShareTarget,
    verdict: VerdictFacts,
    block: boolean,
    word: number,
  ): void {
    const { journal } = this.#options;
    const identity = this.#identities[slot] as number;
    const at = journal.appendShare(identity, job.key, verdict === ACCEPTED, block);
    const record = journal.buffer;
    const bytes = this.#bytes;
    const words = this.#words;
    const first = this.#extranonce1Bytes[slot] as number;
    const all = words[word + SHARE_SLOT.extranonceBytes / 4] as number;
    record[at + SHARE.extranonce1Bytes] = first;
    record[at + SHARE.extranonce2Bytes] = all - first;
    const extranonceAt = word * 4 + SHARE_SLOT.extranonce;
    for (let i = 0; i < all; i++) record[at + SHARE.extranonce + i] = bytes[extranonceAt + i] as number;
    const hashAt = word * 4 + SHARE_SLOT.hash;
    for (let i = 0; i < HASH_BYTES; i++) record[at + SHARE.hash + i] = bytes[hashAt + i] as number;
    fillShareRecord(
      record,
      at,
      owner.sessionNumber,
      verdict.code,
      target,
      this.#receivedUs[slot] as number,
      this.#turnUs,
      words[word + SHARE_SLOT.ntime / 4] as number,
      words[word + SHARE_SLOT.nonce / 4] as number,
      words[word + SHARE_SLOT.version / 4] as number,
    );
  }

  #journalRefusal(refusal: Refusal): void {
    const { owner, target, receivedUs, ntime, nonce, version } = refusal;
    const { journal } = this.#options;
    // A refused share does not keep its job alive: it may have been taken down since the line was read.
    const jobKey = journal.knowsJob(refusal.jobKey) ? refusal.jobKey : 0;
    const at = journal.appendShare(refusal.identity, jobKey, false, false);
    const verdict = verdictByName(refusal.verdict);
    const record = journal.buffer;
    const session = owner.sessionNumber;
    fillShareRecord(
      record,
      at,
      session,
      verdict.code,
      target,
      receivedUs,
      this.#turnUs,
      ntime,
      nonce,
      version,
    );
    this.#answers.add(owner, refusal.requestId, verdict, 0);
  }

  #reportJournal(error: JournalWriteError | null): void {
    if (this.#journalDown === (error !== null)) return;
    this.#journalDown = error !== null;
    this.#options.onJournal(error);
  }
}
