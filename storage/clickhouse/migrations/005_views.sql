-- What analysts ask, as views; README.md beside this folder tells each with an example.

CREATE OR REPLACE VIEW share_counts {{ON_CLUSTER}} AS
SELECT n.node AS node, sum(n.shares) AS rows, sum(n.difficulty) AS difficulty, sum(n.work) AS work
FROM submits_by_node AS n
WHERE n.verdict = 'accepted'
GROUP BY node
COMMENT 'Accepted shares of each node since ever; the same as counting shares, without reading them';

CREATE OR REPLACE VIEW rollup_differences {{ON_CLUSTER}} AS
SELECT
    node,
    sumIf(rows, source = 'submits') AS submits,
    sumIf(rows, source = '1m') AS submits_1m,
    sumIf(rows, source = '1h') AS submits_1h,
    sumIf(rows, source = '1d') AS submits_1d,
    sumIf(rows, source = 'by_node') AS submits_by_node,
    uniqExact(rows, hashes) > 1 OR count() < 5 AS differs
FROM
(
    SELECT 'submits' AS source, node, count() AS rows, sum(work) AS hashes FROM submits GROUP BY node
    UNION ALL SELECT '1m', node, sum(shares), sum(work) FROM submits_1m GROUP BY node
    UNION ALL SELECT '1h', node, sum(shares), sum(work) FROM submits_1h GROUP BY node
    UNION ALL SELECT '1d', node, sum(shares), sum(work) FROM submits_1d GROUP BY node
    UNION ALL SELECT 'by_node', node, sum(shares), sum(work) FROM submits_by_node GROUP BY node
)
GROUP BY node
COMMENT 'Rows and work in submits and in each of its sums; differs must be 0 (reads everything)';

CREATE OR REPLACE VIEW accepted_by_minute {{ON_CLUSTER}} AS
SELECT m.t AS t, m.node AS node, sum(m.shares) AS shares, sum(m.work) AS work
FROM submits_1m AS m
WHERE m.verdict = 'accepted'
GROUP BY t, node
COMMENT 'Accepted shares and their exact work by minute and node, to compare with the journal and Postgres';

CREATE OR REPLACE VIEW worker_hashrate {{ON_CLUSTER}} AS
WITH
    [0.2936, 0.3900, 0.4761, 0.5534, 0.6233, 0.6873, 0.7463, 0.8010, 0.8521, 0.9001, 0.9454, 0.9883, 1.0291,
     1.0680, 1.1053, 1.1410, 1.1753, 1.2084, 1.2403, 1.2711, 1.3010, 1.3299, 1.3580, 1.3853, 1.4119, 1.4377,
     1.4630, 1.4876, 1.5116, 1.5351, 1.5580, 1.5805, 1.6025, 1.6241, 1.6452, 1.6660, 1.6863] AS low_roots
SELECT
    t,
    account,
    worker,
    accepted AS shares,
    hashes / seconds AS hs,
    spread / hashes * pow(low_root, 3) / seconds AS hs_low,
    (spread + heavy * heavy) / (hashes + heavy) * high_shape
        * pow(1 - 1 / (9 * high_shape) + 1.959964 / (3 * sqrt(high_shape)), 3) / seconds AS hs_high
FROM
(
    SELECT
        toStartOfInterval(m.t, toIntervalSecond({step_s:UInt32})) AS t,
        m.account AS account,
        m.worker AS worker,
        sum(m.shares) AS accepted,
        toFloat64(sum(m.work)) AS hashes,
        hashes / sum(m.difficulty) AS unit,
        sum(m.squares) * unit * unit AS spread,
        max(m.heaviest) * unit AS heavy,
        toFloat64(greatest(1, least({step_s:UInt32}, dateDiff('second', t, now('UTC'))))) AS seconds,
        hashes * hashes / spread AS low_shape,
        (hashes + heavy) * (hashes + heavy) / (spread + heavy * heavy) AS high_shape,
        (low_shape - 1) * 4 AS place,
        toUInt8(least(35, greatest(0, floor(place)))) AS cell,
        if(low_shape < 10,
            low_roots[cell + 1] + (place - cell) * (low_roots[cell + 2] - low_roots[cell + 1]),
            cbrt(low_shape) * (1 - 1 / (9 * low_shape) - 1.959964 / (3 * sqrt(low_shape)))) AS low_root
    FROM submits_1m AS m
    WHERE m.verdict = 'accepted'
    GROUP BY t, account, worker
)
COMMENT 'worker_hashrate(step_s = 600): hashes per second in each step, with the bounds of its 95 % band';

