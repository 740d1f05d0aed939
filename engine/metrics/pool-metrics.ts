// Every metric of the pool, in one place: names, labels and where each number comes from. The API thread feeds it with
// the coordinator's snapshots. Rules: base units in the name, `_total` on counters, `_ratio` 0..1, label values from
// closed lists only (an account or worker is never a label: https://prometheus.io/docs/practices/naming/).
import { readdirSync } from 'node:fs';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PipelineSnapshot, PoolSnapshot } from '../api/snapshot.js';
import type { BlockSubmitResult } from '../api/thread-messages.js';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** The only Stratum version so far, and the only way of payment. */
const PROTO = 'sv1';
const RAIL = 'onchain';
const LABEL_VALUE = /^[a-z0-9_]{1,40}$/;
const LABEL_VALUES_MAX = 32;

export class PoolMetrics {
  readonly #registry = new Registry();
  readonly #gauges = new Map<string, Gauge>();
  readonly #counters = new Map<string, Counter>();
  readonly #blockSubmit: Histogram<'result'>;
  readonly #http: Histogram<'route'>;
  readonly #httpRequests: Counter<'route' | 'method' | 'code'>;

  constructor() {
    this.#declareGauges();
    this.#declareCounters();
    const registers = [this.#registry];
    this.#blockSubmit = new Histogram({
      name: 'pool_block_submit_duration_seconds',
      help: 'Time from a block candidate to the answer of the first node',
      labelNames: ['result'],
      buckets: SECONDS,
      registers,
    });
    this.#http = new Histogram({
      name: 'pool_http_request_duration_seconds',
      help: 'Time to answer an API request',
      labelNames: ['route'],
      buckets: SECONDS,
      registers,
    });
    this.#httpRequests = new Counter({
      name: 'pool_http_requests_total',
      help: 'API requests answered',
      labelNames: ['route', 'method', 'code'],
      registers,
    });
  }

  /** Content-Type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in the Prometheus text format. `snapshotAgeS`: seconds since the last `update`. */
  async text(snapshotAgeS: number): Promise<string> {
    this.#set('pool_snapshot_age_seconds', snapshotAgeS);
    this.#readProcess();
    return this.#registry.metrics();
  }

  /** A node answered submitblock. */
  blockSubmitted(result: BlockSubmitResult, durationS: number): void {
    this.#blockSubmit.observe({ result }, durationS);
  }

  /** An API request was answered. `route` and `method` from closed lists. */
  httpAnswered(route: string, method: string, status: number, durationS: number): void {
    this.#httpRequests.inc({ route, method, code: String(status) });
    this.#http.observe({ route }, durationS);
  }

  /** Takes over all numbers of a snapshot; what it does not know disappears instead of keeping an old value. */
  update(s: PoolSnapshot): void {
    this.#set('pool_build_info', 1, {
      version: s.build.version,
      commit: s.build.commit,
      node: s.build.node_version,
    });
    this.#set('pool_start_time_seconds', Date.parse(s.started_at) / 1000);
    this.#setEach(
      'pool_component_up',
      'component',
      s.components.map((c) => [c.name, c.state === 'ok' ? 1 : 0]),
    );
    this.#updateStratumAndShares(s);
    this.#updateChain(s);
    this.#updateMoney(s);
    this.#updatePipeline(s);
    const delays = this.#gauge('pool_event_loop_delay_seconds');
    for (const [thread, delay] of Object.entries(s.event_loop)) {
      delays.set({ thread, quantile: 'p50' }, delay.p50_s);
      delays.set({ thread, quantile: 'p99' }, delay.p99_s);
      delays.set({ thread, quantile: 'max' }, delay.max_s);
    }
  }

  #updateStratumAndShares({ stratum, shares, hashrate }: PoolSnapshot): void {
    const proto = PROTO;
    this.#set('pool_stratum_connections', stratum.connections, { proto });
    this.#set('pool_stratum_sessions', stratum.sessions_authorized, { proto });
    this.#set('pool_miners', stratum.miners, { state: 'connected' });
    this.#set('pool_workers', stratum.workers, { state: 'connected' });
    this.#count('pool_stratum_accepted_total', [[{ proto }, stratum.accepted_total]]);
    this.#set('pool_stratum_bans', stratum.bans, { proto });
    this.#setEach('pool_new_block_to_notify_seconds', 'edge', [
      ['first', stratum.tip?.first_s ?? null],
      ['last', stratum.tip?.last_s ?? null],
    ]);
    this.#count(
      'pool_stratum_closed_total',
      Object.entries(stratum.closed_total)
        .filter(([reason]) => LABEL_VALUE.test(reason))
        .slice(0, LABEL_VALUES_MAX)
        .map(([reason, count]) => [{ proto, reason }, count]),
    );
    this.#count(
      'pool_shares_total',
      Object.entries(shares.verdicts).map(([result, count]) => [{ proto, result }, count ?? 0]),
    );
    this.#count('pool_share_difficulty_total', [[{ result: 'accepted' }, shares.difficulty_sum]]);
    const bounds = this.#gauge('pool_hashrate_bound_hashes_per_second');
    bounds.reset();
    for (const [window, estimate] of Object.entries(hashrate)) {
      this.#set('pool_hashrate_hashes_per_second', Number(estimate.hs), { window });
      bounds.set({ window, bound: 'ci95_low' }, Number(estimate.ci95_low));
      if (estimate.ci95_high !== null) bounds.set({ window, bound: 'ci95_high' }, Number(estimate.ci95_high));
    }
  }

  #updateChain({ node, blocks, round }: PoolSnapshot): void {
    this.#setOrRemove('pool_template_age_seconds', node.template_age_s);
    this.#set('pool_template_fees_sats', Number(node.template_fees_sats));
    this.#set('pool_template_tx_count', node.template_transactions);
    this.#set('pool_network_difficulty', node.network_difficulty);
    this.#set('pool_chain_height', node.height, { source: 'node' });
    this.#set('pool_round_effort_ratio', round.effort);
    this.#set('pool_blocks_immature', blocks.immature);
    this.#count('pool_jobs_total', [[{}, node.jobs_total]]);
    // Only what never goes back: an immature block turns into a confirmed or an orphaned one.
    const { found, confirmed, orphaned, rejected } = blocks;
    this.#count(
      'pool_blocks_total',
      Object.entries({ found, confirmed, orphaned, rejected }).map(([status, count]) => [{ status }, count]),
    );
  }

  #updateMoney({ balances, payouts, reserve, verification }: PoolSnapshot): void {
    const { immature_sats, confirmed_sats, in_flight_sats, fees_sats } = balances;
    this.#setEach('pool_balance_sats', 'state', [
      ['immature', Number(immature_sats)],
      ['confirmed', Number(confirmed_sats)],
      ['in_flight', Number(in_flight_sats)],
      ['fees', Number(fees_sats)],
    ]);
    this.#set(
      'pool_liability_sats',
      Number(BigInt(immature_sats) + BigInt(confirmed_sats) + BigInt(in_flight_sats)),
    );
    this.#set('pool_ledger_imbalance_sats', Number(balances.ledger_imbalance_sats));
    this.#set('pool_ledger_mismatched_accounts', balances.ledger_mismatches);
    this.#setEach('pool_reserve_sats', 'state', [
      ['available', reserve === null ? null : Number(reserve.available_sats)],
      ['immature', reserve === null ? null : Number(reserve.immature_sats)],
      ['owed', reserve === null ? null : Number(reserve.owed_sats)],
    ]);
    this.#setOrRemove(
      'pool_reserve_fall_back',
      reserve === null ? null : Number(reserve.mode === 'fall_back'),
    );
    this.#setOrRemove('pool_reserve_ruin_probability', reserve?.ruin_probability ?? null);
    this.#setEach('pool_verification_credits', 'result', [
      ['verified', verification.credits],
      ['different', verification.different],
      ['incomplete', verification.incomplete],
    ]);
    this.#set('pool_verification_difference_sats', Number(verification.difference_sats));
    this.#setOrRemove(
      'pool_verification_timestamp_seconds',
      verification.last_at === null ? null : Date.parse(verification.last_at) / 1000,
    );
    const { confirmed, failed, ...open } = payouts.by_status;
    this.#setEach('pool_payouts_open', 'status', Object.entries(open));
    this.#count('pool_payouts_total', [
      [{ rail: RAIL, status: 'confirmed' }, confirmed],
      [{ rail: RAIL, status: 'failed' }, failed],
    ]);
    this.#count('pool_payout_sats_total', [[{ rail: RAIL }, Number(payouts.paid_sats)]]);
    this.#count('pool_payout_fee_sats_total', [[{ rail: RAIL }, Number(payouts.network_fees_sats)]]);
  }

  #updatePipeline({ journal, pipelines, shares }: PoolSnapshot): void {
    this.#set('pool_share_wal_bytes', journal.bytes);
    this.#set('pool_share_wal_last_sequence', journal.last_seq);
    const each = (value: (pipeline: PipelineSnapshot) => number | null): [string, number | null][] =>
      pipelines.map((pipeline) => [pipeline.consumer, value(pipeline)]);
    this.#setEach(
      'pool_share_queue_depth',
      'stage',
      each(({ lag }) => lag),
    );
    this.#setEach(
      'pool_share_queue_age_seconds',
      'stage',
      each(({ lag_s }) => lag_s),
    );
    this.#setEach(
      'pool_share_pipeline_up',
      'stage',
      each(({ state }) => (state === 'ok' ? 1 : 0)),
    );
    this.#setEach('pool_stored_shares', 'store', [
      ['journal', shares.answered_true],
      ['clickhouse', shares.clickhouse_rows],
      ['postgres', shares.postgres_accepted],
    ]);
    this.#setOrRemove('pool_reconciliation_difference_shares', shares.difference);
  }

  #readProcess(): void {
    const { user, system } = process.cpuUsage();
    this.#count('process_cpu_seconds_total', [[{}, (user + system) / 1e6]]);
    this.#set('process_resident_memory_bytes', process.memoryUsage.rss());
    this.#set('process_start_time_seconds', Math.round(Date.now() / 1000 - process.uptime()));
    try {
      this.#set('process_open_fds', readdirSync('/proc/self/fd').length);
    } catch {
      // Not Linux: there is no such folder, and no such metric.
      this.#gauge('process_open_fds').remove();
    }
  }

  #declareGauges(): void {
    const gauge = (name: string, help: string, ...labelNames: string[]) => {
      const made = new Gauge({ name, help, labelNames, registers: [this.#registry] });
      // A gauge without labels would read 0 before anything is known.
      if (labelNames.length === 0) made.remove();
      this.#gauges.set(name, made);
    };
    gauge('pool_build_info', 'Always 1; what is running', 'version', 'commit', 'node');
    gauge('pool_start_time_seconds', 'Unix time at which the pool started');
    gauge('pool_snapshot_age_seconds', 'Time since the coordinator last reported');
    gauge('pool_component_up', '1 while the part is ok', 'component');
    gauge(
      'pool_event_loop_delay_seconds',
      'Delay of the event loop over the last interval',
      'thread',
      'quantile',
    );
    gauge('pool_stratum_connections', 'Open miner connections', 'proto');
    gauge('pool_stratum_sessions', 'Authorized miner sessions', 'proto');
    gauge('pool_miners', 'Accounts with a connected worker', 'state');
    gauge('pool_workers', 'Workers', 'state');
    gauge('pool_hashrate_hashes_per_second', 'Hashrate from credited work', 'window');
    gauge('pool_hashrate_bound_hashes_per_second', '95 % confidence band of the hashrate', 'window', 'bound');
    gauge('pool_template_age_seconds', 'Age of the block template that is mined');
    gauge('pool_template_fees_sats', 'Fees in that template');
    gauge('pool_template_tx_count', 'Transactions in that template');
    gauge('pool_network_difficulty', 'Difficulty of the network');
    gauge('pool_chain_height', 'Height of the best block', 'source');
    gauge(
      'pool_round_effort_ratio',
      'Work since the last block / expected work of a block; 1 is average luck',
    );
    gauge('pool_stratum_bans', 'Addresses that may not connect now', 'proto');
    gauge(
      'pool_new_block_to_notify_seconds',
      'From hearing of the last new block to its job written to the first and the last connection',
      'edge',
    );
    gauge('pool_blocks_immature', 'Blocks of the pool that are not mature yet');
    gauge('pool_balance_sats', 'What the pool holds for miners, and its own fees', 'state');
    gauge('pool_liability_sats', 'What the pool owes to miners');
    gauge('pool_ledger_imbalance_sats', 'Sum of the whole ledger; must be 0');
    gauge(
      'pool_ledger_mismatched_accounts',
      'Ledger accounts that are not the sum of their lines; must be 0',
    );
    gauge('pool_payouts_open', 'Payouts on their way', 'status');
    gauge('pool_verification_credits', 'Credits computed again from the raw shares', 'result');
    gauge('pool_verification_difference_sats', 'By how much they differ from the ledger; must be 0');
    gauge('pool_verification_timestamp_seconds', 'When the last verification ended');
    gauge('pool_reserve_sats', 'What pps, ppsplus and fpps are paid from, and what it owes', 'state');
    gauge('pool_reserve_fall_back', '1: the reserve is too low, their new shares are recorded as pplns');
    gauge('pool_reserve_ruin_probability', 'That the reserve ever runs out');
    gauge('pool_share_wal_bytes', 'Size of the share journal');
    gauge('pool_share_wal_last_sequence', 'Sequence number of the last share in the journal');
    gauge('pool_share_queue_depth', 'Shares in the journal that the store does not hold yet', 'stage');
    gauge('pool_share_queue_age_seconds', 'Age of the oldest of them', 'stage');
    gauge('pool_share_pipeline_up', '1 while the store takes shares', 'stage');
    gauge('pool_stored_shares', 'Accepted shares since the first start, by where they are stored', 'store');
    gauge('pool_reconciliation_difference_shares', 'Shares that one store has and another lacks; must be 0');
    gauge('process_resident_memory_bytes', 'Resident memory of the pool process');
    gauge('process_open_fds', 'Open file descriptors of the pool process');
    gauge('process_start_time_seconds', 'Unix time at which the process started');
  }

  #declareCounters(): void {
    const counter = (name: string, help: string, ...labelNames: string[]) =>
      this.#counters.set(name, new Counter({ name, help, labelNames, registers: [this.#registry] }));
    counter('pool_stratum_accepted_total', 'Miner connections accepted', 'proto');
    counter('pool_stratum_closed_total', 'Miner connections closed', 'proto', 'reason');
    counter('pool_shares_total', 'Submits answered', 'proto', 'result');
    counter('pool_share_difficulty_total', 'Difficulty credited', 'result');
    counter('pool_jobs_total', 'Jobs made');
    counter('pool_blocks_total', 'Blocks of the pool by what became of them', 'status');
    counter('pool_payouts_total', 'Payouts that came to an end', 'rail', 'status');
    counter('pool_payout_sats_total', 'Paid to miners', 'rail');
    counter('pool_payout_fee_sats_total', 'Network fees of payouts', 'rail');
    counter('process_cpu_seconds_total', 'CPU time of the pool process');
  }

  #gauge(name: string): Gauge {
    const gauge = this.#gauges.get(name);
    if (gauge === undefined) throw new Error(`gauge ${name} is not declared`);
    return gauge;
  }

  #set(name: string, value: number, labels: Record<string, string> = {}): void {
    this.#gauge(name).set(labels, value);
  }

  #setOrRemove(name: string, value: number | null): void {
    if (value === null) this.#gauge(name).remove();
    else this.#gauge(name).set(value);
  }

  /** Sets one value a label, and drops labels that are gone or not known. */
  #setEach(name: string, label: string, values: [string, number | null][]): void {
    const gauge = this.#gauge(name);
    gauge.reset();
    for (const [key, value] of values.slice(0, LABEL_VALUES_MAX))
      if (value !== null) gauge.set({ [label]: key }, value);
  }

  /** Sets counters to totals that somebody else has counted. */
  #count(name: string, totals: [Record<string, string>, number][]): void {
    const counter = this.#counters.get(name);
    if (counter === undefined) throw new Error(`counter ${name} is not declared`);
    counter.reset();
    for (const [labels, total] of totals) counter.inc(labels, total);
  }
}
