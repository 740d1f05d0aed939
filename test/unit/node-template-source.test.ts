// Faults of the template source against scripted nodes; the ordinary course runs against a real bitcoind in
// test/integration/bitcoind.test.ts.
import { afterEach, describe, expect, it } from 'vitest';
import { NETWORKS } from '../../engine/bitcoin/networks.js';
import type { RpcEndpoint } from '../../engine/node/rpc-endpoint.js';
import {
  type NodeChange,
  type TemplateEvent,
  TemplateSource,
  type TemplateSourceOptions,
} from '../../engine/node/template-source.js';
import { type Reply, ScriptedNode, until } from './node-scripted-rpc.js';

const TIP_A = 'a0'.repeat(32);
const TIP_B = 'b0'.repeat(32);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const template = (tip: string, height: number, rules = ['csv', '!segwit', 'taproot']) => ({
  ...{ version: 0x20000000, rules, vbrequired: 0, previousblockhash: tip, transactions: [], height },
  ...{ coinbasevalue: 5_000_000_000, longpollid: `${tip}${height}`, bits: '207fffff' },
  ...{ curtime: 1_700_000_000, mintime: 1_600_000_000, weightlimit: 4_000_000 },
});

/** A regtest node of which tests change the tip and the behaviour. */
class TestNode {
  tip = TIP_A;
  height = 1;
  rules = ['csv', '!segwit', 'taproot'];
  chain = 'regtest';
  /** Answers of the long poll; it hangs, as on a quiet chain, when undefined. */
  longPoll: (() => Promise<Reply> | Reply) | undefined;
  isDown = false;
  readonly scripted = new ScriptedNode((call) => this.#answer(call.method, call.params));

  moveTo(tip: string): void {
    this.tip = tip;
    this.height++;
  }

  template(): Reply {
    return { result: template(this.tip, this.height, this.rules) };
  }

  async start(): Promise<RpcEndpoint> {
    cleanups.push(() => this.scripted.stop());
    return await this.scripted.start();
  }

  #answer(method: string, params: unknown[]): Reply | Promise<Reply> {
    if (this.isDown) return 'cut';
    const isLongPoll = JSON.stringify(params).includes('longpollid');
    if (isLongPoll) return this.longPoll?.() ?? 'hang';
    switch (method) {
      case 'getblockchaininfo':
        return {
          result: {
            ...{ chain: this.chain, blocks: 0, headers: 0, bestblockhash: this.tip, difficulty: 1 },
            ...{ mediantime: 1, initialblockdownload: false },
          },
        };
      case 'getblockhash':
        return { result: NETWORKS.regtest.genesisHash };
      case 'getbestblockhash':
        return { result: this.tip };
      default:
        return this.template();
    }
  }
}

async function watch(nodes: TestNode[], options: Partial<TemplateSourceOptions> = {}) {
  const endpoints = await Promise.all(nodes.map((node) => node.start()));
  const source = new TemplateSource({
    ...{ endpoints, network: 'regtest', refreshIntervalMs: 60_000, tipCheckMs: 20 },
    ...options,
  });
  const templates: TemplateEvent[] = [];
  const changes: ({ kind: string } & NodeChange)[] = [];
  source.on('template', (event) => templates.push(event));
  for (const kind of ['lost', 'recovered', 'stale'] as const) {
    source.on(kind, (change) => changes.push({ kind, ...change }));
  }
  cleanups.push(() => source.stop());
  source.start();
  return { source, templates, changes, endpoints };
}

const tipsOf = (templates: TemplateEvent[]) =>
  templates.map(({ reason, template: { previousBlockHash } }) => [reason, previousBlockHash]);

describe('the template source', () => {
  it('finds a new tip by itself when the long poll hangs', async () => {
    const node = new TestNode();
    const { templates } = await watch([node]);
    await until(() => templates.length === 1);
    node.moveTo(TIP_B);
    await until(() => templates.length === 2);
    expect(tipsOf(templates)).toEqual([
      ['start', TIP_A],
      ['new_tip', TIP_B],
    ]);
  });

  it('never goes back to a tip that a slow answer still speaks of', async () => {
    const node = new TestNode();
    let release: (reply: Reply) => void = () => {};
    node.longPoll = () => new Promise((resolve) => (release = resolve));
    const { source, templates } = await watch([node]);
    await until(() => node.scripted.countOf('getblocktemplate') === 2);
    const old = node.template();
    node.moveTo(TIP_B);
    await until(() => templates.length === 2);
    release(old);
    await until(() => node.scripted.countOf('getblocktemplate') === 4);
    expect(tipsOf(templates).at(-1)).toEqual(['new_tip', TIP_B]);
    expect(source.current?.previousBlockHash).toBe(TIP_B);
  });

  it('follows the chain A, B, A with a new tip each time', async () => {
    const node = new TestNode();
    const { templates } = await watch([node]);
    await until(() => templates.length === 1);
    node.moveTo(TIP_B);
    await until(() => templates.length === 2);
    node.moveTo(TIP_A);
    await until(() => templates.length === 3);
    expect(tipsOf(templates).map(([reason]) => reason)).toEqual(['start', 'new_tip', 'new_tip']);
  });

  it('does not storm a node whose long poll answers at once, and passes none of it to the miners', async () => {
    const node = new TestNode();
    node.longPoll = () => node.template();
    const { templates } = await watch([node]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(node.scripted.countOf('getblocktemplate')).toBeLessThan(5);
    expect(templates).toHaveLength(1);
  });

  it('says that the node is lost, then stale, then recovered, each once, and why', async () => {
    const node = new TestNode();
    const { source, templates, changes } = await watch([node], { staleAfterMs: 300 });
    await until(() => templates.length === 1);
    node.isDown = true;
    await until(() => changes.length === 2);
    expect(source.silentMs).toBeGreaterThanOrEqual(300);
    node.isDown = false;
    await until(() => changes.length === 3);
    expect(changes.map(({ kind }) => kind)).toEqual(['lost', 'stale', 'recovered']);
    expect(changes[0]?.reason).toMatch(/connection broke/);
    expect(templates.at(-1)?.reason).toBe('refresh');
  });

  it('goes on with the next node when the first one fails', async () => {
    const [first, second] = [new TestNode(), new TestNode()];
    const { templates, changes, endpoints } = await watch([first, second]);
    await until(() => templates.length === 1);
    first.isDown = true;
    second.moveTo(TIP_B);
    await until(() => templates.length === 2);
    expect(templates.map(({ node }) => node)).toEqual(endpoints.map(({ name }) => name));
    expect(changes).toEqual([]);
  });

  it.each([
    ['demands a rule that we do not know', { rules: ['csv', '!segwit', '!blake2b'] }, /!blake2b/],
    ['is on another chain', { chain: 'main' }, /not a node of regtest: it is on chain "main"/],
  ])('takes no work from a node that %s', async (_, behaviour, reason) => {
    const { templates, changes } = await watch([Object.assign(new TestNode(), behaviour)]);
    await until(() => changes.length === 1);
    expect(changes[0]).toMatchObject({ kind: 'lost', reason: expect.stringMatching(reason) });
    expect(templates).toEqual([]);
  });

  it('stops while a long poll hangs, and is silent from then on', async () => {
    const node = new TestNode();
    const { source, templates } = await watch([node]);
    await until(() => node.scripted.countOf('getblocktemplate') === 2);
    await source.stop();
    node.moveTo(TIP_B);
    const calls = node.scripted.calls.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(node.scripted.calls.length).toBe(calls);
    expect(templates).toHaveLength(1);
  });
});
