// Runs and findings of the nightly verification in Postgres (migrations/010_verifications.sql).
import type { Database } from '../../storage/postgres/connection.js';
import type { CreditVerdict } from './verdict.js';

export interface VerificationRun {
  id: bigint;
  startedAt: Date;
  endedAt: Date | null;
  lastTransactionId: bigint;
  credits: number;
}

export interface OpenFindings {
  /** Sum over credits that differ. */
  differenceSats: bigint;
  different: number;
  incomplete: number;
}

const DETAIL_MAX = 4000;

export class VerificationStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The newest run; null before the first. */
  async latest(): Promise<VerificationRun | null> {
    const [row] = await this.#database<VerificationRun[]>`
      select id, started_at as "startedAt", ended_at as "endedAt",
             last_transaction_id as "lastTransactionId", credits::integer as credits
      from verification_runs order by id desc limit 1`;
    return row ?? null;
  }

  /** Begins a run after the last credit that was verified. */
  async begin(startedAt: Date): Promise<VerificationRun> {
    const [row] = await this.#database<VerificationRun[]>`
      insert into verification_runs (started_at, last_transaction_id)
      select ${startedAt}, coalesce(max(last_transaction_id), 0) from verification_runs
      returning id, started_at as "startedAt", ended_at as "endedAt",
                last_transaction_id as "lastTransactionId", credits::integer as credits`;
    if (row === undefined) throw new Error('Postgres returned no verification run');
    return row;
  }

  /** One credit more is verified; its finding, if any, is kept in the same transaction. */
  async record(runId: bigint, verdict: CreditVerdict, at: Date): Promise<void> {
    await this.#database.begin(async (tx) => {
      await tx`
        update verification_runs
        set last_transaction_id = greatest(last_transaction_id, ${verdict.transactionId}), credits = credits + 1
        where id = ${runId}`;
      if (verdict.status === 'equal') {
        await tx`
          update verification_findings
          set status = 'equal', difference_sats = 0, detail = 'recomputed to the satoshi', verified_at = ${at}
          where transaction_id = ${verdict.transactionId}`;
        return;
      }
      await tx`
        insert into verification_findings
          (transaction_id, key, status, difference_sats, detail, found_at, verified_at)
        values (${verdict.transactionId}, ${verdict.key}, ${verdict.status}, ${verdict.differenceSats},
                ${detailOf(verdict)}, ${at}, ${at})
        on conflict (transaction_id) do update set
          status = excluded.status, difference_sats = excluded.difference_sats, detail = excluded.detail,
          verified_at = excluded.verified_at`;
    });
  }

  async end(runId: bigint, at: Date): Promise<void> {
    await this.#database`update verification_runs set ended_at = ${at} where id = ${runId}`;
  }

  /**
   * Keys of credits to be verified again, oldest first: those not verified since `before`. One that lacks shares is
   * given up when it was found before `giveUpBefore`: what is gone does not come back.
   */
  async openKeys(before: Date, giveUpBefore: Date, limit: number): Promise<string[]> {
    const rows = await this.#database<{ key: string }[]>`
      select key from verification_findings
      where verified_at < ${before}
        and (status = 'different' or (status = 'incomplete' and found_at >= ${giveUpBefore}))
      order by transaction_id limit ${limit}`;
    return rows.map(({ key }) => key);
  }

  async open(): Promise<OpenFindings> {
    const [row] = await this.#database<OpenFindings[]>`
      select coalesce(sum(difference_sats) filter (where status = 'different'), 0)::bigint as "differenceSats",
             count(*) filter (where status = 'different')::integer as different,
             count(*) filter (where status = 'incomplete')::integer as incomplete
      from verification_findings where status <> 'equal'`;
    return row ?? { differenceSats: 0n, different: 0, incomplete: 0 };
  }
}

function detailOf({ status, reason, lines, inputs }: CreditVerdict): string {
  if (status === 'incomplete') return reason.slice(0, DETAIL_MAX);
  const words = [
    ...inputs.slice(0, 5).map(({ what, account, ledger, recomputed }) => {
      return `${account ?? 'credit'}: ${what} is ${ledger} in the ledger, ${recomputed} recomputed`;
    }),
    ...lines.slice(0, 5).map(({ kind, account, ledgerSats, recomputedSats }) => {
      return `${account ?? 'pool'} ${kind} ${ledgerSats} sat, recomputed ${recomputedSats}`;
    }),
  ];
  return words.join('; ').slice(0, DETAIL_MAX);
}
