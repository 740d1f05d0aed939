import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXPECTED_VALUE_SCHEMES, SCHEMES, type Scheme } from '../../engine/accounting/schemes.js';
import { Identities } from '../../engine/stratum/identities.js';
import { SchemeChoice } from '../../engine/stratum/scheme-choice.js';
import type { JournalIdentity } from '../../storage/journal/record.js';
import { ADDRESS, PORT, SmallHost } from './stratum-small-host.js';

const farm = { ...PORT, kind: 'tls' as const, scheme: 'fpps' as const };

function book() {
  const open = new Map<number, JournalIdentity>();
  return {
    open,
    defineIdentity(id: number, identity: JournalIdentity) {
      if (open.has(id)) throw new Error(`identity ${id} is there already`);
      open.set(id, identity);
    },
    forgetIdentity: (id: number) => void open.delete(id),
  };
}

describe('the scheme that work is recorded under', () => {
  it("is the account's own, else the port's, else the pool's", () => {
    const choice = new SchemeChoice('pplns');
    choice.replace({ chosen: [['alone', 'solo']], fallback: false });
    expect(choice.schemeOf('alone', 'fpps')).toBe('solo');
    expect(choice.schemeOf('other', 'fpps')).toBe('fpps');
    expect(choice.schemeOf('other', null)).toBe('pplns');
    choice.replace({ chosen: [], fallback: false });
    expect(choice.schemeOf('alone', null)).toBe('pplns');
  });

  it('is never one by expected value while the reserve is too low, nor before anyone has looked into it', () => {
    for (const scheme of SCHEMES) {
      const fallen = EXPECTED_VALUE_SCHEMES.has(scheme) ? 'pplns' : scheme;
      const choice = new SchemeChoice(scheme);
      expect(choice.schemeOf('a', null)).toBe(fallen);
      choice.replace({ chosen: [['b', scheme]], fallback: true });
      expect([choice.schemeOf('a', null), choice.schemeOf('b', 'solo')]).toEqual([fallen, fallen]);
      choice.replace({ chosen: [], fallback: false });
      expect(choice.schemeOf('a', null)).toBe(scheme);
    }
  });
});

describe('identities of the journal', () => {
  it('say who submits, how it came and what it is paid by', () => {
    const choice = new SchemeChoice('pplns');
    choice.replace({ chosen: [], fallback: false });
    const journal = book();
    const id = new Identities(journal, choice).define(
      { account: 'a', worker: 'w' },
      'x/1',
      '192.0.2.7',
      farm,
    );
    expect(journal.open.get(id)).toEqual({
      ...{ account: 'a', worker: 'w', agent: 'x/1', remote: '192.0.2.7' },
      ...{ scheme: 'fpps', transport: 'tls', protocol: 'v1' },
    });
  });

  it('are defined anew when the scheme changes, keep what was submitted before, and are all forgotten at the end', () => {
    const scheme = fc.constantFrom(...SCHEMES);
    fc.assert(
      fc.property(
        fc.array(fc.record({ chosen: fc.option(scheme, { nil: null }), fallback: fc.boolean() }), {
          maxLength: 40,
        }),
        (changes) => {
          const choice = new SchemeChoice('pplns');
          const journal = book();
          const identities = new Identities(journal, choice);
          let id = identities.define({ account: 'a', worker: '' }, '', '', PORT);
          const submitted = new Map<number, Scheme | undefined>();
          for (const { chosen, fallback } of changes) {
            submitted.set(id, journal.open.get(id)?.scheme);
            choice.replace({ chosen: chosen === null ? [] : [['a', chosen]], fallback });
            id = identities.current(id);
            expect(journal.open.get(id)?.scheme).toBe(choice.schemeOf('a', null));
            expect(identities.nameOf(id)).toEqual({ account: 'a', worker: '' });
          }
          // Shares in judgement still find what they were submitted under.
          for (const [before, was] of submitted) expect(journal.open.get(before)?.scheme).toBe(was);
          expect(journal.open.size).toBeLessThanOrEqual(SCHEMES.length);
          identities.forget(id);
          expect(journal.open.size).toBe(0);
          expect(identities.nameOf(id)).toBeUndefined();
        },
      ),
      { seed: 6, numRuns: 300 },
    );
  });

  it('of a session are exchanged under its miner: the next share is of the new scheme, one in flight of the old', () => {
    const host = new SmallHost();
    const peer = host.connect();
    peer.mine({ user: `${ADDRESS}.a` });
    peer.say({ id: 3, method: 'mining.authorize', params: [`${ADDRESS}.b`, 'x'] });
    const job = host.putUp();
    peer.submit(job, 1, { user: `${ADDRESS}.a` });
    const before = host.shares.at(-1)?.share.identity ?? 0;
    peer.session.renewIdentities((identity) => identity + 100);
    peer.submit(job, 2, { user: `${ADDRESS}.a` });
    peer.submit(job, 3, { user: `${ADDRESS}.b` });
    const [, after, other] = host.shares.map(({ share }) => share.identity);
    expect(after).toBe(before + 100);
    expect(other).toBe(before + 101);
    expect(host.shares[0]?.share.identity).toBe(before);
  });
});
