// Who is connected, by account and worker: counted as sessions authorize and leave, so that statistics do not walk
// through all sessions.
import type { UserName } from './user-name.js';

export class Roster {
  /** Account -> worker -> sessions. */
  readonly #accounts = new Map<string, Map<string, number>>();
  #workers = 0;

  get accounts(): number {
    return this.#accounts.size;
  }

  /** Distinct workers; two sessions under one name are one worker. */
  get workers(): number {
    return this.#workers;
  }

  add({ account, worker }: UserName): void {
    let workers = this.#accounts.get(account);
    if (workers === undefined) {
      workers = new Map();
      this.#accounts.set(account, workers);
    }
    const sessions = workers.get(worker) ?? 0;
    if (sessions === 0) this.#workers++;
    workers.set(worker, sessions + 1);
  }

  remove({ account, worker }: UserName): void {
    const workers = this.#accounts.get(account);
    const sessions = workers?.get(worker);
    if (workers === undefined || sessions === undefined) return;
    if (sessions > 1) {
      workers.set(worker, sessions - 1);
      return;
    }
    workers.delete(worker);
    this.#workers--;
    if (workers.size === 0) this.#accounts.delete(account);
  }

  /** Connected workers of the first `limit` accounts. */
  workersByAccount(limit: number): [account: string, workers: number][] {
    const counts: [string, number][] = [];
    for (const [account, workers] of this.#accounts) {
      if (counts.length === limit) break;
      counts.push([account, workers.size]);
    }
    return counts;
  }
}
