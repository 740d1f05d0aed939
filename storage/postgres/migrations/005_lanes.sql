-- Several journals feed one ledger: rounds count the block candidates of the whole pool, windows and rounds
-- span all nodes, and a block waits until no journal can still bring work of its round or an earlier one.
-- Old rows stay as they are: with one node its rounds were the pool's.

-- On a large database the indexes below take longer than a statement may otherwise.
set local statement_timeout = 0;

-- Rounds closed at the end of the last booked batch: all that the node delivers later is of this round or
-- later. 0 until the first batch after this migration, which holds credits up, never lets one through.
alter table shipper_cursor add column round bigint not null default 0 check (round >= 0);

-- Whose work a block waits for (ledger-lanes.ts).
create table ledger_lanes (
  node_id integer primary key check (node_id between 0 and 65535),
  -- running: a connection thread writes its journal. former: none does any more, but what it wrote may not
  -- be booked yet. closed: its journal is booked to its end; the only state that no block waits for.
  state text not null check (state in ('running', 'former', 'closed')),
  -- Counts the pool's starts that named it. An order to close that outlived its process closes nothing.
  activation bigint not null default 1,
  updated_at timestamptz not null default now()
);
insert into ledger_lanes (node_id, state)
  select node_id, 'running' from shipper_cursor where consumer = 'ledger';

drop index work_slices_by_round;
create index work_slices_by_round on work_slices (round);
-- The primary key begins with the node: a window over all nodes needs its own way in.
create index work_slices_by_bucket on work_slices (bucket_start);
create index blocks_by_round on blocks (round);
