// mining.configure, BIP310: https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki
import { wordHex } from '../../../loadtest/mining-job.js';
import type { ConformanceCase, PoolUnderTest } from '../case.js';
import { CaseSkipped, expectThat } from '../expectation.js';
import { networkDifficulty } from '../share-search.js';

/** Bits that BIP320 reserves for miners. */
const BIP320_MASK = 0x1fffe000;
const MASK = /^[0-9a-fA-F]{8}$/;

type Fields = Record<string, unknown>;

async function configure(pool: PoolUnderTest, ...params: unknown[]): Promise<Fields> {
  const connection = await pool.connect();
  const reply = await connection.request('mining.configure', params);
  const { result } = reply;
  const isMap = typeof result === 'object' && result !== null && !Array.isArray(result);
  expectThat(reply.code === null && isMap, 'a result that maps extension codes to answers', reply.line);
  connection.close();
  return result as Fields;
}

/** The mask granted for `asked`, 0 when rolling is declined. */
async function grantedMask(pool: PoolUnderTest, asked?: string, minBits = 0): Promise<number> {
  const options: Fields = { 'version-rolling.min-bit-count': minBits };
  if (asked !== undefined) options['version-rolling.mask'] = asked;
  const fields = await configure(pool, ['version-rolling'], options);
  const granted = fields['version-rolling'];
  expectThat(
    typeof granted === 'boolean' || typeof granted === 'string',
    '"version-rolling" answered true, false or in words',
    fields,
  );
  if (granted !== true) return 0;
  const mask = fields['version-rolling.mask'];
  expectThat(typeof mask === 'string' && MASK.test(mask), '"version-rolling.mask" of 8 hex digits', fields);
  return Number.parseInt(mask, 16) >>> 0;
}

function isAnswer(value: unknown): boolean {
  return typeof value === 'boolean' || typeof value === 'string';
}

