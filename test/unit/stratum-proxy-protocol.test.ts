import { isIPv4 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalAddress } from '../../engine/stratum/transports/peer-address.js';
import {
  BalancerList,
  PROXY_V1_MAX_BYTES,
  PROXY_V2_MAX_LENGTH,
  parseProxyHeader,
} from '../../engine/stratum/transports/proxy-protocol.js';

const v1 = (line: string): Buffer => Buffer.from(`${line}\r\n`, 'latin1');
const done = (remote: string | null, header: Buffer) => ({
  state: 'done',
  remote,
  headerBytes: header.length,
});

/** Written from the specification's own C structs, with no part of the parser. */
function v2(options: {
  version?: number;
  command: number;
  family: number;
  body: Buffer;
  length?: number;
}): Buffer {
  const { version = 2, command, family, body, length = body.length } = options;
  return Buffer.concat([
    Buffer.from('0d0a0d0a000d0a515549540a', 'hex'),
    Buffer.from([version * 16 + command, family, length >>> 8, length & 255]),
    body,
  ]);
}

const tlv = (type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >>> 8, value.length & 255]), value]);
const ports = Buffer.from([0xdc, 0x04, 0x0d, 0x05]);
const tcp4 = Buffer.concat([Buffer.from([192, 0, 2, 7, 198, 51, 100, 1]), ports]);
const tcp6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  ports,
]);

/** Groups, not text: what an address is, to be spelt and read back by two different ways. */
const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.'));
const ipv6Groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
const port = fc.nat(65_535);

