// Does it pay to come and go? A pool finds blocks by chance; a hopper with a fifth of its power mines only when a rule
// says so. Under PPLNS each of its hashes must be worth what a steady miner's is, whatever the rule; under proportional
// payment, simulated beside it as a control, the same hopper gains, so the simulation could see it.
import { describe, expect, it } from 'vitest';
import { fillWindow, type WorkBucket } from '../../engine/accounting/pplns-window.js';
import { splitBlock } from '../../engine/accounting/split-block.js';
import { seededRandom } from './accounting-random.js';

/** Shares that make a block on average, of one unit of work each, and the window: N = 2. */
const BLOCK_SHARES = 100;
const WINDOW_SHARES = 200;
const BLOCK_SATS = 3_1250_0000n;
/** Of fixed length: batches that ended with a block would be the lucky ones. */
const SHARES_A_BATCH = 250 * BLOCK_SHARES;
const BATCHES = 40;

const HOPPER = 2;

interface Mean {
  mean: number;
  standardError: number;
}

type Rule = (sharesSinceBlock: number, share: number) => boolean;

/** What a unit of the hopper's work was paid, in units of its expected value, with standard errors over batches. */
function simulate(isIn: Rule): { pplns: Mean; proportional: Mean } {
  const random = seededRandom(20_111_222);
  const recent: WorkBucket[] = [];
  const pplns: number[] = [];
  const proportional: number[] = [];
  let share = 0;
  let roundShares = 0;
  let roundHopper = 0;
  for (let batch = -1; batch < BATCHES; batch++) {
    let work = 0;
    let paid = 0n;
    let byRound = 0;
    for (let shares = 0; shares < SHARES_A_BATCH; shares++) {
      const hops = isIn(roundShares, share++) && random() < 0.2;
      recent.unshift([{ accountId: hops ? HOPPER : 1, scheme: 'pplns', work: 1n }]);
      if (recent.length > WINDOW_SHARES) recent.pop();
      roundShares++;
      if (hops) {
        roundHopper++;
        work++;
      }
      if (random() >= 1 / BLOCK_SHARES) continue;
      const split = splitBlock({
        finder: { accountId: 1, scheme: 'pplns' },
        subsidySats: BLOCK_SATS,
        feesSats: 0n,
        window: fillWindow(recent, BigInt(WINDOW_SHARES)),
        termsOf: () => ({ feePpm: 0, donationPpm: 0 }),
      });
      paid += split.credits.find(({ accountId }) => accountId === HOPPER)?.amountSats ?? 0n;
      byRound += roundHopper / roundShares;
      roundShares = 0;
      roundHopper = 0;
    }
    // The first batch fills the window.
    if (batch < 0) continue;
    pplns.push(((Number(paid) / Number(BLOCK_SATS)) * BLOCK_SHARES) / work);
    proportional.push((byRound * BLOCK_SHARES) / work);
  }
  return { pplns: meanOf(pplns), proportional: meanOf(proportional) };
}

function meanOf(values: readonly number[]): Mean {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, standardError: Math.sqrt(variance / values.length) };
}

describe('PPLNS and miners who come and go', () => {
  it.each<[rule: string, isIn: Rule]>([
    ['always', () => true],
    ['only early in a round, the classic hop', (since) => since < 0.43 * BLOCK_SHARES],
    ['only late in a long round', (since) => since > BLOCK_SHARES],
    ['for a moment, once in a while', (_, share) => share % 5000 < 50],
    ['in turns longer than the window', (_, share) => share % 1200 < 600],
  ])('pay the same for a unit of work, mined %s', (_, isIn) => {
    const { pplns } = simulate(isIn);
    // 10,000 blocks: standard errors of 1 to 5 % of the expected value.
    expect(pplns.standardError).toBeLessThan(0.06);
    expect(Math.abs(pplns.mean - 1)).toBeLessThan(3 * pplns.standardError);
  });

  it('would show a gain if there were one: the classic hop does gain under proportional payment', () => {
    const { proportional } = simulate((since) => since < 0.43 * BLOCK_SHARES);
    expect((proportional.mean - 1) / proportional.standardError).toBeGreaterThan(10);
  });
});
