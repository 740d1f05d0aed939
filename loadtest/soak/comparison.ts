// The journal against the miners' books, share by share, by header hash. First every share of the journal is given in,
// then every submit as its miner was told. Pure. What must hold:
//   - a share answered `true` is accepted in the journal, once, with the difficulty announced with its job and under
//     the name that sent it
//   - a share accepted in the journal was answered `true`, or its answer was cut off by the end of the connection
//   - a duplicate is refused as one only when the share before is in the journal
//   - each verdict is in the journal as often as miners were told it; answers cut off may add to that
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { VERDICTS, verdictByCode, verdictByName } from '../../engine/work/verdict.js';
import type { Differences } from './differences.js';
import { type Intent, type ToldShare, UNANSWERED, UNKNOWN_ANSWER, workerName } from './told-shares.js';

/** One verdict of the journal. */
export interface JournaledShare {
  readonly seq: number;
  /** Code of the verdict. */
  readonly verdict: number;
  /** Header hash as hashed, 32 bytes. */
  readonly hash: Uint8Array;
  readonly difficulty: number;
  /** 32 bytes, little-endian. */
  readonly targetLE: Uint8Array;
  /** Account and worker, as a miner authorizes. */
  readonly user: string;
}

export interface ComparedCounts {
  /** Verdicts in the journal. */
  readonly journaled: number;
  readonly accepted: number;
  /** Answered `true`. */
  readonly told: number;
  /** Submits whose answer the end of a connection cut off, and how many of these are accepted in the journal. */
  readonly cutOff: number;
  readonly cutOffAccepted: number;
  readonly acceptedDifficulty: number;
}

interface Accepted {
  readonly seq: number;
  readonly difficulty: number;
  readonly user: string;
  told: number;
  refused: number;
  cutOff: number;
}

const ACCEPTED = verdictByName('accepted').code;
const DUPLICATE = verdictByName('duplicate').code;
const STALE = verdictByName('stale').code;
const UNKNOWN_JOB = verdictByName('unknown_job').code;
const LOW = verdictByName('low_difficulty').code;
const HASH_BYTES = 32;

/** What a share may be answered. The tip can move while any of them is on its way. */
const DESERVED: Readonly<Record<Intent, readonly number[]>> = {
  work: [ACCEPTED, STALE],
  repeat: [DUPLICATE, STALE, UNKNOWN_JOB],
  old_tip: [STALE, UNKNOWN_JOB],
  low: [LOW],
  resend: [ACCEPTED, DUPLICATE, STALE, UNKNOWN_JOB],
};

export class Comparison {
  readonly #differences: Differences;
  readonly #accepted = new Map<string, Accepted>();
  readonly #targets = new Map<number, Uint8Array>();
  readonly #journaled = new Map<number, number>();
  readonly #told = new Map<number, number>();
  #acceptedDifficulty = 0;

  constructor(differences: Differences) {
    this.#differences = differences;
  }

  addJournaled(share: JournaledShare): void {
    const { seq, verdict, hash, difficulty, targetLE, user } = share;
    count(this.#journaled, verdict);
    if (verdict !== ACCEPTED) return;
    this.#acceptedDifficulty += difficulty;
    const key = keyOf(hash);
    const known = this.#accepted.get(key);
    if (known !== undefined) {
      this.#differences.add('doubled', `${shown(hash)}: sequence numbers ${known.seq} and ${seq}`);
      return;
    }
    this.#accepted.set(key, { seq, difficulty, user, told: 0, refused: 0, cutOff: 0 });
    const target = this.#targetOf(difficulty);
    if (Buffer.compare(target, targetLE) !== 0 || isAbove(hash, target)) {
      this.#differences.add(
        'wrong_target',
        `${shown(hash)}: sequence number ${seq}, difficulty ${difficulty}`,
      );
    }
  }

