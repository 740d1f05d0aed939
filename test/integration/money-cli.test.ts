// `millrace ledger` and `millrace payout` as an operator runs them, on a real Postgres and a regtest node.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { RpcConnection } from '../../engine/node/rpc-connection.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { MultisigRail } from '../../engine/payouts/multisig-rail.js';
import { NodeWallet } from '../../engine/payouts/node-wallet.js';
import { NodePayoutChain } from '../../engine/payouts/payout-chain.js';
import { PayoutRunner, type PayoutRunnerOptions } from '../../engine/payouts/payout-runner.js';
import type { PayoutRail } from '../../engine/payouts/rail.js';
import { readAudit } from '../../storage/postgres/audit-log.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { LedgerStore, postLedger } from '../../storage/postgres/ledger-store.js';
import { LightningPayments } from '../../storage/postgres/lightning-payments.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { PoolFigures } from '../../storage/postgres/pool-figures.js';
import { ReserveStore } from '../../storage/postgres/reserve-store.js';
import { SweepStore } from '../../storage/postgres/sweep-store.js';
import { millrace, millraceHere, type Run } from './money-commands.js';
import { coreSigns, descriptorOf, type KeyHolder, makeCosigner, makeKeyHolder } from './multisig-keys.js';
import { booksBalance, credit, type PayoutWorld, startPayoutWorld } from './payout-world.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-money-cli-'));
const EVA = ['--actor', 'Eva', '--reason', 'ticket 17'];
let world: PayoutWorld;
let url: string;
let database: Database;
let store: PayoutStore;

vi.setConfig({ testTimeout: 120_000 });
beforeAll(async () => {
  world = await startPayoutWorld();
}, 300_000);
afterAll(async () => {
  await database?.end({ timeout: 1 });
  await world?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await database?.end({ timeout: 1 });
  url = await world.newDatabase();
  database = openPostgres({ url, poolSize: 4, timeoutS: 10 });
  store = new PayoutStore(database);
});

const settings = () => ({ NETWORK: 'regtest', DATABASE_URL: url, DATA_DIR: folder });
const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Run> =>
  millraceHere(args, { ...settings(), ...env });

/** What the command says; fails the test when it does not end with 0. */
async function says(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, out, err } = await run(args, env);
  expect({ code, err }, args.join(' ')).toEqual({ code: 0, err: '' });
  return out;
}

async function json<T>(args: readonly string[], env: Record<string, string> = {}): Promise<T> {
  return JSON.parse(await says([...args, '--json'], env)) as T;
}

/** What it says when it refuses. */
async function refuses(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, out, err } = await run(args, env);
  expect({ code: code === 1 || code === 64, out }, args.join(' ')).toEqual({ code: true, out: '' });
  return err;
}

const newAddress = () => world.payees.getNewAddress('bech32');

function runnerOf(
  rail: PayoutRail = new NodeWallet(world.rpc, world.poolWallet),
  terms: PayoutRunnerOptions['terms'] = {},
): PayoutRunner {
  return new PayoutRunner({
    store,
    wallet: rail,
    chain: new NodePayoutChain(world.rpc, 'regtest'),
    thresholdSats: 1_000_000n,
    terms,
    everyMs: 1,
    confirmationsNeeded: 1,
    onEvent: () => {},
    nowMs: () => Date.now(),
  });
}

interface Lines {
  balances: { kind: string; balanceSats: string }[];
  lines: { kind: string; amountSats: string; balanceSats: string; rule: string; inputs: object }[];
}

