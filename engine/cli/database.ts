// The ledger's Postgres for a command beside the pool: as DATABASE_URL names it, or the embedded one of the pool that runs
// on the data folder. Nothing is created or migrated. Used by the commands of money.
import { join } from 'node:path';
import { checkHistory, readMigrations } from '../../storage/migration-files.js';
import { type Database, explainPostgresError, openPostgres } from '../../storage/postgres/connection.js';
import { projectRoot } from '../../storage/project-root.js';
import type { Config } from '../config/config.js';
import { findPostgres, poolConfig } from './running-stores.js';

export interface CommandDatabase {
  config: Config;
  database: Database;
  close(): Promise<void>;
}

const TIMEOUT_S = 30;
const POOL_SIZE = 2;

/**
 * Opens the ledger of the pool that `values` mean (parsed flags of `POOL_OPTIONS`, running-stores.ts).
 * Throws Error with cause and cure: a wrong setting, no pool, no connection, or a schema that is not this Millrace's.
 */
export async function openCommandDatabase(values: Record<string, unknown>): Promise<CommandDatabase> {
  const config = poolConfig(values);
  const database = openPostgres({ url: findPostgres(config), poolSize: POOL_SIZE, timeoutS: TIMEOUT_S });
  const close = () => database.end({ timeout: 1 });
  try {
    await requireSchema(database);
  } catch (error) {
    await close();
    throw error;
  }
  return { config, database, close };
}

async function requireSchema(database: Database): Promise<void> {
  let applied: { version: number; name: string; checksum: string }[];
  try {
    const [table] = await database<{ present: boolean }[]>`
      select to_regclass('schema_migrations') is not null as present`;
    applied =
      table?.present === true
        ? await database`select version, name, checksum from schema_migrations order by version`
        : [];
  } catch (error) {
    throw new Error(explainPostgresError(error), { cause: error });
  }
  const files = readMigrations(join(projectRoot(), 'storage', 'postgres', 'migrations'));
  checkHistory('Postgres', files, applied);
  if (applied.length < files.length) {
    throw new Error(
      `Postgres has schema version ${applied.length}, this Millrace needs ${files.length}. Start the pool once: it ` +
        'brings the schema up to date',
    );
  }
}
