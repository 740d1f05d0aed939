// Random operations on the ledger with crashes injected: the sum is 0, no credit account is negative, and balances,
// lines and a plain model agree at every step. LEDGER_OPERATIONS=1000000 is the full run; it compares every 20th step.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { activateLanes } from '../../storage/postgres/ledger-lanes.js';
import { LedgerCrowd } from './money-crowd.js';
import { LedgerWalk } from './money-ledger.js';
import { type MoneyDatabases, startMoneyDatabases } from './money-nodes.js';

const OPERATIONS = Number(process.env.LEDGER_OPERATIONS ?? 3000);
const SEED = Number(process.env.LEDGER_SEED ?? 1);
const CHECK_EVERY = OPERATIONS > 10_000 ? 20 : 1;
const CRASH_CHANCE = OPERATIONS > 10_000 ? 0.02 : 0.1;

let databases: MoneyDatabases;
beforeAll(async () => {
  databases = await startMoneyDatabases();
}, 120_000);
afterAll(async () => {
  await databases?.stop();
}, 60_000);

async function expectReconciled(admin: Database): Promise<void> {
  const [row] = await admin`
    select count(*) filter (where difference_sats is distinct from 0)::integer as off,
           sum(lines_sats) as sum from ledger_reconciliation`;
  expect(row).toEqual({ off: 0, sum: 0n });
}

describe(`${OPERATIONS} operations on one ledger`, () => {
  it('leave what a plain model says, at every step', { timeout: 24 * 3_600_000 }, async () => {
    const url = await databases.create();
    const admin = openPostgres({ url, poolSize: 2, timeoutS: 600 });
    await activateLanes(admin, { running: [0], former: [] });
    const walk = new LedgerWalk(url, admin, SEED, CRASH_CHANCE);
    for (let at = 1; at <= OPERATIONS; at++) {
      const name = await walk.step();
      if (at % CHECK_EVERY === 0 || at === OPERATIONS) {
        await walk.probe.check(walk.books.sats, `operation ${at} of seed ${SEED}, ${name}`);
      }
    }
    await expectReconciled(admin);
    const { crashes } = walk.stores;
    if (OPERATIONS > 10_000) console.log(OPERATIONS, crashes, Object.fromEntries([...walk.done].sort()));
    expect(crashes.count).toBeGreaterThan((OPERATIONS * CRASH_CHANCE) / 4);
    expect(crashes.inRecovery).toBeGreaterThan(0);
    await walk.stores.close();
    await admin.end({ timeout: 1 });
  });
});

describe('several processes at once on one ledger', () => {
  it('do each thing once, whoever does it, whatever crashes', { timeout: 300_000 }, async () => {
    const url = await databases.create();
    const admin = openPostgres({ url, poolSize: 2, timeoutS: 60 });
    await activateLanes(admin, { running: [0], former: [] });
    const crowd = await LedgerCrowd.prepare(url, admin, SEED, { processes: 4, blocks: 24, crashChance: 0.1 });
    await crowd.run();
    await crowd.probe.check(crowd.books.sats, 'the crowd');
    await expectReconciled(admin);
    expect(crowd.crashes().count).toBeGreaterThan(10);
    await crowd.close();
    await admin.end({ timeout: 1 });
  });
});
