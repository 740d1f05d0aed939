// Watches the nodes for work: emits a template at the start, on each new tip and at the refresh interval.
// New tips come by long poll (BIP22), seconds-apart tip checks stand behind it, and the next node takes over
// when one fails. Used by the coordinator, which turns templates into jobs.
//
// The long poll is held open without a time limit on purpose: Core keeps the RPC thread of a long poll
// whose client has gone until the tip or mempool moves, so that on a quiet chain repeated time-outs would
// take every thread of the node. The tip check finds a poll that hangs.
// https://github.com/bitcoin/bips/blob/master/bip-0022.mediawiki#long-polling
import { EventEmitter } from 'node:events';
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import { type BlockTemplate, parseTemplate } from '../work/template.js';
import { checkChainIdentity } from './chain-identity.js';
import { NodeRpc } from './rpc.js';
import type { RpcEndpoint } from './rpc-endpoint.js';

export interface TemplateEvent {
  template: BlockTemplate;
  /** new_tip: miners must drop their work. refresh: the same tip, newer transactions and time. */
  reason: 'start' | 'new_tip' | 'refresh';
  /** host:port of the node that gave it. */
  node: string;
}

export interface NodeChange {
  reason: string;
  /** host:port. */
  node: string;
}

export interface TemplateSourceEvents {
  template: [TemplateEvent];
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
}

interface Candidate {
  rpc: NodeRpc;
  longPoll: NodeRpc;
  endpoint: RpcEndpoint;
  /** Its chain was checked since its last failure. */
  admitted: boolean;
}

const TIP_CHECK_MS = 2000;
const STALE_AFTER_MS = 60_000;
const CALL_TIMEOUT_MS = 15_000;
const LONG_POLL_TIMEOUT_MS = 24 * 3_600_000;
const POLL_LAG_MS_MAX = 5000;
const POLL_PAUSE_MS = 1000;
const POLL_INSTANT_MS = 100;
const BACKOFF_MS_MIN = 200;
const BACKOFF_MS_MAX = 5000;

/** See the file's head. Runs between `start` and `stop`; reports trouble by events and never throws. */
export class TemplateSource extends EventEmitter<TemplateSourceEvents> {
  readonly #options: Required<TemplateSourceOptions>;
  readonly #rules: readonly string[];
  readonly #candidates: Candidate[];
  #active = 0;
  #current: BlockTemplate | undefined;
  /** Moves on with each new tip and each change of node: an answer asked for before that is out of date. */
  #generation = 0;
  #generationAt = 0;
  #emittedAt = Number.NEGATIVE_INFINITY;
  #lastAnswerAt = 0;
  #failures = 0;
  #isLost = false;
  #isStale = false;
  /** Generation in which the poll in flight was sent; undefined when none is. */
  #pollGeneration: number | undefined;
  #running = false;
  #loops: Promise<unknown> = Promise.resolve();
  readonly #sleepers = new Set<() => void>();

