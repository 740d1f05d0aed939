import { describe, expect, it } from 'vitest';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import type { ShareTarget } from '../../engine/shares/submission.js';
import type { BoardJob } from '../../engine/stratum/job-board.js';
import type { JobMessage } from '../../engine/stratum/thread-messages.js';
import { Session } from '../../engine/stratum/v1/session.js';
import type { SessionHost, SessionRefusal, SessionShare } from '../../engine/stratum/v1/session-host.js';
import { verdictByName } from '../../engine/work/verdict.js';

const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';

interface Harness {
  session: Session;
  say(line: string): unknown[];
  jobs: BoardJob[];
  shares: { share: SessionShare; target: ShareTarget }[];
  refusals: SessionRefusal[];
  unjournaled: string[];
  closed: string[];
  sent: () => unknown[];
}

function job(key: number, overrides: Partial<JobMessage> = {}): BoardJob {
  const message: JobMessage = {
    key,
    id: key.toString(16),
    height: 10,
    previousBlockHash: '11'.repeat(32),
    previousBlock: new Uint8Array(32),
    version: 0x20000000,
    bits: 0x207fffff,
    networkTargetLE: new Uint8Array(32),
    networkDifficulty: 100,
    curtime: 1_700_000_000,
    mintime: 1_699_999_000,
    coinbase1: new Uint8Array(),
    coinbase2: new Uint8Array(),
    branch: [],
    notify: `{"id":null,"method":"mining.notify","params":["${key.toString(16)}",false]}\n`,
    notifyClean: `{"id":null,"method":"mining.notify","params":["${key.toString(16)}",true]}\n`,
    ...overrides,
  };
  const [notify, notifyClean] = [Buffer.from(message.notify), Buffer.from(message.notifyClean)] as const;
  return {
    ...{ key, slot: 0, inFlight: 0, message, coinbaseBytes: 200, notify, notifyClean },
    ...{ supersededAtMs: 0, stale: false, gone: false },
  };
}

function harness(startDifficulty = 4): Harness {
  const out: unknown[] = [];
  const jobs: BoardJob[] = [job(1)];
  const shares: Harness['shares'] = [];
  const refusals: SessionRefusal[] = [];
  const unjournaled: string[] = [];
  const closed: string[] = [];
  let identities = 0;
  const host: SessionHost = {
    network: 'regtest',
    extranonce2Bytes: 8,
    startDifficulty,
    difficultyFloor: 1e-9,
    difficultyCeiling: 1e15,
    vardiff: null,
    software: 'millrace/test',
    nowMs: () => 0,
    currentJob: () => jobs.at(-1) ?? null,
    findJob: (id) => jobs.find((j) => j.message.id === id),
    leaseExtranonce1: () => Uint8Array.of(1, 2, 3, 4),
    takeClosedSession: () => null,
    defineIdentity: () => ++identities,
    recallDifficulty: () => null,
    rememberDifficulty: () => {},
    needJob: () => {},
    submitShare: (_session, share, target) => shares.push({ share, target }),
    refuseShare: (_session, refusal) => refusals.push(refusal),
    countUnjournaled: (verdict) => unjournaled.push(verdict),
    send: (_session, line) => out.push(JSON.parse(line)),
    sendShared: (_session, line) => out.push(JSON.parse(line.toString('latin1'))),
    warnOnce: () => {},
    authorized: () => {},
    close: (_session, reason) => closed.push(reason),
  };
  const session = new Session(host, 1, '127.0.0.1', {
    ...{ name: 'stratum', port: 0, kind: 'tcp' },
    ...{ startDifficulty: null, minDifficulty: null, maxDifficulty: null },
  });
  return {
    session,
    jobs,
    shares,
    refusals,
    unjournaled,
    closed,
    sent: () => out.splice(0),
    say(line) {
      out.length = 0;
      session.handleLine(Buffer.from(line), 0);
      session.endOfInput();
      return out.splice(0);
    },
  };
}

function mining(startDifficulty?: number): Harness {
  const h = harness(startDifficulty);
  h.say('{"id":1,"method":"mining.subscribe","params":["test/1.0"]}');
  h.say(`{"id":2,"method":"mining.authorize","params":["${ADDRESS}.rig1","x"]}`);
  return h;
}

const submitLine = (fields: unknown[], id: unknown = 7) =>
  JSON.stringify({ id, method: 'mining.submit', params: fields });
const GOOD = [`${ADDRESS}.rig1`, '1', '0011223344556677', '6553f100', 'deadbeef'];

