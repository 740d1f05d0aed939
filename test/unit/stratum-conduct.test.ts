import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Conduct,
  FloodGuard,
  type Judgement,
  STRIKES_REMEMBERED_MAX,
  StrikeMemory,
} from '../../engine/stratum/conduct.js';

const HOUR = 3600;

/** Deterministic uniform numbers in [0, 1): mulberry32. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A session in simulated time whose judgements are written down. */
class Bench {
  readonly conduct: Conduct;
  readonly told: { second: number; judgement: Judgement }[] = [];
  second = 0;
  valid = 0;
  invalid = 0;

  constructor(conduct = new Conduct()) {
    this.conduct = conduct;
    this.judge();
  }

  judge(): void {
    const judgement = this.conduct.judge(this.second * 1000, this.valid, this.invalid);
    if (judgement !== 'fine') this.told.push({ second: this.second, judgement });
  }

  /** Shares a second, spread evenly, for that many seconds. */
  run(seconds: number, validPerSecond: number, invalidPerSecond: number): this {
    const { second, valid, invalid } = this;
    for (let i = 1; i <= seconds; i++) {
      this.second = second + i;
      this.valid = valid + Math.floor(i * validPerSecond);
      this.invalid = invalid + Math.floor(i * invalidPerSecond);
      this.judge();
    }
    return this;
  }
}

describe('an honest miner', () => {
  // Together 100,000 hours; at the usual 18 shares a minute that is 10^8 shares.
  it.each([
    { rejects: 0.05, sharesPerMinute: 18, hours: 90_000, judgedEvery: 10 },
    { rejects: 0.05, sharesPerMinute: 2, hours: 9000, judgedEvery: 10 },
    { rejects: 0.02, sharesPerMinute: 60, hours: 900, judgedEvery: 1 },
    { rejects: 0.05, sharesPerMinute: 600, hours: 100, judgedEvery: 1 },
  ])('with $rejects rejects at $sharesPerMinute shares a minute is never struck in $hours hours', (farm) => {
    const random = uniform(farm.sharesPerMinute);
    const conduct = new Conduct();
    const perTick = (farm.sharesPerMinute / 60) * farm.judgedEvery;
    const noShare = Math.exp(-Math.min(perTick, 10));
    let valid = 0;
    let invalid = 0;
    let struck = 0;
    for (let tick = 1; tick <= (farm.hours * HOUR) / farm.judgedEvery; tick++) {
      // Knuth's Poisson draw.
      for (let product = random(); product > noShare; product *= random()) {
        if (random() < farm.rejects) invalid++;
        else valid++;
      }
      if (conduct.judge(tick * farm.judgedEvery * 1000, valid, invalid) !== 'fine') struck++;
    }
    expect(invalid / (valid + invalid)).toBeCloseTo(farm.rejects, 3);
    expect(valid + invalid).toBeGreaterThan(0.98 * farm.hours * farm.sharesPerMinute * 60);
    expect(struck).toBe(0);
  });

  it('is never struck at any steady rate, in any mix up to half bad', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 20_000, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (rate, rejects) => {
          const bench = new Bench().run(900, rate * (1 - rejects), rate * rejects);
          expect(bench.told).toEqual([]);
        },
      ),
      { seed: 6, numRuns: 300 },
    );
  });

  it.each([0.1, 1, 50, 10_000])(
    'at %d shares a second that is stale for 10 s after each tip is never struck',
    (rate) => {
      const bench = new Bench();
      for (let block = 0; block < 50; block++) bench.run(10, 0, rate).run(20 + ((block * 37) % 600), rate, 0);
      expect(bench.told).toEqual([]);
    },
  );

  it('is not struck for one reject, or for a few in years of silence', () => {
    const bench = new Bench();
    for (let i = 0; i < 19; i++) {
      bench.invalid++;
      bench.second += 30 * 24 * HOUR;
      bench.judge();
    }
    expect(bench.told).toEqual([]);
  });

  it('is not struck because nobody judged it while the pool stood still', () => {
    const bench = new Bench().run(60, 1, 0);
    bench.second += 300;
    bench.invalid += 200;
    bench.judge();
    expect(bench.run(300, 1, 0).told).toEqual([]);
  });
});

