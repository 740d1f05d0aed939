import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../engine/bitcoin/hex.js';
import { EPOCHS, ExtranonceLeases, LANES, LEASES_MAX } from '../../engine/work/extranonce.js';

const lease = (leases: ExtranonceLeases): Uint8Array => {
  const bytes = leases.lease();
  if (bytes === null) throw new Error('exhausted');
  return bytes;
};

describe('extranonce1', () => {
  it('is lane, epoch and counter, big-endian', () => {
    const leases = new ExtranonceLeases({ lane: LANES - 1, epoch: 1 });
    expect(bytesToHex(lease(leases))).toBe('fe100000');
    expect(bytesToHex(lease(leases))).toBe('fe100001');
    expect(bytesToHex(lease(new ExtranonceLeases({ lane: 1, epoch: EPOCHS + 2 })))).toBe('02200000');
  });

  it('of two lanes, or of two starts in a row, never meet', () => {
    const seen = new Set<string>();
    for (const lane of [0, 1, LANES - 1]) {
      for (let epoch = 0; epoch < EPOCHS; epoch++) {
        const leases = new ExtranonceLeases({ lane, epoch });
        for (let i = 0; i < 50; i++) seen.add(bytesToHex(lease(leases)));
      }
    }
    expect(seen.size).toBe(3 * EPOCHS * 50);
  });

  it.each([-1, LANES, 1.5])('lane %d does not exist', (lane) => {
    expect(() => new ExtranonceLeases({ lane, epoch: 0 })).toThrow(RangeError);
  });
});

describe('a lease', () => {
  it('is never given to two sessions while work under it can be credited', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant('lease' as const) },
      { weight: 2, arbitrary: fc.record({ release: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ jobs: fc.integer({ min: 1, max: 3 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const leases = new ExtranonceLeases({ lane: 3, epoch: 9 });
        const held: Uint8Array[] = [];
        const resting = new Map<string, number>();
        let newest = 10;
        for (const action of steps) {
          if (action === 'lease') {
            const bytes = lease(leases);
            expect(held.map(bytesToHex)).not.toContain(bytesToHex(bytes));
            expect(resting.has(bytesToHex(bytes))).toBe(false);
            held.push(bytes);
          } else if ('release' in action) {
            const [bytes] = held.splice(action.release % Math.max(1, held.length), 1);
            if (bytes === undefined) continue;
            leases.release(bytes, newest);
            resting.set(bytesToHex(bytes), newest);
          } else {
            newest += action.jobs;
            const oldest = newest - 4;
            leases.expire(oldest);
            for (const [hex, key] of resting) if (key < oldest) resting.delete(hex);
          }
          expect(leases.taken).toBe(held.length + resting.size);
        }
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('is refused when all are taken, and given again when the last job of one that was given back is dead', () => {
    const leases = new ExtranonceLeases({ lane: 0, epoch: 0 });
    const first = lease(leases);
    for (let i = 1; i < LEASES_MAX; i++) lease(leases);
    expect(leases.taken).toBe(LEASES_MAX);
    expect(leases.lease()).toBeNull();
    leases.release(first, 7);
    expect(leases.lease()).toBeNull();
    leases.expire(7);
    expect(leases.lease()).toBeNull();
    leases.expire(8);
    expect(leases.lease()).toEqual(first);
    expect(leases.lease()).toBeNull();
  });

  it('that was given back rests longer than any other: the counter goes round first', () => {
    const leases = new ExtranonceLeases({ lane: 0, epoch: 0 });
    const first = lease(leases);
    leases.release(first, 1);
    leases.expire(2);
    for (let i = 1; i < LEASES_MAX; i++) {
      const next = lease(leases);
      leases.release(next, i);
      leases.expire(i + 1);
    }
    expect(lease(leases)).toEqual(first);
  });

  it('cannot be given back twice, nor where it was never taken', () => {
    const leases = new ExtranonceLeases({ lane: 0, epoch: 0 });
    const bytes = lease(leases);
    leases.release(bytes, 1);
    expect(() => leases.release(bytes, 1)).toThrow(/not leased/);
    leases.expire(2);
    expect(() => leases.release(bytes, 2)).toThrow(/00000000 is not leased/);
    expect(() => leases.release(Uint8Array.of(2, 0, 0, 0), 2)).toThrow(/not leased/);
    expect(leases.taken).toBe(0);
  });
});
