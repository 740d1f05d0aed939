// Turns confirmed balances into transactions: plan -> build and sign -> store with the reservation in one
// commit -> broadcast exactly those bytes, as often as needed -> confirmed. After any crash the next step
// goes on from the stored state; nothing is ever built twice for one reservation. A transaction that stays
// unconfirmed is replaced by one that pays the same with a higher fee; whichever confirms, settles.
import type { PayoutRequestAnswer } from '../../storage/postgres/payout-plan.js';
import type {
  Payout,
  PayoutStore,
  PayoutVersion,
  SignedTransaction,
} from '../../storage/postgres/payout-store.js';
import { outputWeight } from '../accounting/payout-outputs.js';
import { hexToBytes } from '../bitcoin/hex.js';
import { parseTransaction, serializeTransaction, serializeWithoutWitness } from '../bitcoin/transaction.js';
import { combineCollected } from './collect-signatures.js';
import { decideBump } from './fee-policy.js';
import { spentOutpoints } from './multisig-psbt.js';
import { PayoutBuilder, PayoutWaits } from './payout-builder.js';
import type { PayoutChain } from './payout-chain.js';
import { PAYOUT_TERMS, type PayoutTerms, railOutputs } from './payout-terms.js';
import type { PayoutRail } from './rail.js';

export type PayoutEvent =
  | { type: 'payout_signed'; payout: Payout; signed: SignedTransaction }
  | { type: 'payout_broadcast'; payout: Payout }
  | { type: 'payout_confirmed'; payout: Payout }
  | { type: 'payout_waiting'; payout: Payout; reason: string };

/** What people should know of or do something about. Each is told once, again after a restart. */
export type PayoutNotice =
  | { type: 'payout_needs_approval'; payout: Payout }
  | { type: 'payout_needs_signatures'; payout: Payout }
  | { type: 'payout_bumped'; payout: Payout; replaced: string; networkFeeSats: bigint }
  | { type: 'payout_quarantined'; account: string; address: string; reason: string };

export interface PayoutRunnerOptions {
  store: PayoutStore;
  wallet: PayoutRail;
  /** Null: the wallet sets the fee, no address is checked before the wallet does, and no fee is raised. */
  chain?: PayoutChain | null;
  thresholdSats: bigint;
  /** The other terms; default PAYOUT_TERMS. */
  terms?: Partial<Omit<PayoutTerms, 'thresholdSats'>>;
  /** Time between two plans, milliseconds. */
  everyMs: number;
  confirmationsNeeded: number;
  onEvent: (event: PayoutEvent) => void;
  onNotice?: (notice: PayoutNotice) => void;
  /** Wall clock milliseconds: a plan is named by its slot of time, so two runs make one plan. */
  nowMs: () => number;
  /** A clock that does not jump, milliseconds: no run comes early because somebody set the time. Default nowMs. */
  steadyMs?: () => number;
}

/** Transactions planned in one slot at most; the rest waits for the next one. */
const PLANS_PER_SLOT_MAX = 100;
/** Steps after which a payout that the wallet cannot sign is dropped. */
const SIGN_TRIES_MAX = 60;
/** Settled payouts that stand in the chain, after which older ones are not looked at. */
const STANDING_ENOUGH = 5;
/** Steps between two broadcasts of a transaction that is still unconfirmed. */
const REBROADCAST_EVERY_STEPS = 30;

export class PayoutRunner {
  readonly #options: PayoutRunnerOptions;
  readonly #terms: PayoutTerms;
  readonly #chain: PayoutChain | null;
  readonly #builder: PayoutBuilder;
  #steps = 0;
  #plannedSlot = -1;
  #plannedAtMs = Number.NEGATIVE_INFINITY;
  /** Payouts that do not move: how often they were tried, and what was said last. */
  readonly #trouble = new Map<bigint, { tries: number; said: string }>();
  readonly #noticed = new Set<string>();
  /** Transactions that the rail cannot replace without asking for signatures again. */
  readonly #needsSigners = new Set<string>();

  constructor(options: PayoutRunnerOptions) {
    this.#options = options;
    this.#terms = { ...PAYOUT_TERMS, ...options.terms, thresholdSats: options.thresholdSats };
    this.#chain = options.chain ?? null;
    this.#builder = new PayoutBuilder(options.store, options.wallet, this.#chain, this.#terms, options.nowMs);
  }

