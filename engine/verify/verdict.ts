// What verifying one credit says.

/** An input of the credit that is not what the raw shares, or other records, say it should be. */
export interface InputDifference {
  what: string;
  /** Whose; null when it is the whole credit's. */
  account: string | null;
  ledger: string;
  recomputed: string;
}

export interface LineDifference {
  /** Of the ledger account. */
  kind: string;
  account: string | null;
  ledgerSats: bigint;
  recomputedSats: bigint;
  /** The first input that differs: of this account, else of the credit. Null: the sums themselves are wrong. */
  cause: InputDifference | null;
}

export interface CreditVerdict {
  /** Idempotency key of the ledger transaction. */
  key: string;
  transactionId: bigint;
  kind: 'block_credit' | 'expected_pay';
  postedAt: Date;
  /**
   * `incomplete`: the stores do not hold what it takes to recompute it (`reason`). `different`: an amount or an input
   * is not what was recomputed.
   */
  status: 'equal' | 'different' | 'incomplete';
  /** Miners it pays. */
  accounts: number;
  /** Sum of all it pays, the pool's own parts included. */
  sats: bigint;
  /** Sum of the absolute differences of its lines. */
  differenceSats: bigint;
  /** Lines that differ, `DIFFERENCES_MAX` at most; as `inputs`. */
  lines: LineDifference[];
  inputs: InputDifference[];
  /** Why it cannot be recomputed; '' unless incomplete. */
  reason: string;
}

export const DIFFERENCES_MAX = 1000;

/** The stores lack what a credit was made from: nothing can be said. The message says what is missing. */
export class IncompleteError extends Error {
  override readonly name = 'IncompleteError';
}

/** Inputs that differ, in the order in which they were looked at. */
export class InputDifferences {
  readonly all: InputDifference[] = [];

  /** Notes a difference unless both are the same text or number. */
  compare(what: string, ledger: unknown, recomputed: unknown, account: string | null = null): void {
    if (String(ledger) !== String(recomputed)) this.add(what, ledger, recomputed, account);
  }

  add(what: string, ledger: unknown, recomputed: unknown, account: string | null = null): void {
    if (this.all.length >= DIFFERENCES_MAX) return;
    this.all.push({ what, account, ledger: String(ledger), recomputed: String(recomputed) });
  }

  /** The first one of `account`, else the first of the whole credit, else the first of all. */
  causeFor(account: string | null): InputDifference | null {
    const of = (who: string | null) => this.all.find((each) => each.account === who);
    return of(account) ?? of(null) ?? this.all[0] ?? null;
  }
}