describe('millrace ledger', () => {
  it('tells its subcommands, their flags, and what is missing', async () => {
    for (const [command, words] of [
      ['ledger', ['account', 'pool', 'deposit', 'fund', 'audit']],
      ['payout', ['status', 'plan', 'request', 'approve', 'psbt', 'sign', 'release', 'cancel', 'lightning']],
    ] as const) {
      const intro = await says([command, '--help']);
      for (const word of words) {
        expect(intro).toContain(`millrace ${command} ${word}`);
        const help = await says([command, word, '--help']);
        expect(help).toContain(`millrace ${command} ${word}`);
        expect(help).toContain('--data-dir');
        expect(help.split('\n').every((line) => line.length <= 130)).toBe(true);
      }
      expect(await run([command])).toMatchObject({ code: 64, out: '' });
    }
    expect(await refuses(['ledger', 'account'])).toContain('NAME is missing');
    expect(await refuses(['ledger', 'pool', 'x'])).toContain('"x" is too many');
    expect(await refuses(['ledger', 'pool', '--actor', 'x'])).toContain("Unknown option '--actor'");
    expect(await refuses(['ledger', 'audit', '--limit', '0'])).toContain('from 1 to');
    expect(await refuses(['payout', 'approve', 'seven', ...EVA])).toContain('no number of a payout');
  });

  it('books a deposit and a funding once a key, and says what changed', async () => {
    const put = ['ledger', 'deposit', '--sats', '150000000', '--key', 'coins 1', ...EVA];
    const { code, out } = await millrace(put, settings());
    expect(code).toBe(0);
    expect(out).toContain('Deposited 150000000 sat of capital. Capital holds 150000000 sat');
    expect(await says(put)).toContain('nothing changed. Capital holds 150000000 sat');
    expect(await refuses([...put.slice(0, 3), '1', ...put.slice(4)])).toContain('was used for 150000000');
    const fund = ['ledger', 'fund', '--sats', '100000000', '--key', 'coins 1', ...EVA];
    expect(await says(fund)).toContain(
      'Moved 100000000 sat from capital to the reserve. The reserve holds 100000000',
    );
    expect(await json(fund)).toMatchObject({ outcome: 'already', reserveSats: '100000000' });
    expect(await refuses([...fund.slice(0, 3), '60000000', '--key', '2', ...EVA])).toContain(
      'holds 50000000',
    );
    expect(await refuses([...fund, '--from', 'wallet'])).toContain('neither capital nor pool_fee');
    expect(await new ReserveStore(database).balances()).toMatchObject({
      reserveSats: 100_000_000n,
      capitalSats: 50_000_000n,
    });
    const audit = await json<{ actor: string; action: string; reason: string }[]>(['ledger', 'audit']);
    expect(audit).toMatchObject([
      { actor: 'Eva', action: 'fund_reserve', reason: 'ticket 17' },
      { actor: 'Eva', action: 'deposit_capital' },
    ]);
    expect(await says(['ledger', 'audit', '--limit', '1'])).toMatch(
      /^\S+ {2}Eva {2}fund_reserve reserve: ticket 17/,
    );
    expect(await booksBalance(database)).toMatchObject({ wallet: -150_000_000n });
  });

  it('takes whole satoshis only, and sees bitcoins that were meant', async () => {
    const rest = ['--key', 'k', ...EVA];
    for (const [sats, message] of [
      ['0.5', '0.5 BTC are 50000000'],
      ['1.00000001', '1.00000001 BTC are 100000001'],
      ['.1', '.1 BTC are 10000000'],
      ['0', 'no whole number of satoshis above 0'],
      ['-5', 'satoshis'],
      ['1e8', 'no whole number'],
      ['1,000', 'no whole number'],
      ['99999999999999999', 'no whole number'],
    ]) {
      const said = await refuses(['ledger', 'deposit', `--sats=${sats}`, ...rest]);
      expect(said, sats).toContain(message);
    }
    expect(await refuses(['ledger', 'deposit', ...rest])).toContain('--sats is missing');
    expect(await refuses(['ledger', 'deposit', '--sats', '1', ...EVA])).toContain('--key is missing');
    expect(await refuses(['ledger', 'fund', '--sats', '1', '--key', 'k'])).toContain('--actor is missing');
    expect(await readAudit(database, 9)).toEqual([]);
  });

  it('shows every line of an account newest first, each with the balance after it', async () => {
    const address = await newAddress();
    const id = await credit(database, address, 700n);
    await credit(database, address, 50n);
    await database.begin((tx) =>
      postLedger(tx, {
        kind: 'payout_reserve',
        key: 'test',
        rule: 'some of it is on its way',
        inputs: { sats: 300n },
        lines: [
          { kind: 'miner_confirmed', accountId: id, amountSats: -300n },
          { kind: 'miner_in_flight', accountId: id, amountSats: 300n },
        ],
      }),
    );
    // Upper case, as a QR code has it.
    const all = await json<Lines>(['ledger', 'account', address.toUpperCase()]);
    expect(all.balances).toEqual([
      { kind: 'miner_confirmed', balanceSats: '450' },
      { kind: 'miner_in_flight', balanceSats: '300' },
    ]);
    expect(all.lines.map((line) => [line.kind, line.amountSats, line.balanceSats])).toEqual([
      ['miner_in_flight', '300', '300'],
      ['miner_confirmed', '-300', '450'],
      ['miner_confirmed', '50', '750'],
      ['miner_confirmed', '700', '700'],
    ]);
    const newest = await json<Lines>(['ledger', 'account', address, '--limit', '3']);
    expect(newest.lines).toEqual(all.lines.slice(0, 3));
    const text = await says(['ledger', 'account', address]);
    expect(text).toContain('miner_confirmed  450 sat');
    expect(text).toMatch(/miner_confirmed {2}-300 {2}450 {2}some of it is on its way/);
    expect(text).not.toContain('{"sats":"300"}');
    expect(await says(['ledger', 'account', address, '--verbose'])).toContain('{"sats":"300"}');
    expect(await refuses(['ledger', 'account', 'nobody'])).toContain('never mined here');
  });

  it('shows the reserve, what is owed and that the books are whole', async () => {
    await says(['ledger', 'deposit', '--sats', '5000', '--key', 'a', ...EVA]);
    const text = await says(['ledger', 'pool', '--limit', '5'], { RESERVE_LIMIT: '77' });
    expect(text).toContain('sum to 0');
    expect(text).toMatch(/capital +5000 sat/);
    expect(text).toMatch(/wallet +-5000 sat/);
    expect(text).toContain('limit        77 sat');
    expect(text).toContain('nobody was promised expected values');
    expect(text).toContain('the operator’s own coins');
    // 20 blocks where nothing is set.
    expect((await json<{ limitSats: string }>(['ledger', 'pool'])).limitSats).toBe('100000000000');
  });
});

