// How safe the reserve is, for people and for the operator's decision how much to put in. Pure; the runner
// (expected-pay-runner.ts) gathers the numbers. ruin.ts has the model.
import { ruinProbability } from './accounting/ruin.js';
import type { Scheme } from './accounting/schemes.js';
import type { NetworkName } from './bitcoin/networks.js';
import { blockSubsidy } from './bitcoin/subsidy.js';

/** A reserve below this many blocks is spent by an unlucky week. */
const LIMIT_BLOCKS = 20n;

export interface ReserveFacts {
  /** What stands behind the promise: the reserve, immature parts and pool fees, less what is owed already. */
  backingSats: bigint;
  /** Recent accepted work by scheme, in any unit; solo left out. */
  work: ReadonlyMap<Scheme, number>;
  subsidySats: bigint;
  /** What a block pays in fees on average, as far as known. */
  averageFeesSats: bigint;
  feePpm: (scheme: Scheme) => number;
}

/**
 * Probability that the reserve ever runs out while the pool's work stays as it was. Null when no recent work is paid
 * its expected value: nothing is promised. A block brings the reserve its parts of subsidy and fees; what the shares
 * until then cost is their value less the pool's fee, which stays in the house. Accounts with fees of their own
 * count as the others.
 */
export function reserveRuin(facts: ReserveFacts): number | null {
  const { work, feePpm } = facts;
  let total = 0;
  for (const each of work.values()) total += each;
  const part = (scheme: Scheme) => (work.get(scheme) ?? 0) / total;
  const keeps = (scheme: Scheme) => 1 - feePpm(scheme) / 1e6;
  const [pps, ppsplus, fpps] = total === 0 ? [0, 0, 0] : [part('pps'), part('ppsplus'), part('fpps')];
  if (pps + ppsplus + fpps === 0) return null;
  const subsidy = Number(facts.subsidySats);
  const fees = Number(facts.averageFeesSats);
  const brings = subsidy * (pps + ppsplus + fpps) + fees * (pps + fpps);
  const costs =
    subsidy * (pps * keeps('pps') + ppsplus * keeps('ppsplus')) + (subsidy + fees) * fpps * keeps('fpps');
  if (brings < 1) return null;
  return ruinProbability({
    reserveSats: facts.backingSats > 0n ? facts.backingSats : 0n,
    blockSats: BigInt(Math.round(brings)),
    keptShare: 1 - costs / brings,
  });
}

/** The limit of a reserve for which none is set. `height`: of the chain's tip. */
export function reserveLimitAt(height: number, network: NetworkName): bigint {
  return LIMIT_BLOCKS * blockSubsidy(height + 1, network);
}
