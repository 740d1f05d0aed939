// The one list of what can become of a share, from the wire to the journal, ClickHouse, metrics and API.
// Codes are stored for ever: never renumber, only append. Stratum error codes are those of the field
// (slush0's stratum-mining, followed by ckpool and firmware): 20 other, 21 stale, 22 duplicate,
// 23 low difficulty, 24 unauthorized, 25 not subscribed.

export interface VerdictFacts {
  /** One byte in the journal and the Enum8 value in ClickHouse. */
  readonly code: number;
  /** Name in metrics, API and SQL. */
  readonly name: string;
  /** Stratum error code, 0 for accepted. */
  readonly stratumCode: number;
  /** Sentence sent to the miner. */
  readonly reason: string;
  /** The miner's own doing, which counts against it over time. A stale share or a full disk is not. */
  readonly blamesMiner: boolean;
}

const facts = <Name extends string>(
  code: number,
  name: Name,
  stratumCode: number,
  reason: string,
  blamesMiner: boolean,
): VerdictFacts & { readonly name: Name } => ({ code, name, stratumCode, reason, blamesMiner });

export const VERDICTS = [
  facts(1, 'accepted', 0, '', false),
  facts(2, 'stale', 21, 'Stale share: the tip has moved', false),
  facts(3, 'low_difficulty', 23, 'Low difficulty share', true),
  facts(4, 'duplicate', 22, 'Duplicate share', true),
  facts(5, 'unknown_job', 21, 'Job not found', true),
  facts(6, 'bad_version_bits', 20, 'Version bits outside the negotiated mask', true),
  facts(7, 'bad_ntime', 20, 'ntime out of range', true),
  facts(8, 'bad_extranonce', 20, 'extranonce2 has the wrong length', true),
  facts(9, 'malformed', 20, 'Malformed submit', true),
  facts(10, 'unauthorized', 24, 'Unauthorized worker', true),
  facts(11, 'not_subscribed', 25, 'Not subscribed', true),
  facts(12, 'storage_failed', 20, 'Pool cannot store shares now, not credited', false),
  facts(13, 'filter_full', 20, 'Pool cannot remember more shares of this work, not credited', false),
] as const satisfies readonly VerdictFacts[];

export type ShareVerdict = (typeof VERDICTS)[number]['name'];

const byCode = new Map<number, VerdictFacts>(VERDICTS.map((v) => [v.code, v]));
const byName = new Map<string, VerdictFacts>(VERDICTS.map((v) => [v.name, v]));

/** Facts of a verdict by its stored code. Throws on a code that was never assigned. */
export function verdictByCode(code: number): VerdictFacts {
  const found = byCode.get(code);
  if (found === undefined) throw new RangeError(`unknown verdict code ${code}`);
  return found;
}

/** Facts of a verdict by its name. */
export function verdictByName(name: ShareVerdict): VerdictFacts {
  return byName.get(name) as VerdictFacts;
}
