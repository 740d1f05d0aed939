// Each method of Stratum V1 as a miner sees it, and what becomes of everything that is none.
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { VERDICTS, verdictByName } from '../../engine/work/verdict.js';
import { ADDRESS, type Peer, SmallHost } from './stratum-small-host.js';

let host: SmallHost;
let peer: Peer;
beforeEach(() => {
  host = new SmallHost();
  host.putUp();
  peer = host.connect();
});

const USER = `${ADDRESS}.rig`;

describe('methods of Stratum V1', () => {
  it.each([
    ['mining.ping', [], 'pong'],
    ['client.get_version', [], 'millrace/1.2.3'],
    ['mining.extranonce.subscribe', [], true],
    ['mining.multi_version', [4], true],
    ['mining.suggest_difficulty', [512], true],
  ])('%s is answered', (method, params, result) => {
    expect(peer.ask(method, params, 'a').reply).toEqual({ id: 'a', result, error: null });
  });

  it('mining.get_transactions: no transactions for a job that is known, an error for another', () => {
    peer.mine();
    expect(peer.ask('mining.get_transactions', ['1']).reply).toEqual({ id: 1, result: [], error: null });
    for (const params of [['ff'], [], [1]]) {
      expect(peer.ask('mining.get_transactions', params).reply.error).toEqual([21, 'Job not found', null]);
    }
  });

  it('mining.subscribe takes empty, missing and null parameters', () => {
    for (const line of [
      '{"id":1,"method":"mining.subscribe","params":[]}',
      '{"id":1,"method":"mining.subscribe"}',
      '{"id":1,"method":"mining.subscribe","params":null}',
      '{"id":1,"method":"mining.subscribe","params":[null,null,"host",3333]}',
    ]) {
      expect(host.connect().say(line)[0]).toMatchObject({
        id: 1,
        result: [expect.any(Array), expect.any(String), 8],
        error: null,
      });
    }
  });

  it('a full pool refuses the newcomer in words and nobody else', () => {
    peer.mine();
    host.leaseExtranonce1 = () => null;
    expect(host.connect().ask('mining.subscribe').reply).toMatchObject({ error: [20, /full/, null] });
    expect(peer.ask('mining.ping').reply.result).toBe('pong');
  });

  it('a miner may authorize any number of names, each once, before or after it subscribes', () => {
    for (const user of [USER, `${ADDRESS}.b`, USER, `${ADDRESS}`]) {
      expect(peer.ask('mining.authorize', [user, 'x']).reply).toEqual({ id: 1, result: true, error: null });
    }
    peer.ask('mining.subscribe');
    expect(peer.ask('mining.authorize', [`${ADDRESS}.c`]).reply.result).toBe(true);
    expect([...peer.session.names.values()].map(({ worker }) => worker)).toEqual(['rig', 'b', '', 'c']);
  });

  it.each([
    [[], /user name/],
    [[''], /user name/],
    [[null, 'x'], /user name/],
    [[['a'], 'x'], /user name/],
    [[`${ADDRESS}.a b`], /Worker name/],
    [[`${ADDRESS}.${'w'.repeat(65)}`], /64 characters/],
    [[`${'a'.repeat(161)}`], /longer/],
    [['bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'], /network/],
    [['1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2.rig'], /network/],
    [[`${ADDRESS}.<script>`], /Worker name/],
    [['mün.rig'], /account name/],
    [[`${ADDRESS}.%3Cb%3E`], /Worker name/],
    // As Latin-1 this character is a line feed: quoted as it came, it would end the reply.
    [['bcrt1qw508d6qejxtdg4y\u010a5r3zarvary0c5xw7kygt080'], /lower case/],
  ])('refuses to authorize %j with code 24 and the reason in words', (params, reason) => {
    const { reply } = peer.ask('mining.authorize', params);
    expect(reply).toMatchObject({ result: null, error: [24, expect.stringMatching(reason), null] });
    expect(peer.session.authorized).toBe(false);
  });

  it('understands names that firmware percent-encodes, and finds them again in submits', () => {
    const user = `${ADDRESS}.rig%2D1%5fa`;
    peer.mine({ user });
    expect([...peer.session.names.values()]).toEqual([{ account: ADDRESS, worker: 'rig-1_a' }]);
    peer.submit(host.putUp(), 1, { user });
    expect(host.shares).toHaveLength(1);
  });

  it('a name that Avalon cuts after 63 characters is still the account of its address', () => {
    const user = `${ADDRESS}.${'w'.repeat(40)}`.slice(0, 63);
    expect(peer.ask('mining.authorize', [user]).reply.result).toBe(true);
    expect([...peer.session.names.values()][0]?.account).toBe(ADDRESS);
  });

  it('mining.configure answers every extension it was asked for', () => {
    const extensions = [
      ...['version-rolling', 'minimum-difficulty', 'subscribe-extranonce', 'info'],
      ...['__proto__', 'constructor', 'x2'],
    ];
    const options = {
      ...{ 'version-rolling.mask': 'ffffffff', 'minimum-difficulty.value': 2048.5 },
      ...{ 'info.connection-url': 'stratum+tcp://pool:3333', 'info.hw-id': 'a1', 'info.sw-version': 'bOS 1' },
    };
    const { reply, rest } = peer.ask('mining.configure', [extensions, options]);
    expect(Object.entries(reply.result)).toEqual([
      ['version-rolling', true],
      ['version-rolling.mask', '1fffe000'],
      ['minimum-difficulty', true],
      ['subscribe-extranonce', true],
      ['info', true],
      ['__proto__', false],
      ['constructor', false],
      ['x2', false],
    ]);
    expect(rest).toMatchObject([{ method: 'mining.set_version_mask', params: ['1fffe000'] }]);
    expect(peer.ask('mining.configure', [extensions, options]).rest).toEqual([]);
  });

  it.each([
    ['minimum-difficulty', { 'minimum-difficulty.value': -1 }],
    ['minimum-difficulty', { 'minimum-difficulty.value': '5' }],
    ['minimum-difficulty', {}],
    ['info', { 'info.hw-id': 5 }],
    ['info', { 'info.connection-url': 'u'.repeat(257) }],
  ])('says in words what is wrong with %s, and negotiates the rest all the same', (extension, options) => {
    const { reply } = peer.ask('mining.configure', [[extension, 'version-rolling'], options]);
    expect(reply.result[extension]).toMatch(/must be/);
    expect(reply.result['version-rolling']).toBe(true);
  });

  it('takes the name of the firmware from info when mining.subscribe gives none', () => {
    peer.ask('mining.configure', [['info'], { 'info.sw-version': 'BOS+ 24.1\u0000\u00fc' }]);
    peer.say(
      { id: 1, method: 'mining.subscribe', params: [] },
      { id: 2, method: 'mining.authorize', params: [USER] },
    );
    host.connect().mine();
    expect(host.agents).toEqual(['BOS+ 24.1', 'test/1.0']);
  });

  it('messages and the wish to reconnect go out as the field has them, to no other host', () => {
    peer.session.showMessage(`hello\n\u4e2d ${'m'.repeat(300)}`);
    peer.session.reconnect();
    const [message, reconnect] = peer.heard();
    expect(message).toEqual({
      ...{ id: null, method: 'client.show_message' },
      params: [`hello ${'m'.repeat(250)}`],
    });
    expect(reconnect).toEqual({ id: null, method: 'client.reconnect', params: [] });
  });

  it('renews a job on request: with one it has not seen', () => {
    peer.mine();
    peer.session.renewJob();
    expect(peer.say()).toEqual([]);
    expect(peer.session.waitsForJob).toBe(true);
    host.putUp({}, 'retarget');
    expect(peer.heard()).toMatchObject([{ method: 'mining.notify', params: ['2', false] }]);
  });
});

