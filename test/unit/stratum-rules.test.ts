// "Rules that past pools paid for" (DESIGN.md), as far as a session and its work can break them: one test each, under
// its name. Real sessions, job board, leases, share path, hash workers and journal; the oracle hashes with node:crypto
// and compares with BigInt.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeHeader } from '../../engine/bitcoin/header.js';
import { targetFromBytesLE, targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { DuplicateFilter } from '../../engine/shares/duplicate-filter.js';
import { SharePath } from '../../engine/shares/share-path.js';
import type { BlockCandidate } from '../../engine/shares/submission.js';
import { ValidationPool } from '../../engine/shares/validation-pool.js';
import type { BoardJob } from '../../engine/stratum/job-board.js';
import { type ShareVerdict, verdictByCode, verdictByName } from '../../engine/work/verdict.js';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import {
  ADDRESS,
  CURTIME,
  difficultiesIn,
  hexWord,
  jobsIn,
  type Line,
  MINTIME,
  type Peer,
  SmallHost,
} from './stratum-small-host.js';

/** About one hash in 4 is a share at this difficulty, one in 8 at twice of it. */
const EASY = 2 ** -30;
/** One hash in 4096 is a block. */
const NETWORK_TARGET = (1n << 244n) - 1n;
const EXTRANONCE2 = Buffer.from('0011223344556677', 'hex');

let folder: string;
let journal: JournalWriter;
let pool: ValidationPool;
let path: SharePath;
let candidates: BlockCandidate[];
let host: SmallHost;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-rules-'));
  journal = new JournalWriter({ folder, nodeId: 1, nowMs: () => performance.now() });
  candidates = [];
  host = new SmallHost();
  host.startDifficulty = EASY;
  host.difficultyFloor = EASY / 64;
  host.vardiff = null;
  const filter = new DuplicateFilter(100_000);
  const { memory } = host;
  pool = new ValidationPool({ memory, workers: 1, onDoorbell: () => path.drain(), onWorkerLost: () => {} });
  path = new SharePath({
    ...{ memory, pool, filter, journal, nowUs: () => Date.now() * 1000 },
    onCandidate: (candidate) => candidates.push(candidate),
    ...{ onJournal: () => {}, onSettled: () => {} },
    onFault: (message) => {
      throw new Error(message);
    },
  });
  host.sharePath = path;
  host.onPutUp = ({ key }) => journal.defineJob(key, JOB_IN_JOURNAL);
  host.onStale = (job) => filter.forgetJob(job.key);
  host.onDead = (job) => {
    filter.forgetJob(job.key);
    journal.forgetJob(job.key);
  };
  const define = host.defineIdentity.bind(host);
  host.defineIdentity = (name, agent) => {
    const id = define(name, agent);
    journal.defineIdentity(id, { ...name, agent, remote: '127.0.0.1' });
    return id;
  };
  await pool.ready();
});
afterEach(async () => {
  await pool.close();
  journal.close();
  rmSync(folder, { recursive: true, force: true });
});

const JOB_IN_JOURNAL = {
  ...{ jobId: '', height: 1, previousBlock: '', version: 1, bits: 0x207fffff, time: 0 },
  ...{ coinbase1: '', coinbase2: '', branch: [], networkDifficulty: 1 },
};

const sha256d = (bytes: Uint8Array) =>
  createHash('sha256').update(createHash('sha256').update(bytes).digest()).digest();

function hashOf(job: BoardJob, extranonce1: Uint8Array, nonce: number): bigint {
  const { coinbase1, coinbase2, branch, previousBlock, version, bits } = job.message;
  let merkleRoot = sha256d(Buffer.concat([coinbase1, extranonce1, EXTRANONCE2, coinbase2]));
  for (const sibling of branch) merkleRoot = sha256d(Buffer.concat([merkleRoot, sibling]));
  return targetFromBytesLE(
    sha256d(encodeHeader({ version, previousBlock, merkleRoot, time: CURTIME, bits, nonce })),
  );
}

const putUp = (overrides = {}, audience: 'all' | 'retarget' = 'all') =>
  host.putUp({ networkTargetLE: targetToBytesLE(NETWORK_TARGET), ...overrides }, audience);

