// What the pool answered to one miner, in the miner's own books: the figure that the pool's journal,
// ClickHouse and Postgres are reconciled with. A share is credited with the difficulty that its job
// was received with. Pure; filled by `stratum-client.ts`, added up by `fleet.ts`.

/** Reject reasons that are kept apart; further ones are counted under `OTHER_REASONS`. */
export const REASONS_MAX = 64;
export const OTHER_REASONS = 'other reasons';

/** A copy of a ledger's figures. */
export interface LedgerTotals {
  /** Shares sent. */
  submitted: number;
  /** Shares answered `true`. */
  accepted: number;
  /** Sum of the difficulties of the accepted shares. */
  acceptedDifficulty: number;
  /** Shares answered with an error, by `"<code> <message>"` as received. */
  rejected: Record<string, number>;
  /** Shares whose answer will never come: the connection ended or the pool was silent too long. */
  unanswered: number;
}

export class ShareLedger {
  #submitted = 0;
  #accepted = 0;
  #unanswered = 0;
  // Neumaier's compensated sum: millions of shares of 1e-10 must not drown in rounding.
  #difficultySum = 0;
  #difficultyLost = 0;
  readonly #rejected = new Map<string, number>();

  submitted(): void {
    this.#submitted++;
  }

  /** @param difficulty the difficulty in force when the share's job was received */
  accepted(difficulty: number): void {
    this.#accepted++;
    this.#addDifficulty(difficulty);
  }

  /** @param code Stratum error code @param message the pool's sentence */
  rejected(code: number, message: string): void {
    this.#countReason(`${code} ${message}`, 1);
  }

  unanswered(): void {
    this.#unanswered++;
  }

  /** Adds the figures of another ledger to this one. */
  add(other: LedgerTotals): void {
    this.#submitted += other.submitted;
    this.#accepted += other.accepted;
    this.#unanswered += other.unanswered;
    this.#addDifficulty(other.acceptedDifficulty);
    for (const [reason, count] of Object.entries(other.rejected)) this.#countReason(reason, count);
  }

  /** Shares sent whose answer is still due. */
  get pending(): number {
    let rejected = 0;
    for (const count of this.#rejected.values()) rejected += count;
    return this.#submitted - this.#accepted - rejected - this.#unanswered;
  }

  totals(): LedgerTotals {
    return {
      submitted: this.#submitted,
      accepted: this.#accepted,
      acceptedDifficulty: this.#difficultySum + this.#difficultyLost,
      rejected: Object.fromEntries(this.#rejected),
      unanswered: this.#unanswered,
    };
  }

  #addDifficulty(difficulty: number): void {
    const sum = this.#difficultySum + difficulty;
    this.#difficultyLost +=
      Math.abs(this.#difficultySum) >= Math.abs(difficulty)
        ? this.#difficultySum - sum + difficulty
        : difficulty - sum + this.#difficultySum;
    this.#difficultySum = sum;
  }

  #countReason(reason: string, count: number): void {
    const known = this.#rejected.has(reason) || this.#rejected.size < REASONS_MAX - 1;
    const key = known ? reason : OTHER_REASONS;
    this.#rejected.set(key, (this.#rejected.get(key) ?? 0) + count);
  }
}