export const configureCases: readonly ConformanceCase[] = [
  {
    name: 'configure/version-rolling',
    level: 'must',
    rule: 'version-rolling is answered; a mask that is granted has 8 hex digits inside the mask asked for',
    source: 'BIP310',
    async run(pool) {
      const mask = await grantedMask(pool, wordHex(BIP320_MASK), 2);
      expectThat((mask & ~BIP320_MASK) === 0, 'a mask inside 1fffe000', wordHex(mask));
      return mask === 0 ? 'declined' : `mask ${wordHex(mask)}`;
    },
  },
  {
    name: 'configure/mask-covers-bip320',
    level: 'should',
    rule: 'the mask is the largest possible: all bits of BIP320 and no other',
    source: 'BIP310, BIP320',
    async run(pool) {
      const mask = await grantedMask(pool, 'ffffffff');
      expectThat(mask === BIP320_MASK, `mask ${wordHex(BIP320_MASK)}`, wordHex(mask));
      return undefined;
    },
  },
  {
    name: 'configure/mask-intersection',
    level: 'must',
    rule: "the mask is the intersection of the pool's and the miner's",
    source: 'BIP310; ckpool answers its own mask whatever was asked',
    async run(pool) {
      const all = await grantedMask(pool, 'ffffffff');
      if (all === 0) throw new CaseSkipped('the pool does not offer version rolling');
      for (const asked of [0x0000e000, 0x18000000, 0x00ffe0ff]) {
        const expected = (all & asked) >>> 0;
        const got = await grantedMask(pool, wordHex(asked));
        expectThat(got === expected, `mask ${wordHex(expected)} for ${wordHex(asked)}`, wordHex(got));
      }
      return undefined;
    },
  },
  {
    name: 'configure/mask-default',
    level: 'must',
    rule: 'without version-rolling.mask the miner can roll all bits',
    source: 'BIP310',
    async run(pool) {
      const all = await grantedMask(pool, 'ffffffff');
      const got = await grantedMask(pool);
      expectThat(got === all, `mask ${wordHex(all)}`, wordHex(got));
      return undefined;
    },
  },
  {
    name: 'configure/mask-in-capitals',
    level: 'must',
    rule: 'masks are case-independent hex',
    source: 'BIP310, TMask',
    async run(pool) {
      const lower = await grantedMask(pool, '1fffe000');
      const upper = await grantedMask(pool, '1FFFE000');
      expectThat(upper === lower, `mask ${wordHex(lower)}`, wordHex(upper));
      return undefined;
    },
  },
  {
    name: 'configure/min-bit-count',
    level: 'should',
    rule: 'a grant holds at least min-bit-count bits; asking for too many does not end the connection',
    source: 'BIP310',
    async run(pool) {
      const connection = await pool.connect();
      for (const [mask, bits] of [
        ['1fffe000', 16],
        ['00006000', 2],
        ['00006000', 3],
        ['1fffe000', 32],
      ] as const) {
        const options = { 'version-rolling.mask': mask, 'version-rolling.min-bit-count': bits };
        const reply = await connection.request('mining.configure', [['version-rolling'], options]);
        const fields = (reply.result ?? {}) as Fields;
        if (fields['version-rolling'] !== true) continue;
        const granted = Number.parseInt(String(fields['version-rolling.mask']), 16);
        const count = granted.toString(2).replaceAll('0', '').length;
        expectThat(count >= bits, `${bits} bits or "version-rolling" not true`, reply.line);
      }
      expectThat(connection.closed === null, 'the connection kept', String(connection.closed));
      return undefined;
    },
  },
  {
    name: 'configure/unknown-extension',
    level: 'must',
    rule: 'an unknown extension is answered false',
    source: 'BIP310',
    async run(pool) {
      const fields = await configure(pool, ['time-travel'], { 'time-travel.years': 1 });
      expectThat(fields['time-travel'] === false, '"time-travel": false', fields);
      return undefined;
    },
  },
  {
    name: 'configure/every-code-answered',
    level: 'must',
    rule: 'each code of the list has a value: true, false or an error message',
    source: 'BIP310',
    async run(pool) {
      const codes = ['minimum-difficulty', 'version-rolling', 'subscribe-extranonce', 'info', 'x-unknown'];
      const options = {
        'minimum-difficulty.value': 0,
        'version-rolling.mask': '1fffe000',
        'version-rolling.min-bit-count': 2,
        'info.sw-version': '1.0',
      };
      const fields = await configure(pool, codes, options);
      for (const code of codes) {
        const value = Object.getOwnPropertyDescriptor(fields, code)?.value as unknown;
        expectThat(isAnswer(value), `a value for "${code}"`, fields);
      }
      return undefined;
    },
  },
  {
    name: 'configure/code-of-every-name',
    level: 'should',
    rule: 'a code that is a special name of the language behind the pool has its value too',
    source: 'BIP310; a map that is an object of JavaScript forgets __proto__',
    async run(pool) {
      for (const code of ['__proto__', 'constructor', 'toString']) {
        const fields = await configure(pool, [code], {});
        expectThat(Object.hasOwn(fields, code), `a value for "${code}"`, fields);
      }
      return undefined;
    },
  },
  {
    name: 'configure/no-extensions',
    level: 'must',
    rule: 'an empty list of extensions is answered with an empty map',
    source: 'BIP310',
    async run(pool) {
      const fields = await configure(pool, [], {});
      expectThat(Object.keys(fields).length === 0, '{}', fields);
      return undefined;
    },
  },
  {
    name: 'configure/parameters-left-out',
    level: 'should',
    rule: 'extensions without a map of parameters take their defaults',
    source: 'BIP310: every parameter of version-rolling is optional',
    async run(pool) {
      const fields = await configure(pool, ['version-rolling']);
      expectThat(isAnswer(fields['version-rolling']), '"version-rolling" answered', fields);
      return undefined;
    },
  },
  {
    name: 'configure/bad-mask',
    level: 'must',
    rule: 'a mask that is no mask is not granted, and the connection goes on',
    source: 'BIP310, TMask',
    async run(pool) {
      const connection = await pool.connect();
      for (const mask of ['xyz', '1fffe000ff', '', '-1fffe00', '0x1fffe0', 5, null, {}]) {
        const options = { 'version-rolling.mask': mask };
        const reply = await connection.request('mining.configure', [['version-rolling'], options]);
        const granted = (reply.result as Fields | null)?.['version-rolling.mask'] ?? '00000000';
        const asked = typeof mask === 'string' ? Number.parseInt(mask, 16) || 0 : 0xffffffff;
        const inside = (Number.parseInt(String(granted), 16) & ~asked) === 0;
        expectThat(inside, `no bit granted beyond the mask ${JSON.stringify(mask)}`, reply.line);
      }
      return undefined;
    },
  },
  {
    name: 'configure/minimum-difficulty',
    level: 'should',
    rule: 'minimum-difficulty is granted, and no job is easier (up to the difficulty of a block)',
    source: 'BIP310',
    async run(pool) {
      const user = pool.workerNamed('minimum');
      const plain = await pool.miner({ user });
      const { difficulty, bits } = await plain.job();
      plain.connection.close();
      const value = Math.min(difficulty * 2, networkDifficulty(bits));
      const extensions = { 'minimum-difficulty': { 'minimum-difficulty.value': value } };
      const miner = await pool.miner({ user, extensions });
      const granted = miner.connection.received[0]?.message?.result as Fields;
      expectThat(granted['minimum-difficulty'] === true, '"minimum-difficulty": true', granted);
      const job = await miner.job();
      const least = Math.min(value, networkDifficulty(job.bits));
      expectThat(job.difficulty >= least, `a first job of difficulty ${least} or more`, job.difficulty);
      return `${value}, was ${difficulty}`;
    },
  },
  {
    name: 'configure/subscribe-extranonce',
    level: 'should',
    rule: 'subscribe-extranonce is granted',
    source: 'BIP310',
    async run(pool) {
      const fields = await configure(pool, ['subscribe-extranonce'], {});
      expectThat(fields['subscribe-extranonce'] === true, '"subscribe-extranonce": true', fields);
      return undefined;
    },
  },
  {
    name: 'configure/info',
    level: 'should',
    rule: 'info is taken',
    source: 'BIP310',
    async run(pool) {
      const options = { 'info.connection-url': 'stratum+tcp://pool:3333', 'info.hw-version': 'x' };
      const fields = await configure(pool, ['info'], options);
      expectThat(fields.info === true, '"info": true', fields);
      return undefined;
    },
  },
];
