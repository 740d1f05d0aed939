// A pool in mid-life, for the tests of the API thread.
import type { PoolSnapshot } from '../../engine/api/snapshot.js';

/** A complete snapshot with hostile miner text in it; `changes` replace top-level fields. */
export function sampleSnapshot(changes: Partial<PoolSnapshot> = {}): PoolSnapshot {
  const since = '2026-11-21T03:00:00.000Z';
  const part = (name: PoolSnapshot['components'][number]['name'], essential: boolean) => ({
    ...{ name, essential, since },
    state: 'ok' as const,
    where: 'embedded, 127.0.0.1',
    message: null,
  });
  const estimate = { hs: '81234', ci95_low: '70000', ci95_high: '93000', shares: 180, window_s: 300 };
  return {
    as_of: '2026-11-21T03:30:00.000Z',
    started_at: since,
    update_interval_s: 2,
    build: { version: '0.1.0', commit: 'unknown', node_version: process.version },
    network: 'private',
    scheme: 'pplns',
    fee_ratio: 0.01,
    fee_ratios: { pplns: 0.01, solo: 0.01, pps: 0.02, ppsplus: 0.02, fpps: 0.04 },
    payout_threshold_sats: '1000000',
    node: {
      ...{
        state: 'ok',
        chain: 'signet',
        height: 214,
        best_hash: '00'.repeat(32),
        version: '/Satoshi:30.0.0/',
      },
      ...{ network_difficulty: 0.001126515290698186, template_age_s: 4.5, template_transactions: 3 },
      ...{ template_fees_sats: '1200', jobs_total: 301 },
    },
    stratum: {
      ...{
        port: 3333,
        host: '0.0.0.0',
        urls: ['stratum+tcp://127.0.0.1:3333'],
        connections: 4,
        sessions_authorized: 3,
      },
      ...{
        miners: 2,
        workers: 3,
        accepted_total: 9,
        closed_total: { by_peer: 4, no_subscribe: 1, 'Bad Label': 7 },
        bans: 2,
        tip: { connections: 3, first_s: 0.002, last_s: 0.05 },
      },
    },
    shares: {
      ...{
        answered_true: 1800,
        verdicts: { accepted: 1500, stale: 3, low_difficulty: 1 },
        difficulty_sum: 0.015,
      },
      ...{ clickhouse_rows: 1790, clickhouse_difficulty: 0.0149, postgres_accepted: 1795, difference: 0 },
    },
    hashrate: { m5: estimate, h1: estimate, h24: { ...estimate, ci95_high: null } },
    blocks: {
      ...{ found: 120, immature: 100, confirmed: 19, orphaned: 1, rejected: 2 },
      last: [
        {
          ...{ height: 214, hash: 'ab'.repeat(32), found_at: '2026-11-21T03:29:00.000Z', status: 'immature' },
          ...{
            finder: '<img src=x onerror=alert(1)>',
            worker: 'rig1',
            confirmations: 1,
            network_difficulty: 0.0011,
          },
          ...{ effort: 0.83, reward: { subsidy_sats: '5000000000', fees_sats: '1200' }, reason: '' },
        },
      ],
    },
    round: { work: '4000000', effort: 0.83, started_at: '2026-11-21T03:29:00.000Z' },
    balances: {
      ...{
        immature_sats: '495000000000',
        confirmed_sats: '9400000000',
        in_flight_sats: '100000',
        fees_sats: '5950000000',
      },
      ...{ paid_sats: '84500000000', ledger_imbalance_sats: '0', ledger_mismatches: 0 },
    },
    reserve: {
      ...{ mode: 'covered', available_sats: '6250000000', immature_sats: '312500000', owed_sats: '1200' },
      ruin_probability: 0.04,
    },
    verification: {
      ...{ last_at: '2026-11-21T00:05:00.000Z', credits: 144, different: 0, difference_sats: '0' },
      ...{ incomplete: 0, running: false },
    },
    payouts: {
      by_status: {
        ...{ planned: 0, awaiting_approval: 0, awaiting_signatures: 0 },
        ...{ signed: 0, broadcast: 1, confirmed: 6, failed: 0 },
      },
      ...{ paid_sats: '84500000000', network_fees_sats: '900', last_at: since, last_txid: 'cd'.repeat(32) },
    },
    journal: { bytes: 288_000, last_seq: 1804, failing: null },
    pipelines: [
      { consumer: 'clickhouse', state: 'ok', shipped_seq: 1794, lag: 10, lag_s: 0.5, error: null },
      { consumer: 'ledger', state: 'ok', shipped_seq: 1799, lag: 5, lag_s: 0.2, error: null },
    ],
    miners: [
      {
        ...{ account: '<b>account</b>', workers: 2, state: 'mining', hashrate_hs: '54000', shares: 1200 },
        ...{
          last_share_at: '2026-11-21T03:29:55.000Z',
          immature_sats: '1',
          balance_sats: '2',
          paid_sats: '3',
        },
      },
      {
        ...{ account: 'tb1qexample', workers: 0, state: 'offline', hashrate_hs: '0', shares: 600 },
        ...{ last_share_at: null, immature_sats: '0', balance_sats: '0', paid_sats: '0' },
      },
    ],
    components: [
      part('stratum', true),
      part('node', true),
      part('journal', true),
      part('postgres', false),
      part('clickhouse', false),
    ],
    event_loop: {
      coordinator: { p50_s: 0.001, p99_s: 0.004, max_s: 0.01 },
      connections: { p50_s: 0.001, p99_s: 0.002, max_s: 0.005 },
    },
    ...changes,
  };
}