/** Submits `nonces` of a job; the verdict of each, by nonce. */
async function verdicts(peer: Peer, job: BoardJob, nonces: readonly number[]): Promise<Map<number, string>> {
  peer.heard();
  for (const nonce of nonces) peer.submit(job, nonce, { id: nonce });
  const answers: Line[] = [];
  for (const end = performance.now() + 10_000; answers.length < nonces.length; ) {
    if (performance.now() > end) throw new Error(`${answers.length} of ${nonces.length} answered`);
    await new Promise((resolve) => setImmediate(resolve));
    answers.push(...peer.heard());
  }
  const named = (error: [number, string] | null): ShareVerdict | undefined => {
    const wanted = error?.[1] ?? '';
    return (['accepted', 'stale', 'low_difficulty', 'duplicate', 'unknown_job'] as const).find(
      (name) => verdictByName(name).reason === wanted,
    );
  };
  return new Map(answers.map(({ id, error }) => [id, named(error) ?? JSON.stringify(error)]));
}

const NONCES = Array.from({ length: 300 }, (_, i) => i);
const byOracle = (peer: Peer, job: BoardJob, target: bigint) =>
  new Map(
    NONCES.map((nonce) => [
      nonce,
      hashOf(job, peer.session.extranonce1, nonce) <= target ? 'accepted' : 'low_difficulty',
    ]),
  );

