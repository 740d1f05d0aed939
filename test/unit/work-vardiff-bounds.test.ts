// Which difficulties vardiff may propose: floor, ceiling, the block, powers of two, and what firmware can hold.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundedDifficulty, SHARES_PER_MINUTE, Vardiff } from '../../engine/work/vardiff.js';
import { MINUTE, SimulatedMiner, seeds, settings } from './work-vardiff-miner.js';

describe('bounds', () => {
  it('keeps floor and ceiling, and says nothing when they leave nothing to change', () => {
    expect(new SimulatedMiner(1e4, 1, 1, { ceiling: 64 }).run(5 * MINUTE).vardiff.difficulty).toBe(64);
    const low = new SimulatedMiner(0, 100, 1, { floor: 33 }).run(60 * MINUTE);
    expect(low.retargets.map(({ difficulty }) => difficulty)).toEqual([33]);
  });

  it('proposes nothing harder than a block, however fast the miner', () => {
    const vardiff = new Vardiff(settings, 0.001, 0);
    for (let i = 0; i < 5000; i++) vardiff.onShare(i);
    expect(vardiff.retarget(5000, 0.0011)).toBe(0.0011);
    for (let i = 0; i < 5000; i++) vardiff.onShare(5000 + i);
    expect(vardiff.retarget(10_000, 0.0011)).toBeNull();
    expect(vardiff.difficulty).toBe(0.0011);
  });

  it('starts again from what the miner was really sent', () => {
    const vardiff = new Vardiff(settings, 8, 0);
    for (let i = 0; i < 71; i++) vardiff.onShare(i * 10);
    vardiff.announced(16, 800);
    expect(vardiff.difficulty).toBe(16);
    vardiff.onShare(900);
    expect(vardiff.retarget(1900)).toBeNull();
  });

  it('starts again from what the miner asked for: what it did before is not held against it', () => {
    const vardiff = new Vardiff(settings, 64_000, 0);
    vardiff.announced(64, 50_000);
    // 3.3 s later the silence at 64,000 would have been answered.
    expect(vardiff.retarget(53_334)).toBeNull();
    for (let i = 1; i <= 200; i++) {
      vardiff.onShare(50_000 + (i * MINUTE) / SHARES_PER_MINUTE);
      expect(vardiff.retarget(50_001 + (i * MINUTE) / SHARES_PER_MINUTE)).toBeNull();
    }
  });

  it('stays between floor and ceiling whatever a miner does', () => {
    const act = fc.record({
      shares: fc.nat(300),
      waitMs: fc.nat(200_000),
      wish: fc.option(fc.double({ min: 8, max: 4096, noNaN: true })),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), fc.boolean(), (acts, powersOfTwo) => {
        const vardiff = new Vardiff({ ...settings, floor: 8, ceiling: 4096, powersOfTwo }, 64, 0);
        let nowMs = 0;
        for (const { shares, waitMs, wish } of acts) {
          if (wish !== null) vardiff.announced(wish, nowMs);
          for (let i = 0; i < shares; i++) vardiff.onShare(nowMs);
          nowMs += waitMs;
          const next = vardiff.retarget(nowMs);
          if (next !== null) expect(next).toBe(vardiff.difficulty);
          expect(vardiff.difficulty).toBeGreaterThanOrEqual(8);
          expect(vardiff.difficulty).toBeLessThanOrEqual(4096);
        }
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  it('answers no burst of a full socket before a second has passed', () => {
    const vardiff = new Vardiff(settings, 8, 0);
    for (let i = 0; i < 500; i++) vardiff.onShare(10);
    expect(vardiff.retarget(20)).toBeNull();
    expect(vardiff.retarget(1000)).toBeGreaterThan(8);
  });
});

describe('powers of two', () => {
  const steps = { powersOfTwo: true };
  const isPower = (difficulty: number): boolean => Number.isInteger(Math.log2(difficulty));

  it('are all that is proposed, also far below 1', () => {
    for (const wanted of [0.003, 1, 700, 3e7]) {
      for (const seed of seeds.slice(0, 10)) {
        const miner = new SimulatedMiner(wanted, wanted / 1000, seed, steps).run(30 * MINUTE);
        for (const { difficulty } of miner.retargets) expect(difficulty).toSatisfy(isPower);
        expect(miner.vardiff.difficulty / wanted).toBeGreaterThan(0.5);
        expect(miner.vardiff.difficulty / wanted).toBeLessThan(2);
      }
    }
  });

  it('do not flap: a miner right between two steps stays on the one it has for days', () => {
    const moved = seeds
      .slice(0, 50)
      .flatMap((seed) => new SimulatedMiner(512 * Math.SQRT2, 512, seed, steps).run(1440 * MINUTE).retargets);
    // Two or three are what chance moves: the lines are as far from here as from the right difficulty otherwise.
    expect(moved.length).toBeLessThan(8);
  });

  it('give way to a floor and a ceiling that leave none, and to the block', () => {
    const narrow = { ...steps, floor: 33, ceiling: 50 };
    expect(new SimulatedMiner(1e4, 40, 1, narrow).run(5 * MINUTE).vardiff.difficulty).toBe(50);
    const wide = { ...steps, floor: 33, ceiling: 100 };
    expect(new SimulatedMiner(1e4, 40, 1, wide).run(5 * MINUTE).vardiff.difficulty).toBe(64);
    expect(new SimulatedMiner(0, 100, 1, wide).run(60 * MINUTE).vardiff.difficulty).toBe(64);
    const vardiff = new Vardiff({ ...settings, ...steps }, 1, 0);
    for (let i = 0; i < 5000; i++) vardiff.onShare(i);
    expect(vardiff.retarget(5000, 48)).toBe(32);
  });
});

describe('a proposed difficulty', () => {
  it('has eight significant bits and is whole from 1 up, so firmware with floats or integers agrees', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-10, max: 1e15, noNaN: true }), (difficulty) => {
        const rounded = roundedDifficulty(difficulty);
        expect(Math.fround(rounded)).toBe(rounded);
        if (rounded >= 1) expect(Number.isInteger(rounded)).toBe(true);
        if (difficulty < 1 || difficulty >= 128)
          expect(Math.abs(rounded / difficulty - 1)).toBeLessThan(0.004);
        else expect(Math.abs(rounded - difficulty)).toBeLessThanOrEqual(0.5);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
