// Verifies by itself, once a UTC day, every credit since the last one it has seen, and those again that it could not
// recompute. Called by the coordinator's timer; works beside it in short slices and holds up nothing: sums are made in
// ClickHouse, and the loops here give the thread away every few milliseconds.

import type { VerifyStores } from './credit-check.js';
import { readCredits } from './ledger-credits.js';
import type { CreditVerdict } from './verdict.js';
import { type OpenFindings, type VerificationRun, VerificationStore } from './verification-store.js';
import { Verifier } from './verifier.js';

export interface VerificationFigures extends OpenFindings {
  /** When the last run ended; null before the first. */
  lastAt: Date | null;
  /** Verified by the last run, or so far by the one that runs. */
  credits: number;
  running: boolean;
}

export interface VerificationResult {
  credits: number;
  /** Of this run, `FOUND_MAX` at most: credits that differ or cannot be recomputed. */
  found: CreditVerdict[];
  /** After it, of all runs. */
  open: OpenFindings;
}

export interface NightlyOptions extends VerifyStores {
  /** Wall clock milliseconds. */
  nowMs: () => number;
  /** A run has ended. */
  onResult: (result: VerificationResult) => void;
}

/** After the start of the pool: what is in the journal then has time to reach both stores. */
const AFTER_START_MS = 2 * 60_000;
/** After midnight UTC, for the same reason. */
const AFTER_MIDNIGHT_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
/** A step ends after this long, to be called again. */
const STEP_MS = 500;
const RETRY_MS = 60_000;
const GIVE_UP_MS = 7 * DAY_MS;
const AGAIN_MAX = 1000;
const FOUND_MAX = 10;
const PAGE = 20;

export class NightlyVerification {
  readonly #options: NightlyOptions;
  readonly #store: VerificationStore;
  readonly #startedMs: number;
  #run: VerificationRun | null = null;
  #last: VerificationRun | null = null;
  #known = false;
  /** Keys that this run verifies once more. */
  #again: string[] | null = null;
  #verifier: Verifier | null = null;
  #found: CreditVerdict[] = [];
  #open: OpenFindings = { differenceSats: 0n, different: 0, incomplete: 0 };
  #notBeforeMs: number;
  #stepping: Promise<void> | null = null;

  constructor(options: NightlyOptions) {
    this.#options = options;
    this.#store = new VerificationStore(options.database);
    this.#startedMs = options.nowMs();
    this.#notBeforeMs = this.#startedMs;
  }

  /** As of the last step. */
  get figures(): VerificationFigures {
    const run = this.#run ?? this.#last;
    return {
      ...this.#open,
      lastAt: this.#last?.endedAt ?? null,
      credits: run?.credits ?? 0,
      running: this.#run !== null,
    };
  }

  /**
   * Goes on with what is due, for half a second or one credit; a step that is under way is not joined by another.
   * Throws when a store is away: call it again later, it goes on after a minute where it was.
   */
  step(): Promise<void> {
    this.#stepping ??= this.#step().finally(() => {
      this.#stepping = null;
    });
    return this.#stepping;
  }

  async #step(): Promise<void> {
    const nowMs = this.#options.nowMs();
    if (nowMs < this.#notBeforeMs) return;
    try {
      if (!this.#known) await this.#recall();
      if (this.#run === null && !this.#isDue(nowMs)) return;
      await this.#goOn(nowMs);
    } catch (error) {
      this.#notBeforeMs = nowMs + RETRY_MS;
      throw error;
    }
  }

  async #recall(): Promise<void> {
    const latest = await this.#store.latest();
    if (latest !== null && latest.endedAt === null) this.#run = latest;
    else this.#last = latest;
    this.#open = await this.#store.open();
    this.#known = true;
  }

  #isDue(nowMs: number): boolean {
    if (nowMs < this.#startedMs + AFTER_START_MS) return false;
    if (this.#last === null) return true;
    return dayOf(nowMs - AFTER_MIDNIGHT_MS) > dayOf(this.#last.startedAt.getTime());
  }

  async #goOn(nowMs: number): Promise<void> {
    const { database } = this.#options;
    this.#run ??= await this.#store.begin(new Date(nowMs));
    this.#verifier ??= new Verifier(this.#options);
    const { startedAt } = this.#run;
    this.#again ??= await this.#store.openKeys(startedAt, new Date(nowMs - GIVE_UP_MS), AGAIN_MAX);
    const until = performance.now() + STEP_MS;
    while (performance.now() < until) {
      const [key] = this.#again;
      const credits =
        key === undefined
          ? await readCredits(database, { all: true, afterId: this.#run.lastTransactionId }, PAGE)
          : await readCredits(database, { key }, 1);
      for (const credit of credits) {
        const verdict = await this.#verifier.verify(credit);
        await this.#store.record(this.#run.id, verdict, new Date(nowMs));
        this.#run.credits++;
        if (credit.id > this.#run.lastTransactionId) this.#run.lastTransactionId = credit.id;
        if (verdict.status !== 'equal' && this.#found.length < FOUND_MAX) this.#found.push(verdict);
        if (performance.now() >= until) break;
      }
      if (key !== undefined) this.#again.shift();
      else if (credits.length === 0) return await this.#end(nowMs);
    }
    this.#open = await this.#store.open();
  }

  async #end(nowMs: number): Promise<void> {
    const run = this.#run as VerificationRun;
    await this.#store.end(run.id, new Date(nowMs));
    this.#open = await this.#store.open();
    this.#last = { ...run, endedAt: new Date(nowMs) };
    this.#run = null;
    const found = this.#found;
    this.#found = [];
    this.#again = null;
    this.#verifier = null;
    this.#options.onResult({ credits: run.credits, found, open: this.#open });
  }
}

const dayOf = (ms: number): number => Math.floor(ms / DAY_MS);
