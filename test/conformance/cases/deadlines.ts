// Deadlines for peers that only hold a socket. Slow: they take as long as the deadlines.
import type { ConformanceCase, PoolUnderTest } from '../case.js';
import type { Connection } from '../connection.js';
import { CaseFailure } from '../expectation.js';

/** Beyond the deadline itself: pools look once a second or so. */
const SLACK_MS = 5000;
const SUBSCRIBE_MS = 15_000;
const AUTHORIZE_MS = 30_000;
const TRICKLE_MS = 500;

async function closedWithin(connection: Connection, ms: number, doing: string): Promise<string> {
  const startMs = performance.now();
  if (!(await connection.untilClosed(ms + SLACK_MS))) {
    throw new CaseFailure(`the connection closed within ${ms / 1000} s`, `open, ${doing}`);
  }
  return `closed after ${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}

const DATUM = 'DATUM drops after 15 s without subscribe; slowloris (CVE-2018-12122, sv2-apps#776)';

export const deadlineCases: readonly ConformanceCase[] = [
  {
    name: 'deadlines/subscribe',
    level: 'should',
    rule: 'who does not subscribe within 15 s is disconnected',
    source: DATUM,
    slow: true,
    hostile: true,
    run: async (pool) => closedWithin(await pool.connect(), SUBSCRIBE_MS, 'silent'),
  },
  {
    name: 'deadlines/authorize',
    level: 'should',
    rule: 'who does not authorize within 30 s is disconnected',
    source: DATUM,
    slow: true,
    hostile: true,
    async run(pool: PoolUnderTest) {
      const { connection } = await pool.miner({ authorize: false });
      return closedWithin(connection, AUTHORIZE_MS, 'subscribed');
    },
  },
  {
    name: 'deadlines/trickle',
    level: 'should',
    rule: 'a byte now and then does not put the deadline off',
    source: DATUM,
    slow: true,
    hostile: true,
    async run(pool) {
      const connection = await pool.connect();
      const trickle = setInterval(() => connection.sendBytes(Buffer.from(' ')), TRICKLE_MS);
      try {
        return await closedWithin(connection, SUBSCRIBE_MS, 'one byte each half second');
      } finally {
        clearInterval(trickle);
      }
    },
  },
  {
    name: 'deadlines/quiet-miner-stays',
    level: 'must',
    rule: 'an authorized miner that finds nothing for 40 s keeps its connection',
    source: 'small miners need minutes a share; Avalon Nano 3 (public-pool#62)',
    slow: true,
    async run(pool) {
      const { connection } = await pool.miner();
      if (await connection.untilClosed(AUTHORIZE_MS + 2 * SLACK_MS)) {
        throw new CaseFailure('the connection kept', String(connection.closed));
      }
      return undefined;
    },
  },
];
