// The whole conversation with a real bitcoind, on the default private signet and on regtest: start, template,
// a block of real proof of work, new tips, payments, a lost node, a killed pool.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptFromAddress } from '../../engine/bitcoin/address.js';
import { headerHash } from '../../engine/bitcoin/header.js';
import { displayHash } from '../../engine/bitcoin/hex.js';
import { NETWORKS, type NetworkName } from '../../engine/bitcoin/networks.js';
import { targetToBytesLE } from '../../engine/bitcoin/target.js';
import { pendingCandidates } from '../../engine/node/block-candidates.js';
import { BlockSubmitter } from '../../engine/node/block-submitter.js';
import { checkChainIdentity, WrongChainError } from '../../engine/node/chain-identity.js';
import { blockStandings } from '../../engine/node/chain-watcher.js';
import { NodeRpc } from '../../engine/node/rpc.js';
import { parseRpcUrl } from '../../engine/node/rpc-endpoint.js';
import { type TemplateEvent, TemplateSource } from '../../engine/node/template-source.js';
import { hintAddress, ZmqHint } from '../../engine/node/zmq-hint.js';
import { emptyTemplate } from '../../engine/work/empty-template.js';
import { assembleBlock, buildJob } from '../../engine/work/job.js';
import { type BlockTemplate, parseTemplate } from '../../engine/work/template.js';
import { type RunningBitcoind, startBitcoind } from '../../storage/embedded/bitcoind.js';
import { projectRoot } from '../../storage/project-root.js';
import { NonceSearcher } from '../../wasm/nonce-searcher.js';

const OP_TRUE_SCRIPT = Uint8Array.of(0x51);
const PENDING_MS = 15_000;
const env = {
  ...process.env,
  MILLRACE_CACHE_DIR: process.env.MILLRACE_CACHE_DIR ?? join(projectRoot(), '.millrace', 'cache'),
};
const folder = mkdtempSync(join(tmpdir(), 'millrace-bitcoind-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const start = (dataDir: string, network: 'private' | 'regtest') =>
  startBitcoind({ dataDir: join(folder, dataDir), network, env, log: (line) => console.log(line) });
const endpointOf = (node: RunningBitcoind) => parseRpcUrl(node.rpcUrl, node.cookieFile);

/** A block on the template that pays `script`, with real proof of work. `salt` tells siblings apart. */
function mine(template: BlockTemplate, script: Uint8Array, salt: number) {
  const job = buildJob({
    template,
    jobId: salt,
    outputs: [{ sats: template.coinbaseValue, script }],
    tag: 'millrace test',
    extranonce1Bytes: 4,
    extranonce2Bytes: 4,
  });
  const searcher = new NonceSearcher();
  for (let roll = 0; roll < 1000; roll++) {
    const extranonce2 = new Uint8Array(4);
    new DataView(extranonce2.buffer).setUint32(0, roll);
    const solution = {
      extranonce1: new Uint8Array(4),
      extranonce2,
      version: job.version,
      ntime: job.curtime,
    };
    const { header } = assembleBlock(job, { ...solution, nonce: 0 });
    const { nonce } = searcher.search(header, targetToBytesLE(job.networkTarget), 0, 2 ** 24);
    if (nonce === null) continue;
    const block = assembleBlock(job, { ...solution, nonce });
    return {
      height: job.height,
      hash: displayHash(headerHash(block.header)),
      hex: block.blockHex,
    };
  }
  throw new Error('no block in 16 billion hashes');
}

async function templateOf(rpc: NodeRpc, network: NetworkName): Promise<BlockTemplate> {
  return parseTemplate(await rpc.getBlockTemplate(NETWORKS[network].templateRules), network);
}

/** Resolves with the first event that `wanted` accepts. */
function nextTemplate(source: TemplateSource, wanted: (event: TemplateEvent) => boolean) {
  return new Promise<TemplateEvent>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no such template came')), PENDING_MS);
    const look = (event: TemplateEvent) => {
      if (!wanted(event)) return;
      clearTimeout(timer);
      source.off('template', look);
      resolve(event);
    };
    source.on('template', look);
  });
}