  constructor(options: TemplateSourceOptions) {
    super();
    if (options.endpoints.length === 0) throw new Error('a template source needs at least one node');
    this.#options = { tipCheckMs: TIP_CHECK_MS, staleAfterMs: STALE_AFTER_MS, ...options };
    this.#rules = NETWORKS[options.network].templateRules;
    this.#candidates = options.endpoints.map((endpoint) => ({
      endpoint,
      rpc: new NodeRpc({ endpoint, timeoutMs: CALL_TIMEOUT_MS, retryForMs: 0 }),
      longPoll: longPollRpc(endpoint),
      admitted: false,
    }));
  }

  /** The last template, also while the node is lost. */
  get current(): BlockTemplate | undefined {
    return this.#current;
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
    this.#loops = Promise.all([this.#watch(), this.#followTip()]);
  }

  /** Ends both loops and every call in flight; no event comes after it resolves. Not to be started again. */
  async stop(): Promise<void> {
    this.#running = false;
    for (const { rpc, longPoll } of this.#candidates) {
      rpc.close();
      longPoll.close();
    }
    for (const wake of [...this.#sleepers]) wake();
    await this.#loops;
  }

  async #watch(): Promise<void> {
    while (this.#running) {
      const node = this.#node();
      try {
        await this.#look(node);
        this.#succeeded(node);
        await this.#sleep(Math.min(this.#options.tipCheckMs, this.#untilRefreshMs()));
      } catch (error) {
        if (!this.#running) return;
        this.#failed(node, error as Error);
        await this.#sleep(this.#backoffMs());
      }
    }
  }

  async #look(node: Candidate): Promise<void> {
    const generation = this.#generation;
    if (!node.admitted) {
      await checkChainIdentity(node.rpc, this.#options.network);
      node.admitted = true;
    }
    const isDue = this.#current === undefined || this.#isLost || this.#untilRefreshMs() <= 0;
    if (!isDue) {
      const tip = await node.rpc.getBestBlockHash();
      if (generation !== this.#generation) return;
      if (tip === this.#current?.previousBlockHash) {
        this.#renewHangingPoll(node);
        return;
      }
    }
    this.#accept(await node.rpc.getBlockTemplate(this.#rules), generation, node, isDue);
  }

  async #followTip(): Promise<void> {
    while (this.#running) {
      const node = this.#node();
      const longPollId = this.#current?.longpollId;
      if (longPollId === undefined || !node.admitted) {
        await this.#sleep(BACKOFF_MS_MIN);
        continue;
      }
      const generation = this.#generation;
      const start = performance.now();
      this.#pollGeneration = generation;
      try {
        const answer = await node.longPoll.getBlockTemplate(this.#rules, longPollId);
        this.#accept(answer, generation, node, false);
        const isInstant = performance.now() - start < POLL_INSTANT_MS && generation === this.#generation;
        if (isInstant) await this.#sleep(POLL_PAUSE_MS);
      } catch {
        // The tip check meets the same trouble on a plain call and says so; here it is enough to wait.
        await this.#sleep(POLL_PAUSE_MS);
      }
      this.#pollGeneration = undefined;
    }
  }

  /** Takes a template unless the tip or the node has changed since it was asked for. Throws when it cannot be mined on. */
  #accept(answer: object, generation: number, node: Candidate, mayRefresh: boolean): void {
    if (!this.#running || generation !== this.#generation) return;
    const template = parseTemplate(answer, this.#options.network);
    const previous = this.#current;
    this.#current = template;
    const isNewTip = previous !== undefined && template.previousBlockHash !== previous.previousBlockHash;
    if (isNewTip) this.#nextGeneration();
    if (previous !== undefined && !isNewTip && !mayRefresh) return;
    this.#emittedAt = performance.now();
    const reason = previous === undefined ? 'start' : isNewTip ? 'new_tip' : 'refresh';
    this.#report('template', { template, reason, node: node.rpc.name });
  }

  #succeeded(node: Candidate): void {
    this.#failures = 0;
    this.#lastAnswerAt = performance.now();
    if (this.#isLost) {
      this.#isLost = false;
      this.#isStale = false;
      this.#report('recovered', { reason: 'it gives templates again', node: node.rpc.name });
    }
  }

  #failed(node: Candidate, error: Error): void {
    const change = { reason: error.message, node: node.rpc.name };
    node.admitted = false;
    this.#failures++;
    if (this.#candidates.length > 1) {
      this.#active = (this.#active + 1) % this.#candidates.length;
      this.#nextGeneration();
      renewLongPoll(node);
    }
    if (this.#failures >= this.#candidates.length && !this.#isLost) {
      this.#isLost = true;
      this.#report('lost', change);
    }
    if (this.#isLost && !this.#isStale && this.silentMs >= this.#options.staleAfterMs) {
      this.#isStale = true;
      this.#report('stale', change);
    }
  }

  /** A poll that was sent on an older tip must have been answered by now: its connection is dead. */
  #renewHangingPoll(node: Candidate): void {
    const isOld = this.#pollGeneration !== undefined && this.#pollGeneration !== this.#generation;
    if (isOld && performance.now() - this.#generationAt > POLL_LAG_MS_MAX) renewLongPoll(node);
  }

  #nextGeneration(): void {
    this.#generation++;
    this.#generationAt = performance.now();
  }

  #node(): Candidate {
    const node = this.#candidates[this.#active];
    if (node === undefined) throw new Error('no such node');
    return node;
  }

  #untilRefreshMs(): number {
    return this.#emittedAt + this.#options.refreshIntervalMs - performance.now();
  }

  /** The other nodes are tried at once, then with growing pauses. */
  #backoffMs(): number {
    const rounds = Math.floor(this.#failures / this.#candidates.length);
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

function longPollRpc(endpoint: RpcEndpoint): NodeRpc {
  return new NodeRpc({ endpoint, timeoutMs: LONG_POLL_TIMEOUT_MS, retryForMs: 0 });
}

function renewLongPoll(node: Candidate): void {
  node.longPoll.close();
  node.longPoll = longPollRpc(node.endpoint);
}
