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
import { ZmqPublisher } from './node-zmq-publisher.js';

const TIP_A = 'a0'.repeat(32);
const TIP_B = 'b0'.repeat(32);
/** A block that the nodes know, but not in their best chain. */
const SIDE = '5d'.repeat(32);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const BITS = '207fffff';
const MEDIAN_TIME = 1_650_000_000;
const COINBASE_SATS = 5_000_000_000;

const template = (tip: string, height: number, rules: string[], coinbasevalue: number) => ({
  ...{ version: 0x20000000, rules, vbrequired: 0, previousblockhash: tip, transactions: [], height },
  ...{ coinbasevalue, longpollid: `${tip}${height}`, bits: BITS },
  ...{ curtime: 1_700_000_000, mintime: 1_600_000_000, weightlimit: 4_000_000 },
});

/** A regtest node of which tests change the tip and the behaviour. */
class TestNode {
  tip = TIP_A;
  /** Of the block to be mined. */
  height = 1;
  coinbaseSats = COINBASE_SATS;
  /** Milliseconds that getblocktemplate takes. */
  templateMs = 0;
  zmqPort: number | undefined;
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
    return { result: template(this.tip, this.height, this.rules, this.coinbaseSats) };
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
            ...{ mediantime: 1, initialblockdownload: false, chainwork: this.#chainWork() },
          },
        };
      case 'getzmqnotifications':
        return {
          result:
            this.zmqPort === undefined
              ? []
              : [{ type: 'pubhashblock', address: `tcp://0.0.0.0:${this.zmqPort}`, hwm: 1000 }],
        };
      case 'getblockheader': {
        const [hash] = params;
        if (hash !== this.tip && hash !== SIDE) return { error: { code: -5, message: 'Block not found' } };
        const confirmations = hash === this.tip ? 1 : -1;
        return {
          result: {
            ...{ hash, confirmations, height: this.height - 1, time: 1, bits: BITS },
            ...{ mediantime: MEDIAN_TIME, chainwork: this.#chainWork() },
          },
        };
      }
      case 'getblockhash':
        return { result: NETWORKS.regtest.genesisHash };
      case 'getbestblockhash':
        return { result: this.tip };
      default:
        return this.#slowTemplate();
    }
  }

  async #slowTemplate(): Promise<Reply> {
    if (this.templateMs > 0) await new Promise((resolve) => setTimeout(resolve, this.templateMs));
    return this.template();
  }

  #chainWork(): string {
    return this.height.toString(16).padStart(64, '0');
  }
}

