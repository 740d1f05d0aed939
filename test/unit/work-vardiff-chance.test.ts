// How often chance alone retargets a steady miner: computed exactly, not simulated. Where vardiff draws its lines is
// asked of vardiff itself; the chance to cross them comes from Poisson tails.
import { describe, expect, it } from 'vitest';
import { SHARES_PER_MINUTE, Vardiff } from '../../engine/work/vardiff.js';

const MINUTE = 60_000;
/** Windows of the time of 36 shares: 2 minutes at the default rate. */
const WINDOW_SHARES = 36;
const WINDOW_MS = (WINDOW_SHARES / SHARES_PER_MINUTE) * MINUTE;
/** After so many windows, quiet ones, everything is forgotten: 16 minutes. */
const CYCLE = 8;
/** Windows after which vardiff looks at their sum. */
const SUMMED = [2, 4, 8];
const settings = { sharesPerMinute: SHARES_PER_MINUTE, floor: 1e-10, ceiling: 1e15 };

/** Evenly spread shares, that many in each window. @returns whether the difficulty changes, and in which window. */
function changesIn(windows: readonly number[]): number | null {
  const vardiff = new Vardiff(settings, 512, 0);
  for (const [w, shares] of windows.entries()) {
    for (let i = 0; i < shares; i++) {
      const atMs = w * WINDOW_MS + ((i + 0.5) / shares) * WINDOW_MS;
      vardiff.onShare(atMs);
      if (vardiff.retarget(atMs) !== null) return w;
    }
    if (vardiff.retarget((w + 1) * WINDOW_MS) !== null) return w;
  }
  return null;
}

/** `sum` shares over `windows` windows, as even as it goes. */
function spread(sum: number, windows: number): number[] {
  return Array.from(
    { length: windows },
    (_, w) => Math.floor(((w + 1) * sum) / windows) - Math.floor((w * sum) / windows),
  );
}

interface Quiet {
  least: number;
  most: number;
}

/** The counts that vardiff leaves alone after `windows` windows. */
function quietSums(windows: number): Quiet {
  const expected = windows * WINDOW_SHARES;
  let [least, most] = [expected, expected];
  while (changesIn(spread(least - 1, windows)) === null) least--;
  while (changesIn(spread(most + 1, windows)) === null) most++;
  return { least, most };
}

/** P(n) of a Poisson variable of mean `mean`, n = 0 .. size - 1. */
function poisson(mean: number, size: number): number[] {
  const p = [Math.exp(-mean)];
  for (let n = 1; n < size; n++) p.push(((p[n - 1] as number) * mean) / n);
  return p;
}

/** Chance that one of a cycle's windows or sums crosses a line. */
function chanceACycle(oneWindow: Quiet, sums: ReadonlyMap<number, Quiet>): number {
  const p = poisson(WINDOW_SHARES, oneWindow.most + 1);
  let bySum = [1];
  for (let window = 1; window <= CYCLE; window++) {
    const next = new Array<number>(bySum.length + oneWindow.most).fill(0);
    for (const [sum, chance] of bySum.entries()) {
      for (let n = oneWindow.least; n <= oneWindow.most; n++) {
        next[sum + n] = (next[sum + n] as number) + chance * (p[n] as number);
      }
    }
    const quiet = sums.get(window);
    bySum = next.map((chance, sum) =>
      quiet !== undefined && (sum < quiet.least || sum > quiet.most) ? 0 : chance,
    );
  }
  return 1 - bySum.reduce((a, b) => a + b, 0);
}

describe('a steady miner at the right difficulty, 18 shares a minute', () => {
  const oneWindow = quietSums(1);
  const sums = new Map(SUMMED.map((windows) => [windows, quietSums(windows)]));

  it('is left alone within 4 standard deviations of what was expected', () => {
    expect(oneWindow).toEqual({ least: 12, most: 60 });
    expect(sums.get(2)).toEqual({ least: 39, most: 105 });
    expect(sums.get(4)).toEqual({ least: 96, most: 192 });
    expect(sums.get(8)).toEqual({ least: 221, most: 355 });
  });

  it('starts the sum anew after a quiet cycle', () => {
    // 24 % too many in a cycle is left alone; twice in a row it would not be, were the sums carried on.
    expect(changesIn([...spread(355, CYCLE), ...spread(355, CYCLE)])).toBeNull();
    expect(changesIn([...spread(355, CYCLE), ...spread(356, CYCLE)])).toBe(2 * CYCLE - 1);
  });

  it('is retargeted by chance once in 11.3 days', () => {
    // Silence: after a share none comes for the time of 16 (a little rarer: not after few shares). A surge, 72 in the
    // time of 36, lies beyond the window's line.
    const silent = CYCLE * WINDOW_SHARES * Math.exp(-16);
    const chance = 1 - (1 - chanceACycle(oneWindow, sums)) * (1 - silent);
    const days = (CYCLE * WINDOW_MS) / chance / (24 * 60 * MINUTE);
    expect(days).toBeCloseTo(11.33, 2);
  });
});
