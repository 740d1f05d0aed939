// From a plan to stored bytes: addresses checked, fee decided, transaction built by the rail and stored with the
// reservation in one commit. Nothing here is seen by the network. Called by payout-runner.ts.

import { DailyCapError, type Payout, type PayoutStore } from '../../storage/postgres/payout-store.js';
import { outputWeight, splitFee } from '../accounting/payout-outputs.js';
import { decideFee } from './fee-policy.js';
import { spentOutpoints } from './multisig-psbt.js';
import type { PayoutChain } from './payout-chain.js';
import { canonical, type PayoutTerms, railOutputs } from './payout-terms.js';
import type { BuildResult, PayoutRail } from './rail.js';
import { objectsToOutputs, refusedOutputs } from './refused-outputs.js';

/** Not a fault: the payout goes on by itself, and is not dropped meanwhile. */
export class PayoutWaits extends Error {
  override readonly name = 'PayoutWaits';
}

export type ReserveOutcome =
  | { kind: 'stored'; built: BuildResult }
  /** Another process was faster, or an answer was lost: go on with what is stored. */
  | { kind: 'already' }
  /** The plan was dropped; the next one leaves these addresses out. */
  | { kind: 'quarantined'; addresses: { account: string; address: string; reason: string }[] };

const FEE_PASSES_MAX = 5;
const CURE = 'Give the account a valid address, or lift the quarantine once the cause is gone';

export class PayoutBuilder {
  readonly #store: PayoutStore;
  readonly #rail: PayoutRail;
  readonly #chain: PayoutChain | null;
  readonly #terms: PayoutTerms;
  readonly #nowMs: () => number;

  constructor(
    store: PayoutStore,
    rail: PayoutRail,
    chain: PayoutChain | null,
    terms: PayoutTerms,
    nowMs: () => number,
  ) {
    this.#store = store;
    this.#rail = rail;
    this.#chain = chain;
    this.#terms = terms;
    this.#nowMs = nowMs;
  }

  /** Throws PayoutWaits while it is not time, and whatever the rail, the node or Postgres throws. */
  async reserve(payout: Payout): Promise<ReserveOutcome> {
    const faults = await this.#addressFaults(payout);
    if (faults.size > 0) return await this.#quarantine(payout, faults);
    const feeRateSatPerVb = await this.#feeRate(payout);
    const tipHeight = this.#chain === null ? null : await this.#chain.tipHeight();
    // Locks as the store knows them: what a crash or a restart of the node left behind is put right.
    await this.#rail.hold(await this.#store.openTransactions());
    let built: { result: BuildResult; sentSats: bigint[] | null };
    try {
      built = await this.#build(payout, feeRateSatPerVb);
    } catch (error) {
      if (!objectsToOutputs(error)) throw error;
      const refused = await this.#refused(payout, feeRateSatPerVb, error as Error);
      if (refused.size === 0) throw error;
      return await this.#quarantine(payout, refused);
    }
    const { result, sentSats } = built;
    try {
      const { dailyCapSats } = this.#terms;
      const coins = spentOutpoints(bytesOf(result));
      const reservation = { rail: this.#rail.name, coins, sentSats, tipHeight, dailyCapSats };
      const stored = await this.#store.storeBuilt(payout.id, result, reservation);
      if (stored === 'stored') return { kind: 'stored', built: result };
    } catch (error) {
      if (!(error instanceof DailyCapError)) throw error;
      await this.#rail.release(bytesOf(result));
      throw new PayoutWaits(error.message);
    }
    await this.#rail.release(bytesOf(result));
    return { kind: 'already' };
  }

  async #feeRate(payout: Payout): Promise<number | null> {
    if (this.#chain === null) return null;
    const { fees } = this.#terms;
    const decision = decideFee(fees, {
      estimateSatPerVb: await this.#chain.feeRate(fees.targetBlocks),
      plannedAtMs: payout.plannedAt.getTime(),
      nowMs: this.#nowMs(),
    });
    if (decision.kind === 'pay') return decision.feeRateSatPerVb;
    throw new PayoutWaits(
      `the network asks ${decision.feeRateSatPerVb} sat/vB; it waits for ${fees.waitAboveSatPerVb} or less, ` +
        `at the latest until ${new Date(decision.untilMs).toISOString()}`,
    );
  }

  /**
   * One pass when the pool bears the fee. When payees do, the first pass says what the fee is, the next one
   * sends less by it; spending less can take fewer inputs, so that is repeated until the parts fit the fee.
   */
  async #build(
    payout: Payout,
    feeRateSatPerVb: number | null,
  ): Promise<{ result: BuildResult; sentSats: bigint[] | null }> {
    const terms = { feeRateSatPerVb };
    let result = await this.#rail.build(railOutputs(payout), terms);
    if (this.#terms.fees.paidBy === 'pool') return { result, sentSats: null };
    const payers = payout.outputs.map(({ address, amountSats }) => ({
      amountSats,
      weight: outputWeight(this.#chain?.scriptBytes(address) ?? null),
    }));
    for (let pass = 0; pass < FEE_PASSES_MAX; pass++) {
      const parts = splitFee(feeOf(result), payers);
      const charged = parts.reduce((sum, part) => sum + part, 0n);
      await this.#rail.release(bytesOf(result));
      const sentSats = payout.outputs.map(({ amountSats }, index) => amountSats - (parts[index] ?? 0n));
      result = await this.#rail.build(railOutputs(payout, sentSats), terms);
      if (feeOf(result) >= charged) return { result, sentSats };
    }
    await this.#rail.release(bytesOf(result));
    throw new Error('the wallet’s fee differs at each try, so payees cannot be charged for it exactly');
  }

  /** By canonical address. */
  async #addressFaults(payout: Payout): Promise<Map<string, string>> {
    const faults = new Map<string, string>();
    if (this.#chain === null) return faults;
    const chain = this.#chain;
    // As many at once as the connection to the node allows.
    await Promise.all(
      payout.outputs.map(async ({ address }) => {
        const fault = await chain.addressFault(address);
        if (fault !== null) faults.set(canonical(address), fault);
      }),
    );
    return faults;
  }

  async #refused(payout: Payout, feeRateSatPerVb: number | null, first: Error): Promise<Map<string, string>> {
    let said = first.message;
    const found = await refusedOutputs(railOutputs(payout), async (outputs) => {
      try {
        const probe = await this.#rail.build(outputs, { feeRateSatPerVb });
        await this.#rail.release(bytesOf(probe));
        return true;
      } catch (error) {
        if (!objectsToOutputs(error)) throw error;
        said = (error as Error).message;
        return false;
      }
    });
    return new Map(found.map(({ address }) => [address, `the wallet refuses it: ${said}`]));
  }

  async #quarantine(payout: Payout, faults: ReadonlyMap<string, string>): Promise<ReserveOutcome> {
    const addresses = [];
    for (const { account, accountId, address } of payout.outputs) {
      const reason = faults.get(canonical(address));
      if (reason === undefined) continue;
      await this.#store.people.quarantine(accountId, address, reason, CURE);
      addresses.push({ account, address, reason });
    }
    await this.#store.failPayout(
      payout.id,
      `${addresses.length} address(es) quarantined; planned anew without`,
    );
    return { kind: 'quarantined', addresses };
  }
}

function bytesOf(result: BuildResult): string {
  return result.state === 'signed' ? result.transaction.rawTransaction : result.psbt;
}

function feeOf(result: BuildResult): bigint {
  return result.state === 'signed' ? result.transaction.networkFeeSats : result.networkFeeSats;
}
