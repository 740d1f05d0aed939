import { describe, expect, it } from 'vitest';
import { roundedDifficulty, SHARES_PER_MINUTE, Vardiff } from '../../engine/work/vardiff.js';
import { MINUTE, SimulatedMiner, seeds, settings } from './work-vardiff-miner.js';

describe('a miner whose difficulty is 1000 times too low', () => {
  it('is brought within a factor of 2 by at most 3 retargets and within a minute', () => {
    for (const seed of seeds) {
      const miner = new SimulatedMiner(1000, 1, seed).run(MINUTE);
      expect(miner.retargets.length).toBeLessThanOrEqual(3);
      expect(miner.vardiff.difficulty).toBeGreaterThan(500);
      expect(miner.vardiff.difficulty).toBeLessThan(2000);
    }
  });

  it('sends no more than a few hundred shares too many', () => {
    for (const seed of seeds) expect(new SimulatedMiner(1000, 1, seed).run(MINUTE).shares).toBeLessThan(600);
  });
});

describe('a miner whose difficulty is 1000 times too high', () => {
  it('is brought within a factor of 8 by 3 retargets of elapsed silence', () => {
    for (const seed of seeds) {
      const { retargets, vardiff } = new SimulatedMiner(64, 64_000, seed).run(5 * MINUTE);
      const third = retargets[2]?.difficulty ?? vardiff.difficulty;
      expect(third).toBeLessThan(64 * 8);
      expect(third).toBeGreaterThan(64 / 8);
    }
  });

  it('is held within a factor of 2 after 20 minutes', () => {
    for (const seed of seeds) {
      const { difficulty } = new SimulatedMiner(64, 64_000, seed).run(20 * MINUTE).vardiff;
      expect(difficulty).toBeGreaterThan(32);
      expect(difficulty).toBeLessThan(128);
    }
  });
});

describe('a start that is 1000 times off', () => {
  /** Even shares at the rate the difficulty gives. @returns the difficulty after three retargets, over what is wanted. */
  function afterThree(wanted: number, start: number): number {
    const vardiff = new Vardiff(settings, start, 0);
    let retargets = 0;
    let due = 0;
    for (let nowMs = 1; nowMs < 30 * MINUTE && retargets < 3; nowMs++) {
      due += (SHARES_PER_MINUTE / MINUTE) * (wanted / vardiff.difficulty);
      for (; due >= 1; due--) vardiff.onShare(nowMs);
      if (nowMs % 1000 === 0 && vardiff.retarget(nowMs) !== null) retargets++;
    }
    return vardiff.difficulty / wanted;
  }

  it.each([1, 64, 65_536, 1e9])(
    'ends close to difficulty %d in three retargets, from either side',
    (wanted) => {
      expect(Math.abs(afterThree(wanted, wanted / 1000) - 1)).toBeLessThan(0.25);
      expect(Math.abs(afterThree(wanted, wanted * 1000) - 1)).toBeLessThan(0.25);
    },
  );

  it('ends, with the chance of real shares, within a factor of 2 in three retargets for 93 miners of 100', () => {
    const third = (miner: SimulatedMiner): number =>
      miner.retargets[2]?.difficulty ?? miner.vardiff.difficulty;
    const near = (difficulty: number): boolean => difficulty > 32 && difficulty < 128;
    const raised = seeds.filter((seed) => near(third(new SimulatedMiner(64, 0.064, seed).run(5 * MINUTE))));
    const lowered = seeds.filter((seed) =>
      near(third(new SimulatedMiner(64, 64_000, seed).run(10 * MINUTE))),
    );
    expect(raised).toHaveLength(seeds.length);
    expect(lowered.length).toBeGreaterThanOrEqual(0.93 * seeds.length);
  });
});

describe('a miner at the right difficulty', () => {
  it('is left alone: of 200 days of sessions fewer than 30 see a needless retarget (17 are expected)', () => {
    const disturbed = seeds.filter(
      (seed) => new SimulatedMiner(512, 512, seed).run(1440 * MINUTE).retargets.length > 0,
    );
    expect(disturbed.length).toBeLessThan(30);
  });

  it.each([1.6, 0.6])('%d times off is corrected within half an hour', (factor) => {
    for (const seed of seeds) {
      const { difficulty } = new SimulatedMiner(factor * 512, 512, seed).run(30 * MINUTE).vardiff;
      expect(difficulty / (factor * 512)).toBeGreaterThan(0.65);
      expect(difficulty / (factor * 512)).toBeLessThan(1.55);
    }
  });

  it.each([
    [1.2, false],
    [1.3, true],
    [0.8, false],
    [0.7, true],
  ])('%d times off within 20 minutes of even shares: corrected %s', (factor, corrected) => {
    const vardiff = new Vardiff(settings, 512, 0);
    const gapMs = MINUTE / SHARES_PER_MINUTE / factor;
    let proposed: number | null = null;
    // Four hours for those that must be left alone.
    for (let i = 1; i * gapMs < (corrected ? 20 : 240) * MINUTE && proposed === null; i++) {
      vardiff.onShare(i * gapMs);
      proposed = vardiff.retarget(i * gapMs);
    }
    expect(proposed !== null).toBe(corrected);
    if (proposed !== null) expect(proposed / 512).toBeCloseTo(factor, 1);
  });

  it('that grows tenfold in the middle of a long window is answered within 2 minutes', () => {
    for (const seed of seeds.slice(0, 50)) {
      const miner = new SimulatedMiner(512, 512, seed).run(7 * MINUTE);
      miner.wanted *= 10;
      miner.run(2.1 * MINUTE);
      expect(miner.vardiff.difficulty).toBeGreaterThan(512 * 5);
    }
  });
});

