import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Admission,
  type AdmissionCaps,
  type AdmissionRefusal,
  defaultCaps,
  sourceOf,
  type Ticket,
} from '../../engine/stratum/admission.js';

const NO_CAPS: AdmissionCaps = {
  total: null,
  perAddress: null,
  perNet: null,
  pendingPerAddress: null,
  pendingPerNet: null,
};

const admit = (admission: Admission, remote: string): Ticket => {
  const admitted = admission.admit(remote);
  if (!admitted.ok) throw new Error(admitted.reason);
  return admitted.ticket;
};

const refusal = (admission: Admission, remote: string): AdmissionRefusal | null => {
  const admitted = admission.admit(remote);
  return admitted.ok ? null : admitted.reason;
};

describe('where a connection comes from', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7', '192.0.2.0/24'],
    ['::ffff:192.0.2.7', '192.0.2.7', '192.0.2.0/24'],
    ['::FFFF:c000:207', '192.0.2.7', '192.0.2.0/24'],
    ['0:0:0:0:0:ffff:192.0.2.7', '192.0.2.7', '192.0.2.0/24'],
    ['2001:db8:1:2ab::1', '2001:db8:1:2ab::/64', '2001:db8:1:200::/56'],
    ['2001:0DB8:0001:02AB:ffff::9', '2001:db8:1:2ab::/64', '2001:db8:1:200::/56'],
    ['2001:db8::', '2001:db8:0:0::/64', '2001:db8:0:0::/56'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64', 'fe80:0:0:0::/56'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64', '1:2:3:0::/56'],
    ['::1:2:3:4:5:6:1.2.3.4', 'unknown', 'unknown'],
    ['2001:db8:1:2:3:ffff:7f00:1', '2001:db8:1:2::/64', '2001:db8:1:0::/56'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64', '64:ff9b:0:0::/56'],
  ])('%s is of %s in %s', (remote, holder, net) => {
    expect(sourceOf(remote)).toMatchObject({ holder, net });
  });

  it.each(['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1'])(
    '%s is loopback',
    (remote) => {
      expect(sourceOf(remote).loopback).toBe(true);
    },
  );

  it.each(['128.0.0.1', '::', '::2', '1::1', '10.127.0.1', ''])('"%s" is not loopback', (remote) => {
    expect(sourceOf(remote).loopback).toBe(false);
  });

  it('of any text is one place, and nothing is thrown', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        const source = sourceOf(text);
        if (source.family === 'unknown') seen.add(`${source.holder} ${source.net}`);
      }),
      { seed: 1, numRuns: 2000 },
    );
    expect([...seen]).toEqual(['unknown unknown']);
  });

  it('is the same for every spelling of an IPv6 address', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 }), (groups) => {
        const long = groups.map((group) => group.toString(16).padStart(4, '0')).join(':');
        // WHATWG hosts carry the shortest spelling.
        const short = new URL(`http://[${long}]/`).hostname.slice(1, -1);
        const { holder, net } = sourceOf(short);
        expect({ holder, net }).toEqual({ holder: sourceOf(long).holder, net: sourceOf(long).net });
      }),
      { seed: 2, numRuns: 1000 },
    );
  });
});

describe('a connection', () => {
  it('is refused when the pool is full, also from loopback, and taken when one has left', () => {
    const admission = new Admission({ ...NO_CAPS, total: 2 });
    admit(admission, '127.0.0.1');
    const second = admit(admission, '192.0.2.1');
    expect(refusal(admission, '198.51.100.1')).toBe('full');
    expect(refusal(admission, '127.0.0.1')).toBe('full');
    second.release();
    expect(refusal(admission, '198.51.100.1')).toBeNull();
  });

  it('is refused when its address has its share, however the address is written', () => {
    const admission = new Admission({ ...NO_CAPS, perAddress: 2 });
    admit(admission, '192.0.2.1');
    admit(admission, '::ffff:192.0.2.1');
    expect(refusal(admission, '192.0.2.1')).toBe('address_full');
    expect(refusal(admission, '192.0.2.2')).toBeNull();
  });

  it('does not escape the cap of its address by picking another one in its /64', () => {
    const admission = new Admission({ ...NO_CAPS, perAddress: 1 });
    admit(admission, '2001:db8::1');
    expect(refusal(admission, '2001:db8::2')).toBe('address_full');
    expect(refusal(admission, '2001:db8:0:1::1')).toBeNull();
  });

  it.each([
    ['192.0.2.1', '192.0.2.200', '192.0.3.1'],
    ['2001:db8:0:1::1', '2001:db8:0:ff::1', '2001:db8:0:100::1'],
  ])('from the net of %s is refused when that has its share', (first, neighbour, stranger) => {
    const admission = new Admission({ ...NO_CAPS, perNet: 1 });
    admit(admission, first);
    expect(refusal(admission, neighbour)).toBe('net_full');
    expect(refusal(admission, stranger)).toBeNull();
  });

  it('is refused when too many of its address have not authorized, and taken when one does', () => {
    const admission = new Admission({ ...NO_CAPS, pendingPerAddress: 1 });
    const first = admit(admission, '192.0.2.1');
    expect(refusal(admission, '192.0.2.1')).toBe('address_pending_full');
    first.authorized();
    expect(refusal(admission, '192.0.2.1')).toBeNull();
  });

  it('is refused when too many of its net have not authorized', () => {
    const admission = new Admission({ ...NO_CAPS, pendingPerNet: 2 });
    admit(admission, '192.0.2.1');
    admit(admission, '192.0.2.2').release();
    admit(admission, '192.0.2.3');
    expect(refusal(admission, '192.0.2.4')).toBe('net_pending_full');
  });

  it('from loopback is held by no cap of an address or a net', () => {
    const admission = new Admission({
      perAddress: 0,
      perNet: 0,
      pendingPerAddress: 0,
      pendingPerNet: 0,
      total: null,
    });
    for (let i = 0; i < 1000; i++) admit(admission, i % 2 === 0 ? '127.0.0.1' : '::1');
    expect(admission.connections).toBe(1000);
    expect(admission.remembered).toBe(0);
  });

  it('whose peer has no readable address shares one place with all such', () => {
    const admission = new Admission({ ...NO_CAPS, perAddress: 2 });
    admit(admission, '');
    admit(admission, 'somewhere');
    expect(refusal(admission, '1.2.3')).toBe('address_full');
  });

  it('knows how many authorized ones a ban of its address would hit besides', () => {
    const admission = new Admission(NO_CAPS);
    const [a, b, c] = ['192.0.2.1', '192.0.2.1', '192.0.2.1'].map((remote) => admit(admission, remote));
    admit(admission, '192.0.2.2').authorized();
    expect(a?.neighbours).toBe(0);
    b?.authorized();
    expect([a?.neighbours, b?.neighbours]).toEqual([1, 0]);
    a?.authorized();
    c?.authorized();
    expect(b?.neighbours).toBe(2);
    c?.release();
    expect(b?.neighbours).toBe(1);
  });
});

