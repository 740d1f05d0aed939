-- Payouts by Lightning. One payment is one wish to pay one account; each invoice tried for it is an attempt.
--
--   planned ─► invoiced ─► sent ─► paid
--                 ▲  │       │
--                 │  ▼       ▼
--                 └─ retry ◄─┘     (planned, invoiced, sent, retry) ─► failed
--
-- The amount is reserved in the ledger in the commit that stores the first invoice, and stays reserved until
-- paid or failed. An attempt is `sent` before the node is asked to pay it, so `invoiced` proves that it never
-- was. A payment hash is in one attempt of one payment for ever: a service that hands out an invoice twice
-- cannot make one payment count as two.

create table lightning_destinations (
  account_id integer primary key references accounts,
  -- user@domain (LUD-16)
  destination text not null check (length(destination) between 3 and 320),
  set_at timestamptz not null default now()
);

create table lightning_payments (
  id bigint generated always as identity primary key,
  -- Names the wish to pay: the same wish asked twice makes one payment.
  request_key text not null unique,
  account_id integer not null references accounts,
  -- user@domain, or one invoice. Fixed here: a later change of address does not redirect this payment.
  destination text not null check (length(destination) between 3 and 7089),
  -- Taken from the balance; what the invoice asks for; the most that routing may cost.
  amount_sats bigint not null check (amount_sats > 0),
  sent_sats bigint not null check (sent_sats > 0),
  max_fee_sats bigint not null check (max_fee_sats >= 0),
  -- 'miner': the fee comes out of amount_sats, and what of max_fee_sats is not used goes back to the balance.
  fee_payer text not null check (fee_payer in ('pool', 'miner')),
  status text not null default 'planned'
    check (status in ('planned', 'invoiced', 'sent', 'retry', 'paid', 'failed')),
  failures integer not null default 0,
  -- Nothing is fetched for it before this.
  next_try_at timestamptz not null default '-infinity',
  -- Failed for good: the on-chain planner pays this account's balance (see lightning_held).
  on_chain_fallback boolean not null default false,
  reason text not null default '',
  preimage text check (preimage ~ '^[0-9a-f]{64}$'),
  fee_msat bigint check (fee_msat >= 0),
  planned_at timestamptz not null default now(),
  reserved_at timestamptz,
  paid_at timestamptz,
  failed_at timestamptz,
  check (amount_sats = sent_sats + case fee_payer when 'miner' then max_fee_sats else 0 end),
  check ((status = 'paid') = (preimage is not null)),
  check ((preimage is null) = (fee_msat is null)),
  check (not on_chain_fallback or status = 'failed'),
  check ((reserved_at is null) or status <> 'planned')
);
-- One open payment an account: a second one would count the same balance.
create unique index lightning_payments_open on lightning_payments (account_id)
  where status in ('planned', 'invoiced', 'sent', 'retry');
create index lightning_payments_fallen_back on lightning_payments (account_id) where on_chain_fallback;

create table lightning_attempts (
  payment_id bigint not null references lightning_payments,
  number integer not null check (number > 0),
  bolt11 text not null,
  payment_hash text not null unique check (payment_hash ~ '^[0-9a-f]{64}$'),
  -- What the invoice carries the hash of.
  description text,
  expires_at timestamptz not null,
  status text not null default 'invoiced' check (status in ('invoiced', 'sent', 'paid', 'failed')),
  -- The node that was asked to pay: only its word counts.
  node_id text check (node_id ~ '^[0-9a-f]{66}$'),
  sends integer not null default 0,
  -- The node looks for routes until then: before it, 'failed' and 'unknown' prove nothing.
  tries_until timestamptz,
  reason text not null default '',
  invoiced_at timestamptz not null default now(),
  sent_at timestamptz,
  ended_at timestamptz,
  primary key (payment_id, number),
  check ((status = 'invoiced' and sends = 0) or sends > 0 or status = 'failed'),
  check ((sends = 0) = (node_id is null)),
  check ((sends = 0) = (tries_until is null))
);
create unique index lightning_attempts_live on lightning_attempts (payment_id)
  where status in ('invoiced', 'sent', 'paid');

-- Routing fees are in millisatoshi, the ledger in satoshis: what is below one waits here for the next fee, so
-- all fees together are booked exactly.
create table lightning_fee_carry (
  only_row boolean primary key default true check (only_row),
  msat integer not null default 0 check (msat between 0 and 999)
);
insert into lightning_fee_carry default values;

create function lightning_payments_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'lightning: a payment is never deleted';
  end if;
  if (new.request_key, new.account_id, new.destination, new.amount_sats, new.sent_sats, new.max_fee_sats,
      new.fee_payer) is distinct from (old.request_key, old.account_id, old.destination, old.amount_sats,
      old.sent_sats, old.max_fee_sats, old.fee_payer) then
    raise exception 'lightning: the terms of payment % cannot change', old.id;
  end if;
  if old.status in ('paid', 'failed') then
    raise exception 'lightning: payment % is %, that is history', old.id, old.status;
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('planned', 'invoiced'), ('planned', 'failed'), ('invoiced', 'sent'), ('invoiced', 'retry'),
    ('invoiced', 'failed'), ('sent', 'paid'), ('sent', 'retry'), ('sent', 'failed'), ('retry', 'invoiced'),
    ('retry', 'failed')) then
    raise exception 'lightning: payment % cannot go from % to %', old.id, old.status, new.status;
  end if;
  return new;
end $$;
create trigger lightning_payments_guard before update or delete on lightning_payments
  for each row execute function lightning_payments_guard();

create function lightning_attempts_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'lightning: an attempt is never deleted';
  end if;
  if (new.payment_id, new.number, new.bolt11, new.payment_hash, new.expires_at)
      is distinct from (old.payment_id, old.number, old.bolt11, old.payment_hash, old.expires_at) then
    raise exception 'lightning: the invoice of an attempt cannot change';
  end if;
  if old.status in ('paid', 'failed') or (old.status, new.status) not in (
    ('invoiced', 'sent'), ('invoiced', 'failed'), ('sent', 'sent'), ('sent', 'paid'), ('sent', 'failed')) then
    raise exception 'lightning: attempt % of payment % cannot go from % to %',
      old.number, old.payment_id, old.status, new.status;
  end if;
  return new;
end $$;
create trigger lightning_attempts_guard before update or delete on lightning_attempts
  for each row execute function lightning_attempts_guard();

-- Accounts that wait for one on-chain payout because Lightning failed them. That payout, once confirmed,
-- ends it, and Lightning is tried again.
create view lightning_fallen_back as
select distinct p.account_id
from lightning_payments p
where p.on_chain_fallback and not exists (
  select from payout_outputs o join payouts x on x.id = o.payout_id
  where o.account_id = p.account_id and x.status = 'confirmed' and x.planned_at > p.failed_at);

-- Accounts that the on-chain planner must leave alone.
create view lightning_held as
select account_id from lightning_payments where status in ('planned', 'invoiced', 'sent', 'retry')
union
select account_id from lightning_destinations
where account_id not in (select account_id from lightning_fallen_back);
