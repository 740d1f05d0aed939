-- Who mines, what they did, and how far the journal has been read.
-- Work is counted in hashes: floor(2^256 / (target + 1)) for each accepted share, an exact integer.

create table accounts (
  id integer generated always as identity primary key,
  name text not null unique check (length(name) between 1 and 256),
  -- The name is a payout address of this network.
  is_address boolean not null,
  -- Null: the pool's default scheme.
  scheme text check (scheme in ('pplns', 'solo')),
  -- Null: the pool's default threshold.
  payout_threshold_sats bigint check (payout_threshold_sats > 0),
  created_at timestamptz not null default now()
);

create table workers (
  id integer generated always as identity primary key,
  account_id integer not null references accounts,
  name text not null check (length(name) <= 256),
  created_at timestamptz not null default now(),
  unique (account_id, name)
);

-- How far a consumer of a node's journal has come. Moved by compare-and-set on next_seq, in the same
-- transaction as what was read: a batch is applied once or not at all.
create table shipper_cursor (
  node_id integer not null,
  consumer text not null,
  next_seq bigint not null check (next_seq >= 0),
  segment bigint not null,
  "offset" bigint not null,
  updated_at timestamptz not null default now(),
  primary key (node_id, consumer)
);

-- All that a node ever judged, by verdict code (engine/work/verdict.ts).
create table share_totals (
  node_id integer not null,
  verdict smallint not null,
  shares bigint not null check (shares >= 0),
  work numeric(80, 0) not null check (work >= 0),
  primary key (node_id, verdict)
);

-- Accepted work of one worker in one minute of one round. `round` is the number of block candidates the
-- node had found before the share, so a window that must end at a block ends between two rows.
create table work_slices (
  node_id integer not null,
  bucket_start timestamptz not null,
  round bigint not null,
  account_id integer not null references accounts,
  worker_id integer not null references workers,
  scheme text not null check (scheme in ('pplns', 'solo')),
  shares bigint not null check (shares > 0),
  work numeric(80, 0) not null check (work > 0),
  first_seq bigint not null,
  last_seq bigint not null check (last_seq >= first_seq),
  primary key (node_id, bucket_start, round, account_id, worker_id, scheme)
);
create index work_slices_by_account on work_slices (account_id, bucket_start);

-- Refused shares of a worker by minute and verdict. Apart from work_slices, which money reads.
create table reject_slices (
  node_id integer not null,
  bucket_start timestamptz not null,
  account_id integer not null references accounts,
  worker_id integer not null references workers,
  verdict smallint not null check (verdict <> 1),
  shares bigint not null check (shares > 0),
  primary key (node_id, bucket_start, account_id, worker_id, verdict)
);
create index reject_slices_by_account on reject_slices (account_id, bucket_start);

-- Every block candidate that was ever found, also those the network refused or a reorg took away.
create table blocks (
  -- Display order, as block explorers show it.
  hash text primary key check (hash ~ '^[0-9a-f]{64}$'),
  height integer not null check (height >= 0),
  status text not null default 'candidate'
    check (status in ('candidate', 'immature', 'confirmed', 'orphaned', 'rejected')),
  node_id integer not null,
  -- Sequence number of the share that found it, and the round that this share closed.
  seq bigint not null,
  round bigint not null,
  finder_account_id integer not null references accounts,
  finder_worker_id integer not null references workers,
  found_at timestamptz not null,
  network_target numeric(80, 0) not null check (network_target > 0),
  network_difficulty double precision not null,
  -- Known once the block was credited.
  subsidy_sats bigint check (subsidy_sats >= 0),
  fees_sats bigint check (fees_sats >= 0),
  coinbase_sats bigint check (coinbase_sats > 0),
  -- Accepted work of the round it closed, all schemes.
  round_work numeric(80, 0),
  confirmations integer not null default 0,
  -- How often it was credited: a block that a reorg took and gave back has 2. Part of idempotency keys.
  credits integer not null default 0,
  -- Why the node refused it, for people.
  reason text not null default '',
  created_at timestamptz not null default now(),
  unique (node_id, seq),
  check (coinbase_sats is null or coinbase_sats = subsidy_sats + fees_sats)
);
create index blocks_by_height on blocks (height);
create index blocks_open on blocks (status) where status in ('candidate', 'immature');
