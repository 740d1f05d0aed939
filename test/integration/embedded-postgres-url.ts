// Where the embedded PostgreSQL of a running pool listens, read as an operator would: from its own files.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** URL with password, for tests only. */
export function embeddedPostgresUrl(dataDir: string): string {
  const folder = join(dataDir, 'postgres');
  const password = readFileSync(join(folder, 'password'), 'utf8').trim();
  // Fourth line of postmaster.pid (PostgreSQL, src/include/utils/pidfile.h).
  const port = readFileSync(join(folder, 'cluster', 'postmaster.pid'), 'utf8').split('\n')[3];
  return `postgres://millrace:${encodeURIComponent(password)}@127.0.0.1:${port}/millrace`;
}