describe('millrace payout plan', () => {
  it('tells who would be paid by which rule, and plans nothing', async () => {
    const [one, two, three, four] = [
      await newAddress(),
      await newAddress(),
      await newAddress(),
      await newAddress(),
    ];
    await credit(database, one, 3_000_000n);
    await credit(database, two, 999_999n);
    const own = await credit(database, three, 200_000n);
    await credit(database, four, 5_000_000n);
    await database`
      update accounts set payout_threshold_sats = 150000, payout_schedule = 'daily' where id = ${own}`;
    await database`update accounts set payout_schedule = 'on_demand' where name = ${four}`;
    const before = await database`select * from ledger_lines order by id`;
    const env = { BITCOIN_RPC_URL: nodeUrl(), PAYOUT_APPROVAL_ABOVE: '3100000', FEE_RATE_MIN: '2' };
    const text = await says(['payout', 'plan'], env);
    expect(text).toContain(
      'transaction 1: 3200000 sat to 2 output(s), above 3100000 sat: two people must agree',
    );
    expect(text).toContain(
      `3000000 sat  ${one}  (balance 3000000 reached the pool's threshold of 1000000; each run)`,
    );
    expect(text).toContain(`200000 sat  ${three}  (balance 200000 reached its threshold of 150000; daily)`);
    // 10.5 + 68 + 31 and two P2WPKH outputs of 31.
    expect(text).toMatch(/fee about 344 sat for 172 vB with one input.*2 sat\/vB/);
    expect(text).not.toContain(two);
    expect(text).toContain('4 account(s) hold 9199999 sat confirmed; 3200000 would be paid');
    expect(await store.latestPayouts(10)).toEqual([]);
    expect(await database`select * from ledger_lines order by id`).toEqual(before);
    // The runner plans the very same.
    await runnerOf().step();
    const [real] = await store.latestPayouts(10);
    const { transactions } = await json<{ transactions: { payees: { address: string; sats: string }[] }[] }>(
      ['payout', 'plan'],
      env,
    );
    expect(transactions).toEqual([]);
    expect(real?.outputs.map(({ address, amountSats }) => [address, amountSats]).sort()).toEqual(
      [
        [one, 3_000_000n],
        [three, 200_000n],
      ].sort(),
    );
  });

  it('leaves accounts to Lightning that asked for it, also where they are not paid for want of a node', async () => {
    const address = await newAddress();
    await credit(database, address, 3_000_000n);
    const set = ['payout', 'lightning', address, '--to', 'anna@example.com', ...EVA];
    expect(await says(set)).toContain('No Lightning node is set');
    expect(await says(set)).toContain('nothing changed');
    expect(await refuses([...set.slice(0, 4), 'Anna@example.com', ...EVA])).toContain('in lower case');
    expect(await says(['payout', 'plan'])).toContain('nobody would be paid now');
    expect(await says(['payout', 'status'])).toContain(
      '1 account(s) are to be paid by Lightning, and no node is set',
    );
    const lnd = { LND_URL: 'http://127.0.0.1:1', LND_MACAROON_FILE: '/m', LIGHTNING_MAX_SATS: '2000000' };
    expect(await says(['payout', 'plan'], lnd)).toContain(`2000000 sat  ${address} at anna@example.com`);
    expect(await new LightningPayments(database).latestPayments(9)).toEqual([]);
    await says(['payout', 'lightning', address, '--off', ...EVA]);
    expect(await says(['payout', 'plan'], lnd)).toContain('transaction 1: 3000000 sat');
    expect(await readAudit(database, 9, address)).toHaveLength(2);
  });
});

