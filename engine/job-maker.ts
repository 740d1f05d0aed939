// Turns templates into jobs for the connection thread and keeps them until a block found on them can be
// put together. Runs on the coordinator: the connection thread never sees a transaction.
import { bytesToHex } from './bitcoin/hex.js';
import { targetToBytesLE } from './bitcoin/target.js';
import type { TransactionOutput } from './bitcoin/transaction.js';
import type { PlannedCoinbase } from './coinbase-plan.js';
import type { BlockCandidate } from './shares/submission.js';
import type { JobMessage } from './stratum/thread-messages.js';
import { notificationLine } from './stratum/v1/reply.js';
import { type AssembledBlock, assembleBlock, buildJob, type Job, notifyParams } from './work/job.js';
import type { BlockTemplate } from './work/template.js';

export interface JobMakerOptions {
  /** Output script of the pool. */
  script: Uint8Array;
  tag: string;
  extranonce1Bytes: number;
  extranonce2Bytes: number;
  keys: JobKeySource;
  /** Who else the coinbase pays. Absent: the pool alone. */
  planner?: CoinbaseSource;
}

export interface CoinbaseSource {
  /** Null: the coinbase pays the pool alone. */
  coinbaseOf(template: BlockTemplate): PlannedCoinbase | null;
  /** Told when no job could be made of it: the pool alone is paid instead. */
  refused(error: Error): void;
}

/** Gives out numbers that grow and are never given twice, restarts included. */
export interface JobKeySource {
  next(): number;
}

/** Jobs kept for block assembly: more than the connection thread remembers. */
const JOBS_MAX = 512;

export class JobMaker {
  readonly #options: JobMakerOptions;
  readonly #jobs = new Map<number, Job>();
  #made = 0;

  constructor(options: JobMakerOptions) {
    this.#options = options;
  }

  /** Jobs made since the start. */
  get made(): number {
    return this.#made;
  }

  /** Makes a job with a key that was never used. Throws RangeError when the coinbase breaks a limit. */
  make(template: BlockTemplate): JobMessage {
    this.#made++;
    const planned = this.#planned(template);
    const job =
      planned?.job ?? this.#build(template, [{ script: this.#options.script, sats: template.coinbaseValue }]);
    this.#jobs.set(job.key, job);
    for (const key of this.#jobs.keys()) {
      if (this.#jobs.size <= JOBS_MAX) break;
      this.#jobs.delete(key);
    }
    return {
      key: job.key,
      id: job.id,
      height: job.height,
      previousBlockHash: job.previousBlockHash,
      previousBlock: job.previousBlock,
      version: job.version,
      bits: job.bits,
      networkTargetLE: targetToBytesLE(job.networkTarget),
      networkDifficulty: job.networkDifficulty,
      curtime: job.curtime,
      mintime: job.mintime,
      coinbase1: job.coinbase1,
      coinbase2: job.coinbase2,
      branch: job.branch,
      notify: notificationLine('mining.notify', notifyParams(job, false)),
      notifyClean: notificationLine('mining.notify', notifyParams(job, true)),
      ...(planned === null ? {} : { plan: planned.plan }),
    };
  }

  #planned(template: BlockTemplate): { job: Job; plan: string } | null {
    const { planner } = this.#options;
    try {
      const coinbase = planner?.coinbaseOf(template) ?? null;
      return coinbase === null ? null : { job: this.#build(template, coinbase.outputs), plan: coinbase.plan };
    } catch (error) {
      planner?.refused(error as Error);
      return null;
    }
  }

  #build(template: BlockTemplate, outputs: TransactionOutput[]): Job {
    const { tag, extranonce1Bytes, extranonce2Bytes, keys } = this.#options;
    return buildJob({ template, jobId: keys.next(), outputs, tag, extranonce1Bytes, extranonce2Bytes });
  }

  /**
   * The block that a candidate makes of its job; null when the job is forgotten.
   * Throws when it does not hash to what was validated: then job and share path disagree, a fault of ours.
   */
  assemble(candidate: BlockCandidate): { job: Job; block: AssembledBlock } | null {
    const job = this.#jobs.get(candidate.jobKey);
    if (job === undefined) return null;
    const block = assembleBlock(job, candidate);
    if (bytesToHex(block.hash) !== bytesToHex(candidate.hash)) {
      throw new Error(`block of job ${job.id} hashes to another value than its share: please report this`);
    }
    return { job, block };
  }
}
