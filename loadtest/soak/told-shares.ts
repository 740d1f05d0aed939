// The books of the simulated miners: what became of each submit, as the miner was told, in a file of fixed records, so
// that an hour of shares takes no memory of the process that hashes. Written by miners-process.ts, read back by main.ts.
//
//   0            32           40          44        46       47       48
//   | hash       | difficulty | miner     | worker  | answer | intent |
//   | 32, LE     | f64        | u32       | u16     | u8     | u8     |
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { VERDICTS } from '../../engine/work/verdict.js';

export const TOLD_SHARE_BYTES = 48;

/** Answers besides the codes of the verdicts. */
export const UNANSWERED = 0;
/** An error that is none of the verdicts' sentences. */
export const UNKNOWN_ANSWER = 255;

/** Why a share was sent. */
export const INTENTS = ['work', 'repeat', 'old_tip', 'low', 'resend'] as const;
export type Intent = (typeof INTENTS)[number];

export interface ToldShare {
  /** Header hash as hashed, 32 bytes, computed by the miner. */
  readonly hash: Uint8Array;
  /** As announced with the share's job. */
  readonly difficulty: number;
  /** Number of the miner, and of the name that it submitted with. */
  readonly miner: number;
  readonly worker: number;
  /** Code of the verdict, UNANSWERED or UNKNOWN_ANSWER. */
  readonly answer: number;
  readonly intent: Intent;
}

const RECORDS_BUFFERED = 1024;

/** Code of the verdict that an error answer stands for. @param code Stratum error code @param reason its sentence */
export function answerOf(code: unknown, reason: unknown): number {
  const verdict = VERDICTS.find((each) => each.stratumCode === code && each.reason === reason);
  return verdict?.code ?? UNKNOWN_ANSWER;
}

/** Account and worker name of a miner, as it authorizes and as the journal must have it. */
export function workerName(miner: number, worker: number): string {
  return `soak${miner}.w${worker}`;
}

export class ToldSharesWriter {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(RECORDS_BUFFERED * TOLD_SHARE_BYTES);
  #used = 0;

  constructor(file: string) {
    this.#fd = openSync(file, 'w');
  }

  add(share: ToldShare): void {
    if (this.#used === this.#buffer.length) this.flush();
    const at = this.#used;
    this.#buffer.set(share.hash, at);
    this.#buffer.writeDoubleLE(share.difficulty, at + 32);
    this.#buffer.writeUInt32LE(share.miner, at + 40);
    this.#buffer.writeUInt16LE(share.worker, at + 44);
    this.#buffer[at + 46] = share.answer;
    this.#buffer[at + 47] = INTENTS.indexOf(share.intent);
    this.#used += TOLD_SHARE_BYTES;
  }

  flush(): void {
    for (let done = 0; done < this.#used; ) {
      done += writeSync(this.#fd, this.#buffer, done, this.#used - done);
    }
    this.#used = 0;
  }

  close(): void {
    this.flush();
    closeSync(this.#fd);
  }
}

/** All records of a file, in the order they were written. @throws Error when it ends inside a record */
export function* readToldShares(file: string): Generator<ToldShare> {
  const fd = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(RECORDS_BUFFERED * TOLD_SHARE_BYTES);
    for (;;) {
      let got = 0;
      while (got < buffer.length) {
        const bytes = readSync(fd, buffer, got, buffer.length - got, null);
        if (bytes === 0) break;
        got += bytes;
      }
      if (got % TOLD_SHARE_BYTES !== 0) throw new Error(`${file} ends inside a record`);
      for (let at = 0; at < got; at += TOLD_SHARE_BYTES) yield toldShare(buffer, at);
      if (got < buffer.length) return;
    }
  } finally {
    closeSync(fd);
  }
}

function toldShare(buffer: Buffer, at: number): ToldShare {
  const intent = INTENTS[buffer[at + 47] as number];
  if (intent === undefined) throw new Error('a record with an unknown intent');
  return {
    hash: new Uint8Array(buffer.subarray(at, at + 32)),
    difficulty: buffer.readDoubleLE(at + 32),
    miner: buffer.readUInt32LE(at + 40),
    worker: buffer.readUInt16LE(at + 44),
    answer: buffer[at + 46] as number,
    intent,
  };
}
