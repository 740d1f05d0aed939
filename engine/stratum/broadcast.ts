// Hands the newest job to everybody, in slices, so that submits are answered between them. A new tip goes out as fast
// as the loop allows; a mere refresh is spread over seconds, since 10,000 miners that all start new work at once bring
// 10,000 answers at once. A job that comes while another is on its way takes its place: who has not had the older one
// gets only the newer.

/** Sessions served in one turn: about 2 ms of writing. */
const SLICE = 256;
const SPREAD_MS = 2000;
const SPREAD_STEP_MS = 20;

export class Broadcast<Receiver> {
  readonly #send: (receiver: Receiver) => void;
  readonly #onSlice: () => void;
  #left: readonly Receiver[] = [];
  #at = 0;
  #start = 0;
  #slice = SLICE;
  #spread = false;
  #scheduled = false;

  /**
   * @param send gives the newest job to one receiver; must cope with receivers that are gone
   * @param onSlice after each slice: the place to write out what was sent
   */
  constructor(send: (receiver: Receiver) => void, onSlice: () => void) {
    this.#send = send;
    this.#onSlice = onSlice;
  }

  /** True while receivers wait for their turn. */
  get running(): boolean {
    return this.#at < this.#left.length;
  }

  /** There is a newer job. The first slice goes out now. */
  begin(receivers: Iterable<Receiver>, spread: boolean): void {
    const all = [...receivers];
    // Somebody must be last, but not always the same.
    this.#start = all.length === 0 ? 0 : (this.#start + SLICE) % all.length;
    this.#left = [...all.slice(this.#start), ...all.slice(0, this.#start)];
    this.#at = 0;
    this.#spread = spread;
    const steps = spread ? SPREAD_MS / SPREAD_STEP_MS : 1;
    this.#slice = spread ? Math.max(1, Math.ceil(this.#left.length / steps)) : SLICE;
    this.#serve();
  }

  #serve(): void {
    const until = Math.min(this.#left.length, this.#at + this.#slice);
    while (this.#at < until) this.#send(this.#left[this.#at++] as Receiver);
    this.#onSlice();
    if (!this.running) {
      this.#left = [];
      this.#at = 0;
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      if (this.#spread) setTimeout(this.#next, SPREAD_STEP_MS);
      else setImmediate(this.#next);
    }
  }

  readonly #next = (): void => {
    this.#scheduled = false;
    if (this.running) this.#serve();
  };
}