describe('what is no request', () => {
  it.each([
    '{"id":7,"result":"cgminer/4.11","error":null}',
    '{"id":null,"result":null,"error":[20,"x",null]}',
    '{"id":7,"result":true}',
    '{"id":7,"error":null}',
    '{"id":null,"method":"mining.pong","params":[]}',
    '\r',
    '',
  ])('%j is a reply of the miner or nothing: it is heard in silence', (line) => {
    for (let i = 0; i < 30; i++) expect(peer.say(line)).toEqual([]);
    expect(host.closed).toEqual([]);
  });

  it.each([
    ['{"id":12,"method":"mining.submit","params":{"a":1}}', 12],
    ['{"id":"x","params":[]}', 'x'],
    ['{"id":3,"method":5}', 3],
    ['{"id":1,"id":2,"method":"nothing"}', 2],
    ['{"id":1.5,"method":"nothing"}', 1.5],
    ['{"id":1e300,"method":"nothing"}', 1e300],
    ['{"id":123456789012345678901234567890,"method":"nothing"}', 1.2345678901234568e29],
    ['{"id":"\\ud800","method":"mining.ping"}', null],
    ['{"id":[[1]],"method":"mining.ping"}', null],
    [`{"id":"${'i'.repeat(65)}","method":"mining.ping"}`, null],
    ['{"id":1,"method":"mining.ping\u0000"', null],
  ])('%s is answered with an error, under its id where that can be said', (line, id) => {
    expect(peer.say(line)).toMatchObject([{ id, result: null, error: [20, expect.any(String), null] }]);
  });

  it('every line that is no reply gets exactly one reply, printable, whatever is in it', () => {
    const method = fc.constantFrom(
      ...['mining.configure', 'mining.subscribe', 'mining.authorize', 'mining.submit', 'mining.ping'],
      ...[
        'mining.suggest_difficulty',
        'mining.suggest_target',
        'mining.get_transactions',
        'client.get_version',
      ],
      ...['mining.extranonce.subscribe', 'mining.multi_version', 'toString', '__proto__', 'mining.nothing'],
    );
    const id = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.constant(null), fc.jsonValue());
    const request = fc.record({ id, method, params: fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()) });
    const line = fc.oneof(
      request.map((value) => JSON.stringify(value)),
      fc.json(),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 9 }), (lines) => {
        const one = host.connect();
        for (const text of lines) {
          if (one.session.closed) return;
          const replies = one.say(text).filter(({ method }) => method === undefined);
          const isReply = /"(result|error)"/.test(text) && !/"method"/.test(text);
          if (isReply || text === '' || text === '\r') expect(replies.length).toBeLessThan(2);
          else expect([text, replies.length]).toEqual([text, 1]);
          for (const reply of replies) expect(Object.keys(reply)).toEqual(['id', 'result', 'error']);
        }
      }),
      { seed: 4, numRuns: 1500 },
    );
  });
});

