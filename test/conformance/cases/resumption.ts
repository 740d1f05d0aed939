// Session resumption: the second parameter of mining.subscribe, as cgminer sends and ckpool honours it.
import { type ConformanceCase, isAbout, NEW_JOB_WITHIN_MS, type PoolUnderTest } from '../case.js';
import { CaseSkipped, expectThat } from '../expectation.js';
import { AGENT, expectAccepted, expectRefused, type Miner, submitFields } from '../miner.js';
import { networkDifficulty } from '../share-search.js';

const CKPOOL = 'cgminer and ckpool: a reconnect with the session id continues the work';

/** Time for a pool to notice that a connection is gone. */
const NOTICE_MS = 300;

function hexOf(miner: Miner): string {
  return Buffer.from(miner.extranonce1).toString('hex');
}

async function leave(miner: Miner): Promise<string> {
  if (miner.sessionId === null) throw new CaseSkipped('the pool gives no session id');
  miner.connection.close();
  await new Promise((resolve) => setTimeout(resolve, NOTICE_MS));
  return miner.sessionId;
}

async function resumed(pool: PoolUnderTest, before: Miner): Promise<Miner> {
  const sessionId = await leave(before);
  const after = await pool.miner({ subscribe: [AGENT, sessionId], user: before.user });
  if (hexOf(after) !== hexOf(before)) throw new CaseSkipped('the pool does not resume sessions');
  return after;
}

export const resumptionCases: readonly ConformanceCase[] = [
  {
    name: 'resume/extranonce1',
    level: 'should',
    rule: 'who comes back with its session id gets the same extranonce1',
    source: CKPOOL,
    async run(pool) {
      const before = await pool.miner();
      await before.job();
      const sessionId = await leave(before);
      const after = await pool.miner({ subscribe: [AGENT, sessionId] });
      expectThat(hexOf(after) === hexOf(before), `extranonce1 ${hexOf(before)}`, hexOf(after));
      return undefined;
    },
  },
  {
    name: 'resume/works-on',
    level: 'must',
    rule: 'a share found after the resumption is accepted',
    source: CKPOOL,
    async run(pool) {
      const miner = await resumed(pool, await pool.miner());
      expectAccepted(await miner.submit(await miner.mine()), 'a share of the resumed session');
      return undefined;
    },
  },
  {
    name: 'resume/earlier-work',
    level: 'should',
    rule: 'a share that was found before the connection was lost is accepted after the resumption',
    source: CKPOOL,
    async run(pool) {
      const before = await pool.miner();
      const share = await before.mine();
      const after = await resumed(pool, before);
      expectAccepted(await after.submit(share), 'a share of the time before');
      return undefined;
    },
  },
  {
    name: 'resume/no-replay',
    level: 'must',
    rule: 'a share that was accepted before the resumption is not credited again after it',
    source: 'duplicate memory lives as long as the work is creditable (SRI#2329, #2396)',
    async run(pool) {
      const before = await pool.miner();
      const share = await before.mine();
      expectAccepted(await before.submit(share), 'the share');
      const after = await resumed(pool, before);
      await after.job();
      for (let i = 0; i < 2; i++) expectRefused(await after.submit(share), 'the same share again');
      return undefined;
    },
  },
  {
    name: 'resume/live-session',
    level: 'must',
    rule: 'a session id does not give two open connections the same extranonce1',
    source: 'SRI 6ae6b218: the same work could be sent on both',
    async run(pool) {
      const first = await pool.miner();
      await first.job();
      if (first.sessionId === null) throw new CaseSkipped('the pool gives no session id');
      const second = await pool.miner({ subscribe: [AGENT, first.sessionId] });
      if (hexOf(second) !== hexOf(first)) return 'a fresh extranonce1';
      const taken = await first.connection.untilClosed();
      expectThat(taken, 'another extranonce1, or the first connection closed', 'both with the same');
      return 'the first connection is closed';
    },
  },
  {
    name: 'resume/unknown-id',
    level: 'must',
    rule: 'an unknown, broken or foreign session id is answered with a fresh session',
    source: CKPOOL,
    async run(pool) {
      for (const id of ['ffffffff', 'deadbeefdeadbeef', '', 'zz', '0', '../../x', 'f'.repeat(2000)]) {
        const miner = await pool.miner({ subscribe: [AGENT, id], authorize: false });
        miner.connection.close();
      }
      return undefined;
    },
  },
  {
    name: 'resume/difficulty',
    level: 'should',
    rule: 'the session goes on at the difficulty it had',
    source: CKPOOL,
    async run(pool) {
      const before = await pool.miner({ user: pool.workerNamed('resumed') });
      const job = await before.job();
      const top = networkDifficulty(job.bits);
      const wanted = job.difficulty * 2 <= top ? job.difficulty * 2 : job.difficulty / 2;
      const known = before.jobs.length;
      await before.connection.request('mining.suggest_difficulty', [wanted]);
      const changed = (): Promise<unknown> =>
        before.nextJob(known, NEW_JOB_WITHIN_MS, ({ difficulty }) => isAbout(difficulty, wanted));
      await changed().catch(() => {
        throw new CaseSkipped('the pool does not follow mining.suggest_difficulty');
      });
      const after = await resumed(pool, before);
      const { difficulty } = await after.job();
      expectThat(isAbout(difficulty, wanted), `a first job of difficulty ${wanted}`, difficulty);
      return undefined;
    },
  },
  {
    name: 'resume/other-worker',
    level: 'must',
    rule: 'resuming does not carry over the authorization',
    source: 'the new connection authorizes by itself (code 24)',
    async run(pool) {
      const before = await pool.miner();
      await before.job();
      const sessionId = await leave(before);
      const after = await pool.miner({ subscribe: [AGENT, sessionId], authorize: false });
      const share = await after.mine();
      const reply = await after.submitFields(submitFields(share, undefined, after.user));
      expectRefused(reply, 'a share before authorize', [24]);
      return undefined;
    },
  },
];
