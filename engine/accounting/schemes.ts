// How work may be paid, chosen per account, port or pool (settings). The scheme of a share is fixed when it is
// submitted. Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward Systems" (arXiv 1112.4980): PPS section 2.2,
// PPLNS sections 3.3 and 5.3. What each pays of a block: split-block.ts; what of a share at once: expected-pay.ts.

export const SCHEMES = ['pplns', 'solo', 'pps', 'ppsplus', 'fpps'] as const;

export type Scheme = (typeof SCHEMES)[number];

/** Schemes that pay the expected value of each share out of the pool's reserve, block or no block. */
export const EXPECTED_VALUE_SCHEMES: ReadonlySet<Scheme> = new Set<Scheme>(['pps', 'ppsplus', 'fpps']);

/** What a scheme pays, in one sentence for ledger rules and people. Fee and donation come off in all of them. */
export const SCHEME_RULES: Readonly<Record<Scheme, string>> = {
  pplns:
    'PPLNS: of each block, subsidy and fees, the part that the work holds in the window of the last N x network difficulty',
  solo: 'SOLO: the whole block to the account that finds it',
  pps: 'PPS: each share at once, work x subsidy / network work; blocks fill the reserve',
  ppsplus:
    'PPS+: each share at once, work x subsidy / network work; fees of blocks as in PPLNS; subsidies fill the reserve',
  fpps: 'FPPS: each share at once, work x (subsidy + average fees) / network work; blocks fill the reserve',
};

/** Whether `value` (a setting, a column, a request) names a scheme. */
export function isScheme(value: unknown): value is Scheme {
  return (SCHEMES as readonly unknown[]).includes(value);
}
