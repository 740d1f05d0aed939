// Turns what the operator set into the typed configuration the pool runs with, or into the full list of what is
// wrong with it. Defaults < millrace.toml < environment < flags. Called once, by the command line.
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';
import { maskUrl } from './mask.js';
import {
  defaultOf,
  SETTINGS,
  SETTINGS_SCHEMA,
  type Setting,
  type SettingKey,
  type Settings,
} from './settings.js';
import {
  type ConfigError,
  type GivenValue,
  readCommandLine,
  readEnvironment,
  readFile,
  type SourceKind,
} from './sources.js';
import { parseStratumPort, type StratumPort } from './stratum-ports.js';

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

  readonly payoutScheme: 'pplns' | 'solo';
  /** PPLNS window in thousandths of the network difficulty: 2000 is N = 2. */
  readonly pplnsWindowPermille: number;
  /** Pool fee in parts per million, exact: 10000 is one percent. */
  readonly feePpm: number;
  readonly minPayoutSats: bigint;
  readonly autoPayoutThresholdSats: bigint;
  readonly payoutFrequencyMs: number;

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

export interface EffectiveSetting {
  readonly setting: Setting;
  /** Undefined: not set, and without default. */
  readonly value: unknown;
  readonly source: SourceKind;
  readonly place: string;
}

export interface ConfigInput {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that holds millrace.toml and that relative paths start from. */
  readonly cwd: string;
}

export type ConfigResult = { readonly config: Config } | { readonly errors: readonly ConfigError[] };

const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
ajv.addVocabulary(['group', 'unit', 'secret', 'networkDefault', 'unset']);
ajv.addFormat(
  'host',
  /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)$/,
);
ajv.addFormat('stratum-port', (text) => parseStratumPort(text) !== null);
ajv.addFormat('cidr', isCidr);
ajv.addFormat('http-url', (text) => isUrl(text, ['http:', 'https:']));
ajv.addFormat('postgres-url', (text) => isUrl(text, ['postgres:', 'postgresql:']));
const isSettings = ajv.compile<Settings>(SETTINGS_SCHEMA);

const DIFFICULTY_MIN = 1e-10;
const PPM_PER_PERCENT = 10_000;
const OWN_CHAINS: readonly NetworkName[] = ['private', 'regtest'];

/** Reads all sources and checks everything. Never throws for what an operator can get wrong. */
export function loadConfig({ argv, env, cwd }: ConfigInput): ConfigResult {
  const flags = readCommandLine(argv);
  const environment = readEnvironment(env);
  const file = readFile(flags.configPath, cwd);
  const errors = [...flags.errors, ...environment.errors, ...file.errors];

  const given = new Map<SettingKey, GivenValue>();
  for (const value of [...file.given, ...environment.given, ...flags.given])
    given.set(value.setting.key, value);

  const values = new Map<SettingKey, unknown>();
  for (const { setting, raw } of given.values()) values.set(setting.key, readValue(setting, raw));
  const network = networkOf(values.get('network'));
  for (const setting of SETTINGS) {
    const fallback = defaultOf(setting, network);
    if (!values.has(setting.key) && fallback !== undefined) values.set(setting.key, fallback);
  }

  const wrong = new Set<string>();
  if (!isSettings(Object.fromEntries(values))) {
    for (const error of isSettings.errors ?? []) wrong.add(keyOfError(error));
    for (const value of given.values()) {
      if (!wrong.has(value.setting.key)) continue;
      errors.push(badValue(value));
      // The default stands in, so that what depends on other settings can be checked all the same.
      values.delete(value.setting.key);
      const fallback = defaultOf(value.setting, network);
      if (fallback !== undefined) values.set(value.setting.key, fallback);
    }
  }
  const settings: unknown = Object.fromEntries(values);
  if (!isSettings(settings))
    throw new Error(`a default breaks its own rule: ${ajv.errorsText(isSettings.errors)}`);
  errors.push(...crossChecks(settings, given, wrong));
  if (errors.length > 0) return { errors };

  const effective = SETTINGS.map((setting): EffectiveSetting => {
    const source = given.get(setting.key);
    return {
      setting,
      value: values.get(setting.key),
      source: source?.source ?? 'default',
      place: source?.place ?? 'default',
    };
  });
  return { config: toConfig(settings, cwd, file.file, effective) };
}

