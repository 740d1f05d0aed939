// mining.authorize [user, password?]: binds a worker name to the connection. Several names may be authorized on one
// connection (proxies). What the password may say: password-options.ts.
import { parseUserName } from '../../user-name.js';
import { parsePassword } from '../password-options.js';
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';
import { workable } from './suggest.js';

/** Names one connection may authorize. */
const NAMES_MAX = 1024;

export function authorize(session: Session, params: readonly unknown[]): true {
  const [user, password] = params;
  if (typeof user !== 'string' || user === '')
    throw new StratumError(24, 'mining.authorize needs a user name');
  // Firmware that authorizes again while it mines must not be set back to its start difficulty.
  if (session.workers.has(user)) return true;
  if (session.workers.size >= NAMES_MAX) {
    throw new StratumError(24, `At most ${NAMES_MAX} workers on one connection`);
  }
  const name = parseUserName(user, session.network);
  if (typeof name === 'string') throw new StratumError(24, name);
  session.authorize(user, name);
  const { start, minimum } = parsePassword(password);
  if (minimum !== null) session.setMinimumDifficulty('password', minimum);
  if (start !== null) session.proposeDifficulty(workable(start), 'password');
  return true;
}
