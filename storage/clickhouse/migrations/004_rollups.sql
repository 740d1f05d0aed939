-- Sums of submits by minute, hour and day, and by node, filled from what submits holds already. A batch of those
-- rows may come once more (the last start died before it moved its cursor); submits drops it by its token, of which
-- the new views know nothing: submits_before_sums tells them what was counted.
-- A start that dies in here runs the whole file again: hence each DROP.
DROP VIEW IF EXISTS submits_to_1m {{ON_CLUSTER}} SYNC;
DROP VIEW IF EXISTS submits_to_1h {{ON_CLUSTER}} SYNC;
DROP VIEW IF EXISTS submits_to_1d {{ON_CLUSTER}} SYNC;
DROP VIEW IF EXISTS submits_to_by_node {{ON_CLUSTER}} SYNC;
DROP TABLE IF EXISTS submits_1m {{ON_CLUSTER}} SYNC;
DROP TABLE IF EXISTS submits_1h {{ON_CLUSTER}} SYNC;
DROP TABLE IF EXISTS submits_1d {{ON_CLUSTER}} SYNC;
DROP TABLE IF EXISTS submits_by_node {{ON_CLUSTER}} SYNC;
DROP TABLE IF EXISTS submits_before_sums {{ON_CLUSTER}} SYNC;

CREATE TABLE submits_before_sums {{ON_CLUSTER}}
(
    node UInt16 COMMENT 'Pool node',
    last_seq UInt64 COMMENT 'Its last submit that was there before the sums were made'
)
ENGINE = {{MergeTree}}
ORDER BY node
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What the sums were filled with when they were made';

INSERT INTO submits_before_sums SELECT node, max(seq) FROM submits GROUP BY node;

CREATE TABLE submits_1m {{ON_CLUSTER}}
(
    t DateTime('UTC') COMMENT 'Start of the minute' CODEC(Delta, ZSTD(1)),
    round UInt32 COMMENT 'Block candidates the whole pool had found before' CODEC(Delta, ZSTD(1)),
    node UInt16 COMMENT 'Pool node that judged them' CODEC(ZSTD(1)),
    account LowCardinality(String) COMMENT 'Address or account name that is credited' CODEC(ZSTD(1)),
    worker LowCardinality(String) COMMENT 'Worker name, empty when none was given' CODEC(ZSTD(1)),
    verdict LowCardinality(String) COMMENT 'What became of them' CODEC(ZSTD(1)),
    shares SimpleAggregateFunction(sum, UInt64) COMMENT 'How many' CODEC(ZSTD(1)),
    work SimpleAggregateFunction(sum, UInt128) COMMENT 'Hashes they stand for, exact' CODEC(ZSTD(1)),
    difficulty SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of their difficulties' CODEC(ZSTD(1)),
    squares SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of the squares of their difficulties' CODEC(ZSTD(1)),
    heaviest SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty one of them was judged by' CODEC(ZSTD(1)),
    best SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty of a hash' CODEC(ZSTD(1)),
    effort SimpleAggregateFunction(sum, Float64) COMMENT 'Blocks to be expected of them: sum of difficulty / network difficulty' CODEC(ZSTD(1)),
    blocks SimpleAggregateFunction(sum, UInt64) COMMENT 'Block candidates among them' CODEC(ZSTD(1)),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first' CODEC(ZSTD(1)),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last' CODEC(ZSTD(1))
)
ENGINE = {{AggregatingMergeTree}}
PARTITION BY toYYYYMMDD(t)
ORDER BY (toStartOfHour(t), account, worker, t, round, verdict, node)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Sums of submits by minute and round';

CREATE TABLE submits_1h {{ON_CLUSTER}}
(
    t DateTime('UTC') COMMENT 'Start of the hour' CODEC(Delta, ZSTD(1)),
    round UInt32 COMMENT 'Block candidates the whole pool had found before' CODEC(Delta, ZSTD(1)),
    node UInt16 COMMENT 'Pool node that judged them' CODEC(ZSTD(1)),
    account LowCardinality(String) COMMENT 'Address or account name that is credited' CODEC(ZSTD(1)),
    worker LowCardinality(String) COMMENT 'Worker name, empty when none was given' CODEC(ZSTD(1)),
    verdict LowCardinality(String) COMMENT 'What became of them' CODEC(ZSTD(1)),
    shares SimpleAggregateFunction(sum, UInt64) COMMENT 'How many' CODEC(ZSTD(1)),
    work SimpleAggregateFunction(sum, UInt128) COMMENT 'Hashes they stand for, exact' CODEC(ZSTD(1)),
    difficulty SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of their difficulties' CODEC(ZSTD(1)),
    squares SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of the squares of their difficulties' CODEC(ZSTD(1)),
    heaviest SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty one of them was judged by' CODEC(ZSTD(1)),
    best SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty of a hash' CODEC(ZSTD(1)),
    effort SimpleAggregateFunction(sum, Float64) COMMENT 'Blocks to be expected of them: sum of difficulty / network difficulty' CODEC(ZSTD(1)),
    blocks SimpleAggregateFunction(sum, UInt64) COMMENT 'Block candidates among them' CODEC(ZSTD(1)),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first' CODEC(ZSTD(1)),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last' CODEC(ZSTD(1))
)
ENGINE = {{AggregatingMergeTree}}
PARTITION BY toYYYYMM(t)
ORDER BY (toStartOfDay(t), account, worker, t, round, verdict, node)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Sums of submits by hour and round';

