// mining.submit [user, job id, extranonce2, ntime, nonce, version bits?]: the cheap checks, then the share
// path. Hex fields have exact lengths: padded, cut or re-cased spellings of one share must not look like
// several (the key of the duplicate filter is the header hash, this is the second lock).
import { hexToBytes } from '../../../bitcoin/hex.js';
import type { ShareVerdict } from '../../../work/verdict.js';
import type { BoardJob } from '../../job-board.js';
import type { Session } from '../session.js';
import type { SessionRefusal, SessionShare } from '../session-host.js';
import { hexInto, hexWord, PARAM, type SubmitParts } from '../submit-scanner.js';

/**
 * A header may not lie further ahead of the template's time. Consensus says 2 hours ahead of the node's clock; that clock
 * read the template's time (or less) when it made the template and has only moved forward since, so this is the narrower
 * of the two and holds on every node whose clock is not behind. Our own clock has no say in it.
 */
const NTIME_AHEAD_MAX_SECONDS = 7200;
const WORD = /^[0-9a-fA-F]{8}$/;
/** NerdMiner leaves leading zeros out (BitMaker-hub/NerdMiner_v2). A duplicate is known by its hash, not by its text. */
const NONCE = /^[0-9a-fA-F]{1,8}$/;
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

/** Filled anew for each share that comes by the short way: what takes it copies it. */
const SHARE: SessionShare = {
  requestId: '',
  identity: 0,
  job: null as unknown as BoardJob,
  extranonce2: new Uint8Array(0),
  version: 0,
  ntime: 0,
  nonce: 0,
  receivedUs: 0,
};

/**
 * The short way of a submit whose bytes were scanned: hands it on when there is nothing to object to.
 * @returns false, with nothing done, when `submit` must look at it and say what is wrong.
 */
export function submitScanned(
  session: Session,
  line: Buffer,
  parts: SubmitParts,
  receivedUs: number,
): boolean {
  const { starts, ends } = parts;
  const job = knownJob(session, line, starts[PARAM.job] as number, ends[PARAM.job] as number);
  if (job === null) return false;
  const identity = knownIdentity(session, line, starts[PARAM.user] as number, ends[PARAM.user] as number);
  if (identity === 0) return false;

  const ntimeAt = starts[PARAM.ntime] as number;
  const nonceAt = starts[PARAM.nonce] as number;
  const extranonce2At = starts[PARAM.extranonce2] as number;
  const extranonce2Bytes = session.extranonce2Bytes;
  if ((ends[PARAM.ntime] as number) - ntimeAt !== 8 || (ends[PARAM.nonce] as number) - nonceAt !== 8)
    return false;
  if ((ends[PARAM.extranonce2] as number) - extranonce2At !== extranonce2Bytes * 2) return false;
  const ntime = hexWord(line, ntimeAt);
  const nonce = hexWord(line, nonceAt);
  const { message } = job;
  if (nonce < 0 || ntime < message.mintime || ntime > message.curtime + NTIME_AHEAD_MAX_SECONDS) return false;
  let version = message.version;
  if (parts.count === 6) {
    const bitsAt = starts[PARAM.versionBits] as number;
    const bits = (ends[PARAM.versionBits] as number) - bitsAt === 8 ? hexWord(line, bitsAt) : -1;
    const mask = session.versionMask;
    if (bits < 0 || (bits & ~mask) !== 0) return false;
    version = (version & ~mask) | (bits & mask);
  }
  if (SHARE.extranonce2.length !== extranonce2Bytes) SHARE.extranonce2 = new Uint8Array(extranonce2Bytes);
  if (!hexInto(line, extranonce2At, extranonce2Bytes, SHARE.extranonce2)) return false;

  SHARE.requestId = line.toString('latin1', parts.idStart, parts.idEnd);
  SHARE.identity = identity;
  SHARE.job = job;
  SHARE.version = version >>> 0;
  SHARE.ntime = ntime;
  SHARE.nonce = nonce;
  SHARE.receivedUs = receivedUs;
  session.submitShare(SHARE);
  return true;
}

/** The job if it is on the board and was sent to this session, else null. */
function knownJob(session: Session, line: Buffer, start: number, end: number): BoardJob | null {
  const recent = session.recentJob;
  if (recent !== null && !recent.gone && equals(line, start, end, session.recentJobId)) return recent;
  const job = session.findJob(line.toString('latin1', start, end));
  if (job === undefined) return null;
  session.recentJob = job;
  session.recentJobId = Buffer.from(line.subarray(start, end));
  return job;
}

/** Journal identity of an authorized user name, else 0. */
function knownIdentity(session: Session, line: Buffer, start: number, end: number): number {
  if (equals(line, start, end, session.recentUser)) return session.recentIdentity;
  const identity = session.workers.get(line.toString('latin1', start, end));
  if (identity === undefined) return 0;
  session.recentUser = Buffer.from(line.subarray(start, end));
  session.recentIdentity = identity;
  return identity;
}

function equals(line: Buffer, start: number, end: number, bytes: Buffer): boolean {
  if (end - start !== bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (line[start + i] !== bytes[i]) return false;
  return true;
}

type Share = Pick<SessionShare, 'job' | 'extranonce2' | 'version' | 'ntime' | 'nonce'>;
type Refused = Pick<SessionRefusal, 'job' | 'verdict' | 'ntime' | 'nonce'>;

/** All that can be said of a share without hashing it. */
function check(session: Session, params: readonly unknown[]): Share | Refused {
  const [, jobId, extranonce2, ntimeHex, nonceHex, versionBits] = params;
  const ntime = isWord(ntimeHex) ? Number.parseInt(ntimeHex, 16) : 0;
  const nonce = isNonce(nonceHex) ? Number.parseInt(nonceHex, 16) : 0;
  const refused = (verdict: ShareVerdict, job?: BoardJob): Refused => ({ job, verdict, ntime, nonce });

  if (params.length < 5 || params.length > 6 || typeof jobId !== 'string') return refused('malformed');
  if (!isWord(ntimeHex) || !isNonce(nonceHex)) return refused('malformed');
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

function isNonce(value: unknown): value is string {
  return typeof value === 'string' && NONCE.test(value);
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && WORD.test(value);
}
