// Turns confirmed balances into transactions: plan -> build and sign -> store with the reservation in one
// commit -> broadcast exactly those bytes, as often as needed -> confirmed. After any crash the next step
// goes on from the stored state; nothing is ever built twice for one reservation.
import type { Payout, PayoutStore, SignedTransaction } from '../../storage/postgres/payout-store.js';

/** The wallet and the chain, as a payout needs them. */
export interface PayoutWallet {
  /** Builds and signs one transaction that pays `outputs`; does not broadcast it. */
  sign(outputs: readonly { address: string; sats: bigint }[]): Promise<SignedTransaction>;
  /** Hands the bytes to the node. Throws only when the node did not take them and does not have them. */
  broadcast(rawTransaction: string): Promise<void>;
  /** Confirmations of a transaction of ours; 0 in the mempool, negative in conflict, null unknown. */
  confirmations(txid: string): Promise<number | null>;
}

export type PayoutEvent =
  | { type: 'payout_signed'; payout: Payout; signed: SignedTransaction }
  | { type: 'payout_broadcast'; payout: Payout }
  | { type: 'payout_confirmed'; payout: Payout }
  | { type: 'payout_waiting'; payout: Payout; reason: string };

export interface PayoutRunnerOptions {
  store: PayoutStore;
  wallet: PayoutWallet;
  /** Accounts without a threshold of their own are paid from this confirmed balance on. */
  thresholdSats: bigint;
  /** Time between two plans, milliseconds. */
  everyMs: number;
  confirmationsNeeded: number;
  onEvent: (event: PayoutEvent) => void;
  /** Wall clock milliseconds: a plan is named by its slot of time, so two runs make one plan. */
  nowMs: () => number;
}

const OUTPUTS_MAX = 250;
/** Steps after which a payout that the wallet cannot sign is dropped. */
const SIGN_TRIES_MAX = 60;
/** Steps between two broadcasts of a transaction that is still unconfirmed. */
const REBROADCAST_EVERY_STEPS = 30;

export class PayoutRunner {
  readonly #options: PayoutRunnerOptions;
  #steps = 0;
  #plannedSlot = -1;
  /** Payouts that do not move: how often they were tried, and what was said last. */
  readonly #trouble = new Map<bigint, { tries: number; said: string }>();

  constructor(options: PayoutRunnerOptions) {
    this.#options = options;
  }

  /** Moves every open payout on, then plans a new one when it is time. Throws when Postgres is away. */
  async step(): Promise<void> {
    this.#steps++;
    const open = await this.#options.store.openPayouts();
    for (const payout of open) await this.#advance(payout);
    const slot = Math.floor(this.#options.nowMs() / this.#options.everyMs);
    if (slot === this.#plannedSlot || open.some(({ status }) => status === 'planned')) return;
    const payout = await this.#options.store.planPayout({
      requestKey: `auto:${this.#options.everyMs}ms:${slot}`,
      thresholdSats: this.#options.thresholdSats,
      outputsMax: OUTPUTS_MAX,
    });
    this.#plannedSlot = slot;
    if (payout !== null && payout.status === 'planned') await this.#advance(payout);
  }

  async #advance(payout: Payout): Promise<void> {
    const { onEvent } = this.#options;
    try {
      if (payout.status === 'planned') await this.#sign(payout);
      else if (payout.status === 'signed') await this.#broadcast(payout);
      else await this.#confirm(payout);
      this.#trouble.delete(payout.id);
    } catch (error) {
      // One payout that cannot move must not hold up the others; it is tried again at the next step.
      const reason = (error as Error).message;
      const { tries, said } = this.#trouble.get(payout.id) ?? { tries: 0, said: '' };
      this.#trouble.set(payout.id, { tries: tries + 1, said: reason });
      if (reason !== said) onEvent({ type: 'payout_waiting', payout, reason });
      // Nothing was signed: it can be dropped, and the next plan is made of the balances of then.
      if (payout.status === 'planned' && tries + 1 >= SIGN_TRIES_MAX) {
        await this.#options.store.failPayout(payout.id, `could not be signed: ${reason}`);
        this.#trouble.delete(payout.id);
      }
    }
  }

  async #sign(payout: Payout): Promise<void> {
    const { store, wallet, onEvent } = this.#options;
    const outputs = payout.outputs.map(({ address, sentSats }) => ({ address, sats: sentSats }));
    const signed = await wallet.sign(outputs);
    if ((await store.storeSigned(payout.id, signed)) === 'stored') {
      onEvent({ type: 'payout_signed', payout, signed });
    }
    const stored = await store.payout(payout.id);
    if (stored.status === 'signed') await this.#broadcast(stored);
  }

  async #broadcast(payout: Payout): Promise<void> {
    const { store, wallet, onEvent } = this.#options;
    if (payout.rawTransaction === null) throw new Error(`payout ${payout.id} is signed but holds no bytes`);
    await wallet.broadcast(payout.rawTransaction);
    await store.markBroadcast(payout.id);
    if (payout.status === 'signed') onEvent({ type: 'payout_broadcast', payout });
  }

  async #confirm(payout: Payout): Promise<void> {
    const { store, wallet, confirmationsNeeded, onEvent } = this.#options;
    if (payout.txid === null) throw new Error(`payout ${payout.id} was broadcast but has no txid`);
    const confirmations = await wallet.confirmations(payout.txid);
    if (confirmations !== null && confirmations >= confirmationsNeeded) {
      if ((await store.markConfirmed(payout.id)) === 'confirmed')
        onEvent({ type: 'payout_confirmed', payout });
      return;
    }
    const unseen = confirmations === null || confirmations < 0;
    if (unseen || this.#steps % REBROADCAST_EVERY_STEPS === 0) await this.#broadcast(payout);
  }
}
