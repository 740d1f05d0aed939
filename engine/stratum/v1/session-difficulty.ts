// Which difficulty a session has, had and should have. Every job is judged by the target it was sent with, for as
// long as it lives; a new difficulty only ever goes out together with a new job. Knows no message: the session sends.
import { targetFromDifficulty, targetToBytesLE } from '../../bitcoin/target.js';
import type { ShareTarget } from '../../shares/submission.js';
import { Vardiff, type VardiffSettings } from '../../work/vardiff.js';
import type { BoardJob } from '../job-board.js';
import type { PortProfile } from '../port-profile.js';

/** What the pool sets for sessions of every port. */
export interface PoolDifficulty {
  /** Difficulty a new session starts with. */
  readonly startDifficulty: number;
  readonly difficultyFloor: number;
  readonly difficultyCeiling: number;
  /** null: difficulty only moves when a miner asks. */
  readonly vardiff: Omit<VardiffSettings, 'floor' | 'ceiling'> | null;
}

/** From this job on, shares of the session are judged by this target. */
interface Announcement extends ShareTarget {
  readonly fromJob: number;
}

/** What is left of a session's difficulty when its connection is gone. */
export interface KeptDifficulty {
  readonly announcements: readonly Announcement[];
  readonly wanted: number;
}

/** Where a start difficulty may come from; what stands later says more about the miner and wins. */
const SOURCES = ['default', 'remembered', 'resumed', 'suggested', 'password'] as const;
export type DifficultySource = (typeof SOURCES)[number];

export class SessionDifficulty {
  readonly #pool: PoolDifficulty;
  readonly #lowest: number;
  readonly #ceiling: number;
  /** Floors the miner itself set: mining.configure and password. */
  readonly #minimums = { configured: 0, password: 0 };
  /** In job order; the last is in force. */
  #announcements: Announcement[] = [];
  #vardiff: Vardiff | null = null;
  /** What the session should have, were it not for the network difficulty. */
  #wanted: number;
  #rank = 0;
  /** What this connection was told last; 0 for nothing yet. */
  #told = 0;

  constructor(pool: PoolDifficulty, port: PortProfile) {
    this.#pool = pool;
    this.#lowest = port.minDifficulty ?? pool.difficultyFloor;
    this.#ceiling = port.maxDifficulty ?? pool.difficultyCeiling;
    this.#wanted = this.#bounded(port.startDifficulty ?? pool.startDifficulty);
  }

  /** Difficulty of the newest job sent; 0 before the first. */
  get inForce(): number {
    return this.#announcements.at(-1)?.difficulty ?? 0;
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** The target that shares of `job` are judged by; null when it is older than what was ever announced. */
  targetOf(job: BoardJob): ShareTarget | null {
    for (let i = this.#announcements.length - 1; i >= 0; i--) {
      const announcement = this.#announcements[i] as Announcement;
      if (announcement.fromJob <= job.key) return announcement;
    }
    return null;
  }

  /**
   * Takes up what is known of the miner, unless something that says more was known before. Vardiff goes on from there.
   * @returns true when the session now should have another difficulty.
   */
  propose(difficulty: number, source: DifficultySource, nowMs: number): boolean {
    const rank = SOURCES.indexOf(source);
    if (rank < this.#rank) return false;
    this.#rank = rank;
    return this.#want(difficulty, nowMs);
  }

  /**
   * Sets the lowest difficulty that the miner wants to be given, 0 for none; never above the ceiling.
   * @returns true when the session now should have another difficulty.
   */
  setMinimum(source: 'configured' | 'password', difficulty: number, nowMs: number): boolean {
    this.#minimums[source] = difficulty;
    if (this.#vardiff !== null) this.#vardiff = this.#newVardiff(this.inForce, nowMs);
    return this.#want(this.#wanted, nowMs);
  }

  /** `job` is about to be sent. @returns the difficulty to tell right before it; null when the miner knows it. */
  announce(job: BoardJob, nowMs: number): number | null {
    // A share target harder than the network's would hide blocks from the miner. What was wanted is kept:
    // a network difficulty that dips for one block must not lower the session for good.
    const announced = Math.min(this.#wanted, job.message.networkDifficulty);
    if (announced !== this.inForce) {
      this.#announcements.push({ fromJob: job.key, difficulty: announced, targetLE: targetBytes(announced) });
    }
    if (this.#vardiff === null) this.#vardiff = this.#newVardiff(announced, nowMs);
    else this.#vardiff.announced(announced, nowMs);
    if (announced === this.#told) return null;
    this.#told = announced;
    return announced;
  }

  /** Work was delivered at `difficulty`. */
  onShare(nowMs: number, difficulty: number): void {
    this.#vardiff?.onShare(nowMs, difficulty);
  }

  /** True when this miner needs another difficulty than that of its newest job. */
  retarget(nowMs: number, networkDifficulty: number | undefined): boolean {
    const next = this.#vardiff?.retarget(nowMs, networkDifficulty) ?? null;
    if (next === null || next === this.inForce) return false;
    this.#wanted = next;
    return true;
  }

  /** Jobs below `oldestKey` are gone: forget what was announced only for them. */
  forgetJobsBelow(oldestKey: number): void {
    while (this.#announcements.length > 1 && (this.#announcements[1] as Announcement).fromJob <= oldestKey) {
      this.#announcements.shift();
    }
  }

  keep(): KeptDifficulty {
    return { announcements: this.#announcements, wanted: this.#wanted };
  }

  /** Goes on where a closed session of the same miner was. */
  resume(kept: KeptDifficulty, nowMs: number): void {
    this.#announcements = [...kept.announcements];
    this.propose(kept.wanted, 'resumed', nowMs);
  }

  #want(difficulty: number, nowMs: number): boolean {
    const next = this.#bounded(difficulty);
    if (next === this.#wanted) return false;
    this.#wanted = next;
    this.#vardiff?.announced(next, nowMs);
    return true;
  }

  get #floor(): number {
    const { configured, password } = this.#minimums;
    return Math.min(this.#ceiling, Math.max(this.#lowest, configured, password));
  }

  #bounded(difficulty: number): number {
    // AxeOS and others cut fractions off: they would send shares below the target.
    const whole = difficulty < 1 ? difficulty : Math.round(difficulty);
    return Math.min(this.#ceiling, Math.max(this.#floor, whole));
  }

  #newVardiff(difficulty: number, nowMs: number): Vardiff | null {
    const { vardiff } = this.#pool;
    if (vardiff === null) return null;
    return new Vardiff({ ...vardiff, floor: this.#floor, ceiling: this.#ceiling }, difficulty, nowMs);
  }
}

/** Most miners of a pool have one of a few difficulties: those share their target. */
const TARGETS_MAX = 1024;
const targets = new Map<number, Uint8Array>();

/** 32 bytes little-endian; never to be changed. */
function targetBytes(difficulty: number): Uint8Array {
  const known = targets.get(difficulty);
  if (known !== undefined) return known;
  const bytes = targetToBytesLE(targetFromDifficulty(difficulty));
  if (targets.size >= TARGETS_MAX) targets.clear();
  targets.set(difficulty, bytes);
  return bytes;
}