  addTold(share: ToldShare): void {
    const { hash, answer, intent, miner, worker } = share;
    count(this.#told, answer);
    const accepted = this.#accepted.get(keyOf(hash));
    const user = workerName(miner, worker);
    const what = `${shown(hash)} of ${user}`;
    if (answer === UNANSWERED) {
      if (accepted === undefined) return;
      accepted.cutOff++;
      this.#compareDifficulty(share, accepted);
      return;
    }
    if (!DESERVED[intent].includes(answer)) {
      const said = answer === UNKNOWN_ANSWER ? 'an unknown error' : verdictByCode(answer).name;
      this.#differences.add('wrong_answer', `${what}, sent as ${intent}: ${said}`);
    }
    if (answer === DUPLICATE && accepted === undefined) this.#differences.add('duplicate_of_nothing', what);
    if (answer !== ACCEPTED) {
      if (accepted !== undefined) accepted.refused++;
      return;
    }
    if (accepted === undefined) {
      this.#differences.add('lost', what);
      return;
    }
    accepted.told++;
    if (accepted.told > 1) this.#differences.add('told_twice', what);
    if (accepted.user !== user) this.#differences.add('wrong_worker', `${what}: ${accepted.user}`);
    this.#compareDifficulty(share, accepted);
  }

  /**
   * After all shares of both sides.
   * @param engineVerdicts answers by verdict as the engine counted them; null when it does not tell
   */
  finish(engineVerdicts: Readonly<Record<string, number>> | null): ComparedCounts {
    let cutOffAccepted = 0;
    for (const [key, { seq, user, told, refused, cutOff }] of this.#accepted) {
      if (told > 0) continue;
      if (cutOff > 0) {
        cutOffAccepted++;
        continue;
      }
      const what = `${shown(Buffer.from(key, 'latin1'))}: sequence number ${seq}, ${user}`;
      this.#differences.add(refused > 0 ? 'told_no' : 'never_sent', what);
    }
    this.#compareVerdicts(engineVerdicts);
    let journaled = 0;
    for (const number of this.#journaled.values()) journaled += number;
    return {
      journaled,
      accepted: this.#journaled.get(ACCEPTED) ?? 0,
      told: this.#told.get(ACCEPTED) ?? 0,
      cutOff: this.#told.get(UNANSWERED) ?? 0,
      cutOffAccepted,
      acceptedDifficulty: this.#acceptedDifficulty,
    };
  }

  #compareVerdicts(engineVerdicts: Readonly<Record<string, number>> | null): void {
    const cutOff = this.#told.get(UNANSWERED) ?? 0;
    let surplus = 0;
    for (const { code, name } of VERDICTS) {
      const journaled = this.#journaled.get(code) ?? 0;
      const told = this.#told.get(code) ?? 0;
      surplus += Math.max(0, journaled - told);
      if (told > journaled) {
        this.#differences.add('verdicts', `${name}: miners were told ${told}, the journal has ${journaled}`);
      }
      const counted = engineVerdicts?.[name] ?? 0;
      if (engineVerdicts !== null && counted !== journaled) {
        this.#differences.add(
          'verdicts',
          `${name}: the engine counted ${counted}, the journal has ${journaled}`,
        );
      }
    }
    if (surplus > cutOff) {
      this.#differences.add(
        'verdicts',
        `${surplus} verdicts reached no miner, only ${cutOff} answers were cut off`,
      );
    }
  }

  #compareDifficulty({ hash, difficulty, miner, worker }: ToldShare, accepted: Accepted): void {
    if (accepted.difficulty === difficulty) return;
    const user = workerName(miner, worker);
    const text = `announced ${difficulty}, credited ${accepted.difficulty}`;
    this.#differences.add('wrong_difficulty', `${shown(hash)} of ${user}: ${text}`);
  }

  #targetOf(difficulty: number): Uint8Array {
    let target = this.#targets.get(difficulty);
    if (target === undefined) {
      target = targetToBytesLE(targetFromDifficulty(difficulty));
      this.#targets.set(difficulty, target);
    }
    return target;
  }
}

function count(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function keyOf(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('latin1');
}

/** As block explorers show it. */
function shown(hash: Uint8Array): string {
  return Buffer.from(hash).reverse().toString('hex');
}

/** Both 32 bytes, little-endian. */
function isAbove(hash: Uint8Array, targetLE: Uint8Array): boolean {
  for (let i = HASH_BYTES - 1; i >= 0; i--) {
    const difference = (hash[i] as number) - (targetLE[i] as number);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
