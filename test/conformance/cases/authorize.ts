// mining.authorize: names, several of them, password options.
import { type ConformanceCase, isAbout, NEW_JOB_WITHIN_MS, type PoolUnderTest } from '../case.js';
import { expectThat } from '../expectation.js';
import { expectAccepted, expectRefused } from '../miner.js';
import { networkDifficulty } from '../share-search.js';

/** A password option that raises the difficulty is followed by a job that carries it. */
async function passwordOption(
  pool: PoolUnderTest,
  option: 'd' | 'md',
  fits: (difficulty: number, value: number) => boolean,
): Promise<string> {
  const user = pool.workerNamed(`password-${option}`);
  const plain = await pool.miner({ user });
  const { difficulty, bits } = await plain.job();
  plain.connection.close();
  const top = networkDifficulty(bits);
  const value = option === 'd' && difficulty * 2 > top ? difficulty / 2 : Math.min(difficulty * 2, top);
  const miner = await pool.miner({ user, password: `${option}=${decimal(value)}` });
  await miner.nextJob(0, NEW_JOB_WITHIN_MS, (job) => fits(job.difficulty, value));
  return `${value}, was ${difficulty}`;
}

export const authorizeCases: readonly ConformanceCase[] = [
  {
    name: 'authorize/true',
    level: 'must',
    rule: 'a known user is answered true',
    source: "slush0's Stratum description",
    async run(pool) {
      await pool.miner();
      return undefined;
    },
  },
  {
    name: 'authorize/no-password',
    level: 'should',
    rule: 'the password may be left out, empty or null',
    source: 'firmware fields left empty',
    async run(pool) {
      const { connection } = await pool.miner({ authorize: false });
      const { user } = pool.settings;
      for (const params of [[user], [user, ''], [user, null]]) {
        const reply = await connection.request('mining.authorize', params);
        expectThat(reply.result === true, 'true', reply.line);
      }
      return undefined;
    },
  },
  {
    name: 'authorize/account-without-worker',
    level: 'must',
    rule: 'an account without a worker name is fine',
    source: 'ckpool, public-pool',
    async run(pool) {
      const [account = ''] = pool.settings.user.split('.');
      await pool.miner({ user: account });
      return undefined;
    },
  },
  {
    name: 'authorize/twice',
    level: 'must',
    rule: 'authorizing the same name again is answered true',
    source: 'proxies repeat it after each reconnect of theirs',
    async run(pool) {
      const miner = await pool.miner();
      const reply = await miner.authorize(miner.user, pool.settings.password);
      expectThat(reply.result === true, 'true', reply.line);
      return undefined;
    },
  },
  {
    name: 'authorize/several',
    level: 'must',
    rule: 'several names on one connection are all authorized, and shares of each are accepted',
    source: "slush0's Stratum description: proxies authorize each worker",
    async run(pool) {
      const miner = await pool.miner();
      const users = ['proxy-1', 'proxy-2', 'proxy-3'].map((worker) => pool.workerNamed(worker));
      for (const user of users) {
        const reply = await miner.authorize(user, pool.settings.password);
        expectThat(reply.result === true, `"${user}" authorized`, reply.line);
      }
      for (const user of [...users, miner.user]) {
        expectAccepted(await miner.submit(await miner.mine(), undefined, user), `a share of ${user}`);
      }
      return undefined;
    },
  },
  {
    name: 'authorize/before-subscribe',
    level: 'should',
    rule: 'authorize may come before subscribe',
    source: 'firmware that pipelines its requests in either order',
    async run(pool) {
      const connection = await pool.connect();
      const { user, password } = pool.settings;
      const authorized = await connection.request('mining.authorize', [user, password]);
      expectThat(authorized.result === true, 'true', authorized.line);
      const subscribed = await connection.request('mining.subscribe', []);
      expectThat(Array.isArray(subscribed.result), 'a subscription', subscribed.line);
      await connection.next('a first job', ({ message }) => message?.method === 'mining.notify', 0);
      return undefined;
    },
  },
  {
    name: 'authorize/bad-names',
    level: 'must',
    rule: 'a name that is no name is refused in words, with code 24 or 20, and the connection goes on',
    source: 'z-nomp#320 (markup), ckpool (slashes), nomp#644 (one bad name broke the statistics)',
    hostile: true,
    async run(pool) {
      const [account] = pool.settings.user.split('.');
      const { connection } = await pool.miner({ authorize: false });
      for (const user of [
        '',
        `${account}.<script>alert(1)</script>`,
        `${account}.../../etc/passwd`.replace('...', './'),
        `${account}.a b`,
        `${account}.a"b`,
        `${account}.a\nb`,
        `${account}.a\u0000b`,
        `${account}.\ud800`,
        `${account}.${'w'.repeat(1000)}`,
        'x'.repeat(3000),
        '矿.工',
      ]) {
        const reply = await connection.request('mining.authorize', [user, 'x']);
        expectRefused(reply, `the name ${JSON.stringify(user.slice(0, 40))}`, [24, 20]);
      }
      return undefined;
    },
  },
  {
    name: 'authorize/odd-params',
    level: 'must',
    rule: 'parameters of other types are refused with an error, never accepted and never silence',
    source: 'public-pool#2: a pool died of a shape',
    hostile: true,
    async run(pool) {
      for (const params of [[], [null], [5], [{}], [[]], [true, true], [['a']], {}, 'x', 7, null]) {
        const { connection } = await pool.miner({ authorize: false });
        expectRefused(await connection.request('mining.authorize', params), JSON.stringify(params));
        connection.close();
      }
      return undefined;
    },
  },
  {
    name: 'authorize/password-d',
    level: 'should',
    rule: 'd=N in the password sets the difficulty (up to that of a block)',
    source: 'datum_gateway#234: the sole lever of rented machines',
    run: (pool) => passwordOption(pool, 'd', isAbout),
  },
  {
    name: 'authorize/password-md',
    level: 'should',
    rule: 'md=N in the password keeps the difficulty at N or more (up to that of a block)',
    source: 'btcpool',
    run: (pool) =>
      passwordOption(pool, 'md', (difficulty, value) => difficulty >= value || isAbout(difficulty, value)),
  },
  {
    name: 'authorize/password-nonsense',
    level: 'must',
    rule: 'a password that means nothing does no harm',
    source: 'firmware defaults: x, 123, d=abc',
    async run(pool) {
      for (const password of [
        'x',
        '123',
        'd=',
        'd=abc',
        'd=-1',
        'd=1e999',
        'md=NaN',
        'd=0',
        ',;=&%~',
        'p'.repeat(500),
      ]) {
        const miner = await pool.miner({ password });
        const { difficulty } = await miner.job();
        expectThat(difficulty > 0 && Number.isFinite(difficulty), 'a difficulty above 0', difficulty);
        miner.connection.close();
      }
      return undefined;
    },
  },
];

/** Without exponent: pools read digits and a point. */
function decimal(value: number): string {
  return value.toFixed(15).replace(/\.?0+$/, '');
}
