CREATE TABLE IF NOT EXISTS submits {{ON_CLUSTER}}
(
    ts DateTime64(3, 'UTC') COMMENT 'When the line was received' CODEC(Delta, ZSTD(1)),
    node UInt16 COMMENT 'Pool node that judged it' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Number of the submit on its node, without gaps; (node, seq) is unique' CODEC(Delta, ZSTD(1)),
    account LowCardinality(String) COMMENT 'Address or account name that is credited' CODEC(ZSTD(1)),
    worker LowCardinality(String) COMMENT 'Worker name, empty when none was given' CODEC(ZSTD(1)),
    session UInt32 COMMENT 'Connection number within one run of the node' CODEC(ZSTD(1)),
    remote IPv6 COMMENT 'Address of the miner; IPv4 is mapped (::ffff:a.b.c.d)' CODEC(ZSTD(1)),
    agent LowCardinality(String) COMMENT 'What the miner calls itself' CODEC(ZSTD(1)),
    job LowCardinality(String) COMMENT 'Job id as sent in mining.notify, empty when the submit named none we know' CODEC(ZSTD(1)),
    height UInt32 COMMENT 'Height of the block that was worked on' CODEC(ZSTD(1)),
    previous_block LowCardinality(String) COMMENT 'Hash of the block before it' CODEC(ZSTD(1)),
    verdict Enum8({{VERDICTS}}) COMMENT 'What became of it' CODEC(ZSTD(1)),
    difficulty Float64 COMMENT 'Difficulty it was judged by; credited when accepted' CODEC(ZSTD(1)),
    work UInt128 COMMENT 'The same in hashes, exact: floor(2^256 / (target + 1)), as the ledger counts it' CODEC(ZSTD(1)),
    achieved_difficulty Float64 COMMENT 'Difficulty of its hash; 0 when it was refused before hashing' CODEC(ZSTD(1)),
    target LowCardinality(String) COMMENT 'Target it was judged by, hex, high digits first' CODEC(ZSTD(1)),
    extranonce1 String COMMENT 'Hex, as in the coinbase' CODEC(ZSTD(1)),
    extranonce2 String COMMENT 'Hex, as in the coinbase' CODEC(ZSTD(1)),
    ntime DateTime('UTC') COMMENT 'Time in the header' CODEC(Delta, ZSTD(1)),
    version UInt32 COMMENT 'Version in the header, rolled bits included' CODEC(ZSTD(1)),
    nonce UInt32 COMMENT 'Nonce in the header' CODEC(NONE),
    hash String COMMENT 'Header hash as block explorers show it, empty when it was refused before hashing' CODEC(ZSTD(1)),
    latency_us UInt32 COMMENT 'From receipt of the line to the journal, microseconds' CODEC(ZSTD(1)),
    network_difficulty Float64 COMMENT 'Difficulty of a block at that time' CODEC(ZSTD(1)),
    round UInt32 COMMENT 'Block candidates its node had found before it' CODEC(ZSTD(1)),
    is_block Bool COMMENT 'Its hash also met the network target' CODEC(ZSTD(1))
)
ENGINE = {{MergeTree}}
PARTITION BY toYYYYMMDD(ts)
ORDER BY (toStartOfHour(ts), account, worker, ts)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every share that was ever submitted, accepted or not'
