// Turns templates into jobs for the connection thread and keeps them until a block found on them can be
// put together. Runs on the coordinator: the connection thread never sees a transaction.
import { bytesToHex } from './bitcoin/hex.js';
import { targetToBytesLE } from './bitcoin/target.js';
import type { BlockCandidate } from './shares/share-path.js';
import type { JobMessage } from './stratum/thread-messages.js';
import { notificationLine } from './stratum/v1/reply.js';
import { type AssembledBlock, assembleBlock, buildJob, type Job, notifyParams } from './work/job.js';
import type { BlockTemplate } from './work/template.js';

export interface JobMakerOptions {
  /** Output script that the coinbase pays. */
  script: Uint8Array;
  tag: string;
  extranonce1Bytes: number;
  extranonce2Bytes: number;
  keys: JobKeySource;
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
    const { script, tag, extranonce1Bytes, extranonce2Bytes, keys } = this.#options;
    this.#made++;
    const job = buildJob({
      template,
      jobId: keys.next(),
      outputs: [{ script, sats: template.coinbaseValue }],
      tag,
      extranonce1Bytes,
      extranonce2Bytes,
    });
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
    };
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
