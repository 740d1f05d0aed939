// Watches the nodes for work: emits a template at the start, on each new tip, when the fees have grown and at
// the refresh interval. Used by the coordinator, which turns templates into jobs.
//
// New tips come by long poll (BIP22) and, where the node offers it, by ZMQ hint; seconds-apart tip checks stand
// behind both. A hint asks only for the header: the long poll that is open wakes at the same moment, and a
// second getblocktemplate beside it only comes later (16 to 33 ms after the hint, the long poll's answer 8 to 21;
// 4000 transactions, private node). When the full template is not there soon after, an empty one goes out first.
// Of several nodes the one with the most work is followed, and the next one takes over when one fails.
//
// The long poll is held open without a time limit on purpose: Core keeps the RPC thread of a long poll
// whose client has gone until the tip or mempool moves, so that on a quiet chain repeated time-outs would
// take every thread of the node. The tip check finds a poll that hangs.
// https://github.com/bitcoin/bips/blob/master/bip-0022.mediawiki#long-polling
import { EventEmitter } from 'node:events';
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import { type BlockTemplate, parseTemplate } from '../work/template.js';
import type { ChainHeader } from './rpc.js';
import type { RpcEndpoint } from './rpc-endpoint.js';
import { type TemplateEvent, TipWork } from './tip-work.js';
import { WatchedNode } from './watched-node.js';

export type { TemplateEvent } from './tip-work.js';

export interface NodeChange {
  reason: string;
  /** host:port. */
  node: string;
}

export interface TemplateSourceEvents {
  template: [TemplateEvent];
  /** Another node is followed from now on, because it is ahead. */
  switched: [NodeChange];
  /** A node that stands by cannot take over: it is away or on another chain. Once until it can. */
  unfit: [NodeChange];
  /** The node tells of new tips by ZMQ, or has stopped to. */
  hints: [NodeChange & { isConnected: boolean }];
  /** No node gives templates any more. */
  lost: [NodeChange];
  /** A node gives templates again. */
  recovered: [NodeChange];
  /** The loss has lasted `staleAfterMs`: work on the last template is probably wasted. Once per loss. */
  stale: [NodeChange];
}

export interface TemplateSourceOptions {
  /** In order of preference; at least one. The source opens connections of its own. */
  endpoints: readonly RpcEndpoint[];
  network: NetworkName;
  /** Milliseconds between templates while the tip stands. */
  refreshIntervalMs: number;
  /** Milliseconds between two looks at the tip. Default 2000. */
  tipCheckMs?: number;
  /** Milliseconds without a node until `stale`. Default 60,000. */
  staleAfterMs?: number;
  /**
   * Milliseconds that the full template of a new tip is waited for before an empty one goes out. Default 5: a
   * node with few transactions has it in 2 to 3, and an empty job would only be one more.
   */
  emptyAfterMs?: number;
}

const TIP_CHECK_MS = 2000;
const STALE_AFTER_MS = 60_000;
const POLL_LAG_MS_MAX = 5000;
const POLL_PAUSE_MS = 1000;
const POLL_INSTANT_MS = 100;
const BACKOFF_MS_MIN = 200;
const BACKOFF_MS_MAX = 5000;
const EMPTY_AFTER_MS = 5;

/** See the file's head. Runs between `start` and `stop`; reports trouble by events and never throws. */
export class TemplateSource extends EventEmitter<TemplateSourceEvents> {
  readonly #options: Required<TemplateSourceOptions>;
  readonly #rules: readonly string[];
  readonly #nodes: WatchedNode[];
  readonly #unfit = new Set<WatchedNode>();
  #active = 0;
  readonly #work: TipWork;
  /** Moves on with each new tip and each change of node: an answer asked for before that may be out of date. */
  #generation = 0;
  #generationAt = 0;
  #lastAnswerAt = 0;
  #failures = 0;
  #isLost = false;
  #isStale = false;
  /** What the poll in flight was sent for; undefined when none is. */
  #poll: { generation: number; node: WatchedNode } | undefined;
  #running = false;
  #loops: Promise<unknown> = Promise.resolve();
  readonly #sleepers = new Set<() => void>();

