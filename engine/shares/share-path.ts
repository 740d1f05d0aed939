// The share path: submitted record -> validation in place -> duplicate filter -> block check -> journal
// -> answer. Runs on the connection thread, once per event-loop turn for all shares of that turn. Knows
// no protocol: an owner (a session) hands shares in and is told each verdict after it is in the journal.
// Order of things: DESIGN.md, "the journey of a share".

import { SHARE } from '../../storage/journal/record.js';
import { JournalWriteError, type JournalWriter } from '../../storage/journal/writer.js';
import {
  RESULT_MEETS_NETWORK,
  RESULT_MEETS_SHARE,
  SHARE_SLOT,
  SHARE_SLOT_BYTES,
  SHARE_SLOTS,
  SHARE_SLOTS_OFFSET,
} from '../../wasm/slots.js';
import { type ShareVerdict, VERDICTS, type VerdictFacts, verdictByName } from '../work/verdict.js';
import type { DuplicateFilter } from './duplicate-filter.js';
import type { ValidationPool } from './validation-pool.js';

/** Who submitted; told the verdict once, after the share is in the journal. */
export interface ShareOwner {
  /** Number of the session in the journal. */
  readonly sessionNumber: number;
  /** @param requestId what `submit` was given. */
  settle(requestId: string, verdict: VerdictFacts, difficulty: number): void;
}

/** The target a share is judged by: what its job was announced with, to this session. */
export interface ShareTarget {
  readonly difficulty: number;
  /** 32 bytes little-endian. */
  readonly targetLE: Uint8Array;
}

/** What the share path must know of a job. */
export interface ShareJob {
  /** Journal key and identity of the job; grows. */
  readonly key: number;
  /** Job slot in the slab. */
  readonly slot: number;
  /** Shares of it in flight: its slot must not be reused before this is 0. */
  inFlight: number;
}

/** A header that met the network target. Sent to the node before anything else. */
export interface BlockCandidate {
  jobKey: number;
  sessionNumber: number;
  identity: number;
  extranonce1: Uint8Array;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  /** 32 bytes as hashed. */
  hash: Uint8Array;
  /** Sequence number of its share in the journal, and the round that it ends. */
  seq: number;
  round: number;
}

export interface Submission {
  owner: ShareOwner;
  requestId: string;
  /** Journal identity. */
  identity: number;
  job: ShareJob;
  target: ShareTarget;
  /** The tip had moved when the share arrived: only a block is still worth something. */
  stale: boolean;
  extranonce1: Uint8Array;
  extranonce2: Uint8Array;
  version: number;
  ntime: number;
  nonce: number;
  /** Wall clock microseconds at which the line was read. */
  receivedUs: number;
}

/** A submit that failed a cheap check, before hashing. */
export interface Refusal {
  owner: ShareOwner;
  requestId: string;
  identity: number;
  jobKey: number;
  verdict: ShareVerdict;
  /** What it would have been judged by; null when that is unknown. */
  target: ShareTarget | null;
  version: number;
  ntime: number;
  nonce: number;
  receivedUs: number;
}

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
  /** Once per turn, after the answers of the batch were handed to their owners. */
  onSettled: () => void;
}

