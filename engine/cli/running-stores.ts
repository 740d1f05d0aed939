// Where a command of its own finds the stores of a pool: the settings name them, or they are the embedded servers of
// the pool that runs on the data folder. Reads only.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouseOptions } from '../../storage/clickhouse/client.js';
import { parseClickHouseUrl } from '../../storage/clickhouse/url.js';
import type { Config } from '../config/config.js';
import { describeConfigError, loadConfig } from '../config/load.js';

const PING_TIMEOUT_MS = 5000;

/** Flags that say which pool is meant, for parseArgs and for --help. */
export const POOL_OPTIONS = { 'data-dir': { type: 'string' }, config: { type: 'string' } } as const;
export const POOL_HELP = [
  '  --data-dir PATH  data folder of the pool [DATA_DIR, millrace.toml or ./.millrace]',
  '  --config PATH    file to read instead of ./millrace.toml',
  '  --help           this text',
];

/** @throws Error that names each wrong setting */
export function poolConfig(values: Record<string, unknown>): Config {
  const argv = ['data-dir', 'config'].flatMap((name) =>
    values[name] === undefined ? [] : [`--${name}`, String(values[name])],
  );
  const result = loadConfig({ argv, env: process.env, cwd: process.cwd() });
  if ('errors' in result) throw new Error(result.errors.map(describeConfigError).join('\n'));
  return result.config;
}

/**
 * ClickHouse as CLICKHOUSE_URL names it, or the embedded one, as its reader.
 * @throws Error when it is the embedded one and no pool runs
 */
export async function findClickHouse(config: Config): Promise<ClickHouseOptions> {
  if (config.clickhouseUrl !== null) return parseClickHouseUrl(config.clickhouseUrl);
  const folder = join(config.dataDir, 'clickhouse');
  // Written by the pool for its child at every start (storage/embedded/clickhouse.ts).
  const front = readJson(join(folder, 'front.json')) as { port?: unknown; instance?: unknown } | null;
  if (front !== null && typeof front.port === 'number') {
    const url = `http://127.0.0.1:${front.port}`;
    const answer = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(PING_TIMEOUT_MS) }).catch(
      () => null,
    );
    if (answer?.headers.get('x-millrace-instance') === front.instance) return { url };
  }
  throw new Error(
    `No pool runs on ${config.dataDir}, and its embedded ClickHouse runs only with it. ` +
      'Start the pool, name its folder with --data-dir, or set CLICKHOUSE_URL.',
  );
}

/**
 * URL of Postgres as DATABASE_URL names it, or of the embedded one.
 * @throws Error when it is the embedded one and no pool runs
 */
export function findPostgres(config: Config): string {
  if (config.databaseUrl !== null) return config.databaseUrl;
  const folder = join(config.dataDir, 'postgres');
  const lockFile = join(folder, 'cluster', 'postmaster.pid');
  if (existsSync(lockFile)) {
    const password = readFileSync(join(folder, 'password'), 'utf8').trim();
    // Fourth line: the port (PostgreSQL, src/include/utils/pidfile.h).
    const port = readFileSync(lockFile, 'utf8').split('\n')[3];
    return `postgres://millrace:${encodeURIComponent(password)}@127.0.0.1:${port}/millrace`;
  }
  throw new Error(
    `No pool runs on ${config.dataDir}, and its embedded Postgres runs only with it. ` +
      'Start the pool, name its folder with --data-dir, or set DATABASE_URL.',
  );
}

/**
 * A moment that an operator wrote, in Unix milliseconds.
 * @param flag for the message
 * @throws Error when it is none
 */
export function parseTime(flag: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\d/.test(text)
    ? Date.parse(text.length === 10 ? `${text}T00:00:00Z` : text)
    : Number.NaN;
  if (Number.isNaN(ms)) throw new Error(`${flag} ${text} is no time; write it as 2026-11-21T08:00:00Z`);
  return ms;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
