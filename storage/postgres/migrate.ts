// Brings the Postgres schema up to date: migrations/NNN_name.sql in order, each in one transaction with
// its row in schema_migrations, under an advisory lock so that two starting processes take turns.
import { join } from 'node:path';
import { type AppliedMigration, checkHistory, readMigrations } from '../migration-files.js';
import { projectRoot } from '../project-root.js';
import type { Database } from './connection.js';

/** A number that no other user of the database takes for its own advisory lock ('mill'). */
const LOCK_KEY = 0x6d696c6c;

/**
 * Applies what is missing and returns the versions it applied. Throws, with the database as it was before
 * the failing file, when SQL fails, an applied file was changed, or the database is from a newer Millrace.
 */
export async function migratePostgres(
  database: Database,
  folder = join(projectRoot(), 'storage', 'postgres', 'migrations'),
): Promise<number[]> {
  const files = readMigrations(folder);
  const ran: number[] = [];
  for (;;) {
    const version = await database.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${LOCK_KEY})`;
      await tx`
        create table if not exists schema_migrations (
          version integer primary key,
          name text not null,
          checksum text not null,
          applied_at timestamptz not null default now()
        )`;
      const applied = await tx<AppliedMigration[]>`
        select version, name, checksum from schema_migrations order by version`;
      checkHistory('Postgres', files, applied);
      const file = files[applied.length];
      if (file === undefined) return null;
      try {
        await tx.unsafe(file.sql);
      } catch (error) {
        throw new Error(
          `Postgres migration ${file.version} (${file.name}) failed and was undone: ` +
            `${(error as Error).message}. Remove the cause and start again`,
          { cause: error },
        );
      }
      await tx`
        insert into schema_migrations (version, name, checksum)
        values (${file.version}, ${file.name}, ${file.checksum})`;
      return file.version;
    });
    if (version === null) return ran;
    ran.push(version);
  }
}
