import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnswerFields, btcFromSatoshis, satoshisFromBtc } from '../../engine/node/rpc-answer.js';
import { parseRpcUrl, parseRpcUrls } from '../../engine/node/rpc-endpoint.js';

const SATS_MAX = 2_100_000_000_000_000n;

describe('amounts', () => {
  it('come back exactly from the node, as number or as text, for every satoshi of the supply', () => {
    const sats = fc.bigInt({ min: -SATS_MAX, max: SATS_MAX });
    fc.assert(
      fc.property(sats, (amount) => {
        const written = btcFromSatoshis(amount);
        expect(satoshisFromBtc(written)).toBe(amount);
        expect(satoshisFromBtc(Number(written))).toBe(amount);
      }),
      { seed: 20_261_121, numRuns: 2000 },
    );
  });

  it('are written with eight decimals', () => {
    expect(btcFromSatoshis(1n)).toBe('0.00000001');
    expect(btcFromSatoshis(-250_000_000n)).toBe('-2.50000000');
    expect(satoshisFromBtc(1e-8)).toBe(1n);
    expect(satoshisFromBtc('0.5')).toBe(50_000_000n);
    expect(satoshisFromBtc('-12.25')).toBe(-1_225_000_000n);
    expect(satoshisFromBtc('20999999.97690000')).toBe(2_099_999_997_690_000n);
  });

  it('that are no whole number of satoshis are refused', () => {
    for (const wrong of [0.000000001, '0.123456789', 'NaN', '', '1e3', Number.NaN, Infinity, 1e9]) {
      expect(() => satoshisFromBtc(wrong)).toThrow(/not an amount/);
    }
  });
});

describe('answers', () => {
  it('give long numbers, which the RPC client hands over as text', () => {
    const fields = new AnswerFields({ difficulty: '0.001126515290698186', blocks: 7, chain: 'main' });
    expect(fields.number('difficulty')).toBe(0.001126515290698186);
    expect(fields.integer('blocks')).toBe(7);
  });

  it('are refused by the name of the field that is missing or wrong', () => {
    const fields = new AnswerFields({ blocks: 1.5, hash: 'AB', flag: 'yes', empty: '' });
    expect(() => fields.integer('blocks')).toThrow('blocks is not a whole number');
    expect(() => fields.hash('hash')).toThrow('hash is not a hash');
    expect(() => fields.flag('flag')).toThrow('flag is not true or false');
    expect(() => fields.number('empty')).toThrow('empty is not a number');
    expect(() => fields.text('missing')).toThrow('missing is not a text');
    expect(() => new AnswerFields(null)).toThrow('not an object');
  });

  it('join warnings, a text until Core 27 and a list since', () => {
    expect(new AnswerFields({ warnings: ['a', 'b'] }).joined('warnings')).toBe('a; b');
    expect(new AnswerFields({ warnings: 'a' }).joined('warnings')).toBe('a');
  });
});

describe('BITCOIN_RPC_URL', () => {
  it('holds user and password, which stay out of the address', () => {
    expect(parseRpcUrl('http://pool:p%40ss%3Aword@10.0.0.5:18443')).toEqual({
      url: 'http://10.0.0.5:18443',
      name: '10.0.0.5:18443',
      login: { user: 'pool', password: 'p@ss:word' },
    });
  });

  it('names a cookie file, or takes the configured one', () => {
    const login = { cookieFile: '/data/.cookie' };
    expect(parseRpcUrl('http://localhost?cookie=/data/.cookie')).toMatchObject({
      name: 'localhost:8332',
      login,
    });
    expect(parseRpcUrl('http://localhost:1', '/data/.cookie').login).toEqual(login);
    expect(parseRpcUrl('http://[::1]:8332/').url).toBe('http://[::1]:8332');
  });

  it('lists several nodes', () => {
    expect(parseRpcUrls('http://a:1, http://b:2').map(({ name }) => name)).toEqual(['a:1', 'b:2']);
  });

  it('is refused with a cure that does not repeat the password', () => {
    for (const wrong of [
      'pool:hunter2@host',
      'http://pool:hunter2@',
      'ftp://pool:hunter2@host',
      'http://pool:hunter2@host?cookie=/c',
      ' , ',
    ]) {
      let message = '';
      try {
        parseRpcUrls(wrong);
      } catch (error) {
        ({ message } = error as Error);
      }
      expect(message).toMatch(/BITCOIN_RPC_URL/);
      expect(message).not.toContain('hunter2');
    }
  });
});
