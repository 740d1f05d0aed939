// The journal, Postgres and ClickHouse.
import { Type } from '@sinclair/typebox';
import { notes, PORT } from './settings-notes.js';

const STORES = 'Storage';

export const STORE_SETTINGS = {
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
  clickhouse_cluster: Type.Optional(
    Type.String(
      notes({
        group: STORES,
        pattern: '^[A-Za-z_][A-Za-z0-9_-]{0,63}$',
        unit: 'name',
        unset: 'one server',
        description: 'Cluster of CLICKHOUSE_URL: replicated tables on every node, distributed ones to read',
      }),
    ),
  ),
  shares_keep_days: Type.Integer(
    notes({
      group: STORES,
      default: 0,
      minimum: 0,
      maximum: 36_500,
      unit: 'days, 0 = for ever; 2 or more',
      description: 'How long ClickHouse keeps each share',
    }),
  ),
  minutes_keep_days: Type.Integer(
    notes({
      group: STORES,
      default: 0,
      minimum: 0,
      maximum: 36_500,
      unit: 'days, 0 = for ever; 2 or more',
      description: 'How long ClickHouse keeps the sums by minute',
    }),
  ),
  hours_keep_days: Type.Integer(
    notes({
      group: STORES,
      default: 0,
      minimum: 0,
      maximum: 36_500,
      unit: 'days, 0 = for ever; 2 or more',
      description: 'How long ClickHouse keeps the sums by hour; those by day are kept for ever',
    }),
  ),
};
