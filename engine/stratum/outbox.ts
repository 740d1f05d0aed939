// What to do with a peer that does not read; one per connection, state only (it holds no bytes itself).
// Replies are never dropped: beyond the mark the reader is paused, so that none are added. Jobs are: beyond
// the mark a job is not queued, and when the peer has drained below it, it gets the newest one instead, since
// an old job in a full queue is of no use to anybody. ckpool drops a client that blocks for 60 s; so do we.
//
// Beyond the mark only the replies of shares in flight are added, so memory is bounded by
// mark + one turn's replies, and a peer that takes 4 KiB a minute still ends below it.

/** Unsent bytes beyond which no job is queued and nothing is read. */
export const UNSENT_MARK_BYTES = 64 * 1024;
/** Unsent bytes at which reading goes on: well below the mark, or each reply would toggle the reader. */
const RESUME_BYTES = UNSENT_MARK_BYTES / 2;
const STUCK_AFTER_MS = 60_000;
/** Less than this in 60 s is no progress: a byte at a time would hold the queue for ever. */
const PROGRESS_BYTES = 4096;

export class Outbox {
  #jobOwed = false;
  #overMark = false;
  /** Most unsent bytes since the last progress, and when that was. */
  #progressBytes = 0;
  #progressMs = 0;

  /** Whether a job goes out now; if not, it is remembered that one is owed. After sending call `jobSent`. */
  mayQueueJob(unsentBytes: number): boolean {
    if (unsentBytes <= UNSENT_MARK_BYTES) return true;
    this.#jobOwed = true;
    return false;
  }

  /** The newest job was queued: nothing is owed any more. */
  jobSent(): void {
    this.#jobOwed = false;
  }

  /**
   * To be called about once a second.
   * @param nowMs monotonic milliseconds
   * @returns `send_job`: a job is owed and there is room, send the newest; `stuck`: close the connection
   */
  onTick(nowMs: number, unsentBytes: number): 'fine' | 'send_job' | 'stuck' {
    if (unsentBytes <= UNSENT_MARK_BYTES) {
      this.#overMark = false;
      return this.#jobOwed ? 'send_job' : 'fine';
    }
    if (!this.#overMark || unsentBytes <= this.#progressBytes - PROGRESS_BYTES) {
      this.#overMark = true;
      this.#progressBytes = unsentBytes;
      this.#progressMs = nowMs;
      return 'fine';
    }
    // Replies that were in flight still come on top: progress is counted from the peak.
    this.#progressBytes = Math.max(this.#progressBytes, unsentBytes);
    return nowMs - this.#progressMs >= STUCK_AFTER_MS ? 'stuck' : 'fine';
  }

  /** Whether to stop reading from this peer. */
  shouldPause(unsentBytes: number): boolean {
    return unsentBytes > UNSENT_MARK_BYTES;
  }

  /** Whether a reader paused by `shouldPause` may go on. */
  shouldResume(unsentBytes: number): boolean {
    return unsentBytes <= RESUME_BYTES;
  }
}
