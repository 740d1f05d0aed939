import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pendingCandidates, saveCandidate } from '../../engine/node/block-candidates.js';
import { BlockSubmitter } from '../../engine/node/block-submitter.js';
import { NodeRpc } from '../../engine/node/rpc.js';
import { type Reply, type RpcCall, ScriptedNode } from './node-scripted-rpc.js';

const HASH = '00'.repeat(4) + 'cd'.repeat(28);
const BLOCK = { height: 812_345, hash: HASH, hex: 'ab'.repeat(200) };
const NOT_FOUND: Reply = { error: { code: -5, message: 'Block not found' } };

let folder = '';
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-candidates-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(folder, { recursive: true });
});

/** A node whose submitblock says `submit`, and which knows the header with these confirmations, or not at all. */
async function nodeThat(submit: (nth: number) => Reply, confirmations?: number, timeoutMs = 30_000) {
  const node = new ScriptedNode(({ method }: RpcCall, nth) => {
    if (method === 'submitblock') return submit(nth);
    if (confirmations === undefined) return NOT_FOUND;
    return { result: { hash: HASH, confirmations, height: BLOCK.height, time: 1 } };
  });
  const rpc = new NodeRpc({ endpoint: await node.start(), timeoutMs });
  cleanups.push(
    () => node.stop(),
    () => rpc.close(),
  );
  return { node, rpc };
}

const submitterOf = (nodes: { rpc: NodeRpc }[], retryForMs = 300) =>
  new BlockSubmitter({ nodes: nodes.map(({ rpc }) => rpc), candidateDir: folder, retryForMs });