const ACCEPTED = verdictByName('accepted');
const STALE = verdictByName('stale');
const LOW = verdictByName('low_difficulty');
const DUPLICATE = verdictByName('duplicate');
const STORAGE_FAILED = verdictByName('storage_failed');
const VERDICT_CODE_MAX = Math.max(...VERDICTS.map((verdict) => verdict.code));

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
  readonly #submissions: (Submission | undefined)[] = new Array(SHARE_SLOTS);
  #refusals: Refusal[] = [];
  #scheduled = false;
  #journalDown = false;
  /** Settled in this turn: answered together, after the commit. */
  #answers: { owner: ShareOwner; requestId: string; verdict: VerdictFacts; difficulty: number }[] = [];

  constructor(options: SharePathOptions) {
    this.#options = options;
    this.#bytes = new Uint8Array(options.memory.buffer);
    this.#words = new Uint32Array(options.memory.buffer);
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
    this.#submissions[slot] = submission;
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

  /** Shares taken and not answered yet. */
  get outstanding(): number {
    return this.#options.pool.outstanding + this.#refusals.length;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    const { pool, journal } = this.#options;
    pool.flush();
    pool.drain(this.#settle);
    for (const refusal of this.#refusals) this.#journalRefusal(refusal);
    this.#refusals = [];
    if (this.#answers.length > 0) {
      try {
        journal.commit();
        if (this.#journalDown) this.#reportJournal(null);
      } catch (error) {
        if (!(error instanceof JournalWriteError)) throw error;
        this.#reportJournal(error);
        // Nothing of this batch was stored: not one share of it is credited.
        for (const answer of this.#answers) if (answer.verdict === ACCEPTED) answer.verdict = STORAGE_FAILED;
      }
      const answers = this.#answers;
      this.#answers = [];
      for (const { owner, requestId, verdict, difficulty } of answers) {
        this.counts[verdict.code] = (this.counts[verdict.code] as number) + 1;
        if (verdict === ACCEPTED) {
          this.acceptedDifficulty += difficulty;
          this.acceptedSquares += difficulty * difficulty;
          if (difficulty > this.heaviestDifficulty) this.heaviestDifficulty = difficulty;
        }
        owner.settle(requestId, verdict, difficulty);
      }
      this.#options.onSettled();
    }
    pool.armDoorbell();
  };

  readonly #settle = (slot: number): void => {
    const submission = this.#submissions[slot] as Submission;
    this.#submissions[slot] = undefined;
    submission.job.inFlight--;
    const word = SHARE_SLOTS_OFFSET / 4 + slot * SLOT_WORDS;
    const result = this.#words[word + SHARE_SLOT.result / 4] as number;
    const hashWord = word + SHARE_SLOT.hash / 4;
    const meetsNetwork = (result & RESULT_MEETS_NETWORK) !== 0;
    let verdict = LOW;
    let block = false;
    if ((result & RESULT_MEETS_SHARE) !== 0 || meetsNetwork) {
      verdict = submission.stale ? STALE : ACCEPTED;
      // A stale share can still be a block, and a block found once is submitted once.
      if (verdict === ACCEPTED || meetsNetwork) {
        const seen = this.#options.filter.add(submission.job.key, this.#words, hashWord);
        if (seen === 'duplicate') verdict = DUPLICATE;
        else if (seen === 'full' && !meetsNetwork) verdict = STORAGE_FAILED;
        block = meetsNetwork && seen !== 'duplicate';
      }
    }
    this.#journalShare(submission, verdict, block, SHARE_SLOTS_OFFSET + slot * SHARE_SLOT_BYTES);
    this.#answer(submission.owner, submission.requestId, verdict, submission.target.difficulty);
  };

  #journalShare(submission: Submission, verdict: VerdictFacts, block: boolean, slotAt: number): void {
    const { journal } = this.#options;
    const { seq, round } = { seq: journal.nextSeq, round: journal.round };
    if (block) {
      const hashAt = slotAt + SHARE_SLOT.hash;
      this.#options.onCandidate({
        jobKey: submission.job.key,
        sessionNumber: submission.owner.sessionNumber,
        identity: submission.identity,
        extranonce1: submission.extranonce1,
        extranonce2: submission.extranonce2,
        version: submission.version,
        ntime: submission.ntime,
        nonce: submission.nonce,
        hash: this.#bytes.slice(hashAt, hashAt + HASH_BYTES),
        seq,
        round,
      });
    }
    const at = journal.appendShare(submission.identity, submission.job.key, verdict === ACCEPTED, block);
    const record = journal.buffer;
    const extranonceAt = at + SHARE.extranonce;
    record[at + SHARE.extranonce1Bytes] = submission.extranonce1.length;
    record[at + SHARE.extranonce2Bytes] = submission.extranonce2.length;
    record.set(submission.extranonce1, extranonceAt);
    record.set(submission.extranonce2, extranonceAt + submission.extranonce1.length);
    this.#fill(record, at, submission, verdict, submission.target);
    const hashAt = slotAt + SHARE_SLOT.hash;
    record.set(this.#bytes.subarray(hashAt, hashAt + HASH_BYTES), at + SHARE.hash);
  }

  #journalRefusal(refusal: Refusal): void {
    const at = this.#options.journal.appendShare(refusal.identity, refusal.jobKey, false, false);
    const verdict = verdictByName(refusal.verdict);
    this.#fill(this.#options.journal.buffer, at, refusal, verdict, refusal.target);
    this.#answer(refusal.owner, refusal.requestId, verdict, 0);
  }

  /** Fields that validated and refused shares have in common. */
  #fill(
    record: Buffer,
    at: number,
    share: Submission | Refusal,
    verdict: VerdictFacts,
    target: ShareTarget | null,
  ): void {
    record[at + SHARE.verdict] = verdict.code;
    record.writeUInt32LE(share.owner.sessionNumber, at + SHARE.session);
    const received = share.receivedUs;
    record.writeUInt32LE(received % 0x1_0000_0000, at + SHARE.receivedUs);
    record.writeUInt32LE(Math.floor(received / 0x1_0000_0000), at + SHARE.receivedUs + 4);
    record.writeUInt32LE(share.ntime, at + SHARE.ntime);
    record.writeUInt32LE(share.nonce, at + SHARE.nonce);
    record.writeUInt32LE(share.version, at + SHARE.version);
    const latency = this.#options.nowUs() - received;
    record.writeUInt32LE(Math.min(0xffffffff, Math.max(0, Math.round(latency))), at + SHARE.latencyUs);
    if (target === null) return;
    record.writeDoubleLE(target.difficulty, at + SHARE.difficulty);
    record.set(target.targetLE, at + SHARE.target);
  }

  #answer(owner: ShareOwner, requestId: string, verdict: VerdictFacts, difficulty: number): void {
    this.#answers.push({ owner, requestId, verdict, difficulty });
  }

  #reportJournal(error: JournalWriteError | null): void {
    if (this.#journalDown === (error !== null)) return;
    this.#journalDown = error !== null;
    this.#options.onJournal(error);
  }
}