/** One line for the operator: the key, where it stands, what it holds, what was expected. */
export function describeConfigError({ key, place, value, expected }: ConfigError): string {
  const what = value === null ? key : `${key} is ${JSON.stringify(value)}`;
  return `${what} (${place}): ${value === null ? '' : 'expected '}${expected}`;
}

function toConfig(
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
    feePpm: Math.round(s.pool_fee * PPM_PER_PERCENT),
    minPayoutSats: BigInt(s.min_payout),
    autoPayoutThresholdSats: BigInt(s.auto_payout_threshold),
    payoutFrequencyMs: s.payout_frequency * 1000,
    dataDir: resolve(cwd, s.data_dir),
    journalDurability: s.journal_durability,
    journalBytesMax: s.journal_max_size * 1_000_000,
    databaseUrl,
    dbPoolSize: s.db_pool_size,
    dbPoolTimeoutS: s.db_pool_timeout,
    clickhouseUrl,
    clickhousePort: s.clickhouse_port,
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

function stratumPorts(s: Settings): StratumPort[] {
  const main: StratumPort = {
    ...{ name: 'stratum', port: s.stratum_port, kind: 'tcp' },
    ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
  };
  return [main, ...(s.stratum_ports ?? []).map((text) => parseStratumPort(text) as StratumPort)];
}

/** Text of flags and environment as the type of its setting; what does not fit stays text, for the schema to refuse. */
function readValue(setting: Setting, raw: unknown): unknown {
  if (typeof raw !== 'string') return typeof raw === 'bigint' ? Number(raw) : raw;
  const text = setting.kind === 'string' ? raw : raw.trim();
  switch (setting.kind) {
    case 'number':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : raw;
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(text)) return true;
      return /^(false|no|off|0)$/i.test(text) ? false : raw;
    case 'list':
      return text.split(',').map((item) => item.trim());
    case 'string':
      return raw;
  }
}

function networkOf(value: unknown): NetworkName {
  const setting = SETTINGS.find(({ key }) => key === 'network');
  const names = (setting?.schema.anyOf as { const: NetworkName }[] | undefined) ?? [];
  return names.find((name) => name.const === value)?.const ?? 'private';
}

function keyOfError(error: ErrorObject): string {
  return error.instancePath.split('/')[1] ?? '';
}

function badValue({ setting, name, place, raw }: GivenValue): ConfigError {
  const { minimum, maximum, type } = setting.schema as { minimum?: number; maximum?: number; type?: string };
  const unit = setting.unit === undefined ? '' : ` (${setting.unit})`;
  let expected = setting.unit ?? 'a text';
  if (setting.kind === 'number') {
    expected = `a ${type === 'integer' ? 'whole number' : 'number'} from ${minimum} to ${maximum}${unit}`;
    if (setting.unit === 'sats' && Number(raw) > 0 && Number(raw) < 546) {
      expected += `; ${raw} BTC would be ${Math.round(Number(raw) * 1e8)}`;
    }
  }
  if (setting.kind === 'boolean') expected = 'true or false';
  return { key: name, place, value: shown(setting, raw), expected };
}

