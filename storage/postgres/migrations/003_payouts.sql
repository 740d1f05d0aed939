-- One row is one bitcoin transaction to miners. planned -> signed -> broadcast -> confirmed | failed.
-- A signed row carries the very bytes that will be broadcast, however often: nothing is built twice for
-- one reservation.

create table payouts (
  id bigint generated always as identity primary key,
  -- Names the wish to pay: the same wish asked twice makes one payout.
  request_key text not null unique,
  status text not null default 'planned'
    check (status in ('planned', 'signed', 'broadcast', 'confirmed', 'failed')),
  txid text unique check (txid ~ '^[0-9a-f]{64}$'),
  raw_transaction text check (raw_transaction ~ '^([0-9a-f]{2})+$'),
  network_fee_sats bigint check (network_fee_sats >= 0),
  reason text not null default '',
  planned_at timestamptz not null default now(),
  signed_at timestamptz,
  broadcast_at timestamptz,
  confirmed_at timestamptz,
  failed_at timestamptz,
  broadcasts integer not null default 0,
  -- The bytes are there from the moment coins are reserved, and never before.
  check ((txid is null) = (raw_transaction is null)),
  check (status not in ('signed', 'broadcast', 'confirmed') or txid is not null),
  check (status <> 'planned' or txid is null)
);
create index payouts_open on payouts (status) where status in ('planned', 'signed', 'broadcast');

create table payout_outputs (
  payout_id bigint not null references payouts,
  account_id integer not null references accounts,
  -- Fixed here: a later change of the account's address does not redirect this payout.
  address text not null,
  -- Taken from the account's balance, and the part of it that the transaction sends.
  amount_sats bigint not null check (amount_sats > 0),
  sent_sats bigint not null check (sent_sats > 0 and sent_sats <= amount_sats),
  primary key (payout_id, account_id)
);
create index payout_outputs_by_account on payout_outputs (account_id);

-- Once signed, bytes, amounts and addresses are history.
create function payouts_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'payouts: a payout is never deleted';
  end if;
  if old.txid is not null and (new.txid, new.raw_transaction, new.network_fee_sats)
      is distinct from (old.txid, old.raw_transaction, old.network_fee_sats) then
    raise exception 'payouts: payout % is signed, its transaction cannot change', old.id;
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('planned', 'signed'), ('planned', 'failed'), ('signed', 'broadcast'), ('signed', 'failed'),
    ('broadcast', 'confirmed'), ('broadcast', 'failed')) then
    raise exception 'payouts: payout % cannot go from % to %', old.id, old.status, new.status;
  end if;
  return new;
end $$;
create trigger payouts_guard before update or delete on payouts
  for each row execute function payouts_guard();

create function payout_outputs_guard() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    raise exception 'payouts: outputs of a payout are never changed (payout %)', old.payout_id;
  end if;
  if (select status from payouts where id = new.payout_id) <> 'planned' then
    raise exception 'payouts: payout % takes no more outputs', new.payout_id;
  end if;
  return new;
end $$;
create trigger payout_outputs_guard before insert or update or delete on payout_outputs
  for each row execute function payout_outputs_guard();

alter table ledger_transactions add foreign key (payout_id) references payouts;
