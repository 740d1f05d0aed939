import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outbox, UNSENT_MARK_BYTES } from '../../engine/stratum/outbox.js';

const MARK = 64 * 1024;
const OVER = MARK + 1;

describe('a job for a peer', () => {
  it('is queued up to 64 KiB of unsent data and not beyond', () => {
    const outbox = new Outbox();
    expect(UNSENT_MARK_BYTES).toBe(MARK);
    expect(outbox.mayQueueJob(MARK)).toBe(true);
    expect(outbox.mayQueueJob(OVER)).toBe(false);
  });

  it('that was skipped is owed once the peer has drained, until one is sent', () => {
    const outbox = new Outbox();
    expect(outbox.onTick(0, 0)).toBe('fine');
    outbox.mayQueueJob(OVER);
    outbox.mayQueueJob(OVER);
    expect(outbox.onTick(1000, OVER)).toBe('fine');
    expect(outbox.onTick(2000, MARK)).toBe('send_job');
    expect(outbox.onTick(3000, MARK)).toBe('send_job');
    outbox.jobSent();
    expect(outbox.onTick(4000, 0)).toBe('fine');
  });
});

describe('a peer that does not read', () => {
  it('is stuck 60 s after the mark was first seen passed', () => {
    const outbox = new Outbox();
    expect(outbox.onTick(1000, MARK)).toBe('fine');
    for (let second = 2; second < 62; second++) expect(outbox.onTick(second * 1000, OVER)).toBe('fine');
    expect(outbox.onTick(62_000, OVER)).toBe('stuck');
  });

  it('is not stuck while it takes 4 KiB a minute, and is when it takes less', () => {
    const patient = new Outbox();
    const tooSlow = new Outbox();
    let stuckAt = 0;
    for (let second = 0; second <= 600; second++) {
      const minutes = Math.floor(second / 59);
      expect(patient.onTick(second * 1000, 200_000 - minutes * 4096)).toBe('fine');
      if (tooSlow.onTick(second * 1000, 200_000 - second) === 'stuck') stuckAt ||= second;
    }
    expect(stuckAt).toBe(60);
  });

  it('is measured from the peak: replies that were in flight when reading stopped hide no progress', () => {
    const outbox = new Outbox();
    outbox.onTick(0, OVER);
    outbox.onTick(1000, 2 * MARK);
    expect(outbox.onTick(59_000, 2 * MARK - 4096)).toBe('fine');
    expect(outbox.onTick(118_000, 2 * MARK - 4096)).toBe('fine');
    expect(outbox.onTick(119_000, 2 * MARK - 4096)).toBe('stuck');
  });

  it('starts anew after it has drained once', () => {
    const outbox = new Outbox();
    outbox.onTick(0, OVER);
    expect(outbox.onTick(59_000, MARK)).toBe('fine');
    expect(outbox.onTick(60_000, OVER)).toBe('fine');
    expect(outbox.onTick(119_000, OVER)).toBe('fine');
    expect(outbox.onTick(120_000, OVER)).toBe('stuck');
  });

  it('is not read beyond the mark, and is again when half of it is gone', () => {
    const outbox = new Outbox();
    expect(outbox.shouldPause(MARK)).toBe(false);
    expect(outbox.shouldPause(OVER)).toBe(true);
    expect(outbox.shouldResume(MARK / 2 + 1)).toBe(false);
    expect(outbox.shouldResume(MARK / 2)).toBe(true);
  });
});

describe('a queue run by these rules', () => {
  it('stays bounded, loses no reply, and ends with the newest job, whatever the peer reads', () => {
    const replyBytes = 60;
    const jobBytes = 4096;
    const requestsOfATurn = 1024;
    const second = fc.record({
      reads: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 300_000 })),
      requests: fc.nat(requestsOfATurn),
      job: fc.boolean(),
    });
    let skips = 0;
    fc.assert(
      fc.property(fc.array(second, { minLength: 1, maxLength: 200 }), (seconds) => {
        const outbox = new Outbox();
        let unsent = 0;
        let paused = false;
        let newest = 0;
        let has = 0;
        const sendNewest = (): void => {
          unsent += jobBytes;
          has = newest;
          outbox.jobSent();
        };
        const tick = (nowMs: number): boolean => {
          const told = outbox.onTick(nowMs, unsent);
          if (told === 'send_job') sendNewest();
          return told !== 'stuck';
        };
        let nowMs = 0;
        for (const { reads, requests, job } of seconds) {
          nowMs += 1000;
          unsent = Math.max(0, unsent - reads);
          if (paused && outbox.shouldResume(unsent)) paused = false;
          if (!paused) unsent += requests * replyBytes;
          if (outbox.shouldPause(unsent)) paused = true;
          if (job) {
            newest++;
            if (outbox.mayQueueJob(unsent)) sendNewest();
            else skips++;
          }
          expect(unsent).toBeLessThanOrEqual(MARK + requestsOfATurn * replyBytes + jobBytes);
          if (!tick(nowMs)) return;
        }
        unsent = 0;
        expect(tick(nowMs + 1000)).toBe(true);
        expect(has).toBe(newest);
      }),
      { seed: 5, numRuns: 500 },
    );
    expect(skips).toBeGreaterThan(100);
  });
});