CREATE TABLE submits_1d {{ON_CLUSTER}}
(
    t DateTime('UTC') COMMENT 'Start of the day' CODEC(Delta, ZSTD(1)),
    round UInt32 COMMENT 'Block candidates the whole pool had found before' CODEC(Delta, ZSTD(1)),
    node UInt16 COMMENT 'Pool node that judged them' CODEC(ZSTD(1)),
    account LowCardinality(String) COMMENT 'Address or account name that is credited' CODEC(ZSTD(1)),
    worker LowCardinality(String) COMMENT 'Worker name, empty when none was given' CODEC(ZSTD(1)),
    verdict LowCardinality(String) COMMENT 'What became of them' CODEC(ZSTD(1)),
    shares SimpleAggregateFunction(sum, UInt64) COMMENT 'How many' CODEC(ZSTD(1)),
    work SimpleAggregateFunction(sum, UInt128) COMMENT 'Hashes they stand for, exact' CODEC(ZSTD(1)),
    difficulty SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of their difficulties' CODEC(ZSTD(1)),
    squares SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of the squares of their difficulties' CODEC(ZSTD(1)),
    heaviest SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty one of them was judged by' CODEC(ZSTD(1)),
    best SimpleAggregateFunction(max, Float64) COMMENT 'Greatest difficulty of a hash' CODEC(ZSTD(1)),
    effort SimpleAggregateFunction(sum, Float64) COMMENT 'Blocks to be expected of them: sum of difficulty / network difficulty' CODEC(ZSTD(1)),
    blocks SimpleAggregateFunction(sum, UInt64) COMMENT 'Block candidates among them' CODEC(ZSTD(1)),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first' CODEC(ZSTD(1)),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last' CODEC(ZSTD(1))
)
ENGINE = {{AggregatingMergeTree}}
PARTITION BY toYear(t)
ORDER BY (t, account, worker, round, verdict, node)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Sums of submits by day (UTC) and round';

CREATE TABLE submits_by_node {{ON_CLUSTER}}
(
    node UInt16 COMMENT 'Pool node that judged them',
    verdict LowCardinality(String) COMMENT 'What became of them',
    shares SimpleAggregateFunction(sum, UInt64) COMMENT 'How many, ever',
    work SimpleAggregateFunction(sum, UInt128) COMMENT 'Hashes they stand for, exact',
    difficulty SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of their difficulties',
    last_seq SimpleAggregateFunction(max, UInt64) COMMENT 'Number of the last on its node',
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first',
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last'
)
ENGINE = {{AggregatingMergeTree}}
ORDER BY (node, verdict)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Sums of all submits, one row a node and verdict';

INSERT INTO submits_1m
SELECT
    toStartOfMinute(s.ts) AS t,
    s.round AS round,
    s.node AS node,
    s.account AS account,
    s.worker AS worker,
    toString(s.verdict) AS verdict,
    count() AS shares,
    sum(s.work) AS work,
    sum(s.difficulty) AS difficulty,
    sum(s.difficulty * s.difficulty) AS squares,
    max(s.difficulty) AS heaviest,
    max(s.achieved_difficulty) AS best,
    sum(if(s.network_difficulty > 0, s.difficulty / s.network_difficulty, 0)) AS effort,
    countIf(s.is_block) AS blocks,
    min(s.ts) AS first_at,
    max(s.ts) AS last_at
FROM submits AS s
GROUP BY t, round, node, account, worker, verdict
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 1000000000, insert_deduplicate = 0;

