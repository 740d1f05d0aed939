// One miner of the kill loop: hashes steadily, comes back by itself whenever its pool dies, and then sends once more
// what it had sent before: a pool that has forgotten those shares must not credit them again. Driven by `tick`; used by
// miners-process.ts.
import { verdictByName } from '../../engine/work/verdict.js';
import type { NonceSearcher } from '../../wasm/nonce-searcher.js';
import type { MiningJob } from '../mining-job.js';
import { Session, type Share, sameBytes } from '../soak/session.js';
import { ShareSearch } from '../soak/share-search.js';
import { type ToldSharesWriter, UNANSWERED, workerName } from '../soak/told-shares.js';
import type { AnswerTimes } from './answer-times.js';
import type { MinerCounts } from './miners-messages.js';

/** A process that was held up does not catch up for ever. */
const WORK_MS_MAX = 500;
const SUBMITS_OPEN_MAX = 64;
const COME_BACK_MS = { min: 50, max: 400 };
/** Enough to be caught crediting them again, too few to look like a bad miner. */
const RESENT_MAX = 3;
/** A new tip reaches a miner within this time of the first share that was refused for it. */
const TIP_WITHIN_MS = 10_000;
const ACCEPTED = verdictByName('accepted').code;
const STALE = verdictByName('stale').code;
const NOT_STORED = verdictByName('storage_failed').code;

export interface MinerOptions {
  readonly number: number;
  readonly hashrateHs: number;
  /** Where the pool listens now. */
  readonly endpoint: () => { readonly host: string; readonly port: number };
  readonly searcher: NonceSearcher;
  readonly told: ToldSharesWriter;
  readonly counts: MinerCounts;
  readonly times: AnswerTimes;
  readonly vardiff: boolean;
  readonly onFault: (what: string) => void;
}

export class ChaosMiner {
  readonly #options: MinerOptions;
  readonly #search: ShareSearch;
  readonly #sentAtMs = new WeakMap<Share, number>();
  #session: Session | null = null;
  #connectAtMs = 0;
  #workedUntilMs = 0;
  /** Newest shares of the session before: accepted ones, and ones whose answer was cut off. */
  #before: Share[] = [];
  #sent: Share[] = [];
  /** The pool could not store these. */
  #refused: Share[] = [];
  /** A share was stale although this miner knows of no newer tip: since when. */
  #staleSinceMs: number | null = null;
  #resting = false;

  constructor(options: MinerOptions) {
    this.#options = options;
    const { searcher } = options;
    this.#search = new ShareSearch({ searcher, worker: () => 0, onHashes: () => {} });
  }

  get connected(): boolean {
    return this.#session?.ready === true;
  }

  get open(): number {
    return this.#session?.submitsOpen ?? 0;
  }

