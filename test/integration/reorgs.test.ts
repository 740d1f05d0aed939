// Reorgs of depth 1 to 100, with payouts due, on real nodes: nothing is paid from an orphaned coinbase, nobody is
// paid twice, and the books are those that the chain of now gives. REORG_DEPTHS=all runs every depth.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReorgWorlds } from './money-reorg.js';

const DEPTHS =
  process.env.REORG_DEPTHS === 'all'
    ? Array.from({ length: 100 }, (_, index) => index + 1)
    : [1, 2, 6, 99, 100];

let worlds: ReorgWorlds;
beforeAll(async () => {
  worlds = await ReorgWorlds.start(1);
}, 120_000);
afterAll(async () => {
  await worlds?.stop();
}, 60_000);

describe('a longer chain of another node', () => {
  for (const depth of DEPTHS) {
    it(`takes ${depth} blocks, and the lost branch comes back`, { timeout: 180_000 }, async () => {
      const world = await worlds.next();
      const atRisk = await world.reorg({ depth, by: 'rival', returns: true });
      expect(atRisk).toBeGreaterThan(0);
    });
  }
});
