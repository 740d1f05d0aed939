import { beforeEach, describe, expect, it } from 'vitest';
import { type BoardJob, JobBoard } from '../../engine/stratum/job-board.js';
import type { JobMessage } from '../../engine/stratum/thread-messages.js';
import { createSlab } from '../../wasm/kernel.js';
import { JOB_SLOTS } from '../../wasm/slots.js';

let now: number;
let stale: number[];
let dead: number[];
let board: JobBoard;
let nextKey: number;

beforeEach(() => {
  now = 0;
  nextKey = 1;
  stale = [];
  dead = [];
  board = new JobBoard({
    extranonceBytes: 12,
    memory: createSlab(),
    nowMs: () => now,
    onStale: (job) => stale.push(job.key),
    onDead: (job) => dead.push(job.key),
  });
});

function put(tip: string, forAll = true): BoardJob {
  const key = nextKey++;
  const message: JobMessage = {
    ...{ key, id: key.toString(16), height: 1, previousBlockHash: tip, previousBlock: new Uint8Array(32) },
    ...{ version: 1, bits: 0x207fffff, networkTargetLE: new Uint8Array(32), networkDifficulty: 1 },
    ...{ curtime: 0, mintime: 0, coinbase1: new Uint8Array(50), coinbase2: new Uint8Array(50), branch: [] },
    ...{ notify: '', notifyClean: '' },
  };
  return board.add(message, forAll);
}

describe('job board', () => {
  it('makes jobs of another tip stale, once, and keeps them for the block check', () => {
    const first = put('a');
    const second = put('a');
    put('b');
    put('b');
    expect(stale).toEqual([first.key, second.key]);
    expect(board.find(first.message.id)).toBe(first);
    expect(first.stale).toBe(true);
  });

  it('does not revive jobs of a tip that a reorg brings back', () => {
    const first = put('a');
    put('b');
    const again = put('a');
    expect(first.stale).toBe(true);
    expect(again.stale).toBe(false);
    expect(board.current).toBe(again);
  });

  it('credits a job for two and a half minutes after a newer one, but never takes the newest down', () => {
    const first = put('a');
    now = 1_000_000;
    board.retireOld();
    expect(board.find(first.message.id)).toBe(first);
    const second = put('a');
    now += 149_000;
    board.retireOld();
    expect(first.gone).toBe(false);
    now += 2_000;
    board.retireOld();
    expect(first.gone).toBe(true);
    expect(board.find(first.message.id)).toBeUndefined();
    expect(dead).toEqual([first.key]);
    expect(board.find(second.message.id)).toBe(second);
  });

  it('keeps a job creditable while newer ones went only to the sessions that waited for a difficulty', () => {
    const first = put('a');
    const retarget = put('a', false);
    now = 1_000_000;
    put('a', false);
    expect(first.gone).toBe(false);
    put('a');
    now += 151_000;
    board.retireOld();
    expect([first.gone, retarget.gone]).toEqual([true, true]);
  });

  it('gives a slot to another job only when no share of the old one is in flight', () => {
    const busy = put('a');
    busy.inFlight = 1;
    for (let i = 0; i < JOB_SLOTS * 2; i++) {
      now += 200_000;
      const other = put(i % 3 === 0 ? 'a' : 'b');
      expect(other.slot).not.toBe(busy.slot);
    }
    expect(busy.gone).toBe(true);
    expect(dead).not.toContain(busy.key);
    busy.inFlight = 0;
    put('b');
    expect(dead).toContain(busy.key);
  });
});
