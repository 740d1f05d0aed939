// Difficulty: what a miner may wish, and that each job keeps the difficulty it was sent with.
import { targetFromDifficulty } from '../../../engine/bitcoin/target.js';
import type { MiningJob } from '../../../loadtest/mining-job.js';
import { type ConformanceCase, isAbout, NEW_JOB_WITHIN_MS, type PoolUnderTest } from '../case.js';
import { CaseSkipped, expectThat } from '../expectation.js';
import { expectAccepted, expectRefused, type Miner } from '../miner.js';
import { networkDifficulty } from '../share-search.js';

interface Retargeted {
  readonly miner: Miner;
  readonly before: MiningJob;
  readonly after: MiningJob;
}

/** A miner whose wish for another difficulty was followed. @throws CaseSkipped where it was not */
async function retargeted(pool: PoolUnderTest, factor: number): Promise<Retargeted> {
  const miner = await pool.miner({ user: pool.workerNamed(factor > 1 ? 'harder' : 'easier') });
  const before = await miner.job();
  const wanted = before.difficulty * factor;
  if (wanted > networkDifficulty(before.bits)) {
    throw new CaseSkipped('the pool announces the difficulty of a block: none above it');
  }
  const known = miner.jobs.length;
  await miner.connection.request('mining.suggest_difficulty', [wanted]);
  const isFollowed = ({ difficulty }: MiningJob): boolean =>
    factor > 1 ? difficulty > before.difficulty : difficulty < before.difficulty;
  const after = await miner.nextJob(known, NEW_JOB_WITHIN_MS, isFollowed).catch(() => {
    throw new CaseSkipped('the pool does not follow mining.suggest_difficulty');
  });
  return { miner, before, after };
}

/** A wish sent right after authorize: a new job comes that carries it. */
async function wished(
  pool: PoolUnderTest,
  method: string,
  worker: string,
  say: (difficulty: number) => unknown,
) {
  const miner = await pool.miner({ user: pool.workerNamed(worker) });
  const job = await miner.job();
  const up = job.difficulty * 2;
  const wanted = up <= networkDifficulty(job.bits) ? up : job.difficulty / 2;
  const known = miner.jobs.length;
  const reply = await miner.connection.request(method, [say(wanted)]);
  expectThat(reply.code === null, 'no error', reply.line);
  const taken = ({ difficulty }: MiningJob): boolean => isAbout(difficulty, wanted);
  const next = await miner.nextJob(known, NEW_JOB_WITHIN_MS, taken);
  expectThat(!next.cleanJobs, 'clean_jobs false: the tip did not move', 'clean_jobs true');
  return `${wanted}, was ${job.difficulty}`;
}

