// mining.subscribe as slush0 described it and firmware speaks it.
import type { ConformanceCase } from '../case.js';
import { expectThat, shown } from '../expectation.js';
import { AGENT } from '../miner.js';

const SLUSH = "slush0's Stratum description";

/** Connections that are open together when extranonces are compared. */
const TOGETHER = 5;

function formCase(
  name: string,
  level: ConformanceCase['level'],
  rule: string,
  params: readonly unknown[],
): ConformanceCase {
  return {
    name: `subscribe/${name}`,
    level,
    rule,
    source: `${SLUSH}; forms seen from cgminer, ckpool, firmware`,
    async run(pool) {
      const miner = await pool.miner({ subscribe: params, authorize: false });
      return `extranonce1 ${miner.extranonce1.length} bytes, extranonce2 ${miner.extranonce2Bytes}`;
    },
  };
}

export const subscribeCases: readonly ConformanceCase[] = [
  formCase('agent', 'must', 'the usual form is answered [subscriptions, extranonce1, length]', [AGENT]),
  formCase('empty-params', 'must', 'parameters may be an empty list', []),
  formCase('null-session', 'must', 'the session id may be null', [AGENT, null]),
  formCase('host-and-port', 'should', 'host and port behind the session id are no harm', [
    AGENT,
    null,
    'pool.example',
    3333,
  ]),
  formCase('null-agent', 'should', 'the agent may be null', [null]),
  formCase('hostile-agent', 'must', 'an agent of markup, quotes and other scripts is no harm', [
    '"><script>alert(1)</script>\'; DROP TABLE shares; -- \u202e矿机\u0000\n',
  ]),
  formCase('long-agent', 'should', 'an agent of 1000 characters is no harm', ['a'.repeat(1000)]),
  {
    name: 'subscribe/no-params-member',
    level: 'should',
    rule: 'params may be left out',
    source: 'firmware with hand-made JSON',
    async run(pool) {
      const connection = await pool.connect();
      const id = connection.newId();
      connection.send([JSON.stringify({ id, method: 'mining.subscribe' })]);
      const reply = await connection.reply(id, 0, 'mining.subscribe without params');
      expectThat(Array.isArray(reply.result), 'a subscription', reply.line);
      return undefined;
    },
  },
  {
    name: 'subscribe/subscriptions',
    level: 'must',
    rule: 'the subscriptions name mining.notify with an id',
    source: `${SLUSH}; cgminer takes the session id from it`,
    async run(pool) {
      const miner = await pool.miner({ authorize: false });
      expectThat(miner.sessionId !== null, '["mining.notify", id] among them', 'none');
      return undefined;
    },
  },
  {
    name: 'subscribe/extranonce2-length',
    level: 'should',
    rule: 'extranonce2 has 4 to 8 bytes',
    source: 'stratum#1861: WhatsMiner cannot run more than 8; fewer than 4 starve a proxy',
    async run(pool) {
      const { extranonce2Bytes } = await pool.miner({ authorize: false });
      expectThat(extranonce2Bytes >= 4 && extranonce2Bytes <= 8, '4 to 8 bytes', extranonce2Bytes);
      return `${extranonce2Bytes} bytes`;
    },
  },
  {
    name: 'subscribe/extranonce1-unique',
    level: 'must',
    rule: 'connections that are open together have different extranonce1',
    source: 'nomp#46, braidpool#472: random ones collide',
    async run(pool) {
      const seen = new Set<string>();
      for (let i = 0; i < TOGETHER; i++) {
        const { extranonce1 } = await pool.miner({ authorize: false });
        seen.add(Buffer.from(extranonce1).toString('hex'));
      }
      expectThat(seen.size === TOGETHER, `${TOGETHER} different`, shown([...seen]));
      return [...seen].slice(0, 3).join(' ');
    },
  },
  {
    name: 'subscribe/twice',
    level: 'must',
    rule: 'subscribing again is answered and does not change extranonce1 under running work',
    source: 'one lease a connection, however often it subscribes (sv2-apps#730)',
    async run(pool) {
      const miner = await pool.miner();
      await miner.job();
      const before = Buffer.from(miner.extranonce1).toString('hex');
      const reply = await miner.connection.request('mining.subscribe', [AGENT]);
      const same = Array.isArray(reply.result) && reply.result[1] === before;
      expectThat(same || reply.code !== null, `extranonce1 ${before} again, or an error`, reply.line);
      return undefined;
    },
  },
  {
    name: 'subscribe/first-job',
    level: 'must',
    rule: 'a miner that subscribed and authorized gets a difficulty and a job at once',
    source: SLUSH,
    async run(pool) {
      const miner = await pool.miner();
      const { difficulty } = await miner.job();
      return `difficulty ${difficulty}`;
    },
  },
  {
    name: 'subscribe/job-before-authorize',
    level: 'should',
    rule: 'difficulty and first job come right after subscribe',
    source: 'blitzpool: firmware that waits for a job before it authorizes',
    async run(pool) {
      const miner = await pool.miner({ authorize: false });
      await miner.job();
      return undefined;
    },
  },
  {
    name: 'subscribe/odd-params',
    level: 'must',
    rule: 'parameters of other types are answered, and the connection goes on',
    source: 'public-pool#2: a pool died of a shape',
    hostile: true,
    async run(pool) {
      for (const params of [[5], [{}], [[]], [true], ['', ''], [AGENT, 7], [AGENT, {}], {}, 'x', 7, null]) {
        const connection = await pool.connect();
        await connection.request('mining.subscribe', params);
        connection.close();
      }
      return undefined;
    },
  },
];
