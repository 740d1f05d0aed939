// Every method is answered, once; what is unknown gets an error and not silence.
import type { ConformanceCase } from '../case.js';
import { isReply, type Reply } from '../connection.js';
import { expectThat } from '../expectation.js';
import { expectRefused, type Miner } from '../miner.js';

const FIELD = 'ckpool, cgminer, NiceHash and firmware send it; silence stalls their queue of requests';

/** Sends a request to a miner that works, then another: after its answer, the first must have had exactly one. */
async function answeredOnce(miner: Miner, method: string, params: unknown): Promise<Reply> {
  const { connection } = miner;
  const reply = await connection.request(method, params);
  const id = connection.sent.at(-1)?.message.id;
  await miner.authorize(miner.user, 'x');
  const replies = connection.received.filter(({ message }) => isReply(message) && message.id === id);
  expectThat(replies.length === 1, 'one reply', `${replies.length} replies`);
  return reply;
}

function methodCase(
  method: string,
  level: ConformanceCase['level'],
  rule: string,
  params: unknown,
  check: (reply: Reply) => void = () => {},
): ConformanceCase {
  return {
    name: `methods/${method}`,
    level,
    rule,
    source: FIELD,
    async run(pool) {
      const miner = await pool.miner();
      await miner.job();
      const reply = await answeredOnce(miner, method, params);
      check(reply);
      return reply.line.length <= 80 ? reply.line : undefined;
    },
  };
}

const expectNoError = (reply: Reply): void => expectThat(reply.code === null, 'no error', reply.line);

export const methodCases: readonly ConformanceCase[] = [
  methodCase('mining.configure', 'must', 'is answered while work runs', [[], {}], expectNoError),
  methodCase('mining.subscribe', 'must', 'is answered while work runs', []),
  methodCase('mining.authorize', 'must', 'is answered while work runs', ['', '']),
  methodCase('mining.submit', 'must', 'is answered whatever it says', ['', '', '', '', ''], (reply) =>
    expectRefused(reply, 'an empty submit'),
  ),
  methodCase('mining.suggest_difficulty', 'must', 'is answered', [0.001]),
  methodCase('mining.suggest_target', 'must', 'is answered', ['f'.repeat(56).padStart(64, '0')]),
  methodCase('mining.extranonce.subscribe', 'should', 'is answered true', [], (reply) =>
    expectThat(reply.result === true, 'true', reply.line),
  ),
  methodCase('mining.multi_version', 'must', 'is answered', [1]),
  methodCase('mining.get_transactions', 'must', 'is answered with a list or an error', ['1'], (reply) =>
    expectThat(Array.isArray(reply.result) || reply.code !== null, 'a list or an error', reply.line),
  ),
  methodCase('mining.ping', 'should', 'is answered "pong"', [], (reply) =>
    expectThat(reply.result === 'pong', '"pong"', reply.line),
  ),
  methodCase('mining.pong', 'must', 'is answered', []),
  methodCase('client.get_version', 'should', 'is answered with the name of the software', [], (reply) =>
    expectThat(typeof reply.result === 'string' && reply.result !== '', 'a name', reply.line),
  ),
  // What the pool says itself, said by the miner.
  ...['client.show_message', 'client.reconnect', 'mining.notify', 'mining.set_difficulty'].map((method) =>
    methodCase(method, 'must', 'is the pool to say: from a miner it is answered and changes nothing', ['x']),
  ),
  ...['mining.set_extranonce', 'mining.set_version_mask'].map((method) =>
    methodCase(method, 'must', 'is the pool to say: from a miner it is answered and changes nothing', [
      'ff',
      1,
    ]),
  ),
  {
    name: 'methods/unknown',
    level: 'must',
    rule: 'an unknown method is answered with an error, and the connection goes on',
    source: 'NOMP and hydrapool are silent, and firmware waits',
    async run(pool) {
      const miner = await pool.miner();
      for (const method of [
        'mining.nonsense',
        'x',
        '',
        'toString',
        '__proto__',
        'MINING.SUBMIT',
        'mining.subscribe ',
      ]) {
        expectRefused(await answeredOnce(miner, method, []), `method "${method}"`);
      }
      return undefined;
    },
  },
  {
    name: 'methods/unknown-code',
    level: 'should',
    rule: 'the error of an unknown method has code 20',
    source: "slush0's stratum-mining: 20 other",
    async run(pool) {
      const connection = await pool.connect();
      expectRefused(await connection.request('mining.nonsense', []), 'an unknown method', [20]);
      return undefined;
    },
  },
  {
    name: 'methods/unknown-first',
    level: 'must',
    rule: 'an unknown method before subscribe does not end the connection',
    source: 'BIP310: not all pools take what they do not know',
    async run(pool) {
      const connection = await pool.connect();
      expectRefused(await connection.request('mining.capabilities', {}), 'mining.capabilities');
      const reply = await connection.request('mining.subscribe', []);
      expectThat(Array.isArray(reply.result), 'a subscription', reply.line);
      return undefined;
    },
  },
];
