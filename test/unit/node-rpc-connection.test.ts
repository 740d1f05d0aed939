import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { NodeRpc } from '../../engine/node/rpc.js';
import type { RpcConnectionOptions } from '../../engine/node/rpc-connection.js';
import type { RpcEndpoint } from '../../engine/node/rpc-endpoint.js';
import { NodeRpcError } from '../../engine/node/rpc-error.js';
import { digits, type Reply, type RpcCall, ScriptedNode, until } from './node-scripted-rpc.js';

const HASH = 'ab'.repeat(32);
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function scripted(
  answer: (call: RpcCall, nth: number) => Reply | Promise<Reply>,
  options: Partial<RpcConnectionOptions> = {},
) {
  const node = new ScriptedNode(answer);
  const endpoint = await node.start();
  const rpc = client({ endpoint, ...options });
  cleanups.push(() => node.stop());
  return { node, rpc, endpoint };
}

function client(options: RpcConnectionOptions): NodeRpc {
  const rpc = new NodeRpc(options);
  cleanups.push(() => rpc.close());
  return rpc;
}

async function failureOf(call: Promise<unknown>): Promise<NodeRpcError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof NodeRpcError)) throw new Error(`expected a NodeRpcError, got ${String(error)}`);
  expect(error.message).not.toContain('s3cret');
  return error;
}

describe('a call to a node', () => {
  it('goes out with positional parameters and the login', async () => {
    const { node, rpc } = await scripted(() => ({ result: null }));
    expect(await rpc.submitBlock('00')).toBeNull();
    expect(node.calls).toEqual([{ method: 'submitblock', params: ['00'], path: '/', login: 'pool:s3cret' }]);
  });

  it('of a wallet goes to the path of that wallet', async () => {
    const { node, rpc } = await scripted(() => ({ result: 'bcrt1q' }));
    expect(await rpc.wallet('pool & co').getNewAddress('bech32')).toBe('bcrt1q');
    expect(node.calls[0]?.path).toBe('/wallet/pool%20%26%20co');
  });

  it('reads numbers of any length', async () => {
    const { rpc } = await scripted(() => ({
      result: {
        blocks: 1,
        difficulty: digits('0.001126515290698186'),
        networkhashps: digits('812345678901234567890.25'),
        pooledtx: 0,
      },
    }));
    expect(await rpc.getMiningInfo()).toEqual({
      blocks: 1,
      difficulty: 0.001126515290698186,
      networkHashrateHs: 8.123456789012346e20,
      pooledTransactions: 0,
    });
  });

  it('is held back while eight others are under way', async () => {
    const { node, rpc } = await scripted(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { result: HASH };
    });
    const answers = await Promise.all(Array.from({ length: 50 }, () => rpc.getBestBlockHash()));
    expect(answers).toHaveLength(50);
    expect(node.parallelMax).toBe(8);
  });
});