CREATE OR REPLACE VIEW reject_reasons {{ON_CLUSTER}} AS
SELECT
    t,
    verdict,
    shares,
    difficulty,
    shares / sum(shares) OVER (PARTITION BY t) AS part
FROM
(
    SELECT h.t AS t, h.verdict AS verdict, sum(h.shares) AS shares, sum(h.difficulty) AS difficulty
    FROM submits_1h AS h
    GROUP BY t, verdict
)
COMMENT 'Submits by hour and verdict, and what part of the hour each verdict was';

CREATE OR REPLACE VIEW stale_by_age {{ON_CLUSTER}} AS
WITH tips AS
(
    SELECT s.height AS tip, min(s.ts) AS seen
    FROM submits AS s
    WHERE s.ts >= {since:DateTime} AND s.height > 0
    GROUP BY tip
)
SELECT
    multiIf(tips.tip = 0, 'unknown', s.ts < seen + INTERVAL 1 SECOND, '0 to 1 s', s.ts < seen + INTERVAL 2 SECOND, '1 to 2 s',
        s.ts < seen + INTERVAL 5 SECOND, '2 to 5 s', s.ts < seen + INTERVAL 15 SECOND, '5 to 15 s',
        s.ts < seen + INTERVAL 60 SECOND, '15 to 60 s', '60 s and more') AS age,
    count() AS shares,
    sum(s.difficulty) AS difficulty,
    uniqExact(s.account, s.worker) AS workers
FROM submits AS s
LEFT JOIN tips ON tips.tip = s.height + 1
WHERE s.ts >= {since:DateTime} AND s.verdict = 'stale'
GROUP BY age
COMMENT 'stale_by_age(since = ...): stale shares by the time since the pool saw the first submit on the next block';

CREATE OR REPLACE VIEW share_intervals {{ON_CLUSTER}} AS
SELECT
    worker,
    difficulty,
    length(gaps) AS intervals,
    arrayAvg(gaps) AS mean_s,
    sqrt(arrayAvg(gap -> pow(gap - mean_s, 2), gaps)) / mean_s AS deviation_ratio,
    arrayAvg(gap -> gap < mean_s * 0.693147, gaps) AS below_half_life,
    arrayMax((gap, place) -> greatest(
        place / intervals - (1 - exp(-gap / mean_s)),
        1 - exp(-gap / mean_s) - (place - 1) / intervals), gaps, arrayEnumerate(gaps)) AS distance,
    1.094 / (sqrt(intervals) + 0.26 + 0.5 / sqrt(intervals)) + 0.2 / intervals AS distance_95