describe('Stratum V1 session', () => {
  it('answers subscribe with extranonce1 and sends the difficulty right before the first job', () => {
    const h = harness();
    const [reply, difficulty, notify] = h.say('{"id":1,"method":"mining.subscribe","params":[]}');
    expect(reply).toMatchObject({ id: 1, result: [expect.anything(), '01020304', 8], error: null });
    expect(difficulty).toMatchObject({ method: 'mining.set_difficulty', params: [4] });
    expect(notify).toMatchObject({ method: 'mining.notify', params: ['1', true] });
  });

  it('sends a job once: a second subscribe repeats the answer, not the job', () => {
    const h = mining();
    expect(h.say('{"id":9,"method":"mining.subscribe","params":[]}')).toHaveLength(1);
  });

  it('never announces a difficulty above the network difficulty', () => {
    const h = harness(5000);
    const [, difficulty] = h.say('{"id":1,"method":"mining.subscribe"}');
    expect(difficulty).toMatchObject({ params: [100] });
  });

  it('reads a nonce without its leading zeros, as NerdMiner writes it', () => {
    const h = mining();
    h.say(submitLine([...GOOD.slice(0, 4), 'BeeF']));
    expect(h.shares[0]?.share.nonce).toBe(0xbeef);
  });

  it('passes a well-formed share on with the exact target its job was announced with', () => {
    const h = mining();
    h.say(submitLine(GOOD));
    expect(h.shares).toHaveLength(1);
    expect(h.shares[0]?.share).toMatchObject({ nonce: 0xdeadbeef, ntime: 0x6553f100, version: 0x20000000 });
    expect(h.shares[0]?.target.targetLE).toEqual(targetToBytesLE(targetFromDifficulty(4)));
    h.session.settle('7', verdictByName('accepted'), 4);
    expect(h.sent()).toEqual([{ id: 7, result: true, error: null }]);
  });

  it('judges a late share of an old job by the difficulty of that job', () => {
    const h = mining(200); // clamped to the network difficulty, 100
    h.jobs.push(job(2, { networkDifficulty: 50 }));
    h.session.sendJob(h.jobs[1] as BoardJob);
    expect(h.sent()).toMatchObject([
      { method: 'mining.set_difficulty', params: [50] },
      { method: 'mining.notify' },
    ]);
    h.say(submitLine(GOOD));
    h.say(submitLine([GOOD[0], '2', ...GOOD.slice(2)]));
    expect(h.shares.map(({ target }) => target.difficulty)).toEqual([100, 50]);
  });

  it.each([
    ['job not found', [GOOD[0], 'ff', ...GOOD.slice(2)], 'unknown_job'],
    ['extranonce2 too short', [GOOD[0], '1', '00112233445566', GOOD[3], GOOD[4]], 'bad_extranonce'],
    ['extranonce2 with a non-hex tail', [GOOD[0], '1', '001122334455667x', GOOD[3], GOOD[4]], 'malformed'],
    ['nonce of nine digits', [GOOD[0], '1', GOOD[2], GOOD[3], '0deadbeef'], 'malformed'],
    ['nonce of no digits', [GOOD[0], '1', GOOD[2], GOOD[3], ''], 'malformed'],
    ['nonce with 0x', [GOOD[0], '1', GOOD[2], GOOD[3], '0xdeadbe'], 'malformed'],
    ['a missing nonce', GOOD.slice(0, 4), 'malformed'],
    ['a number for the nonce', [...GOOD.slice(0, 4), 1], 'malformed'],
    ['ntime before mintime', [GOOD[0], '1', GOOD[2], '00000001', GOOD[4]], 'bad_ntime'],
    ['ntime more than two hours ahead', [GOOD[0], '1', GOOD[2], '65540e00', GOOD[4]], 'bad_ntime'],
    ['version bits that were never negotiated', [...GOOD, '00002000'], 'bad_version_bits'],
  ])('refuses a share with %s', (_what, fields, verdict) => {
    const h = mining();
    h.say(submitLine(fields));
    expect(h.shares).toHaveLength(0);
    expect(h.refusals).toMatchObject([{ verdict }]);
  });

  it('does not journal what an unknown peer submits, but answers it', () => {
    const h = harness();
    expect(h.say(submitLine(GOOD))).toMatchObject([
      { id: 7, result: null, error: [25, expect.any(String), null] },
    ]);
    h.say('{"id":1,"method":"mining.subscribe"}');
    expect(h.say(submitLine(GOOD))).toMatchObject([{ error: [24, expect.any(String), null] }]);
    expect(h.unjournaled).toEqual(['not_subscribed', 'unauthorized']);
  });

  it('rebuilds the version as BIP310 says: template bits inside the mask are replaced, not or-ed', () => {
    const h = mining();
    const [reply, mask] = h.say(
      '{"id":3,"method":"mining.configure","params":[["version-rolling","unheard-of"],{"version-rolling.mask":"00ffe000","version-rolling.min-bit-count":2}]}',
    );
    expect(reply).toMatchObject({
      result: { 'version-rolling': true, 'version-rolling.mask': '00ffe000', 'unheard-of': false },
    });
    expect(mask).toMatchObject({ method: 'mining.set_version_mask', params: ['00ffe000'] });
    const table: [template: number, bits: string, expected: number][] = [
      [0x20000000, '00002000', 0x20002000],
      [0x20002000, '00000000', 0x20000000],
      [0x20006000, '00002000', 0x20002000],
      [0x3fffe000, '00ffe000', 0x3fffe000],
    ];
    for (const [template, bits, expected] of table) {
      h.jobs.push(job(h.jobs.length + 1, { version: template }));
      h.session.sendJob(h.jobs.at(-1) as BoardJob);
      h.say(submitLine([GOOD[0], (h.jobs.at(-1) as BoardJob).message.id, ...GOOD.slice(2), bits]));
      expect(h.shares.at(-1)?.share.version).toBe(expected);
    }
    h.say(submitLine([...GOOD, '01000000']));
    expect(h.refusals.at(-1)).toMatchObject({ verdict: 'bad_version_bits' });
  });

  it('declines version rolling when fewer bits are left than the miner needs', () => {
    const h = harness();
    const [reply] = h.say(
      '{"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00002000","version-rolling.min-bit-count":2}]}',
    );
    expect(reply).toMatchObject({ result: { 'version-rolling': false } });
    expect(h.session.versionMask).toBe(0);
  });

  it.each([
    ['an address of another network', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig'],
    ['a mistyped address', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081.rig'],
    ['a worker name with HTML', `${ADDRESS}.<b>x</b>`],
    ['an empty name', ''],
  ])('refuses to authorize %s and says why', (_what, user) => {
    const h = harness();
    h.say('{"id":1,"method":"mining.subscribe"}');
    expect(h.say(JSON.stringify({ id: 2, method: 'mining.authorize', params: [user, 'x'] }))).toMatchObject([
      { id: 2, result: null, error: [24, expect.any(String), null] },
    ]);
    expect(h.session.authorized).toBe(false);
  });

  it('takes an upper-case bech32 address for the same account', () => {
    const h = harness();
    h.say('{"id":1,"method":"mining.subscribe"}');
    h.say(`{"id":2,"method":"mining.authorize","params":["${ADDRESS.toUpperCase()}.a"]}`);
    expect([...h.session.names.values()]).toEqual([{ account: ADDRESS, worker: 'a' }]);
  });

  it.each([
    'not json',
    '[]',
    'null',
    '42',
    '{"id":1}',
    '{"id":{"a":1},"method":"mining.subscribe"}',
    '{"id":1e999,"method":"mining.subscribe"}',
    '{"id":1,"method":"mining.submit","params":{"a":1}}',
    `{"id":1,"method":"x","params":${'['.repeat(4000)}${']'.repeat(4000)}}`,
    '{"id":5,"method":"mining.unheard_of","params":[]}',
    '{"id":5,"method":"mining.configure","params":[]}',
    '{"id":5,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":7}]}',
    '{"id":5,"method":"mining.authorize","params":[{}]}',
    '\u0000\u0001\ud800',
  ])('answers %s with an error and stays up', (line) => {
    const h = harness();
    expect(h.say(line)).toMatchObject([
      { result: null, error: [expect.any(Number), expect.any(String), null] },
    ]);
    expect(h.say('{"id":1,"method":"mining.subscribe"}')[0]).toMatchObject({ error: null });
  });

  it('is deaf once it is closed: what still arrives is nobody’s', () => {
    const h = mining();
    h.session.closed = true;
    expect(h.say(submitLine(GOOD))).toEqual([]);
    expect([h.shares, h.refusals]).toEqual([[], []]);
    expect(h.say('{"id":1,"method":"mining.subscribe"}')).toEqual([]);
  });

  it('goes back to its difficulty after the network difficulty dipped for a block', () => {
    const h = mining(80);
    for (const [key, networkDifficulty] of [
      [2, 1],
      [3, 100],
    ] as const) {
      h.jobs.push(job(key, { networkDifficulty }));
      h.session.sendJob(h.jobs.at(-1) as BoardJob);
    }
    expect(h.sent()).toMatchObject([{ params: [1] }, {}, { params: [80] }, {}]);
  });

  it('closes a peer that only sends what cannot be read', () => {
    const h = harness();
    for (let i = 0; i < 10; i++) h.say('garbage');
    expect(h.closed).toEqual(['malformed']);
  });

  it('echoes string, number and null ids as they came', () => {
    const h = mining();
    for (const id of ['abc', 'a"b', 0, -1.5, null]) {
      expect(h.say(JSON.stringify({ id, method: 'mining.unheard_of' }))).toMatchObject([{ id }]);
    }
  });
});
