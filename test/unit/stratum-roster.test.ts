// Counts of accounts and workers follow sessions that come and go.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Roster } from '../../engine/stratum/roster.js';

it('counts what a plain list of sessions counts, whatever comes and goes', () => {
  const name = fc.record({ account: fc.constantFrom('a', 'b', 'c'), worker: fc.constantFrom('', '1', '2') });
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.boolean()), { maxLength: 200 }), (steps) => {
      const roster = new Roster();
      const sessions: { account: string; worker: string }[] = [];
      for (const [each, comes] of steps) {
        const at = sessions.findIndex((one) => one.account === each.account && one.worker === each.worker);
        if (comes) {
          sessions.push(each);
          roster.add(each);
        } else {
          if (at >= 0) sessions.splice(at, 1);
          roster.remove(each);
        }
        const accounts = new Set(sessions.map(({ account }) => account));
        const workers = new Set(sessions.map(({ account, worker }) => `${account}.${worker}`));
        expect(roster.accounts).toBe(accounts.size);
        expect(roster.workers).toBe(workers.size);
        const listed = roster.workersByAccount(10);
        expect(listed.reduce((sum, [, count]) => sum + count, 0)).toBe(workers.size);
        expect(new Set(listed.map(([account]) => account))).toEqual(accounts);
      }
    }),
    { seed: 11, numRuns: 300 },
  );
});

it('lists no more accounts than asked for', () => {
  const roster = new Roster();
  for (let i = 0; i < 5; i++) roster.add({ account: `a${i}`, worker: '' });
  expect(roster.workersByAccount(2)).toHaveLength(2);
});
