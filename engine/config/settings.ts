// The one schema of everything an operator can set: name, type, range, default, unit and meaning. Every other form
// of a setting is derived from its key: `stratum_port` in millrace.toml is STRATUM_PORT in the environment and
// --stratum-port on the command line. --help, --print-config and every error message are written from here.
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { NetworkName } from '../bitcoin/networks.js';
import { STRATUM_PORT_FORM } from './stratum-ports.js';

/** Extra schema keywords: what JSON Schema has no word for. */
export interface SettingNotes {
  /** One line for --help: what it does. */
  description: string;
  /** Heading of --help that it stands under. */
  group: string;
  /** Unit or form of the value, for --help and errors. */
  unit?: string;
  /** Holds credentials: never printed or logged as it is. */
  secret?: boolean;
  /** Default where it depends on the network. A plain default uses the JSON Schema keyword `default`. */
  networkDefault?: Readonly<Record<NetworkName, number>>;
  /** Shown for a setting without default: what happens when it is not set. */
  unset?: string;
}

const PORT = { minimum: 0, maximum: 65_535, unit: 'port, 0 = any free one' };
const SATS_MAX = 2_100_000_000_000_000;
const MINERS = 'Miners';
const MONEY = 'Rewards and payouts';
const CHAIN = 'Bitcoin node';
const STORES = 'Storage';
const WATCH = 'API, statistics and logs';
const SIMULATED = 'Simulated miners';

const notes = <T extends SettingNotes & Record<string, unknown>>(options: T): T => options;

/** One value for networks where blocks cost nothing, one for those where they do. */
const byKind = (own: number, open: number): Record<NetworkName, number> => ({
  ...{ private: own, regtest: own },
  ...{ signet: open, testnet4: open, mainnet: open },
});

