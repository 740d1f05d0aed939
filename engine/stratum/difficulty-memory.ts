// What each user name last worked at: a miner that comes back after a power cut or a restart of its farm need not
// climb from the pool's default again. Bounded in number and age; the name heard of longest ago goes first.

export interface DifficultyMemoryOptions {
  /** Names remembered at most. */
  readonly limit: number;
  /** Older than this it says little about the machine behind the name. */
  readonly ageMaxMs: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

interface Remembered {
  readonly difficulty: number;
  readonly atMs: number;
}

export class DifficultyMemory {
  readonly #options: DifficultyMemoryOptions;
  /** In the order in which they were last remembered. */
  readonly #byUser = new Map<string, Remembered>();

  constructor(options: DifficultyMemoryOptions) {
    this.#options = options;
  }

  /** Names remembered now. */
  get count(): number {
    return this.#byUser.size;
  }

  /** @param user in its canonical spelling. */
  remember(user: string, difficulty: number): void {
    this.#byUser.delete(user);
    this.#byUser.set(user, { difficulty, atMs: this.#options.nowMs() });
    if (this.#byUser.size <= this.#options.limit) return;
    for (const oldest of this.#byUser.keys()) {
      this.#byUser.delete(oldest);
      return;
    }
  }

  /** The difficulty `user` last worked at; null when that is unknown or too long ago. */
  recall(user: string): number | null {
    const remembered = this.#byUser.get(user);
    if (remembered === undefined) return null;
    if (this.#options.nowMs() - remembered.atMs <= this.#options.ageMaxMs) return remembered.difficulty;
    this.#byUser.delete(user);
    return null;
  }
}