describe('a session that sends only junk', () => {
  it('gets a new job after 60 s, is told to reconnect after 120 s, and is dropped after 180 s', () => {
    expect(new Bench().run(181, 0, 1).told).toEqual([
      { second: 61, judgement: 'new_job' },
      { second: 121, judgement: 'reconnect' },
      { second: 181, judgement: 'drop' },
    ]);
  });

  it('is dropped after 180 s and before 195 s at any rate from 30 a minute on, however often it is judged', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.5, max: 45, noNaN: true }),
        fc.integer({ min: 200, max: 1100 }),
        (rate, everyMs) => {
          const conduct = new Conduct();
          conduct.judge(0, 0, 0);
          for (let nowMs = everyMs; nowMs < 195_000; nowMs += everyMs) {
            if (conduct.judge(nowMs, 0, Math.floor((nowMs / 1000) * rate)) !== 'drop') continue;
            expect(nowMs).toBeGreaterThan(180_000);
            return;
          }
          throw new Error('not dropped');
        },
      ),
      { seed: 7, numRuns: 300 },
    );
  });

  it('slowly is judged by 20 shares a step, not by time alone', () => {
    expect(new Bench().run(HOUR + 1, 0, 1 / 60).told).toEqual([
      { second: 1200, judgement: 'new_job' },
      { second: 2400, judgement: 'reconnect' },
      { second: 3600, judgement: 'drop' },
    ]);
  });

  it('at less than 40 an hour is offered a new job now and then, no more', () => {
    const { told } = new Bench().run(48 * HOUR, 0, 36 / HOUR);
    expect(told.length).toBeGreaterThan(5);
    expect(new Set(told.map(({ judgement }) => judgement))).toEqual(new Set(['new_job']));
  });

  it('in a flood is dropped after 15 s', () => {
    expect(new Bench().run(17, 0, 60).told[0]).toEqual({ second: 16, judgement: 'drop' });
    expect(new Bench().run(60, 0, 45).told).toEqual([]);
  });

  it('in a flood does not buy time with a valid share now and then', () => {
    expect(new Bench().run(16, 0.5, 100).told).toEqual([{ second: 16, judgement: 'drop' }]);
  });

  it('with a valid share among ten is dropped all the same, with one among three never', () => {
    expect(new Bench().run(200, 0.1, 0.9).told.at(-1)?.judgement).toBe('drop');
    expect(new Bench().run(10 * HOUR, 1, 2).told).toEqual([]);
  });

  it('that goes on after a drop is dropped again and again', () => {
    const { told } = new Bench().run(301, 0, 1);
    expect(told.slice(2).map(({ judgement }) => judgement)).toEqual(['drop', 'drop', 'drop']);
  });
});

describe('a miner that recovers', () => {
  it('is forgiven after 20 valid shares more than a third of the bad ones, and starts at the first step when it fails again', () => {
    const bench = new Bench().run(130, 0, 1);
    expect(bench.conduct.strikes).toBe(2);
    // 9 bad ones since the second strike: (9 + 60) / 3 valid ones.
    bench.run(22, 1, 0);
    expect(bench.conduct.strikes).toBe(2);
    bench.run(1, 1, 0);
    expect(bench.conduct.strikes).toBe(0);
    bench.run(61, 0, 1);
    expect(bench.told.map(({ judgement }) => judgement)).toEqual(['new_job', 'reconnect', 'new_job']);
  });

  it('is struck no more on the way', () => {
    for (const junkSeconds of [61, 90, 119, 121, 150, 179]) {
      const bench = new Bench().run(junkSeconds, 0, 5);
      const struck = bench.told.length;
      bench.run(2 * HOUR, 0.3, 0.015);
      expect(bench.told.length).toBe(struck);
      expect(bench.conduct.strikes).toBe(0);
    }
  });

  it('after the worst burst is not struck for its usual rejects', () => {
    const bench = new Bench().run(62, 0, 1);
    bench.invalid += 300;
    bench.run(1, 0, 0);
    for (let i = 0; i < 20; i++) bench.run(30, 0.3, 0).run(1, 0, 1);
    expect(bench.told.map(({ judgement }) => judgement)).toEqual(['new_job']);
    expect(bench.conduct.strikes).toBe(0);
  });

  it('slowly after a burst is not struck while all it sends is valid', () => {
    const bench = new Bench().run(125, 0, 1);
    bench.invalid += 300;
    bench.run(1, 0, 0);
    bench.run(600, 5 / 60, 0);
    expect(bench.told.map(({ judgement }) => judgement)).toEqual(['new_job', 'reconnect']);
  });

  it('is not dropped for falling silent after a strike, and is forgiven after 30 minutes', () => {
    const bench = new Bench().run(125, 0, 1);
    bench.run(1790, 0, 0);
    expect(bench.conduct.strikes).toBe(2);
    bench.run(10, 0, 0);
    expect(bench.conduct.strikes).toBe(0);
    expect(bench.told.length).toBe(2);
  });
});