  constructor(options: TemplateSourceOptions) {
    super();
    if (options.endpoints.length === 0) throw new Error('a template source needs at least one node');
    this.#options = {
      ...{ tipCheckMs: TIP_CHECK_MS, staleAfterMs: STALE_AFTER_MS, emptyAfterMs: EMPTY_AFTER_MS },
      ...options,
    };
    this.#work = new TipWork(options.network);
    this.#rules = NETWORKS[options.network].templateRules;
    this.#nodes = options.endpoints.map((endpoint) => {
      const node: WatchedNode = new WatchedNode({
        endpoint,
        network: options.network,
        onHint: (hash) => void this.#takeHint(node, hash),
        onHintState: (isConnected, reason) => this.#report('hints', { node: node.name, reason, isConnected }),
      });
      return node;
    });
  }

  /** The last template, also while the node is lost; empty for a moment after some new tips. */
  get current(): BlockTemplate | undefined {
    return this.#work.current;
  }

  /** Milliseconds since a node last confirmed what we mine on; grows while nodes are lost. */
  get silentMs(): number {
    return this.#running ? performance.now() - this.#lastAnswerAt : 0;
  }

  /** Begins to watch; the first template comes as an event. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#lastAnswerAt = performance.now();
    this.#loops = Promise.all([this.#watch(), this.#followTip(), this.#watchStandby()]);
  }

  /** Ends all loops and every call in flight; no event comes after it resolves. Not to be started again. */
  async stop(): Promise<void> {
    this.#running = false;
    for (const node of this.#nodes) node.close();
    for (const wake of [...this.#sleepers]) wake();
    await this.#loops;
  }

  async #watch(): Promise<void> {
    while (this.#running) {
      const node = this.#node();
      try {
        await this.#look(node);
        this.#succeeded(node);
        if (node !== this.#node()) continue;
        await this.#sleep(Math.min(this.#options.tipCheckMs, this.#untilRefreshMs()));
      } catch (error) {
        if (!this.#running) return;
        this.#failed(node, error as Error);
        await this.#sleep(this.#backoffMs());
      }
    }
  }

  async #look(node: WatchedNode): Promise<void> {
    await node.admit();
    const isDue = this.#work.full === undefined || this.#isLost || this.#untilRefreshMs() <= 0;
    if (!isDue) {
      const tip = await node.rpc.getBestBlockHash();
      if (node !== this.#node()) return;
      if (tip !== this.#work.tipHash) await this.#learnTip(node, tip, performance.now());
      else if (tip === this.#work.full?.template.previousBlockHash) {
        this.#renewHangingPoll(node);
        return;
      }
    }
    await this.#fetch(node, isDue);
  }

  async #fetch(node: WatchedNode, isDue: boolean): Promise<void> {
    const generation = this.#generation;
    this.#accept(await node.rpc.getBlockTemplate(this.#rules), generation, node, isDue);
  }

  async #followTip(): Promise<void> {
    while (this.#running) {
      const node = this.#node();
      const { full } = this.#work;
      const longPollId = full?.node === node.name ? full.template.longpollId : undefined;
      if (longPollId === undefined || !node.isAdmitted) {
        await this.#sleep(BACKOFF_MS_MIN);
        continue;
      }
      const generation = this.#generation;
      const start = performance.now();
      this.#poll = { generation, node };
      try {
        const answer = await node.longPoll.getBlockTemplate(this.#rules, longPollId);
        this.#poll = undefined;
        this.#accept(answer, generation, node, false);
        const isInstant = performance.now() - start < POLL_INSTANT_MS && generation === this.#generation;
        if (isInstant) await this.#sleep(POLL_PAUSE_MS);
      } catch {
        // The tip check meets the same trouble on a plain call and says so; here it is enough to wait.
        this.#poll = undefined;
        await this.#sleep(POLL_PAUSE_MS);
      }
    }
  }

  /** Looks whether a node that stands by is ahead, and whether it could take over. */
  async #watchStandby(): Promise<void> {
    if (this.#nodes.length === 1) return;
    while (this.#running) {
      await this.#sleep(this.#options.tipCheckMs);
      for (const node of this.#nodes) {
        if (!this.#running) return;
        if (node === this.#node()) this.#unfit.delete(node);
        else await this.#lookAtStandby(node);
      }
    }
  }

  async #lookAtStandby(node: WatchedNode): Promise<void> {
    try {
      await node.admit();
      await this.#followIfAhead(node);
      this.#unfit.delete(node);
    } catch (error) {
      node.expel();
      if (this.#unfit.has(node)) return;
      this.#unfit.add(node);
      this.#report('unfit', { node: node.name, reason: (error as Error).message });
    }
  }

  /** Throws only when `node` itself does not answer: trouble of the followed node is for the tip check. */
  async #followIfAhead(node: WatchedNode): Promise<void> {
    const followed = this.#node();
    const [theirs, ours] = await Promise.all([
      node.rpc.getBlockchainInfo(),
      followed.rpc.getBlockchainInfo().catch(() => undefined),
    ]);
    const isAhead = ours !== undefined && theirs.chainWork > ours.chainWork && !theirs.initialBlockDownload;
    if (!isAhead || !this.#running || followed !== this.#node() || !node.isAdmitted) return;
    this.#follow(node);
    this.#report('switched', {
      node: node.name,
      reason: `${followed.name} is behind it: block ${ours.blocks} after ${theirs.blocks}`,
    });
  }

  #follow(node: WatchedNode): void {
    this.#node().renewLongPoll();
    this.#active = this.#nodes.indexOf(node);
    this.#nextGeneration();
    for (const wake of [...this.#sleepers]) wake();
  }

  async #takeHint(node: WatchedNode, hash: string): Promise<void> {
    const seenMs = performance.now();
    if (!this.#running || !node.isAdmitted || hash === this.#work.tipHash) return;
    try {
      if (node !== this.#node()) return await this.#followIfAhead(node);
      await this.#learnTip(node, hash, seenMs);
      if (this.#poll?.node !== node) await this.#fetch(node, false);
    } catch {
      // Only a hint: the tip check asks again and says what is wrong.
    }
  }

  /** Believes in a new tip once the node has it, validated, as its best block; see that work on it goes out soon. */
  async #learnTip(node: WatchedNode, hash: string, seenMs: number): Promise<void> {
    const header = await node.rpc.getChainHeader(hash);
    const isTip = header.confirmations === 1 && hash !== this.#work.tipHash;
    if (!this.#running || node !== this.#node() || !isTip) return;
    this.#setTip(hash, seenMs);
    void this.#emptyUnlessFull(node, header, seenMs + this.#options.emptyAfterMs - performance.now());
  }

  async #emptyUnlessFull(node: WatchedNode, header: ChainHeader, waitMs: number): Promise<void> {
    await this.#sleep(waitMs);
    if (!this.#running || node !== this.#node()) return;
    this.#tell(this.#work.takeEmpty(header, node.name, performance.now()));
  }

  /** Takes a template unless the tip or the node has changed since it was asked for. Throws when it cannot be mined on. */
  #accept(answer: object, generation: number, node: WatchedNode, isDue: boolean): void {
    const nowMs = performance.now();
    if (!this.#running || node !== this.#node()) return;
    const { previousblockhash: tipHash } = answer as { previousblockhash: string };
    // What was asked before the tip was known is as good as any, if it is on that tip.
    if (generation !== this.#generation && tipHash !== this.#work.tipHash) return;
    const template = parseTemplate(answer, this.#options.network);
    if (tipHash !== this.#work.tipHash) this.#setTip(tipHash, nowMs);
    this.#tell(this.#work.takeFull(template, node.name, nowMs, isDue));
  }

  #tell(event: TemplateEvent | undefined): void {
    if (event !== undefined) this.#report('template', event);
  }

  #succeeded(node: WatchedNode): void {
    this.#failures = 0;
    this.#lastAnswerAt = performance.now();
    if (this.#isLost) {
      this.#isLost = false;
      this.#isStale = false;
      this.#report('recovered', { reason: 'it gives templates again', node: node.name });
    }
  }

  #failed(node: WatchedNode, error: Error): void {
    const change = { reason: error.message, node: node.name };
    node.expel();
    this.#failures++;
    if (this.#nodes.length > 1 && node === this.#node()) {
      const next = this.#nodes[(this.#active + 1) % this.#nodes.length];
      if (next !== undefined) this.#follow(next);
    }
    if (this.#failures >= this.#nodes.length && !this.#isLost) {
      this.#isLost = true;
      this.#report('lost', change);
    }
    if (this.#isLost && !this.#isStale && this.silentMs >= this.#options.staleAfterMs) {
      this.#isStale = true;
      this.#report('stale', change);
    }
  }

  /** A poll that was sent on an older tip must have been answered by now: its connection is dead. */
  #renewHangingPoll(node: WatchedNode): void {
    const isOld = this.#poll !== undefined && this.#poll.generation !== this.#generation;
    if (isOld && performance.now() - this.#generationAt > POLL_LAG_MS_MAX) node.renewLongPoll();
  }

  #setTip(hash: string, seenMs: number): void {
    this.#work.setTip(hash, seenMs);
    this.#nextGeneration();
  }

  #nextGeneration(): void {
    this.#generation++;
    this.#generationAt = performance.now();
  }

  #node(): WatchedNode {
    const node = this.#nodes[this.#active];
    if (node === undefined) throw new Error('no such node');
    return node;
  }

  #untilRefreshMs(): number {
    return this.#work.toldAtMs + this.#options.refreshIntervalMs - performance.now();
  }

  /** The other nodes are tried at once, then with growing pauses. */
  #backoffMs(): number {
    const rounds = Math.floor(this.#failures / this.#nodes.length);
    return rounds === 0 ? 0 : Math.min(BACKOFF_MS_MIN * 2 ** Math.min(rounds - 1, 10), BACKOFF_MS_MAX);
  }

  // A listener that throws is a fault of its own and must not be taken for one of the node.
  #report<Name extends keyof TemplateSourceEvents>(name: Name, event: TemplateSourceEvents[Name][0]): void {
    queueMicrotask(() => {
      if (this.#running) (this as EventEmitter).emit(name, event);
    });
  }

  #sleep(ms: number): Promise<void> {
    if (!this.#running || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }
}
