// Where a session's difficulty comes from, and its bounds: password, suggestion, earlier sessions, port, pool.
import { beforeEach, describe, expect, it } from 'vitest';
import { DifficultyMemory } from '../../engine/stratum/difficulty-memory.js';
import type { PortProfile } from '../../engine/stratum/port-profile.js';
import { parsePassword } from '../../engine/stratum/v1/password-options.js';
import { verdictByName } from '../../engine/work/verdict.js';
import { ADDRESS, difficultiesIn, jobsIn, type Peer, PORT, SmallHost } from './stratum-small-host.js';

let host: SmallHost;
beforeEach(() => {
  host = new SmallHost();
  host.putUp();
});

const USER = `${ADDRESS}.rig`;
const subscribe = { id: 1, method: 'mining.subscribe', params: [] };
const authorize = (password: string) => ({ id: 2, method: 'mining.authorize', params: [USER, password] });
const suggest = (difficulty: number) => ({
  id: 3,
  method: 'mining.suggest_difficulty',
  params: [difficulty],
});
const accepted = (peer: Peer, difficulty: number) => {
  peer.session.inFlight++;
  peer.session.settle('1', verdictByName('accepted'), difficulty);
};

/** A session of the user at this difficulty that did work and was closed. */
function workedAt(difficulty: number): string {
  const peer = host.connect();
  peer.mine({ password: `d=${difficulty}` });
  accepted(peer, difficulty);
  peer.disconnect();
  return peer.session.sessionId;
}

