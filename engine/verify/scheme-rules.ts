// The rules of the schemes, written down once more from their definition (README.md of engine/accounting), so that a
// mistake there is not made here too.

export const SCHEMES = ['pplns', 'solo', 'pps', 'ppsplus', 'fpps'] as const;
export type Scheme = (typeof SCHEMES)[number];

export const isScheme = (name: unknown): name is Scheme => (SCHEMES as readonly unknown[]).includes(name);

interface SchemeRule {
  /** What of a block goes to the miner; the rest goes to the reserve. */
  blockSubsidy: boolean;
  blockFees: boolean;
  /** What each share is paid at once, out of the reserve; null: nothing. */
  share: 'subsidy' | 'subsidy and average fees' | null;
}

export const RULES: Readonly<Record<Scheme, SchemeRule>> = {
  pplns: { blockSubsidy: true, blockFees: true, share: null },
  solo: { blockSubsidy: true, blockFees: true, share: null },
  pps: { blockSubsidy: false, blockFees: false, share: 'subsidy' },
  ppsplus: { blockSubsidy: false, blockFees: true, share: 'subsidy' },
  fpps: { blockSubsidy: false, blockFees: false, share: 'subsidy and average fees' },
};

/** Blocks of one epoch of average fees. */
export const EPOCH_BLOCKS = 144;

/** Expected hashes of a target: floor(2^256 / (target + 1)). */
export function hashesFor(target: bigint): bigint {
  return 2n ** 256n / (target + 1n);
}