describe('silence', () => {
  it('lowers the difficulty by time alone', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    expect(vardiff.retarget(53_000)).toBeNull();
    expect(vardiff.retarget(53_334)).toBe(roundedDifficulty(4096 / 16));
    expect(vardiff.retarget(2 * 53_334)).toBe(roundedDifficulty(4096 / 256));
  });

  it('that goes on is answered more and more slowly: a farm that pauses ten minutes keeps a usable difficulty', () => {
    const miner = new SimulatedMiner(0, 1e6, 1).run(10 * MINUTE);
    expect(miner.retargets).toHaveLength(5);
    miner.run(10 * MINUTE);
    expect(miner.retargets).toHaveLength(6);
    expect(miner.vardiff.difficulty).toBeGreaterThan(0.01);
  });

  it('that ends is not held against the miner: its first share starts the count', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    let nowMs = 0;
    for (let retargets = 0; retargets < 4; nowMs += 1000) if (vardiff.retarget(nowMs) !== null) retargets++;
    // Now it waits for 213 s of silence; the miner is back after 200 and sends what is wished.
    nowMs += 200_000;
    for (let i = 0; i < 100; i++, nowMs += MINUTE / SHARES_PER_MINUTE) {
      vardiff.onShare(nowMs);
      expect(vardiff.retarget(nowMs + 1)).toBeNull();
    }
  });

  it('that ends is forgotten: the miner who is back gets its difficulty back', () => {
    for (const seed of seeds.slice(0, 50)) {
      const miner = new SimulatedMiner(1e6, 1e6, seed).run(5 * MINUTE);
      miner.wanted = 0;
      miner.run(10 * MINUTE);
      expect(miner.vardiff.difficulty).toBeLessThan(1e4);
      miner.wanted = 1e6;
      miner.run(2 * MINUTE);
      expect(miner.vardiff.difficulty).toBeGreaterThan(3e5);
      expect(miner.vardiff.difficulty).toBeLessThan(3e6);
    }
  });
});

describe('a slow miner', () => {
  it('is not taken for a silent one: the end of the window says how slow it is', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    for (const atMs of [10_000, 20_000, 30_000]) vardiff.onShare(atMs);
    // 53.3 s after the last share it would be silence.
    for (let nowMs = 30_000; nowMs < 120_000; nowMs += 1000) expect(vardiff.retarget(nowMs)).toBeNull();
    expect(vardiff.retarget(120_000)).toBe(roundedDifficulty((4096 * 4) / 36));
  });

  it('that was fast before is silent', () => {
    const vardiff = new Vardiff(settings, 4096, 0);
    for (let atMs = 0; atMs <= 40_000; atMs += 3333) vardiff.onShare(atMs);
    expect(vardiff.retarget(93_000)).toBeNull();
    expect(vardiff.retarget(93_334)).toBe(roundedDifficulty(4096 / 16));
  });
});

describe('shares of older jobs', () => {
  it('that arrive after a raise do not make the raise twice', () => {
    const vardiff = new Vardiff(settings, 1, 0);
    for (let i = 0; i < 300; i++) vardiff.onShare(i * 3);
    const raised = vardiff.retarget(1000);
    expect(raised).toBeGreaterThan(200);
    // Ten seconds of what was already on its way, at the old difficulty and the old rate.
    for (let i = 0; i < 3000; i++) vardiff.onShare(1000 + i * 3, 1);
    expect(vardiff.retarget(11_000)).toBeNull();
  });

  it('that arrive after a cut count as one share each, not as many', () => {
    const vardiff = new Vardiff(settings, 1000, 0);
    expect(vardiff.retarget(54_000)).toBeLessThan(100);
    for (let i = 0; i < 8; i++) vardiff.onShare(60_000 + i * 100, 1000);
    expect(vardiff.retarget(62_000)).toBeNull();
  });
});