/** Keys are those of millrace.toml. */
export const SETTINGS_SCHEMA = Type.Object(
  {
    network: Type.Union(
      [
        Type.Literal('private'),
        Type.Literal('regtest'),
        Type.Literal('signet'),
        Type.Literal('testnet4'),
        Type.Literal('mainnet'),
      ],
      notes({
        group: CHAIN,
        default: 'private',
        unit: 'private, regtest, signet, testnet4 or mainnet',
        description:
          'Chain to mine. private: a signet of our own that anyone may mine. The last three need POOL_ADDRESS and BITCOIN_RPC_URL',
      }),
    ),
    bitcoin_rpc_url: Type.Optional(
      Type.Array(
        Type.String({ format: 'http-url' }),
        notes({
          group: CHAIN,
          secret: true,
          minItems: 1,
          maxItems: 16,
          unit: 'http://user:password@host:port, several separated by commas',
          unset: 'own bitcoind',
          description: 'Nodes to take templates from and send blocks to, best first',
        }),
      ),
    ),
    bitcoind: Type.Optional(
      Type.String(
        notes({
          group: CHAIN,
          minLength: 1,
          unit: 'path',
          unset: 'found on PATH or unpacked from Debian',
          description: 'bitcoind to start when BITCOIN_RPC_URL is not set',
        }),
      ),
    ),
    pool_address: Type.Optional(
      Type.String(
        notes({
          group: CHAIN,
          minLength: 1,
          maxLength: 100,
          unit: 'Bitcoin address',
          unset: 'address of the node wallet',
          description: 'Address that the coinbase of each block pays',
        }),
      ),
    ),
    coinbase_tag: Type.String(
      notes({
        group: CHAIN,
        default: '/Millrace/',
        maxLength: 32,
        pattern: '^[ -~]*$',
        unit: 'at most 32 printable ASCII characters',
        description: 'Text that marks our blocks, in their coinbase',
      }),
    ),
    job_refresh_interval: Type.Integer(
      notes({
        group: CHAIN,
        default: 30,
        minimum: 1,
        maximum: 600,
        unit: 's',
        description: 'Age at which a job is replaced by one with newer transactions',
      }),
    ),

    stratum_port: Type.Integer(
      notes({
        group: MINERS,
        default: 3333,
        ...PORT,
        description: 'Port for miners (Stratum V1); busy: the next free one',
      }),
    ),
    stratum_host: Type.String(
      notes({
        group: MINERS,
        default: '0.0.0.0',
        format: 'host',
        unit: 'address',
        description: 'Interface that miners connect to; 127.0.0.1 for this machine only',
      }),
    ),
    stratum_ports: Type.Optional(
      Type.Array(
        Type.String({ format: 'stratum-port' }),
        notes({
          group: MINERS,
          minItems: 1,
          maxItems: 32,
          unit: `${STRATUM_PORT_FORM}, comma-separated`,
          unset: 'STRATUM_PORT alone',
          description: 'Further ports, with TLS, WebSocket or a difficulty of their own',
        }),
      ),
    ),
    tls_cert_file: Type.Optional(
      Type.String(
        notes({
          group: MINERS,
          minLength: 1,
          unit: 'path of a PEM file',
          unset: 'no TLS',
          description: 'Certificate chain of the TLS ports; a new file is taken over while the pool runs',
        }),
      ),
    ),
    tls_key_file: Type.Optional(
      Type.String(
        notes({
          group: MINERS,
          minLength: 1,
          unit: 'path of a PEM file',
          unset: 'no TLS',
          description: 'Private key of TLS_CERT_FILE',
        }),
      ),
    ),
    proxy_protocol_from: Type.Optional(
      Type.Array(
        Type.String({ format: 'cidr' }),
        notes({
          group: MINERS,
          minItems: 1,
          maxItems: 256,
          unit: 'addresses or networks (10.0.0.0/8), separated by commas',
          unset: 'nobody',
          description: 'Load balancers that must begin each connection with a PROXY header (v1 or v2)',
        }),
      ),
    ),
    connection_threads: Type.Integer(
      notes({
        group: MINERS,
        default: 1,
        minimum: 1,
        maximum: 16,
        unit: 'threads',
        description: 'Threads that serve miners: on one port from Node 22.12 on, on consecutive ports before',
      }),
    ),
    share_difficulty: Type.Number(
      notes({
        group: MINERS,
        minimum: 1e-10,
        maximum: 1e15,
        unit: 'difficulty',
        networkDefault: { private: 1e-5, regtest: 1e-6, signet: 1, testnet4: 1, mainnet: 8192 },
        description: 'Difficulty a connection starts with, and keeps where VARDIFF_ENABLED is false',
      }),
    ),
    vardiff_enabled: Type.Boolean(
      notes({
        group: MINERS,
        default: true,
        description: 'Adapt the difficulty of each connection to its hashrate',
      }),
    ),
    vardiff_shares_per_minute: Type.Number(
      notes({
        group: MINERS,
        networkDefault: byKind(120, 18),
        minimum: 0.1,
        maximum: 6000,
        unit: 'shares/min',
        description: 'Shares each connection is led to send; 18 measure its hashrate to 10 % in 5 minutes',
      }),
    ),
    vardiff_min: Type.Optional(
      Type.Number(
        notes({
          group: MINERS,
          minimum: 1e-10,
          maximum: 1e15,
          unit: 'difficulty',
          unset: 'SHARE_DIFFICULTY / 4096',
          description: 'Lowest difficulty that a connection is led to',
        }),
      ),
    ),
    vardiff_max: Type.Number(
      notes({
        group: MINERS,
        default: 1e15,
        minimum: 1e-10,
        maximum: 1e15,
        unit: 'difficulty',
        description: 'Highest difficulty that a connection is led to; never above that of the network',
      }),
    ),
    vardiff_power_of_two: Type.Boolean(
      notes({
        group: MINERS,
        default: false,
        description: 'Only powers of two as difficulties, for firmware that rounds others',
      }),
    ),
    max_connections: Type.Integer(
      notes({
        group: MINERS,
        default: 20_000,
        minimum: 1,
        maximum: 1_000_000,
        unit: 'connections',
        description: 'Miner connections at once; further ones are closed',
      }),
    ),
    max_connections_per_address: Type.Integer(
      notes({
        group: MINERS,
        default: 0,
        minimum: 0,
        maximum: 1_000_000,
        unit: 'connections, 0 = half of MAX_CONNECTIONS',
        description: 'Connections from one address at once; this machine itself is not limited',
      }),
    ),
    ban_duration: Type.Integer(
      notes({
        group: MINERS,
        default: 600,
        minimum: 0,
        maximum: 86_400,
        unit: 's, 0 = no bans',
        description: 'How long an address stays out that sent nothing but bad work; doubles each time',
      }),
    ),
    hash_workers: Type.Integer(
      notes({
        group: MINERS,
        default: 0,
        minimum: 0,
        maximum: 32,
        unit: 'threads, 0 = cores - 1',
        description: 'Threads that check shares',
      }),
    ),
    share_cache_size: Type.Integer(
      notes({
        group: MINERS,
        default: 20_000_000,
        minimum: 1000,
        maximum: 100_000_000,
        unit: 'shares, 32 to 64 bytes each',
        description: 'Shares the duplicate filter can hold; full, it refuses new shares and forgets none',
      }),
    ),

    payout_scheme: Type.Union(
      [Type.Literal('pplns'), Type.Literal('solo')],
      notes({
        group: MONEY,
        default: 'pplns',
        unit: 'pplns or solo',
        description: 'Who a block pays: all recent work in proportion, or the miner that found it',
      }),
    ),
    pplns_window: Type.Number(
      notes({
        group: MONEY,
        default: 2,
        minimum: 0.001,
        maximum: 1000,
        unit: 'x network difficulty, to 0.001',
        description: 'Recent work that a block pays (PPLNS)',
      }),
    ),
    pool_fee: Type.Number(
      notes({
        group: MONEY,
        default: 1,
        minimum: 0,
        maximum: 100,
        unit: '%, to 0.0001',
        description: 'What the pool keeps of each block',
      }),
    ),
    min_payout: Type.Integer(
      notes({
        group: MONEY,
        default: 100_000,
        minimum: 546,
        maximum: SATS_MAX,
        unit: 'sats',
        description: 'Smallest payment the pool ever makes, and the lowest threshold a miner can have',
      }),
    ),
    auto_payout_threshold: Type.Integer(
      notes({
        group: MONEY,
        default: 1_000_000,
        minimum: 546,
        maximum: SATS_MAX,
        unit: 'sats',
        description: 'Confirmed balance at which an account is paid; at least MIN_PAYOUT',
      }),
    ),
    payout_frequency: Type.Integer(
      notes({
        group: MONEY,
        minimum: 1,
        maximum: 2_592_000,
        unit: 's',
        networkDefault: byKind(60, 3600),
        description: 'Time between two payout runs',
      }),
    ),

    data_dir: Type.String(
      notes({
        group: STORES,
        default: './.millrace',
        minLength: 1,
        unit: 'path',
        description: 'Journal, own databases and own node live here',
      }),
    ),
    journal_durability: Type.Union(
      [Type.Literal('process'), Type.Literal('power')],
      notes({
        group: STORES,
        default: 'process',
        unit: 'process or power',
        description:
          'What an answered share survives: the death of any process, or a power cut too (answers wait for the disk)',
      }),
    ),
    journal_max_size: Type.Integer(
      notes({
        group: STORES,
        default: 50_000,
        minimum: 100,
        maximum: 100_000_000,
        unit: 'MB',
        description:
          'Journal kept for 24 h at most, once both stores have it; what one of them still needs is kept at any size',
      }),
    ),
    database_url: Type.Optional(
      Type.String(
        notes({
          group: STORES,
          secret: true,
          format: 'postgres-url',
          unit: 'postgres://user:password@host:port/database',
          unset: 'own PostgreSQL',
          description: 'Postgres that holds the ledger',
        }),
      ),
    ),
    db_pool_size: Type.Integer(
      notes({
        group: STORES,
        default: 10,
        minimum: 2,
        maximum: 1000,
        unit: 'connections',
        description: 'Connections to Postgres at most',
      }),
    ),
    db_pool_timeout: Type.Integer(
      notes({
        group: STORES,
        default: 10,
        minimum: 1,
        maximum: 600,
        unit: 's',
        description: 'Longest wait for a Postgres connection and for one statement',
      }),
    ),
    clickhouse_url: Type.Optional(
      Type.String(
        notes({
          group: STORES,
          secret: true,
          format: 'http-url',
          unit: 'http://user:password@host:port/database',
          unset: 'own ClickHouse engine',
          description: 'ClickHouse that holds every share',
        }),
      ),
    ),
    clickhouse_port: Type.Integer(
      notes({
        group: STORES,
        default: 8123,
        ...PORT,
        description:
          'HTTP port of our own ClickHouse engine, for curl, Grafana and any client; busy: the next free one',
      }),
    ),

    api_port: Type.Integer(
      notes({
        group: WATCH,
        default: 3003,
        ...PORT,
        description: 'Port of the web page, /api/stats, /metrics and /health; busy: the next free one',
      }),
    ),
    api_host: Type.String(
      notes({
        group: WATCH,
        default: '127.0.0.1',
        format: 'host',
        unit: 'address',
        description: 'Interface of the API; 0.0.0.0 shows it to the network',
      }),
    ),
    stats_update_interval: Type.Number(
      notes({
        group: WATCH,
        default: 2,
        minimum: 0.2,
        maximum: 3600,
        unit: 's',
        description: 'Time between two updates of statistics and metrics',
      }),
    ),
    hashrate_window: Type.Integer(
      notes({
        group: WATCH,
        default: 300,
        minimum: 10,
        maximum: 86_400,
        unit: 's',
        description:
          'Time that the hashrate of an account is measured over; silent for longer, it is offline',
      }),
    ),
    log_level: Type.Union(
      [
        Type.Literal('trace'),
        Type.Literal('debug'),
        Type.Literal('info'),
        Type.Literal('warn'),
        Type.Literal('error'),
        Type.Literal('fatal'),
        Type.Literal('silent'),
      ],
      notes({
        group: WATCH,
        default: 'info',
        unit: 'trace, debug, info, warn, error, fatal or silent',
        description: 'Least important log line that is written',
      }),
    ),

    sim_miners: Type.Integer(
      notes({
        group: SIMULATED,
        minimum: 0,
        maximum: 20_000,
        unit: 'miners, 0 = none',
        networkDefault: byKind(3, 0),
        description: 'Simulated miners that really hash, started with the pool',
      }),
    ),
    sim_hashrate: Type.Number(
      notes({
        group: SIMULATED,
        default: 0,
        minimum: 0,
        maximum: 1e15,
        unit: 'H/s in all, 0 = automatic',
        description: 'What they hash together; automatic: fast at first, then a block a minute',
      }),
    ),
  },
  { additionalProperties: false },
);