describe('counts', () => {
  it('are those of the open connections after any order of events, and nothing else is remembered', () => {
    const remotes = [
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '192.0.2.2',
      '198.51.100.1',
      '2001:db8::1',
      '2001:db8::2',
      '::1',
      'x',
    ];
    const caps = {
      total: 9,
      perAddress: 3,
      perNet: 4,
      pendingPerAddress: 2,
      pendingPerNet: 3,
    };
    const step = fc.record({
      action: fc.constantFrom('admit', 'admit', 'authorized', 'authorized', 'release'),
      remote: fc.constantFrom(...remotes),
      which: fc.nat(),
    });
    const reasons = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const admission = new Admission(caps);
        // Closed ones stay in the list: their tickets must do nothing any more.
        const all: { remote: string; ticket: Ticket; pending: boolean; open: boolean }[] = [];
        for (const { action, remote, which } of steps) {
          const open = all.filter((one) => one.open);
          if (action === 'admit') {
            const { holder, net, loopback } = sourceOf(remote);
            const ofHolder = open.filter((one) => sourceOf(one.remote).holder === holder);
            const ofNet = open.filter((one) => sourceOf(one.remote).net === net);
            const pending = (list: typeof open): number => list.filter((one) => one.pending).length;
            let expected: string | null = null;
            if (open.length >= caps.total) expected = 'full';
            else if (loopback) expected = null;
            else if (ofHolder.length >= caps.perAddress) expected = 'address_full';
            else if (ofNet.length >= caps.perNet) expected = 'net_full';
            else if (pending(ofHolder) >= caps.pendingPerAddress) expected = 'address_pending_full';
            else if (pending(ofNet) >= caps.pendingPerNet) expected = 'net_pending_full';
            const admitted = admission.admit(remote);
            expect(admitted.ok ? null : admitted.reason).toBe(expected);
            if (admitted.ok) all.push({ remote, ticket: admitted.ticket, pending: true, open: true });
            else reasons.add(admitted.reason);
          } else if (all.length > 0) {
            const one = all[which % all.length] as (typeof all)[number];
            one.ticket[action]();
            if (action === 'release') one.open = false;
            if (one.open) one.pending = false;
          }
          const left = all.filter((one) => one.open);
          const remembered = left.map((one) => sourceOf(one.remote)).filter((source) => !source.loopback);
          expect(admission.connections).toBe(left.length);
          expect(admission.pending).toBe(left.filter((one) => one.pending).length);
          expect(admission.remembered).toBe(
            new Set(remembered.map((source) => source.holder)).size +
              new Set(remembered.map((source) => source.net)).size,
          );
        }
      }),
      { seed: 3, numRuns: 300 },
    );
    expect(reasons.size).toBe(5);
  });
});

describe('the default caps', () => {
  it('let a farm of thousands behind one address in, but not fill the pool', () => {
    const admission = new Admission(defaultCaps(20_000));
    for (let i = 0; i < 10_000; i++) admit(admission, '192.0.2.1').authorized();
    expect(refusal(admission, '192.0.2.1')).toBe('address_full');
    expect(refusal(admission, '192.0.2.2')).toBeNull();
    expect(refusal(admission, '198.51.100.1')).toBeNull();
  });

  it('let an address hold an eighth of the slots open without authorizing', () => {
    const admission = new Admission(defaultCaps(20_000));
    for (let i = 0; i < 2500; i++) admit(admission, '192.0.2.1');
    expect(refusal(admission, '192.0.2.1')).toBe('address_pending_full');
    for (let i = 0; i < 2500; i++) admit(admission, '192.0.2.2');
    expect(refusal(admission, '192.0.2.3')).toBe('net_pending_full');
  });

  it('leave a small pool to one address', () => {
    const admission = new Admission(defaultCaps(50));
    for (let i = 0; i < 50; i++) admit(admission, '192.0.2.1');
    expect(refusal(admission, '192.0.2.1')).toBe('full');
  });
});
