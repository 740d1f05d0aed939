// Pays PPS, PPS+ and FPPS work as it is booked: fetches the average fees that FPPS needs, credits what the reserve
// covers, and falls back to PPLNS, announced, while the reserve is below its limit. Goes on after any crash from what
// is stored. Called by the coordinator's step.

import type {
  ExpectedPayResult,
  ExpectedPayStore,
  ExpectedPayTerms,
} from '../storage/postgres/expected-pay-store.js';
import type { FeeAverages } from '../storage/postgres/fee-averages.js';
import type { ReserveStore } from '../storage/postgres/reserve-store.js';
import { FEE_EPOCH_BLOCKS, feeEpochHeights } from './accounting/fee-average.js';
import { nextReserveMode, type ReserveMode } from './accounting/reserve-policy.js';
import { reserveRuin } from './reserve-figures.js';

/** The node's word on fees. */
export interface FeeChain {
  /** Height of the best chain's tip. */
  tipHeight(): Promise<number>;
  /** Hash (display order hex) and fees (`totalfee` of getblockstats) of the best chain's block at `height`. */
  totalFees(height: number): Promise<{ hash: string; feesSats: bigint }>;
}

export type ExpectedPayEvent =
  | { type: 'expected_paid'; totalSats: bigint; shares: bigint; accounts: number }
  /** The reserve does not cover what is owed; said once, until it is paid. */
  | { type: 'expected_pay_short'; owedSats: bigint; reserveSats: bigint }
  /** New shares are recorded as PPLNS from now on, or as chosen again. For miners and operators to read. */
  | { type: 'reserve_mode'; mode: ReserveMode; announcement: string }
  /** The average fees of FPPS cannot be had; said once a reason. */
  | { type: 'fee_average_waits'; epoch: number; reason: string };

export interface ReserveState {
  mode: ReserveMode;
  reserveSats: bigint;
  reserveImmatureSats: bigint;
  /** For booked work that is not paid. */
  owedSats: bigint;
  /** Shares of it that wait for average fees. */
  notReadyShares: bigint;
  /** That the reserve ever runs out; null while nobody is paid expected values. */
  ruinProbability: number | null;
}

export interface ExpectedPayRunnerOptions {
  store: ExpectedPayStore;
  averages: FeeAverages;
  reserve: ReserveStore;
  chain: FeeChain;
  terms: ExpectedPayTerms;
  /** Below this the pool falls back to PPLNS. */
  reserveLimitSats: bigint;
  /** Time between two credits, milliseconds. */
  everyMs: number;
  onEvent: (event: ExpectedPayEvent) => void;
  /** Wall clock milliseconds. */
  nowMs: () => number;
}

/** The last block of an epoch must be this deep before its fees are taken for good. */
const FEE_CONFIRMATIONS = 6;
/** Blocks asked for in one step: a busy node needs a tenth of a second for each. */
const BLOCKS_PER_STEP_MAX = 48;
const CREDITS_PER_STEP_MAX = 20;
const EPOCHS_MAX = 8;
const WORK_OF_MS = 24 * 3_600_000;

export class ExpectedPayRunner {
  readonly #options: ExpectedPayRunnerOptions;
  #slot = Number.NaN;
  #mode: ReserveMode | null = null;
  #state: ReserveState | null = null;
  #isShort = false;
  #feeTrouble = '';
  /** The epoch being fetched: fees and hashes from its first block on. */
  #fetched: { epoch: number; feesSats: bigint[]; lastHash: string } | null = null;

  constructor(options: ExpectedPayRunnerOptions) {
    this.#options = options;
  }

  /** As of the last step; null before the first. */
  get state(): ReserveState | null {
    return this.#state;
  }

  /** Does what is due. Throws when Postgres is away: call it again later, nothing is done twice. */
  async step(): Promise<void> {
    const { nowMs, everyMs } = this.#options;
    const slot = Math.floor(nowMs() / everyMs);
    if (slot === this.#slot) return;
    await this.#fetchAverage();
    await this.#credit();
    await this.#settleMode();
    this.#slot = slot;
  }

  async #credit(): Promise<void> {
    const { store, terms, onEvent } = this.#options;
    let result: ExpectedPayResult = { status: 'nothing' };
    for (let credits = 0; credits < CREDITS_PER_STEP_MAX; credits++) {
      result = await store.creditExpectedPay(terms);
      if (result.status !== 'paid') break;
      const { totalSats, shares, accounts } = result;
      onEvent({ type: 'expected_paid', totalSats, shares, accounts });
      if (!result.more) break;
    }
    if (result.status === 'short' && !this.#isShort) {
      onEvent({ type: 'expected_pay_short', owedSats: result.owedSats, reserveSats: result.reserveSats });
    }
    this.#isShort = result.status === 'short';
  }

