// mining.subscribe [user agent?, session id?]: gives the session its extranonce1. The first job follows once the bytes
// at hand are read. Empty parameters are fine; the id of a session that was closed not long ago takes that one up.
import { bytesToHex } from '../../../bitcoin/hex.js';
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

const SESSION_ID = /^[0-9a-f]{16}$/;

/** Subscribing again on the same connection returns the same extranonce1: one lease a connection. */
export function subscribe(session: Session, params: readonly unknown[]): unknown {
  const [agent, sessionId] = params;
  if (agent !== undefined && agent !== null && typeof agent !== 'string') {
    throw new StratumError(20, 'mining.subscribe: the user agent must be a string');
  }
  if (!session.subscribed) {
    const resumes = typeof sessionId === 'string' && SESSION_ID.test(sessionId) ? sessionId : null;
    if (!session.subscribe(agent ?? '', resumes)) {
      throw new StratumError(20, 'Pool is full: no extranonce is free, try again later');
    }
  }
  return [
    [
      ['mining.set_difficulty', session.sessionId],
      ['mining.notify', session.sessionId],
    ],
    bytesToHex(session.extranonce1),
    session.extranonce2Bytes,
  ];
}