describe('a node in trouble', () => {
  it('is asked again while it starts up or its queue is full', async () => {
    const { node, rpc } = await scripted((_, nth) => {
      if (nth === 0) return { error: { code: -28, message: 'Loading block index…' } };
      if (nth === 1) return { raw: 'Work queue depth exceeded', status: 503 };
      return { result: HASH };
    });
    expect(await rpc.getBestBlockHash()).toBe(HASH);
    expect(node.calls).toHaveLength(3);
  });

  it('that stays in start-up fails the call in bounded time, with the reason', async () => {
    const { rpc } = await scripted(() => ({ error: { code: -28, message: 'Verifying blocks…' } }), {
      retryForMs: 200,
    });
    const error = await failureOf(rpc.getBestBlockHash());
    expect(error).toMatchObject({ code: -28, method: 'getbestblockhash', answered: false });
    expect(error.message).toMatch(/still starting \(Verifying blocks…\)/);
  });

  it('is found again on its port after it was away', async () => {
    const first = new ScriptedNode(() => ({ result: HASH }));
    const endpoint = await first.start();
    await first.stop();
    const rpc = client({ endpoint });
    const answer = rpc.getBestBlockHash();
    const second = new ScriptedNode(() => ({ result: HASH }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await second.start(Number(new URL(endpoint.url).port));
    cleanups.push(() => second.stop());
    expect(await answer).toBe(HASH);
  });

  it('that refuses connections is named with cause and cure', async () => {
    const gone = new ScriptedNode(() => 'hang');
    const endpoint = await gone.start();
    await gone.stop();
    const error = await failureOf(client({ endpoint, retryForMs: 0 }).getBestBlockHash());
    expect(error.message).toBe(
      `Bitcoin node ${endpoint.name}, getbestblockhash: connection refused. It is not running, or its RPC listens elsewhere: start it or correct BITCOIN_RPC_URL`,
    );
  });

  it('that cuts the connection is asked again only where the call may run twice', async () => {
    const { node, rpc } = await scripted((_, nth) => (nth === 0 ? 'cut' : { result: HASH }));
    expect(await rpc.getBestBlockHash()).toBe(HASH);
    const error = await failureOf(rpc.wallet('w').getNewAddress('bech32'));
    expect(error.code).toBe('ECONNRESET');
    expect(node.countOf('getnewaddress')).toBe(1);
  });

  it('that hangs fails the call once its time is over', async () => {
    const { node, rpc } = await scripted(() => 'hang', { timeoutMs: 100 });
    const error = await failureOf(rpc.getBestBlockHash());
    expect(error.message).toMatch(/no answer in time/);
    expect(node.calls).toHaveLength(1);
  });

  it('passes on what Core says, with its code', async () => {
    const { rpc } = await scripted(() => ({ error: { code: -6, message: 'Insufficient funds' } }));
    const error = await failureOf(rpc.wallet('w').getBalances());
    expect(error).toMatchObject({ code: -6, answered: true });
    expect(error.message).toMatch(/Insufficient funds \(code -6\)/);
  });

  it('that is no Bitcoin node is recognized', async () => {
    const page = await scripted(() => ({ raw: '<html>Welcome</html>' }));
    expect((await failureOf(page.rpc.getBestBlockHash())).message).toMatch(/probably not a Bitcoin node/);
    const odd = await scripted(() => ({ result: { chain: 5 } }));
    expect((await failureOf(odd.rpc.getBlockchainInfo())).message).toMatch(/chain is not a text/);
  });

  it('that refuses the login says so, and the password stays out of the message', async () => {
    const { node, rpc } = await scripted(() => ({ raw: '', status: 401 }));
    expect((await failureOf(rpc.getBestBlockHash())).message).toMatch(/login refused/);
    expect(node.calls).toHaveLength(1);
  });

  it('frees every caller when the client is closed', async () => {
    const { node, rpc } = await scripted(() => 'hang');
    const calls = Array.from({ length: 12 }, () => failureOf(rpc.getBestBlockHash()));
    await until(() => node.calls.length === 8);
    rpc.close();
    for (const error of await Promise.all(calls)) expect(error.code).toBe('CLOSED');
    expect((await failureOf(rpc.getBestBlockHash())).code).toBe('CLOSED');
  });
});

describe('a cookie', () => {
  it('is read again when the node has restarted with a new one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-cookie-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const cookieFile = join(folder, '.cookie');
    let valid = '__cookie__:one';
    const { node, endpoint } = await scripted(({ login }) =>
      login === valid ? { result: HASH } : { raw: '', status: 401 },
    );
    const withCookie: RpcEndpoint = { ...endpoint, login: { cookieFile } };
    const rpc = client({ endpoint: withCookie, retryForMs: 0 });
    expect((await failureOf(rpc.getBestBlockHash())).message).toMatch(/no login cookie at .*\.cookie/);
    writeFileSync(cookieFile, `${valid}\n`);
    expect(await rpc.getBestBlockHash()).toBe(HASH);
    valid = '__cookie__:two';
    writeFileSync(cookieFile, valid);
    expect(await rpc.getBestBlockHash()).toBe(HASH);
    expect(node.calls.map(({ login }) => login)).toEqual([
      '__cookie__:one',
      '__cookie__:one',
      '__cookie__:two',
    ]);
  });
});
