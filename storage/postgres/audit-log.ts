// The log of privileged actions: who did what to whom, why, and with which numbers. Rows are written in the
// transaction of the action itself, so there is no action without its row, and never changed (migrations/006).
import type { Database, Transaction } from './connection.js';
import { toJson } from './ledger-store.js';

/** Who acts, and why. Both are asked for, and kept for ever. */
export interface Authority {
  /** 1 to 256 characters. */
  actor: string;
  /** 1 to 1024 characters. */
  reason: string;
}

export interface AuditEntry extends Authority {
  /** Such as `account_settings`; at most 64 characters. */
  action: string;
  /** What it was done to, such as an account's name. */
  subject: string;
  inputs: Record<string, unknown>;
}

export interface AuditRow extends Omit<AuditEntry, 'inputs'> {
  id: bigint;
  at: Date;
  /** As stored: bigint are decimal strings. */
  inputs: Record<string, unknown>;
}

/** Adds a row within `tx`. Throws RangeError when actor or reason is missing or too long. */
export async function writeAudit(tx: Transaction, entry: AuditEntry): Promise<void> {
  const { actor, action, subject, reason, inputs } = entry;
  if (actor.length < 1 || actor.length > 256) throw new RangeError('the actor must have 1 to 256 characters');
  if (reason.length < 1 || reason.length > 1024) {
    throw new RangeError('a privileged action needs a reason of 1 to 1024 characters');
  }
  await tx`
    insert into audit_log (actor, action, subject, reason, inputs)
    values (${actor}, ${action}, ${subject}, ${reason}, ${toJson(inputs)}::text::jsonb)`;
}

/** Newest first, `limit` rows at most; of one subject when it is given. */
export async function readAudit(database: Database, limit: number, subject?: string): Promise<AuditRow[]> {
  return await database<AuditRow[]>`
    select id, at, actor, action, subject, reason, inputs from audit_log
    where ${subject === undefined ? database`true` : database`subject = ${subject}`}
    order by id desc limit ${limit}`;
}