FROM
(
    SELECT worker, difficulty, arraySort(groupArray(50000)(gap_s)) AS gaps
    FROM
    (
        SELECT
            s.worker AS worker,
            s.difficulty AS difficulty,
            row_number() OVER joined AS number,
            (toUnixTimestamp64Milli(s.ts) - lagInFrame(toUnixTimestamp64Milli(s.ts)) OVER joined) / 1000 AS gap_s
        FROM submits AS s
        WHERE s.account = {account:String} AND s.ts >= {since:DateTime} AND s.verdict = 'accepted'
        WINDOW joined AS (PARTITION BY s.worker, s.node, s.session, s.difficulty ORDER BY s.ts, s.seq
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
    WHERE number > 1
    GROUP BY worker, difficulty
)
WHERE mean_s > 0
COMMENT 'share_intervals(account = ..., since = ...): times between shares against the exponential distribution they must follow';

CREATE OR REPLACE VIEW worker_uptime {{ON_CLUSTER}} AS
SELECT
    toStartOfDay(m.t) AS day,
    m.account AS account,
    m.worker AS worker,
    uniqExact(toStartOfTenMinutes(m.t)) AS active_steps,
    greatest(1, least(144, intDiv(dateDiff('second', day, now('UTC')) + 599, 600))) AS steps,
    active_steps / steps AS uptime,
    min(m.first_at) AS first_at,
    max(m.last_at) AS last_at
FROM submits_1m AS m
WHERE m.verdict = 'accepted'
GROUP BY day, account, worker
COMMENT 'In how many of the ten-minute steps of a day (UTC) a worker had a share accepted';

CREATE OR REPLACE VIEW block_rounds {{ON_CLUSTER}} AS
SELECT
    blocks_before + 1 AS number,
    max(round) AS last_round,
    max(found) > 0 AS is_closed,
    min(first_at) AS started_at,
    max(last_at) AS ended_at,
    sum(shares) AS accepted,
    sum(work) AS hashes,
    sum(effort) AS round_effort
FROM
(
    SELECT *, sum(found > 0) OVER (ORDER BY round ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS blocks_before
    FROM
    (
        SELECT
            d.round AS round,
            sum(d.blocks) AS found,
            min(d.first_at) AS first_at,
            max(d.last_at) AS last_at,
            sum(d.shares) AS shares,
            sum(d.work) AS work,
            sum(d.effort) AS effort
        FROM submits_1d AS d
        WHERE d.verdict = 'accepted'
        GROUP BY round
    )
)
GROUP BY number
COMMENT 'Work from one block candidate to the next; effort 1 is what a block takes on average';

CREATE OR REPLACE VIEW rolling_luck {{ON_CLUSTER}} AS
SELECT
    number,
    ended_at,
    round_effort,
    1 / avg(round_effort) OVER (ORDER BY number ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS luck_10,
    1 / avg(round_effort) OVER (ORDER BY number ROWS BETWEEN 99 PRECEDING AND CURRENT ROW) AS luck_100
FROM block_rounds
WHERE is_closed
COMMENT 'Luck over the last 10 and 100 block candidates: 1 is average, above is lucky';

CREATE OR REPLACE VIEW pplns_window {{ON_CLUSTER}} AS
WITH
    (
        SELECT argMaxIf((t, reach - bucket), t, reach >= {hashes:UInt128})
        FROM
        (
            SELECT t, bucket, sum(bucket) OVER (ORDER BY t DESC ROWS UNBOUNDED PRECEDING) AS reach
            FROM (SELECT h.t AS t, sum(h.work) AS bucket FROM submits_1h AS h WHERE h.verdict = 'accepted' GROUP BY t)
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
                WHERE m.verdict = 'accepted' AND toStartOfHour(m.t) = edge_hour.1
                GROUP BY t, round
            )
        )
    ) AS edge
SELECT account, sum(held) AS hashes_held, hashes_held / sum(hashes_held) OVER () AS part
FROM
(
    SELECT h.account AS account, toFloat64(sum(h.work)) AS held
    FROM submits_1h AS h
    WHERE h.verdict = 'accepted' AND h.t > edge_hour.1
    GROUP BY account
    UNION ALL
    SELECT account, sum(if(t = edge.1 AND round = edge.2, work * toFloat64(edge.3) / toFloat64(edge.4), work)) AS held
    FROM
    (
        SELECT m.t AS t, m.round AS round, m.account AS account, toFloat64(sum(m.work)) AS work
        FROM submits_1m AS m
        WHERE m.verdict = 'accepted' AND toStartOfHour(m.t) = edge_hour.1 AND (t > edge.1 OR (t = edge.1 AND round >= edge.2))
        GROUP BY t, round, account
    )
    GROUP BY account
)
GROUP BY account
COMMENT 'pplns_window(hashes = quoted number): who holds the newest so many hashes, as the ledger cuts them';

CREATE OR REPLACE VIEW agents {{ON_CLUSTER}} AS
SELECT
    toDate(s.ts) AS day,
    s.agent AS agent,
    uniqExact(s.account, s.worker) AS workers,
    countIf(s.verdict = 'accepted') AS accepted,
    count() - accepted AS rejected,
    sumIf(s.difficulty, s.verdict = 'accepted') AS credited
FROM submits AS s
GROUP BY day, agent
COMMENT 'What miners call themselves, by day (UTC)';

CREATE OR REPLACE VIEW withholding {{ON_CLUSTER}} AS
SELECT
    account,
    expected,
    found,
    least(1, arraySum(k -> exp(k * log(expected) - expected - lgamma(k + 1)), range(found + 1))) AS chance
FROM
(
    SELECT d.account AS account, sum(d.effort) AS expected, sum(d.blocks) AS found
    FROM submits_1d AS d
    WHERE d.verdict = 'accepted'
    GROUP BY account
)
WHERE expected > 0
COMMENT 'Blocks an account should have found and did find, and the chance of so few by bad luck alone (Poisson)';
