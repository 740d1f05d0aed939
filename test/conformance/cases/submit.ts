// mining.submit: what is accepted, and who may submit.
import { type ConformanceCase, NEW_JOB_WITHIN_MS } from '../case.js';
import { expectAccepted, expectRefused, needRolling, submitFields } from '../miner.js';

const SLUSH = "slush0's Stratum description";
const CODES =
  'error codes of the field: 20 other, 21 job, 22 duplicate, 23 low, 24 unauthorized, 25 not subscribed';

export const submitCases: readonly ConformanceCase[] = [
  {
    name: 'submit/five-params',
    level: 'must',
    rule: 'a share is accepted: coinbase, branch and the word order of the previous hash are right',
    source: `${SLUSH}; cgminer reverses each 4-byte word of prevhash`,
    async run(pool) {
      const miner = await pool.miner();
      const share = await miner.mine();
      expectAccepted(await miner.submit(share), 'a share');
      return `difficulty ${share.job.difficulty}`;
    },
  },
  {
    name: 'submit/many-extranonces',
    level: 'must',
    rule: 'shares at both ends of the extranonce2 space are accepted',
    source: 'proxies split extranonce2 from its front, miners count at its end',
    async run(pool) {
      const miner = await pool.miner();
      const own = miner.freshExtranonce2();
      const low = Uint8Array.from(own);
      const high = Uint8Array.from(own, (byte) => byte ^ 0xff);
      for (const extranonce2 of [low, high]) {
        expectAccepted(await miner.submit(await miner.mine({ extranonce2 })), 'a share');
      }
      return undefined;
    },
  },
  {
    name: 'submit/six-params',
    level: 'must',
    rule: 'with version rolling a sixth parameter is accepted',
    source: 'BIP310',
    async run(pool) {
      const miner = await pool.miner({ versionMask: 0x1fffe000 });
      needRolling(miner);
      expectAccepted(await miner.submit(await miner.mine(), '00000000'), 'a share without rolled bits');
      return undefined;
    },
  },
  {
    name: 'submit/five-params-with-rolling',
    level: 'should',
    rule: "where rolling was negotiated, a share without the sixth parameter stands for the job's version",
    source: 'firmware that negotiates and does not roll',
    async run(pool) {
      const miner = await pool.miner({ versionMask: 0x1fffe000 });
      expectAccepted(await miner.submit(await miner.mine()), 'a share');
      return undefined;
    },
  },
  {
    name: 'submit/capital-hex',
    level: 'should',
    rule: 'hex in capitals is hex',
    source: 'firmware that prints %08X',
    async run(pool) {
      const miner = await pool.miner();
      const share = await miner.mine();
      const { extranonce2, ntime, nonce } = share;
      const upper = [extranonce2, ntime, nonce].map((field) => field.toUpperCase());
      expectAccepted(await miner.submitFields([miner.user, share.jobId, ...upper]), 'a share in capitals');
      return undefined;
    },
  },
  {
    name: 'submit/ntime-rolled',
    level: 'must',
    rule: 'ntime may run ahead of the job, as firmware rolls it',
    source: 'ckpool: up to 7000 s',
    async run(pool) {
      const miner = await pool.miner();
      const job = await miner.job();
      for (const ahead of [1, 60, 600]) {
        const share = await miner.mine({ time: job.time + ahead });
        expectAccepted(await miner.submit(share), `ntime ${ahead} s ahead`);
      }
      return undefined;
    },
  },
  {
    name: 'submit/older-job',
    level: 'must',
    rule: 'a job stays good until a job with clean_jobs true replaces it',
    source: SLUSH,
    async run(pool) {
      const miner = await pool.miner({ user: pool.workerNamed('older-job') });
      const job = await miner.job();
      const known = miner.jobs.length;
      await miner.connection.request('mining.suggest_difficulty', [job.difficulty / 2]);
      const next = await miner.nextJob(known, NEW_JOB_WITHIN_MS).catch(() => null);
      const share = await miner.mine({ job });
      if (next?.cleanJobs === true) return 'no second job without clean_jobs came';
      expectAccepted(await miner.submit(share), 'a share of the older job');
      return next === null ? 'no second job came' : undefined;
    },
  },
  {
    name: 'submit/not-subscribed',
    level: 'must',
    rule: 'a share before subscribe is refused with code 25',
    source: CODES,
    async run(pool) {
      const connection = await pool.connect();
      const { user, password } = pool.settings;
      const fields = [user, '1', '0000000000000000', '00000000', '00000000'];
      expectRefused(await connection.request('mining.submit', fields), 'a share', [25]);
      await connection.request('mining.authorize', [user, password]);
      expectRefused(await connection.request('mining.submit', fields), 'a share after authorize', [25]);
      return undefined;
    },
  },
  {
    name: 'submit/unauthorized',
    level: 'must',
    rule: 'a share of a name that was not authorized on this connection is refused with code 24',
    source: CODES,
    async run(pool) {
      const stranger = await pool.miner({ authorize: false });
      expectRefused(await stranger.submit(await stranger.mine()), 'a share before authorize', [24]);
      const miner = await pool.miner();
      const share = await miner.mine();
      const other = pool.workerNamed('never-authorized');
      expectRefused(await miner.submit(share, undefined, other), 'a share of another name', [24]);
      expectAccepted(await miner.submit(share), 'the same share of the right name');
      return undefined;
    },
  },
  {
    name: 'submit/unknown-job',
    level: 'must',
    rule: 'a share of a job that was never sent is refused with code 21',
    source: CODES,
    async run(pool) {
      const miner = await pool.miner();
      const share = await miner.mine();
      for (const jobId of ['ffffffffffffffff', 'no-such-job', '__proto__', 'constructor', '']) {
        const [user, , ...rest] = submitFields(share, undefined, miner.user);
        const reply = await miner.submitFields([user, jobId, ...rest]);
        expectRefused(reply, `job id "${jobId}"`, jobId === '' ? [20, 21] : [21]);
      }
      return undefined;
    },
  },
  {
    name: 'submit/low-difficulty',
    level: 'must',
    rule: 'a share above the target is refused with code 23',
    source: CODES,
    async run(pool) {
      const miner = await pool.miner();
      expectRefused(await miner.submit(await miner.mineMiss()), 'a hash above the target', [23]);
      return undefined;
    },
  },
  {
    name: 'submit/no-forgiveness',
    level: 'must',
    rule: 'a share that misses the target by little is refused too',
    source: 'one difficulty: announced = judged = credited; NOMP and miningcore forgive 1 %',
    async run(pool) {
      const miner = await pool.miner();
      const { difficulty } = await miner.job();
      const share = await miner.mine({ difficulty: difficulty * 0.9, butNot: difficulty });
      expectRefused(await miner.submit(share), `a share of 0.9 to 1 times difficulty ${difficulty}`, [23]);
      return undefined;
    },
  },
  {
    name: 'submit/duplicate',
    level: 'must',
    rule: 'a share is accepted once, then refused with code 22',
    source: CODES,
    async run(pool) {
      const miner = await pool.miner();
      const share = await miner.mine();
      expectAccepted(await miner.submit(share), 'the share');
      for (let i = 0; i < 3; i++) expectRefused(await miner.submit(share), 'the share again', [22]);
      return undefined;
    },
  },
];