  get #leastMs(): number {
    // Half a period: the first plan after a start may have come late in its slot.
    return this.#options.everyMs / 2;
  }

  #steadyMs(): number {
    return (this.#options.steadyMs ?? this.#options.nowMs)();
  }

  /** Moves every open payout on, then plans new ones when it is time. Throws when Postgres is away. */
  async step(): Promise<void> {
    if (this.#steps++ % REBROADCAST_EVERY_STEPS === 0) await this.#sendLost();
    const open = await this.#options.store.openPayouts();
    for (const payout of open) await this.#advance(payout);
    // What waits for an approval is nobody's obstacle; what waits for cheaper fees or coins is the plan of now.
    if (open.some(({ status, requestKey }) => status === 'planned' && requestKey.startsWith('auto:'))) return;
    const slot = Math.floor(this.#options.nowMs() / this.#options.everyMs);
    if (slot === this.#plannedSlot || this.#steadyMs() < this.#plannedAtMs + this.#leastMs) return;
    const { store } = this.#options;
    for (let part = 0; part < PLANS_PER_SLOT_MAX; part++) {
      const requestKey = `auto:${this.#options.everyMs}ms:${slot}${part === 0 ? '' : `:${part}`}`;
      const payout = await store.planPayout({
        requestKey,
        thresholdSats: this.#terms.thresholdSats,
        minimumSats: this.#terms.minimumSats,
        outputsMax: this.#terms.outputsMax,
        weightMax: this.#terms.weightMax,
        weightOf: (address) => outputWeight(this.#chain?.scriptBytes(address) ?? null),
        limits: this.#terms,
      });
      if (payout === null) break;
      if (payout.status !== 'planned' && payout.status !== 'awaiting_approval') continue;
      await this.#advance(payout);
      if ((await store.payout(payout.id)).status === 'planned') return;
    }
    this.#plannedSlot = slot;
    this.#plannedAtMs = this.#steadyMs();
  }

  /**
   * A payout at an account's own wish; `amountSats` null: all that is free. The same key asked twice is one
   * payout. The next step builds it. Never more than the balance, however many ask at once.
   */
  async requestPayout(account: string, amountSats: bigint | null, key: string): Promise<PayoutRequestAnswer> {
    const { minimumSats } = this.#terms;
    return await this.#options.store.requestPayout({
      account,
      amountSats,
      key,
      minimumSats,
      limits: this.#terms,
    });
  }

  async #advance(payout: Payout): Promise<void> {
    const { onEvent } = this.#options;
    try {
      if (payout.status === 'planned' || payout.status === 'awaiting_approval') await this.#reserve(payout);
      else if (payout.status === 'awaiting_signatures') await this.#collect(payout);
      else if (payout.status === 'signed') await this.#broadcast(payout);
      else await this.#confirm(payout);
      this.#trouble.delete(payout.id);
    } catch (error) {
      // One payout that cannot move must not hold up the others; it is tried again at the next step.
      const reason = (error as Error).message;
      const { tries, said } = this.#trouble.get(payout.id) ?? { tries: 0, said: '' };
      const counted = error instanceof PayoutWaits ? tries : tries + 1;
      this.#trouble.set(payout.id, { tries: counted, said: reason });
      if (reason !== said) onEvent({ type: 'payout_waiting', payout, reason });
      // Nothing was signed: it can be dropped, and the next plan is made of the balances of then.
      if (payout.status === 'planned' && counted >= SIGN_TRIES_MAX) {
        await this.#options.store.failPayout(payout.id, `could not be signed: ${reason}`);
        this.#trouble.delete(payout.id);
      }
    }
  }

  async #reserve(payout: Payout): Promise<void> {
    if (payout.approvedBy.length < payout.approvalsNeeded) {
      this.#notice(`approval:${payout.id}`, { type: 'payout_needs_approval', payout });
      return;
    }
    const { store, onEvent } = this.#options;
    const outcome = await this.#builder.reserve(payout);
    if (outcome.kind === 'quarantined') {
      for (const address of outcome.addresses) {
        this.#notice(`quarantine:${payout.id}:${address.address}`, {
          type: 'payout_quarantined',
          ...address,
        });
      }
      this.#plannedSlot = -1;
      this.#plannedAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (outcome.kind === 'stored' && outcome.built.state === 'signed') {
      onEvent({ type: 'payout_signed', payout, signed: outcome.built.transaction });
    }
    const stored = await store.payout(payout.id);
    if (stored.status === 'signed') await this.#broadcast(stored);
    else if (stored.status === 'awaiting_signatures') await this.#collect(stored);
  }

  async #collect(payout: Payout): Promise<void> {
    const { store, wallet, onEvent } = this.#options;
    const result = await combineCollected(store, wallet, payout);
    if (result === null || result.state === 'unsigned') {
      this.#notice(`signatures:${payout.id}`, { type: 'payout_needs_signatures', payout });
      return;
    }
    const stored = await store.storeCollected(payout.id, result.transaction, await this.#tipHeight());
    if (stored === 'stored') onEvent({ type: 'payout_signed', payout, signed: result.transaction });
    await this.#broadcast(await store.payout(payout.id));
  }

  /** Settled payouts that a reorg took out of the chain: the same bytes again. */
  async #sendLost(): Promise<void> {
    const { store, wallet } = this.#options;
    const lost: string[] = [];
    let standing = 0;
    // Newest first: a reorg takes those, and what lies below some that stand was not reached.
    for (const { txid, rawTransaction } of await store.settledLately()) {
      const confirmations = await wallet.confirmations(txid);
      if (confirmations === null || confirmations <= 0) lost.push(rawTransaction);
      else if (++standing === STANDING_ENOUGH) break;
    }
    // Refused while its coins are out of the chain too; it is tried again.
    for (const rawTransaction of lost.toReversed()) await wallet.broadcast(rawTransaction).catch(() => {});
  }

  /** Hands the newest version's bytes to the node. */
  async #broadcast(payout: Payout): Promise<void> {
    const { store, wallet, onEvent } = this.#options;
    const newest = payout.versions.at(-1);
    if (newest === undefined) throw new Error(`payout ${payout.id} is ${payout.status} but holds no bytes`);
    await wallet.broadcast(newest.rawTransaction);
    await store.markBroadcast(payout.id);
    if (payout.status === 'signed') onEvent({ type: 'payout_broadcast', payout });
  }

  async #confirm(payout: Payout): Promise<void> {
    const { store, wallet, confirmationsNeeded, onEvent } = this.#options;
    let newestSeen: number | null = null;
    for (const version of payout.versions.toReversed()) {
      const confirmations = await wallet.confirmations(version.txid);
      if (version === payout.versions.at(-1)) newestSeen = confirmations;
      if (confirmations === null || confirmations <= 0) continue;
      if (confirmations < confirmationsNeeded) return;
      if ((await store.markConfirmed(payout.id, version.txid)) === 'confirmed') {
        onEvent({ type: 'payout_confirmed', payout: await store.payout(payout.id) });
      }
      return;
    }
    const unseen = newestSeen === null || newestSeen < 0;
    if (unseen || this.#steps % REBROADCAST_EVERY_STEPS === 0) await this.#broadcast(payout);
    else await this.#bump(payout);
  }

  /** Replaces a transaction that waited too long in the mempool. Stored before it is sent, as the first one. */
  async #bump(payout: Payout): Promise<void> {
    const { store, wallet } = this.#options;
    const newest = payout.versions.at(-1);
    const tipHeight = await this.#tipHeight();
    if (this.#chain === null || tipHeight === null || newest === undefined || newest.tipHeight === null)
      return;
    const { fees } = this.#terms;
    const blocksWaiting = tipHeight - newest.tipHeight;
    if (fees.bumpAfterBlocks === 0 || blocksWaiting < fees.bumpAfterBlocks) return;
    const estimateSatPerVb = await this.#chain.feeRate(fees.targetBlocks);
    const feeRateSatPerVb = decideBump(fees, {
      feeRateSatPerVb: feeRateOf(newest),
      estimateSatPerVb,
      blocksWaiting,
    });
    if (feeRateSatPerVb === null || this.#needsSigners.has(newest.txid)) return;
    const result = await wallet.bump(newest, railOutputs(payout), feeRateSatPerVb);
    if (result.state === 'unsigned') {
      this.#needsSigners.add(newest.txid);
      throw new PayoutWaits(
        'it is unconfirmed, and raising its fee takes signatures that nobody is asked for',
      );
    }
    const { networkFeeSats, rawTransaction } = result.transaction;
    const terms = { coins: spentOutpoints(rawTransaction), tipHeight };
    const stored = await store.storeReplacement(payout.id, newest.txid, result.transaction, terms);
    const current = await store.payout(payout.id);
    if (stored === 'stored') {
      this.#notice(`bump:${result.transaction.txid}`, {
        type: 'payout_bumped',
        payout: current,
        replaced: newest.txid,
        networkFeeSats,
      });
    }
    if (current.status === 'broadcast') await this.#broadcast(current);
  }

  async #tipHeight(): Promise<number | null> {
    return this.#chain === null ? null : await this.#chain.tipHeight();
  }

  #notice(key: string, notice: PayoutNotice): void {
    if (this.#noticed.has(key)) return;
    if (this.#noticed.size > 10_000) this.#noticed.clear();
    this.#noticed.add(key);
    this.#options.onNotice?.(notice);
  }
}

/** Satoshis a virtual byte (BIP141) that a signed transaction pays. */
function feeRateOf({ rawTransaction, networkFeeSats }: PayoutVersion): number {
  const transaction = parseTransaction(hexToBytes(rawTransaction));
  const weight = 3 * serializeWithoutWitness(transaction).length + serializeTransaction(transaction).length;
  return Number(networkFeeSats) / (weight / 4);
}