  /** @param nowMs monotonic milliseconds */
  tick(nowMs: number): void {
    const session = this.#session;
    if (session === null) {
      if (nowMs >= this.#connectAtMs) this.#connect(nowMs);
    } else if (session.ready) this.#work(session, nowMs);
    if (this.#staleSinceMs !== null && nowMs - this.#staleSinceMs > TIP_WITHIN_MS) {
      this.#staleSinceMs = null;
      this.#options.onFault(`miner ${this.#options.number}: a share was stale, and no new tip came after it`);
    }
  }

  /** Sends no more shares; keeps its connection. */
  rest(): void {
    this.#resting = true;
  }

  /** After a rest. */
  workAgain(): void {
    this.#resting = false;
    this.#workedUntilMs = performance.now();
  }

  /** Sends once more what the pool could not store. */
  resendRefused(): void {
    this.#before.push(...this.#refused.splice(0));
  }

  end(): void {
    this.#session?.leave('hang_up');
    this.#session = null;
    this.#connectAtMs = Number.POSITIVE_INFINITY;
  }

  #connect(nowMs: number): void {
    const { number, endpoint, counts, times, vardiff, onFault } = this.#options;
    const session: Session = new Session({
      ...{ transport: 'tcp', endpoint: { ...endpoint(), ca: null } },
      ...{ users: [workerName(number, 0)], password: 'x', wish: null, resumes: null },
      ...{ configures: number % 2 === 0, asksAtOnce: number % 3 === 0 },
      onJob: (job) => this.#takeJob(session, job),
      onAnswer: (share, answer) => this.#takeAnswer(share, answer),
      onRetarget: () => {
        if (!vardiff) onFault(`miner ${number}: another difficulty although vardiff is off`);
      },
      onFault: (what) => onFault(`miner ${number}: ${what}`),
      onClosed: () => {
        if (this.#session !== session) return;
        this.#session = null;
        this.#staleSinceMs = null;
        times.dropped++;
        // A session that never began has sent nothing: what it was to send again is still due.
        if (this.#sent.length > 0) this.#before = this.#sent.splice(0);
        const { min, max } = COME_BACK_MS;
        this.#connectAtMs = performance.now() + min + Math.random() * (max - min);
      },
    });
    this.#session = session;
    counts.connects++;
    this.#workedUntilMs = nowMs;
  }

  #takeJob(session: Session, job: MiningJob): void {
    const before = session.jobs.at(-2);
    if (before === undefined) return;
    if (!sameBytes(before.previousHash, job.previousHash)) this.#staleSinceMs = null;
    if (job.difficulty === before.difficulty) return;
    this.#options.times.retargeted(performance.now(), job.difficulty / before.difficulty);
  }

  #takeAnswer(share: Share, answer: number): void {
    const { told, counts, number } = this.#options;
    if (answer !== UNANSWERED) this.#measure(share, answer);
    const { hash, job, worker, intent } = share;
    told.add({ hash, difficulty: job.difficulty, miner: number, worker, answer, intent });
    if (answer === ACCEPTED) counts.accepted++;
    if (answer === UNANSWERED) counts.cutOff++;
    if ((answer === ACCEPTED || answer === UNANSWERED) && intent === 'work') {
      this.#sent.push(share);
      if (this.#sent.length > RESENT_MAX) this.#sent.shift();
    }
  }

  #measure(share: Share, answer: number): void {
    const { times } = this.#options;
    const nowMs = performance.now();
    times.answered(nowMs, nowMs - (this.#sentAtMs.get(share) ?? nowMs));
    if (answer === ACCEPTED) times.accepted(nowMs);
    if (answer === NOT_STORED) {
      times.notStored++;
      if (this.#refused.length < RESENT_MAX) this.#refused.push(share);
    }
    if (answer !== STALE) return;
    times.stale++;
    const newest = this.#session?.jobs.at(-1);
    if (newest !== undefined && sameBytes(newest.previousHash, share.job.previousHash)) {
      this.#staleSinceMs ??= nowMs;
    }
  }

  #work(session: Session, nowMs: number): void {
    const workMs = Math.min(nowMs - this.#workedUntilMs, WORK_MS_MAX);
    this.#workedUntilMs = nowMs;
    const { counts, hashrateHs } = this.#options;
    const job = session.jobs.at(-1);
    const room = SUBMITS_OPEN_MAX - session.submitsOpen;
    if (job === undefined || room <= RESENT_MAX || this.#resting) return;
    const again = this.#before.splice(0).map((share): Share => ({ ...share, intent: 'resend' }));
    const hashes = Math.floor((hashrateHs * workMs) / 1000);
    const found =
      hashes > 0 ? this.#search.shares(job, session.versionMask, hashes, room - again.length, 'work') : [];
    counts.resent += again.length;
    counts.submitted += again.length + found.length;
    for (const share of [...again, ...found]) this.#sentAtMs.set(share, nowMs);
    if (again.length + found.length > 0) session.submit([...again, ...found], false);
  }
}
