// Addresses that may not connect for a while. Asked at each accept (one map look-up), filled by the strike
// ladder (conduct.ts) and the operator. A ban is on the miner's address, so with a PROXY header on what the
// header says, and for IPv6 on the /64, since its holder has every address in it.
//
// Who offends again within a day after a ban gets twice as long each time, up to a day. Loopback, the allow
// list (balancers without a PROXY header, own farms) and peers without a readable address are never banned:
// such a ban would hit everybody behind them.
import type { BlockList } from 'node:net';
import { type Source, sourceOf } from './admission.js';

/** Longest ban that doubling leads to; a longer one must be asked for as such. */
export const LONGEST_DOUBLED_SECONDS = 86_400;
/** Time after the end of a ban in which the next one counts as a repetition. */
export const OFFENCE_REMEMBERED_SECONDS = 86_400;
/** Addresses remembered at most, about 2 MB. */
export const BANS_MAX = 10_000;

/** When full, this part goes at once: those whose ban ends, or ended, first. A new ban is never refused. */
const DROPPED_WHEN_FULL = 1 / 16;
const REASON_MAX_CHARACTERS = 200;

export interface Ban {
  /** IPv4 address, or IPv6 /64 as `2001:db8:0:1::/64`. */
  readonly address: string;
  readonly reason: string;
  readonly secondsLeft: number;
  /** Bans of this address so far that count, this one included. */
  readonly offences: number;
}

interface Offender {
  reason: string;
  untilMs: number;
  offences: number;
}

export class BanList {
  readonly #nowMs: () => number;
  readonly #allow: BlockList;
  readonly #offenders = new Map<string, Offender>();

  /**
   * @param nowMs monotonic milliseconds
   * @param allow addresses and networks that are never banned
   */
  constructor(nowMs: () => number, allow: BlockList) {
    this.#nowMs = nowMs;
    this.#allow = allow;
  }

  /** Addresses remembered, whether banned now or not. */
  get size(): number {
    return this.#offenders.size;
  }

  /**
   * Bans an address for `seconds`, doubled for each ban before that is still remembered. While a ban runs
   * another one is no repetition (a farm's sessions fall together): it only lengthens it where it ends later.
   * @returns seconds until the ban ends; 0 when this address is never banned
   * @throws RangeError unless `seconds` is above 0 and finite
   */
  ban(remote: string, seconds: number, reason: string): number {
    if (!(seconds > 0 && seconds < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`a ban lasts a number of seconds above 0, not ${seconds}`);
    }
    const source = sourceOf(remote);
    if (this.#isExempt(source)) return 0;
    const now = this.#nowMs();
    const before = this.#recall(source.holder, now);
    const running = before !== undefined && before.untilMs > now;
    const offences = (before?.offences ?? 0) + (running ? 0 : 1);
    const doubled = Math.min(seconds * 2 ** (offences - 1), LONGEST_DOUBLED_SECONDS);
    const lasts = running ? seconds : Math.max(seconds, doubled);
    const untilMs = Math.max(now + lasts * 1000, before?.untilMs ?? 0);
    if (before === undefined && this.#offenders.size >= BANS_MAX) this.#makeRoom();
    this.#offenders.set(source.holder, { reason: reason.slice(0, REASON_MAX_CHARACTERS), untilMs, offences });
    return (untilMs - now) / 1000;
  }

  isBanned(remote: string): boolean {
    if (this.#offenders.size === 0) return false;
    const source = sourceOf(remote);
    const now = this.#nowMs();
    const offender = this.#recall(source.holder, now);
    // An allowed address may lie in a /64 that is banned for another of its addresses.
    return offender !== undefined && offender.untilMs > now && !this.#isExempt(source);
  }

  /** Ends a ban and forgets what led to it. Takes an address, or a /64 as `list` shows it. */
  unban(remote: string): boolean {
    return this.#offenders.delete(sourceOf(remote.replace(/\/64$/, '')).holder);
  }

  /** Bans that run now, the one that ends first in front. */
  list(): Ban[] {
    const now = this.#nowMs();
    const bans: Ban[] = [];
    for (const [address, { reason, untilMs, offences }] of this.#offenders) {
      if (untilMs > now) bans.push({ address, reason, secondsLeft: (untilMs - now) / 1000, offences });
    }
    return bans.sort((a, b) => a.secondsLeft - b.secondsLeft);
  }

  #isExempt(source: Source): boolean {
    const { family, address, loopback } = source;
    return family === 'unknown' || loopback || this.#allow.check(address, family);
  }

  /** The record of an address while it still counts. */
  #recall(holder: string, now: number): Offender | undefined {
    const offender = this.#offenders.get(holder);
    if (offender === undefined) return undefined;
    if (now < offender.untilMs + OFFENCE_REMEMBERED_SECONDS * 1000) return offender;
    this.#offenders.delete(holder);
    return undefined;
  }

  /** A part at once, so that a stream of bans sorts the list once in hundreds, not each time. */
  #makeRoom(): void {
    const byEnd = [...this.#offenders].sort(([, a], [, b]) => a.untilMs - b.untilMs);
    for (const [holder] of byEnd.slice(0, BANS_MAX * DROPPED_WHEN_FULL)) this.#offenders.delete(holder);
  }
}
