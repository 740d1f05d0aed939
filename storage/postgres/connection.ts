// Opens the Postgres of the ledger: one pool with our types. Satoshis (int8) and work (numeric) are
// bigint on both sides; nothing that is money passes through a float. Used by every store here.
import postgres from 'postgres';
import { guardTransactions } from './lost-connections.js';

type DatabaseTypes = { bigint: bigint; numeric: bigint | number };

export type Database = postgres.Sql<DatabaseTypes>;
export type Transaction = postgres.TransactionSql<DatabaseTypes>;
/** A piece of SQL with its parameters, to be put into a query. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

export interface PostgresOptions {
  /** postgres://user:password@host:port/database */
  url: string;
  /** Connections at most. */
  poolSize: number;
  /** Seconds to wait for a connection, and for the server to finish one statement. */
  timeoutS: number;
}

/**
 * A lazily connecting pool; the first query opens a connection. int8 is read as bigint; numeric without a
 * fraction as bigint (sums of satoshis and of work), with a fraction as number (for display only).
 */
export function openPostgres({ url, poolSize, timeoutS }: PostgresOptions): Database {
  const database = postgres(url, {
    max: poolSize,
    connect_timeout: timeoutS,
    idle_timeout: 60,
    onnotice: () => {},
    connection: {
      application_name: 'millrace',
      statement_timeout: timeoutS * 1000,
      // A transaction whose client is gone must not hold the ledger's locks. Not by idle_in_transaction_session_timeout:
      // the client library may then go on in another transaction (porsager/postgres#1216).
      tcp_keepalives_idle: 10,
      tcp_keepalives_interval: 5,
      tcp_keepalives_count: 3,
      TimeZone: 'UTC',
    },
    types: {
      bigint: postgres.BigInt,
      numeric: {
        to: 1700,
        from: [1700],
        serialize: (value: bigint | number) => value.toString(),
        parse: (text: string) => (/^-?\d+$/.test(text) ? BigInt(text) : Number(text)),
      },
    },
  });
  return guardTransactions(database);
}

/** One sentence for the operator about a Postgres error: what happened, likely cause, what to do. */
export function explainPostgresError(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case 'ECONNREFUSED':
      return 'Postgres refuses connections: it is not running or DATABASE_URL names another port. Start it or correct DATABASE_URL';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'The host of DATABASE_URL cannot be resolved. Correct DATABASE_URL or the DNS';
    case 'CONNECT_TIMEOUT':
      return 'Postgres does not answer: host down, frozen or behind a firewall. Check it, or correct DATABASE_URL';
    case '28P01':
    case '28000':
      return 'Postgres refuses the user or password of DATABASE_URL. Correct them';
    case '3D000':
      return 'The database that DATABASE_URL names does not exist. Create it: CREATE DATABASE';
    case '53300':
      return 'Postgres has no free connection. Lower DB_POOL_SIZE or raise its max_connections';
    case '57P03':
      return 'Postgres is starting up or shutting down. Wait a moment';
    case '57P01':
    case 'CONNECTION_CLOSED':
    case 'CONNECTION_ENDED':
    case 'CONNECTION_DESTROYED':
    case 'ECONNRESET':
      return 'Postgres closed the connection: it stopped or restarted. It is tried again by itself';
    case '53100':
      return 'The disk of Postgres is full. Free space there';
    default:
      return `Postgres: ${message ?? String(error)}${code === undefined ? '' : ` (${code})`}`;
  }
}