  /** What is owed already is no reserve. */
  async #settleMode(): Promise<void> {
    const { store, reserve, averages, terms, reserveLimitSats, chain, nowMs, onEvent } = this.#options;
    this.#mode ??= await reserve.mode();
    const { reserveSats, reserveImmatureSats, poolFeeSats } = await reserve.balances();
    const owed = await store.owed(terms);
    const { mode, announcement } = nextReserveMode(this.#mode, reserveSats - owed.sats, reserveLimitSats);
    if (announcement !== null) {
      await reserve.announceMode(mode, announcement, { reserveSats, owedSats: owed.sats, reserveLimitSats });
      onEvent({ type: 'reserve_mode', mode, announcement });
    }
    this.#mode = mode;
    const [average] = await averages.latest(1);
    const height = await chain.tipHeight().catch(() => null);
    const work = await reserve.workByScheme(new Date(nowMs() - WORK_OF_MS));
    this.#state = {
      mode,
      reserveSats,
      reserveImmatureSats,
      owedSats: owed.sats,
      notReadyShares: owed.notReadyShares,
      ruinProbability:
        height === null
          ? (this.#state?.ruinProbability ?? null)
          : reserveRuin({
              backingSats: reserveSats + reserveImmatureSats + poolFeeSats - owed.sats,
              work,
              subsidySats: terms.subsidySats(height + 1),
              averageFeesSats: average?.averageFeesSats ?? 0n,
              feePpm: terms.feePpm,
            }),
    };
  }

  /** Goes on fetching the oldest epoch that work waits for and the chain has. A node that is away holds up FPPS only. */
  async #fetchAverage(): Promise<void> {
    const { averages, chain, onEvent } = this.#options;
    const missing = await averages.missing(EPOCHS_MAX);
    let epoch: number | undefined;
    let fees: bigint[] | null = null;
    let lastHash = '';
    try {
      const deep = missing.length === 0 ? 0 : (await chain.tipHeight()) - FEE_CONFIRMATIONS + 1;
      epoch = missing.find((each) => feeEpochHeights(each).last <= deep);
      if (epoch === undefined) return;
      const fetched = await this.#fetchFees(epoch);
      if (fetched.feesSats.length === FEE_EPOCH_BLOCKS) {
        fees = fetched.feesSats;
        lastHash = fetched.lastHash;
      }
      this.#feeTrouble = '';
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.#feeTrouble) {
        onEvent({ type: 'fee_average_waits', epoch: epoch ?? missing[0] ?? 0, reason });
      }
      this.#feeTrouble = reason;
      return;
    }
    if (fees === null) return;
    await averages.store(epoch, fees, lastHash);
    this.#fetched = null;
  }

  async #fetchFees(epoch: number): Promise<{ feesSats: bigint[]; lastHash: string }> {
    const { chain } = this.#options;
    const { first } = feeEpochHeights(epoch);
    let fetched = this.#fetched;
    if (fetched?.epoch === epoch && fetched.feesSats.length > 0) {
      // A reorg since the last step, deep as it would be, must not mix two chains.
      const { hash } = await chain.totalFees(first + fetched.feesSats.length - 1);
      if (hash !== fetched.lastHash) fetched = null;
    }
    if (fetched?.epoch !== epoch) fetched = { epoch, feesSats: [], lastHash: '' };
    this.#fetched = fetched;
    for (let asked = 0; asked < BLOCKS_PER_STEP_MAX && fetched.feesSats.length < FEE_EPOCH_BLOCKS; asked++) {
      const { hash, feesSats } = await chain.totalFees(first + fetched.feesSats.length);
      fetched.feesSats.push(feesSats);
      fetched.lastHash = hash;
    }
    return fetched;
  }
}
