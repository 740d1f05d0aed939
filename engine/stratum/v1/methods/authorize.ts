// mining.authorize: binds a worker name to the connection. Several names may be authorized on one
// connection (proxies). The password carries no secret in mining and is ignored.
import { parseUserName } from '../../user-name.js';
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

/** Names one connection may authorize. */
const NAMES_MAX = 1024;

export function authorize(session: Session, params: readonly unknown[]): true {
  const [user] = params;
  if (typeof user !== 'string' || user === '')
    throw new StratumError(24, 'mining.authorize needs a user name');
  if (session.workers.has(user)) return true;
  if (session.workers.size >= NAMES_MAX) {
    throw new StratumError(24, `At most ${NAMES_MAX} workers on one connection`);
  }
  const name = parseUserName(user, session.network);
  if (typeof name === 'string') throw new StratumError(24, name);
  session.authorize(user, name);
  return true;
}
