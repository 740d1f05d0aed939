// Who may ask what. Two users: `default`, without password, reads; the writer, whose password is new with
// every start and known only to the pool, also writes.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { exception } from './exception.js';

export interface User {
  name: string;
  password: string;
  readOnly: boolean;
}

/** User of curl, Grafana and everybody who gives no name. */
export const READER: User = { name: 'default', password: '', readOnly: true };

/**
 * The user that a request names, in the X-ClickHouse-User and -Key headers, by basic authentication or in
 * the user and password parameters. Throws AUTHENTICATION_FAILED when name or password is wrong.
 */
export function authenticate(
  headers: IncomingHttpHeaders,
  parameters: URLSearchParams,
  users: readonly User[],
): User {
  const given = credentials(headers, parameters);
  const user = users.find((candidate) => candidate.name === given.name);
  if (user === undefined || !areEqual(user.password, given.password)) {
    throw exception(
      'AUTHENTICATION_FAILED',
      `${given.name}: Authentication failed: password is incorrect, or there is no user with such name`,
    );
  }
  return user;
}

function credentials(headers: IncomingHttpHeaders, parameters: URLSearchParams) {
  const name = headers['x-clickhouse-user'];
  const key = headers['x-clickhouse-key'];
  if (typeof name === 'string' || typeof key === 'string') {
    return { name: String(name ?? READER.name), password: String(key ?? '') };
  }
  const basic = /^basic (.*)$/i.exec(headers.authorization ?? '')?.[1];
  if (basic !== undefined) {
    const decoded = Buffer.from(basic, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    return colon === -1
      ? { name: decoded, password: '' }
      : { name: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  }
  return {
    name: parameters.get('user') ?? READER.name,
    password: parameters.get('password') ?? '',
  };
}

/** Takes the same time wherever they differ. */
function areEqual(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
