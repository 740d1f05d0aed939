// The one picture of the pool that the coordinator hands to the API thread: /api/stats is this object as JSON,
// /health and /metrics are read from it. Plain data only (it crosses threads by structured clone).
// Conventions (RFC 3339 UTC times; satoshis as strings ending `_sats`; hashrate in H/s as strings ending `_hs`;
// ratios 0..1 ending `_ratio`; durations ending in their unit) hold for every field.
import type { Scheme } from '../accounting/schemes.js';
import type { NetworkName } from '../bitcoin/networks.js';
import type { ShareVerdict } from '../work/verdict.js';

/** RFC 3339 in UTC, such as 2026-11-21T03:30:00.000Z. */
export type Timestamp = string;

/** A decimal integer of satoshis; negative only where the field says so. */
export type Sats = string;

/** A decimal integer of hashes per second. */
export type HashesPerSecond = string;

/** `down` of an essential part makes /health answer 503. `starting` counts as not serving. */
export type ComponentState = 'ok' | 'degraded' | 'down' | 'starting';

export interface ComponentSnapshot {
  /** Closed list: a metric label and a column of the page. */
  name: 'stratum' | 'node' | 'postgres' | 'clickhouse' | 'journal' | 'shares' | 'payouts' | 'miners';
  state: ComponentState;
  /** The pool does not serve its miners while this part is down. */
  essential: boolean;
  /** Where it runs, without secrets: `embedded, 127.0.0.1:8123`. */
  where: string;
  /** One sentence for the operator when the state is not `ok`, else null. */
  message: string | null;
  /** When the present state began. */
  since: Timestamp;
}

export interface HashrateEstimate {
  hs: HashesPerSecond;
  /** 95 % confidence band (engine/insight/hashrate.ts). */
  ci95_low: HashesPerSecond;
  /** Null while no share and no difficulty is known. */
  ci95_high: HashesPerSecond | null;
  /** Accepted shares that the estimate rests on. */
  shares: number;
  /** Seconds it covers: the window, or less while the pool is younger than that. */
  window_s: number;
}

export type HashrateWindowName = 'm5' | 'h1' | 'h24';

/** As the ledger stores it. */
export type BlockStatusName = 'candidate' | 'immature' | 'confirmed' | 'orphaned' | 'rejected';

export type PayoutStatusName =
  | 'planned'
  | 'awaiting_approval'
  | 'awaiting_signatures'
  | 'signed'
  | 'broadcast'
  | 'confirmed'
  | 'failed';

export interface BlockSnapshot {
  height: number;
  /** Display order hex. */
  hash: string;
  found_at: Timestamp;
  /** Account that found it. */
  finder: string;
  worker: string;
  status: BlockStatusName;
  confirmations: number;
  network_difficulty: number;
  /** Work of its round / expected work; null until credited. */
  effort: number | null;
  /** Subsidy and fees; null until credited. */
  reward: { subsidy_sats: Sats; fees_sats: Sats } | null;
  /** Why it was rejected or orphaned, else an empty text. */
  reason: string;
}

/** How far one reader of the journal (`clickhouse`, `ledger`) has come. */
export interface PipelineSnapshot {
  consumer: string;
  state: 'ok' | 'retrying' | 'stopped';
  /** Sequence number of the last share it holds, 0 before the first. */
  shipped_seq: number;
  /** Shares in the journal that it does not hold yet. */
  lag: number;
  /** Age of the oldest of them in seconds; null when not known, 0 when there is none. */
  lag_s: number | null;
  /** What it waits for, in one sentence, else null. */
  error: string | null;
}

export type MinerState = 'mining' | 'silent' | 'offline';

export interface MinerSnapshot {
  /** Text that came from a miner: escape where shown. */
  account: string;
  /** Workers connected now. */
  workers: number;
  state: MinerState;
  hashrate_hs: HashesPerSecond;
  /** Accepted shares since the first start of the pool. */
  shares: number;
  last_share_at: Timestamp | null;
  immature_sats: Sats;
  balance_sats: Sats;
  paid_sats: Sats;
}

/** Delay of a thread's event loop over the last interval, in seconds. */
export interface EventLoopDelay {
  p50_s: number;
  p99_s: number;
  max_s: number;
}

export interface PoolSnapshot {
  as_of: Timestamp;
  started_at: Timestamp;
  /** Seconds until the next snapshot is due: STATS_UPDATE_INTERVAL. */
  update_interval_s: number;
  build: { version: string; commit: string; node_version: string };
  network: NetworkName;
  /** Of accounts and ports that chose none. */
  scheme: Scheme;
  /** Fee of that scheme, 0.01 is one percent. */
  fee_ratio: number;
  fee_ratios: Record<Scheme, number>;
  payout_threshold_sats: Sats;

