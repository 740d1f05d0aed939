// Reorgs that take what had matured, and reorgs after which the node has forgotten the payouts of the lost branch.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReorgWorlds } from './money-reorg.js';

const FORGOTTEN =
  process.env.REORG_DEPTHS === 'all'
    ? Array.from({ length: 100 }, (_, index) => index + 1)
    : [1, 10, 11, 100];

let worlds: ReorgWorlds;
beforeAll(async () => {
  worlds = await ReorgWorlds.start(1001);
}, 120_000);
afterAll(async () => {
  await worlds?.stop();
}, 60_000);

describe('a reorg deeper than maturity', () => {
  for (const depth of [101, 144]) {
    it(`takes ${depth} blocks, matured ones among them, and they come back`, {
      timeout: 180_000,
    }, async () => {
      const world = await worlds.next();
      expect(await world.reorg({ depth, by: 'rival', returns: true })).toBeGreaterThan(0);
    });
  }
});

// Core keeps the transactions of the first 10 blocks that invalidateblock takes, not more (validation.cpp).
describe('a branch that our node gives up by itself', () => {
  for (const depth of FORGOTTEN) {
    it(`has ${depth} blocks, and what was paid in them is paid again, by the same bytes`, {
      timeout: 180_000,
    }, async () => {
      const world = await worlds.next();
      expect(await world.reorg({ depth, by: 'invalidate', returns: false })).toBeGreaterThan(0);
    });
  }
});