describe('strikes over a reconnect', () => {
  it('go on where the last session ended, with 60 s and 20 bad shares for the next', () => {
    const memory = new StrikeMemory();
    const first = new Bench().run(121, 0, 1);
    memory.keep('192.0.2.1 alice', first.conduct, 121_000);
    const conduct = new Conduct();
    memory.recall('192.0.2.1 alice', conduct, 125_000);
    expect(conduct.strikes).toBe(2);
    for (let second = 1; second < 60; second++) {
      expect(conduct.judge(125_000 + second * 1000, 0, second * 20)).toBe('fine');
    }
    expect(conduct.judge(185_000, 0, 1200)).toBe('drop');
  });

  it('do no harm to a miner that now works', () => {
    const memory = new StrikeMemory();
    const first = new Bench().run(181, 0, 1);
    memory.keep('miner', first.conduct, 0);
    const conduct = new Conduct();
    memory.recall('miner', conduct, 0);
    expect(new Bench(conduct).run(600, 0.3, 0.01).told).toEqual([]);
    expect(conduct.strikes).toBe(0);
  });

  it('go to one session only, belong to one miner, and fade in 30 minutes', () => {
    const memory = new StrikeMemory();
    const struck = new Bench().run(61, 0, 1).conduct;
    const strikesOf = (miner: string, nowMs: number): number => {
      const conduct = new Conduct();
      memory.recall(miner, conduct, nowMs);
      return conduct.strikes;
    };
    memory.keep('a', struck, 0);
    expect(strikesOf('b', 1000)).toBe(0);
    expect(strikesOf('a', 1000)).toBe(1);
    expect(strikesOf('a', 1000)).toBe(0);
    memory.keep('a', struck, 0);
    expect(strikesOf('a', 30 * 60_000)).toBe(0);
    memory.keep('a', new Conduct(), 0);
    expect(memory.size).toBe(0);
  });

  it('are remembered of so many miners at most, the oldest forgotten first', () => {
    const memory = new StrikeMemory();
    const struck = new Bench().run(61, 0, 1).conduct;
    for (let i = 0; i <= STRIKES_REMEMBERED_MAX; i++) memory.keep(`miner ${i}`, struck, i);
    expect(memory.size).toBe(STRIKES_REMEMBERED_MAX);
    const oldest = new Conduct();
    memory.recall('miner 0', oldest, 20_000);
    expect(oldest.strikes).toBe(0);
    memory.recall('miner 1', oldest, 20_000);
    expect(oldest.strikes).toBe(1);
  });
});

describe('requests that are no shares', () => {
  const send = (guard: FloodGuard, count: number, nowMs: number): number => {
    for (let i = 0; i < count; i++) if (guard.onRequest(nowMs) === 'drop') return i;
    return count;
  };

  it('of a stranger are 100 at once', () => {
    expect(send(new FloodGuard(0), 1000, 0)).toBe(100);
  });

  it('of a proxy may be 5,000 authorizations in one go', () => {
    const guard = new FloodGuard(0);
    expect(send(guard, 3, 0)).toBe(3);
    guard.authorized();
    guard.authorized();
    expect(send(guard, 10_000, 0)).toBe(4997);
  });

  it('may come at 100 a second for ever, and not at 110', () => {
    const steady = new FloodGuard(0);
    const faster = new FloodGuard(0);
    let dropped = 0;
    for (let tenth = 1; tenth <= 36_000; tenth++) {
      expect(send(steady, 10, tenth * 100)).toBe(10);
      if (dropped === 0 && send(faster, 11, tenth * 100) < 11) dropped = tenth;
    }
    expect(dropped).toBeGreaterThan(90);
    expect(dropped).toBeLessThan(110);
  });

  it('saved up are the burst at most', () => {
    const guard = new FloodGuard(0);
    guard.authorized();
    expect(send(guard, 20_000, 24 * HOUR * 1000)).toBe(5000);
  });
});