describe('rules that past pools paid for', () => {
  it('one difficulty, end to end: announced = validated = credited, forgiving nothing', async () => {
    const job = putUp();
    const peer = host.connect();
    // No power of two: a target with all 256 bits in use.
    const [announced] = difficultiesIn(peer.mine({ password: 'd=0.000000001' }));
    const target = targetFromDifficulty(announced as number);
    expect(await verdicts(peer, job, NONCES)).toEqual(byOracle(peer, job, target));
    journal.seal();
    const reader = new JournalReader(folder, null);
    let rows = 0;
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      for (let at = 0; at < batch.records.length; at += SHARE_RECORD_BYTES) {
        rows++;
        expect(batch.records.readDoubleLE(at + SHARE.difficulty)).toBe(announced);
        expect(targetFromBytesLE(batch.records.subarray(at + SHARE.target, at + SHARE.target + 32))).toBe(
          target,
        );
        const hash = targetFromBytesLE(batch.records.subarray(at + SHARE.hash, at + SHARE.hash + 32));
        const { name } = verdictByCode(batch.records[at + SHARE.verdict] as number);
        expect(name).toBe(hash <= target ? 'accepted' : 'low_difficulty');
      }
    }
    reader.close();
    expect(rows).toBe(NONCES.length);
  });

  it('a hash that is the target is a share, one above it is none', async () => {
    const job = putUp();
    const peer = host.connect();
    peer.mine();
    const hash = hashOf(job, peer.session.extranonce1, 5);
    const verdictAt = async (target: bigint) => {
      const submit = host.submitShare.bind(host);
      host.submitShare = (session, share, { difficulty }) =>
        submit(session, share, { difficulty, targetLE: targetToBytesLE(target) });
      const verdict = (await verdicts(peer, job, [5])).get(5);
      host.submitShare = submit;
      return verdict;
    };
    expect(await verdictAt(hash - 1n)).toBe('low_difficulty');
    expect(await verdictAt(hash)).toBe('accepted');
  });

  it('each job carries the target it was sent with, for as long as the job lives', async () => {
    const peer = host.connect();
    const jobs = [putUp()];
    peer.mine();
    const difficulties = [EASY, EASY * 2, EASY / 2, EASY * 2];
    for (const difficulty of difficulties.slice(1)) {
      peer.ask('mining.suggest_difficulty', [difficulty]);
      jobs.push(putUp({}, 'retarget'));
    }
    for (const [index, job] of jobs.entries()) {
      const target = targetFromDifficulty(difficulties[index] as number);
      expect(await verdicts(peer, job, NONCES)).toEqual(byOracle(peer, job, target));
    }
  });

  it('a new difficulty is sent together with a new job', () => {
    const peer = host.connect();
    putUp();
    peer.mine();
    expect(peer.ask('mining.suggest_difficulty', [EASY * 4]).rest).toEqual([]);
    putUp();
    expect(peer.heard().map(({ method }) => method)).toEqual(['mining.set_difficulty', 'mining.notify']);
    putUp();
    expect(peer.heard().map(({ method }) => method)).toEqual(['mining.notify']);
  });

  it('a job id is never sent twice', () => {
    const peer = host.connect();
    const job = putUp();
    const sent = jobsIn(peer.mine());
    peer.ask('mining.subscribe');
    peer.session.sendJob(job);
    sent.push(...jobsIn(peer.heard()));
    peer.session.renewJob();
    sent.push(...jobsIn(peer.say()));
    peer.disconnect();
    const back = host.connect();
    sent.push(...jobsIn(back.mine({ resume: peer.session.sessionId })));
    expect(sent).toEqual(['1']);
  });

  it('clean_jobs is true only for the first job of a connection and when the tip moved', () => {
    const peer = host.connect();
    putUp();
    const cleanIn = (lines: Line[]) =>
      lines.filter(({ method }) => method === 'mining.notify').map(({ params }) => params.at(-1));
    expect(cleanIn(peer.mine())).toEqual([true]);
    peer.ask('mining.suggest_difficulty', [EASY * 4]);
    putUp({}, 'retarget');
    putUp();
    putUp({ previousBlockHash: '22'.repeat(32) });
    expect(cleanIn(peer.heard())).toEqual([false, false, true]);
  });

  it('extranonce1 is leased: no two live sessions share one, and it rests until the last job is dead', () => {
    putUp();
    const seen = new Set<string>();
    const peers = Array.from({ length: 200 }, () => host.connect());
    for (const peer of peers) {
      peer.mine();
      peer.ask('mining.subscribe');
      seen.add(Buffer.from(peer.session.extranonce1).toString('hex'));
    }
    expect([seen.size, host.leases.taken]).toEqual([200, 200]);
    for (const peer of peers) peer.disconnect();
    host.clockMs += 600_000;
    host.resumables.expire();
    expect(host.leases.taken).toBe(200);
    putUp();
    host.clockMs += 200_000;
    putUp();
    expect(host.leases.taken).toBe(0);
  });

  it('a stale share is first checked for being a block', async () => {
    const peer = host.connect();
    const job = putUp();
    peer.mine();
    putUp({ previousBlockHash: '22'.repeat(32) });
    const { extranonce1 } = peer.session;
    let nonce = 0;
    while (hashOf(job, extranonce1, nonce) > NETWORK_TARGET) nonce++;
    const found = await verdicts(peer, job, [nonce]);
    expect(found.get(nonce)).toBe('stale');
    expect(candidates).toMatchObject([{ jobKey: job.key, nonce }]);
    expect((await verdicts(peer, job, [nonce])).get(nonce)).toBe('duplicate');
    expect(candidates).toHaveLength(1);
  });

  it('stale, duplicate, low and invalid are counted apart', async () => {
    const peer = host.connect();
    const job = putUp();
    peer.mine();
    const { extranonce1 } = peer.session;
    const target = targetFromDifficulty(EASY);
    const good = NONCES.filter((nonce) => hashOf(job, extranonce1, nonce) <= target);
    const bad = NONCES.filter((nonce) => hashOf(job, extranonce1, nonce) > target).slice(0, 3);
    await verdicts(peer, job, good.slice(0, 5));
    await verdicts(peer, job, good.slice(0, 2));
    await verdicts(peer, job, bad);
    putUp({ previousBlockHash: '22'.repeat(32) });
    await verdicts(peer, job, good.slice(5, 9));
    const count = (name: ShareVerdict) => path.counts[verdictByName(name).code];
    expect([count('accepted'), count('duplicate'), count('low_difficulty'), count('stale')]).toEqual([
      5, 2, 3, 4,
    ]);
    expect([peer.session.validShares, peer.session.invalidShares]).toEqual([5, 5]);
  });

  it('one proof is paid once, also after its miner took the session up again', async () => {
    const first = host.connect();
    const job = putUp();
    first.mine();
    const before = await verdicts(first, job, NONCES);
    first.disconnect();
    const second = host.connect();
    second.mine({ resume: first.session.sessionId });
    expect(second.session.extranonce1).toEqual(first.session.extranonce1);
    const after = await verdicts(second, job, NONCES);
    for (const nonce of NONCES) {
      expect(after.get(nonce)).toBe(before.get(nonce) === 'accepted' ? 'duplicate' : before.get(nonce));
    }
  });

  it.each([
    ['mintime', MINTIME, true],
    ['a second before mintime', MINTIME - 1, false],
    ['the time of the template', CURTIME, true],
    ['template time + 7200', CURTIME + 7200, true],
    ['a second more', CURTIME + 7201, false],
    ['zero', 0, false],
    ['the largest', 0xffffffff, false],
  ])('ntime lies between mintime and template time + 7200: %s', (_what, ntime, allowed) => {
    const peer = host.connect();
    const job = putUp();
    peer.mine();
    host.sharePath = null;
    for (const id of [4, 'text']) {
      const params = [
        `${ADDRESS}.rig`,
        job.message.id,
        EXTRANONCE2.toString('hex'),
        hexWord(ntime),
        '00000001',
      ];
      peer.say({ id, method: 'mining.submit', params });
    }
    expect(host.shares).toHaveLength(allowed ? 2 : 0);
    expect(host.refusals.map(({ verdict }) => verdict)).toEqual(allowed ? [] : ['bad_ntime', 'bad_ntime']);
  });

  it('ntime is never more than 7200 ahead of the node, whatever our clock says', () => {
    // The node made the template at `madeAt` by its clock, which had not gone back before the share came.
    const times = fc.record({ madeAt: fc.nat(2 ** 31), later: fc.nat(100_000), ahead: fc.nat(20_000) });
    const peer = host.connect();
    putUp();
    peer.mine();
    host.sharePath = null;
    fc.assert(
      fc.property(times, ({ madeAt, later, ahead }) => {
        const job = putUp({ curtime: madeAt, mintime: 0 });
        const before = host.shares.length;
        const ntime = hexWord(madeAt + ahead);
        const params = [`${ADDRESS}.rig`, job.message.id, EXTRANONCE2.toString('hex'), ntime, '00000001'];
        host.clockMs += later * 1000;
        peer.say({ id: 1, method: 'mining.submit', params });
        const nodeNow = madeAt + later;
        if (host.shares.length > before) expect(madeAt + ahead).toBeLessThanOrEqual(nodeNow + 7200);
        else expect(ahead).toBeGreaterThan(7200);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('before authorize everything is hostile: nothing of a stranger reaches journal or share path', () => {
    const job = putUp();
    const stranger = host.connect();
    stranger.submit(job, 1);
    stranger.ask('mining.subscribe');
    stranger.submit(job, 1);
    expect([host.shares, host.refusals, path.outstanding]).toEqual([[], [], 0]);
    expect(host.unjournaled).toEqual(['not_subscribed', 'unauthorized']);
  });

  it('a bad session dies alone', () => {
    putUp();
    const good = host.connect();
    good.mine();
    const bad = host.connect();
    for (let i = 0; i < 20; i++) bad.session.handleLine(Buffer.from('\u0000{[['), 0);
    expect([host.closed, bad.session.closed, good.session.closed]).toEqual([['malformed'], true, false]);
    expect(good.ask('mining.ping').reply.result).toBe('pong');
  });

  it('text from miners is validated at the border: what gets in is printable and short', () => {
    putUp();
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.string({ unit: 'binary' }),
        (agent, worker) => {
          const peer = host.connect();
          peer.say(
            { id: 1, method: 'mining.subscribe', params: [agent] },
            { id: 2, method: 'mining.authorize', params: [`${ADDRESS}.${worker}`] },
          );
          for (const name of peer.session.names.values())
            expect(name.worker).toMatch(/^[A-Za-z0-9._-]{0,64}$/);
          expect(host.agents.at(-1) ?? '').toMatch(/^[ -~]{0,128}$/);
          peer.disconnect();
        },
      ),
      { seed: 4, numRuns: 500 },
    );
  });
});
