// Pays balances over Lightning: plan -> invoice and reservation in one commit -> mark sent -> pay -> paid.
// After any crash the payment hash decides: the node is asked what became of it, and a new invoice is fetched
// only when the old one can never be paid any more, which is when
//   - the node said that the payment failed and it is over (its answer to `pay`, or `status` after the time
//     that it was given), or
//   - it was never sent, or the node never heard of it, and its invoice has expired.
// Run one of these at a time; the store refuses what a second one would do twice.
import type {
  LightningAttempt,
  LightningPayment,
  LightningPayments,
} from '../../../storage/postgres/lightning-payments.js';
import type { LightningFeeTerms } from '../../../storage/postgres/lightning-plan.js';
import { decodeInvoice, InvoiceError, type InvoicePrefix } from './bolt11.js';
import type { LightningClient, NodeInfo, PaymentStatus } from './client.js';
import {
  checkInvoice,
  type FetchedInvoice,
  type InvoiceWanted,
  LightningAddressError,
} from './lightning-address.js';

export type LightningEvent =
  | { type: 'lightning_sent'; payment: LightningPayment; paymentHash: string }
  | { type: 'lightning_paid'; payment: LightningPayment; feeMsat: bigint }
  | { type: 'lightning_failed'; payment: LightningPayment; reason: string; next: 'retry' | 'fallen_back' }
  | { type: 'lightning_waiting'; payment: LightningPayment; reason: string }
  | { type: 'lightning_node_down'; reason: string };

export interface LightningRunnerOptions {
  store: LightningPayments;
  client: LightningClient;
  /** Asks the service of a Lightning address (lightning-address.ts `fetchInvoice`). */
  fetchInvoice: (address: string, wanted: InvoiceWanted) => Promise<FetchedInvoice>;
  /** Of the pool's network. */
  prefix: InvoicePrefix;
  thresholdSats: bigint;
  amountMaxSats: bigint;
  dailyCapSats: bigint;
  fee: LightningFeeTerms;
  /** Seconds that the node looks for routes. */
  payTimeoutS: number;
  /** Failures after which a payment is left to the chain. */
  failuresMax: number;
  /** Before the second invoice, milliseconds; doubled with each failure. */
  retryAfterMs: number;
  /** Time between two plans, milliseconds. */
  everyMs: number;
  onEvent: (event: LightningEvent) => void;
  /** Wall clock milliseconds: invoices expire by it. */
  nowMs: () => number;
}

const PAYMENTS_A_PLAN_MAX = 100;
const OPEN_MAX = 1000;
const PARALLEL_MAX = 8;
const RETRY_AFTER_MS_MAX = 6 * 3600_000;
/** After the time given to `pay` and after the end of an invoice: clocks differ, requests linger. */
const GRACE_MS = 60_000;
/** An invoice that ends sooner is not given to the node any more. */
const SEND_BEFORE_END_MS = 30_000;

export class LightningRunner {
  readonly #options: LightningRunnerOptions;
  #plannedSlot = -1;
  #nodeSaid = '';
  readonly #said = new Map<bigint, string>();

  constructor(options: LightningRunnerOptions) {
    this.#options = options;
  }