/** Values by key of millrace.toml, complete and valid. */
export type Settings = Static<typeof SETTINGS_SCHEMA>;

export type SettingKey = keyof Settings;

export type SettingKind = 'number' | 'boolean' | 'string' | 'list';

export interface Setting extends SettingNotes {
  /** Key in millrace.toml. */
  readonly key: SettingKey;
  /** Name in the environment. */
  readonly variable: string;
  /** Name on the command line, with its dashes. */
  readonly flag: string;
  readonly kind: SettingKind;
  readonly schema: TSchema;
}

const kindOf = (schema: TSchema): SettingKind => {
  switch (schema.type) {
    case 'integer':
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array':
      return 'list';
    default:
      return 'string';
  }
};

/** Every setting, in the order of --help. */
export const SETTINGS: readonly Setting[] = Object.entries(SETTINGS_SCHEMA.properties).map(
  ([key, schema]: [string, TSchema]) => ({
    ...(schema as unknown as SettingNotes),
    key: key as SettingKey,
    variable: key.toUpperCase(),
    flag: `--${key.replaceAll('_', '-')}`,
    kind: kindOf(schema),
    schema,
  }),
);

/** Default of a setting on `network`; undefined when it has none. */
export function defaultOf(setting: Setting, network: NetworkName): unknown {
  return setting.networkDefault?.[network] ?? setting.schema.default;
}
