// What happens when the tip moves: seen by finding a block, where that is within reach.
import { type ConformanceCase, NEW_JOB_WITHIN_MS } from '../case.js';
import { CaseSkipped, expectThat } from '../expectation.js';
import { expectAccepted, expectRefused } from '../miner.js';
import { networkDifficulty } from '../share-search.js';

export const jobCases: readonly ConformanceCase[] = [
  {
    name: 'jobs/new-tip',
    level: 'must',
    rule: 'a block moves the tip: a job with clean_jobs true follows, and a share of before is stale, code 21',
    source: "slush0's Stratum description, ckpool",
    async run(pool) {
      const miner = await pool.miner();
      const job = await miner.job();
      const block = networkDifficulty(job.bits);
      if (block > pool.settings.maxDifficulty) {
        throw new CaseSkipped(`difficulty ${block} of a block too high (--max-difficulty)`);
      }
      const late = await miner.mine({ job });
      const found = await miner.mine({ job, difficulty: block });
      const known = miner.jobs.length;
      expectAccepted(await miner.submit(found), 'a share that is a block');
      const next = await miner.nextJob(known, NEW_JOB_WITHIN_MS, ({ previousHash }) => {
        return !Buffer.from(previousHash).equals(job.previousHash);
      });
      expectThat(next.cleanJobs, 'clean_jobs true with the new tip', 'clean_jobs false');
      expectRefused(await miner.submit(late), 'a share of the old tip', [21]);
      expectAccepted(await miner.submit(await miner.mine()), 'a share of the new tip');
      return undefined;
    },
  },
];
