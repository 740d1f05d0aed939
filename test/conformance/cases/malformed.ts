// Lines that are no requests. Each is answered or ends the connection; never silence, and never the pool's end: the
// next connection is served.
import type { ConformanceCase, PoolUnderTest } from '../case.js';
import { expectThat } from '../expectation.js';

/**
 * Sends bytes on a new connection: the pool answers or closes. Where the connection stays, a request on it is
 * answered; a further connection is served in any case.
 */
export async function answeredOrClosed(pool: PoolUnderTest, bytes: Uint8Array): Promise<string> {
  const connection = await pool.connect();
  connection.sendBytes(bytes);
  const answer = await connection.replyOrClose(0);
  if (connection.closed === null) {
    const reply = await connection.request('mining.subscribe', []);
    expectThat(
      reply.result !== undefined || reply.code !== null,
      'the connection still answered',
      reply.line,
    );
  }
  await pool.expectServing();
  return answer === null ? 'closed' : 'answered';
}

const DEPTH = 7000;
const nested = (open: string, close: string, depth: number): string =>
  open.repeat(depth) + close.repeat(depth);
const request = (params: string, method = '"mining.subscribe"'): string =>
  `{"id":1,"method":${method},"params":${params}}`;

const LINES: readonly (readonly [what: string, line: string | Buffer])[] = [
  ['not-json', 'hello pool'],
  ['http', 'GET / HTTP/1.1'],
  ['cut-off', '{"id":1,"method":"mining.subscribe","params":['],
  ['trailing-text', `${request('[]')} x`],
  ['trailing-comma', '{"id":1,"method":"mining.subscribe","params":[],}'],
  ['single-quotes', "{'id':1,'method':'mining.subscribe','params':[]}"],
  ['number', '1'],
  ['text', '"mining.subscribe"'],
  ['null', 'null'],
  ['empty-object', '{}'],
  ['batch', `[${request('[]')},${request('[]')}]`],
  ['method-missing', '{"id":1,"params":[]}'],
  ['method-number', request('[]', '5')],
  ['method-list', request('[]', '["mining.subscribe"]')],
  ['method-long', request('[]', JSON.stringify('m'.repeat(10_000)))],
  ['params-object', request('{"agent":"x"}')],
  ['params-text', request('"x"')],
  ['params-many', request(`[${'0,'.repeat(5000)}0]`)],
  [
    'proto-members',
    '{"id":1,"method":"mining.subscribe","params":[],"__proto__":{"method":"x"},"constructor":1}',
  ],
  ['proto-params', request('[{"__proto__":{"length":5}}]', '"mining.submit"')],
  [
    'duplicate-members',
    '{"id":1,"id":2,"method":"mining.submit","method":"mining.subscribe","params":[1],"params":[]}',
  ],
  ['deep-params', request(nested('[', ']', DEPTH))],
  ['deep-objects', request(`[${'{"a":'.repeat(2500)}1${'}'.repeat(2500)}]`)],
  ['deep-line', nested('[', ']', DEPTH)],
  ['deep-unclosed', '['.repeat(15_000)],
  ['lone-surrogate', request('["\\ud800"]')],
  ['lone-surrogate-user', request('["conformance.\\udfff","x"]', '"mining.authorize"')],
  ['nul-escaped', request('["a\\u0000b"]')],
  ['nul-raw', Buffer.from(request('["a\u0000b"]'))],
  [
    'not-utf8',
    Buffer.concat([
      Buffer.from('{"id":1,"method":"mining.subscribe","params":["'),
      Buffer.of(0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80),
      Buffer.from('"]}'),
    ]),
  ],
  ['byte-order-mark', Buffer.concat([Buffer.of(0xef, 0xbb, 0xbf), Buffer.from(request('[]'))])],
  ['utf16', Buffer.from(`${request('[]')}\n`, 'utf16le')],
  ['numbers-beyond-double', request('[1e999,-1e999,1e-999]')],
  ['nan', request('[NaN]')],
  ['binary', Buffer.from(Array.from({ length: 256 }, (_, byte) => (byte === 10 ? 0 : byte)))],
  ['tls-hello', Buffer.from('16030100a5010000a10303', 'hex')],
];

export const malformedCases: readonly ConformanceCase[] = [
  ...LINES.map(
    ([what, line]): ConformanceCase => ({
      name: `malformed/${what}`,
      level: 'must',
      rule: 'such a line is answered or ends the connection, and the next connection is served',
      source:
        "Seriot's Parsing JSON is a Minefield; public-pool#2 and #126, sv2-apps#876: pools that died of a line",
      hostile: true,
      run: (pool) => answeredOrClosed(pool, Buffer.concat([Buffer.from(line), Buffer.from('\n')])),
    }),
  ),
  {
    name: 'malformed/many',
    level: 'must',
    rule: 'malformed lines without end are bounded: the connection ends, or each is answered',
    source: 'before authorize everything is hostile',
    hostile: true,
    async run(pool) {
      const connection = await pool.connect();
      const count = 200;
      connection.send(Array.from({ length: count }, () => '{"nonsense'));
      const all = (): boolean => connection.received.length >= count;
      await connection.next('an answer to each, or the end', all, 0).catch((error: Error) => {
        if (connection.closed === null) throw error;
      });
      await pool.expectServing();
      return connection.closed === null
        ? `${count} answers`
        : `closed after ${connection.received.length} answers`;
    },
  },
  {
    name: 'malformed/while-mining',
    level: 'must',
    rule: 'one malformed line of an authorized miner is answered, and its work goes on',
    source: 'firmware under memory pressure',
    async run(pool) {
      const miner = await pool.miner();
      const { connection } = miner;
      const from = connection.received.length;
      connection.send(['{"id":5,"method":"mining.sub']);
      await connection.replyOrClose(from);
      const reply = await miner.submit(await miner.mine());
      expectThat(reply.result === true, 'the next share accepted', reply.line);
      return undefined;
    },
  },
];
