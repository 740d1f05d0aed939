// The id of a request: what comes back is what was sent; what is no id does no harm.
import type { ConformanceCase } from '../case.js';
import { cut, expectThat } from '../expectation.js';
import { answeredOrClosed } from './malformed.js';

const GOOD: readonly (number | string)[] = [
  0,
  1,
  7,
  4_294_967_296,
  9_007_199_254_740_991,
  -1,
  'abc',
  '1',
  '',
  'a b',
];

/** Ids as JSON text that no client should send. */
const ODD: readonly (readonly [what: string, text: string])[] = [
  ['float', '1.5'],
  ['float-exponent', '1e3'],
  ['beyond-double', '1e400'],
  ['beyond-integers', '123456789012345678901234567890'],
  ['ten-thousand-digits', '9'.repeat(10_000)],
  ['long-text', JSON.stringify('i'.repeat(10_000))],
  ['text-with-control-characters', '"\\u0000\\u0007\\n"'],
  ['text-of-other-scripts', '"矿机\\ud800"'],
  ['boolean', 'true'],
  ['list', '[1,[2,[3]]]'],
  ['object', '{"a":{"b":1}}'],
  ['deep-list', `${'['.repeat(5000)}${']'.repeat(5000)}`],
];

export const idCases: readonly ConformanceCase[] = [
  {
    name: 'ids/echoed',
    level: 'must',
    rule: 'the reply has the id of its request, numbers as numbers and text as text',
    source: 'JSON-RPC 1.0',
    async run(pool) {
      const miner = await pool.miner();
      const { connection } = miner;
      for (const id of GOOD) {
        for (const [method, params] of [
          ['mining.authorize', [miner.user, 'x']],
          ['mining.submit', [miner.user, 'no-such-job', '', '', '']],
        ] as const) {
          const from = connection.received.length;
          connection.send([JSON.stringify({ id, method, params })]);
          await connection.reply(id, from, `${method} with id ${JSON.stringify(id)}`);
        }
      }
      return undefined;
    },
  },
  {
    name: 'ids/echoed-in-submit',
    level: 'must',
    rule: 'ids of accepted shares come back as well, also as text',
    source: 'JSON-RPC 1.0; a fast path for submits must not forget it',
    async run(pool) {
      const miner = await pool.miner();
      const { connection } = miner;
      for (const id of [0, 9_007_199_254_740_991, 'abc']) {
        const { jobId, extranonce2, ntime, nonce } = await miner.mine();
        const params = [miner.user, jobId, extranonce2, ntime, nonce];
        const from = connection.received.length;
        connection.send([JSON.stringify({ id, method: 'mining.submit', params })]);
        const reply = await connection.reply(id, from, `a share with id ${JSON.stringify(id)}`);
        expectThat(reply.result === true, 'the share accepted', reply.line);
      }
      return undefined;
    },
  },
  {
    name: 'ids/null',
    level: 'should',
    rule: 'a request with the id null, or without one, is answered with id null and does no harm',
    source: 'firmware with hand-made JSON; JSON-RPC 1.0 calls it a notification',
    async run(pool) {
      const miner = await pool.miner();
      const { connection } = miner;
      const params = [miner.user, 'x'];
      for (const request of [
        { id: null, method: 'mining.authorize', params },
        { method: 'mining.authorize', params },
      ]) {
        const from = connection.received.length;
        connection.send([JSON.stringify(request)]);
        const answer = await connection.replyOrClose(from);
        const same = answer !== null && (JSON.parse(answer) as { id: unknown }).id === null;
        expectThat(same, 'an answer with id null', cut(answer ?? 'the connection closed'));
      }
      return undefined;
    },
  },
  ...ODD.map(
    ([what, text]): ConformanceCase => ({
      name: `ids/${what}`,
      level: 'must',
      rule: 'such an id is answered or ends the connection, and the next connection is served',
      source: 'an id that is echoed without a check overflowed JSON.stringify',
      hostile: true,
      run: (pool) =>
        answeredOrClosed(pool, Buffer.from(`{"id":${text},"method":"mining.subscribe","params":[]}\n`)),
    }),
  ),
];
