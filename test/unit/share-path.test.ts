// The share path as the connection thread runs it: real rings, real hash workers, real journal. What each
// owner is told is compared with an oracle that hashes with node:crypto and compares with BigInt.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeHeader } from '../../engine/bitcoin/header.js';
import { targetFromBytesLE, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { DuplicateFilter } from '../../engine/shares/duplicate-filter.js';
import { SharePath } from '../../engine/shares/share-path.js';
import type { BlockCandidate, ShareJob, ShareOwner, Submission } from '../../engine/shares/submission.js';
import { ValidationPool } from '../../engine/shares/validation-pool.js';
import { PowerJournalWriter } from '../../storage/journal/power-writer.js';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { createSlab } from '../../wasm/kernel.js';
import { writeJobSlot } from '../../wasm/slots.js';

const sha256d = (bytes: Uint8Array) =>
  createHash('sha256').update(createHash('sha256').update(bytes).digest()).digest();

const COINBASE1 = Buffer.alloc(70, 1);
const COINBASE2 = Buffer.alloc(90, 2);
const BRANCH = [Buffer.alloc(32, 3), Buffer.alloc(32, 4)];
const PREVIOUS = Buffer.alloc(32, 5);
const BITS = 0x207fffff;
/** One in 4,096 headers is a block, every second one a share. */
const NETWORK_TARGET = (1n << 244n) - 1n;
const SHARE_TARGET = { difficulty: 1e-9, targetLE: targetToBytesLE((1n << 255n) - 1n) };

let folder: string;
let journal: JournalWriter;
let pool: ValidationPool;
let path: SharePath;
let lost: Error[];
let candidates: BlockCandidate[];
const memory = createSlab();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-shares-'));
  journal = new JournalWriter({ folder, nodeId: 1, nowMs: () => performance.now() });
  journal.defineIdentity(1, { account: 'a', worker: 'w', agent: '', remote: '127.0.0.1' });
  lost = [];
  candidates = [];
  pool = new ValidationPool({
    memory,
    workers: 2,
    onDoorbell: () => path.drain(),
    onWorkerLost: (error) => lost.push(error),
  });
  path = pathOn(pool);
  await pool.ready();
});
afterEach(async () => {
  await pool.close();
  journal.close();
  rmSync(folder, { recursive: true, force: true });
});

function pathOn(validation: ValidationPool): SharePath {
  return new SharePath({
    memory,
    pool: validation,
    filter: new DuplicateFilter(1_000_000),
    journal,
    nowUs: () => Date.now() * 1000,
    onCandidate: (candidate) => candidates.push(candidate),
    onJournal: () => {},
    onFault: (message) => {
      throw new Error(message);
    },
    onSettled: () => {},
  });
}

function putJob(key: number): ShareJob {
  writeJobSlot(memory, key, {
    coinbase1: COINBASE1,
    coinbase2: COINBASE2,
    branch: BRANCH,
    previousBlock: PREVIOUS,
    bits: BITS,
    networkTargetLE: targetToBytesLE(NETWORK_TARGET),
  });
  journal.defineJob(key, {
    ...{ jobId: String(key), height: 1, previousBlock: '', version: 1, bits: BITS, time: 0 },
    ...{ coinbase1: '', coinbase2: '', branch: [], networkDifficulty: 1 },
  });
  return { key, slot: key, inFlight: 0 };
}

function hashOf(share: Submission): Buffer {
  const coinbase = Buffer.concat([COINBASE1, share.extranonce1, share.extranonce2, COINBASE2]);
  let root = sha256d(coinbase);
  for (const sibling of BRANCH) root = sha256d(Buffer.concat([root, sibling]));
  const { version, nonce, ntime } = share;
  return sha256d(
    encodeHeader({ version, previousBlock: PREVIOUS, merkleRoot: root, time: ntime, bits: BITS, nonce }),
  );
}

const isBlock = (hash: Buffer) => targetFromBytesLE(hash) <= NETWORK_TARGET;
const expected = (hash: Buffer) =>
  targetFromBytesLE(hash) <= targetFromBytesLE(SHARE_TARGET.targetLE) ? 'accepted' : 'low_difficulty';

/** Answers by request id; a second answer to one id is an error. */
class Owner implements ShareOwner {
  readonly sessionNumber = 1;
  readonly answers = new Map<string, string>();

