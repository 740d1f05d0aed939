// Versioned SQL migrations as files: reading a folder of NNN_name.sql and judging what a database has
// applied of it. Both stores (postgres/migrate.ts, clickhouse/migrate.ts) follow these rules.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MigrationFile {
  version: number;
  name: string;
  sql: string;
  /** SHA-256 of the file, hex. */
  checksum: string;
}

/** What a database remembers of an applied migration. */
export interface AppliedMigration {
  version: number;
  name: string;
  checksum: string;
}

/**
 * Reads NNN_name.sql files of a folder, by version. Throws when a name has another form, or when numbers
 * are missing or taken twice: an order that two people read differently is worse than no start.
 */
export function readMigrations(folder: string): MigrationFile[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  const migrations = files.map((file) => {
    const match = /^(\d{3})_([a-z0-9_]+)\.sql$/.exec(file);
    if (match === null) {
      throw new Error(`migration ${file}: its name must be like 001_accounts.sql. Rename it`);
    }
    const sql = readFileSync(join(folder, file), 'utf8');
    const checksum = createHash('sha256').update(sql).digest('hex');
    return { version: Number(match[1]), name: match[2] ?? '', sql, checksum };
  });
  migrations.sort((a, b) => a.version - b.version);
  for (const [index, migration] of migrations.entries()) {
    if (migration.version !== index + 1) {
      const fault = migration.version > index + 1 ? 'missing' : 'taken twice';
      throw new Error(`migrations in ${folder}: number ${index + 1} is ${fault}. Reinstall the project`);
    }
  }
  return migrations;
}

/**
 * Checks that what a database applied is a beginning of `files`. Throws when an applied file was changed
 * since, or when the database knows migrations that these files do not.
 */
export function checkHistory(store: string, files: MigrationFile[], applied: AppliedMigration[]): void {
  for (const known of applied) {
    const file = files[known.version - 1];
    if (file === undefined) {
      throw new Error(
        `${store} has schema version ${known.version} (${known.name}), this Millrace knows ${files.length}: ` +
          'it was used by a newer Millrace. Start that one, or restore a backup',
      );
    }
    if (file.checksum !== known.checksum) {
      throw new Error(
        `${store} applied migration ${known.version} as '${known.name}', and that file ` +
          `(${file.name}) was changed since. Restore the original file; put the change into a new migration`,
      );
    }
  }
}
