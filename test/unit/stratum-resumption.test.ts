// Sessions that come back: with the real job board, extranonce leases and memory of closed sessions.
import { beforeEach, describe, expect, it } from 'vitest';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { type KeptSession, ResumableSessions } from '../../engine/stratum/resumption.js';
import { verdictByName } from '../../engine/work/verdict.js';
import { difficultiesIn, jobsIn, type Line, SmallHost } from './stratum-small-host.js';

let host: SmallHost;
beforeEach(() => {
  host = new SmallHost();
  host.putUp();
});

const extranonce1Of = (lines: Line[]) => lines[0]?.result[1] as string;
const sessionIdOf = (lines: Line[]) => lines[0]?.result[0][1][1] as string;

describe('session resumption', () => {
  it('names a session by 16 hex digits that are not its extranonce1, and are different each time', () => {
    const ids = Array.from({ length: 20 }, () => {
      const lines = host.connect().mine();
      expect(sessionIdOf(lines)).toMatch(/^[0-9a-f]{16}$/);
      expect(lines[0]?.result[0]).toEqual([
        ['mining.set_difficulty', sessionIdOf(lines)],
        ['mining.notify', sessionIdOf(lines)],
      ]);
      expect(sessionIdOf(lines)).not.toContain(extranonce1Of(lines));
      return sessionIdOf(lines);
    });
    expect(new Set(ids).size).toBe(20);
  });

  it('gives a miner that comes back its extranonce1, session id, difficulty and version mask', () => {
    const first = host.connect();
    first.ask('mining.configure', [['version-rolling'], { 'version-rolling.mask': '00ffe000' }]);
    const before = first.mine({ password: 'd=5000' });
    first.disconnect();
    host.clockMs += 599_000;
    host.putUp();
    const back = host.connect().mine({ resume: sessionIdOf(before) });
    expect(extranonce1Of(back)).toBe(extranonce1Of(before));
    expect(sessionIdOf(back)).toBe(sessionIdOf(before));
    expect(difficultiesIn(back)).toEqual([5000]);
    expect(back).toContainEqual({ id: null, method: 'mining.set_version_mask', params: ['00ffe000'] });
  });

  it('prefers the mask that the new connection negotiated', () => {
    const first = host.connect();
    first.ask('mining.configure', [['version-rolling'], { 'version-rolling.mask': '00ffe000' }]);
    const id = sessionIdOf(first.mine());
    first.disconnect();
    const second = host.connect();
    second.ask('mining.configure', [['version-rolling'], { 'version-rolling.mask': '00006000' }]);
    second.mine({ resume: id });
    expect(second.session.versionMask).toBe(0x00006000);
  });

  it('judges shares found before the disconnect by the target that their job was announced with', () => {
    const first = host.connect();
    const id = sessionIdOf(first.mine());
    const jobs = [host.board.current];
    for (const difficulty of [700, 90_000]) {
      first.ask('mining.suggest_difficulty', [difficulty]);
      jobs.push(host.putUp({}, 'retarget'));
    }
    first.disconnect();
    const second = host.connect();
    second.mine({ resume: id });
    for (const job of jobs) if (job !== null) second.submit(job, 7);
    expect(host.shares.map(({ target }) => target.difficulty)).toEqual([1000, 700, 90_000]);
    for (const { target } of host.shares) {
      expect(target.targetLE).toEqual(targetToBytesLE(targetFromDifficulty(target.difficulty)));
    }
  });

  it('never sends it a job it had: with the same extranonce1, firmware would find its old shares again', () => {
    const first = host.connect();
    const id = sessionIdOf(first.mine());
    first.disconnect();
    const second = host.connect();
    expect(jobsIn(second.mine({ resume: id }))).toEqual([]);
    expect(host.jobsNeeded).toBe(1);
    expect(second.session.waitsForJob).toBe(true);
    host.putUp({}, 'retarget');
    const got = second.heard();
    expect(got.map(({ method }) => method)).toEqual(['mining.set_difficulty', 'mining.notify']);
    expect(got[1]?.params).toEqual(['2', false]);
  });

  it('sends it a job put up while it was away at once, right after the difficulty', () => {
    const first = host.connect();
    const id = sessionIdOf(first.mine());
    first.disconnect();
    host.putUp();
    const lines = host.connect().mine({ resume: id });
    expect(jobsIn(lines)).toEqual(['2']);
    expect(difficultiesIn(lines)).toEqual([1000]);
  });

  it('gives a fresh extranonce1 while the old session still looks connected', () => {
    const first = host.connect();
    const before = first.mine();
    const second = host.connect().mine({ resume: sessionIdOf(before) });
    expect(extranonce1Of(second)).not.toBe(extranonce1Of(before));
    expect(sessionIdOf(second)).not.toBe(sessionIdOf(before));
    expect(jobsIn(second)).toEqual(['1']);
  });

  it('hands a session out once: who comes second gets a fresh one', () => {
    const first = host.connect();
    const id = sessionIdOf(first.mine());
    first.disconnect();
    const [a, b] = [host.connect().mine({ resume: id }), host.connect().mine({ resume: id })];
    expect(extranonce1Of(a)).not.toBe(extranonce1Of(b));
  });

  it('can be taken up again and again', () => {
    let peer = host.connect();
    const before = peer.mine();
    for (let i = 0; i < 5; i++) {
      peer.disconnect();
      host.clockMs += 500_000;
      peer = host.connect();
      expect(extranonce1Of(peer.mine({ resume: sessionIdOf(before) }))).toBe(extranonce1Of(before));
    }
  });

  it('is gone after ten minutes, and its extranonce1 is free once the last job of its time is dead', () => {
    const first = host.connect();
    const id = sessionIdOf(first.mine());
    first.disconnect();
    expect(host.leases.taken).toBe(1);
    host.clockMs += 600_000;
    host.resumables.expire();
    expect(host.resumables.count).toBe(0);
    expect(host.leases.taken).toBe(1);
    host.putUp();
    host.clockMs += 200_000;
    host.putUp();
    expect(host.leases.taken).toBe(0);
    const back = host.connect().mine({ resume: id });
    expect(sessionIdOf(back)).not.toBe(id);
  });

  it.each([
    ['an id nobody had', '0123456789abcdef'],
    ['an id of another form', 'deadbeef'],
    ['a number', 5],
    ['a list', [[]]],
    ['the name of a property', '__proto__'],
  ])('answers %s with a fresh session', (_what, resume) => {
    const peer = host.connect();
    const { reply } = peer.ask('mining.subscribe', ['test', resume]);
    expect(reply.error).toBeNull();
    expect(reply.result[1]).toBe('00000000');
  });

  it('says nothing to a session that was closed, also when its shares are settled later', () => {
    const peer = host.connect();
    peer.mine();
    peer.submit(host.putUp(), 5);
    peer.heard();
    peer.disconnect();
    peer.session.settle('9', verdictByName('accepted'), 1000);
    expect(peer.heard()).toEqual([]);
  });
});

describe('memory of closed sessions', () => {
  const kept = (n: number): KeptSession => ({
    ...{ extranonce1: Uint8Array.of(n), versionMask: 0, lastJobKey: 1, lastTip: '' },
    difficulty: { announcements: [], wanted: 1 },
  });

  it('is bounded: the session closed longest ago goes first, and each is let go of exactly once', () => {
    const gone: number[] = [];
    let nowMs = 0;
    const sessions = new ResumableSessions({
      ...{ limit: 3, keepMs: 100, nowMs: () => nowMs },
      onGone: ({ extranonce1 }) => gone.push(extranonce1[0] as number),
    });
    for (let n = 0; n < 5; n++) sessions.keep(`${n}`, kept(n));
    expect([sessions.count, gone]).toEqual([3, [0, 1]]);
    expect(sessions.take('1')).toBeNull();
    expect(sessions.take('3')?.extranonce1[0]).toBe(3);
    nowMs = 99;
    sessions.expire();
    expect(gone).toEqual([0, 1]);
    nowMs = 100;
    expect(sessions.take('2')).toBeNull();
    expect([sessions.count, gone]).toEqual([0, [0, 1, 2, 4]]);
  });
});