describe('start difficulty', () => {
  it('is the one that says most of the miner, of all that are known', () => {
    const port = { ...PORT, startDifficulty: 2000 };
    const id = workedAt(30_000);
    host.putUp();
    const start = (lines: object[], from: PortProfile = port) =>
      difficultiesIn(host.connect(from).say(...lines));
    expect(start([subscribe], PORT)).toEqual([1000]);
    expect(start([subscribe])).toEqual([2000]);
    expect(start([subscribe, authorize('x')])).toEqual([30_000]);
    const resume = { ...subscribe, params: ['', id] };
    host.rememberDifficulty({ account: ADDRESS, worker: 'rig' }, 40_000);
    expect(start([resume, authorize('x')])).toEqual([30_000]);
    expect(start([subscribe, suggest(50_000), authorize('x')])).toEqual([50_000]);
    expect(start([suggest(50_000), subscribe, authorize('x')])).toEqual([50_000]);
    expect(start([subscribe, suggest(50_000), authorize('d=60000')])).toEqual([60_000]);
    expect(start([subscribe, authorize('d=60000'), suggest(50_000)])).toEqual([60_000]);
    expect(start([authorize('d=60000'), subscribe])).toEqual([60_000]);
  });

  it('is told once, with the first job, when the miner says all of it in one burst', () => {
    const lines = host.connect().say(subscribe, suggest(5000), authorize('d=7000'));
    expect(lines.map(({ id, method }) => id ?? method)).toEqual([
      ...[1, 3, 2],
      ...['mining.set_difficulty', 'mining.notify'],
    ]);
    expect(difficultiesIn(lines)).toEqual([7000]);
    expect(jobsIn(lines)).toEqual(['1']);
  });

  it('comes with a fresh job when it is learnt after the first job went out', () => {
    const peer = host.connect();
    expect(difficultiesIn(peer.say(subscribe))).toEqual([1000]);
    expect(peer.say(authorize('d=7000'))).toMatchObject([{ id: 2, result: true }]);
    expect([peer.session.waitsForJob, host.jobsNeeded]).toEqual([true, 1]);
    host.putUp({}, 'retarget');
    expect(peer.heard()).toMatchObject([
      { method: 'mining.set_difficulty', params: [7000] },
      { method: 'mining.notify', params: ['2', false] },
    ]);
    expect(peer.session.waitsForJob).toBe(false);
  });

  it('uses a job that was made for others, at once, when this miner has not seen it', () => {
    const peer = host.connect();
    peer.say(subscribe);
    host.putUp({}, 'retarget');
    expect(peer.heard()).toEqual([]);
    expect(peer.say(authorize('d=7000')).slice(1)).toMatchObject([
      { method: 'mining.set_difficulty', params: [7000] },
      { method: 'mining.notify', params: ['2', false] },
    ]);
  });

  it.each([
    ['below the floor', 0.001, 1],
    ['above the ceiling', 1e12, 1e9],
    ['within', 4321, 4321],
    ['with a fraction that firmware would cut', 4321.3, 4320],
  ])('a suggestion %s is brought to what the pool can give', (_what, asked, given) => {
    const { reply } = host.connect().ask('mining.suggest_difficulty', [asked]);
    expect(reply).toEqual({ id: 1, result: true, error: null });
    expect(difficultiesIn(host.connect().say(subscribe, suggest(asked)))).toEqual([given]);
  });

  it('is never above the network difficulty', () => {
    host.putUp({ networkDifficulty: 300 });
    expect(difficultiesIn(host.connect().say(subscribe, suggest(5000)))).toEqual([300]);
  });

  it('keeps to the bounds of the port', () => {
    const port = { ...PORT, minDifficulty: 500, maxDifficulty: 600 };
    const start = (password: string) =>
      difficultiesIn(host.connect(port).say(subscribe, authorize(password)));
    expect([start('x'), start('d=1'), start('d=550'), start('d=1000,md=900')]).toEqual([
      [600],
      [500],
      [550],
      [600],
    ]);
  });

  it.each([
    ['text', '1000'],
    ['nothing', undefined],
    ['null', null],
    ['zero', 0],
    ['a negative number', -5],
    ['a list', [5]],
    ['an object', { d: 5 }],
  ])('a suggestion of %s is refused with code 20', (_what, value) => {
    const { reply } = host.connect().ask('mining.suggest_difficulty', value === undefined ? [] : [value]);
    expect(reply).toMatchObject({ result: null, error: [20, expect.any(String), null] });
  });

  it('refuses what JSON reads as infinite', () => {
    const [reply] = host.connect().say('{"id":1,"method":"mining.suggest_difficulty","params":[1e999]}');
    expect(reply).toMatchObject({ error: [20, expect.any(String), null] });
  });

  it('takes a suggested target for the difficulty it stands for', () => {
    const target = (0xffffn << 208n) / 4096n;
    const params = [target.toString(16).padStart(64, '0')];
    const lines = host.connect().say({ id: 1, method: 'mining.suggest_target', params }, subscribe);
    expect(lines[0]).toMatchObject({ result: true, error: null });
    expect(difficultiesIn(lines)).toEqual([4096]);
  });

  it.each([
    ['too short', 'ff'],
    ['not hex', 'g'.repeat(64)],
    ['zero', '0'.repeat(64)],
    ['a number', 5],
  ])('refuses a suggested target that is %s', (_what, target) => {
    expect(host.connect().ask('mining.suggest_target', [target]).reply).toMatchObject({
      error: [20, expect.any(String), null],
    });
  });

  it('is restarted by a suggestion, and vardiff goes on from there', () => {
    const peer = host.connect();
    peer.say(subscribe, suggest(4000));
    peer.ask('mining.suggest_difficulty', [8000]);
    host.putUp({}, 'retarget');
    expect(difficultiesIn(peer.heard())).toEqual([8000]);
    // Ten times the wished rate: the next difficulty is about ten times this one.
    for (let second = 0; second < 60; second++) {
      host.clockMs += 1000;
      for (let i = 0; i < 3; i++) accepted(peer, 8000);
      peer.session.retarget();
      if (peer.session.waitsForJob) host.putUp({}, 'retarget');
    }
    const [raised] = difficultiesIn(peer.heard());
    expect(raised).toBeGreaterThan(60_000);
    expect(raised).toBeLessThan(110_000);
  });

  it('is not overruled by vardiff while a wish waits for its job', () => {
    const peer = host.connect();
    peer.say(subscribe);
    host.clockMs += 52_000;
    peer.session.retarget();
    peer.ask('mining.suggest_difficulty', [8000]);
    host.clockMs += 2000;
    peer.session.retarget();
    host.putUp({}, 'retarget');
    expect(difficultiesIn(peer.heard())).toEqual([8000]);
  });

  it('lowers a miner that falls silent by time, not only by its next share', () => {
    const peer = host.connect();
    peer.mine({ password: 'd=1000000' });
    for (let second = 0; second < 60; second++) {
      host.clockMs += 1000;
      peer.session.retarget();
    }
    expect(peer.session.waitsForJob).toBe(true);
    peer.heard();
    host.putUp({}, 'retarget');
    expect(difficultiesIn(peer.heard())[0]).toBeLessThan(100_000);
  });

  it.each([
    ['md= of the password', [subscribe, authorize('d=20000,md=15000')]],
    [
      'minimum-difficulty of mining.configure',
      [
        {
          ...{ id: 1, method: 'mining.configure' },
          params: [['minimum-difficulty'], { 'minimum-difficulty.value': 15_000 }],
        },
        subscribe,
        authorize('d=20000'),
      ],
    ],
  ])('never falls below %s, however silent the miner is', (_what, lines) => {
    const peer = host.connect();
    expect(difficultiesIn(peer.say(...lines))).toEqual([20_000]);
    for (let second = 0; second < 600; second++) {
      host.clockMs += 1000;
      peer.session.retarget();
      if (peer.session.waitsForJob) host.putUp({}, 'retarget');
    }
    expect(difficultiesIn(peer.heard())).toEqual([15_000]);
  });

  it('is raised to a minimum that is set while mining, with a fresh job', () => {
    const peer = host.connect();
    peer.say(subscribe);
    const params = [['minimum-difficulty'], { 'minimum-difficulty.value': 2048 }];
    expect(peer.ask('mining.configure', params).reply.result).toEqual({ 'minimum-difficulty': true });
    for (let second = 0; second < 600; second++) {
      if (peer.session.waitsForJob) host.putUp({}, 'retarget');
      host.clockMs += 1000;
      peer.session.retarget();
    }
    expect(difficultiesIn(peer.heard())).toEqual([2048]);
  });

  it('does not go back to the start of the password when firmware authorizes again', () => {
    const peer = host.connect();
    peer.say(subscribe, authorize('d=4000'));
    peer.session.proposeDifficulty(9000, 'password');
    host.putUp();
    expect(peer.say(authorize('d=4000'))).toEqual([{ id: 2, result: true, error: null }]);
    expect([peer.session.difficulty, peer.session.waitsForJob]).toEqual([9000, false]);
  });

  it('is remembered for who proved it by work only, and for a proxy by its first name', () => {
    const idle = host.connect();
    idle.mine({ password: 'd=77777' });
    idle.disconnect();
    expect(host.difficulties.count).toBe(0);
    const proxy = host.connect();
    proxy.mine({ password: 'd=88888' });
    proxy.ask('mining.authorize', [`${ADDRESS}.second`]);
    accepted(proxy, 88_888);
    proxy.disconnect();
    expect(host.difficulties.recall(`${ADDRESS}.rig`)).toBe(88_888);
    expect(host.difficulties.recall(`${ADDRESS}.second`)).toBeNull();
    host.rememberDifficulty({ account: ADDRESS, worker: 'second' }, 55);
    const again = host.connect();
    again.mine();
    again.ask('mining.authorize', [`${ADDRESS}.second`]);
    expect([again.session.difficulty, again.session.waitsForJob]).toEqual([88_888, false]);
  });
});

