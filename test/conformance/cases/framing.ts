// Lines and packets: TCP carries bytes, and a request may come in any pieces.
import type { ConformanceCase } from '../case.js';
import { isReply } from '../connection.js';
import { CaseFailure, expectThat } from '../expectation.js';
import { type Miner, type Share, submitFields } from '../miner.js';

/** The largest line a miner has reason to send is far below 16 KiB. */
const LINE_MAX = 16 * 1024;
const ENDLESS_MAX = 1024 * 1024;
const ENDLESS_PIECE = 16 * 1024;

const SUBSCRIBE = '{"id":1,"method":"mining.subscribe","params":[]}';

export const framingCases: readonly ConformanceCase[] = [
  {
    name: 'framing/byte-by-byte',
    level: 'must',
    rule: 'a request that comes one byte a packet is answered',
    source: 'TCP',
    async run(pool) {
      const connection = await pool.connect();
      await connection.sendByteByByte(SUBSCRIBE);
      const reply = await connection.reply(1, 0, 'mining.subscribe');
      expectThat(Array.isArray(reply.result), 'a subscription', reply.line);
      return undefined;
    },
  },
  {
    name: 'framing/share-byte-by-byte',
    level: 'must',
    rule: 'a share that comes one byte a packet is accepted',
    source: 'TCP; a fast path that reads whole packets only',
    async run(pool) {
      const miner = await pool.miner();
      const params = submitFields(await miner.mine(), undefined, miner.user);
      const from = miner.connection.received.length;
      await miner.connection.sendByteByByte(JSON.stringify({ id: 77, method: 'mining.submit', params }));
      const reply = await miner.connection.reply(77, from, 'the share');
      expectThat(reply.result === true, 'the share accepted', reply.line);
      return undefined;
    },
  },
  {
    name: 'framing/many-in-one-packet',
    level: 'must',
    rule: 'all requests of a packet are answered',
    source: 'firmware pipelines configure, subscribe and authorize',
    async run(pool) {
      const connection = await pool.connect();
      const { user, password } = pool.settings;
      const requests = [
        {
          id: 1,
          method: 'mining.configure',
          params: [['version-rolling'], { 'version-rolling.mask': 'ffffffff' }],
        },
        { id: 2, method: 'mining.subscribe', params: [] },
        { id: 3, method: 'mining.authorize', params: [user, password] },
        { id: 4, method: 'mining.nonsense', params: [] },
        { id: 5, method: 'mining.submit', params: [user, 'no-such-job', '', '', ''] },
      ];
      connection.send(requests.map((request) => JSON.stringify(request)));
      for (const { id, method } of requests) await connection.reply(id, 0, method);
      return undefined;
    },
  },
  {
    name: 'framing/answers-in-order',
    level: 'must',
    rule: 'requests that carry no share are answered in the order in which they arrived',
    source: 'miners that keep a queue of what they asked instead of a table of ids',
    async run(pool) {
      const miner = await pool.miner();
      const { user } = miner;
      await expectInOrder(miner, [
        ['mining.authorize', [user, 'x']],
        ['mining.nonsense', []],
        ['mining.configure', [[], {}]],
        ['mining.authorize', ['', '']],
        ['mining.subscribe', []],
        ['mining.authorize', [user, 'x']],
      ]);
      return undefined;
    },
  },
  {
    name: 'framing/shares-in-order',
    level: 'should',
    rule: 'shares, good and bad, and what stands between them are answered in the order of arrival',
    source: 'as above; ids tell answers apart, so a pool may choose otherwise',
    async run(pool) {
      const miner = await pool.miner();
      const { user } = miner;
      const [first, second, third] = [await miner.mine(), await miner.mine(), await miner.mine()];
      const fields = (share: Share): string[] => submitFields(share, undefined, user);
      await expectInOrder(miner, [
        ['mining.submit', fields(first)],
        ['mining.authorize', [user, 'x']],
        ['mining.submit', [user, 'no-such-job', '0000000000000000', '00000000', '00000000']],
        ['mining.submit', fields(second)],
        ['mining.nonsense', []],
        ['mining.submit', fields(second)],
        ['mining.configure', [[], {}]],
        ['mining.submit', fields(third)],
      ]);
      return undefined;
    },
  },
  {
    name: 'framing/crlf',
    level: 'must',
    rule: 'lines may end with CR LF',
    source: 'firmware built on Windows sockets and Arduino println',
    async run(pool) {
      const miner = await pool.miner();
      const { connection } = miner;
      const from = connection.received.length;
      const params = submitFields(await miner.mine(), undefined, miner.user);
      connection.send([JSON.stringify({ id: 88, method: 'mining.submit', params })], '\r\n');
      const reply = await connection.reply(88, from, 'the share');
      expectThat(reply.result === true, 'the share accepted', reply.line);
      connection.send(['{"id":89,"method":"mining.configure","params":[[],{}]}'], '\r\n');
      await connection.reply(89, from, 'mining.configure');
      return undefined;
    },
  },
  {
    name: 'framing/blank-lines',
    level: 'must',
    rule: 'blank lines between requests do no harm',
    source: 'keep-alives of old firmware',
    async run(pool) {
      const connection = await pool.connect();
      connection.send(['', '', SUBSCRIBE, '']);
      const reply = await connection.reply(1, 0, 'mining.subscribe');
      expectThat(Array.isArray(reply.result), 'a subscription', reply.line);
      return undefined;
    },
  },
  {
    name: 'framing/split-character',
    level: 'should',
    rule: 'a character that is split between two packets is put together again',
    source: 'TCP, UTF-8',
    async run(pool) {
      const connection = await pool.connect();
      const bytes = Buffer.from('{"id":1,"method":"mining.subscribe","params":["矿机"]}\n');
      const cutAt = bytes.indexOf(0xe7) + 1;
      connection.sendBytes(bytes.subarray(0, cutAt));
      await new Promise((resolve) => setTimeout(resolve, 50));
      connection.sendBytes(bytes.subarray(cutAt));
      const reply = await connection.reply(1, 0, 'mining.subscribe');
      expectThat(Array.isArray(reply.result), 'a subscription', reply.line);
      return undefined;
    },
  },
  {
    name: 'framing/line-above-16-kib',
    level: 'should',
    rule: 'a line above 16 KiB is refused or ends the connection',
    source: 'ckpool 1 KiB, NOMP 10 KiB, DATUM 49 KiB; public-pool none',
    hostile: true,
    async run(pool) {
      const connection = await pool.connect();
      const agent = 'a'.repeat(LINE_MAX);
      connection.send([JSON.stringify({ id: 1, method: 'mining.subscribe', params: [agent] })]);
      const answer = await connection.replyOrClose(0);
      const taken = answer !== null && Array.isArray((JSON.parse(answer) as { result?: unknown }).result);
      expectThat(!taken, 'an error or the end of the connection', 'a subscription');
      await pool.expectServing();
      return answer === null ? 'closed' : 'refused';
    },
  },
  {
    name: 'framing/endless-line',
    level: 'must',
    rule: 'a line that never ends is not buffered for ever: the connection ends within 1 MiB',
    source: 'node-stratum-pool, public-pool: memory filled by strangers',
    hostile: true,
    async run(pool) {
      const connection = await pool.connect();
      const piece = Buffer.alloc(ENDLESS_PIECE, 'x');
      let sent = 0;
      for (; sent < ENDLESS_MAX && connection.closed === null; sent += piece.length) {
        connection.sendBytes(piece);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      if (!(await connection.untilClosed())) {
        throw new CaseFailure('the end of the connection', `${sent} bytes taken`);
      }
      await pool.expectServing();
      return `closed after at most ${sent / 1024} KiB`;
    },
  },
];

/** Sends the requests in one packet and looks at the order of their answers. */
async function expectInOrder(miner: Miner, calls: readonly (readonly [string, unknown])[]): Promise<void> {
  const { connection } = miner;
  const from = connection.received.length;
  const ids: unknown[] = [];
  const lines = calls.map(([method, params]) => {
    const id = connection.newId();
    ids.push(id);
    return JSON.stringify({ id, method, params });
  });
  connection.send(lines);
  for (const id of ids) await connection.reply(id as number, from, `request ${id}`);
  const answered = connection.received.slice(from).filter(({ message }) => isReply(message));
  const order = answered.map(({ message }) => message?.id).join(', ');
  expectThat(order === ids.join(', '), `answers ${ids.join(', ')}`, order);
}
