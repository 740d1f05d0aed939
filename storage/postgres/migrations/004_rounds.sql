-- Work of one round, read for every block and for the present effort: without this, a scan of all history.
create index work_slices_by_round on work_slices (node_id, round);