describe('password options', () => {
  it.each([
    ['x', null, null],
    ['', null, null],
    ['d=1000', 1000, null],
    ['D=1000', 1000, null],
    ['d=0.5', 0.5, null],
    ['md=16', null, 16],
    ['md=0', null, 0],
    ['x,d=1000', 1000, null],
    ['d=1000,md=16', 1000, 16],
    ['md=16;d=1000', 1000, 16],
    ['d=1000 md=16 x', 1000, 16],
    ['d=1;d=2', 2, null],
    ['d=0', null, null],
    ['d=-5', null, null],
    ['d=1e9', null, null],
    ['d=NaN', null, null],
    ['d=0x10', null, null],
    ['d=', null, null],
    ['d', null, null],
    ['=5', null, null],
    ['fd=5', null, null],
    ['d=1000=2', null, null],
    [`d=${'9'.repeat(40)}`, null, null],
    [`${'y'.repeat(254)} d=5`, null, null],
    [undefined, null, null],
    [123, null, null],
    [{ d: 5 }, null, null],
  ])('%j', (password, start, minimum) => {
    expect(parsePassword(password)).toEqual({ start, minimum });
  });
});

describe('memory of difficulties', () => {
  it('is bounded in names and age, and forgets who was heard of longest ago', () => {
    let nowMs = 0;
    const memory = new DifficultyMemory({ limit: 3, ageMaxMs: 100, nowMs: () => nowMs });
    for (const user of ['a', 'b', 'c']) memory.remember(user, 5);
    memory.remember('a', 7);
    memory.remember('d', 9);
    expect(['a', 'b', 'c', 'd'].map((user) => memory.recall(user))).toEqual([7, null, 5, 9]);
    expect(memory.count).toBe(3);
    nowMs = 100;
    expect(memory.recall('a')).toBe(7);
    nowMs = 101;
    expect(memory.recall('a')).toBeNull();
    expect(memory.count).toBe(2);
  });
});