describe('the default private signet', { timeout: 60_000 }, () => {
  let node: RunningBitcoind;
  let rpc: NodeRpc;

  beforeAll(async () => {
    node = await start('signet', 'private');
    rpc = new NodeRpc({ endpoint: endpointOf(node) });
  }, 300_000);
  afterAll(async () => {
    rpc.close();
    await node.stop();
  });

  it('is a signet with challenge 51, and is refused where another chain is configured', async () => {
    await checkChainIdentity(rpc, 'private');
    expect((await rpc.getBlockchainInfo()).signetChallenge).toBe('51');
    for (const network of ['mainnet', 'testnet4', 'regtest', 'signet'] as const) {
      await expect(checkChainIdentity(rpc, network)).rejects.toThrow(WrongChainError);
    }
    await expect(checkChainIdentity(rpc, 'signet')).rejects.toThrow(/signet challenge is 51/);
  });

  it('gives a template on the bare genesis block, and takes a block of real proof of work', async () => {
    const source = new TemplateSource({
      endpoints: [endpointOf(node)],
      network: 'private',
      refreshIntervalMs: 60_000,
    });
    const first = nextTemplate(source, () => true);
    source.start();
    const { template, reason } = await first;
    expect(reason).toBe('start');
    expect(template).toMatchObject({ height: 1, bits: 0x1e0377ae, coinbaseValue: 5_000_000_000n });
    expect(template.previousBlockHash).toBe(NETWORKS.private.genesisHash);

    const candidateDir = join(folder, 'candidates');
    const submitter = new BlockSubmitter({ nodes: [rpc], candidateDir });
    const block = mine(template, OP_TRUE_SCRIPT, 1);
    const tip = nextTemplate(source, (event) => event.reason === 'new_tip');
    const outcome = await submitter.submitBlock(block);
    expect(outcome).toMatchObject({ status: 'accepted', isPending: false });
    expect((await tip).template).toMatchObject({ height: 2, previousBlockHash: block.hash });
    expect(await rpc.getBestBlockHash()).toBe(block.hash);
    expect(readdirSync(candidateDir)).toEqual([]);

    // A sibling at the same height is a valid block that loses the race; the same block twice is no error.
    const sibling = mine(template, OP_TRUE_SCRIPT, 2);
    expect(await submitter.submitBlock(sibling)).toMatchObject({
      status: 'inconclusive',
      isPending: false,
    });
    expect(await submitter.submitBlock(block)).toMatchObject({ status: 'accepted', reason: 'duplicate' });
    const unknown = 'ab'.repeat(32);
    expect(await blockStandings(rpc, [block.hash, sibling.hash, unknown])).toEqual([
      { hash: block.hash, confirmations: 1, height: 1, isKnown: true },
      { hash: sibling.hash, confirmations: -1, height: 1, isKnown: true },
      { hash: unknown, confirmations: -1, height: undefined, isKnown: false },
    ]);
    await source.stop();
  });

  it('prefers our block to one of the same height that came first', async () => {
    const template = await templateOf(rpc, 'private');
    const [theirs, ours] = [mine(template, OP_TRUE_SCRIPT, 11), mine(template, OP_TRUE_SCRIPT, 12)];
    expect(await rpc.submitBlock(theirs.hex)).toBeNull();
    const submitter = new BlockSubmitter({ nodes: [rpc], candidateDir: join(folder, 'rivals') });
    expect(await submitter.submitBlock(ours)).toMatchObject({ status: 'accepted', reason: 'inconclusive' });
    expect(await rpc.getBestBlockHash()).toBe(ours.hash);
    // Two blocks of our own: whichever came first stays, it may be spread already.
    const sibling = mine(template, OP_TRUE_SCRIPT, 13);
    expect(await submitter.submitBlock(sibling)).toMatchObject({ status: 'inconclusive' });
    expect(await rpc.getBestBlockHash()).toBe(ours.hash);
  });

  it('takes an empty block made of nothing but the header of its tip', async () => {
    const last = await templateOf(rpc, 'private');
    const found = mine(last, OP_TRUE_SCRIPT, 21);
    expect(await rpc.submitBlock(found.hex)).toBeNull();
    const header = await rpc.getChainHeader(found.hash);
    const empty = emptyTemplate(header, last, 'private', last.curtime);
    const { longpollId: _, ...next } = await templateOf(rpc, 'private');
    if (empty === null) throw new Error('no empty template');
    expect({ ...empty, curtime: 0 }).toEqual({ ...next, curtime: 0 });
    expect(await rpc.submitBlock(mine(empty, OP_TRUE_SCRIPT, 22).hex)).toBeNull();
  });

  it('tells of a new block by ZMQ', async () => {
    const [address = ''] = await rpc.getHashblockAddresses();
    const at = hintAddress(address, '127.0.0.1');
    if (at === undefined) throw new Error(`no hint at ${address}`);
    let connected = () => {};
    let hinted: (hash: string) => void = () => {};
    const subscribed = new Promise<void>((resolve) => (connected = resolve));
    const hint = new Promise<string>((resolve) => (hinted = resolve));
    const zmq = new ZmqHint({ ...at, onHint: hinted, onConnected: connected });
    await subscribed;
    const block = mine(await templateOf(rpc, 'private'), OP_TRUE_SCRIPT, 31);
    // The publisher learns of the subscription a moment after the handshake.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await rpc.submitBlock(block.hex)).toBeNull();
    expect(await hint).toBe(block.hash);
    zmq.close();
  });

  it('rejects a block without proof of work, keeps it for inspection and says why', async () => {
    const candidateDir = join(folder, 'rejected');
    const template = await templateOf(rpc, 'private');
    const { hex, height } = mine({ ...template, target: 1n << 255n }, OP_TRUE_SCRIPT, 3);
    const hash = displayHash(headerHash(Buffer.from(hex.slice(0, 160), 'hex')));
    const outcome = await new BlockSubmitter({ nodes: [rpc], candidateDir }).submitBlock({
      height,
      hash,
      hex,
    });
    expect(outcome).toMatchObject({ status: 'rejected', reason: 'high-hash' });
    expect(readdirSync(candidateDir)).toEqual([`${height}-${hash}.hex.rejected`]);
    expect(await pendingCandidates(candidateDir)).toEqual([]);
  });
});

