// The configuration the pool runs with: settings in the units and types of the program.
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Scheme } from '../accounting/schemes.js';
import { SCHEMES } from '../accounting/schemes.js';
import type { NetworkName } from '../bitcoin/networks.js';
import type { Setting, Settings } from './settings.js';
import type { SourceKind } from './sources.js';
import { parseStratumPort, type StratumPort } from './stratum-ports.js';

export const DIFFICULTY_MIN = 1e-10;
const PPM_PER_PERCENT = 10_000;

export type LogLevel = Settings['log_level'];

/** What the pool runs with. Times carry their unit; what may be replaced by a default part is null when not set. */
export interface Config {
  readonly network: NetworkName;
  /** Best first; empty: start our own bitcoind. */
  readonly bitcoinRpcUrls: readonly string[];
  /** bitcoind to start; null: look for one. */
  readonly bitcoindPath: string | null;
  /** Checked for `network`; null: ask the node's wallet. */
  readonly poolAddress: string | null;
  /** Printable ASCII, may be empty. */
  readonly coinbaseTag: string;
  readonly jobRefreshIntervalMs: number;
  /** Who has outputs of their own in a coinbase. */
  readonly coinbasePays: 'pool' | 'miners';
  readonly coinbaseBytesMax: number;

  readonly stratumHost: string;
  /** 0: any free port. */
  readonly stratumPort: number;
  /** All ports for miners, the first one is `stratumPort`. */
  readonly stratumPorts: readonly StratumPort[];
  /** Absolute paths; null: no TLS. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Networks of load balancers. */
  readonly proxyProtocolFrom: readonly string[];
  readonly connectionThreads: number;
  readonly shareDifficulty: number;
  readonly vardiff: {
    readonly enabled: boolean;
    readonly sharesPerMinute: number;
    readonly floor: number;
    readonly ceiling: number;
    readonly powersOfTwo: boolean;
  };
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** Seconds, 0: nobody is banned. */
  readonly banDurationS: number;
  /** Threads, at least 1. */
  readonly hashWorkers: number;
  readonly duplicateFilterEntries: number;

  readonly payoutScheme: Scheme;
  /** PPLNS window in thousandths of the network difficulty: 2000 is N = 2. */
  readonly pplnsWindowPermille: number;
  /** Pool fee by scheme in parts per million, exact: 10000 is one percent. */
  readonly feePpm: Readonly<Record<Scheme, number>>;
  readonly expectedPayEveryMs: number;
  /** Below it schemes of expected value fall back to PPLNS; null: 20 blocks. */
  readonly reserveLimitSats: bigint | null;
  readonly minPayoutSats: bigint;
  readonly autoPayoutThresholdSats: bigint;
  readonly payoutFrequencyMs: number;
  readonly fees: {
    readonly paidBy: 'pool' | 'payees';
    /** Satoshis a virtual byte. */
    readonly rateMin: number;
    readonly rateMax: number;
    readonly waitAbove: number;
    readonly waitMsMax: number;
    readonly targetBlocks: number;
    /** 0: never. */
    readonly bumpAfterBlocks: number;
  };
  /** Null: no limit. */
  readonly payoutDailyMaxSats: bigint | null;
  /** Null: nothing needs an approval. */
  readonly payoutApprovalAboveSats: bigint | null;
  /** Null: no limit, or no cold wallet. */
  readonly hotWalletMaxSats: bigint | null;
  readonly hotWalletMinSats: bigint;
  /** Checked for `network`. */
  readonly coldAddress: string | null;
  /** Payouts come from this multisig; null: from the node's own wallet. */
  readonly multisigDescriptor: string | null;
  /** Where older coins of the multisig are looked for, seconds since 1970; null: nowhere. */
  readonly multisigSinceS: number | null;
  /** Absolute paths of Unix sockets; empty: people sign. */
  readonly signerSockets: readonly string[];
  /** Null: nobody is paid by Lightning. */
  readonly lightning: LightningConfig | null;

  /** Absolute path. */
  readonly dataDir: string;
  /** `power`: a share is answered when the disk has it. */
  readonly journalDurability: 'process' | 'power';
  readonly journalBytesMax: number;
  readonly databaseUrl: string | null;
  readonly dbPoolSize: number;
  readonly dbPoolTimeoutS: number;
  readonly clickhouseUrl: string | null;
  /** For our own engine; 0: any free port. */
  readonly clickhousePort: number;

