-- Five schemes, the reserve that expected pay (PPS, PPS+, FPPS) comes from, and what privileged people did.

-- On a large database the checks below read every row.
set local statement_timeout = 0;

-- What an account chose. Null: the pool's default; a donation of null is none.
alter table accounts
  drop constraint accounts_scheme_check,
  add constraint accounts_scheme_check check (scheme in ('pplns', 'solo', 'pps', 'ppsplus', 'fpps')),
  add column fee_ppm integer check (fee_ppm between 0 and 1000000),
  add column donation_ppm integer check (donation_ppm between 0 and 1000000);

alter table work_slices
  drop constraint work_slices_scheme_check,
  add constraint work_slices_scheme_check check (scheme in ('pplns', 'solo', 'pps', 'ppsplus', 'fpps'));

-- Scheme of the share that found it. Null on rows from before this migration: its account's, then.
alter table blocks
  add column finder_scheme text check (finder_scheme in ('pplns', 'solo', 'pps', 'ppsplus', 'fpps'));

-- Accepted work of expected-value schemes that is booked and not yet paid. Rows belong to a node, as work
-- slices do; a credit reads and deletes them with all cursors locked, so for one (scheme, height, bits) and node
-- they are exactly the shares first_seq to last_seq.
create table expected_work (
  node_id integer not null,
  account_id integer not null references accounts,
  scheme text not null check (scheme in ('pps', 'ppsplus', 'fpps')),
  -- Height and compact target of the block that was worked on.
  height integer not null check (height >= 0),
  bits bigint not null check (bits between 1 and 4294967295),
  shares bigint not null check (shares > 0),
  work numeric(80, 0) not null check (work > 0),
  first_seq bigint not null,
  last_seq bigint not null check (last_seq >= first_seq),
  primary key (node_id, account_id, scheme, height, bits)
);
create index expected_work_by_height on expected_work (height, scheme);

-- Fractions of a satoshi that a credit left, in units of 2^-64 sat: owed with the account's next credit.
create table expected_carry (
  account_id integer primary key references accounts,
  miner_q64 numeric(20, 0) not null check (miner_q64 >= 0 and miner_q64 < 18446744073709551616),
  fee_q64 numeric(20, 0) not null check (fee_q64 >= 0 and fee_q64 < 18446744073709551616),
  donation_q64 numeric(20, 0) not null check (donation_q64 >= 0 and donation_q64 < 18446744073709551616)
);

-- What FPPS adds to the subsidy: the mean fees of an epoch's 144 blocks, for shares of the epoch after it.
create table fee_averages (
  -- Of the blocks: floor(height / 144).
  epoch integer primary key check (epoch >= 0),
  first_height integer not null check (first_height = epoch * 144),
  last_height integer not null check (last_height = first_height + 143),
  last_block_hash text not null check (last_block_hash ~ '^[0-9a-f]{64}$'),
  -- What each block paid in fees, by height.
  block_fees_sats bigint[] not null check (cardinality(block_fees_sats) = 144),
  total_fees_sats bigint not null check (total_fees_sats >= 0),
  average_fees_sats bigint not null check (average_fees_sats = total_fees_sats / 144),
  created_at timestamptz not null default now()
);

-- Every privileged action, with the numbers it was done by.
create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  -- Who did it, in words of the one who called: a user's name, 'cli', 'pool'.
  actor text not null check (length(actor) between 1 and 256),
  action text not null check (length(action) between 1 and 64),
  -- What it was done to: an account's name, a payout's number.
  subject text not null check (length(subject) <= 256),
  reason text not null check (length(reason) between 1 and 1024),
  inputs jsonb not null
);
create index audit_log_by_subject on audit_log (subject, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%: % is refused, the table is append-only', tg_table_name, tg_op;
end $$;
create trigger fee_averages_frozen before update or delete or truncate on fee_averages
  for each statement execute function refuse_change();
create trigger audit_log_frozen before update or delete or truncate on audit_log
  for each statement execute function refuse_change();

alter table ledger_accounts
  drop constraint ledger_accounts_kind_check,
  add constraint ledger_accounts_kind_check check (kind in (
    -- owed to one miner
    'miner_immature', 'miner_confirmed', 'miner_in_flight',
    -- the pool's own
    'pool_fee_immature', 'pool_fee', 'donation_immature', 'donation', 'remainder_immature', 'remainder',
    -- what expected pay comes from
    'reserve_immature', 'reserve',
    'energy_credits',
    -- the operator's own money in the pool, any sign
    'capital',
    -- debit side: coinbases not yet spendable, spendable coins, coins out of reach of the pool's own keys, fees
    -- paid to the network, credits that a reorg took after they had been paid
    'coinbase_immature', 'wallet', 'cold_wallet', 'network_fees', 'orphan_loss'));

alter table ledger_transactions
  drop constraint ledger_transactions_kind_check,
  add constraint ledger_transactions_kind_check check (kind in (
    'block_credit', 'block_mature', 'block_orphan', 'payout_reserve', 'payout_confirm', 'payout_cancel',
    'expected_pay', 'capital_deposit', 'wallet_sweep', 'adjustment'));

alter table ledger_balances
  drop constraint balance_not_negative,
  add constraint balance_not_negative check (
    balance_sats >= 0
    or kind in ('coinbase_immature', 'wallet', 'cold_wallet', 'network_fees', 'orphan_loss', 'capital'));
