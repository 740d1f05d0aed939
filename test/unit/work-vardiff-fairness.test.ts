// Fairness: whatever a miner does, the work it is credited is the work it did.
//
// A share on a job of difficulty d comes at the rate hashes / d and is credited d, so credited minus true work is a
// martingale: nothing that a miner does with what it knows moves its mean from 0. Its variance is the sum of
// hashes * d, so over many runs  credited / true = 1 +- sqrt(sum of hashes * d) / true work.  That sigma is computed
// along, and the ratio must lie within 4 of it; the runs are long enough that sigma itself is below 1 %.
//
// Work is counted in shares of difficulty 1. The clock is simulated; vardiff is the real one, asked each second.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SHARES_PER_MINUTE, Vardiff } from '../../engine/work/vardiff.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Hash rate at which difficulty 64 gives the wished shares, in difficulty-1 shares per millisecond. */
const RATE = (64 * SHARES_PER_MINUTE) / MINUTE;
/** The pool's floor: a farm that was away for hours must not flood it. */
const settings = { sharesPerMinute: SHARES_PER_MINUTE, floor: 64 / 4096, ceiling: 1e9 };

interface Job {
  readonly difficulty: number;
  readonly sentAtMs: number;
}

interface FoundShare {
  readonly job: Job;
  readonly atMs: number;
}

/** What a miner sees before each second. */
interface View {
  readonly nowMs: number;
  /** Jobs it may still deliver for, newest last. */
  readonly jobs: readonly Job[];
  /** Shares that it found and keeps. */
  readonly kept: readonly FoundShare[];
  readonly lastShareAtMs: number;
  random(): number;
}

/** What it does for this second. */
interface Move {
  /** In units of RATE; 0: it rests. */
  readonly speed: number;
  /** The job it works on; the newest when not said. */
  readonly job?: Job;
  /** How many of the shares it has kept and now finds it delivers, oldest first; all when not said. */
  readonly delivers?: number;
  /** Leaves and comes back; it starts at this difficulty. */
  readonly reconnectsAt?: number;
}

type Miner = (view: View) => Move;

interface Books {
  credited: number;
  work: number;
  variance: number;
}

/** Jobs live so long after the next one was sent. */
const JOB_LIFE_MS = 2 * MINUTE;
const REFRESH_MS = 30 * SECOND;

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Which difficulty a delivered share is worth: that of its job. The other rule is what some pools do. */
type Credit = (share: FoundShare, inForce: number) => number;
const byJob: Credit = ({ job }) => job.difficulty;
const byDifficultyInForce: Credit = (_share, inForce) => inForce;

/** One miner at the pool for `ms`, second by second. */
function mine(miner: Miner, start: number, ms: number, seed: number, credit: Credit = byJob): Books {
  const random = mulberry32(seed);
  const books: Books = { credited: 0, work: 0, variance: 0 };
  let vardiff = new Vardiff(settings, start, 0);
  let jobs: Job[] = [{ difficulty: start, sentAtMs: 0 }];
  let kept: FoundShare[] = [];
  let lastShareAtMs = 0;
  for (let nowMs = 0; nowMs < ms; nowMs += SECOND) {
    const move = miner({ nowMs, jobs, kept, lastShareAtMs, random });
    if (move.reconnectsAt !== undefined) {
      vardiff = new Vardiff(settings, move.reconnectsAt, nowMs);
      jobs = [{ difficulty: move.reconnectsAt, sentAtMs: nowMs }];
      // What it kept died with the connection; it was work all the same, and its own loss.
      kept = [];
    }
    const job = move.job ?? (jobs.at(-1) as Job);
    const rate = (move.speed * RATE) / job.difficulty;
    books.work += rate * job.difficulty * SECOND;
    books.variance += rate * job.difficulty ** 2 * SECOND;
    let atMs = nowMs;
    while (rate > 0) {
      atMs -= Math.log(1 - random()) / rate;
      if (atMs >= nowMs + SECOND) break;
      lastShareAtMs = atMs;
      kept.push({ job, atMs });
    }
    const end = nowMs + SECOND;
    for (const share of kept.splice(0, move.delivers ?? kept.length)) {
      if (!jobs.includes(share.job)) continue;
      books.credited += credit(share, vardiff.difficulty);
      vardiff.onShare(Math.max(share.atMs, nowMs), share.job.difficulty);
    }
    const next = vardiff.retarget(end);
    const newest = jobs.at(-1) as Job;
    if (next !== null || end - newest.sentAtMs >= REFRESH_MS) {
      jobs = jobs.filter(({ sentAtMs }) => end - sentAtMs < JOB_LIFE_MS);
      jobs.push({ difficulty: vardiff.difficulty, sentAtMs: end });
    }
  }
  return books;
}

/** All seeds together: how many sigmas credited / true work is from 1, and how wide sigma is. */
function judge(runs: readonly Books[]): { ratio: number; sigma: number } {
  const sum = (pick: (books: Books) => number): number =>
    runs.reduce((total, books) => total + pick(books), 0);
  const work = sum(({ work: w }) => w);
  return {
    ratio: sum(({ credited }) => credited) / work,
    sigma: Math.sqrt(sum(({ variance }) => variance)) / work,
  };
}

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);

const steady: Miner = () => ({ speed: 1 });