/** Independent of inet_ntop: the URL standard has its own serialiser. */
function urlSpelling(groups: number[]): string {
  const host = new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]/`).hostname;
  return host.slice(1, -1);
}

describe('PROXY protocol version 1', () => {
  it.each([
    ['PROXY TCP4 192.0.2.7 198.51.100.1 56324 3333', '192.0.2.7'],
    ['PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535', '255.255.255.255'],
    ['PROXY TCP6 2001:db8::1 2001:db8::2 0 3333', '2001:db8::1'],
    ['PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 ::1 1 2', '2001:db8::1'],
    ['PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2', '192.0.2.7'],
    ['PROXY UNKNOWN', null],
    ['PROXY UNKNOWN ffff:f...f:ffff junk 99999', null],
  ])('takes %s', (line, remote) => {
    const header = v1(line);
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('{"id":1}\n')]))).toEqual(
      done(remote, header),
    );
  });

  it.each([
    'PROXY TCP4 192.0.2.07 198.51.100.1 56324 3333',
    'PROXY TCP4 192.0.2.256 198.51.100.1 56324 3333',
    'PROXY TCP4 2001:db8::1 2001:db8::2 56324 3333',
    'PROXY TCP4 192.0.2.7 198.51.100.1 056 3333',
    'PROXY TCP4 192.0.2.7 198.51.100.1 65536 3333',
    'PROXY TCP4 192.0.2.7 198.51.100.1 -1 3333',
    'PROXY TCP4 192.0.2.7 198.51.100.1 1',
    'PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3',
    'PROXY TCP4  192.0.2.7 198.51.100.1 1 2',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2',
    'PROXY TCP6 192.0.2.7 192.0.2.8 1 2',
    'PROXY UDP4 192.0.2.7 198.51.100.1 1 2',
    'PROXY tcp4 192.0.2.7 198.51.100.1 1 2',
    'PROXY  TCP4 192.0.2.7 198.51.100.1 1 2',
    'PROXY ',
    'proxy TCP4 192.0.2.7 198.51.100.1 1 2',
    '{"id":1,"method":"mining.subscribe","params":[]}',
  ])('refuses %s', (line) => {
    expect(parseProxyHeader(v1(line)).state).toBe('bad');
  });

  it('refuses a line end without CR', () => {
    expect(parseProxyHeader(Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n')).state).toBe('bad');
  });

  it('allows 107 bytes with the line end and not one more', () => {
    const longest = v1(`PROXY UNKNOWN ${'x'.repeat(PROXY_V1_MAX_BYTES - 16)}`);
    expect(longest.length).toBe(PROXY_V1_MAX_BYTES);
    expect(parseProxyHeader(longest)).toEqual(done(null, longest));
    const longer = v1(`PROXY UNKNOWN ${'x'.repeat(PROXY_V1_MAX_BYTES - 15)}`);
    expect(parseProxyHeader(longer).state).toBe('bad');
    expect(parseProxyHeader(longer.subarray(0, PROXY_V1_MAX_BYTES)).state).toBe('bad');
    expect(parseProxyHeader(longer.subarray(0, PROXY_V1_MAX_BYTES - 1)).state).toBe('need_more');
  });
});

describe('PROXY protocol version 2', () => {
  const manyTlvs = Buffer.concat([
    tlv(0x04, Buffer.alloc(300)),
    tlv(0x20, Buffer.from('ssl')),
    tlv(0xee, Buffer.alloc(0)),
  ]);
  it.each([
    ['TCP over IPv4', { command: 1, family: 0x11, body: tcp4 }, '192.0.2.7'],
    ['TCP over IPv6', { command: 1, family: 0x21, body: tcp6 }, '2001:db8::1'],
    [
      'TLVs behind the addresses',
      { command: 1, family: 0x11, body: Buffer.concat([tcp4, manyTlvs]) },
      '192.0.2.7',
    ],
    ['LOCAL', { command: 0, family: 0, body: Buffer.alloc(0) }, null],
    ['LOCAL with addresses, which say nothing', { command: 0, family: 0x11, body: tcp4 }, null],
    ['LOCAL with a family nobody knows', { command: 0, family: 0x77, body: Buffer.alloc(5) }, null],
    ['no family', { command: 1, family: 0, body: Buffer.alloc(9) }, null],
  ])('takes %s', (_name, header, remote) => {
    const bytes = v2(header);
    expect(parseProxyHeader(Buffer.concat([bytes, Buffer.from('{"id":1}\n')]))).toEqual(done(remote, bytes));
  });

  it.each([
    ['version 1 behind the signature', { version: 1, command: 1, family: 0x11, body: tcp4 }],
    ['version 3', { version: 3, command: 1, family: 0x11, body: tcp4 }],
    ['an unknown command', { command: 2, family: 0x11, body: tcp4 }],
    ['UDP', { command: 1, family: 0x12, body: tcp4 }],
    ['a UNIX socket, which names no peer', { command: 1, family: 0x31, body: Buffer.alloc(216) }],
    ['an unknown family', { command: 1, family: 0x41, body: tcp6 }],
    ['IPv4 addresses that do not fit', { command: 1, family: 0x11, body: tcp4.subarray(0, 11) }],
    ['IPv6 addresses that do not fit', { command: 1, family: 0x21, body: tcp6.subarray(0, 35) }],
    [
      'more than the bound',
      { command: 0, family: 0, body: Buffer.alloc(0), length: PROXY_V2_MAX_LENGTH + 1 },
    ],
  ])('refuses %s', (_name, header) => {
    expect(parseProxyHeader(v2(header)).state).toBe('bad');
  });

  it('waits for as many bytes as its bound allows', () => {
    const bytes = v2({
      command: 1,
      family: 0x11,
      body: Buffer.concat([tcp4, Buffer.alloc(PROXY_V2_MAX_LENGTH - 12)]),
    });
    expect(parseProxyHeader(bytes.subarray(0, -1))).toEqual({ state: 'need_more' });
    expect(parseProxyHeader(bytes)).toEqual(done('192.0.2.7', bytes));
  });
});

describe('PROXY protocol parser', () => {
  const v1Header = fc.oneof(
    fc
      .tuple(ipv4, ipv4, port, port)
      .map(([a, b, p, q]) => ({ remote: a, bytes: v1(`PROXY TCP4 ${a} ${b} ${p} ${q}`) })),
    fc.tuple(ipv6Groups, ipv6Groups, port, port).map(([a, b, p, q]) => ({
      remote: mappedOr(a),
      bytes: v1(`PROXY TCP6 ${a.map((group) => group.toString(16)).join(':')} ${urlSpelling(b)} ${p} ${q}`),
    })),
  );
  const v2Header = fc
    .tuple(fc.boolean(), ipv4, ipv6Groups, fc.uint8Array({ maxLength: 200 }))
    .map(([six, four, groups, tail]) => {
      const address = six
        ? groups.flatMap((group) => [group >>> 8, group & 255])
        : four.split('.').map(Number);
      const body = Buffer.from([...address, ...address, 1, 2, 3, 4, ...tail]);
      return {
        remote: six ? mappedOr(groups) : four,
        bytes: v2({ command: 1, family: six ? 0x21 : 0x11, body }),
      };
    });

  it('reads what an independent encoder wrote, cut anywhere, and takes nothing of what follows', () => {
    const property = fc.property(
      fc.oneof(v1Header, v2Header),
      fc.uint8Array({ maxLength: 40 }),
      (header, after) => {
        for (let length = 0; length < header.bytes.length; length++) {
          expect(parseProxyHeader(header.bytes.subarray(0, length))).toEqual({ state: 'need_more' });
        }
        const all = Buffer.concat([header.bytes, after]);
        expect(parseProxyHeader(all)).toEqual(done(header.remote, header.bytes));
      },
    );
    fc.assert(property, { seed: 41, numRuns: 400 });
  });

  it('never throws, never waits beyond its bounds, and never changes its mind', () => {
    const beginnings = [
      Buffer.alloc(0),
      Buffer.from('PROXY '),
      Buffer.from('PROXY TCP4 '),
      v2({ command: 1, family: 0x11, body: tcp4 }),
    ];
    const bytes = fc
      .tuple(fc.constantFrom(...beginnings), fc.nat(40), fc.uint8Array({ maxLength: 200 }))
      .map(([beginning, keep, tail]) => Buffer.concat([beginning.subarray(0, keep), tail]));
    const property = fc.property(bytes, (junk) => {
      const outcome = parseProxyHeader(junk);
      const padded = parseProxyHeader(Buffer.concat([junk, Buffer.alloc(16 + PROXY_V2_MAX_LENGTH)]));
      expect(padded.state).not.toBe('need_more');
      if (outcome.state !== 'need_more') expect(padded).toEqual(outcome);
    });
    fc.assert(property, { seed: 42, numRuns: 3000 });
  });
});

describe('one spelling for each address', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:C000:0207', '192.0.2.7'],
    ['0000:0000:0000:0000:0000:ffff:7f00:0001', '127.0.0.1'],
    ['2001:0DB8:0:0::0001', '2001:db8::1'],
    ['0000:0000:0000:0000:0000:0000:0000:0001', '::1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['', ''],
  ])('%s is %s', (address, canonical) => {
    expect(canonicalAddress(address)).toBe(canonical);
  });
});

describe('list of balancers', () => {
  const list = new BalancerList(['10.1.0.0/16', '192.0.2.7', '2001:db8::/32', '::1']);

  it('knows addresses and networks of both families', () => {
    for (const address of ['10.1.255.255', '192.0.2.7', '2001:db8:ffff::1', '::1']) {
      expect(list.includes(address)).toBe(true);
    }
    for (const address of ['10.2.0.0', '192.0.2.8', '2001:db9::1', '::2', '', 'junk']) {
      expect(list.includes(address)).toBe(false);
    }
  });

  it.each([
    '10.0.0.0/33',
    '10.0.0/8',
    '2001:db8::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    'balancer',
    '',
    '*',
  ])('refuses the entry %j by name', (entry) => {
    expect(() => new BalancerList(['10.0.0.0/8', entry])).toThrow(JSON.stringify(entry));
  });
});

function mappedOr(groups: number[]): string {
  const [, , , , , marker, high = 0, low = 0] = groups;
  const mapped = groups.slice(0, 5).every((group) => group === 0) && marker === 0xffff;
  const dotted = [high >>> 8, high & 255, low >>> 8, low & 255].join('.');
  return mapped && isIPv4(dotted) ? dotted : canonicalAddress(urlSpelling(groups));
}
