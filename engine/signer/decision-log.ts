// Every decision of a signer, one JSON object a line, in a file that is only ever appended to and is on the disk before
// the answer leaves. Amounts are decimal text in satoshis. Used by psbt-signer.ts.

import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

const REASON_CHARS_MAX = 1000;

export interface RefusedDecision {
  atMs: number;
  decision: 'refused';
  code: string;
  reason: string;
}

export interface SignedDecision {
  atMs: number;
  decision: 'signed';
  txid: string;
  paidSats: bigint;
  feeSats: bigint;
  changeSats: bigint;
  /** What left within 24 hours, this one included. */
  dayTotalSats: bigint;
  payments: readonly { address: string; sats: bigint }[];
}

export class DecisionLog {
  readonly #file: number;

  /** Throws when the file cannot be opened. Creates it with mode 0600. */
  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o600);
  }

  /** Throws when the line did not reach the disk. */
  write(decision: RefusedDecision | SignedDecision): void {
    const { atMs, ...rest } = decision;
    const line = JSON.stringify({ at: new Date(atMs).toISOString(), ...rest }, (key, value: unknown) => {
      if (key === 'reason') return String(value).slice(0, REASON_CHARS_MAX);
      return typeof value === 'bigint' ? String(value) : value;
    });
    writeSync(this.#file, `${line}\n`);
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}