  /** Null: one server. */
  readonly clickhouseCluster: string | null;
  /** Days; null: for ever. */
  readonly keepDays: {
    readonly submits: number | null;
    readonly minutes: number | null;
    readonly hours: number | null;
  };

  readonly apiHost: string;
  readonly apiPort: number;
  readonly statsUpdateIntervalMs: number;
  readonly hashrateWindowS: number;
  readonly logLevel: LogLevel;

  /** 0: none. */
  readonly simMiners: number;
  /** H/s of all of them together; null: the pool decides. */
  readonly simHashrateHs: number | null;

  /** The file that was read, absolute; null: none. */
  readonly configFile: string | null;
  /** URLs that hold credentials, for the log to mask. */
  readonly secretUrls: readonly string[];
  /** Every setting with its value and where that came from, for --print-config. */
  readonly effective: readonly EffectiveSetting[];
}

export interface LightningConfig {
  readonly node: 'lnd' | 'cln';
  readonly url: string;
  /** Absolute paths: macaroon or rune, and the certificate; null: the public authorities are trusted. */
  readonly secretFile: string;
  readonly certFile: string | null;
  readonly amountMaxSats: bigint;
  /** Of the amount, parts per million. */
  readonly feeMaxPpm: number;
  readonly feeBaseSats: bigint;
}

export interface EffectiveSetting {
  readonly setting: Setting;
  /** Undefined: not set, and without default. */
  readonly value: unknown;
  readonly source: SourceKind;
  readonly place: string;
}

/** @param effective every setting with its value and where that came from */
export function toConfig(
  s: Settings,
  cwd: string,
  configFile: string | null,
  effective: EffectiveSetting[],
): Config {
  const bitcoinRpcUrls = s.bitcoin_rpc_url ?? [];
  const databaseUrl = s.database_url ?? null;
  const clickhouseUrl = s.clickhouse_url ?? null;
  return {
    network: s.network,
    bitcoinRpcUrls,
    bitcoindPath: s.bitcoind ?? null,
    poolAddress: s.pool_address ?? null,
    coinbaseTag: s.coinbase_tag,
    jobRefreshIntervalMs: s.job_refresh_interval * 1000,
    coinbasePays: s.coinbase_pays,
    coinbaseBytesMax: s.coinbase_max_size,
    stratumHost: unbracketed(s.stratum_host),
    stratumPort: s.stratum_port,
    shareDifficulty: s.share_difficulty,
    stratumPorts: stratumPorts(s),
    tls:
      s.tls_cert_file !== undefined && s.tls_key_file !== undefined
        ? { certFile: resolve(cwd, s.tls_cert_file), keyFile: resolve(cwd, s.tls_key_file) }
        : null,
    proxyProtocolFrom: s.proxy_protocol_from ?? [],
    connectionThreads: s.connection_threads,
    vardiff: {
      enabled: s.vardiff_enabled,
      sharesPerMinute: s.vardiff_shares_per_minute,
      // A farm that was away for hours must not come back to a difficulty at which it floods us.
      floor: s.vardiff_min ?? Math.max(DIFFICULTY_MIN, s.share_difficulty / 4096),
      ceiling: s.vardiff_max,
      powersOfTwo: s.vardiff_power_of_two,
    },
    maxConnections: s.max_connections,
    maxConnectionsPerAddress:
      s.max_connections_per_address > 0 ? s.max_connections_per_address : Math.ceil(s.max_connections / 2),
    banDurationS: s.ban_duration,
    hashWorkers: s.hash_workers > 0 ? s.hash_workers : Math.min(32, Math.max(1, availableParallelism() - 1)),
    duplicateFilterEntries: s.share_cache_size,
    payoutScheme: s.payout_scheme,
    pplnsWindowPermille: Math.round(s.pplns_window * 1000),
    feePpm: schemeFees(s),
    expectedPayEveryMs: s.expected_pay_interval * 1000,
    reserveLimitSats: orNull(s.reserve_limit),
    minPayoutSats: BigInt(s.min_payout),
    autoPayoutThresholdSats: BigInt(s.auto_payout_threshold),
    payoutFrequencyMs: s.payout_frequency * 1000,
    fees: {
      paidBy: s.payout_fee_payer,
      rateMin: s.fee_rate_min,
      rateMax: s.fee_rate_max,
      waitAbove: s.fee_rate_wait,
      waitMsMax: s.payout_wait_max * 1000,
      targetBlocks: s.fee_confirm_target,
      bumpAfterBlocks: s.fee_bump_after,
    },
    payoutDailyMaxSats: orNull(s.payout_daily_max),
    payoutApprovalAboveSats: orNull(s.payout_approval_above),
    hotWalletMaxSats: orNull(s.hot_wallet_max),
    hotWalletMinSats: BigInt(s.hot_wallet_min),
    coldAddress: s.cold_address ?? null,
    multisigDescriptor: s.multisig_descriptor ?? null,
    multisigSinceS:
      s.multisig_since === undefined ? null : Date.parse(`${s.multisig_since}T00:00:00Z`) / 1000,
    signerSockets: (s.signer_sockets ?? []).map((path) => resolve(cwd, path)),
    lightning: lightningOf(s, cwd),
    dataDir: resolve(cwd, s.data_dir),
    journalDurability: s.journal_durability,
    journalBytesMax: s.journal_max_size * 1_000_000,
    databaseUrl,
    dbPoolSize: s.db_pool_size,
    dbPoolTimeoutS: s.db_pool_timeout,
    clickhouseUrl,
    clickhousePort: s.clickhouse_port,
    clickhouseCluster: s.clickhouse_cluster ?? null,
    keepDays: {
      submits: s.shares_keep_days || null,
      minutes: s.minutes_keep_days || null,
      hours: s.hours_keep_days || null,
    },
    apiHost: unbracketed(s.api_host),
    apiPort: s.api_port,
    statsUpdateIntervalMs: Math.round(s.stats_update_interval * 1000),
    hashrateWindowS: s.hashrate_window,
    logLevel: s.log_level,
    simMiners: s.sim_miners,
    simHashrateHs: s.sim_hashrate > 0 ? s.sim_hashrate : null,
    configFile,
    secretUrls: [...bitcoinRpcUrls, databaseUrl, clickhouseUrl].filter((url) => url !== null),
    effective,
  };
}

