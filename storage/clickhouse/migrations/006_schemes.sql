-- What a share is paid by, how its miner came, and how old its job was. The sums are kept by scheme too: solo work is in
-- no PPLNS window. Rows from before have '' and NULL there: they were paid as the pool's setting said.
ALTER TABLE submits {{ON_CLUSTER}}
    ADD COLUMN IF NOT EXISTS scheme LowCardinality(String) COMMENT 'What it is paid by, fixed when it was submitted; empty in rows from before this column' CODEC(ZSTD(1)) AFTER worker,
    ADD COLUMN IF NOT EXISTS transport LowCardinality(String) COMMENT 'Kind of port it came by: tcp, tls or ws; empty in rows from before this column' CODEC(ZSTD(1)) AFTER agent,
    ADD COLUMN IF NOT EXISTS protocol LowCardinality(String) COMMENT 'What the miner speaks: v1 is Stratum v1; empty in rows from before this column' CODEC(ZSTD(1)) AFTER transport,
    ADD COLUMN IF NOT EXISTS job_age_ms Nullable(UInt32) COMMENT 'From giving the job to miners to the receipt of the line, milliseconds; NULL when the job is unknown' CODEC(T64, ZSTD(1)) AFTER latency_us;

CREATE OR REPLACE VIEW shares {{ON_CLUSTER}} AS
SELECT * FROM submits WHERE verdict = 'accepted'
COMMENT 'Accepted submits: what miners were answered true for';

ALTER TABLE submits_1m {{ON_CLUSTER}}
    ADD COLUMN IF NOT EXISTS scheme LowCardinality(String) COMMENT 'What they are paid by; empty for shares from before it was recorded' CODEC(ZSTD(1)) AFTER worker,
    MODIFY ORDER BY (toStartOfHour(t), account, worker, t, round, verdict, node, scheme);

ALTER TABLE submits_1h {{ON_CLUSTER}}
    ADD COLUMN IF NOT EXISTS scheme LowCardinality(String) COMMENT 'What they are paid by; empty for shares from before it was recorded' CODEC(ZSTD(1)) AFTER worker,
    MODIFY ORDER BY (toStartOfDay(t), account, worker, t, round, verdict, node, scheme);

ALTER TABLE submits_1d {{ON_CLUSTER}}
    ADD COLUMN IF NOT EXISTS scheme LowCardinality(String) COMMENT 'What they are paid by; empty for shares from before it was recorded' CODEC(ZSTD(1)) AFTER worker,
    MODIFY ORDER BY (t, account, worker, round, verdict, node, scheme);

ALTER TABLE submits_to_1d {{ON_CLUSTER}} MODIFY QUERY
SELECT
    toStartOfDay(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.scheme AS scheme,
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
GROUP BY t, round, node, account, worker, scheme, verdict;

ALTER TABLE submits_to_1h {{ON_CLUSTER}} MODIFY QUERY
SELECT
    toStartOfHour(m.t) AS t,
    m.round AS round,
    m.node AS node,
    m.account AS account,
    m.worker AS worker,
    m.scheme AS scheme,
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
GROUP BY t, round, node, account, worker, scheme, verdict;

ALTER TABLE submits_to_1m {{ON_CLUSTER}} MODIFY QUERY
WITH (SELECT mapFromArrays(groupArray(node), groupArray(last_seq)) FROM submits_before_sums) AS counted
SELECT
    toStartOfMinute(s.ts) AS t,
    s.round AS round,
    s.node AS node,
    s.account AS account,
    s.worker AS worker,
    s.scheme AS scheme,
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
GROUP BY t, round, node, account, worker, scheme, verdict;

CREATE OR REPLACE VIEW pplns_window {{ON_CLUSTER}} AS
WITH
    (
        SELECT argMaxIf((t, reach - bucket), t, reach >= {hashes:UInt128})
        FROM
        (
            SELECT t, bucket, sum(bucket) OVER (ORDER BY t DESC ROWS UNBOUNDED PRECEDING) AS reach
            FROM (SELECT h.t AS t, sum(h.work) AS bucket FROM submits_1h AS h WHERE h.verdict = 'accepted' AND h.scheme != 'solo' GROUP BY t)
        )
    ) AS edge_hour,
    (
        SELECT argMaxIf((t, round, {hashes:UInt128} - (reach - bucket), bucket), (t, round), reach >= {hashes:UInt128})
        FROM
        (
            SELECT
                t,
                round,
                bucket,
                edge_hour.2 + sum(bucket) OVER (ORDER BY t DESC, round DESC ROWS UNBOUNDED PRECEDING) AS reach
            FROM
            (
                SELECT m.t AS t, m.round AS round, sum(m.work) AS bucket
                FROM submits_1m AS m
                WHERE m.verdict = 'accepted' AND m.scheme != 'solo' AND toStartOfHour(m.t) = edge_hour.1
                GROUP BY t, round
            )
        )
    ) AS edge
SELECT account, sum(held) AS hashes_held, hashes_held / sum(hashes_held) OVER () AS part
FROM
(
    SELECT h.account AS account, toFloat64(sum(h.work)) AS held
    FROM submits_1h AS h
    WHERE h.verdict = 'accepted' AND h.scheme != 'solo' AND h.t > edge_hour.1
    GROUP BY account
    UNION ALL
    SELECT account, sum(if(t = edge.1 AND round = edge.2, work * toFloat64(edge.3) / toFloat64(edge.4), work)) AS held
    FROM
    (
        SELECT m.t AS t, m.round AS round, m.account AS account, toFloat64(sum(m.work)) AS work
        FROM submits_1m AS m
        WHERE m.verdict = 'accepted' AND m.scheme != 'solo' AND toStartOfHour(m.t) = edge_hour.1 AND (t > edge.1 OR (t = edge.1 AND round >= edge.2))
        GROUP BY t, round, account
    )
    GROUP BY account
)
GROUP BY account
COMMENT 'pplns_window(hashes = quoted number): who holds the newest so many hashes that are not solo, as the ledger cuts them';

CREATE OR REPLACE VIEW stale_by_age {{ON_CLUSTER}} AS
SELECT
    multiIf(isNull(s.job_age_ms), 'unknown', s.job_age_ms < 1000, '0 to 1 s', s.job_age_ms < 5000, '1 to 5 s',
        s.job_age_ms < 15000, '5 to 15 s', s.job_age_ms < 30000, '15 to 30 s', s.job_age_ms < 60000, '30 to 60 s',
        s.job_age_ms < 120000, '1 to 2 min', '2 min and more') AS age,
    countIf(s.verdict = 'stale') AS stale,
    count() AS submits,
    stale / submits AS part,
    sumIf(s.difficulty, s.verdict = 'stale') AS lost
FROM submits AS s
WHERE s.ts >= {since:DateTime}
GROUP BY age
COMMENT 'stale_by_age(since = ...): submits by the age of their job, and what part of each age was stale';

CREATE OR REPLACE VIEW work_by_scheme {{ON_CLUSTER}} AS
SELECT h.t AS t, h.scheme AS scheme, uniqExact(h.account) AS accounts, sum(h.shares) AS shares, sum(h.work) AS work
FROM submits_1h AS h
WHERE h.verdict = 'accepted'
GROUP BY t, scheme
COMMENT 'Accepted shares and their exact work by hour and scheme: what each kind of promise stands for';
