// Payouts of a 2-of-3 whose keys are elsewhere, on a regtest node: Core's own wallets sign, the node only watches.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { base64 } from '@scure/base';
import { SigHash, Transaction } from '@scure/btc-signer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeRpc } from '../../engine/node/rpc.js';
import { RpcConnection } from '../../engine/node/rpc-connection.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { spentOutpoints } from '../../engine/payouts/multisig-psbt.js';
import { MultisigRail } from '../../engine/payouts/multisig-rail.js';
import type { BuildResult, PayoutTransaction, RailOutput } from '../../engine/payouts/rail.js';
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
const folder = mkdtempSync(join(tmpdir(), 'millrace-multisig-'));
const COIN = 100_000_000n;

describe('a 2-of-3 multisig', { timeout: 60_000 }, () => {
  let node: RunningBitcoind;
  let connection: RpcConnection;
  let rpc: NodeRpc;
  let holders: KeyHolder[];
  let cosigners: string[];
  let rail: MultisigRail;
  let descriptor: string;

  const options = () => ({
    descriptor,
    network: 'regtest' as const,
    walletName: 'multisig watch',
    since: 'now' as const,
  });
  const sign = (by: number, psbt: string) => coreSigns(connection, cosigners[by] ?? '', psbt);
  const mine = async (blocks: number) => {
    const address = await rpc.wallet('payees').getNewAddress('bech32');
    await rpc.generateToAddress(blocks, address);
  };
  const payees = async (...amounts: bigint[]): Promise<RailOutput[]> => {
    const outputs: RailOutput[] = [];
    for (const sats of amounts)
      outputs.push({ address: await rpc.wallet('payees').getNewAddress('bech32'), sats });
    return outputs;
  };
  const receivedBy = async (address: string) =>
    (await call(connection, 'getreceivedbyaddress', [address, 1], 'payees')) as number;
  const build = async (outputs: RailOutput[], feeRateSatPerVb = 3) =>
    unsigned(await rail.build(outputs, { feeRateSatPerVb }));

  beforeAll(async () => {
    node = await startBitcoind({ dataDir: folder, network: 'regtest', env, log: console.log });
    const endpoint = parseRpcUrl(node.rpcUrl, node.cookieFile);
    connection = new RpcConnection({ endpoint });
    rpc = new NodeRpc({ endpoint });
    holders = [];
    for (const name of ['anna', 'ben', 'carl']) holders.push(await makeKeyHolder(connection, name));
    descriptor = descriptorOf(holders);
    cosigners = [];
    for (const holder of holders) cosigners.push(await makeCosigner(connection, holder, holders));
    rail = await MultisigRail.open(connection, options());
    await rpc.createWallet('payees');
    // Six coins of 50 that the multisig can spend, mined before the payees' own.
    const own = await rpc.wallet('multisig watch').getNewAddress('bech32');
    await rpc.generateToAddress(6, own);
    await mine(100);
  }, 300_000);
  afterAll(async () => {
    rpc.close();
    connection.close();
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('pays its payees, in order and to the satoshi, when two of Core’s own wallets signed', async () => {
    const outputs = await payees(1_234_567n, 30n * COIN, 89_999n);
    const built = await build(outputs);
    expect(built.signaturesNeeded).toBe(2);
    const locked = (await call(connection, 'listlockunspent', [], 'multisig watch')) as object[];
    expect(locked).toHaveLength(spentOutpoints(built.psbt).length);

    const [byAnna, byCarl] = [await sign(0, built.psbt), await sign(2, built.psbt)];
    expect(rail.signatures(built.psbt, [byAnna, byCarl])).toEqual({
      signers: [
        { fingerprint: holders[0]?.fingerprint, inputs: [0] },
        { fingerprint: holders[2]?.fingerprint, inputs: [0] },
      ],
      needed: 0,
    });
    const paid = signed(await rail.combine([built.psbt, byAnna, byCarl]));
    expect(await rpc.testMempoolAccept(paid.rawTransaction)).toMatchObject({
      allowed: true,
      txid: paid.txid,
      feeSats: paid.networkFeeSats,
    });
    expect(paid.networkFeeSats).toBe(built.networkFeeSats);
    const decoded = await rpc.decodeRawTransaction(paid.rawTransaction);
    expect(
      decoded.outputs.slice(0, 3).map(({ address, valueSats }) => ({ address, sats: valueSats })),
    ).toEqual(outputs);
    await rail.broadcast(paid.rawTransaction);
    await rail.broadcast(paid.rawTransaction);
    expect(await rail.confirmations(paid.txid)).toBe(0);
    await mine(1);
    await rail.broadcast(paid.rawTransaction);
    expect(await rail.confirmations(paid.txid)).toBe(1);
    expect(await receivedBy(outputs[1]?.address ?? '')).toBe(30);
    expect(await receivedBy(outputs[2]?.address ?? '')).toBe(0.00089999);
    expect(await rail.confirmations('ab'.repeat(32))).toBeNull();
  });

  it('takes a PSBT that was signed one after the other and finalised', async () => {
    const built = await build(await payees(5_000_000n));
    const both = await sign(1, await sign(0, built.psbt));
    expect(rail.signatures(built.psbt, [both]).signers.map(({ fingerprint }) => fingerprint)).toEqual(
      [holders[0], holders[1]].map((holder) => holder?.fingerprint),
    );
    const paid = signed(await rail.combine([built.psbt, both]));
    expect((await rpc.testMempoolAccept(paid.rawTransaction)).allowed).toBe(true);
    await rail.release(built.psbt);
  });

  it('stays unsigned below two signatures, however often one is handed in', async () => {
    const built = await build(await payees(7_000_000n));
    const byBen = await sign(1, built.psbt);
    expect(await rail.combine([built.psbt])).toMatchObject({ state: 'unsigned', signaturesNeeded: 2 });
    const half = unsigned(await rail.combine([built.psbt, byBen, byBen]));
    expect(half).toMatchObject({ signaturesNeeded: 1, networkFeeSats: built.networkFeeSats });
    const paid = signed(await rail.combine([built.psbt, half.psbt, await sign(2, half.psbt)]));
    expect((await rpc.testMempoolAccept(paid.rawTransaction)).allowed).toBe(true);
    await rail.release(built.psbt);
  });

  it('refuses a copy that pays another, adds an input or an output, or is not signed as a whole', async () => {
    const built = await build(await payees(9_000_000n, 8_000_000n));
    const other = await build(await payees(9_000_000n, 8_000_000n));
    const refused = async (copy: string) => {
      await expect(rail.combine([built.psbt, await sign(0, built.psbt), copy])).rejects.toThrow(
        /PSBT 3 is refused/,
      );
      return await rail.combine([built.psbt, copy]).then(
        () => 'taken',
        (error: Error) => error.message,
      );
    };
    const [thief] = await payees(1n);
    const changed = (change: (psbt: Transaction) => void) => {
      const psbt = Transaction.fromPSBT(base64.decode(built.psbt));
      change(psbt);
      return base64.encode(psbt.toPSBT());
    };
    const scriptOf = async () => (await rpc.validateAddress(thief?.address ?? '')).scriptHex ?? '';
    const script = Uint8Array.from(Buffer.from(await scriptOf(), 'hex'));

    expect(await refused(changed((psbt) => psbt.updateOutput(0, { script })))).toMatch(
      /output 0 pays another address/,
    );
    expect(await refused(changed((psbt) => psbt.updateOutput(1, { amount: 8_000_001n })))).toMatch(
      /output 1 pays 8000001 sat, ours 8000000/,
    );
    expect(await refused(changed((psbt) => psbt.addOutput({ script, amount: 1000n })))).toMatch(
      /has 4 outputs, ours has 3/,
    );
    const foreign = Transaction.fromPSBT(base64.decode(other.psbt)).getInput(0);
    expect(await refused(changed((psbt) => psbt.addInput(foreign)))).toMatch(/has 2 inputs, ours has 1/);
    expect(await refused(changed((psbt) => psbt.updateInput(0, { sequence: 1 })))).toMatch(
      /transaction is another one/,
    );
    expect(await refused(changed((psbt) => psbt.updateInput(0, { sighashType: SigHash.NONE })))).toMatch(
      /hash type 2/,
    );
    expect(await refused(other.psbt)).toMatch(/refused/);

    // A signature that covers no outputs, and one that was spoilt on the way.
    const none = (await call(connection, 'walletprocesspsbt', [built.psbt, true, 'NONE'], cosigners[1])) as {
      psbt: string;
    };
    expect(await refused(none.psbt)).toMatch(/refused/);
    const good = Transaction.fromPSBT(base64.decode(await sign(1, built.psbt)));
    const [key, signature] = good.getInput(0).partialSig?.[0] ?? [new Uint8Array(), new Uint8Array()];
    const spoilt = changed((psbt) => {
      const bytes = Uint8Array.from(signature);
      bytes[20] = (bytes[20] ?? 0) ^ 1;
      psbt.updateInput(0, { partialSig: [[key, bytes]] });
    });
    expect(await refused(spoilt)).toContain(`signature of ${holders[1]?.fingerprint} in input 0 is wrong`);
    await rail.release(built.psbt);
    await rail.release(other.psbt);
  });

  it('replaces a stuck transaction by one with all its inputs, the same outputs and a higher fee', async () => {
    const outputs = await payees(49n * COIN, 40n * COIN);
    const built = await build(outputs, 1.5);
    const complete = async (psbt: string) =>
      signed(await rail.combine([psbt, await sign(0, psbt), await sign(1, psbt)]));
    const first = await complete(built.psbt);
    await rail.broadcast(first.rawTransaction);
    const bumped = unsigned(await rail.bump(first, outputs, 12));
    const second = await complete(bumped.psbt);
    const inputs = new Set(spentOutpoints(second.rawTransaction));
    expect(spentOutpoints(first.rawTransaction).every((coin) => inputs.has(coin))).toBe(true);
    const [before, after] = [
      await rpc.decodeRawTransaction(first.rawTransaction),
      await rpc.decodeRawTransaction(second.rawTransaction),
    ];
    expect(after.outputs.slice(0, 2)).toEqual(before.outputs.slice(0, 2));
    expect(Number(second.networkFeeSats) / after.vsize).toBeGreaterThan(11.8);
    await rail.broadcast(second.rawTransaction);
    await mine(1);
    expect(await rail.confirmations(second.txid)).toBe(1);
    expect(await rail.confirmations(first.txid)).toBeLessThan(0);
    expect(await receivedBy(outputs[0]?.address ?? '')).toBe(49);
    await expect(rail.bump(second, outputs, 1)).rejects.toThrow();
  });

  it('locks what it holds, frees what it does not, and says the same twice', async () => {
    const all = async () =>
      ((await call(connection, 'listlockunspent', [], 'multisig watch')) as { txid: string; vout: number }[])
        .map(({ txid, vout }) => `${txid}:${vout}`)
        .sort();
    // The node keeps no coin that is spent, but does not forget a lock that was put on one either.
    const spent = new Set(await all());
    const locked = async () => (await all()).filter((coin) => !spent.has(coin));
    const [kept, dropped] = [await build(await payees(1_000_000n)), await build(await payees(2_000_000n))];
    expect(await locked()).toEqual([...spentOutpoints(kept.psbt), ...spentOutpoints(dropped.psbt)].sort());
    await rail.hold([kept.psbt]);
    await rail.hold([kept.psbt]);
    expect(await locked()).toEqual(spentOutpoints(kept.psbt).sort());
    await rail.hold([dropped.psbt]);
    expect(await locked()).toEqual(spentOutpoints(dropped.psbt).sort());
    await rail.release(dropped.psbt);
    await rail.release(dropped.psbt);
    expect(await locked()).toEqual([]);
    // Of a transaction that is confirmed nothing can be locked any more.
    const paid = signed(await rail.combine([kept.psbt, await sign(0, kept.psbt), await sign(1, kept.psbt)]));
    await rail.broadcast(paid.rawTransaction);
    await mine(1);
    await rail.hold([paid.rawTransaction]);
    expect(await locked()).toEqual([]);
  });

  it('opens its wallet again, and refuses one with keys or with another descriptor', async () => {
    await MultisigRail.open(connection, options());
    await call(connection, 'unloadwallet', ['multisig watch']);
    const again = await MultisigRail.open(connection, options());
    expect(await again.combine([(await build(await payees(1_000_000n))).psbt])).toMatchObject({
      state: 'unsigned',
    });
    await expect(MultisigRail.open(connection, { ...options(), walletName: 'payees' })).rejects.toThrow(
      /can hold private keys/,
    );
    const reversed = descriptorOf([...holders].reverse().slice(0, 2));
    await expect(MultisigRail.open(connection, { ...options(), descriptor: reversed })).rejects.toThrow(
      /spends by another descriptor/,
    );
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