describe('a found block', () => {
  it('is on disk before any node sees it, and gone once a node has it', async () => {
    let onDisk: string[] = [];
    const node = await nodeThat(() => {
      onDisk = readdirSync(folder);
      return { result: null };
    });
    const outcome = await submitterOf([node]).submitBlock(BLOCK);
    expect(outcome).toMatchObject({ status: 'accepted', isPending: false });
    expect(onDisk).toEqual([`812345-${HASH}.hex`]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['duplicate', 3, 'accepted'],
    ['duplicate', -1, 'inconclusive'],
    ['inconclusive', 1, 'accepted'],
    ['inconclusive', -1, 'inconclusive'],
    ['duplicate-inconclusive', -1, 'inconclusive'],
    ['duplicate-invalid', -1, 'rejected'],
    ['rejected', 1, 'accepted'],
    ['bad-cb-amount', undefined, 'rejected'],
  ] as const)(
    'answered "%s" with %s confirmations of its header is %s',
    async (word, confirmations, status) => {
      const node = await nodeThat(() => ({ result: word }), confirmations);
      const outcome = await submitterOf([node]).submitBlock(BLOCK);
      expect(outcome).toMatchObject({ status, reason: word, isPending: false });
    },
  );

  it('without an answer in time is looked up in the chain, not given up', async () => {
    const node = await nodeThat(() => 'hang', 1, 100);
    expect(await submitterOf([node]).submitBlock(BLOCK)).toMatchObject({ status: 'accepted' });
  });

  it('is brought again to a node that cut the connection and does not have it', async () => {
    const node = await nodeThat((nth) => (nth < 2 ? 'cut' : { result: null }));
    expect(await submitterOf([node], 5000).submitBlock(BLOCK)).toMatchObject({ status: 'accepted' });
    expect(node.node.countOf('submitblock')).toBe(3);
  });

  it('goes to every node at once; one that accepts decides', async () => {
    const refusing = await nodeThat(() => ({ result: 'prev-blk-not-found' }));
    const accepting = await nodeThat(() => ({ result: null }));
    const outcome = await submitterOf([refusing, accepting]).submitBlock(BLOCK);
    expect(outcome.status).toBe('accepted');
    expect(outcome.nodes.map(({ status, reason }) => [status, reason])).toEqual([
      ['rejected', 'prev-blk-not-found'],
      ['accepted', 'accepted'],
    ]);
  });

  it.each([
    ['of another pool', 'ee'.repeat(32), 1, 'accepted'],
    ['of our own', '11'.repeat(32), 0, 'inconclusive'],
  ] as const)('held beside a block %s is preferred %s', async (_, rival, preferred, status) => {
    let isPreferred = false;
    const node = new ScriptedNode(({ method, params }) => {
      if (method === 'submitblock') return { result: params[0] === BLOCK.hex ? 'inconclusive' : null };
      if (method === 'getblockhash') return { result: rival };
      if (method === 'preciousblock') isPreferred = params[0] === HASH;
      if (method === 'preciousblock') return { result: null };
      return { result: { hash: HASH, confirmations: isPreferred ? 1 : -1, height: 812_345, time: 1 } };
    });
    const rpc = new NodeRpc({ endpoint: await node.start() });
    cleanups.push(
      () => node.stop(),
      () => rpc.close(),
    );
    const submitter = submitterOf([{ rpc }]);
    await submitter.submitBlock({ ...BLOCK, hash: '11'.repeat(32), hex: 'cd'.repeat(200) });
    expect(await submitter.submitBlock(BLOCK)).toMatchObject({ status, reason: 'inconclusive' });
    expect(node.countOf('preciousblock')).toBe(preferred);
  });

  it('that was refused is known as such to the next run, with the reason', async () => {
    const node = await nodeThat(() => ({ result: 'bad-cb-amount' }));
    expect(await submitterOf([node]).submitBlock(BLOCK)).toMatchObject({ status: 'rejected' });
    expect(await pendingCandidates(folder)).toEqual([]);
    expect(await submitterOf([node]).refusedBlocks()).toEqual([{ hash: HASH, reason: 'bad-cb-amount' }]);
  });

  it('whose refusal was being written down when the pool was killed is still pending, and whole', async () => {
    writeFileSync(join(folder, `812345-${HASH}.hex`), `${BLOCK.hex}\nbad-cb`);
    expect(await pendingCandidates(folder)).toEqual([BLOCK]);
  });

  it('that no node could be asked about stays on disk for the next start', async () => {
    const node = await nodeThat(() => ({ result: null }));
    await node.node.stop();
    const outcome = await submitterOf([node]).submitBlock(BLOCK);
    expect(outcome).toMatchObject({ status: 'inconclusive', isPending: true });
    expect(outcome.reason).toMatch(/connection refused/);
    expect(await pendingCandidates(folder)).toEqual([BLOCK]);

    const back = await nodeThat(() => ({ result: null }));
    const [pending] = await pendingCandidates(folder);
    if (pending === undefined) throw new Error('no pending block');
    expect(await submitterOf([back]).submitBlock(pending)).toMatchObject({ status: 'accepted' });
    expect(await pendingCandidates(folder)).toEqual([]);
  });

  it('is submitted even when the disk refuses its file', async () => {
    const notAFolder = join(folder, 'file');
    writeFileSync(notAFolder, '');
    expect(await submitWith(notAFolder)).toMatch(/ENOTDIR|EEXIST/);
  });

  it('is submitted even when the disk hangs', async () => {
    // Opening a FIFO for writing blocks until somebody reads it.
    const fifo = join(folder, `812345-${HASH}.hex.part`);
    execFileSync('mkfifo', [fifo]);
    expect(await submitWith(folder)).toMatch(/does not answer within/);
    await readFile(fifo);
  });

  async function submitWith(candidateDir: string): Promise<string> {
    const node = await nodeThat(() => ({ result: null }));
    const errors: string[] = [];
    const submitter = new BlockSubmitter({
      nodes: [node.rpc],
      candidateDir,
      onDiskError: ({ message }) => errors.push(message),
    });
    expect(await submitter.submitBlock(BLOCK)).toMatchObject({ status: 'accepted' });
    return errors.join();
  }
});

describe('pending candidates', () => {
  it('come back lowest height first; a file that was not finished is none', async () => {
    await saveCandidate(folder, { ...BLOCK, height: 20 });
    await saveCandidate(folder, { ...BLOCK, height: 3 });
    await saveCandidate(join(folder), BLOCK);
    rmSync(join(folder, `812345-${HASH}.hex`));
    expect((await pendingCandidates(folder)).map(({ height }) => height)).toEqual([3, 20]);
    expect(await pendingCandidates(join(folder, 'absent'))).toEqual([]);
  });
});
