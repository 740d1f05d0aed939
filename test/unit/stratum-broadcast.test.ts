// A job for everybody: in slices, newest only, nobody forgotten, nobody always last.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Broadcast } from '../../engine/stratum/broadcast.js';

let sent: number[];
let slices: number;
let broadcast: Broadcast<number>;
const receivers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  slices = 0;
  broadcast = new Broadcast(
    (receiver) => sent.push(receiver),
    () => slices++,
  );
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a broadcast', () => {
  it('serves the first slice at once and the others turn by turn, each receiver once', () => {
    broadcast.begin(receivers(1000), false);
    expect(sent).toHaveLength(256);
    expect(broadcast.running).toBe(true);
    vi.runAllTimers();
    expect(sent.toSorted((a, b) => a - b)).toEqual(receivers(1000));
    expect(slices).toBe(4);
    expect(broadcast.running).toBe(false);
  });

  it('spreads a refresh over two seconds', () => {
    broadcast.begin(receivers(1000), true);
    expect(sent).toHaveLength(10);
    vi.advanceTimersByTime(1000);
    expect(sent.length).toBeGreaterThan(400);
    expect(sent.length).toBeLessThan(600);
    vi.advanceTimersByTime(1000);
    expect(new Set(sent).size).toBe(1000);
    expect(sent).toHaveLength(1000);
  });

  it('starts over with a newer job: urgent ones do not wait for a refresh under way', () => {
    broadcast.begin(receivers(1000), true);
    vi.advanceTimersByTime(500);
    sent = [];
    broadcast.begin(receivers(1000), false);
    expect(sent).toHaveLength(256);
    vi.runAllTimers();
    expect(sent.toSorted((a, b) => a - b)).toEqual(receivers(1000));
  });

  it('does not always leave the same ones for the end', () => {
    const last = new Set<number>();
    for (let job = 0; job < 8; job++) {
      sent = [];
      broadcast.begin(receivers(1000), false);
      vi.runAllTimers();
      last.add(sent.at(-1) as number);
    }
    expect(last.size).toBe(8);
  });

  it('has nothing to do without receivers', () => {
    broadcast.begin([], true);
    expect(broadcast.running).toBe(false);
    expect(slices).toBe(1);
  });
});
