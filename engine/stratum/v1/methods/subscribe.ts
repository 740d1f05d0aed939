// mining.subscribe: gives the session its extranonce1 and its first job. Empty parameters are fine.
import { bytesToHex } from '../../../bitcoin/hex.js';
import { StratumError } from '../reply.js';
import type { Session } from '../session.js';

const AGENT_MAX_CHARACTERS = 128;

/** Subscribing again on the same connection returns the same extranonce1: one lease a connection. */
export function subscribe(session: Session, params: readonly unknown[]): unknown {
  const agent = params[0];
  if (agent !== undefined && agent !== null && typeof agent !== 'string') {
    throw new StratumError(20, 'mining.subscribe: the user agent must be a string');
  }
  if (!session.subscribed) {
    const printable = (agent ?? '').replace(/[^\x20-\x7e]/g, '');
    if (!session.subscribe(printable.slice(0, AGENT_MAX_CHARACTERS))) {
      throw new StratumError(20, 'Pool is full: no extranonce is free, try again later');
    }
  }
  const extranonce1 = bytesToHex(session.extranonce1);
  return [
    [
      ['mining.set_difficulty', extranonce1],
      ['mining.notify', extranonce1],
    ],
    extranonce1,
    session.extranonce2Bytes,
  ];
}
