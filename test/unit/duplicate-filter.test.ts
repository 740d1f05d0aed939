import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DuplicateFilter } from '../../engine/shares/duplicate-filter.js';

const hash = (n: number): Uint32Array => {
  const bytes = createHash('sha256').update(String(n)).digest();
  return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 32));
};

describe('duplicate filter', () => {
  it('agrees with a plain set for any order of shares, jobs and job ends', () => {
    const step = fc.record({ job: fc.nat(3), share: fc.nat(200), end: fc.boolean(), back: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const filter = new DuplicateFilter(100_000);
        const plain = new Map<number, Set<number>>();
        for (const { job, share, end, back } of steps) {
          if (end && share < 10) {
            filter.forgetJob(job);
            plain.delete(job);
            continue;
          }
          if (end && back) {
            filter.remove(job, hash(share), 0);
            plain.get(job)?.delete(share);
            continue;
          }
          const seen = plain.get(job) ?? new Set();
          plain.set(job, seen);
          expect(filter.add(job, hash(share), 0)).toBe(seen.has(share) ? 'duplicate' : 'new');
          seen.add(share);
        }
        const remembered = [...plain.values()].reduce((sum, set) => sum + set.size, 0);
        expect(filter.count).toBe(remembered);
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it('remembers every hash of a job while its table grows', () => {
    const filter = new DuplicateFilter(100_000);
    for (let i = 0; i < 20_000; i++) expect(filter.add(1, hash(i), 0)).toBe('new');
    for (let i = 0; i < 20_000; i++) expect(filter.add(1, hash(i), 0)).toBe('duplicate');
  });

  it('refuses newcomers when full instead of forgetting what was paid', () => {
    const filter = new DuplicateFilter(3);
    for (let i = 0; i < 3; i++) expect(filter.add(1, hash(i), 0)).toBe('new');
    expect(filter.add(1, hash(9), 0)).toBe('full');
    expect(filter.add(1, hash(2), 0)).toBe('duplicate');
    expect(filter.add(1, hash(10), 0, true)).toBe('new');
    expect(filter.add(1, hash(10), 0, true)).toBe('duplicate');
    filter.forgetJob(1);
    expect(filter.add(2, hash(9), 0)).toBe('new');
  });
});
