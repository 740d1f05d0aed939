// Non-custodial coinbases: keeps the plan by which they pay miners straight, and says what the coinbase of a template
// pays by it. Plans are made beside the jobs, never on their way: a job takes the last one, whose amounts are computed
// for its template. Where there is none, or it is too old, the coinbase pays the pool alone.
import type { CoinbasePlanStore, NextBlock, StoredPlan } from '../storage/postgres/coinbase-plans.js';
import { explainPostgresError } from '../storage/postgres/connection.js';
import {
  coinbaseOutputs,
  forJobs,
  subsidyAndFees,
  transactionOutputs,
} from './accounting/coinbase-outputs.js';
import { buildCoinbase } from './bitcoin/coinbase.js';
import type { TransactionOutput } from './bitcoin/transaction.js';
import type { BlockTemplate } from './work/template.js';

export interface PlannedCoinbase {
  /** Id of the stored plan. */
  plan: string;
  outputs: TransactionOutput[];
}

export interface CoinbasePlannerOptions {
  store: Pick<CoinbasePlanStore, 'make'>;
  /** New coins that a block of this height may pay. */
  subsidySats: (height: number) => bigint;
  /** From one plan to the next at least. */
  everyMs: number;
  /** Monotonic milliseconds. */
  nowMs: () => number;
  log: (level: 'info' | 'warn', message: string) => void;
}

/** A plan that could not be renewed for so long is not used any more. */
const AGE_MAX_MS = 10 * 60_000;
/** A plan takes at most this part of the time: reading a long window costs the database seconds. */
const BUSY_PART = 20;

export class CoinbasePlanner {
  readonly #options: CoinbasePlannerOptions;
  #stored: StoredPlan | null = null;
  #storedAtMs = 0;
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | null = null;
  #inTrouble = false;
  #toldRefusal = false;
  /** What the last coinbase paid: a job that only carries new difficulties pays the same. */
  #last: { plan: string; height: number; sats: bigint; coinbase: PlannedCoinbase | null } | null = null;

  constructor(options: CoinbasePlannerOptions) {
    this.#options = options;
  }

  /** What the coinbase of `template` pays; null: the pool alone. Never waits. */
  coinbaseOf({ height, coinbaseValue }: BlockTemplate): PlannedCoinbase | null {
    const stored = this.#stored;
    if (stored === null || this.#options.nowMs() - this.#storedAtMs > AGE_MAX_MS) return null;
    const last = this.#last;
    if (last?.plan === stored.id && last.height === height && last.sats === coinbaseValue)
      return last.coinbase;
    const coinbase = this.#compute(stored, height, coinbaseValue);
    this.#last = { plan: stored.id, height, sats: coinbaseValue, coinbase };
    return coinbase;
  }

  /** To be called after the job of `template` has gone out. Makes the next plan when it is time; one at a time. */
  renew(template: BlockTemplate): void {
    const { nowMs, everyMs } = this.#options;
    const startMs = nowMs();
    if (this.#running !== null || startMs < this.#nextAtMs) return;
    this.#running = this.#renew(template).finally(() => {
      this.#running = null;
      this.#nextAtMs = startMs + Math.max(everyMs, (nowMs() - startMs) * BUSY_PART);
    });
  }

  /** A coinbase that was planned could not be built. */
  refused(error: Error): void {
    if (!this.#toldRefusal) {
      this.#options.log(
        'warn',
        `a coinbase that pays miners could not be built, the pool alone is paid: ${error.message}`,
      );
    }
    this.#toldRefusal = true;
  }

  /** Resolves when no plan is being made. Never rejects. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #renew(template: BlockTemplate): Promise<void> {
    const { store, nowMs, subsidySats, log } = this.#options;
    const { height, previousBlockHash, target, coinbaseValue } = template;
    const block: NextBlock = {
      height,
      previousBlock: previousBlockHash,
      networkTarget: target,
      ...subsidyAndFees(coinbaseValue, subsidySats(height)),
    };
    try {
      const made = await store.make(block);
      this.#stored = made === null ? null : { id: made.id, plan: forJobs(made.plan) };
      this.#storedAtMs = nowMs();
      if (this.#inTrouble) log('info', 'coinbases are planned again');
      this.#inTrouble = false;
    } catch (error) {
      this.#say(error instanceof RangeError ? error.message : explainPostgresError(error));
    }
  }

  #compute({ id, plan }: StoredPlan, height: number, sats: bigint): PlannedCoinbase | null {
    const { subsidySats, feesSats } = subsidyAndFees(sats, this.#options.subsidySats(height));
    const outputs = coinbaseOutputs(plan, subsidySats, feesSats);
    if (outputs.direct.length === 0) return null;
    return { plan: id, outputs: transactionOutputs(plan, outputs) };
  }

  #say(trouble: string): void {
    if (!this.#inTrouble) {
      this.#options.log(
        'warn',
        `coinbases cannot be planned: ${trouble}. The last plan holds for 10 minutes at most, then blocks pay the pool alone`,
      );
    }
    this.#inTrouble = true;
  }
}

/** Extent of the coinbase that pays the pool alone, at any height. */
export function poolCoinbase(parts: { script: Uint8Array; tag: string; extranonceBytes: number }): {
  baseBytes: number;
  baseOutputs: number;
} {
  const { coinbase1, coinbase2 } = buildCoinbase({
    height: HEIGHT_MAX,
    tag: new TextEncoder().encode(parts.tag),
    uniquifier: new Uint8Array(JOB_NUMBER_BYTES),
    extranonceBytes: parts.extranonceBytes,
    outputs: [{ script: parts.script, sats: 0n }],
    witnessCommitment: new Uint8Array(COMMITMENT_BYTES),
  });
  return { baseBytes: coinbase1.length + parts.extranonceBytes + coinbase2.length, baseOutputs: 2 };
}

const HEIGHT_MAX = 0x7fffffff;
/** Of the number that work/job.ts puts before the extranonce. */
const JOB_NUMBER_BYTES = 8;
const COMMITMENT_BYTES = 38;