const bursty: Miner = ({ nowMs }) => ({
  speed: nowMs % (100 * SECOND) < 20 * SECOND ? 5 : 0,
});

const reconnecting: Miner = ({ nowMs, random }) =>
  nowMs % (5 * MINUTE) === 0 && nowMs > 0
    ? { speed: 1, reconnectsAt: 64 * 10 ** (2 * random() - 1) }
    : { speed: 1 };

/** Another hash rate every 20 minutes, from a hundredth to a hundredfold. */
const switching: Miner = ({ nowMs }) => ({
  speed: [1, 100, 0.1, 10, 0.01, 1][Math.floor(nowMs / (20 * MINUTE)) % 6] as number,
});

describe('credited work over true work', () => {
  it.each([
    ['steady', steady, 64],
    ['steady, from a difficulty 1000 times too low', steady, 0.064],
    ['steady, from a difficulty 1000 times too high', steady, 64_000],
    ['bursty', bursty, 64],
    ['reconnecting', reconnecting, 64],
    ['switching its hash rate', switching, 64],
  ])('is 1 within 4 sigma for a miner that is %s', (_what, miner, start) => {
    const { ratio, sigma } = judge(SEEDS.map((seed) => mine(miner, start, 8 * HOUR, seed)));
    expect(sigma).toBeLessThan(0.01);
    expect(Math.abs(ratio - 1)).toBeLessThan(4 * sigma);
  });

  it('is 1 within 4 sigma whatever the hash rate does', () => {
    const phase = fc.record({
      minutes: fc.integer({ min: 1, max: 20 }),
      doublings: fc.integer({ min: -5, max: 5 }),
      rests: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(phase, { minLength: 3, maxLength: 8 }), fc.nat(), (phases, seed) => {
        const plan = phases.flatMap(({ minutes, doublings, rests }) =>
          new Array<number>(minutes).fill(rests ? 0 : 2 ** doublings),
        );
        const miner: Miner = ({ nowMs }) => ({
          speed: plan[Math.floor(nowMs / MINUTE) % plan.length] as number,
        });
        const { ratio, sigma } = judge(SEEDS.slice(0, 6).map((i) => mine(miner, 64, 2 * HOUR, seed + i)));
        if (plan.some((speed) => speed > 0)) expect(Math.abs(ratio - 1)).toBeLessThan(4 * sigma);
      }),
      { seed: 4, numRuns: 30 },
    );
  });
});

// Adversaries know all of vardiff: the difficulty of each job, when a retarget is due, their own luck.

/** Works only while it is cheap: rests after a raise until silence has lowered the difficulty again. */
const restsWhenHard: Miner = ({ jobs }) => ({
  speed: (jobs.at(-1) as Job).difficulty > 16 ? 0 : 4,
});

/**
 * Plays dead until its jobs are easy, keeps what it finds on them, delivers some of it so fast that the difficulty is
 * raised, and the rest after the raise.
 */
const keepsForTheRaise: Miner = ({ jobs, kept }) => {
  const newest = jobs.at(-1) as Job;
  const isRaised = kept.some(({ job }) => job.difficulty < newest.difficulty);
  return { speed: 1, delivers: isRaised ? kept.length : kept.length > 250 ? 150 : 0 };
};

/** Stays on the easiest job that still counts. */
const picksTheEasiest: Miner = ({ nowMs, jobs }) => {
  const easiest = jobs.reduce((a, b) => (b.difficulty < a.difficulty ? b : a));
  return { speed: nowMs % (10 * MINUTE) < 5 * MINUTE ? 20 : 0.2, job: easiest };
};

/** Leaves when it had luck, and stays, hoping, when it had none. */
const leavesAfterLuck: Miner = ({ nowMs, lastShareAtMs, random }) =>
  nowMs > 0 && nowMs - lastShareAtMs < 2 * SECOND
    ? { speed: 1, reconnectsAt: 64 * 4 ** (2 * random() - 1) }
    : { speed: 1 };

/** Rests just before a window closes, so that no retarget finds enough. */
const dodgesTheWindow: Miner = ({ nowMs }) => ({
  speed: nowMs % (2 * MINUTE) < MINUTE ? 3 : 0,
});

describe('a miner that plays against the retargets', () => {
  const adversaries: [string, Miner][] = [
    ['rests while the difficulty is high', restsWhenHard],
    ['keeps easy shares until the difficulty is raised', keepsForTheRaise],
    ['works on the easiest job that lives', picksTheEasiest],
    ['leaves whenever it had luck', leavesAfterLuck],
    ['rests before each window closes', dodgesTheWindow],
  ];

  it.each(adversaries)('gains nothing when it %s', (_what, miner) => {
    const { ratio, sigma } = judge(SEEDS.map((seed) => mine(miner, 64, 8 * HOUR, seed)));
    expect(sigma).toBeLessThan(0.01);
    expect(ratio).toBeLessThan(1 + 4 * sigma);
  });

  it('would gain where shares are credited at the difficulty in force, and this test would see it', () => {
    const { ratio, sigma } = judge(
      SEEDS.map((seed) => mine(keepsForTheRaise, 64, 8 * HOUR, seed, byDifficultyInForce)),
    );
    expect(ratio).toBeGreaterThan(1 + 40 * sigma);
  });
});
