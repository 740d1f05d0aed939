-- Payouts grow: approval by two people, collected signatures, replacements that pay a higher fee, several
-- outputs an account, quarantined addresses, schedules, sweeps to cold storage.
--
--   planned ──────────► signed ─► broadcast ─► confirmed
--   awaiting_approval ─┬► signed
--                      └► awaiting_signatures ─► signed         each may end as failed

alter table accounts
  -- When an account is paid by itself. Null: at each run. Days and weeks begin at 00:00 UTC, weeks on Monday.
  add column payout_schedule text check (payout_schedule in ('each_run', 'daily', 'weekly', 'on_demand'));

alter table payouts drop constraint payouts_status_check;
alter table payouts
  add constraint payouts_status_check check (status in
    ('planned', 'awaiting_approval', 'awaiting_signatures', 'signed', 'broadcast', 'confirmed', 'failed')),
  -- People who must agree before coins are reserved; fixed when planned.
  add column approvals_needed integer not null default 0 check (approvals_needed between 0 and 10),
  -- Who carries it: `node wallet`, `multisig`. Null until coins are reserved.
  add column rail text,
  -- Base64 (BIP174), stored with the reservation when signatures are still to be collected.
  add column psbt text check (length(psbt) between 1 and 16777216),
  add column signatures_needed integer check (signatures_needed > 0),
  add column reserved_at timestamptz,
  add check (status <> 'awaiting_signatures' or (psbt is not null and txid is null)),
  add check (status not in ('awaiting_signatures', 'signed', 'broadcast', 'confirmed')
    or reserved_at is not null) not valid,
  add check (status <> 'awaiting_approval' or txid is null);
-- Before this migration signing was the reservation.
alter table payouts disable trigger payouts_guard;
update payouts set reserved_at = signed_at where signed_at is not null;
alter table payouts enable trigger payouts_guard;
drop index payouts_open;
create index payouts_open on payouts (status)
  where status in ('planned', 'awaiting_approval', 'awaiting_signatures', 'signed', 'broadcast');
create index payouts_by_reservation on payouts (reserved_at);

-- Every transaction ever signed for a payout. Version 0 comes with the reservation; each later one replaces
-- the one before it (BIP125): same payees, same inputs and perhaps more, a higher fee. Only one can be mined.
create table payout_transactions (
  payout_id bigint not null references payouts,
  version integer not null check (version >= 0),
  txid text not null unique check (txid ~ '^[0-9a-f]{64}$'),
  raw_transaction text not null check (raw_transaction ~ '^([0-9a-f]{2})+$'),
  network_fee_sats bigint not null check (network_fee_sats >= 0),
  replaces text references payout_transactions (txid),
  -- Height of the best block when it was stored: how long it has been waiting, counted in blocks.
  tip_height integer,
  created_at timestamptz not null default now(),
  primary key (payout_id, version),
  check ((version = 0) = (replaces is null))
);
insert into payout_transactions (payout_id, version, txid, raw_transaction, network_fee_sats, created_at)
  select id, 0, txid, raw_transaction, network_fee_sats, coalesce(signed_at, planned_at)
  from payouts where txid is not null;

create function payout_history_guard() returns trigger language plpgsql as $$
begin
  raise exception 'payouts: % on % is refused, what was signed or approved is history', tg_op, tg_table_name;
end $$;
create trigger payout_transactions_frozen before update or delete or truncate on payout_transactions
  for each statement execute function payout_history_guard();

-- Who agreed to a payout above the limit. Two names, two people.
create table payout_approvals (
  payout_id bigint not null references payouts,
  actor text not null check (actor = lower(btrim(actor)) and length(actor) between 1 and 200),
  approved_at timestamptz not null default now(),
  primary key (payout_id, actor)
);
create trigger payout_approvals_frozen before update or delete or truncate on payout_approvals
  for each statement execute function payout_history_guard();

-- Signed copies of a payout's PSBT, checked to be of the same transaction before they are stored.
create table payout_signatures (
  payout_id bigint not null references payouts,
  actor text not null check (actor = lower(btrim(actor)) and length(actor) between 1 and 200),
  psbt text not null check (length(psbt) between 1 and 16777216),
  added_at timestamptz not null default now(),
  primary key (payout_id, actor)
);
create trigger payout_signatures_frozen before update or delete or truncate on payout_signatures
  for each statement execute function payout_history_guard();

-- An account's share may go to several addresses: one row each.
alter table payout_outputs add column position integer not null default 0 check (position between 0 and 99);
alter table payout_outputs drop constraint payout_outputs_pkey;
alter table payout_outputs add primary key (payout_id, account_id, position);

-- An address that no transaction can pay. Its account keeps its balance and holds up nobody.
create table payout_quarantine (
  account_id integer not null references accounts,
  address text not null check (length(address) between 1 and 256),
  reason text not null,
  cure text not null,
  since timestamptz not null default now(),
  lifted_at timestamptz,
  lifted_by text,
  primary key (account_id, address)
);

