// A day of a pool that never was, as journal batches: what the storage benchmark inserts, and what the schema's tests
// check the views with. Sizes follow a power law (Pareto), vardiff keeps the share rate of all workers about the
// same, shares come as a Poisson process, stale ones just after a new height. All from the seed.
import { difficultyFromTarget, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { type ShareVerdict, verdictByName } from '../../engine/work/verdict.js';
import type { JournalBatch } from '../../storage/journal/batch.js';
import {
  type JournalIdentity,
  type JournalJob,
  KIND_SHARE,
  SHARE,
  SHARE_FLAG_BLOCK,
  SHARE_RECORD_BYTES,
} from '../../storage/journal/record.js';
import { type Random, seededRandom, waitingTime, weighted } from '../soak/seeded-random.js';

export interface PoolDay {
  rows: number;
  workers: number;
  seed: number;
  /** Unix milliseconds of its start; it lasts 24 hours. */
  startMs: number;
  /** Rows of a batch, the last may have fewer. */
  batchRows: number;
}

interface Miner {
  identity: number;
  /** Of each of its shares is 2^power. */
  power: number;
  agent: string;
}

/** What shares of one power are judged by. */
interface JudgedBy {
  /** 32 bytes, little-endian. */
  target: Buffer;
  difficulty: number;
}

export const DAY_MS = 86_400_000;
/** The last shares come a little before midnight, so that chance does not pile them up there. */
const DAY_FILLED = 0.96;
const NODE_ID = 1;
const HEIGHT_MS = 600_000;
const JOB_MS = 30_000;
const FIRST_HEIGHT = 920_000;
const HASHES_PER_DIFFICULTY = 2 ** 32;
const DIFFICULTY_1_TARGET = 0xffffn << 208n;
/** Smallest worker and exponent of the power law: the largest of 10,000 has some 2,000 times the smallest. */
const HASHRATE_MIN_HS = 1e13;
const PARETO_EXPONENT = 1.2;
const WORKERS_PER_ACCOUNT = 5;
const BLOCKS_EXPECTED = 5;
/** Every so many-th account mines alone, and every so many-th worker over TLS. */
const SOLO_EVERY = 6;
const TLS_EVERY = 10;
/** After a new height, miners go on with the old one for so long. */
const STALE_MS = 3000;
const STALE_CHANCE = 0.8;
const VERSION_MASK = 0x1fffe000;

const AGENTS: readonly (readonly [string, number])[] = [
  ['bmminer/2.0.0', 40],
  ['cgminer/4.12.1', 20],
  ['whatsminer/1.0', 18],
  ['bosminer-plus-tuner/1.2', 12],
  ['NerdQAxe/1.0', 6],
  ['bitaxe/BM1370/v2.9', 4],
];

const VERDICTS: readonly (readonly [ShareVerdict, number])[] = [
  ['accepted', 9950],
  ['low_difficulty', 25],
  ['duplicate', 12],
  ['unknown_job', 10],
  ['bad_version_bits', 3],
];

/** Rows that a day must have for its shares to come at this rate. */
export function rowsOfDay(sharesPerSecond: number): number {
  return Math.round((sharesPerSecond * DAY_MS * DAY_FILLED) / 1000);
}

/** The batches of the day, in order; each is made when it is asked for. The same settings give the same bytes. */
export function* poolDay(day: PoolDay): Generator<JournalBatch> {
  const random = seededRandom(day.seed);
  const identities = new Map<number, JournalIdentity>();
  const { miners, reach, networkDifficulty } = farm(day, random, identities);
  const jobs = jobsOfDay(day.startMs, networkDifficulty);
  const judged = new Map<number, JudgedBy>();
  let atMs = 0;
  let round = 0;
  let accepted = 0;
  for (let firstSeq = 1; firstSeq <= day.rows; firstSeq += day.batchRows) {
    const shares = Math.min(day.batchRows, day.rows - firstSeq + 1);
    const records = Buffer.alloc(shares * SHARE_RECORD_BYTES);
    for (let row = 0; row < shares; row++) {
      atMs = Math.min(DAY_MS - 1, atMs + waitingTime(random, (DAY_MS * DAY_FILLED) / day.rows));
      const miner = miners[placeOf(reach, random())] as Miner;
      const sinceHeightMs = atMs % HEIGHT_MS;
      const isStale = atMs > HEIGHT_MS && sinceHeightMs < STALE_MS && random() < STALE_CHANCE;
      const verdict = isStale ? 'stale' : weighted(random, VERDICTS);
      const chance = 1 - random();
      const isBlock = verdict === 'accepted' && 2 ** miner.power >= networkDifficulty * chance;
      const at = row * SHARE_RECORD_BYTES;
      records[at + SHARE.kind] = KIND_SHARE;
      records[at + SHARE.verdict] = verdictByName(verdict).code;
      records[at + SHARE.flags] = isBlock ? SHARE_FLAG_BLOCK : 0;
      records.writeUInt32LE(miner.identity, at + SHARE.session);
      records.writeUInt32LE(firstSeq + row, at + SHARE.seq);
      records.writeBigUInt64LE(BigInt(Math.floor((day.startMs + atMs) * 1000)), at + SHARE.receivedUs);
      records.writeUInt32LE(miner.identity, at + SHARE.identity);
      records.writeUInt32LE(
        verdict === 'unknown_job' ? 0 : jobNumber(isStale ? atMs - sinceHeightMs - 1 : atMs),
        at + SHARE.job,
      );
      records.writeUInt32LE(Math.floor((day.startMs + atMs) / 1000), at + SHARE.ntime);
      records.writeUInt32LE(word(random), at + SHARE.nonce);
      records.writeUInt32LE((0x20000000 | (word(random) & VERSION_MASK)) >>> 0, at + SHARE.version);
      records.writeUInt32LE(150 + Math.floor(waitingTime(random, 200)), at + SHARE.latencyUs);
      records.writeUInt32LE(round, at + SHARE.round);
      records[at + SHARE.extranonce1Bytes] = 4;
      records[at + SHARE.extranonce2Bytes] = 8;
      records.writeUInt32BE(miner.identity, at + SHARE.extranonce);
      records.writeUInt32BE(word(random), at + SHARE.extranonce + 4);
      const { target, difficulty } = judgedBy(judged, miner.power);
      target.copy(records, at + SHARE.target);
      records.writeDoubleLE(difficulty, at + SHARE.difficulty);
      if (verdict !== 'unknown_job' && verdict !== 'bad_version_bits') {
        // One that was refused for its difficulty lies above its target.
        const below = verdict === 'low_difficulty' ? 1 + chance : chance;
        writeHash(records, at + SHARE.hash, below * 0xffff * 2 ** (208 - miner.power), random);
      }
      if (verdict === 'accepted') accepted++;
      if (isBlock) round++;
    }
    const lastSeq = firstSeq + shares - 1;
    yield {
      ...{ nodeId: NODE_ID, firstSeq, lastSeq, shares, records, identities, jobs },
      ...{ acceptedTotal: accepted, round, token: `${NODE_ID}-${firstSeq}-${lastSeq}` },
      next: { segment: 1, offset: lastSeq * SHARE_RECORD_BYTES },
    };
  }
}

/** `reach`: up to where in 0..1 the shares of each miner lie. */
function farm(day: PoolDay, random: Random, identities: Map<number, JournalIdentity>) {
  const accounts = Math.max(1, Math.floor(day.workers / WORKERS_PER_ACCOUNT));
  const intervalS = (DAY_MS / 1000) * (day.workers / day.rows);
  const miners: Miner[] = [];
  const rates: number[] = [];
  let hashrateHs = 0;
  for (let identity = 1; identity <= day.workers; identity++) {
    const hs = HASHRATE_MIN_HS * (1 - random()) ** (-1 / PARETO_EXPONENT);
    const account = Math.floor(accounts * random() ** 3);
    const agent = weighted(random, AGENTS);
    const power = Math.max(0, Math.round(Math.log2((hs * intervalS) / HASHES_PER_DIFFICULTY)));
    identities.set(identity, {
      account: `bc1q${account.toString(36).padStart(38, '0')}`,
      worker: `rig${identity.toString().padStart(5, '0')}`,
      agent,
      remote: `10.${account >> 8}.${account & 255}.${identity & 255}`,
      scheme: account % SOLO_EVERY === SOLO_EVERY - 1 ? 'solo' : 'pplns',
      transport: identity % TLS_EVERY === 0 ? 'tls' : 'tcp',
      protocol: 'v1',
    });
    miners.push({ identity, power, agent });
    rates.push(hs / 2 ** power);
    hashrateHs += hs;
  }
  const total = rates.reduce((sum, rate) => sum + rate, 0);
  const reach = new Float64Array(rates.length);
  let sum = 0;
  for (const [index, rate] of rates.entries()) {
    sum += rate / total;
    reach[index] = sum;
  }
  const dayDifficulty = (hashrateHs * DAY_MS) / 1000 / HASHES_PER_DIFFICULTY;
  return { miners, reach, networkDifficulty: dayDifficulty / BLOCKS_EXPECTED };
}

function jobsOfDay(startMs: number, networkDifficulty: number): Map<number, JournalJob> {
  const jobs = new Map<number, JournalJob>();
  for (let atMs = 0; atMs < DAY_MS; atMs += JOB_MS) {
    const height = FIRST_HEIGHT + Math.floor(atMs / HEIGHT_MS);
    jobs.set(jobNumber(atMs), {
      jobId: jobNumber(atMs).toString(16),
      height,
      previousBlock: `${'0'.repeat(20)}${(height * 7919).toString(16).padStart(44, '5')}`,
      ...{ version: 0x20000000, bits: 0x1703_ffff, time: Math.floor((startMs + atMs) / 1000) },
      ...{ coinbase1: '', coinbase2: '', branch: [], networkDifficulty, bornMs: startMs + atMs },
    });
  }
  return jobs;
}

function jobNumber(atMs: number): number {
  return 1 + Math.floor(atMs / JOB_MS);
}

function placeOf(reach: Float64Array, value: number): number {
  let low = 0;
  let high = reach.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((reach[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function word(random: Random): number {
  return Math.floor(random() * HASHES_PER_DIFFICULTY);
}

function judgedBy(known: Map<number, JudgedBy>, power: number): JudgedBy {
  let found = known.get(power);
  if (found === undefined) {
    const target = DIFFICULTY_1_TARGET >> BigInt(power);
    found = { target: Buffer.from(targetToBytesLE(target)), difficulty: difficultyFromTarget(target) };
    known.set(power, found);
  }
  return found;
}

/** 32 bytes little-endian: the highest word that is not zero from `value`, chance below it. */
function writeHash(records: Buffer, at: number, value: number, random: Random): void {
  let high = 0;
  while (value >= 2 ** (32 * (high + 1))) high++;
  records.writeUInt32LE(Math.floor(value / 2 ** (32 * high)), at + high * 4);
  for (let place = 0; place < high; place++) records.writeUInt32LE(word(random), at + place * 4);
}