describe('millrace payout request, approve and cancel', () => {
  it('pays an account at once, once a key, and never more than it has', async () => {
    const address = await newAddress();
    await credit(database, address, 500_000n);
    const ask = ['payout', 'request', address, '--sats', '200000', '--key', 'mail 3'];
    expect(await says(ask)).toContain(`of 200000 sat to ${address} is planned`);
    const again = await json<{ payoutId: string }>(ask);
    expect(again).toMatchObject({ kind: 'planned', amountSats: '200000' });
    expect(await refuses([...ask.slice(0, 4), '400000', '--key', 'mail 4'])).toContain(
      '300000 sats that are free',
    );
    expect(await refuses(['payout', 'request', address])).toContain('--key is missing');
    const text = await says(['payout', 'status']);
    expect(text).toMatch(new RegExp(`${again.payoutId} {2}planned {2}200000 sat to 1 payee`));
    expect(text).toContain('fees of 50 sat/vB or less');
    const runner = runnerOf();
    await runner.step();
    expect(await says(['payout', 'status'], { PAYOUT_DAILY_MAX: '900000' })).toContain(
      'within 24 hours 200000 sat were reserved of the 900000',
    );
    await world.mine();
    await runner.step();
    expect(await world.received(address)).toEqual({ sats: 200_000n, payments: 1 });
    const after = await json<{ open: unknown[]; latest: { status: string }[] }>(['payout', 'status']);
    expect(after).toMatchObject({ open: [], latest: [{ status: 'confirmed', id: again.payoutId }] });
    expect(await says(ask)).toContain('is confirmed');
  });

  it('waits for two different people above the limit', async () => {
    const address = await newAddress();
    await credit(database, address, 500_000n);
    const limit = { PAYOUT_APPROVAL_ABOVE: '100000' };
    const { payoutId: id } = await json<{ payoutId: string }>(
      ['payout', 'request', address, '--key', 'k'],
      limit,
    );
    const runner = runnerOf(undefined, { approvalAboveSats: 100_000n });
    await runner.step();
    expect(await says(['payout', 'status'])).toContain('waits for the agreement of 2 people, none so far');
    expect(await says(['payout', 'approve', id, ...EVA])).toContain('the agreement of 1 of 2 people');
    const twice = await says(['payout', 'approve', id, '--actor', ' EVA ', '--reason', 'me again']);
    expect(twice).toContain('nothing changed');
    expect(twice).toContain('1 of 2');
    await runner.step();
    expect((await store.payout(BigInt(id))).status).toBe('awaiting_approval');
    expect(await says(['payout', 'status'])).toContain('eva so far');
    const adam = ['--actor', 'adam', '--reason', 'checked'];
    expect(await says(['payout', 'approve', id, ...adam])).toContain(
      '2 of 2 people. The pool sends it by itself',
    );
    await runner.step();
    expect((await store.payout(BigInt(id))).status).toBe('broadcast');
    expect(await says(['payout', 'approve', id, ...adam])).toContain('is broadcast: nothing changed');
    expect(await refuses(['payout', 'approve', id, '--actor', 'third', '--reason', 'x'])).toContain(
      'waits for no approval',
    );
    expect(await refuses(['payout', 'cancel', id, ...EVA])).toContain('its coins are reserved');
    expect((await readAudit(database, 9)).map(({ actor, action }) => [actor, action])).toEqual([
      ['adam', 'payout_approve'],
      ['eva', 'payout_approve'],
    ]);
    await world.mine();
  });

  it('cancels what is not reserved, and leaves its name in the audit log', async () => {
    const address = await newAddress();
    const account = await credit(database, address, 500_000n);
    const { payoutId: id } = await json<{ payoutId: string }>(['payout', 'request', address, '--key', 'k']);
    expect(await refuses(['payout', 'cancel', id, '--actor', 'eva'])).toContain('--reason is missing');
    expect(await says(['payout', 'cancel', id, ...EVA])).toContain(`Cancelled payout ${id}`);
    expect(await says(['payout', 'cancel', id, ...EVA])).toContain('nothing changed');
    expect(await says(['payout', 'status'])).toContain('failed: cancelled by Eva: ticket 17');
    expect(await refuses(['payout', 'request', address, '--key', 'k'])).toContain(
      'Ask again with another key',
    );
    await runnerOf().step();
    expect(
      await database`select balance_sats as sats from ledger_balances b
      join ledger_accounts a on a.id = b.ledger_account_id where a.account_id = ${account}`,
    ).toEqual([{ sats: 500_000n }]);
    expect(await readAudit(database, 9)).toMatchObject([
      { actor: 'Eva', action: 'payout_cancel', subject: id },
    ]);
    expect(await refuses(['payout', 'cancel', '99', ...EVA])).toContain('payout 99 does not exist');
  });

  it('lists addresses in quarantine and sweeps, and releases an address', async () => {
    const address = await newAddress();
    const id = await credit(database, address, 2_000_000n);
    await store.people.quarantine(id, address, 'the wallet refuses it', 'Give the account a valid address');
    await new SweepStore(database).plan('bcrt1qcold', 123_456n);
    const text = await says(['payout', 'status']);
    expect(text).toContain(`${address} of ${address}, `);
    expect(text).toContain('s: the wallet refuses it');
    expect(text).toContain(`millrace payout release ${address}`);
    expect(text).toContain('planned  123456 sat to bcrt1qcold');
    expect(await says(['payout', 'plan'])).toContain('nobody would be paid now');
    expect(await says(['payout', 'release', address, ...EVA])).toContain(`Released ${address}`);
    expect(await says(['payout', 'release', address, ...EVA])).toContain('nothing changed');
    expect(await says(['payout', 'plan'])).toContain('transaction 1: 2000000 sat');
  });
});

