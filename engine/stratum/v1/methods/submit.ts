// mining.submit [user, job id, extranonce2, ntime, nonce, version bits?]: the cheap checks, then the share
// path. Hex fields have exact lengths: padded, cut or re-cased spellings of one share must not look like
// several (the key of the duplicate filter is the header hash, this is the second lock).
import { hexToBytes } from '../../../bitcoin/hex.js';
import type { ShareVerdict } from '../../../work/verdict.js';
import type { BoardJob } from '../../job-board.js';
import type { Session } from '../session.js';

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
  if (!session.subscribed) return session.refuseUnjournaled(requestId, 'not_subscribed');
  const [user, jobId, extranonce2, ntime, nonce, versionBits] = params;
  const identity = typeof user === 'string' ? session.workers.get(user) : undefined;
  if (identity === undefined) return session.refuseUnjournaled(requestId, 'unauthorized');

  let job: BoardJob | undefined;
  const refuse = (verdict: ShareVerdict): void => {
    session.refuse({ requestId, identity, job, verdict, receivedUs, ...words(ntime, nonce) });
  };
  if (params.length < 5 || params.length > 6 || typeof jobId !== 'string') return refuse('malformed');
  if (!isWord(ntime) || !isWord(nonce) || (versionBits !== undefined && !isWord(versionBits))) {
    return refuse('malformed');
  }
  if (typeof extranonce2 !== 'string' || !HEX.test(extranonce2)) return refuse('malformed');
  job = session.findJob(jobId);
  if (job === undefined) return refuse('unknown_job');
  if (extranonce2.length !== session.extranonce2Bytes * 2) return refuse('bad_extranonce');

  const { message } = job;
  const time = Number.parseInt(ntime, 16);
  if (time < message.mintime || time > message.curtime + NTIME_AHEAD_MAX_SECONDS) return refuse('bad_ntime');
  const bits = versionBits === undefined ? 0 : Number.parseInt(versionBits, 16);
  const mask = session.versionMask;
  if ((bits & ~mask) !== 0) return refuse('bad_version_bits');
  // BIP310: without version bits the job's version stands; with them they replace the masked bits.
  const version =
    versionBits === undefined ? message.version : ((message.version & ~mask) | (bits & mask)) >>> 0;
  session.submitShare({
    requestId,
    identity,
    job,
    extranonce2: hexToBytes(extranonce2),
    version: version >>> 0,
    ntime: time,
    nonce: Number.parseInt(nonce, 16),
    receivedUs,
  });
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && WORD.test(value);
}

/** ntime and nonce of a refused share, as far as they can be read. */
function words(ntime: unknown, nonce: unknown): { ntime: number; nonce: number } {
  return {
    ntime: isWord(ntime) ? Number.parseInt(ntime, 16) : 0,
    nonce: isWord(nonce) ? Number.parseInt(nonce, 16) : 0,
  };
}
