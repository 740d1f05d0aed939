// `millrace account` as an operator runs it, beside the embedded Postgres of a pool.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../storage/embedded/postgres.js';
import { readAudit } from '../../storage/postgres/audit-log.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { migratePostgres } from '../../storage/postgres/migrate.js';
import { projectRoot } from '../../storage/project-root.js';
import { keyAddress } from '../fixtures/bip322-signer.js';

const dataDir = mkdtempSync(join(tmpdir(), 'millrace-account-cli-'));
const [alice, bob, carol] = [1, 2, 3].map((n) =>
  keyAddress(new Uint8Array(32).fill(n), 'p2tr', 'regtest'),
) as [ReturnType<typeof keyAddress>, ReturnType<typeof keyAddress>, ReturnType<typeof keyAddress>];
let server: Awaited<ReturnType<typeof startPostgres>>;
let database: Database;

interface Run {
  code: number;
  out: string;
  err: string;
}

/** Runs the command in a process of its own; `env` is all the settings it finds. */
function account(args: readonly string[], env: Record<string, string> = { DATA_DIR: dataDir }): Promise<Run> {
  const module = pathToFileURL(join(projectRoot(), 'dist', 'engine', 'cli', 'account.js')).href;
  const script = `process.exitCode = await (await import('${module}')).account(process.argv.slice(1))`;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--input-type=module', '-e', script, '--', ...args],
      { cwd: dataDir, env: { PATH: process.env.PATH, NETWORK: 'regtest', ...env } },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

beforeAll(async () => {
  server = await startPostgres({ dataDir: join(dataDir, 'postgres'), log: () => {} });
  database = openPostgres({ url: server.url, poolSize: 2, timeoutS: 10 });
});

afterAll(async () => {
  await database?.end({ timeout: 1 });
  await server?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

describe('millrace account', () => {
  it('tells what it can do, and each command its flags', async () => {
    expect(await account(['--help'])).toMatchObject({ code: 0, err: '' });
    for (const command of ['show', 'message', 'propose', 'cancel', 'first', 'set']) {
      const { code, out } = await account([command, '--help']);
      expect(code).toBe(0);
      expect(out).toContain(`millrace account ${command} NAME`);
      expect(out).toContain('--data-dir');
    }
    expect(await account([])).toMatchObject({ code: 64, out: '' });
    expect((await account(['shwo', 'x'])).code).toBe(64);
    expect((await account(['show'])).err).toContain('The name of the account is missing');
    expect((await account(['show', 'a', '--reason', 'x'])).err).toContain("Unknown option '--reason'");
  });

  it('says why there is no ledger to look into', async () => {
    const nowhere = await account(['show', 'x'], { DATA_DIR: join(dataDir, 'empty') });
    expect(nowhere).toMatchObject({ code: 1, out: '' });
    expect(nowhere.err).toContain('No pool runs on');
    const refused = await account(['show', 'x'], { DATABASE_URL: 'postgres://a:b@127.0.0.1:1/c' });
    expect(refused.err).toContain('Postgres refuses connections');
    const empty = await account(['show', 'x']);
    expect(empty).toMatchObject({ code: 1 });
    expect(empty.err).toContain('Start the pool once');
  });

  it('changes where an account is paid to, from the text to the notice, and cancels it', async () => {
    await migratePostgres(database);
    await database`insert into accounts (name, is_address) values (${alice.address}, true)`;
    // Upper case, as a QR code has it.
    const name = alice.address.toUpperCase();
    const asked = await account(['message', name, '--to', `${bob.address}=12.5`, '--to', carol.address]);
    expect(asked).toMatchObject({ code: 0, err: '' });
    expect(asked.out).toContain(`${bob.address} 12.5 %, ${carol.address} 87.5 %`);

    const wrong = await account(['propose', name, '--signature', bob.signSimple(asked.out.trimEnd())]);
    expect(wrong).toMatchObject({ code: 1, out: '' });
    expect(wrong.err).toContain('another message or by another key');
    const done = await account(['propose', name, '--signature', alice.signSimple(asked.out.trimEnd())]);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toContain(`${carol.address}  87.5 %`);

    const { out } = await account(['show', name, '--json'], { DATABASE_URL: server.url });
    expect(JSON.parse(out)).toMatchObject({
      account: alice.address,
      network: 'regtest',
      confirmedSats: '0',
      present: [{ address: alice.address, sharePpm: 1_000_000 }],
      pending: { targets: [{ sharePpm: 125_000 }, { sharePpm: 875_000 }] },
      notices: [{ kind: 'accepted' }],
    });

    const toCancel = await account(['cancel', name]);
    const cancelled = await account(['cancel', name, '--signature', alice.signFull(toCancel.out.trimEnd())]);
    expect(cancelled).toMatchObject({ code: 0, err: '' });
    const text = (await account(['show', name])).out;
    expect(text).toContain(`paid to      ${alice.address}  100 %`);
    expect(text).toContain('cancelled');
    expect((await account(['cancel', name])).err).toContain('nothing to cancel');
  });

  it('lets the operator name a first address and cancel, with name and reason', async () => {
    await database`insert into accounts (name, is_address) values ('farm', false)`;
    const eva = ['--actor', 'eva', '--reason', 'contract 17'];
    expect((await account(['first', 'farm', '--to', bob.address])).err).toContain('--actor is missing');
    expect(await account(['first', 'farm', '--to', bob.address, ...eva])).toMatchObject({ code: 0, err: '' });
    expect((await account(['show', 'farm'])).out).toContain('paid to      nowhere');
    const both = await account(['cancel', 'farm', '--signature', 'x', ...eva]);
    expect(both.err).toContain('not both');
    expect(await account(['cancel', 'farm', ...eva])).toMatchObject({ code: 0, err: '' });
    expect((await readAudit(database, 9, 'farm')).map(({ actor, action }) => [actor, action])).toEqual([
      ['eva', 'payout_address_cancelled'],
      ['eva', 'payout_address_change'],
    ]);
  });

  it('sets what an account has of its own, and goes back to the default', async () => {
    const eva = ['--actor', 'eva', '--reason', 'contract 18'];
    const own = ['--scheme', 'fpps', '--fee', '0.25', '--donation', '1', '--threshold', '100000', '--json'];
    const set = await account(['set', 'farm', ...own, ...eva]);
    expect(set).toMatchObject({ code: 0, err: '' });
    const expected = { scheme: 'fpps', feePpm: 2500, donationPpm: 10_000, thresholdSats: '100000' };
    expect(JSON.parse(set.out)).toEqual(expected);
    await account(['set', 'farm', '--scheme', 'default', '--fee', 'default', ...eva]);
    expect(JSON.parse((await account(['show', 'farm', '--json'])).out)).toMatchObject({
      settings: { ...expected, scheme: null, feePpm: null },
    });
    for (const [flags, message] of [
      [['--fee', '100.1'], 'no percentage'],
      [['--fee', '0.00001'], 'no percentage'],
      [['--threshold', '1'], 'below MIN_PAYOUT'],
      [['--threshold', '1e9'], 'no number of satoshis'],
      [['--scheme', 'prop'], 'not one of'],
      [[], 'Nothing to set'],
    ] as const) {
      const refused = await account(['set', 'farm', ...flags, ...eva]);
      expect(refused).toMatchObject({ code: 1, out: '' });
      expect(refused.err).toContain(message);
    }
    expect((await account(['set', 'ghost', '--fee', '1', ...eva])).err).toContain('never mined here');
  });

  it('refuses addresses that do not add up', async () => {
    for (const [to, message] of [
      [[], '--to is missing'],
      [[bob.address, carol.address], 'Only one --to'],
      [[`${bob.address}=100`, carol.address], 'Nothing is left'],
      [[`${bob.address}=50`], 'sum to 50 %'],
      [[`${bob.address}=1=2`], 'ADDRESS=PERCENT'],
      [['1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa'], 'the pool runs on regtest'],
    ] as const) {
      const refused = await account(['message', alice.address, ...to.flatMap((one) => ['--to', one])]);
      expect(refused).toMatchObject({ code: 1, out: '' });
      expect(refused.err).toContain(message);
    }
  });
});