describe('millrace payout psbt and sign', () => {
  let connection: RpcConnection;
  let holders: KeyHolder[];
  let cosigners: string[];
  let descriptor: string;
  let watched: MultisigRail;
  beforeAll(async () => {
    connection = new RpcConnection({ endpoint: parseRpcUrl(world.node.rpcUrl, world.node.cookieFile) });
    holders = [];
    for (const name of ['anna', 'ben', 'cleo']) holders.push(await makeKeyHolder(connection, name));
    descriptor = descriptorOf(holders);
    cosigners = [];
    for (const holder of holders.slice(0, 2)) cosigners.push(await makeCosigner(connection, holder, holders));
    watched = await MultisigRail.open(connection, {
      ...{ descriptor, network: 'regtest', walletName: 'watch 2 of 3', since: 'now' },
    });
    await world.rpc.generateToAddress(2, await world.rpc.wallet('watch 2 of 3').getNewAddress('bech32'));
    await world.rpc.generateToAddress(100, await newAddress());
  });
  afterAll(() => connection?.close());

  it('pays out of a 2-of-3 by files that two key holders signed', async () => {
    const env = { MULTISIG_DESCRIPTOR: descriptor };
    const address = await newAddress();
    await credit(database, address, 2_345_678n);
    const runner = runnerOf(watched);
    await runner.step();
    const [open] = await store.openPayouts();
    const id = String(open?.id);
    expect(open?.status).toBe('awaiting_signatures');
    expect(await says(['payout', 'status'], env)).toContain('signatures: 2 were needed, none handed in');

    const [out, one, two, other] = ['out', 'one', 'two', 'other'].map((name) => join(folder, name)) as [
      ...[string, string, string, string],
    ];
    expect(await says(['payout', 'psbt', id, '--out', out], env)).toContain(`payout sign ${id} FILE`);
    expect(await refuses(['payout', 'psbt', id, '--out', out], env)).toContain('exists and is not touched');
    const psbt = readFileSync(out, 'utf8').trim();
    expect(await says(['payout', 'psbt', id], env)).toBe(`${psbt}\n`);

    // By one of them as Core's GUI saves it, by the other one as text.
    writeFileSync(one, Buffer.from(await coreSigns(connection, cosigners[0] ?? '', psbt), 'base64'));
    writeFileSync(two, `${await coreSigns(connection, cosigners[1] ?? '', psbt)}\n`);
    const strange = await watched.build([{ address, sats: 1000n }], { feeRateSatPerVb: 2 });
    writeFileSync(other, strange.state === 'unsigned' ? strange.psbt : '');
    if (strange.state === 'unsigned') await watched.release(strange.psbt);

    expect(await refuses(['payout', 'sign', id], env)).toContain('FILE... is missing');
    expect(await refuses(['payout', 'sign', id, out], env)).toContain('nobody signed it');
    expect(await refuses(['payout', 'sign', id, other], env)).toContain(`${other}: PSBT 1 is refused`);
    expect(await refuses(['payout', 'sign', id, join(folder, 'none')], env)).toContain(
      'there is no such file',
    );
    expect(await refuses(['payout', 'sign', id, one])).toContain('MULTISIG_DESCRIPTOR is not set here');
    expect(await store.people.signatures(BigInt(id))).toEqual([]);

    const first = await says(['payout', 'sign', id, one], env);
    expect(first).toContain(`${one}: signed by key ${holders[0]?.fingerprint}`);
    expect(first).toContain('1 more signature is needed');
    await says(['payout', 'sign', id, one], env);
    expect(await says(['payout', 'status'], env)).toContain(`key ${holders[0]?.fingerprint} handed in`);
    await runner.step();
    expect((await store.payout(BigInt(id))).status).toBe('awaiting_signatures');
    expect(await json(['payout', 'sign', id, one, two], env)).toMatchObject({ missing: 0 });
    await runner.step();
    expect((await store.payout(BigInt(id))).status).toBe('broadcast');
    expect(await says(['payout', 'sign', id, two], env)).toContain('nothing changed');
    await world.mine();
    await runner.step();
    expect(await world.received(address)).toEqual({ sats: 2_345_678n, payments: 1 });
    expect((await readAudit(database, 9, id)).map(({ actor }) => actor)).toEqual([
      `key ${holders[1]?.fingerprint}`,
      `key ${holders[0]?.fingerprint}`,
    ]);
    expect(existsSync(out)).toBe(true);
    await booksBalance(database);
  });
});