describe('what counts against a miner', () => {
  it.each(VERDICTS.map(({ name }) => name))('%s', (name) => {
    peer.mine();
    host.clockMs = 5000;
    peer.session.inFlight++;
    peer.session.settle('1', verdictByName(name), 1000);
    const { validShares, invalidShares, lastValidMs } = peer.session;
    const innocent = ['accepted', 'stale', 'storage_failed', 'filter_full'].includes(name);
    expect({ validShares, invalidShares, lastValidMs }).toEqual({
      validShares: name === 'accepted' ? 1 : 0,
      invalidShares: innocent ? 0 : 1,
      lastValidMs: name === 'accepted' ? 5000 : 0,
    });
  });

  it('submits under a name that was never authorized', () => {
    peer.mine();
    peer.submit(host.putUp(), 1, { user: 'somebody' });
    expect([peer.session.invalidShares, host.unjournaled]).toEqual([1, ['unauthorized']]);
  });
});

describe('firmware that cannot take our coinbase', () => {
  it('is told to the operator by name, once a job is sent to it', () => {
    const host = new SmallHost();
    host.putUp();
    const nerd = host.connect();
    nerd.say({ id: 1, method: 'mining.subscribe', params: ['NerdMinerV2/1.0'] });
    expect(host.warnings).toEqual([]);
    host.putUp({ coinbase2: new Uint8Array(300) });
    expect(host.warnings).toEqual([expect.stringMatching(/^nerdminer .* 255 bytes, ours have 382/)]);
    const other = host.connect();
    other.say({ id: 1, method: 'mining.subscribe', params: ['cgminer/4.11'] });
    expect(host.warnings).toHaveLength(1);
  });
});
