// When a batch of shares is worth judging, and whether shares come so often that results are fetched in passing.

/** A batch is held back for a turn or two of the event loop while it is below this and still growing. */
const HOLD_BELOW_SHARES = 16;
const HOLD_TURNS_MAX = 2;
/** Shares flow: results are fetched in passing, because being woken for them costs 18 us a batch. */
const FLOWING_GAP_US = 300;
const GAP_WEIGHT = 1 / 8;
const GAP_MAX_US = 3000;

export class Pacing {
  #heldTurns = 0;
  #heldShares = 0;
  /** Mean time between the turns in which shares came, microseconds. */
  #gapUs = GAP_MAX_US;
  #lastShareTurnUs = 0;

  get flowing(): boolean {
    return this.#gapUs < FLOWING_GAP_US;
  }

  /** Shares came in this turn. `turnUs`: its time, microseconds. */
  sharesCame(turnUs: number): void {
    if (this.#heldTurns > 0) return;
    const gap = Math.min(GAP_MAX_US, Math.max(0, turnUs - this.#lastShareTurnUs));
    this.#gapUs += (gap - this.#gapUs) * GAP_WEIGHT;
    this.#lastShareTurnUs = turnUs;
  }

  /**
   * Four lanes are filled by four shares: while more arrive with each turn, waiting a turn (a few
   * microseconds, the loop does not sleep) makes the batch cheaper for all of it.
   */
  holdsBack(shares: number): boolean {
    const grows = shares > this.#heldShares;
    if (shares === 0 || shares >= HOLD_BELOW_SHARES || !grows || this.#heldTurns >= HOLD_TURNS_MAX) {
      this.#heldTurns = 0;
      this.#heldShares = 0;
      return false;
    }
    this.#heldTurns++;
    this.#heldShares = shares;
    return true;
  }
}
