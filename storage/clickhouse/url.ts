// CLICKHOUSE_URL taken apart: http://user:password@host:port/database.
import type { ClickHouseOptions } from './client.js';

/** @throws TypeError when `text` is no URL */
export function parseClickHouseUrl(text: string): ClickHouseOptions {
  const url = new URL(text);
  const database = url.pathname.replace(/^\/+/, '');
  return {
    url: `${url.protocol}//${url.host}`,
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { database: decodeURIComponent(database) }),
  };
}
