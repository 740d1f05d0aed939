// The coordinator's money with what settings can add to it: signers that are asked, an LND that pays; on regtest, with
// signers as processes of their own and a stand-in for LND's REST interface.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../engine/config/load.js';
import { Money, type MoneyEvent } from '../../engine/money.js';
import { RpcConnection } from '../../engine/node/rpc-connection.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { Wallets } from '../../engine/wallets.js';
import { DataFolder } from '../../storage/data-folder.js';
import { type Database, openPostgres } from '../../storage/postgres/connection.js';
import { LightningPayments } from '../../storage/postgres/lightning-payments.js';
import { PayoutStore } from '../../storage/postgres/payout-store.js';
import { projectRoot } from '../../storage/project-root.js';
import { LightningStandIn, MACAROON } from '../fixtures/lightning-stand-in.js';
import { descriptorOf, type KeyHolder, makeKeyHolder } from './multisig-keys.js';
import { booksBalance, credit, type PayoutWorld, startPayoutWorld } from './payout-world.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-money-wiring-'));
let world: PayoutWorld;
let data: DataFolder;
let database: Database;
let events: MoneyEvent[];
let opened: Money[];
const signers: ChildProcess[] = [];

vi.setConfig({ testTimeout: 120_000 });
beforeAll(async () => {
  world = await startPayoutWorld();
  data = DataFolder.open(join(folder, 'data'));
}, 300_000);
afterAll(async () => {
  data?.close();
  await world?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  database = openPostgres({ url: await world.newDatabase(), poolSize: 4, timeoutS: 10 });
  events = [];
  opened = [];
});
afterEach(async () => {
  for (const money of opened) await money.close();
  for (const child of signers.splice(0)) {
    child.kill('SIGTERM');
    await once(child, 'close');
  }
  await database.end({ timeout: 1 });
});

/** `settings`: as an environment has them. */
async function openMoney(settings: Record<string, string>, poolAddress: string): Promise<Money> {
  const loaded = loadConfig({
    argv: [],
    env: { NETWORK: 'regtest', PAYOUT_FREQUENCY: '1', ...settings },
    cwd: folder,
  });
  if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
  const money = await Money.open({
    config: loaded.config,
    database,
    rpc: world.rpc,
    endpoint: parseRpcUrl(world.node.rpcUrl, world.node.cookieFile),
    wallets: new Wallets(world.rpc, data, 'regtest'),
    poolAddress,
    onEvent: (event) => events.push(event),
    onSchemes: () => {},
  });
  opened.push(money);
  return money;
}

