-- Coinbases that pay miners straight. A plan is stored before any coinbase is built by it, and its id is in the job's
-- record in the journal: a block is credited by the plan of its own coinbase.

create table coinbase_plans (
  -- SHA-256 of the plan as it was written.
  id text primary key check (id ~ '^[0-9a-f]{64}$'),
  -- The block it was first made for.
  height integer not null check (height > 0),
  previous_block text not null check (previous_block ~ '^[0-9a-f]{64}$'),
  -- The window with the terms of everybody in it, where in each journal it ends, the pool's script, and who is paid
  -- straight. Its outputs follow from it and from what a coinbase pays (engine/accounting/coinbase-outputs.ts).
  plan jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When jobs were last given it.
  used_at timestamptz not null default clock_timestamp()
);
-- Null: the coinbase pays the pool alone. No foreign key: what the journal says is booked, whatever was lost here.
alter table blocks add column coinbase_plan text check (coinbase_plan ~ '^[0-9a-f]{64}$');
create index blocks_by_coinbase_plan on blocks (coinbase_plan) where coinbase_plan is not null;

-- A plan never changes. One that no block was found on may go (coinbase-plans.ts says when), one with a block never.
create index coinbase_plans_by_use on coinbase_plans (used_at);
create function coinbase_plans_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if (new.id, new.height, new.previous_block, new.plan, new.created_at)
        is distinct from (old.id, old.height, old.previous_block, old.plan, old.created_at) then
      raise exception 'coinbase plans: plan % cannot be rewritten', old.id;
    end if;
    return new;
  end if;
  if exists (select from blocks where coinbase_plan = old.id) then
    raise exception 'coinbase plans: plan % is never deleted, a block was found on it', old.id;
  end if;
  return old;
end $$;
create trigger coinbase_plans_guard before update or delete on coinbase_plans
  for each row execute function coinbase_plans_guard();
create trigger coinbase_plans_kept before truncate on coinbase_plans
  for each statement execute function refuse_change();

-- What the coinbases of credited blocks pay to miners themselves. It is theirs once the block has matured, and nobody's
-- while a reorg has it: the block's row says.
create table coinbase_payments (
  block_hash text not null references blocks,
  account_id integer not null references accounts,
  address text not null check (length(address) between 14 and 90),
  amount_sats bigint not null check (amount_sats > 0),
  primary key (block_hash, account_id)
);
create index coinbase_payments_by_account on coinbase_payments (account_id);
create trigger coinbase_payments_frozen before update or delete or truncate on coinbase_payments
  for each statement execute function refuse_change();