describe('what Lightning paid', () => {
  it('counts as paid, and an open payment holds up a request on the chain', async () => {
    const id = await credit(database, 'lightning miner', 100_000n);
    const lightning = new LightningPayments(database);
    const payment = await lightning.planOne({
      requestKey: 'k',
      accountId: id,
      destination: 'a@example.com',
      sentSats: 40_000n,
      fee: { payer: 'miner', maxPpm: 10_000, maxBaseSats: 0n },
    });
    const ask = ['payout', 'request', 'lightning miner', '--key', 'q'];
    expect(await refuses(ask)).toContain(`Lightning payment ${payment} of this account is still open`);
    expect(await says(['payout', 'status'])).toContain('waits for an invoice');
    const hash = 'ab'.repeat(32);
    const expiresAt = new Date(Date.now() + 60_000);
    await lightning.storeInvoice(payment, { bolt11: 'ln', paymentHash: hash, description: null, expiresAt });
    await lightning.markSent(payment, 1, `02${hash}`, new Date());
    await lightning.markPaid(payment, 1, { preimage: 'cd'.repeat(32), feeMsat: 1_500n });
    // 40,000 arrived and 2 were charged for routing; 398 of the 400 kept back returned.
    expect(await new LedgerStore(database).balance('lightning miner')).toMatchObject({
      confirmedSats: 59_998n,
      paidSats: 40_002n,
    });
    expect(await new PoolFigures(database).payouts()).toMatchObject({
      byStatus: { confirmed: 1 },
      paidSats: 40_000n,
      networkFeesSats: 1n,
    });
    expect(await says(['payout', 'status'])).toContain('paid, fee 1500 msat');
    // Both ways of paying share the daily cap.
    const cap = { MIN_PAYOUT: '546', PAYOUT_DAILY_MAX: '50000' };
    expect(await refuses([...ask, '--sats', '20000'], cap)).toContain('no more than 9600 sats');
    await booksBalance(database);
  });
});

/** With the credentials of the cookie, as a setting has them. */
function nodeUrl(): string {
  const target = new URL(world.node.rpcUrl);
  const [user = '', password = ''] = readFileSync(world.node.cookieFile, 'utf8').trim().split(':');
  target.username = user;
  target.password = password;
  return target.href;
}
