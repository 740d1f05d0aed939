// Brings the ClickHouse schema up to date: migrations/NNN_name.sql in order, each remembered in schema_migrations.
// A statement ends with a semicolon at the end of its line. ClickHouse has no transactional DDL: a file that was
// not remembered runs again from its first statement, so every file is written to be repeatable.
import { type AppliedMigration, checkHistory, readMigrations } from '../migration-files.js';
import { type ClickHouse, type ClickHouseOptions, openClickHouse, SHARE_DATABASE } from './client.js';
import { distributedStatements } from './cluster.js';
import { applyRetention } from './retention.js';
import { type ClickHouseSchema, fill, MIGRATIONS, schemaOf, statements, verdictList } from './schema.js';

/** Filling sums from all shares of years takes its time; nothing may repeat it while it runs. */
const FILLING_TIMEOUT_S = 3600;

/**
 * Creates the database when it is absent, applies what is missing and returns the versions it applied.
 * Throws when a statement fails, an applied file was changed, or the server was used by a newer Millrace.
 */
export function migrateClickHouse(
  options: ClickHouseOptions,
  schema: ClickHouseSchema = schemaOf(options.cluster),
  folder = MIGRATIONS,
): Promise<number[]> {
  // Every lane asks at its start: the first one works, the others find nothing left to do.
  const turn = lastTurn.then(() => migrate(options, schema, folder));
  lastTurn = turn.catch(() => {});
  return turn;
}

let lastTurn: Promise<unknown> = Promise.resolve();

async function migrate(
  options: ClickHouseOptions,
  schema: ClickHouseSchema,
  folder: string,
): Promise<number[]> {
  const database = options.database ?? SHARE_DATABASE;
  const outside = openClickHouse({ ...options, database: 'default' });
  try {
    await outside.command(`CREATE DATABASE IF NOT EXISTS ${database} ${schema.onCluster}`);
  } finally {
    await outside.close();
  }
  const clickhouse = openClickHouse({ ...options, database });
  const patient = openClickHouse({ ...options, database, timeoutS: FILLING_TIMEOUT_S });
  try {
    const ran = await apply(clickhouse, patient, schema, folder);
    if (options.cluster !== undefined && ran.length > 0) {
      await makeDistributed(options, options.cluster, folder);
    }
    if (options.keep !== undefined) await applyRetention(clickhouse, options.keep, schema.onCluster);
    return ran;
  } finally {
    await clickhouse.close();
    await patient.close();
  }
}

async function makeDistributed(options: ClickHouseOptions, cluster: string, folder: string): Promise<void> {
  const { database, tables, views } = distributedStatements(
    cluster,
    options.database ?? SHARE_DATABASE,
    folder,
  );
  const outside = openClickHouse({ ...options, database: 'default' });
  const inside = openClickHouse({ ...options, database });
  try {
    for (const statement of tables) await outside.command(statement);
    for (const statement of views) await inside.command(statement);
  } finally {
    await outside.close();
    await inside.close();
  }
}

async function apply(
  clickhouse: ClickHouse,
  patient: ClickHouse,
  schema: ClickHouseSchema,
  folder: string,
): Promise<number[]> {
  const files = readMigrations(folder);
  await clickhouse.command(
    fill(
      schema,
      `CREATE TABLE IF NOT EXISTS schema_migrations {{ON_CLUSTER}}
      (version UInt32, name String, checksum String, applied_at DateTime('UTC') DEFAULT now())
      ENGINE = {{MergeTree}} ORDER BY version`,
    ),
  );
  // Two nodes that started together may both have written a row: one of each is enough.
  const applied = await clickhouse.rows<AppliedMigration>(
    'SELECT version, any(name) AS name, any(checksum) AS checksum FROM schema_migrations GROUP BY version ORDER BY version',
  );
  checkHistory('ClickHouse', files, applied);
  const ran: number[] = [];
  for (const file of files.slice(applied.length)) {
    try {
      for (const statement of statements(file.sql)) {
        const isFilling = statement.startsWith('INSERT');
        await (isFilling ? patient : clickhouse).command(fill(schema, statement));
      }
    } catch (error) {
      throw new Error(
        `ClickHouse migration ${file.version} (${file.name}) failed: ${(error as Error).message}. ` +
          'Remove the cause and start again; what ran before it stays',
        { cause: error },
      );
    }
    // Names and checksums are ours and hold no quotes.
    await clickhouse.command(
      `INSERT INTO schema_migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES (${file.version}, '${file.name}', '${file.checksum}')`,
    );
    ran.push(file.version);
  }
  await extendVerdicts(clickhouse, schema);
  return ran;
}

/** The verdict list only ever grows (engine/work/verdict.ts); an older table learns the new names here. */
async function extendVerdicts(clickhouse: ClickHouse, schema: ClickHouseSchema): Promise<void> {
  const wanted = `Enum8(${verdictList()})`;
  const [column] = await clickhouse.rows<{ type: string }>(
    `SELECT type FROM system.columns WHERE database = {database:String} AND table = 'submits' AND name = 'verdict'`,
    { database: clickhouse.database },
  );
  if (column === undefined || column.type === wanted) return;
  await clickhouse.command(`ALTER TABLE submits ${schema.onCluster} MODIFY COLUMN verdict ${wanted}`);
}