  node: {
    state: ComponentState;
    /** `chain` of getblockchaininfo. */
    chain: string;
    height: number;
    best_hash: string;
    /** subversion text of getnetworkinfo. */
    version: string;
    network_difficulty: number;
    /** Age of the template that is mined now; null before the first. */
    template_age_s: number | null;
    template_transactions: number;
    template_fees_sats: Sats;
    /** Jobs made since this start. */
    jobs_total: number;
  };

  stratum: {
    /** Port that really listens (the next ones are tried when it is busy). */
    port: number;
    host: string;
    /** What a miner is configured with. */
    urls: string[];
    connections: number;
    sessions_authorized: number;
    miners: number;
    workers: number;
    /** Connections since this start. */
    accepted_total: number;
    /** Closed since this start, by a closed list of reasons. */
    closed_total: Record<string, number>;
    /** Addresses that may not connect now. */
    bans: number;
    /** How long the last new tip took from the node to the first and the last connection; null before the first. */
    tip: { connections: number; first_s: number; last_s: number } | null;
  };

  shares: {
    /** Submits answered `true` and journaled since the first start of this node. */
    answered_true: number;
    /** Answers of this run by verdict. */
    verdicts: Partial<Record<ShareVerdict, number>>;
    /** Difficulty credited in this run. */
    difficulty_sum: number;
    /** Accepted rows in ClickHouse; null while it does not answer. */
    clickhouse_rows: number | null;
    clickhouse_difficulty: number | null;
    /** Accepted shares booked in Postgres; null while it does not answer. */
    postgres_accepted: number | null;
    /**
     * Shares that one store has and another lacks beyond what is still on its way there (journal lag), the worse
     * of both stores. Must read 0; null while a store does not answer.
     */
    difference: number | null;
  };

  hashrate: Record<HashrateWindowName, HashrateEstimate>;

  blocks: {
    /** Accepted by the node, whatever became of them. */
    found: number;
    immature: number;
    confirmed: number;
    orphaned: number;
    rejected: number;
    /** Newest first, at most 20. */
    last: BlockSnapshot[];
  };

  round: {
    /** Work since the last block, in hashes, as a decimal integer. */
    work: string;
    /** Work / expected work of a block: 1 is average luck. */
    effort: number;
    started_at: Timestamp;
  };

  balances: {
    immature_sats: Sats;
    confirmed_sats: Sats;
    in_flight_sats: Sats;
    /** Pool fees earned and not withdrawn. */
    fees_sats: Sats;
    paid_sats: Sats;
    /** Sum of the whole ledger; must be "0". May be negative. */
    ledger_imbalance_sats: Sats;
    /** Ledger accounts whose balance is not the sum of their lines; must be 0. */
    ledger_mismatches: number;
  };

  /** What pps, ppsplus and fpps are paid from; null while none of them is in use. */
  reserve: {
    /** `fall_back`: too little is in it, new shares of these schemes are recorded as pplns. */
    mode: 'covered' | 'fall_back';
    available_sats: Sats;
    immature_sats: Sats;
    /** For booked work that is not paid yet. */
    owed_sats: Sats;
    /** That it ever runs out, 0..1; null while nobody is paid expected values. */
    ruin_probability: number | null;
  } | null;

  /** Credits computed again from the raw shares, by itself once a UTC day (millrace verify). */
  verification: {
    /** When the last run ended; null before the first, about two minutes after the first start. */
    last_at: Timestamp | null;
    /** Verified by the last run, or so far by the one that runs. */
    credits: number;
    /** Credits of all runs that are not what the raw shares say; must be 0. */
    different: number;
    difference_sats: Sats;
    /** Credits whose raw shares are not all there. */
    incomplete: number;
    running: boolean;
  };

  payouts: {
    by_status: Record<PayoutStatusName, number>;
    paid_sats: Sats;
    network_fees_sats: Sats;
    last_at: Timestamp | null;
    last_txid: string | null;
  };

  journal: {
    bytes: number;
    /** Sequence number of the last share, 0 before the first. */
    last_seq: number;
    /** Why the disk does not take shares, in one sentence, else null. */
    failing: string | null;
  };

  pipelines: PipelineSnapshot[];

  /** By hashrate, at most 100. */
  miners: MinerSnapshot[];

  components: ComponentSnapshot[];

  event_loop: { coordinator: EventLoopDelay; connections: EventLoopDelay };
}
