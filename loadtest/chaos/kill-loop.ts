// The rounds of the kill loop: waits for the moment, hits, writes down whom and what it met.
import type { Round, Target } from './plan.js';
import type { ChaosPool } from './pool.js';
import type { Recovery } from './recovery.js';
import type { Victims } from './victims.js';

/** What one round did. */
export interface Hit {
  readonly round: number;
  readonly target: Target;
  readonly action: Round['action'];
  readonly pid: number;
  /** Since the load began. */
  readonly atS: number;
  readonly sinceRestartS: number;
  /** What was being recovered at that moment; null when nothing was. */
  readonly recovery: string | null;
}

/** Pauses between restarts of a child that dies again and again grow to 15 s. */
const SETTLES_WITHIN_MS = 40_000;
const APPEARS_WITHIN_MS = 20_000;
/** A round does not wait for a pool that never serves: that is a failure of the run. */
const STARTS_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;
const POLL_MS = 10;

export interface KillLoopOptions {
  readonly pool: ChaosPool;
  readonly victims: Victims;
  readonly recovery: Recovery;
  readonly rounds: readonly Round[];
  readonly onHit: (hit: Hit) => void;
}

export class KillLoop {
  readonly #options: KillLoopOptions;
  readonly #startMs = performance.now();
  /** Of the pool, or of a child that was hit. */
  #restartMs = performance.now();
  /** Last time a child of the pool was hit, which may rightly end a start. */
  childHitMs = Number.NEGATIVE_INFINITY;

  constructor(options: KillLoopOptions) {
    this.#options = options;
  }

  /** @throws Error when the pool does not come back */
  async run(): Promise<void> {
    for (const [index, round] of this.#options.rounds.entries()) {
      if (!round.early) await this.settle(SETTLES_WITHIN_MS);
      await pause(round.delayMs);
      await this.#hit(index + 1, round);
    }
  }

  /** Waits until the pool serves and its stores have caught up. @returns false when `withinMs` is over */
  async settle(withinMs: number): Promise<boolean> {
    const { pool, recovery } = this.#options;
    const end = performance.now() + withinMs;
    while (performance.now() < end) {
      const snapshot = await pool.stats();
      if (snapshot !== null) recovery.observe(snapshot);
      if (recovery.state(pool.started) === null) return true;
      if (!pool.started && performance.now() - pool.spawnedAtMs > STARTS_WITHIN_MS) {
        throw new Error(`the pool does not start within ${STARTS_WITHIN_MS / 1000} s`);
      }
      await pause(LOOK_EVERY_MS);
    }
    return false;
  }

  async #hit(number: number, { target: wanted, action: planned, frozenMs }: Round): Promise<void> {
    const { pool, victims, recovery, onHit } = this.#options;
    const before = await pool.stats();
    if (before !== null) recovery.observe(before);
    const { target, pid } = await this.#find(wanted);
    const action = victims.isFrozen(pid) ? 'kill' : planned;
    const nowMs = performance.now();
    onHit({
      ...{ round: number, target, action, pid },
      atS: (nowMs - this.#startMs) / 1000,
      sinceRestartS: (nowMs - Math.max(this.#restartMs, pool.spawnedAtMs)) / 1000,
      recovery: recovery.state(pool.started),
    });
    if (target !== 'pool') this.childHitMs = nowMs;
    if (action === 'freeze') {
      victims.freeze(pid, frozenMs);
      recovery.hit(target, Date.now() + frozenMs);
      return;
    }
    victims.kill(target, pid);
    recovery.hit(target, Date.now());
    // The next moment is counted from when it is back.
    await until(() => ![0, pid].includes(victims.pidOf(target)), APPEARS_WITHIN_MS);
    this.#restartMs = performance.now();
  }

  /** A child that is not there right now may appear in a moment; else the pool is hit in its place. */
  async #find(target: Target): Promise<{ target: Target; pid: number }> {
    const { victims } = this.#options;
    for (const each of [target, 'pool'] as const) {
      await until(() => victims.pidOf(each) !== 0, APPEARS_WITHIN_MS / 4);
      const pid = victims.pidOf(each);
      if (pid !== 0) return { target: each, pid };
    }
    throw new Error('the pool is not started again');
  }
}

/** @returns false when `withinMs` was over first */
export async function until(condition: () => boolean, withinMs: number): Promise<boolean> {
  for (const end = performance.now() + withinMs; performance.now() < end; ) {
    if (condition()) return true;
    await pause(POLL_MS);
  }
  return condition();
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
