-- What the nightly verification of credits found (engine/verify). A run goes over the credits after the last one that
-- a run before it has seen, in the order they were posted, and goes on after a restart where it was.
create table verification_runs (
  id bigint generated always as identity primary key,
  started_at timestamptz not null,
  -- Null while it runs.
  ended_at timestamptz,
  -- Ledger transactions up to this one are verified.
  last_transaction_id bigint not null default 0,
  credits bigint not null default 0
);
create unique index verification_runs_one_open on verification_runs ((true)) where ended_at is null;

-- Credits that could not be recomputed to the satoshi. They are verified again every night: a store may have been
-- behind, or was mended. A finding that is settled stays, as `equal`.
create table verification_findings (
  transaction_id bigint primary key references ledger_transactions,
  key text not null,
  status text not null check (status in ('different', 'incomplete', 'equal')),
  difference_sats bigint not null check (difference_sats >= 0),
  -- In a few words: accounts, lines, or what is missing.
  detail text not null check (length(detail) <= 4096),
  found_at timestamptz not null,
  verified_at timestamptz not null
);
create index verification_findings_open on verification_findings (transaction_id) where status <> 'equal';

-- Credits among all ledger transactions.
create index ledger_transactions_credits on ledger_transactions (id) where kind in ('block_credit', 'expected_pay');
create index ledger_transactions_expected_pay on ledger_transactions (id) where kind = 'expected_pay';
create index ledger_transactions_by_time on ledger_transactions (created_at);
