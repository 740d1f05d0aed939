-- Where an account is paid to when it is not its name, and how that changes. A change is asked for (a text to sign),
-- accepted (signed by the present address), and holds from effective_at on by the clock alone; until then it can be
-- replaced by a newer one or cancelled. Rows are history: only their state moves.

create table payout_address_changes (
  id bigint generated always as identity primary key,
  account_id integer not null references accounts,
  status text not null default 'asked' check (status in ('asked', 'accepted', 'replaced', 'cancelled')),
  -- In the text: it is signed for one change only.
  nonce text not null unique check (nonce ~ '^[0-9a-f]{32}$'),
  network text not null,
  message text not null check (length(message) between 1 and 8192),
  -- First address of the account when the text was made. Null: it had none, the operator names the first.
  signer_address text,
  asked_at timestamptz not null default clock_timestamp(),
  -- Of the text: a signature that comes later is refused.
  expires_at timestamptz not null check (expires_at > asked_at),
  signature text check (length(signature) <= 8192),
  signature_kind text check (signature_kind in ('legacy', 'bip322_simple', 'bip322_full')),
  accepted_at timestamptz,
  effective_at timestamptz check (effective_at >= accepted_at),
  -- When it was replaced or cancelled.
  closed_at timestamptz,
  check ((status = 'asked') = (accepted_at is null)),
  check ((accepted_at is null) = (effective_at is null)),
  check ((status in ('replaced', 'cancelled')) = (closed_at is not null)),
  check ((signature is null) = (signature_kind is null)),
  check ((signature is not null) = (status <> 'asked' and signer_address is not null))
);
create index payout_address_changes_by_account on payout_address_changes (account_id, status, effective_at);

create table payout_address_targets (
  change_id bigint not null references payout_address_changes on delete cascade,
  -- 0 is the first: its owner signs the next change.
  position integer not null check (position between 0 and 19),
  -- In canonical form (engine/bitcoin/address.ts).
  address text not null check (length(address) between 14 and 90),
  share_ppm integer not null check (share_ppm between 1 and 1000000),
  primary key (change_id, position),
  unique (change_id, address)
);

-- What the owner of an account is told.
create table payout_address_notices (
  id bigint generated always as identity primary key,
  account_id integer not null references accounts,
  change_id bigint not null references payout_address_changes,
  kind text not null check (kind in ('accepted', 'replaced', 'cancelled')),
  text text not null check (length(text) between 1 and 4096),
  created_at timestamptz not null default clock_timestamp()
);
create index payout_address_notices_by_account on payout_address_notices (account_id, id);
create trigger payout_address_notices_frozen before update or delete or truncate on payout_address_notices
  for each statement execute function refuse_change();

create function payout_address_changes_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    -- A text that nobody signed is no history.
    if old.status = 'asked' then return old; end if;
    raise exception 'payout addresses: change % was accepted and is never deleted', old.id;
  end if;
  if (new.account_id, new.nonce, new.network, new.message, new.signer_address, new.asked_at, new.expires_at)
      is distinct from
     (old.account_id, old.nonce, old.network, old.message, old.signer_address, old.asked_at, old.expires_at)
     or old.status <> 'asked' and (new.signature, new.signature_kind, new.accepted_at, new.effective_at)
      is distinct from (old.signature, old.signature_kind, old.accepted_at, old.effective_at) then
    raise exception 'payout addresses: change % cannot be rewritten', old.id;
  end if;
  if (old.status, new.status) not in (
    ('asked', 'accepted'), ('accepted', 'replaced'), ('accepted', 'cancelled')) then
    raise exception 'payout addresses: change % cannot go from % to %', old.id, old.status, new.status;
  end if;
  if new.status = 'accepted' and old.expires_at <= clock_timestamp() then
    raise exception 'payout addresses: the text of change % has expired', old.id;
  end if;
  if old.status = 'accepted' and old.effective_at <= clock_timestamp() then
    raise exception 'payout addresses: change % is in effect since %', old.id, old.effective_at;
  end if;
  return new;
end $$;
create trigger payout_address_changes_guard before update or delete on payout_address_changes
  for each row execute function payout_address_changes_guard();
create trigger payout_address_changes_kept before truncate on payout_address_changes
  for each statement execute function refuse_change();

create function payout_address_targets_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and not exists (
    select from payout_address_changes where id = old.change_id) then
    return old;
  end if;
  raise exception 'payout addresses: the targets of change % are fixed', old.change_id;
end $$;
create trigger payout_address_targets_guard before update or delete on payout_address_targets
  for each row execute function payout_address_targets_guard();
create trigger payout_address_targets_kept before truncate on payout_address_targets
  for each statement execute function refuse_change();

-- The shares are the whole, at commit and ever after: a target added later would make them more.
create function payout_address_check_shares() returns trigger language plpgsql as $$
declare
  change bigint;
  total bigint;
begin
  if tg_table_name = 'payout_address_changes' then change := new.id; else change := new.change_id; end if;
  if not exists (select from payout_address_changes where id = change) then return null; end if;
  select coalesce(sum(share_ppm), 0) into total from payout_address_targets where change_id = change;
  if total <> 1000000 then
    raise exception 'payout addresses: the shares of change % sum to % ppm, not 1000000', change, total;
  end if;
  return null;
end $$;
create constraint trigger payout_address_changes_whole after insert on payout_address_changes
  deferrable initially deferred for each row execute function payout_address_check_shares();
create constraint trigger payout_address_targets_whole after insert on payout_address_targets
  deferrable initially deferred for each row execute function payout_address_check_shares();
