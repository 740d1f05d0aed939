import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BANS_MAX,
  BanList,
  LONGEST_DOUBLED_SECONDS,
  OFFENCE_REMEMBERED_SECONDS,
} from '../../engine/stratum/ban-list.js';

/** A ban list with a clock that only the test moves. */
class Bench {
  nowMs = 5000;
  readonly allow = new BlockList();
  readonly bans = new BanList(() => this.nowMs, this.allow);

  wait(seconds: number): void {
    this.nowMs += seconds * 1000;
  }
}

const MINER = '192.0.2.1';

describe('a ban', () => {
  it('lasts as long as was said, to the millisecond', () => {
    const bench = new Bench();
    expect(bench.bans.isBanned(MINER)).toBe(false);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(600);
    bench.nowMs += 599_999;
    expect(bench.bans.isBanned(MINER)).toBe(true);
    bench.nowMs += 1;
    expect(bench.bans.isBanned(MINER)).toBe(false);
  });

  it('is on one IPv4 address, however it is written', () => {
    const { bans } = new Bench();
    bans.ban('::ffff:192.0.2.1', 600, 'junk');
    expect(bans.isBanned('192.0.2.1')).toBe(true);
    expect(bans.isBanned('192.0.2.2')).toBe(false);
  });

  it('is on the /64 of an IPv6 address', () => {
    const { bans } = new Bench();
    bans.ban('2001:db8:0:1::1', 600, 'junk');
    expect(bans.isBanned('2001:db8:0:1:ffff::2')).toBe(true);
    expect(bans.isBanned('2001:db8:0:2::1')).toBe(false);
  });

  it.each(['127.0.0.1', '::1', '::ffff:127.0.0.1', '', 'unix socket'])(
    'of "%s" does not happen',
    (remote) => {
      const { bans } = new Bench();
      expect(bans.ban(remote, 600, 'junk')).toBe(0);
      expect(bans.isBanned(remote)).toBe(false);
      expect(bans.size).toBe(0);
    },
  );

  it('does not happen to what is on the allow list', () => {
    const bench = new Bench();
    bench.allow.addSubnet('10.0.0.0', 8, 'ipv4');
    bench.allow.addAddress('2001:db8::7', 'ipv6');
    expect(bench.bans.ban('10.1.2.3', 600, 'junk')).toBe(0);
    expect(bench.bans.ban('::ffff:10.1.2.3', 600, 'junk')).toBe(0);
    expect(bench.bans.ban('2001:db8::7', 600, 'junk')).toBe(0);
    expect(bench.bans.isBanned('10.1.2.3')).toBe(false);
    expect(bench.bans.ban('11.1.2.3', 600, 'junk')).toBe(600);
  });

  it('of a neighbour in the same /64 does not hit an address on the allow list', () => {
    const bench = new Bench();
    bench.allow.addAddress('2001:db8::7', 'ipv6');
    bench.bans.ban('2001:db8::8', 600, 'junk');
    expect(bench.bans.isBanned('2001:db8::8')).toBe(true);
    expect(bench.bans.isBanned('2001:db8::7')).toBe(false);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('of %d seconds is an error', (seconds) => {
    expect(() => new Bench().bans.ban(MINER, seconds, 'junk')).toThrow(RangeError);
  });

  it('ends when the operator lifts it, and nothing is left of it', () => {
    const { bans } = new Bench();
    bans.ban(MINER, 600, 'junk');
    bans.ban('2001:db8::1', 600, 'junk');
    expect(bans.unban('::ffff:192.0.2.1')).toBe(true);
    expect(bans.unban(MINER)).toBe(false);
    expect(bans.isBanned(MINER)).toBe(false);
    expect(bans.ban(MINER, 600, 'junk')).toBe(600);
    expect(bans.unban(bans.list().find((ban) => ban.address.includes(':'))?.address ?? '')).toBe(true);
    expect(bans.isBanned('2001:db8::1')).toBe(false);
  });
});

describe('who offends again', () => {
  it('is banned twice as long each time, up to a day', () => {
    const bench = new Bench();
    const lasted: number[] = [];
    for (let i = 0; i < 10; i++) {
      const seconds = bench.bans.ban(MINER, 600, 'junk');
      lasted.push(seconds);
      bench.wait(seconds + 1);
    }
    expect(lasted.slice(0, 4)).toEqual([600, 1200, 2400, 4800]);
    expect(lasted.at(-1)).toBe(LONGEST_DOUBLED_SECONDS);
  });

  it('while banned is not banned longer for it: the sessions of a farm fall together', () => {
    const bench = new Bench();
    for (let i = 0; i < 50; i++) bench.bans.ban(MINER, 600, 'junk');
    bench.wait(300);
    expect(bench.bans.ban(MINER, 100, 'junk')).toBe(300);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(600);
    expect(bench.bans.list()).toMatchObject([{ offences: 1 }]);
    bench.wait(600);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(1200);
  });

  it('after a quiet day is a first offender again', () => {
    const bench = new Bench();
    bench.bans.ban(MINER, 600, 'junk');
    bench.wait(600 + OFFENCE_REMEMBERED_SECONDS - 1);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(1200);
    bench.wait(1200 + OFFENCE_REMEMBERED_SECONDS);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(600);
  });

  it('can be banned for longer than a day by the operator', () => {
    const bench = new Bench();
    const week = 7 * 86_400;
    expect(bench.bans.ban(MINER, week, 'by hand')).toBe(week);
    expect(bench.bans.ban(MINER, 600, 'junk')).toBe(week);
  });
});

describe('the list', () => {
  it('shows who is banned now, why, and for how long, the first to end in front', () => {
    const bench = new Bench();
    bench.bans.ban('2001:db8:0:1::9', 600, 'junk');
    bench.bans.ban(MINER, 60, 'flood');
    bench.bans.ban('192.0.2.9', 10, 'junk');
    bench.wait(10);
    expect(bench.bans.list()).toEqual([
      { address: MINER, reason: 'flood', secondsLeft: 50, offences: 1 },
      { address: '2001:db8:0:1::/64', reason: 'junk', secondsLeft: 590, offences: 1 },
    ]);
  });

  it('is bounded: when full, the bans that end first go, the new one is taken', () => {
    const bench = new Bench();
    const remote = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    for (let i = 0; i < BANS_MAX; i++) bench.bans.ban(remote(i), 10_000 - i / 2, 'junk');
    expect(bench.bans.size).toBe(BANS_MAX);
    for (let i = BANS_MAX; i < 3 * BANS_MAX; i++) {
      bench.bans.ban(remote(i), 5, 'junk');
      expect(bench.bans.isBanned(remote(i))).toBe(true);
    }
    expect(bench.bans.size).toBeLessThanOrEqual(BANS_MAX);
    expect(bench.bans.isBanned(remote(0))).toBe(true);
    expect(bench.bans.isBanned(remote(BANS_MAX - 1))).toBe(false);
    // Nobody lost a long ban for a short one beyond the part that goes at once.
    const long = bench.bans.list().filter((ban) => ban.secondsLeft > 5).length;
    expect(long).toBe(BANS_MAX * (1 - 1 / 16));
  });

  it('agrees with a plain record of the bans at every moment', () => {
    const step = fc.record({
      remote: fc.constantFrom(
        '192.0.2.1',
        '192.0.2.2',
        '::ffff:192.0.2.2',
        '2001:db8::1',
        '2001:db8::2',
        '::1',
      ),
      action: fc.constantFrom('ban', 'ban', 'unban'),
      seconds: fc.integer({ min: 1, max: 200_000 }),
      wait: fc.integer({ min: 0, max: 150_000 }),
    });
    const holder = (remote: string): string => remote.replace('::ffff:', '').replace(/^2001:db8::.*/, 'six');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bench = new Bench();
        const until = new Map<string, number>();
        for (const { remote, action, seconds, wait } of steps) {
          if (action === 'ban') {
            const lasts = bench.bans.ban(remote, seconds, 'junk');
            if (remote === '::1') expect(lasts).toBe(0);
            else {
              expect(lasts).toBeGreaterThanOrEqual(seconds);
              until.set(holder(remote), bench.nowMs + lasts * 1000);
            }
          } else {
            bench.bans.unban(remote);
            until.delete(holder(remote));
          }
          bench.wait(wait);
          const banned = [...until].filter(([, end]) => end > bench.nowMs);
          expect(bench.bans.list().length).toBe(banned.length);
          expect(bench.bans.isBanned(remote)).toBe((until.get(holder(remote)) ?? 0) > bench.nowMs);
        }
      }),
      { seed: 4, numRuns: 500 },
    );
  });
});
