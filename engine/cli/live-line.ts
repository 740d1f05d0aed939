// What a person sees while the pool runs: one line at the bottom of the terminal that is drawn anew each
// second, with the log scrolling above it. Without a terminal nothing is drawn: the log is JSON then.
import type { PoolSnapshot } from '../api/snapshot.js';
import { formatHashrate } from '../insight/hashrate.js';

const CLEAR_LINE = '\r\u001b[2K';

/** A writable that keeps the live line below whatever is written through it. */
export class LiveLine {
  readonly #out: NodeJS.WriteStream;
  #text = '';

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  /** Writes above the live line. */
  write(text: string): boolean {
    if (!this.#out.isTTY) return this.#out.write(text);
    return this.#out.write(`${CLEAR_LINE}${text}${this.#text}`);
  }

  /** Draws the line anew; no-op without a terminal. */
  show(text: string): void {
    if (!this.#out.isTTY) return;
    const width = Math.max(20, this.#out.columns ?? 80) - 1;
    this.#text = text.length > width ? `${text.slice(0, width - 1)}…` : text;
    this.#out.write(`${CLEAR_LINE}${this.#text}`);
  }

  /** Leaves the terminal as it was. */
  clear(): void {
    if (this.#out.isTTY && this.#text !== '') this.#out.write(CLEAR_LINE);
    this.#text = '';
  }
}

/** The pool in one line. */
export function poolLine(picture: PoolSnapshot): string {
  const { hashrate, shares, blocks, balances, node, stratum } = picture;
  const { hs, ci95_low, ci95_high } = hashrate.m5;
  const high = ci95_high === null ? '?' : formatHashrate(Number(ci95_high));
  return [
    `height ${node.height}`,
    `${formatHashrate(Number(hs))} (95% ${formatHashrate(Number(ci95_low))} to ${high})`,
    `${stratum.workers} workers`,
    `${shares.answered_true} shares`,
    `${blocks.found} blocks (${blocks.confirmed} confirmed)`,
    `owed ${btc(balances.immature_sats)} + ${btc(balances.confirmed_sats)} BTC`,
    `paid ${btc(balances.paid_sats)} BTC`,
  ].join(' · ');
}

/** Satoshis as bitcoin with two decimals, rounded down: for a line that is read, not booked. */
export function btc(sats: string): string {
  const cents = BigInt(sats) / 1_000_000n;
  return `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`;
}
