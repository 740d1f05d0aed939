// The signer as a process of its own, one of the two who sign a 2-of-3 on a regtest node; killed, restarted, lied to.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { base64 } from '@scure/base';
import { TEST_NETWORK, Transaction, WIF } from '@scure/btc-signer';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { addressFromScript } from '../../engine/bitcoin/address.js';
import { NodeRpc } from '../../engine/node/rpc.js';
import { RpcConnection } from '../../engine/node/rpc-connection.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { parseDescriptor, scriptAt } from '../../engine/payouts/multisig-descriptor.js';
import { MultisigRail } from '../../engine/payouts/multisig-rail.js';
import type { BuildResult, PayoutTransaction, RailOutput } from '../../engine/payouts/rail.js';
import { SignerClient } from '../../engine/signer/signer-client.js';
import { SignerRail } from '../../engine/signer/signer-rail.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { projectRoot } from '../../storage/project-root.js';
import {
  call,
  coreSigns,
  descriptorOf,
  type KeyHolder,
  makeCosigner,
  makeKeyHolder,
} from './multisig-keys.js';

const env = {
  ...process.env,
  MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
};
const folder = mkdtempSync(join(tmpdir(), 'millrace-signer-'));
const SIGNER = fileURLToPath(new URL('../../engine/cli/signer.js', import.meta.url));
const COIN = 100_000_000n;
const CAP_SATS = 3n * COIN;

interface Signer {
  process: ChildProcess;
  /** What it wrote to both outputs. */
  text: () => string;
}

const running: ChildProcess[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) await end(child, 'SIGKILL');
});

