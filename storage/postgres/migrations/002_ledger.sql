-- Double-entry ledger, append-only. Sign: positive is a credit (what the pool owes or earned), negative
-- a debit (what it holds, awaits or spent). The lines of one ledger transaction sum to zero, checked at
-- commit. Balances are kept by trigger and can be compared with the lines at any time.

create table ledger_accounts (
  id bigint generated always as identity primary key,
  kind text not null check (kind in (
    -- owed to one miner
    'miner_immature', 'miner_confirmed', 'miner_in_flight',
    -- the pool's own
    'pool_fee_immature', 'pool_fee', 'remainder_immature', 'remainder',
    -- debit side: coinbases not yet spendable, spendable coins, fees paid to the network, credits that
    -- a reorg took after they had been paid
    'coinbase_immature', 'wallet', 'network_fees', 'orphan_loss')),
  account_id integer references accounts,
  created_at timestamptz not null default now(),
  unique nulls not distinct (kind, account_id),
  check ((kind like 'miner\_%') = (account_id is not null))
);

create table ledger_transactions (
  id bigint generated always as identity primary key,
  kind text not null check (kind in (
    'block_credit', 'block_mature', 'block_orphan', 'payout_reserve', 'payout_confirm', 'payout_cancel')),
  idempotency_key text not null unique,
  block_hash text references blocks,
  payout_id bigint,
  -- The rule that made the lines, in words, and all numbers that it was given.
  rule text not null,
  inputs jsonb not null,
  created_xid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default now()
);
create index ledger_transactions_by_block on ledger_transactions (block_hash);

create table ledger_lines (
  id bigint generated always as identity primary key,
  transaction_id bigint not null references ledger_transactions,
  ledger_account_id bigint not null references ledger_accounts,
  amount_sats bigint not null check (amount_sats <> 0)
);
create index ledger_lines_by_transaction on ledger_lines (transaction_id);
create index ledger_lines_by_account on ledger_lines (ledger_account_id, id);

create table ledger_balances (
  ledger_account_id bigint primary key references ledger_accounts,
  kind text not null,
  balance_sats bigint not null default 0,
  updated_at timestamptz not null default now(),
  -- Nobody is paid what they do not have, whatever the program believes.
  constraint balance_not_negative check (
    balance_sats >= 0 or kind in ('coinbase_immature', 'wallet', 'network_fees', 'orphan_loss'))
);

create function ledger_open_balance() returns trigger language plpgsql as $$
begin
  insert into ledger_balances (ledger_account_id, kind) values (new.id, new.kind);
  return null;
end $$;
create trigger ledger_accounts_open after insert on ledger_accounts
  for each row execute function ledger_open_balance();

-- One statement's lines reach the balances together: a transfer between two accounts never shows half.
create function ledger_apply_lines() returns trigger language plpgsql as $$
begin
  if exists (
    select from fresh f join ledger_transactions t on t.id = f.transaction_id
    where t.created_xid <> pg_current_xact_id()
  ) then
    raise exception 'ledger: a committed ledger transaction takes no further lines'
      using hint = 'Post a new ledger transaction that corrects it.';
  end if;
  perform from ledger_balances
    where ledger_account_id in (select ledger_account_id from fresh)
    order by ledger_account_id for update;
  update ledger_balances b set balance_sats = b.balance_sats + s.amount, updated_at = now()
    from (select ledger_account_id, sum(amount_sats)::bigint as amount from fresh group by 1) s
    where b.ledger_account_id = s.ledger_account_id;
  return null;
end $$;
create trigger ledger_lines_apply after insert on ledger_lines
  referencing new table as fresh for each statement execute function ledger_apply_lines();

create function ledger_check_zero_sum() returns trigger language plpgsql as $$
declare
  total numeric;
  lines bigint;
begin
  select coalesce(sum(amount_sats), 0), count(*) into total, lines
    from ledger_lines where transaction_id = new.id;
  if total <> 0 or lines < 2 then
    raise exception 'ledger: transaction % (%) has % lines that sum to % satoshis, not 0',
      new.id, new.idempotency_key, lines, total;
  end if;
  return null;
end $$;
create constraint trigger ledger_zero_sum after insert on ledger_transactions
  deferrable initially deferred for each row execute function ledger_check_zero_sum();

create function ledger_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'ledger: % on % is refused, the ledger is append-only', tg_op, tg_table_name
    using hint = 'Correct by posting a reversing ledger transaction.';
end $$;
create trigger ledger_lines_frozen before update or delete or truncate on ledger_lines
  for each statement execute function ledger_refuse_change();
create trigger ledger_transactions_frozen before update or delete or truncate on ledger_transactions
  for each statement execute function ledger_refuse_change();
create trigger ledger_accounts_frozen before update or delete or truncate on ledger_accounts
  for each statement execute function ledger_refuse_change();

-- Balances move only from inside the triggers above.
create function ledger_guard_balances() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() < 2 then
    raise exception 'ledger: balances follow the lines, % by hand is refused', tg_op;
  end if;
  return null;
end $$;
create trigger ledger_balances_guard before insert or update or delete or truncate on ledger_balances
  for each statement execute function ledger_guard_balances();

create view ledger_reconciliation as
select a.id as ledger_account_id, a.kind, a.account_id,
       b.balance_sats, coalesce(l.lines_sats, 0) as lines_sats,
       b.balance_sats - coalesce(l.lines_sats, 0) as difference_sats
from ledger_accounts a
left join ledger_balances b on b.ledger_account_id = a.id
left join (select ledger_account_id, sum(amount_sats) as lines_sats from ledger_lines group by 1) l
  on l.ledger_account_id = a.id;

-- What each miner is owed.
create view account_balances as
select m.id as account_id, m.name,
       coalesce(sum(b.balance_sats) filter (where a.kind = 'miner_immature'), 0)::bigint as immature_sats,
       coalesce(sum(b.balance_sats) filter (where a.kind = 'miner_confirmed'), 0)::bigint as confirmed_sats,
       coalesce(sum(b.balance_sats) filter (where a.kind = 'miner_in_flight'), 0)::bigint as in_flight_sats
from accounts m
left join ledger_accounts a on a.account_id = m.id
left join ledger_balances b on b.ledger_account_id = a.id
group by m.id, m.name;
