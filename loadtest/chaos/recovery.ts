// Whether a moment lies in a recovery: the pool has not said `started` yet, or a store has not caught up with the
// journal since it, or the pool, was hit. Pure but for the snapshots it is shown.
import type { PoolSnapshot } from '../../engine/api/snapshot.js';
import type { Target } from './plan.js';

const STORES = { clickhouse: 'clickhouse', ledger: 'postgres' } as const;
type Consumer = keyof typeof STORES;

/** What is on its way to a store under this load when all is well is a third of it. */
const LAG_MAX_SHARES = 500;
/** The pool notices with its next batch that a store is gone. */
const UNNOTICED_MS = 1500;

export class Recovery {
  /** Wall-clock milliseconds before which no snapshot says anything about the store. */
  readonly #behindSinceMs = new Map<Consumer, number>();

  /** @param nowMs wall clock, as the snapshots */
  hit(target: Target, nowMs: number): void {
    for (const consumer of Object.keys(STORES) as Consumer[]) {
      if (target === 'pool') this.#behindSinceMs.set(consumer, nowMs);
      if (target === STORES[consumer]) this.#behindSinceMs.set(consumer, nowMs + UNNOTICED_MS);
    }
  }

  observe({ as_of, pipelines }: PoolSnapshot): void {
    for (const { consumer, state, lag } of pipelines) {
      const since = this.#behindSinceMs.get(consumer as Consumer);
      if (since === undefined || Date.parse(as_of) < since) continue;
      if (state === 'ok' && lag <= LAG_MAX_SHARES) this.#behindSinceMs.delete(consumer as Consumer);
    }
  }

  /** What is being recovered, in words; null when nothing is. */
  state(poolStarted: boolean): string | null {
    if (!poolStarted) return 'the pool was starting';
    const behind = [...this.#behindSinceMs.keys()].map((consumer) => STORES[consumer]);
    return behind.length === 0 ? null : `${behind.join(' and ')} had not caught up`;
  }
}