async function watch(nodes: TestNode[], options: Partial<TemplateSourceOptions> = {}) {
  const endpoints = await Promise.all(nodes.map((node) => node.start()));
  const source = new TemplateSource({
    ...{ endpoints, network: 'regtest', refreshIntervalMs: 60_000, tipCheckMs: 20, emptyAfterMs: 2000 },
    ...options,
  });
  const templates: TemplateEvent[] = [];
  const changes: ({ kind: string } & NodeChange)[] = [];
  source.on('template', (event) => templates.push(event));
  for (const kind of ['lost', 'recovered', 'stale', 'switched', 'unfit'] as const) {
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
    await until(() => changes.length > 0);
    expect(changes.map(({ kind, node }) => [kind, node])).toEqual([['unfit', endpoints[0]?.name]]);
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

describe('an empty template', () => {
  it('goes out first when the full one takes long, and the full one right behind it', async () => {
    const node = new TestNode();
    const { source, templates } = await watch([node], { emptyAfterMs: 5 });
    await until(() => templates.length === 1);
    node.templateMs = 150;
    node.moveTo(TIP_B);
    await until(() => templates.length === 2);
    expect(source.current).toBe(templates[1]?.template);
    await until(() => templates.length === 3);
    expect(templates.map(({ reason, isEmpty, spread }) => [reason, isEmpty, spread])).toEqual([
      ['start', false, false],
      ['new_tip', true, false],
      ['full', false, false],
    ]);
    expect(templates[1]?.template).toMatchObject({
      ...{ height: 2, version: 0x20000000, previousBlockHash: TIP_B, bits: 0x207fffff },
      ...{ mintime: MEDIAN_TIME + 1, curtime: 1_700_000_000, coinbaseValue: 5_000_000_000n, fees: 0n },
      transactions: [],
    });
    expect(templates[2]?.tipSeenMs).toBe(templates[1]?.tipSeenMs);
    expect(
      tipsOf(templates)
        .slice(1)
        .map(([, tip]) => tip),
    ).toEqual([TIP_B, TIP_B]);
  });

  it('is not made when the full one is there at once', async () => {
    const node = new TestNode();
    const { templates } = await watch([node]);
    await until(() => templates.length === 1);
    for (const tip of [TIP_B, TIP_A, TIP_B, TIP_A]) {
      const seen = templates.length;
      node.moveTo(tip);
      await until(() => templates.length > seen);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(templates.map(({ reason, isEmpty }) => [reason, isEmpty])).toEqual([
      ['start', false],
      ...Array.from({ length: 4 }, () => ['new_tip', false]),
    ]);
  });

  it('is not made where the target changes', async () => {
    const node = new TestNode();
    node.height = 2015;
    node.templateMs = 100;
    const { templates } = await watch([node], { emptyAfterMs: 5 });
    await until(() => templates.length === 1);
    node.moveTo(TIP_B);
    await until(() => templates.length === 2);
    expect(templates[1]).toMatchObject({ reason: 'new_tip', isEmpty: false, template: { height: 2016 } });
  });
});

describe('a hint', () => {
  async function hinted(node: TestNode) {
    const publisher = new ZmqPublisher();
    node.zmqPort = await publisher.start();
    cleanups.push(() => publisher.stop());
    const watched = await watch([node], { tipCheckMs: 60_000, emptyAfterMs: 5 });
    await publisher.subscribed(1);
    await until(() => watched.templates.length === 1);
    return { publisher, ...watched };
  }

  it('brings work on the new tip at once; the full template is left to the long poll that is open', async () => {
    const node = new TestNode();
    let release: (reply: Reply) => void = () => {};
    node.longPoll = () => new Promise((resolve) => (release = resolve));
    const { publisher, templates } = await hinted(node);
    await until(() => node.scripted.countOf('getblocktemplate') === 2);
    node.moveTo(TIP_B);
    publisher.publish('hashblock', TIP_B);
    await until(() => templates.length === 2);
    expect(templates[1]).toMatchObject({ reason: 'new_tip', isEmpty: true });
    expect(node.scripted.countOf('getblocktemplate')).toBe(2);
    release(node.template());
    await until(() => templates.length === 3);
    expect(templates[2]).toMatchObject({ reason: 'full', isEmpty: false });
  });

  it('of a block that is not the best one of the node, or unknown to it, changes nothing', async () => {
    const node = new TestNode();
    const { publisher, templates } = await hinted(node);
    await until(() => node.scripted.countOf('getblocktemplate') === 2);
    publisher.publish('hashblock', SIDE);
    publisher.publish('hashblock', 'ee'.repeat(32));
    await until(() => node.scripted.countOf('getblockheader') === 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(templates).toHaveLength(1);
  });
});

describe('fees', () => {
  it.each([
    [
      'that grow by half a percent of the coinbase bring a template before its time',
      25_000_000,
      ['start', 'fees'],
    ],
    ['that grow by less wait for the timer', 24_999_999, ['start']],
  ])('%s', async (_, gainSats, reasons) => {
    const node = new TestNode();
    let release: (reply: Reply) => void = () => {};
    node.longPoll = () => new Promise((resolve) => (release = resolve));
    const { templates } = await watch([node]);
    await until(() => node.scripted.countOf('getblocktemplate') === 2);
    node.coinbaseSats = COINBASE_SATS + gainSats;
    release(node.template());
    // The next poll is open: the answer of the last one has been taken.
    await until(() => node.scripted.countOf('getblocktemplate') === 3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(templates.map(({ reason }) => reason)).toEqual(reasons);
    for (const { reason, spread } of templates) expect(spread).toBe(reason === 'fees');
  });
});

describe('of several nodes', () => {
  it('the one with more work is followed, and the one that catches up is not gone back to', async () => {
    const [first, second] = [new TestNode(), new TestNode()];
    const { templates, changes, endpoints } = await watch([first, second]);
    await until(() => templates.length === 1);
    second.moveTo(TIP_B);
    await until(() => templates.length === 2);
    first.moveTo(TIP_B);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(templates.map(({ node }) => node)).toEqual(endpoints.map(({ name }) => name));
    expect(tipsOf(templates).at(-1)).toEqual(['new_tip', TIP_B]);
    expect(changes.map(({ kind, node }) => [kind, node])).toEqual([['switched', endpoints[1]?.name]]);
  });

  it('one on another chain is named once and never followed, however much work it has', async () => {
    const [first, second] = [
      new TestNode(),
      Object.assign(new TestNode(), { chain: 'main', height: 900_000 }),
    ];
    const { templates, changes } = await watch([first, second]);
    await until(() => changes.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(changes).toEqual([
      expect.objectContaining({ kind: 'unfit', reason: expect.stringMatching(/not a node of regtest/) }),
    ]);
    expect(tipsOf(templates)).toEqual([['start', TIP_A]]);
  });

  it('one that stands by takes over at the first hint of being ahead', async () => {
    const [first, second] = [new TestNode(), new TestNode()];
    const publisher = new ZmqPublisher();
    second.zmqPort = await publisher.start();
    cleanups.push(() => publisher.stop());
    const { templates, endpoints } = await watch([first, second], { tipCheckMs: 200 });
    await publisher.subscribed(1);
    second.moveTo(TIP_B);
    publisher.publish('hashblock', TIP_B);
    await until(() => templates.length === 2);
    expect(templates[1]).toMatchObject({ node: endpoints[1]?.name, reason: 'new_tip' });
  });
});