/** Rules between settings, and those a schema cannot say. */
function crossChecks(
  s: Settings,
  given: ReadonlyMap<SettingKey, GivenValue>,
  wrong: ReadonlySet<string>,
): ConfigError[] {
  const errors: ConfigError[] = [];
  const refuse = (key: SettingKey, value: unknown, expected: string) => {
    if (wrong.has(key)) return;
    const source = given.get(key);
    const setting = SETTINGS.find((one) => one.key === key) as Setting;
    errors.push({
      key: source?.name ?? setting.variable,
      place: source?.place ?? (value === undefined ? 'not set' : 'default'),
      value: value === undefined ? null : shown(setting, value),
      expected,
    });
  };
  // The shortest decimal of the double is what the operator typed, so the check is exact.
  if (!/^\d+(\.\d{1,4})?$/.test(String(s.pool_fee)))
    refuse('pool_fee', s.pool_fee, 'a percentage with at most 4 decimals');
  if (!/^\d+(\.\d{1,3})?$/.test(String(s.pplns_window))) {
    refuse('pplns_window', s.pplns_window, 'a multiple of the network difficulty with at most 3 decimals');
  }
  if (s.auto_payout_threshold < s.min_payout) {
    refuse(
      'auto_payout_threshold',
      s.auto_payout_threshold,
      `at least MIN_PAYOUT, which is ${s.min_payout} sats`,
    );
  }
  if (!OWN_CHAINS.includes(s.network)) {
    const why = `network ${s.network} is mined only with it; expected`;
    if (s.pool_address === undefined)
      refuse('pool_address', undefined, `${why} an address of yours on ${s.network}`);
    if (s.bitcoin_rpc_url === undefined)
      refuse('bitcoin_rpc_url', undefined, `${why} http://user:password@host:port`);
  }
  if (s.pool_address !== undefined && !wrong.has('network')) {
    try {
      scriptFromAddress(s.pool_address, s.network);
    } catch (error) {
      refuse('pool_address', s.pool_address, `an address of ${s.network}: ${(error as Error).message}`);
    }
  }
  for (const [one, other] of [
    ['tls_cert_file', 'tls_key_file'],
    ['tls_key_file', 'tls_cert_file'],
  ] as const) {
    if (s[one] !== undefined && s[other] === undefined) {
      refuse(other, undefined, `TLS needs it beside ${one.toUpperCase()}; expected a path`);
    }
  }
  const further = wrong.has('stratum_ports') ? [] : stratumPorts(s).slice(1);
  if (s.tls_cert_file === undefined && further.some(({ kind }) => kind === 'tls')) {
    refuse('stratum_ports', s.stratum_ports, 'TLS_CERT_FILE and TLS_KEY_FILE beside a TLS port');
  }
  const names = further.map(({ name }) => name);
  const same = names.find((name, index) => name === 'stratum' || names.indexOf(name) !== index);
  if (same !== undefined)
    refuse('stratum_ports', s.stratum_ports, `a name of its own for each port, not "${same}" again`);
  if (s.vardiff_min !== undefined && s.vardiff_min > s.vardiff_max) {
    refuse('vardiff_min', s.vardiff_min, `at most VARDIFF_MAX, which is ${s.vardiff_max}`);
  }
  const ports = new Map<number, string>();
  for (const { port, name } of further) {
    if (port === 0) continue;
    if (ports.has(port)) refuse('stratum_ports', s.stratum_ports, `each port once, not ${port} again`);
    ports.set(port, `STRATUM_PORTS (${name})`);
  }
  for (const key of ['stratum_port', 'api_port', 'clickhouse_port'] as const) {
    const port = s[key];
    const other = ports.get(port);
    if (port !== 0 && other !== undefined) refuse(key, port, `a port of its own: ${other} has the same`);
    ports.set(port, key.toUpperCase());
  }
  return errors;
}

function shown(setting: Setting, value: unknown): string {
  const items = Array.isArray(value)
    ? value.map(String)
    : typeof value === 'object'
      ? [JSON.stringify(value)]
      : [String(value)];
  if (!setting.secret) return items.join(',');
  return items
    .flatMap((item) => item.split(','))
    .map((item) => maskUrl(item.trim()))
    .join(',');
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  try {
    const url = new URL(text);
    return protocols.includes(url.protocol) && (url.hostname !== '' || url.searchParams.has('host'));
  } catch {
    return false;
  }
}

/** An address, or a network as address/bits. */
function isCidr(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function unbracketed(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}
