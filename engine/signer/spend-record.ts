// What a signer let go within the last 24 hours: the daily cap must hold over a restart and a crash, so the file is on
// the disk before a signature leaves. Used by psbt-signer.ts.
//
// Of transactions that share a coin only one can be mined. So a replacement that spends every coin of the ones
// before it counts as the dearest of them, not as their sum; anything else is added up.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const DAY_MS = 86_400_000;
const ENTRIES_MAX = 10_000;
const FORMAT = 1;

/** What one signed transaction takes out of the wallet. */
export interface Spend {
  txid: string;
  /** Coins, `txid:index`. */
  inputs: readonly string[];
  /** Inputs less change. */
  sats: bigint;
  /** Wall clock milliseconds. */
  atMs: number;
}

export class SpendRecord {
  readonly #path: string;

  /** Creates the file when there is none. Throws Error when it cannot be read or written. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#read();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#write([]);
    }
  }

  /** Satoshis that count at `nowMs`. Throws Error when the file is damaged. */
  spentSats(nowMs: number): bigint {
    return total(this.#recent(nowMs));
  }

  /**
   * Adds a spend if the sum of the day stays within `capSats`; returns the sum it would make. When this returns
   * `added: true` the file is on the disk.
   */
  add(spend: Spend, capSats: bigint): { added: boolean; totalSats: bigint } {
    const next = withSpend(this.#recent(spend.atMs), spend);
    const totalSats = total(next);
    if (totalSats > capSats) return { added: false, totalSats };
    if (next.length > ENTRIES_MAX) {
      throw new Error(
        `${this.#path} holds ${ENTRIES_MAX} payouts of one day, which is the most. Wait, or pay in larger batches`,
      );
    }
    this.#write(next);
    return { added: true, totalSats };
  }

  /** A clock that was set back makes spends of the future; they count too. */
  #recent(nowMs: number): Spend[] {
    return this.#read().filter(({ atMs }) => atMs > nowMs - DAY_MS);
  }

  #read(): Spend[] {
    const text = readFileSync(this.#path, 'utf8');
    try {
      const { format, spends } = JSON.parse(text) as {
        format: number;
        spends: (Omit<Spend, 'sats'> & { sats: string })[];
      };
      if (format !== FORMAT) throw new Error(`format ${format} is unknown`);
      return spends.map(({ txid, inputs, sats, atMs }) => {
        if (!Number.isFinite(atMs) || !Array.isArray(inputs)) throw new Error('an entry is incomplete');
        return { txid, inputs, sats: BigInt(sats), atMs };
      });
    } catch (error) {
      throw new Error(
        `${this.#path} is damaged (${(error as Error).message}), so nobody knows what was spent today. ` +
          'Restore it, or move it away after checking the log of decisions',
      );
    }
  }

  #write(spends: readonly Spend[]): void {
    const text = JSON.stringify({
      format: FORMAT,
      spends: spends.map((spend) => ({ ...spend, sats: String(spend.sats) })),
    });
    const next = `${this.#path}.next`;
    const file = openSync(next, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, this.#path);
    const folder = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
}

/** The list with `spend` in it. Signing the same transaction again changes no sum. */
export function withSpend(spends: readonly Spend[], spend: Spend): Spend[] {
  const inputs = new Set(spend.inputs);
  const rivals = spends.filter((other) => other.inputs.some((input) => inputs.has(input)));
  if (!rivals.every((rival) => rival.inputs.every((input) => inputs.has(input)))) return [...spends, spend];
  const before = total(rivals);
  const others = spends.filter((other) => !rivals.includes(other));
  return [...others, spend.sats < before ? { ...spend, sats: before } : spend];
}

function total(spends: readonly Spend[]): bigint {
  return spends.reduce((sum, { sats }) => sum + sats, 0n);
}
