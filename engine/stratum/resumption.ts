// Closed sessions that their miner may take up again: it names the session id in mining.subscribe and gets back its
// extranonce1, so that shares found before the disconnect are still worth something, with the difficulties they were
// announced with. A live session is never here, so no two live sessions share an extranonce1. ckpool does the same.
import { randomFillSync } from 'node:crypto';
import type { KeptDifficulty } from './v1/session-difficulty.js';

/** A session can be taken up again for this long. */
export const RESUME_WITHIN_MS = 600_000;
/** Closed sessions kept at most: a sixteenth of the extranonces of a lane. */
export const RESUMABLE_MAX = 65_536;

export interface KeptSession {
  /** Its lease goes on while the session is kept, and passes to the session that takes it up. */
  readonly extranonce1: Uint8Array;
  readonly difficulty: KeptDifficulty;
  readonly versionMask: number;
  /** Key of the newest job it was sent; 0 for none. */
  readonly lastJobKey: number;
  /** Previous block of that job, display order hex. */
  readonly lastTip: string;
}

export interface ResumableSessionsOptions {
  readonly limit: number;
  readonly keepMs: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** The session can no longer be taken up: its extranonce1 is to be given back. */
  readonly onGone: (session: KeptSession) => void;
}

const ID_BYTES = 8;
/** Drawn for many ids at once: a draw of its own for each costs 7 us. */
const drawn = Buffer.alloc(512 * ID_BYTES);
let used = drawn.length;

/** 16 hex digits that nobody can guess: who names them gets the extranonce1 of that session. */
export function newSessionId(): string {
  if (used === drawn.length) {
    randomFillSync(drawn);
    used = 0;
  }
  used += ID_BYTES;
  return drawn.toString('hex', used - ID_BYTES, used);
}

export class ResumableSessions {
  readonly #options: ResumableSessionsOptions;
  /** In the order in which they were closed. */
  readonly #byId = new Map<string, { session: KeptSession; closedAtMs: number }>();

  constructor(options: ResumableSessionsOptions) {
    this.#options = options;
  }

  /** Sessions kept now. */
  get count(): number {
    return this.#byId.size;
  }

  /** Keeps a session that was just closed; when there are too many, the one closed longest ago goes. */
  keep(id: string, session: KeptSession): void {
    this.#byId.set(id, { session, closedAtMs: this.#options.nowMs() });
    for (const [oldest, kept] of this.#byId) {
      if (this.#byId.size <= this.#options.limit) return;
      this.#byId.delete(oldest);
      this.#options.onGone(kept.session);
    }
  }

  /** Hands a session out, once; null when none of that id is kept. */
  take(id: string): KeptSession | null {
    this.expire();
    const kept = this.#byId.get(id);
    if (kept === undefined) return null;
    this.#byId.delete(id);
    return kept.session;
  }

  /** Lets go of what was kept for its time; to be called now and then. */
  expire(): void {
    const before = this.#options.nowMs() - this.#options.keepMs;
    for (const [id, kept] of this.#byId) {
      if (kept.closedAtMs > before) return;
      this.#byId.delete(id);
      this.#options.onGone(kept.session);
    }
  }
}
