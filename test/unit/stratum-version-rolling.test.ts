// The version of a header as BIP310 has it, in every combination of template bits, mask and rolled bits.
import { describe, expect, it } from 'vitest';
import { hexWord, type Peer, SmallHost } from './stratum-small-host.js';

const POOL_MASK = 0x1fffe000;

/**
 * "version_bits & ~last_mask == 0" and "nVersion = (job_version & ~last_mask) | (version_bits & last_mask)", bit by
 * bit. Null: the share must be refused.
 */
function bip310(jobVersion: number, lastMask: number, versionBits: number): number | null {
  let version = 0;
  for (let bit = 0; bit < 32; bit++) {
    const isSet = (word: number) => Math.floor(word / 2 ** bit) % 2 === 1;
    if (!isSet(lastMask) && isSet(versionBits)) return null;
    if (isSet(lastMask) ? isSet(versionBits) : isSet(jobVersion)) version += 2 ** bit;
  }
  return version;
}

function miner(mask: number | null): Peer {
  const peer = new SmallHost().connect();
  if (mask !== null) {
    const options = { 'version-rolling.mask': hexWord(mask), 'version-rolling.min-bit-count': 1 };
    peer.ask('mining.configure', [['version-rolling'], options]);
  }
  peer.mine();
  return peer;
}

/** The version that the share goes on with, or null when it is refused. */
function outcome(peer: Peer, template: number, versionBits: number, id: unknown): number | null {
  const { host } = peer;
  const job = host.putUp({ version: template });
  const before = host.shares.length;
  peer.submit(job, 1, { versionBits: hexWord(versionBits), id });
  if (host.shares.length > before) return host.shares.at(-1)?.share.version ?? null;
  expect(host.refusals.at(-1)?.verdict).toBe('bad_version_bits');
  return null;
}

const TEMPLATES = [
  ['no bit inside the mask', 0x20000000],
  ['one bit inside the mask', 0x20002000],
  ['several bits inside the mask', 0x20c06000],
  ['every bit inside the mask', 0x3fffe000],
  ['bits below the mask', 0x20000007],
  ['bits inside and outside', 0x3000e01f],
  ['the sign bit', 0xe0002001],
] as const;
const ROLLED = [
  ...[0x00000000, 0x00002000, 0x0000e000, 0x00c04000, 0x1fffe000, 0x10000000],
  ...[0x00001000, 0x20000000, 0x20002000, 0x40000000, 0x80000000, 0xc0000000, 0xffffffff, 0x00000001],
];
const MASKS = [
  ['never negotiated', null],
  ['the whole pool mask', 0xffffffff],
  ['two bits', 0x00006000],
  ['the mask of old Antminers', 0x00c00000],
  ['one bit', 0x10000000],
] as const;

describe('version rolling', () => {
  describe.each(MASKS)('mask: %s', (_mask, asked) => {
    const lastMask = ((asked ?? 0) & POOL_MASK) >>> 0;

    it.each(TEMPLATES)(
      'template with %s: the version is what BIP310 says for all rolled bits',
      (_template, template) => {
        const peer = miner(asked);
        for (const bits of ROLLED) {
          const wanted = bip310(template, lastMask, bits);
          // A number for the id goes the short way, a text the complete one.
          expect([bits, outcome(peer, template, bits, 4)]).toEqual([bits, wanted]);
          expect([bits, outcome(peer, template, bits, 'text')]).toEqual([bits, wanted]);
        }
      },
    );
  });

  it('tells or- and xor-ing from replacing: the oracle does not agree with them inside the mask', () => {
    const [template, bits] = [0x20006000, 0x00002000];
    expect(bip310(template, POOL_MASK, bits)).toBe(0x20002000);
    expect(template | bits).not.toBe(0x20002000);
    expect(template ^ bits).not.toBe(0x20002000);
  });

  it('takes a submit without version bits for the version of the job, negotiated or not', () => {
    for (const mask of [null, 0xffffffff]) {
      const peer = miner(mask);
      peer.submit(peer.host.putUp({ version: 0x2000e000 }), 1);
      expect(peer.host.shares.at(-1)?.share.version).toBe(0x2000e000);
    }
  });

  it('judges by the last mask: one that is narrowed by a second mining.configure holds at once', () => {
    const peer = miner(0xffffffff);
    expect(outcome(peer, 0x20000000, 0x1fffe000, 4)).toBe(0x3fffe000);
    const { reply, rest } = peer.ask('mining.configure', [
      ['version-rolling'],
      { 'version-rolling.mask': '00006000', 'version-rolling.min-bit-count': 2 },
    ]);
    expect(reply.result).toEqual({ 'version-rolling': true, 'version-rolling.mask': '00006000' });
    expect(rest).toMatchObject([{ id: null, method: 'mining.set_version_mask', params: ['00006000'] }]);
    expect(outcome(peer, 0x20000000, 0x1fffe000, 4)).toBeNull();
    expect(outcome(peer, 0x20002000, 0x00004000, 4)).toBe(0x20004000);
  });

  it.each([
    ['exactly as many bits as the miner needs', '00006000', 2, true],
    ['fewer bits than the miner needs', '00006000', 3, false],
    ['fewer, because the pool gives only a part of them', 'e0007fff', 3, false],
    ['none that the pool gives', '00001fff', 0, false],
  ])('min-bit-count: %s', (_what, mask, count, wanted) => {
    const peer = new SmallHost().connect();
    const options = { 'version-rolling.mask': mask, 'version-rolling.min-bit-count': count };
    const { reply, rest } = peer.ask('mining.configure', [['version-rolling'], options]);
    expect(reply.result['version-rolling']).toBe(wanted);
    expect(rest).toHaveLength(wanted ? 1 : 0);
    peer.mine();
    expect(outcome(peer, 0x20000000, 0x00002000, 4)).toBe(wanted ? 0x20002000 : null);
  });

  it('takes min-bit-count as the BIP types it, in hex digits, too', () => {
    const peer = new SmallHost().connect();
    const options = { 'version-rolling.mask': '0000e000', 'version-rolling.min-bit-count': '00000004' };
    expect(peer.ask('mining.configure', [['version-rolling'], options]).reply.result).toEqual({
      'version-rolling': false,
    });
  });
});
