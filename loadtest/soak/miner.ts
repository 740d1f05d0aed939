// One simulated miner of a soak run: connects, hashes, submits, leaves, comes back, and does what its habits make it
// do. Driven by `tick` about once a second; hashing happens inside, in slices of its own hash rate. Used by
// miners-process.ts.
import { targetFromDifficulty } from '../../engine/bitcoin/target.js';
import { verdictByName } from '../../engine/work/verdict.js';
import type { NonceSearcher } from '../../wasm/nonce-searcher.js';
import type { MiningJob } from '../mining-job.js';
import { chanceOf, drawHabits, type Habits, type Transport } from './habits.js';
import type { Endpoint } from './link.js';
import type { MinerCounts } from './miners-messages.js';
import { type Random, waitingTime } from './seeded-random.js';
import { type KeptSession, type Request, Session, type Share, sameBytes } from './session.js';
import { ShareSearch } from './share-search.js';
import { type Intent, type ToldSharesWriter, UNANSWERED, workerName } from './told-shares.js';

/** Most that is hashed for one tick: a process that was held up does not catch up for ever. */
const WORK_MS_MAX = 3000;
const SUBMITS_OPEN_MAX = 64;
const ANSWER_WITHIN_MS = 30_000;
const COME_BACK_AFTER_MS = 1500;
const COME_BACK_MEAN_MS = 4000;
const MOOD_MEAN_MS = 60_000;
const SLOW_READING_MEAN_MS = 20_000;
const SLOW_READING_MS = 8000;
const SWING = 4;
/** Chances, each per tick. */
const REPEATS = 0.1;
const LINGERS = 0.3;
const SENDS_LOW = 0.05;
const CHANGES_WISH = 0.02;
/** Chance to take a session up again after leaving it. */
const RESUMES = 0.65;
const CUTS = 0.5;
/** Jobs older than this are let go: a pool need not credit them much longer. */
const JOB_MS_MAX = 100_000;
const SHARES_KEPT = 4;
/** A password takes no exponent. */
const PASSWORD_DIGITS = 15;
const ACCEPTED = verdictByName('accepted').code;

export interface MinerOptions {
  readonly number: number;
  readonly seed: number;
  /** Median hash rate of all miners. */
  readonly medianHs: number;
  /** Difficulty that the pool begins with. */
  readonly startDifficulty: number;
  readonly endpoints: Readonly<Record<Transport, Endpoint>>;
  readonly searcher: NonceSearcher;
  readonly told: ToldSharesWriter;
  readonly counts: MinerCounts;
  readonly onFault: (what: string) => void;
}

export class SoakMiner {
  readonly habits: Habits;
  readonly #options: MinerOptions;
  readonly #random: Random;
  readonly #users: readonly string[];
  readonly #search: ShareSearch;
  #session: Session | null = null;
  #kept: KeptSession | null = null;
  #hashrateHs: number;
  #connectAtMs: number;
  #leaveAtMs = Number.POSITIVE_INFINITY;
  #moodAtMs: number;
  #slowAtMs: number;
  #readsAgainAtMs = Number.POSITIVE_INFINITY;
  #workedUntilMs = 0;
  /** When each kept job came, by id. */
  readonly #cameMs = new Map<string, number>();
  /** Newest accepted shares of this extranonce1. */
  #accepted: Share[] = [];
  /** Sent in the session before, never answered. */
  #lost: Share[] = [];
  #ending = false;