create or replace function payouts_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'payouts: a payout is never deleted';
  end if;
  -- txid, bytes and fee show the newest version, in the end the one that confirmed; never anything else.
  if (new.txid, new.raw_transaction, new.network_fee_sats)
      is distinct from (old.txid, old.raw_transaction, old.network_fee_sats)
    and not exists (
      select from payout_transactions t where t.payout_id = new.id and t.txid = new.txid
        and t.raw_transaction = new.raw_transaction and t.network_fee_sats = new.network_fee_sats) then
    raise exception 'payouts: payout % is signed, its transaction cannot change', old.id;
  end if;
  if (new.request_key, new.approvals_needed) is distinct from (old.request_key, old.approvals_needed)
    or (old.reserved_at is not null and (new.reserved_at, new.psbt, new.rail)
      is distinct from (old.reserved_at, old.psbt, old.rail)) then
    raise exception 'payouts: terms of payout % cannot change', old.id;
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('planned', 'signed'), ('planned', 'awaiting_signatures'), ('planned', 'failed'),
    ('awaiting_approval', 'signed'), ('awaiting_approval', 'awaiting_signatures'),
    ('awaiting_approval', 'failed'),
    ('awaiting_signatures', 'signed'), ('awaiting_signatures', 'failed'),
    ('signed', 'broadcast'), ('signed', 'failed'), ('broadcast', 'confirmed'), ('broadcast', 'failed')) then
    raise exception 'payouts: payout % cannot go from % to %', old.id, old.status, new.status;
  end if;
  if new.status in ('signed', 'awaiting_signatures') and old.status in ('planned', 'awaiting_approval')
    and (select count(*) from payout_approvals a where a.payout_id = new.id) < new.approvals_needed then
    raise exception 'payouts: payout % needs the approval of % people', new.id, new.approvals_needed;
  end if;
  return new;
end $$;

-- What is sent may shrink by the payees' part of the fee until coins are reserved; all else is fixed.
create or replace function payout_outputs_guard() returns trigger language plpgsql as $$
declare
  current text;
begin
  if tg_op = 'DELETE' then
    raise exception 'payouts: outputs of a payout are never changed (payout %)', old.payout_id;
  end if;
  select status into current from payouts where id = new.payout_id;
  if tg_op = 'UPDATE' then
    if current not in ('planned', 'awaiting_approval')
      or (new.payout_id, new.account_id, new.position, new.address, new.amount_sats)
        is distinct from (old.payout_id, old.account_id, old.position, old.address, old.amount_sats) then
      raise exception 'payouts: outputs of a payout are never changed (payout %)', old.payout_id;
    end if;
    return new;
  end if;
  if current not in ('planned', 'awaiting_approval')
    or exists (select from payout_approvals a where a.payout_id = new.payout_id) then
    raise exception 'payouts: payout % takes no more outputs', new.payout_id;
  end if;
  return new;
end $$;

-- Hot wallet to cold address. The same rule: bytes are stored before anyone has seen them.
create table wallet_sweeps (
  id bigint generated always as identity primary key,
  status text not null default 'planned'
    check (status in ('planned', 'signed', 'broadcast', 'confirmed', 'failed')),
  address text not null,
  sent_sats bigint not null check (sent_sats > 0),
  txid text unique check (txid ~ '^[0-9a-f]{64}$'),
  raw_transaction text check (raw_transaction ~ '^([0-9a-f]{2})+$'),
  network_fee_sats bigint check (network_fee_sats >= 0),
  reason text not null default '',
  planned_at timestamptz not null default now(),
  signed_at timestamptz,
  broadcast_at timestamptz,
  confirmed_at timestamptz,
  check ((txid is null) = (raw_transaction is null)),
  check (status not in ('signed', 'broadcast', 'confirmed') or txid is not null)
);
-- One at a time: the next is planned from what the last one left.
create unique index wallet_sweeps_one_open on wallet_sweeps ((true))
  where status in ('planned', 'signed', 'broadcast');

create function wallet_sweeps_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'sweeps: a sweep is never deleted';
  end if;
  if (new.address, new.sent_sats) is distinct from (old.address, old.sent_sats)
    or (old.txid is not null and (new.txid, new.raw_transaction, new.network_fee_sats)
      is distinct from (old.txid, old.raw_transaction, old.network_fee_sats)) then
    raise exception 'sweeps: terms and transaction of sweep % cannot change', old.id;
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('planned', 'signed'), ('planned', 'failed'), ('signed', 'broadcast'), ('broadcast', 'confirmed')) then
    raise exception 'sweeps: sweep % cannot go from % to %', old.id, old.status, new.status;
  end if;
  return new;
end $$;
create trigger wallet_sweeps_guard before update or delete on wallet_sweeps
  for each row execute function wallet_sweeps_guard();

-- Coins that stored transactions and PSBTs spend. No two of them may count on the same coin, whatever the
-- wallet's own locks say: of two such payouts one could never confirm. Released only when its payout failed.
create table payout_coins (
  coin text not null check (coin ~ '^[0-9a-f]{64}:[0-9]{1,10}$'),
  payout_id bigint references payouts,
  sweep_id bigint references wallet_sweeps,
  released boolean not null default false,
  claimed_at timestamptz not null default now(),
  check (num_nonnulls(payout_id, sweep_id) = 1)
);
create unique index payout_coins_claimed on payout_coins (coin) where not released;
create index payout_coins_by_payout on payout_coins (payout_id);

create function payout_coins_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.released
    and (new.coin, new.payout_id, new.sweep_id) is not distinct from (old.coin, old.payout_id, old.sweep_id)
    and (select status from payouts where id = new.payout_id) = 'failed' then
    return new;
  end if;
  raise exception 'payouts: coin % is spent by a stored transaction', old.coin;
end $$;
create trigger payout_coins_guard before update or delete on payout_coins
  for each row execute function payout_coins_guard();