/** All ports for miners, STRATUM_PORT first. */
export function stratumPorts(s: Settings): StratumPort[] {
  const main: StratumPort = {
    ...{ name: 'stratum', port: s.stratum_port, kind: 'tcp' },
    ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
  };
  return [main, ...(s.stratum_ports ?? []).map((text) => parseStratumPort(text) as StratumPort)];
}

function lightningOf(s: Settings, cwd: string): LightningConfig | null {
  const [node, url, secretFile, certFile] =
    s.lnd_url === undefined
      ? (['cln', s.cln_url, s.cln_rune_file, s.cln_cert_file] as const)
      : (['lnd', s.lnd_url, s.lnd_macaroon_file, s.lnd_cert_file] as const);
  if (url === undefined || secretFile === undefined) return null;
  return {
    node,
    url,
    secretFile: resolve(cwd, secretFile),
    certFile: certFile === undefined ? null : resolve(cwd, certFile),
    amountMaxSats: BigInt(s.lightning_max_sats),
    feeMaxPpm: Math.round(s.lightning_fee_max * PPM_PER_PERCENT),
    feeBaseSats: BigInt(s.lightning_fee_base),
  };
}

/** `SCHEME=PERCENT`, at most 4 decimals; null for any other text. */
export function parseSchemeFee(text: string): { scheme: Scheme; ppm: number } | null {
  const [, name, percent] = /^([a-z]+)=(\d{1,3}(?:\.\d{1,4})?)$/.exec(text) ?? [];
  const scheme = SCHEMES.find((each) => each === name);
  const ppm = Math.round(Number(percent) * PPM_PER_PERCENT);
  return scheme === undefined || ppm > 1_000_000 ? null : { scheme, ppm };
}

function schemeFees(s: Settings): Record<Scheme, number> {
  const all = Math.round(s.pool_fee * PPM_PER_PERCENT);
  const fees = Object.fromEntries(SCHEMES.map((scheme) => [scheme, all])) as Record<Scheme, number>;
  for (const text of s.scheme_fees ?? []) {
    const fee = parseSchemeFee(text);
    if (fee !== null) fees[fee.scheme] = fee.ppm;
  }
  return fees;
}

/** Limits are written 0 where there is none. */
const orNull = (sats: number): bigint | null => (sats === 0 ? null : BigInt(sats));

function unbracketed(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}