/** Starts a signer; resolves when it listens or has ended. */
async function startSigner(flags: Record<string, string>): Promise<Signer> {
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const code = `const { signer } = await import(${JSON.stringify(SIGNER)}); process.exitCode = await signer(process.argv.slice(1));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, '--', ...args]);
  running.push(child);
  let text = '';
  const listens = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('Signer for key')) resolve();
      });
    }
    child.once('close', () => resolve());
  });
  await listens;
  return { process: child, text: () => text };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const closed = once(child, 'close');
  child.kill(signal);
  await closed;
  return child.exitCode;
}

describe('a signer beside a watched 2-of-3', { timeout: 60_000 }, () => {
  let node: RunningBitcoind;
  let connection: RpcConnection;
  let rpc: NodeRpc;
  let watched: MultisigRail;
  let holders: KeyHolder[];
  let coreCosigner: string;
  let descriptor: string;
  const keyFile = join(folder, 'key');
  const socketPath = join(folder, 'signer.sock');
  const client = new SignerClient({ socketPath }, 'regtest');

  const flags = () => ({
    key: keyFile,
    descriptor,
    network: 'regtest',
    'daily-cap': String(CAP_SATS),
    'fee-max': '5',
    socket: socketPath,
  });
  const payees = async (...amounts: bigint[]): Promise<RailOutput[]> => {
    const outputs: RailOutput[] = [];
    for (const sats of amounts) {
      outputs.push({ address: await rpc.wallet('payees').getNewAddress('bech32m'), sats });
    }
    return outputs;
  };
  const build = async (...amounts: bigint[]) =>
    unsigned(await watched.build(await payees(...amounts), { feeRateSatPerVb: 2 }));
  const decisions = () =>
    readFileSync(`${keyFile}.log`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  /** Each test begins a day of its own. */
  const newDay = () => {
    rmSync(`${keyFile}.state.json`, { force: true });
    rmSync(`${keyFile}.log`, { force: true });
  };

  beforeAll(async () => {
    node = await startBitcoind({ dataDir: folder, network: 'regtest', env, log: console.log });
    const endpoint = parseRpcUrl(node.rpcUrl, node.cookieFile);
    connection = new RpcConnection({ endpoint });
    rpc = new NodeRpc({ endpoint });
    holders = [];
    for (const name of ['pool', 'anna', 'ben']) holders.push(await makeKeyHolder(connection, name));
    descriptor = descriptorOf(holders);
    coreCosigner = await makeCosigner(connection, holders[1] as KeyHolder, holders);
    writeFileSync(keyFile, `${holders[0]?.masterKey}\n`, { mode: 0o600 });
    watched = await MultisigRail.open(connection, {
      descriptor,
      network: 'regtest',
      walletName: 'watch',
      since: 'now',
    });
    await rpc.createWallet('payees');
    await rpc.generateToAddress(8, await rpc.wallet('watch').getNewAddress('bech32'));
    await rpc.generateToAddress(100, await rpc.wallet('payees').getNewAddress('bech32'));
  }, 300_000);
  afterAll(async () => {
    rpc.close();
    connection.close();
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('signs with one of Core’s wallets what the node confirms', async () => {
    newDay();
    const signer = await startSigner(flags());
    expect(signer.text()).toContain(`Signer for key ${holders[0]?.fingerprint} on regtest at ${socketPath}`);
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    const outputs = await payees(12_345_678n, 54_321n);
    const rail = new SignerRail(watched, [client]);
    const half = unsigned(await rail.build(outputs, { feeRateSatPerVb: 2 }));
    expect(half.signaturesNeeded).toBe(1);
    expect(watched.signatures(half.psbt, [half.psbt]).signers).toEqual([
      { fingerprint: holders[0]?.fingerprint, inputs: [0] },
    ]);
    const paid = signed(
      await rail.combine([half.psbt, await coreSigns(connection, coreCosigner, half.psbt)]),
    );
    expect(await rpc.testMempoolAccept(paid.rawTransaction)).toMatchObject({
      allowed: true,
      txid: paid.txid,
    });
    await rail.broadcast(paid.rawTransaction);
    await rpc.generateToAddress(1, outputs[0]?.address ?? '');
    expect(await rail.confirmations(paid.txid)).toBe(1);
    expect(await call(connection, 'getreceivedbyaddress', [outputs[1]?.address, 1], 'payees')).toBe(
      0.00054321,
    );
    expect(decisions()).toEqual([
      expect.objectContaining({
        decision: 'signed',
        txid: paid.txid,
        paidSats: '12399999',
        feeSats: String(paid.networkFeeSats),
        payments: outputs.map(({ address, sats }) => ({ address, sats: String(sats) })),
      }),
    ]);
    expect(await end(signer.process, 'SIGTERM')).toBe(0);
    expect(existsSync(socketPath)).toBe(false);
  });

  it('completes a payout at once where two signers are asked', async () => {
    newDay();
    const second = { key: join(folder, 'key-2'), socket: join(folder, 'signer-2.sock') };
    writeFileSync(second.key, holders[2]?.masterKey ?? '', { mode: 0o600 });
    await startSigner(flags());
    await startSigner({ ...flags(), ...second });
    const rail = new SignerRail(watched, [
      client,
      new SignerClient({ socketPath: second.socket }, 'regtest'),
    ]);
    const outputs = await payees(1_000_000n, 2_000_000n, 3_000_000n);
    const first = signed(await rail.build(outputs, { feeRateSatPerVb: 2 }));
    expect((await rpc.testMempoolAccept(first.rawTransaction)).allowed).toBe(true);
    await rail.broadcast(first.rawTransaction);
    const replacement = signed(await rail.bump(first, outputs, 9));
    await rail.broadcast(replacement.rawTransaction);
    await rpc.generateToAddress(1, outputs[0]?.address ?? '');
    expect(await rail.confirmations(replacement.txid)).toBe(1);
    // Only one of the two can be mined, so the day counts the dearer one.
    expect(decisions().at(-1)?.dayTotalSats).toBe(String(6_000_000n + replacement.networkFeeSats));
  });

  it('keeps to its daily cap over a kill -9 and a restart', async () => {
    newDay();
    const first = await startSigner(flags());
    const [one, two, three] = [await build(2n * COIN), await build((9n * COIN) / 10n), await build(COIN)];
    await client.sign(one.psbt);
    await end(first.process, 'SIGKILL');
    expect(existsSync(socketPath)).toBe(true);
    await expect(client.sign(two.psbt)).rejects.toMatchObject({ code: 'unreachable' });

    const again = await startSigner(flags());
    expect(again.text()).toMatch(/20000\d{4} of 300000000 sat signed within 24 hours/);
    await expect(client.sign(three.psbt)).rejects.toMatchObject({ code: 'daily_cap' });
    await client.sign(one.psbt);
    await client.sign(two.psbt);
    await end(again.process, 'SIGKILL');
    await startSigner(flags());
    await expect(client.sign(three.psbt)).rejects.toThrow(/the cap is 300000000/);
    await client.sign(two.psbt);
    expect(decisions().map(({ decision, code }) => code ?? decision)).toEqual([
      ...['signed', 'daily_cap', 'signed', 'signed', 'daily_cap', 'signed'],
    ]);
    for (const { psbt } of [one, two, three]) await watched.release(psbt);
  });

  it('gives the coins of a refused payout back', async () => {
    newDay();
    await startSigner(flags());
    const rail = new SignerRail(watched, [client]);
    await expect(rail.build(await payees(4n * COIN), { feeRateSatPerVb: 2 })).rejects.toThrow(
      /Payout not signed.*the cap is 300000000/,
    );
    expect(await call(connection, 'listlockunspent', [], 'watch')).toEqual([]);
  });

  it('refuses a fee above its share, change that is not ours, lies about amounts, and another network', async () => {
    newDay();
    await startSigner(flags());
    const built = await build(1_000_000n);
    const refused = async (change: (psbt: Transaction) => void, by = client) => {
      const psbt = Transaction.fromPSBT(base64.decode(built.psbt));
      change(psbt);
      return await by.sign(base64.encode(psbt.toPSBT())).then(
        () => 'signed',
        (error: { code: string }) => error.code,
      );
    };
    const last = (psbt: Transaction) => psbt.outputsLength - 1;
    const less = (psbt: Transaction, sats: bigint) =>
      psbt.updateOutput(last(psbt), { amount: (psbt.getOutput(last(psbt)).amount ?? 0n) - sats });
    expect(await refused((psbt) => less(psbt, 60_000n))).toBe('fee_too_high');
    expect(await refused((psbt) => less(psbt, 40_000n))).toBe('signed');
    // A payee that is said to be ours by its key paths, as a wallet of ours would believe.
    const claim = (psbt: Transaction) => ({ bip32Derivation: psbt.getOutput(last(psbt)).bip32Derivation });
    expect(await refused((psbt) => psbt.updateOutput(0, claim(psbt)))).toBe('unknown_change');
    // Without its previous transaction an input could be worth anything.
    expect(await refused((psbt) => psbt.updateInput(0, { nonWitnessUtxo: undefined }))).toBe(
      'unknown_amount',
    );
    expect(await refused((psbt) => psbt.updateInput(0, { sighashType: 0x83 }))).toBe('unknown_sighash');
    // A previous transaction with another amount is not the one whose hash the input names.
    const [amount, lie] = [new Uint8Array(8), new Uint8Array(8)];
    const { witnessUtxo } = Transaction.fromPSBT(base64.decode(built.psbt)).getInput(0);
    new DataView(amount.buffer).setBigUint64(0, witnessUtxo?.amount ?? 0n, true);
    new DataView(lie.buffer).setBigUint64(0, (witnessUtxo?.amount ?? 0n) - 1000n, true);
    const [from, to] = [amount, lie].map((bytes) => Buffer.from(bytes).toString('hex'));
    const lied = Buffer.from(base64.decode(built.psbt))
      .toString('hex')
      .replaceAll(from ?? '', to ?? '');
    const liedPsbt = base64.encode(Uint8Array.from(Buffer.from(lied, 'hex')));
    expect(liedPsbt).not.toBe(built.psbt);
    await expect(client.sign(liedPsbt)).rejects.toThrow(/wrong txid/);
    const toMainnet = new SignerClient({ socketPath }, 'mainnet');
    expect(await refused(() => {}, toMainnet)).toBe('wrong_network');
    await expect(client.sign('bm90IGEgcHNidA==')).rejects.toMatchObject({ code: 'unreadable' });
    await watched.release(built.psbt);
  });

  it.each([
    ['wpkh', 'extended'],
    ['tr', 'extended'],
    ['wpkh', 'unranged single'],
    ['tr', 'unranged single'],
  ])('signs %s alone, with an %s key, as the node verifies it', async (kind, form) => {
    newDay();
    const files = { key: join(folder, `${kind}-${form}`), socket: join(folder, 'alone.sock') };
    const secret = new Uint8Array(32).fill(kind === 'tr' ? 7 : 8);
    const isSingle = form === 'unranged single';
    writeFileSync(files.key, isSingle ? WIF(TEST_NETWORK).encode(secret) : (holders[0]?.masterKey ?? ''), {
      mode: 0o600,
    });
    const place = isSingle
      ? Buffer.from(secp256k1.getPublicKey(secret)).toString('hex')
      : `${holders[0]?.publicKey}/<0;1>/*`;
    const own = { ...flags(), ...files, descriptor: `${kind}(${place})` };
    await startSigner(own);
    const alone = await MultisigRail.open(connection, {
      descriptor: own.descriptor,
      network: 'regtest',
      walletName: `watch ${kind} ${form}`,
      since: 'now',
    });
    const { script } = scriptAt(parseDescriptor(own.descriptor, 'regtest'), 'receive', 0);
    const address = addressFromScript(script, 'regtest') ?? '';
    for (let coin = 0; coin < 2; coin++) await call(connection, 'sendtoaddress', [address, 1], 'payees');
    const [elsewhere] = await payees(1n);
    await rpc.generateToAddress(1, elsewhere?.address ?? '');
    const rail = new SignerRail(alone, [new SignerClient({ socketPath: files.socket }, 'regtest')]);
    // Two inputs and change.
    const paid = signed(await rail.build(await payees(150_000_000n), { feeRateSatPerVb: 2 }));
    expect(await rpc.testMempoolAccept(paid.rawTransaction)).toMatchObject({
      allowed: true,
      txid: paid.txid,
      feeSats: paid.networkFeeSats,
    });
    expect((await rpc.decodeRawTransaction(paid.rawTransaction)).outputs).toHaveLength(2);
    rmSync(`${files.key}.state.json`);
  });

  it('says what is wrong with its key file, its socket and its flags', async () => {
    newDay();
    const openKey = join(folder, 'open-key');
    writeFileSync(openKey, holders[0]?.masterKey ?? '', { mode: 0o644 });
    const told = async (changes: Record<string, string>) => {
      const signer = await startSigner({ ...flags(), ...changes });
      return { text: signer.text(), code: await end(signer.process, 'SIGTERM') };
    };
    expect(await told({ key: openKey })).toMatchObject({
      code: 1,
      text: expect.stringContaining('mode 0644): chmod 600'),
    });
    expect((await told({ key: join(folder, 'none') })).text).toContain('it does not exist');
    expect((await told({ network: 'mainnet' })).text).toContain('of the wrong network');
    expect(await told({ network: 'moon' })).toMatchObject({
      code: 64,
      text: expect.stringContaining('moon is unknown'),
    });
    expect((await told({ 'daily-cap': 'much' })).code).toBe(64);
    expect((await told({ listen: '0.0.0.0:8400' })).code).toBe(64);
    expect((await told({ socket: keyFile })).text).toContain('exists and is no socket');
    writeFileSync(`${keyFile}.state.json`, '{"format":1,"spe');
    expect((await told({})).text).toContain('is damaged');
    newDay();

    const first = await startSigner(flags());
    expect(await told({})).toMatchObject({
      code: 1,
      text: expect.stringContaining('is in use: another signer'),
    });
    await end(first.process, 'SIGKILL');
    const second = await startSigner(flags());
    expect(second.text()).toContain('Signer for key');
    // Somebody who connects and says nothing holds nothing up.
    const silent = connect({ path: socketPath }).on('error', () => {});
    await once(silent, 'connect');
    expect(await end(second.process, 'SIGINT')).toBe(0);
    silent.destroy();
    expect(existsSync(socketPath)).toBe(false);
  });

  it('listens on loopback with a bearer token', async () => {
    newDay();
    const tokenFile = join(folder, 'token');
    const token = 'f'.repeat(64);
    writeFileSync(tokenFile, token, { mode: 0o600 });
    const { socket: _, ...rest } = flags();
    const signer = await startSigner({ ...rest, listen: '127.0.0.1:0', 'token-file': tokenFile });
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(signer.text())?.[1]);
    const built = await build(1_000_000n);
    const wrong = new SignerClient({ host: '127.0.0.1', port, token: 'e'.repeat(64) }, 'regtest');
    await expect(wrong.sign(built.psbt)).rejects.toMatchObject({ code: 'unauthorized' });
    const right = new SignerClient({ host: '127.0.0.1', port, token }, 'regtest');
    expect((await right.sign(built.psbt)).signedInputs).toBe(1);
    await watched.release(built.psbt);
  });
});

function unsigned(result: BuildResult) {
  if (result.state !== 'unsigned') throw new Error('it is signed already');
  return result;
}

function signed(result: BuildResult): PayoutTransaction {
  if (result.state !== 'signed') throw new Error(`${result.signaturesNeeded} signatures are missing`);
  return result.transaction;
}