  /** Plans when it is time, then moves every open payment on. Throws when Postgres is away. */
  async step(): Promise<void> {
    const { store, everyMs, nowMs, thresholdSats, amountMaxSats, dailyCapSats, fee } = this.#options;
    const slot = Math.floor(nowMs() / everyMs);
    if (slot !== this.#plannedSlot) {
      await store.planDue({
        requestKey: `auto:${everyMs}ms:${slot}`,
        ...{ thresholdSats, amountMaxSats, dailyCapSats, fee },
        paymentsMax: PAYMENTS_A_PLAN_MAX,
      });
      this.#plannedSlot = slot;
    }
    const open = await store.openPayments(new Date(nowMs()), OPEN_MAX);
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.#said.keys()) if (!ids.has(id)) this.#said.delete(id);
    if (open.length === 0) return;
    const node = await this.#usableNode();
    if (node === null) return;
    const queue = open.values();
    const worker = async () => {
      for (const payment of queue) await this.#advance(payment, node);
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, open.length) }, worker));
  }

  async #usableNode(): Promise<NodeInfo | null> {
    let reason = '';
    try {
      const node = await this.#options.client.info();
      if (node.prefix !== this.#options.prefix) {
        reason = `The Lightning node is on ln${node.prefix}, the pool on ln${this.#options.prefix}. Set a node of the pool's network`;
      } else if (!node.synced) {
        reason = 'The Lightning node is still catching up with the chain. Wait for it';
      }
      if (reason === '') {
        this.#nodeSaid = '';
        return node;
      }
    } catch (error) {
      reason = (error as Error).message;
    }
    if (reason !== this.#nodeSaid) this.#options.onEvent({ type: 'lightning_node_down', reason });
    this.#nodeSaid = reason;
    return null;
  }

  async #advance(payment: LightningPayment, node: NodeInfo): Promise<void> {
    try {
      const { attempt, status } = payment;
      if (status === 'planned' || status === 'retry') {
        if (payment.due) await this.#invoice(payment, node);
      } else if (attempt === null) {
        throw new Error(`payment ${payment.id} is ${status} but has no invoice`);
      } else if (status === 'invoiced') {
        await this.#sendOrDrop(payment, attempt, node);
      } else {
        await this.#resolve(payment, attempt, node);
      }
      this.#said.delete(payment.id);
    } catch (error) {
      // One payment that cannot move must not hold up the others; it is looked at again at the next step.
      const reason = (error as Error).message;
      if (this.#said.get(payment.id) !== reason) {
        this.#options.onEvent({ type: 'lightning_waiting', payment, reason });
      }
      this.#said.set(payment.id, reason);
    }
  }

  async #invoice(payment: LightningPayment, node: NodeInfo): Promise<void> {
    const { store, client, prefix, nowMs } = this.#options;
    const wanted: InvoiceWanted = {
      amountMsat: payment.sentSats * 1000n,
      prefix,
      nowS: Math.floor(nowMs() / 1000),
    };
    let fetched: FetchedInvoice;
    try {
      fetched = await this.#invoiceOf(payment.destination, wanted);
    } catch (error) {
      if (!(error instanceof LightningAddressError || error instanceof InvoiceError)) throw error;
      await this.#failed(payment, null, error.message);
      return;
    }
    const { invoice, description } = fetched;
    const seen = await client.decode(invoice.bolt11);
    if (
      seen.paymentHash !== invoice.paymentHash ||
      seen.payee !== invoice.payee ||
      seen.amountMsat !== invoice.amountMsat
    ) {
      await this.#failed(
        payment,
        null,
        'the Lightning node reads another payment out of the invoice than we do',
      );
      return;
    }
    const stored = await store.storeInvoice(payment.id, {
      bolt11: invoice.bolt11,
      paymentHash: invoice.paymentHash,
      description,
      expiresAt: new Date(invoice.expiresAtS * 1000),
    });
    if (stored === 'used') await this.#failed(payment, null, 'the invoice was tried before');
    if (stored !== 'stored') return;
    const now = await store.payment(payment.id);
    if (now.status === 'invoiced' && now.attempt !== null) await this.#sendOrDrop(now, now.attempt, node);
  }

  async #invoiceOf(destination: string, wanted: InvoiceWanted): Promise<FetchedInvoice> {
    if (destination.includes('@')) return await this.#options.fetchInvoice(destination, wanted);
    const invoice = decodeInvoice(destination);
    checkInvoice(invoice, wanted);
    return { invoice, description: null };
  }

  /** The attempt was never sent. */
  async #sendOrDrop(payment: LightningPayment, attempt: LightningAttempt, node: NodeInfo): Promise<void> {
    if (this.#mayStillBePaid(attempt)) await this.#send(payment, attempt, node);
    else await this.#failed(payment, attempt, 'the invoice expired before it was sent');
  }

  async #send(payment: LightningPayment, attempt: LightningAttempt, node: NodeInfo): Promise<void> {
    const { store, client, payTimeoutS, nowMs, onEvent } = this.#options;
    const triesUntil = new Date(nowMs() + payTimeoutS * 1000);
    if (!(await store.markSent(payment.id, attempt.number, node.nodeId, triesUntil))) return;
    onEvent({ type: 'lightning_sent', payment, paymentHash: attempt.paymentHash });
    const outcome = await client.pay({
      bolt11: attempt.bolt11,
      description: attempt.description,
      maxFeeSats: payment.maxFeeSats,
      timeoutS: payTimeoutS,
    });
    await this.#settle(payment, attempt, outcome);
  }

  /** The attempt was sent, by us or before a crash: only the node knows what became of it. */
  async #resolve(payment: LightningPayment, attempt: LightningAttempt, node: NodeInfo): Promise<void> {
    if (attempt.nodeId !== node.nodeId) {
      throw new Error(
        `the payment was given to the Lightning node ${attempt.nodeId}, and this is ${node.nodeId}: ` +
          'it cannot say what became of it. Connect the first one again',
      );
    }
    const status = await this.#options.client.status(attempt.paymentHash);
    if (status.state === 'paid') return await this.#settle(payment, attempt, status);
    if (status.state === 'in_flight') return;
    const nowMs = this.#options.nowMs();
    if (nowMs <= (attempt.triesUntil?.getTime() ?? 0) + GRACE_MS) return;
    if (status.state === 'failed') return await this.#settle(payment, attempt, status);
    if (this.#mayStillBePaid(attempt)) return await this.#send(payment, attempt, node);
    if (nowMs > attempt.expiresAt.getTime() + GRACE_MS) {
      await this.#failed(
        payment,
        attempt,
        'the node never heard of the payment, and the invoice has expired',
      );
    }
  }

  async #settle(payment: LightningPayment, attempt: LightningAttempt, outcome: PaymentStatus): Promise<void> {
    const { store, onEvent } = this.#options;
    if (outcome.state === 'paid') {
      if ((await store.markPaid(payment.id, attempt.number, outcome)) === 'paid') {
        onEvent({ type: 'lightning_paid', payment, feeMsat: outcome.feeMsat });
      }
    } else if (outcome.state === 'failed') {
      await this.#failed(payment, attempt, `the Lightning node could not pay: ${outcome.reason}`);
    }
  }

  async #failed(payment: LightningPayment, attempt: LightningAttempt | null, reason: string): Promise<void> {
    const { store, failuresMax, retryAfterMs, nowMs, onEvent } = this.#options;
    const waitMs = Math.min(RETRY_AFTER_MS_MAX, retryAfterMs * 2 ** Math.min(payment.failures, 20));
    const retry = {
      // One invoice cannot be had anew.
      failuresMax: payment.destination.includes('@') ? failuresMax : 1,
      nextTryAt: new Date(nowMs() + waitMs),
    };
    const next =
      attempt === null
        ? await store.invoiceFailed(payment.id, reason, retry)
        : await store.attemptFailed(payment.id, attempt.number, reason, retry);
    if (next !== 'stale') onEvent({ type: 'lightning_failed', payment, reason, next });
  }

  #mayStillBePaid(attempt: LightningAttempt): boolean {
    return this.#options.nowMs() + SEND_BEFORE_END_MS < attempt.expiresAt.getTime();
  }
}
