// A share record as people and other programs read it: the columns of `millrace journal export`.
import { bytesToHex, displayHash } from '../../engine/bitcoin/hex.js';
import { verdictByCode } from '../../engine/work/verdict.js';
import type { Descriptions } from './frame-payload.js';
import { type JournalJob, SHARE, SHARE_FLAG_BLOCK } from './record.js';

const HASH_BYTES = 32;

export interface ShareRow {
  /** ISO 8601 with microseconds, UTC. */
  time: string;
  node: number;
  seq: number;
  session: number;
  account: string;
  worker: string;
  agent: string;
  remote: string;
  /** '' in journals from before it was recorded: the pool's default. */
  scheme: string;
  /** '' in journals from before it was recorded, as protocol. */
  transport: string;
  protocol: string;
  job: string;
  height: number;
  previous_block: string;
  verdict: string;
  block: boolean;
  round: number;
  difficulty: number;
  /** 64 hex digits, most significant first, as the hash. */
  target: string;
  /** As block explorers show it; '' when the submit never reached hashing. */
  hash: string;
  extranonce1: string;
  extranonce2: string;
  ntime: number;
  nonce: number;
  version: number;
  latency_us: number;
  /** Between giving the job to miners and receiving the share; null when either is unknown. */
  job_age_ms: number | null;
}

export const SHARE_COLUMNS = [
  ...['time', 'node', 'seq', 'session', 'account', 'worker', 'agent', 'remote'],
  ...['scheme', 'transport', 'protocol', 'job', 'height'],
  ...['previous_block', 'verdict', 'block', 'round', 'difficulty', 'target', 'hash', 'extranonce1'],
  ...['extranonce2', 'ntime', 'nonce', 'version', 'latency_us', 'job_age_ms'],
] as readonly (keyof ShareRow)[];

/** Wall clock of the receipt, microseconds since 1970. */
export function receivedUs(record: Buffer): number {
  return Number(record.readBigUInt64LE(SHARE.receivedUs));
}

export function shareRow(record: Buffer, node: number, known: Descriptions): ShareRow {
  const us = receivedUs(record);
  const who = known.identities.get(record.readUInt32LE(SHARE.identity));
  const job = known.jobs.get(record.readUInt32LE(SHARE.job));
  const first = SHARE.extranonce + (record[SHARE.extranonce1Bytes] as number);
  const hash = record.subarray(SHARE.hash, SHARE.hash + HASH_BYTES);
  const second = first + (record[SHARE.extranonce2Bytes] as number);
  return {
    time: new Date(Math.floor(us / 1000))
      .toISOString()
      .replace('Z', `${String(us % 1000).padStart(3, '0')}Z`),
    node,
    seq: Number(record.readBigUInt64LE(SHARE.seq)),
    session: record.readUInt32LE(SHARE.session),
    account: who?.account ?? '',
    worker: who?.worker ?? '',
    agent: who?.agent ?? '',
    remote: who?.remote ?? '',
    scheme: who?.scheme ?? '',
    transport: who?.transport ?? '',
    protocol: who?.protocol ?? '',
    job: job?.jobId ?? '',
    height: job?.height ?? 0,
    previous_block: job?.previousBlock ?? '',
    verdict: verdictByCode(record[SHARE.verdict] as number).name,
    block: (record.readUInt16LE(SHARE.flags) & SHARE_FLAG_BLOCK) !== 0,
    round: record.readUInt32LE(SHARE.round),
    difficulty: record.readDoubleLE(SHARE.difficulty),
    target: displayHash(record.subarray(SHARE.target, SHARE.target + HASH_BYTES)),
    hash: hash.every((byte) => byte === 0) ? '' : displayHash(hash),
    extranonce1: bytesToHex(record.subarray(SHARE.extranonce, first)),
    extranonce2: bytesToHex(record.subarray(first, second)),
    ntime: record.readUInt32LE(SHARE.ntime),
    nonce: record.readUInt32LE(SHARE.nonce),
    version: record.readUInt32LE(SHARE.version),
    latency_us: record.readUInt32LE(SHARE.latencyUs),
    job_age_ms: jobAgeMs(us, job),
  };
}

/**
 * How old its job was when a share of it came, in milliseconds; null when the journal does not say.
 * @param us wall clock of the receipt, microseconds. A clock that was set back meanwhile makes it 0.
 */
export function jobAgeMs(us: number, job: JournalJob | undefined): number | null {
  return job?.bornMs === undefined ? null : Math.max(0, Math.floor(us / 1000) - job.bornMs);
}

/** One line of CSV (RFC 4180), without its end. */
export function csvLine(values: readonly unknown[]): string {
  return values
    .map((value) => String(value ?? ''))
    .map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text))
    .join(',');
}
