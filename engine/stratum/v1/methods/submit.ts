// mining.submit [user, job id, extranonce2, ntime, nonce, version bits?]: the cheap checks, then the share
// path. Hex fields have exact lengths: padded, cut or re-cased spellings of one share must not look like
// several (the key of the duplicate filter is the header hash, this is the second lock).
import { hexToBytes } from '../../../bitcoin/hex.js';
import type { ShareVerdict } from '../../../work/verdict.js';
import type { BoardJob } from '../../job-board.js';
import type { Session, SessionRefusal, SessionShare } from '../session.js';

/** A header may not lie further ahead of the template's time (consensus: 2 hours ahead of the node). */
const NTIME_AHEAD_MAX_SECONDS = 7200;
const WORD = /^[0-9a-fA-F]{8}$/;
const HEX = /^[0-9a-fA-F]*$/;

export function submit(
  session: Session,
  requestId: string,
  params: readonly unknown[],
  receivedUs: number,
): void {
  if (!session.subscribed) {
    session.refuseUnjournaled(requestId, 'not_subscribed');
    return;
  }
  const [user] = params;
  const identity = typeof user === 'string' ? session.workers.get(user) : undefined;
  if (identity === undefined) {
    session.refuseUnjournaled(requestId, 'unauthorized');
    return;
  }
  const checked = check(session, params);
  if ('verdict' in checked) session.refuse({ requestId, identity, receivedUs, ...checked });
  else session.submitShare({ requestId, identity, receivedUs, ...checked });
}

type Share = Pick<SessionShare, 'job' | 'extranonce2' | 'version' | 'ntime' | 'nonce'>;
type Refused = Pick<SessionRefusal, 'job' | 'verdict' | 'ntime' | 'nonce'>;

/** All that can be said of a share without hashing it. */
function check(session: Session, params: readonly unknown[]): Share | Refused {
  const [, jobId, extranonce2, ntimeHex, nonceHex, versionBits] = params;
  const ntime = isWord(ntimeHex) ? Number.parseInt(ntimeHex, 16) : 0;
  const nonce = isWord(nonceHex) ? Number.parseInt(nonceHex, 16) : 0;
  const refused = (verdict: ShareVerdict, job?: BoardJob): Refused => ({ job, verdict, ntime, nonce });

  if (params.length < 5 || params.length > 6 || typeof jobId !== 'string') return refused('malformed');
  if (!isWord(ntimeHex) || !isWord(nonceHex)) return refused('malformed');
  if (versionBits !== undefined && !isWord(versionBits)) return refused('malformed');
  if (typeof extranonce2 !== 'string' || !HEX.test(extranonce2)) return refused('malformed');
  const job = session.findJob(jobId);
  if (job === undefined) return refused('unknown_job');
  if (extranonce2.length !== session.extranonce2Bytes * 2) return refused('bad_extranonce', job);

  const { message } = job;
  if (ntime < message.mintime || ntime > message.curtime + NTIME_AHEAD_MAX_SECONDS) {
    return refused('bad_ntime', job);
  }
  const bits = versionBits === undefined ? 0 : Number.parseInt(versionBits, 16);
  const mask = session.versionMask;
  if ((bits & ~mask) !== 0) return refused('bad_version_bits', job);
  // BIP310: without version bits the job's version stands; with them they replace the masked bits.
  const version = versionBits === undefined ? message.version : (message.version & ~mask) | (bits & mask);
  return { job, extranonce2: hexToBytes(extranonce2), version: version >>> 0, ntime, nonce };
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && WORD.test(value);
}
