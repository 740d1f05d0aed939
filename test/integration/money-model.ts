// What each block should have paid, from the plain list of all shares ever accepted, by its own arithmetic.
// One fraction for each payee, one floor; nothing of engine/accounting is used.
import type { Scheme } from '../../engine/accounting/schemes.js';

export interface PlainShare {
  account: string;
  scheme: Scheme;
  /** Hashes. */
  work: bigint;
  minute: number;
  round: number;
}

export interface PlainBlock {
  round: number;
  finder: { account: string; scheme: Scheme };
  coinbaseSats: bigint;
}

export interface PlainTerms {
  /** Hashes of one PPLNS window. */
  windowHashes: bigint;
  feePpm: (scheme: Scheme) => number;
}

export interface PlainSplit {
  miners: Map<string, bigint>;
  fee: bigint;
  reserve: bigint;
  remainder: bigint;
}

const MILLION = 1_000_000n;

/** Splits a block among PPLNS, PPS and SOLO work. Its transaction fees and its subsidy go the same ways. */
export function plainSplit(shares: readonly PlainShare[], block: PlainBlock, terms: PlainTerms): PlainSplit {
  const { finder, coinbaseSats } = block;
  if (finder.scheme === 'solo') {
    const fee = (coinbaseSats * BigInt(terms.feePpm('solo'))) / MILLION;
    const net = (coinbaseSats * (MILLION - BigInt(terms.feePpm('solo')))) / MILLION;
    return closed(new Map([[finder.account, net]]), fee, 0n, coinbaseSats);
  }
  const { parts, total } = plainWindow(shares, block.round, terms.windowHashes);
  const miners = new Map<string, bigint>();
  let fee = 0n;
  let reserve = 0n;
  for (const { account, scheme, part } of parts) {
    if (scheme !== 'pplns') {
      reserve += part * MILLION;
      continue;
    }
    const ppm = BigInt(terms.feePpm(scheme));
    fee += part * ppm;
    miners.set(account, (miners.get(account) ?? 0n) + part * (MILLION - ppm));
  }
  const floor = (numerator: bigint) => (coinbaseSats * numerator) / (total * MILLION);
  const credits = new Map([...miners].map(([account, numerator]) => [account, floor(numerator)]));
  return closed(credits, floor(fee), floor(reserve), coinbaseSats);
}

/** The last `window` hashes up to round `last`; the minute of a round that crosses the edge counts in part. */
export function plainWindow(shares: readonly PlainShare[], last: number, window: bigint) {
  const before = shares.filter(({ round, scheme }) => round <= last && scheme !== 'solo');
  before.sort((a, b) => b.minute - a.minute || b.round - a.round);
  let parts: { account: string; scheme: Scheme; part: bigint }[] = [];
  let of = 1n;
  let work = 0n;
  for (let from = 0; from < before.length && work < window; ) {
    const { minute, round } = before[from] as PlainShare;
    let to = from;
    while (before[to]?.minute === minute && before[to]?.round === round) to++;
    const group = before.slice(from, to);
    const groupWork = group.reduce((sum, share) => sum + share.work, 0n);
    const crosses = window - work < groupWork;
    const room = crosses ? window - work : groupWork;
    if (crosses) {
      parts = parts.map((each) => ({ ...each, part: each.part * groupWork }));
      of = groupWork;
    }
    for (const { account, scheme, work: hashes } of group) {
      parts.push({ account, scheme, part: crosses ? hashes * room : hashes });
    }
    work += room;
    from = to;
  }
  return { parts, total: work * of };
}

function closed(miners: Map<string, bigint>, fee: bigint, reserve: bigint, coinbaseSats: bigint): PlainSplit {
  const paid = [...miners.values()].reduce((sum, sats) => sum + sats, fee + reserve);
  return { miners, fee, reserve, remainder: coinbaseSats - paid };
}
