// The conformance suite against this pool: every case, over sockets, on the private chain. And the suite itself
// against pools with one fault each: a case that lets its fault pass is worth nothing.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { startBitcoind } from '../../storage/embedded/bitcoind.js';
import { projectRoot } from '../../storage/project-root.js';
import type { PoolSettings } from '../conformance/case.js';
import { CASES } from '../conformance/cases/index.js';
import { FAULTS, FaultyProxy, NO_FAULT, wrongRolling } from '../conformance/faulty-proxy.js';
import { OBSERVATIONS } from '../conformance/observations.js';
import { resultLine } from '../conformance/report.js';
import { type CaseResult, runCases } from '../conformance/run.js';
import { PoolProcess, temporaryFolder } from './pool-process.js';

const MINUTES = 60_000;
const REGTEST_ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';

/** Cases that this pool decides otherwise: answers of shares wait for the batch they are validated in. */
const DECIDED = ['framing/shares-in-order'];

function settingsFor(port: number): PoolSettings {
  return {
    host: '127.0.0.1',
    port,
    timeoutMs: 5000,
    user: 'conformance.suite',
    password: 'x',
    maxDifficulty: 0.01,
  };
}

/** Cases by name; a wire rule is judged on the first job of a connection. */
function casesNamed(names: readonly string[]) {
  return CASES.filter(({ name }) => names.includes(name) || name === 'subscribe/first-job');
}

function failures(results: readonly CaseResult[]): string[] {
  return results.filter(({ outcome }) => outcome === 'fail').map(resultLine);
}

describe('Stratum V1 conformance', () => {
  let pool: PoolProcess;

  beforeAll(async () => {
    pool = await PoolProcess.start(['--sim-miners', '0']);
  }, 3 * MINUTES);
  afterAll(async () => {
    await pool.stop();
    pool.remove();
  }, MINUTES);

  it(
    'holds in every case against this pool',
    async () => {
      const results = await runCases(settingsFor(pool.stratumPort), CASES, { slow: false, hostile: true });
      expect(failures(results.filter(({ name }) => !DECIDED.includes(name)))).toEqual([]);
      // Deadlines are tested on their own; this pool never sends the other two without cause.
      const mayBeSkipped = /^deadlines\/|^wire\/set-extranonce$|^wire\/reconnect-same-host$/;
      const skipped = results.filter(
        ({ outcome, name }) => outcome === 'skipped' && !mayBeSkipped.test(name),
      );
      expect(skipped.map(resultLine)).toEqual([]);
    },
    6 * MINUTES,
  );

  it('names each case once, and each fault names cases that exist', () => {
    const names = [...CASES, ...OBSERVATIONS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { caughtBy } of FAULTS) for (const name of caughtBy) expect(names).toContain(name);
  });

  it(
    'lets a healthy pool pass behind the relay that the faults use',
    async () => {
      const proxy = await FaultyProxy.start(pool.stratumPort, NO_FAULT);
      const names = FAULTS.flatMap(({ caughtBy }) => caughtBy);
      const results = await runCases(settingsFor(proxy.port), casesNamed(names), {
        slow: false,
        hostile: true,
      });
      await proxy.stop();
      expect(failures(results)).toEqual([]);
    },
    3 * MINUTES,
  );

  it.each(FAULTS)(
    'finds a pool with: $name',
    async (fault) => {
      const proxy = await FaultyProxy.start(pool.stratumPort, fault);
      const settings = { ...settingsFor(proxy.port), timeoutMs: 2000 };
      const results = await runCases(settings, casesNamed(fault.caughtBy), { slow: false, hostile: true });
      await proxy.stop();
      const found = results.filter(({ outcome }) => outcome === 'fail').map(({ name }) => name);
      expect(found).toEqual(expect.arrayContaining([...fault.caughtBy]));
    },
    2 * MINUTES,
  );
});

describe('Version rolling where the template has a bit inside the mask', () => {
  const dataDir = temporaryFolder();
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

  it(
    'replaces the masked bits: regtest signals bit 28 after its first period',
    async () => {
      const env = {
        ...process.env,
        MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
      };
      const node = await startBitcoind({ dataDir, network: 'regtest', env, log: () => {} });
      let pool: PoolProcess | null = null;
      try {
        const rpc = new NodeRpc({ endpoint: parseRpcUrl(node.rpcUrl, node.cookieFile) });
        await rpc.generateToAddress(150, REGTEST_ADDRESS);
        rpc.close();
        const url = `${node.rpcUrl}?cookie=${node.cookieFile}`;
        pool = await PoolProcess.start([
          ...['--network', 'regtest', '--bitcoin-rpc-url', url],
          ...['--pool-address', REGTEST_ADDRESS, '--sim-miners', '0'],
        ]);
        const cases = CASES.filter(({ name }) => name === 'version-rolling/truth-table');
        const options = { slow: false, hostile: true };
        const [table] = await runCases(settingsFor(pool.stratumPort), cases, options);
        expect(table).toMatchObject({ outcome: 'pass', remark: 'job 30000000' });
        for (const fault of wrongRolling(0x10000000)) {
          const proxy = await FaultyProxy.start(pool.stratumPort, fault);
          const [wrong] = await runCases(settingsFor(proxy.port), cases, options);
          await proxy.stop();
          expect(wrong, fault.name).toMatchObject({ outcome: 'fail' });
        }
      } finally {
        await pool?.stop();
        pool?.remove();
        await node.stop();
      }
    },
    3 * MINUTES,
  );
});