export const difficultyCases: readonly ConformanceCase[] = [
  {
    name: 'difficulty/suggest-difficulty',
    level: 'should',
    rule: 'mining.suggest_difficulty is followed with a new job that carries it, clean_jobs false',
    source: 'ESP-Miner sends it after authorize; Spiral-Pool#10',
    run: (pool) => wished(pool, 'mining.suggest_difficulty', 'suggests', (difficulty) => difficulty),
  },
  {
    name: 'difficulty/suggest-target',
    level: 'should',
    rule: 'mining.suggest_target is followed with a new job that carries it, clean_jobs false',
    source: 'btcpool',
    run: (pool) =>
      wished(pool, 'mining.suggest_target', 'suggests-target', (difficulty) =>
        targetFromDifficulty(difficulty).toString(16).padStart(64, '0'),
      ),
  },
  {
    name: 'difficulty/suggest-before-subscribe',
    level: 'should',
    rule: 'a wish before subscribe holds for the first job',
    source: 'firmware that sends it first',
    async run(pool) {
      const user = pool.workerNamed('suggests-first');
      const plain = await pool.miner({ user });
      const { difficulty, bits } = await plain.job();
      plain.connection.close();
      const wanted = difficulty * 2 <= networkDifficulty(bits) ? difficulty * 2 : difficulty / 2;
      const connection = await pool.connect();
      const reply = await connection.request('mining.suggest_difficulty', [wanted]);
      expectThat(reply.code === null, 'no error', reply.line);
      await connection.request('mining.subscribe', []);
      const told = await connection.next(
        'a difficulty',
        ({ message }) => message?.method === 'mining.set_difficulty',
        0,
      );
      const { params } = told.message ?? {};
      expectThat(Array.isArray(params) && isAbout(params[0], wanted), `difficulty ${wanted}`, told.line);
      return undefined;
    },
  },
  {
    name: 'difficulty/suggest-nonsense',
    level: 'must',
    rule: 'a wish that is no difficulty is answered, and what is announced stays a difficulty',
    source: 'public-pool#120: 0.001 let one machine send 6.5 million shares a second',
    hostile: true,
    async run(pool) {
      const miner = await pool.miner({ user: pool.workerNamed('nonsense') });
      await miner.job();
      const { connection } = miner;
      for (const value of [0, -1, 1e308, 1e-300, 'abc', '', null, {}, [], true]) {
        await connection.request('mining.suggest_difficulty', [value]);
        await connection.request('mining.suggest_target', [value]);
      }
      await connection.request('mining.suggest_difficulty', []);
      await connection.request('mining.suggest_target', []);
      for (const target of ['0'.repeat(64), 'f'.repeat(64), 'f'.repeat(65), 'xyz', '0x1']) {
        await connection.request('mining.suggest_target', [target]);
      }
      expectThat(miner.difficulty > 0 && Number.isFinite(miner.difficulty), 'a difficulty', miner.difficulty);
      return `difficulty ${miner.difficulty}`;
    },
  },
  {
    name: 'difficulty/not-above-block',
    level: 'should',
    rule: 'no announced difficulty is above that of a block',
    source: 'a block below the share target would never be sent',
    async run(pool) {
      const { difficulty, bits } = await (await pool.miner()).job();
      const block = networkDifficulty(bits);
      expectThat(difficulty <= block, `at most ${block}`, difficulty);
      return undefined;
    },
  },
  {
    name: 'difficulty/raised-old-job',
    level: 'must',
    rule: 'after a raise, a share of an older job is judged by the difficulty that job was sent with',
    source: 'c2pool PR 762: 28 % rejects; public-pool#39',
    async run(pool) {
      const { miner, before, after } = await retargeted(pool, 2);
      const easy = await miner.mine({ job: before, butNot: after.difficulty });
      expectAccepted(await miner.submit(easy), `an old share below difficulty ${after.difficulty}`);
      return undefined;
    },
  },
  {
    name: 'difficulty/raised-new-job',
    level: 'must',
    rule: 'after a raise, a share of the new job is judged by the new difficulty',
    source: 'one difficulty: announced = judged = credited',
    async run(pool) {
      const { miner, before, after } = await retargeted(pool, 2);
      const easy = await miner.mine({
        job: after,
        difficulty: before.difficulty,
        butNot: after.difficulty,
      });
      expectRefused(await miner.submit(easy), 'a share of the old difficulty', [23]);
      expectAccepted(await miner.submit(await miner.mine({ job: after })), 'a share of the new difficulty');
      return undefined;
    },
  },
  {
    name: 'difficulty/lowered-old-job',
    level: 'must',
    rule: 'after a cut, a share of an older job must still meet the difficulty that job was sent with',
    source: 'one difficulty: a later target never pays more',
    async run(pool) {
      const { miner, before, after } = await retargeted(pool, 0.5);
      const easy = await miner.mine({
        job: before,
        difficulty: after.difficulty,
        butNot: before.difficulty,
      });
      expectRefused(await miner.submit(easy), 'an old share of the new difficulty', [23]);
      expectAccepted(
        await miner.submit(await miner.mine({ job: before })),
        'an old share of the old difficulty',
      );
      return undefined;
    },
  },
  {
    name: 'difficulty/lowered-new-job',
    level: 'must',
    rule: 'after a cut, a share of the new job is judged by the new difficulty',
    source: 'ESP-Miner#212',
    async run(pool) {
      const { miner, before, after } = await retargeted(pool, 0.5);
      const easy = await miner.mine({ job: after, butNot: before.difficulty });
      expectAccepted(await miner.submit(easy), 'a share of the new difficulty');
      return undefined;
    },
  },
];