INSERT INTO submits_1h
SELECT
    toStartOfHour(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.verdict AS verdict,
    sum(m.shares) AS shares,
    sum(m.work) AS work,
    sum(m.difficulty) AS difficulty,
    sum(m.squares) AS squares,
    max(m.heaviest) AS heaviest,
    max(m.best) AS best,
    sum(m.effort) AS effort,
    sum(m.blocks) AS blocks,
    min(m.first_at) AS first_at,
    max(m.last_at) AS last_at
FROM submits_1m AS m
GROUP BY t, round, node, account, worker, verdict
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 1000000000, insert_deduplicate = 0;

INSERT INTO submits_1d
SELECT
    toStartOfDay(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.verdict AS verdict,
    sum(m.shares) AS shares,
    sum(m.work) AS work,
    sum(m.difficulty) AS difficulty,
    sum(m.squares) AS squares,
    max(m.heaviest) AS heaviest,
    max(m.best) AS best,
    sum(m.effort) AS effort,
    sum(m.blocks) AS blocks,
    min(m.first_at) AS first_at,
    max(m.last_at) AS last_at
FROM submits_1h AS m
GROUP BY t, round, node, account, worker, verdict
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 1000000000, insert_deduplicate = 0;

INSERT INTO submits_by_node
SELECT
    s.node AS node,
    toString(s.verdict) AS verdict,
    count() AS shares,
    sum(s.work) AS work,
    sum(s.difficulty) AS difficulty,
    max(s.seq) AS last_seq,
    min(s.ts) AS first_at,
    max(s.ts) AS last_at
FROM submits AS s
GROUP BY node, verdict
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 1000000000, insert_deduplicate = 0;

CREATE MATERIALIZED VIEW submits_to_1d {{ON_CLUSTER}} TO submits_1d AS
SELECT
    toStartOfDay(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.verdict AS verdict,
    sum(m.shares) AS shares,
    sum(m.work) AS work,
    sum(m.difficulty) AS difficulty,
    sum(m.squares) AS squares,
    max(m.heaviest) AS heaviest,
    max(m.best) AS best,
    sum(m.effort) AS effort,
    sum(m.blocks) AS blocks,
    min(m.first_at) AS first_at,
    max(m.last_at) AS last_at
FROM submits_1h AS m
GROUP BY t, round, node, account, worker, verdict;

CREATE MATERIALIZED VIEW submits_to_1h {{ON_CLUSTER}} TO submits_1h AS
SELECT
    toStartOfHour(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.verdict AS verdict,
    sum(m.shares) AS shares,
    sum(m.work) AS work,
    sum(m.difficulty) AS difficulty,
    sum(m.squares) AS squares,
    max(m.heaviest) AS heaviest,
    max(m.best) AS best,
    sum(m.effort) AS effort,
    sum(m.blocks) AS blocks,
    min(m.first_at) AS first_at,
    max(m.last_at) AS last_at
FROM submits_1m AS m
GROUP BY t, round, node, account, worker, verdict;

CREATE MATERIALIZED VIEW submits_to_by_node {{ON_CLUSTER}} TO submits_by_node AS
WITH (SELECT mapFromArrays(groupArray(node), groupArray(last_seq)) FROM submits_before_sums) AS counted
SELECT
    s.node AS node,
    toString(s.verdict) AS verdict,
    count() AS shares,
    sum(s.work) AS work,
    sum(s.difficulty) AS difficulty,
    max(s.seq) AS last_seq,
    min(s.ts) AS first_at,
    max(s.ts) AS last_at
FROM submits AS s
WHERE s.seq > counted[s.node]
GROUP BY node, verdict;

CREATE MATERIALIZED VIEW submits_to_1m {{ON_CLUSTER}} TO submits_1m AS
WITH (SELECT mapFromArrays(groupArray(node), groupArray(last_seq)) FROM submits_before_sums) AS counted
SELECT
    toStartOfMinute(s.ts) AS t,
    s.round AS round,
    s.node AS node,
    s.account AS account,
    s.worker AS worker,
    toString(s.verdict) AS verdict,
    count() AS shares,
    sum(s.work) AS work,
    sum(s.difficulty) AS difficulty,
    sum(s.difficulty * s.difficulty) AS squares,
    max(s.difficulty) AS heaviest,
    max(s.achieved_difficulty) AS best,
    sum(if(s.network_difficulty > 0, s.difficulty / s.network_difficulty, 0)) AS effort,
    countIf(s.is_block) AS blocks,
    min(s.ts) AS first_at,
    max(s.ts) AS last_at
FROM submits AS s
WHERE s.seq > counted[s.node]
GROUP BY t, round, node, account, worker, verdict;
