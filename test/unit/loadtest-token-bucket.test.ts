import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../loadtest/token-bucket.js';

describe('token bucket of the simulated miners', () => {
  it('gives exactly the set rate over seconds, also when it is asked at uneven times', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(80_000, () => nowMs);
    let taken = 0;
    for (let step = 0; nowMs < 10_000; step++) {
      nowMs += 1 + ((step * 7919) % 97);
      while (bucket.tryTake(1_600)) taken += 1_600;
    }
    const flowed = (nowMs / 1000) * 80_000;
    expect(taken).toBeLessThanOrEqual(flowed);
    expect(taken).toBeGreaterThan(flowed - 1_600 - 1e-6);
  });

  it('catches up one second of a stall and no more', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(1_000, () => nowMs);
    nowMs = 60_000;
    expect(bucket.tryTake(1_000)).toBe(true);
    expect(bucket.tryTake(1)).toBe(false);
  });

  it('takes back what was not used', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(1_000, () => nowMs);
    nowMs = 100;
    expect(bucket.tryTake(100)).toBe(true);
    bucket.giveBack(40);
    expect(bucket.tryTake(41)).toBe(false);
    expect(bucket.tryTake(40)).toBe(true);
  });

  it('says how long to wait, and that waiting is enough', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(500, () => nowMs);
    expect(bucket.waitMs(50)).toBe(100);
    nowMs = 100;
    expect(bucket.waitMs(50)).toBe(0);
    expect(bucket.tryTake(50)).toBe(true);
    expect(bucket.waitMs(501)).toBe(Number.POSITIVE_INFINITY);
  });

  it('works below one token a second', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(0.5, () => nowMs);
    expect(bucket.waitMs(1)).toBe(2_000);
    nowMs = 2_000;
    expect(bucket.tryTake(1)).toBe(true);
  });

  it('changes its rate while running, and has no limit with null', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(null, () => nowMs);
    expect(bucket.tryTake(1e12)).toBe(true);
    expect(bucket.waitMs(1e12)).toBe(0);
    bucket.setRate(100);
    expect(bucket.tryTake(1)).toBe(false);
    nowMs = 500;
    expect(bucket.tryTake(50)).toBe(true);
    bucket.setRate(10);
    nowMs = 1_500;
    expect(bucket.tryTake(11)).toBe(false);
    expect(bucket.tryTake(10)).toBe(true);
  });

  it('refuses a rate that is no rate', () => {
    for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => new TokenBucket(rate, () => 0)).toThrow(RangeError);
    }
  });
});