  settle(requestId: string, verdict: { name: string }): void {
    if (this.answers.has(requestId)) throw new Error(`request ${requestId} was answered twice`);
    this.answers.set(requestId, verdict.name);
  }
}

function share(owner: ShareOwner, id: number, job: ShareJob): Submission {
  return {
    ...{ owner, requestId: String(id), identity: 1, job, target: SHARE_TARGET, stale: false },
    ...{ extranonce1: Buffer.from('01020304', 'hex'), extranonce2: randomBytes(8) },
    ...{ version: 0x20000000, ntime: 1_700_000_000, nonce: id, receivedUs: Date.now() * 1000 },
  };
}

async function answered(owner: Owner, count: number): Promise<void> {
  const end = performance.now() + 20_000;
  while (owner.answers.size < count) {
    if (performance.now() > end) throw new Error(`${owner.answers.size} of ${count} answered`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function submitAll(shares: readonly Submission[]): void {
  for (const each of shares) expect(path.submit(each)).toBe(true);
}

describe('share path', () => {
  it('answers each share once with the verdict of the oracle, in bursts of any size', async () => {
    const owner = new Owner();
    const job = putJob(1);
    const shares: Submission[] = [];
    for (const burst of [1, 3, 5, 6, 64, 1, 700, 4000, 2, 9000]) {
      const some = Array.from({ length: burst }, (_, i) => share(owner, shares.length + i, job));
      shares.push(...some);
      submitAll(some);
      await answered(owner, shares.length);
    }
    for (const each of shares) {
      expect(owner.answers.get(each.requestId)).toBe(expected(hashOf(each)));
    }
    const blocks = shares.filter((each) => isBlock(hashOf(each)));
    expect(candidates.map(({ hash }) => Buffer.from(hash).toString('hex')).sort()).toEqual(
      blocks.map((each) => hashOf(each).toString('hex')).sort(),
    );
    expect(job.inFlight).toBe(0);
    expect(path.outstanding).toBe(0);
  }, 60_000);

  it('has in the journal what it answered, hash by hash, blocks counted as rounds', async () => {
    const owner = new Owner();
    const job = putJob(2);
    const shares = Array.from({ length: 9000 }, (_, i) => share(owner, i, job));
    submitAll(shares);
    await answered(owner, shares.length);
    journal.seal();
    const reader = new JournalReader(folder, null);
    const stored: string[] = [];
    let rounds = 0;
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      for (let at = 0; at < batch.records.length; at += SHARE_RECORD_BYTES) {
        const verdict = batch.records[at + SHARE.verdict];
        const hash = batch.records.subarray(at + SHARE.hash, at + SHARE.hash + 32).toString('hex');
        stored.push(`${hash} ${verdict === 1 ? 'accepted' : 'low_difficulty'}`);
        expect(batch.records.readUInt32LE(at + SHARE.round)).toBe(rounds);
        if (batch.records.readUInt16LE(at + SHARE.flags) === 1) rounds++;
      }
    }
    reader.close();
    const wanted = shares.map(
      (each) => `${hashOf(each).toString('hex')} ${owner.answers.get(each.requestId)}`,
    );
    expect(stored.sort()).toEqual(wanted.sort());
    expect(rounds).toBe(candidates.length);
    expect(journal.acceptedTotal).toBe([...owner.answers.values()].filter((v) => v === 'accepted').length);
  }, 60_000);

  it('pays one proof once, submits one block once, however often they are sent', async () => {
    const owner = new Owner();
    const job = putJob(3);
    const first = Array.from({ length: 5000 }, (_, i) => share(owner, i, job));
    submitAll(first);
    await answered(owner, 5000);
    const found = candidates.length;
    submitAll(first.map((each) => ({ ...each, requestId: `again ${each.requestId}` })));
    await answered(owner, 10_000);
    for (const each of first) {
      const was = owner.answers.get(each.requestId);
      expect(owner.answers.get(`again ${each.requestId}`)).toBe(was === 'accepted' ? 'duplicate' : was);
    }
    expect(candidates.length).toBe(found);
  }, 60_000);

  it('checks a stale share for being a block before it calls it stale', async () => {
    const owner = new Owner();
    const job = putJob(4);
    const shares = Array.from({ length: 9000 }, (_, i) => ({ ...share(owner, i, job), stale: true }));
    submitAll(shares);
    await answered(owner, shares.length);
    const blocks = shares.filter((each) => isBlock(hashOf(each)));
    expect(candidates.length).toBe(blocks.length);
    expect([...owner.answers.values()].some((verdict) => verdict === 'accepted')).toBe(false);
  }, 60_000);

  /** The journal of this test waits for a disk that the test answers for. */
  function waitForDisk(): { answer: (error?: Error | null) => void; readonly waiting: number } {
    const waiting: ((error: Error | null) => void)[] = [];
    const journaled = new PowerJournalWriter({
      ...{ folder: join(folder, 'power'), nodeId: 1, nowMs: () => performance.now() },
      disk: { segment: (_fd, done) => waiting.push(done), folder: (_path, done) => waiting.push(done) },
    });
    journaled.defineIdentity(1, { account: 'a', worker: 'w', agent: '', remote: '127.0.0.1' });
    journal.close();
    journal = journaled;
    path = pathOn(pool);
    return {
      answer: (error = null) => {
        for (const done of waiting.splice(0)) done(error);
      },
      get waiting() {
        return waiting.length;
      },
    };
  }

  async function checked(): Promise<void> {
    while (pool.outstanding > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    path.drain();
  }

  it('answers nothing before its sync and everything after it, in order, and gives blocks out at once', async () => {
    const disk = waitForDisk();
    const owner = new Owner();
    const job = putJob(6);
    const shares = Array.from({ length: 9000 }, (_, i) => share(owner, i, job));
    for (let at = 0; at < shares.length; at += 3000) {
      submitAll(shares.slice(at, at + 3000));
      await checked();
    }
    expect(owner.answers.size).toBe(0);
    expect(path.outstanding).toBe(9000);
    expect(candidates.length).toBe(shares.filter((each) => isBlock(hashOf(each))).length);
    while (disk.waiting > 0) {
      const before = owner.answers.size;
      disk.answer();
      expect(owner.answers.size).toBeGreaterThan(before);
    }
    expect([...owner.answers].sort()).toEqual(
      shares.map((each): [string, string] => [each.requestId, expected(hashOf(each))]).sort(),
    );
    expect(path.outstanding).toBe(0);
  }, 60_000);

  it('refuses shares of a failed sync, blocks too, and takes the same ones again when the disk is well', async () => {
    const disk = waitForDisk();
    const owner = new Owner();
    const job = putJob(7);
    const shares = Array.from({ length: 500 }, (_, i) => share(owner, i, job));
    submitAll(shares);
    await checked();
    disk.answer(new Error('EIO: i/o error, fdatasync'));
    await answered(owner, 500);
    for (const each of shares) {
      const wanted = expected(hashOf(each));
      expect(owner.answers.get(each.requestId)).toBe(wanted === 'accepted' ? 'storage_failed' : wanted);
    }
    expect(path.journalDown).toBe(true);
    submitAll(shares.map((each) => ({ ...each, requestId: `down ${each.requestId}` })));
    await answered(owner, 1000);
    expect([...owner.answers.values()].includes('accepted')).toBe(false);
    disk.answer();
    submitAll(shares.map((each) => ({ ...each, requestId: `again ${each.requestId}` })));
    await checked();
    while (disk.waiting > 0) disk.answer();
    await answered(owner, 1500);
    expect(path.journalDown).toBe(false);
    for (const each of shares) {
      const hash = hashOf(each);
      const wanted = isBlock(hash) ? 'duplicate' : expected(hash);
      expect(owner.answers.get(`again ${each.requestId}`)).toBe(wanted);
    }
  }, 60_000);

  it('replaces a hash worker that dies and answers every share all the same, none twice', async () => {
    await pool.close();
    pool = new ValidationPool({
      memory,
      workers: 2,
      workerFile: new URL('../fixtures/dying-hash-worker.js', import.meta.url),
      onDoorbell: () => path.drain(),
      onWorkerLost: (error) => lost.push(error),
    });
    path = pathOn(pool);
    await pool.ready();
    const owner = new Owner();
    const job = putJob(5);
    const shares = Array.from({ length: 20_000 }, (_, i) => share(owner, i, job));
    for (let at = 0; at < shares.length; at += 2000) {
      submitAll(shares.slice(at, at + 2000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await answered(owner, shares.length);
    expect(lost.length).toBeGreaterThan(1);
    for (const each of shares) {
      expect(owner.answers.get(each.requestId)).toBe(expected(hashOf(each)));
    }
  }, 60_000);
});