describe('a regtest node', { timeout: 60_000 }, () => {
  let node: RunningBitcoind;
  let rpc: NodeRpc;

  beforeAll(async () => {
    node = await start('regtest', 'regtest');
    rpc = new NodeRpc({ endpoint: endpointOf(node) });
    await checkChainIdentity(rpc, 'regtest');
  }, 300_000);
  afterAll(async () => {
    rpc.close();
    await node.stop();
  });

  it('pays from its wallet to the exact satoshi, and the payment confirms', async () => {
    const wallet = await rpc.openWallet('millrace pool');
    expect((await rpc.openWallet('millrace pool')).name).toBe('millrace pool');
    const miner = await wallet.getNewAddress('bech32');
    const payee = await wallet.getNewAddress('bech32m');
    await rpc.generateToAddress(101, miner);
    expect(await wallet.getBalances()).toEqual({
      trustedSats: 5_000_000_000n,
      untrustedPendingSats: 0n,
      immatureSats: 500_000_000_000n,
    });
    const info = await wallet.getAddressInfo(payee);
    expect(info).toMatchObject({ isMine: true, isSolvable: true });
    expect((await rpc.validateAddress(payee)).scriptHex).toBe(info.scriptHex);
    expect(Buffer.from(scriptFromAddress(payee, 'regtest')).toString('hex')).toBe(info.scriptHex);
    expect((await rpc.validateAddress(NETWORKS.mainnet.bech32Prefix)).isValid).toBe(false);

    const funded = await wallet.walletCreateFundedPsbt([{ address: payee, sats: 123_456_789n }], {
      feeRateSatPerVb: '2.5',
      lockUnspents: true,
    });
    const signed = await wallet.walletProcessPsbt(funded.psbt);
    const { transactionHex } = await rpc.finalizePsbt(signed.psbt);
    if (transactionHex === undefined) throw new Error('the wallet did not sign');
    const verdict = await rpc.testMempoolAccept(transactionHex);
    expect(verdict).toMatchObject({ allowed: true, feeSats: funded.feeSats });
    const decoded = await rpc.decodeRawTransaction(transactionHex);
    expect(decoded.outputs.find(({ address }) => address === payee)?.valueSats).toBe(123_456_789n);
    const txid = await rpc.sendRawTransaction(transactionHex);
    expect(txid).toBe(decoded.txid);
    expect(await rpc.sendRawTransaction(transactionHex)).toBe(txid);
    expect((await templateOf(rpc, 'regtest')).fees).toBe(funded.feeSats);

    await rpc.generateToAddress(1, miner);
    const paid = await wallet.getTransaction(txid);
    expect(paid).toMatchObject({ confirmations: 1, feeSats: funded.feeSats, transactionHex });
    const block = await rpc.getBlock(paid.blockHash ?? '');
    expect(block.txids).toContain(txid);
    expect(block).toMatchObject({ height: 102, confirmations: 1 });
  });

  it('tells each new tip once, in order, and refreshes a tip that stands', async () => {
    const source = new TemplateSource({
      endpoints: [endpointOf(node)],
      network: 'regtest',
      refreshIntervalMs: 300,
    });
    const events: TemplateEvent[] = [];
    source.on('template', (event) => events.push(event));
    const refreshed = nextTemplate(source, (event) => event.reason === 'refresh');
    source.start();
    await refreshed;
    const wallet = await rpc.openWallet('millrace pool');
    const miner = await wallet.getNewAddress('bech32');
    for (let round = 0; round < 5; round++) {
      const tip = nextTemplate(source, (event) => event.reason === 'new_tip');
      const [hash] = await rpc.generateToAddress(1, miner);
      expect((await tip).template.previousBlockHash).toBe(hash);
    }
    await source.stop();
    const tips = events.filter(({ reason }) => reason === 'new_tip').map(({ template }) => template.height);
    expect(tips).toEqual([104, 105, 106, 107, 108]);
    const heights = events.map(({ template }) => template.height);
    expect(heights).toEqual([...heights].sort((a, b) => a - b));
    expect(events[0]?.reason).toBe('start');
  });

  it('reports a node that goes away and takes it up again after its restart, with a new cookie', async () => {
    const source = new TemplateSource({
      endpoints: [endpointOf(node)],
      network: 'regtest',
      refreshIntervalMs: 60_000,
      tipCheckMs: 100,
    });
    const started = nextTemplate(source, () => true);
    source.start();
    await started;
    const port = Number(new URL(node.rpcUrl).port);
    const cookie = readFileSync(node.cookieFile, 'utf8');
    const lost = new Promise<{ reason: string }>((resolve) => source.once('lost', resolve));
    await node.stop();
    expect((await lost).reason).toMatch(/127\.0\.0\.1:\d+.*(refused|cookie|broke|Shutting down)/);

    const recovered = new Promise((resolve) => source.once('recovered', resolve));
    node = await startBitcoind({
      dataDir: join(folder, 'regtest'),
      network: 'regtest',
      rpcPort: port,
      env,
      log: console.log,
    });
    await recovered;
    expect(readFileSync(node.cookieFile, 'utf8')).not.toBe(cookie);
    // The old client has the old cookie: it reads the new one by itself.
    expect((await rpc.getBlockchainInfo()).blocks).toBe(107);
    expect(await rpc.listWallets()).toEqual(['millrace pool']);
    await source.stop();
  });

  it('refuses to start twice on one data folder', async () => {
    await expect(start('regtest', 'regtest')).rejects.toThrow(/Another Millrace.*DATA_DIR/);
  });

  it('takes a free port when the wanted one is busy', async () => {
    const lines: string[] = [];
    const other = await startBitcoind({
      dataDir: join(folder, 'other'),
      network: 'regtest',
      rpcPort: Number(new URL(node.rpcUrl).port),
      env,
      log: (line) => lines.push(line),
    });
    expect(other.rpcUrl).not.toBe(node.rpcUrl);
    expect(lines).toContainEqual(expect.stringMatching(/is busy/));
    await other.stop();
    expect(existsSync(other.cookieFile)).toBe(false);
  });
});

describe('a pool that is killed', { timeout: 60_000 }, () => {
  it('leaves no bitcoind that keeps the next start from its data', async () => {
    const dataDir = join(folder, 'killed');
    const module = pathToFileURL(join(projectRoot(), 'dist/storage/embedded/bitcoind.js')).href;
    const script = `const { startBitcoind } = await import(${JSON.stringify(module)});
      const node = await startBitcoind({ dataDir: ${JSON.stringify(dataDir)}, network: 'regtest', log: () => {} });
      console.log(node.pid);
      setInterval(() => {}, 1000);`;
    const pool = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve, reject) => {
      pool.stdout.once('data', (text) => resolve(Number(text)));
      pool.once('exit', () => reject(new Error('the pool did not start its node')));
    });
    pool.kill('SIGKILL');
    const node = await startBitcoind({ dataDir, network: 'regtest', env, log: () => {} });
    expect(node.pid).not.toBe(pid);
    expect(existsSync(`/proc/${pid}`) && !isZombie(pid)).toBe(false);
    await node.stop();
    expect(readdirSync(join(dataDir, 'bitcoind')).filter((name) => name.endsWith('.pid'))).toEqual([]);
  });
});

function isZombie(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
}
