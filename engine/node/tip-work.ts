// What the miners work on at one tip: the newest template, the empty one before it, and which of them is worth a
// new job. Pure: no node and no clock of its own. Used by the template source alone.
import type { NetworkName } from '../bitcoin/networks.js';
import { emptyTemplate, type TipHeader } from '../work/empty-template.js';
import type { BlockTemplate } from '../work/template.js';

export interface TemplateEvent {
  template: BlockTemplate;
  /**
   * new_tip: miners must drop their work. full: the whole template behind an empty one on the same tip.
   * refresh, fees: the same tip, newer transactions and time; fees: it pays clearly more than the last one.
   */
  reason: 'start' | 'new_tip' | 'full' | 'refresh' | 'fees';
  /** Only the coinbase: the node is still at work on the whole template. */
  isEmpty: boolean;
  /** Nothing hurries: it may reach the miners bit by bit. */
  spread: boolean;
  /** performance.now() of this thread at which hint, long poll or tip check first told of the tip. */
  tipSeenMs: number;
  /** host:port of the node that gave it. */
  node: string;
}

/** Growth of the coinbase value, in thousandths, that is worth a job before its time. */
const FEE_GAIN_PER_MILLE = 5n;

export class TipWork {
  readonly #network: NetworkName;
  #tip = { hash: '', seenMs: 0 };
  #current: BlockTemplate | undefined;
  #full: { template: BlockTemplate; node: string; atMs: number } | undefined;
  #told: { tipHash: string; coinbaseValue: bigint; isEmpty: boolean; atMs: number } | undefined;

  constructor(network: NetworkName) {
    this.#network = network;
  }

  /** The newest tip known, display order, hex; '' before the first. */
  get tipHash(): string {
    return this.#tip.hash;
  }

  /** The newest template, be it empty. */
  get current(): BlockTemplate | undefined {
    return this.#current;
  }

  /** The newest that a node gave, and which one. */
  get full(): { template: BlockTemplate; node: string } | undefined {
    return this.#full;
  }

  /** When the last event was made; 0 before the first. */
  get toldAtMs(): number {
    return this.#told?.atMs ?? 0;
  }

  /** The chain has a new tip, first heard of at `seenMs`; its template comes later or with the next call. */
  setTip(hash: string, seenMs: number): void {
    this.#tip = { hash, seenMs };
  }

  /**
   * A node has given this template, on the known tip. What to tell the miners; undefined when they need not hear
   * of it. `isDue`: the time for a refresh has come.
   */
  takeFull(template: BlockTemplate, node: string, nowMs: number, isDue: boolean): TemplateEvent | undefined {
    this.#full = { template, node, atMs: nowMs };
    this.#current = template;
    const reason = this.#reasonFor(template, isDue);
    return reason === undefined ? undefined : this.#tell(template, reason, false, node, nowMs);
  }

  /**
   * The full template is not there in time: an empty one on `header`. Undefined when it came after all, when the
   * tip has moved on, when the last template is another node's, and where none can be made.
   */
  takeEmpty(header: TipHeader, node: string, nowMs: number): TemplateEvent | undefined {
    const last = this.#full;
    const isTooLate = this.#tip.hash !== header.hash || this.#told?.tipHash === header.hash;
    if (isTooLate || last === undefined || last.node !== node) return undefined;
    const nodeTime = last.template.curtime + Math.floor((nowMs - last.atMs) / 1000);
    const template = emptyTemplate(header, last.template, this.#network, nodeTime);
    if (template === null) return undefined;
    this.#current = template;
    return this.#tell(template, 'new_tip', true, node, nowMs);
  }

  #reasonFor(template: BlockTemplate, isDue: boolean): TemplateEvent['reason'] | undefined {
    const told = this.#told;
    if (told === undefined) return 'start';
    if (told.tipHash !== template.previousBlockHash) return 'new_tip';
    if (told.isEmpty) return 'full';
    if (isDue) return 'refresh';
    const gain = template.coinbaseValue - told.coinbaseValue;
    return gain * 1000n >= told.coinbaseValue * FEE_GAIN_PER_MILLE ? 'fees' : undefined;
  }

  #tell(
    template: BlockTemplate,
    reason: TemplateEvent['reason'],
    isEmpty: boolean,
    node: string,
    atMs: number,
  ): TemplateEvent {
    const { previousBlockHash: tipHash, coinbaseValue } = template;
    this.#told = { tipHash, coinbaseValue, isEmpty, atMs };
    const spread = reason === 'refresh' || reason === 'fees';
    return { template, reason, isEmpty, spread, tipSeenMs: this.#tip.seenMs, node };
  }
}