async function startSigner(name: string, key: string, descriptor: string): Promise<string> {
  const [keyFile, socket] = [join(folder, `${name}.key`), join(folder, `${name}.sock`)];
  writeFileSync(keyFile, key, { mode: 0o600 });
  const flags = ['--key', keyFile, '--descriptor', descriptor, '--network', 'regtest'];
  const main = join(projectRoot(), 'dist', 'engine', 'main.js');
  const child = spawn(process.execPath, [
    main,
    'signer',
    ...flags,
    '--daily-cap',
    '10000000000',
    '--socket',
    socket,
  ]);
  signers.push(child);
  await once(child.stdout, 'data');
  return socket;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('payouts out of a multisig whose signers are asked', () => {
  let connection: RpcConnection;
  let holders: KeyHolder[];
  let descriptor: string;
  beforeAll(async () => {
    connection = new RpcConnection({ endpoint: parseRpcUrl(world.node.rpcUrl, world.node.cookieFile) });
    holders = [];
    for (const name of ['anna', 'ben', 'cleo']) holders.push(await makeKeyHolder(connection, name));
    descriptor = descriptorOf(holders);
  });
  afterAll(() => connection?.close());

  it('find coins that came before the node watched it, from the day that MULTISIG_SINCE names', async () => {
    const { descriptor: known } = await world.call<{ descriptor: string }>('getdescriptorinfo', [
      descriptor.replaceAll('<0;1>', '0'),
    ]);
    const [address = ''] = await world.call<string[]>('deriveaddresses', [known, [0, 0]]);
    await world.call('sendtoaddress', [address, 0.5], 'pool');
    await world.mine();
    // A week later by the clock of the node; `now` would look back two hours.
    await world.call('setmocktime', [Math.floor(Date.now() / 1000) + 7 * 86_400]);
    await world.rpc.generateToAddress(12, await world.payees.getNewAddress('bech32'));
    await openMoney({ MULTISIG_DESCRIPTOR: descriptor, MULTISIG_SINCE: '2020-01-01' }, address);
    expect(await world.call('getbalance', [], 'millrace-multisig')).toBe(0.5);
  });

  it('go out by themselves when as many answer as must sign, and say when blocks pay elsewhere', async () => {
    const sockets = [
      await startSigner('one', holders[0]?.masterKey ?? '', descriptor),
      await startSigner('two', holders[2]?.masterKey ?? '', descriptor),
    ];
    const settings = { MULTISIG_DESCRIPTOR: descriptor, SIGNER_SOCKETS: sockets.join(',') };
    const elsewhere = await world.poolWallet.getNewAddress('bech32');
    const stranger = await openMoney(settings, elsewhere);
    expect(stranger.payoutsFrom).toBe('signer');
    expect(stranger.warnings.join()).toMatch(/blocks pay bcrt1\S+, which is not of MULTISIG_DESCRIPTOR/);
    await stranger.close();

    const own = await world.rpc.wallet('millrace-multisig').getNewAddress('bech32');
    await world.rpc.generateToAddress(1, own);
    await world.rpc.generateToAddress(100, elsewhere);
    const money = await openMoney(settings, own);
    expect(money.warnings).toEqual([]);
    expect(money.payoutsOff).toBeNull();
    const payee = await world.payees.getNewAddress('bech32');
    await credit(database, payee, 3_000_000n);
    await money.step();
    expect(events.map(({ type }) => type)).toContain('payout_broadcast');
    await world.mine();
    await money.step();
    expect(await world.received(payee)).toEqual({ sats: 3_000_000n, payments: 1 });
    expect(await new PayoutStore(database).openPayouts()).toEqual([]);
    expect(readFileSync(join(folder, 'two.key.log'), 'utf8')).toContain('"decision":"signed"');
    await booksBalance(database);
  });
});

describe('a Lightning node beside it', () => {
  let network: LightningStandIn;
  let url: string;
  const macaroonFile = join(folder, 'admin.macaroon');
  beforeEach(async () => {
    network = new LightningStandIn();
    network.nowS = Math.floor(Date.now() / 1000);
    url = await network.listen('lnd');
    // As LND writes it.
    writeFileSync(macaroonFile, Buffer.from(MACAROON, 'hex'), { mode: 0o600 });
  });
  afterEach(() => network.close());

  const settings = () => ({ LND_URL: url, LND_MACAROON_FILE: macaroonFile, PAYOUT_FEE_PAYER: 'payees' });
  const order = async (bolt11: string, account: number, key: string) =>
    await new LightningPayments(database).planOne({
      ...{ requestKey: key, accountId: account, destination: bolt11, sentSats: 20_000n },
      fee: { payer: 'pool', maxPpm: 5000, maxBaseSats: 10n },
    });

  it('pays in a loop of its own, while no block moves, and ends with the pool', async () => {
    const money = await openMoney(settings(), await world.poolWallet.getNewAddress('bech32'));
    const account = await credit(database, 'farm', 50_000n);
    const payment = await order(network.invoiceFor('farm', 20_000_000n), account, 'a');
    const lightning = new LightningPayments(database);
    await until('it is paid', async () => (await lightning.payment(payment)).status === 'paid');
    await until('it is told', () => events.some(({ type }) => type === 'lightning_paid'));
    expect(network.received.get('farm')).toEqual([20_000_000n]);
    await booksBalance(database);
    await money.close();
    const asked = network.paysAsked;
    await order(network.invoiceFor('farm', 20_000_000n), account, 'b');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(network.paysAsked).toBe(asked);
  });

  it('is told of once while it is away, and does not keep the rest from moving', async () => {
    const money = await openMoney(
      { ...settings(), LND_URL: 'http://127.0.0.1:1' },
      await world.poolWallet.getNewAddress('bech32'),
    );
    await order(network.invoiceFor('x', 20_000_000n), await credit(database, 'x', 50_000n), 'c');
    await until('it is missed', () => events.some(({ type }) => type === 'lightning_node_down'));
    await money.step();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(events.filter(({ type }) => type === 'lightning_node_down')).toHaveLength(1);
  });

  it('is refused with a secret that others may read, or that is not there', async () => {
    const address = await world.poolWallet.getNewAddress('bech32');
    chmodSync(macaroonFile, 0o640);
    await expect(openMoney(settings(), address)).rejects.toThrow(
      /others may read it \(mode 0640\): chmod 600/,
    );
    await expect(
      openMoney({ ...settings(), LND_MACAROON_FILE: join(folder, 'gone') }, address),
    ).rejects.toThrow(/does not exist/);
    chmodSync(macaroonFile, 0o600);
    await expect(openMoney({ ...settings(), LND_URL: 'http://192.0.2.1:8080' }, address)).rejects.toThrow(
      /must be reached by https/,
    );
  });

  it('warns of accounts that Lightning should pay when no node is set', async () => {
    const account = await credit(database, 'anna', 50_000n);
    await new LightningPayments(database).setDestination(account, 'anna@example.com');
    const money = await openMoney({}, await world.poolWallet.getNewAddress('bech32'));
    expect(money.warnings.join()).toMatch(/1 account\(s\) are to be paid by Lightning.*LND_URL/);
  });
});
