// What a payout pays for its place in a block: the node's estimate between a floor and a cap, a wait for
// cheaper times, and a higher fee for a transaction that stays unconfirmed (BIP125). Pure: numbers in,
// decisions out.

export interface FeePolicy {
  /** Satoshis a virtual byte: never less. */
  floorSatPerVb: number;
  /** Never more, not even when a transaction is stuck. */
  capSatPerVb: number;
  /** Dearer than this, a payout waits for cheaper times. */
  waitAboveSatPerVb: number;
  /** It waits no longer than this after it was planned, milliseconds. */
  waitMsMax: number;
  /** Blocks within which it should confirm: what the node is asked for. */
  targetBlocks: number;
  /** Unconfirmed after this many blocks, its fee is raised; 0: never. */
  bumpAfterBlocks: number;
  /** Who bears the network fee. What replacements cost more is the pool's. */
  paidBy: 'pool' | 'payees';
}

export const FEE_POLICY: FeePolicy = {
  floorSatPerVb: 1,
  capSatPerVb: 200,
  waitAboveSatPerVb: 50,
  waitMsMax: 86_400_000,
  targetBlocks: 6,
  bumpAfterBlocks: 6,
  paidBy: 'pool',
};

export type FeeDecision =
  | { kind: 'pay'; feeRateSatPerVb: number }
  | { kind: 'wait'; feeRateSatPerVb: number; untilMs: number };

/**
 * The fee rate now, or a wait. `estimateSatPerVb`: null where the node has none (a young chain): the floor is
 * paid then. `plannedAtMs` and `nowMs` on one clock.
 */
export function decideFee(
  policy: FeePolicy,
  now: { estimateSatPerVb: number | null; plannedAtMs: number; nowMs: number },
): FeeDecision {
  const wished = Math.max(policy.floorSatPerVb, now.estimateSatPerVb ?? policy.floorSatPerVb);
  const untilMs = now.plannedAtMs + policy.waitMsMax;
  if (wished > policy.waitAboveSatPerVb && now.nowMs < untilMs) {
    return { kind: 'wait', feeRateSatPerVb: wished, untilMs };
  }
  return { kind: 'pay', feeRateSatPerVb: Math.min(wished, policy.capSatPerVb) };
}

/**
 * What relaying a replacement costs on top of the old fee, sat/vB: Bitcoin Core's incremental relay fee (1; 0.1
 * from version 30) with some room, for a replacement can be larger than what it replaces.
 */
const BUMP_STEP_SAT_PER_VB = 1.5;

/**
 * Fee rate of a replacement, or null when it is not time, or the cap leaves no room for one.
 * `blocksWaiting`: blocks since the newest version was stored.
 */
export function decideBump(
  policy: FeePolicy,
  now: { feeRateSatPerVb: number; estimateSatPerVb: number | null; blocksWaiting: number },
): number | null {
  if (policy.bumpAfterBlocks === 0 || now.blocksWaiting < policy.bumpAfterBlocks) return null;
  const least = now.feeRateSatPerVb + BUMP_STEP_SAT_PER_VB;
  if (least > policy.capSatPerVb) return null;
  return Math.min(policy.capSatPerVb, Math.max(least, now.estimateSatPerVb ?? 0));
}