  /** @param connectAtMs monotonic milliseconds of its first connection */
  constructor(options: MinerOptions, connectAtMs: number) {
    this.#options = options;
    this.#random = chanceOf(options.seed, options.number);
    this.habits = drawHabits(this.#random, options.medianHs);
    this.#hashrateHs = this.habits.hashrateHs;
    this.#users = Array.from({ length: this.habits.workers }, (_, i) => workerName(options.number, i));
    this.#search = new ShareSearch({
      searcher: options.searcher,
      worker: () => this.#anyWorker(),
      onHashes: (hashes) => {
        options.counts.hashes += hashes;
      },
    });
    this.#connectAtMs = connectAtMs;
    this.#moodAtMs = connectAtMs + waitingTime(this.#random, MOOD_MEAN_MS);
    this.#slowAtMs = connectAtMs + waitingTime(this.#random, SLOW_READING_MEAN_MS);
  }

  get connected(): boolean {
    return this.#session?.ready === true;
  }

  tick(nowMs: number): void {
    const session = this.#session;
    if (session === null) {
      if (!this.#ending && nowMs >= this.#connectAtMs) this.#connect(nowMs);
      return;
    }
    if (session.ready) this.#work(session, nowMs);
    if (this.#ending) return;
    this.#changeMood(nowMs);
    if (this.habits.readsSlowly) this.#changeReading(session, nowMs);
    if (nowMs >= this.#leaveAtMs) this.#leave(session, nowMs);
    else this.#checkAnswers(session, nowMs);
  }

  /** It works on, reads all, and expects that the pool closes the session. */
  stop(): void {
    this.#ending = true;
    this.#session?.resume();
  }

  /** Closes the books. */
  end(): void {
    this.#ending = true;
    this.#session?.leave('hang_up');
    this.#session = null;
  }

  #connect(nowMs: number): void {
    const { endpoints, counts, onFault, number } = this.#options;
    const { transport, rollsVersions, asksAtOnce } = this.habits;
    const resumes = this.#kept;
    const session: Session = new Session({
      ...{ transport, asksAtOnce, resumes, endpoint: endpoints[transport], users: this.#users },
      ...this.#wishes(),
      // What was negotiated is kept with the session: half of the miners count on it.
      configures: rollsVersions && (resumes === null || number % 2 === 0),
      onJob: (job) => this.#takeJob(job),
      onAnswer: (share, answer) => this.#takeAnswer(share, answer),
      onRetarget: () => counts.retargets++,
      onFault: (what) => onFault(`miner ${number} (${transport}): ${what}`),
      onClosed: (reason) => {
        if (this.#session !== session) return;
        this.#session = null;
        if (this.#ending) return;
        onFault(`miner ${number} (${transport}) lost its session: ${reason}`);
        this.#kept = null;
        this.#comeBack(performance.now());
      },
    });
    this.#session = session;
    counts.connects++;
    if (resumes === null) {
      this.#accepted = [];
      this.#lost = [];
    } else counts.resumptions++;
    const { sessionMs } = this.habits;
    this.#leaveAtMs =
      sessionMs === null ? Number.POSITIVE_INFINITY : nowMs + waitingTime(this.#random, sessionMs);
    this.#workedUntilMs = nowMs;
  }

  /** What it says of the difficulty that it would like. */
  #wishes(): { readonly password: string; readonly wish: Request | null } {
    const difficulty = this.#wishedDifficulty();
    switch (this.habits.wish) {
      case 'password':
        return { password: `d=${difficulty.toFixed(PASSWORD_DIGITS)}`, wish: null };
      case 'minimum':
        return { password: `md=${(difficulty / 4).toFixed(PASSWORD_DIGITS)}`, wish: null };
      case 'suggest_difficulty':
        return { password: 'x', wish: suggestion(difficulty) };
      case 'suggest_target': {
        const target = targetFromDifficulty(difficulty).toString(16).padStart(64, '0');
        return { password: 'x', wish: { method: 'mining.suggest_target', params: [target] } };
      }
      default:
        return { password: 'x', wish: null };
    }
  }

  #wishedDifficulty(): number {
    return this.#options.startDifficulty * 4 ** (2 * this.#random() - 1);
  }

  #leave(session: Session, nowMs: number): void {
    const { counts } = this.#options;
    counts.disconnects++;
    const kept = session.leave(this.#random() < CUTS ? 'cut' : 'hang_up');
    this.#session = null;
    this.#kept = this.#random() < RESUMES ? kept : null;
    this.#comeBack(nowMs);
  }

  #comeBack(nowMs: number): void {
    this.#connectAtMs = nowMs + COME_BACK_AFTER_MS + waitingTime(this.#random, COME_BACK_MEAN_MS);
    this.#readsAgainAtMs = Number.POSITIVE_INFINITY;
  }

  #changeMood(nowMs: number): void {
    if (nowMs < this.#moodAtMs || this.habits.mood === 'steady') return;
    this.#moodAtMs = nowMs + waitingTime(this.#random, MOOD_MEAN_MS);
    const { hashrateHs, mood } = this.habits;
    if (mood === 'sleepy') this.#hashrateHs = this.#hashrateHs === 0 ? hashrateHs : 0;
    else this.#hashrateHs = this.#hashrateHs > hashrateHs ? hashrateHs : hashrateHs * SWING;
  }

  #changeReading(session: Session, nowMs: number): void {
    if (nowMs >= this.#readsAgainAtMs) {
      this.#readsAgainAtMs = Number.POSITIVE_INFINITY;
      this.#slowAtMs = nowMs + waitingTime(this.#random, SLOW_READING_MEAN_MS);
      session.resume();
    } else if (nowMs >= this.#slowAtMs && session.ready) {
      this.#slowAtMs = Number.POSITIVE_INFINITY;
      this.#readsAgainAtMs = nowMs + SLOW_READING_MS;
      session.pause();
      this.#options.counts.slowReadings++;
    }
  }

  #checkAnswers(session: Session, nowMs: number): void {
    const oldest = session.oldestSubmitMs;
    if (oldest === null || nowMs - oldest < ANSWER_WITHIN_MS) return;
    this.#options.onFault(`miner ${this.#options.number}: no answer in ${ANSWER_WITHIN_MS / 1000} s`);
    session.leave('cut');
    this.#session = null;
    this.#kept = null;
    this.#comeBack(nowMs);
  }

  #takeJob(job: MiningJob): void {
    const nowMs = performance.now();
    this.#cameMs.set(job.jobId, nowMs);
    for (const [jobId, cameMs] of this.#cameMs) {
      if (nowMs - cameMs <= JOB_MS_MAX) break;
      this.#cameMs.delete(jobId);
    }
  }

  #takeAnswer(share: Share, answer: number): void {
    const { told, counts, number } = this.#options;
    const { hash, job, worker, intent } = share;
    told.add({ hash, difficulty: job.difficulty, miner: number, worker, answer, intent });
    counts.answers[answer] = (counts.answers[answer] ?? 0) + 1;
    if (answer === UNANSWERED && intent !== 'low') this.#lost.push(share);
    else if (answer === ACCEPTED) {
      this.#accepted.push(share);
      if (this.#accepted.length > SHARES_KEPT) this.#accepted.shift();
    }
  }

  #work(session: Session, nowMs: number): void {
    const workMs = Math.min(nowMs - this.#workedUntilMs, WORK_MS_MAX);
    this.#workedUntilMs = nowMs;
    const newest = session.jobs.at(-1);
    if (newest === undefined) return;
    if (session.resumed === true && this.#lost.length > 0) this.#submitLost(session);
    const room = SUBMITS_OPEN_MAX - session.submitsOpen;
    if (room <= 0) return;
    const job = this.#chooseJob(session, newest, nowMs);
    const intent: Intent = sameBytes(job.previousHash, newest.previousHash) ? 'work' : 'old_tip';
    const hashes = Math.floor((this.#hashrateHs * workMs) / 1000);
    const found = hashes > 0 ? this.#search.shares(job, session.versionMask, hashes, room, intent) : [];
    if (found.length > 0) this.#submit(session, found);
    this.#misbehave(session, newest);
  }

  #chooseJob(session: Session, newest: MiningJob, nowMs: number): MiningJob {
    if (!this.habits.lingers || this.#random() >= LINGERS) return newest;
    const job = session.jobs[Math.floor(this.#random() * session.jobs.length)] ?? newest;
    const cameMs = this.#cameMs.get(job.jobId) ?? Number.NEGATIVE_INFINITY;
    return nowMs - cameMs <= JOB_MS_MAX ? job : newest;
  }

  #submit(session: Session, shares: readonly Share[]): void {
    this.#options.counts.submitted += shares.length;
    session.submit(shares, this.#random() < 0.1);
  }

  /** After a session was taken up again: what was on its way when it broke. */
  #submitLost(session: Session): void {
    const lost = this.#lost.splice(0, SUBMITS_OPEN_MAX);
    const known = lost.filter(({ job }) => session.jobs.some(({ jobId }) => jobId === job.jobId));
    if (known.length > 0)
      this.#submit(
        session,
        known.map((share) => ({ ...share, intent: 'resend' })),
      );
  }

  #misbehave(session: Session, newest: MiningJob): void {
    const { repeats, sendsLow, wish } = this.habits;
    if (repeats && this.#random() < REPEATS) this.#repeat(session);
    if (sendsLow && this.#random() < SENDS_LOW) this.#sendLow(session, newest);
    if (wish === 'suggest_difficulty' && this.#random() < CHANGES_WISH) {
      session.request(suggestion(this.#wishedDifficulty()));
    }
  }

  /** A share that was answered `true`, once more, twice in one packet, maybe under another name of the connection. */
  #repeat(session: Session): void {
    const share = this.#accepted.at(-1);
    if (share === undefined) return;
    const worker = this.#anyWorker();
    const again: Share = { ...share, worker, intent: 'repeat' };
    this.#options.counts.repeats += 2;
    this.#submit(session, [again, again]);
  }

  #anyWorker(): number {
    return Math.floor(this.#random() * this.#users.length);
  }

  #sendLow(session: Session, job: MiningJob): void {
    const share = this.#search.any(job, session.versionMask);
    if (share !== null) this.#submit(session, [share]);
  }
}

function suggestion(difficulty: number): Request {
  return { method: 'mining.suggest_difficulty', params: [difficulty] };
}
