// When the reserve is too low to promise expected values: below its limit, work of PPS, PPS+ and FPPS is recorded as
// PPLNS, and only well above the limit as chosen again, so that one credit does not switch the pool to and fro.
// Pure: the caller keeps the mode over restarts and shows the announcement.
import { EXPECTED_VALUE_SCHEMES, type Scheme } from './schemes.js';

/** `covered`: shares are recorded under the scheme chosen. `fall_back`: expected-value schemes as PPLNS. */
export type ReserveMode = 'covered' | 'fall_back';

export interface ReserveStep {
  mode: ReserveMode;
  /** What to tell miners and the operator; null unless this step changed the mode. */
  announcement: string | null;
}

/** What the mode becomes with `reserveSats` in the reserve. A pool that has no mode yet begins with `covered`. */
export function nextReserveMode(mode: ReserveMode, reserveSats: bigint, limitSats: bigint): ReserveStep {
  if (limitSats < 0n) throw new RangeError(`the reserve limit must not be negative, it is ${limitSats}`);
  if (mode === 'covered' && reserveSats < limitSats) {
    return {
      mode: 'fall_back',
      announcement:
        `The reserve of ${reserveSats} satoshis is below its limit of ${limitSats}: new shares of PPS, PPS+ and ` +
        'FPPS are recorded as PPLNS. Shares recorded before are paid as promised. ' +
        `Above ${returnsAbove(limitSats)} satoshis the chosen schemes return by themselves.`,
    };
  }
  if (mode === 'fall_back' && reserveSats * 4n > limitSats * 5n) {
    return {
      mode: 'covered',
      announcement:
        `The reserve of ${reserveSats} satoshis is above ${returnsAbove(limitSats)} again: ` +
        'new shares of PPS, PPS+ and FPPS are recorded and paid as chosen.',
    };
  }
  return { mode, announcement: null };
}

/** The scheme a new share is recorded under. */
export function recordedScheme(chosen: Scheme, mode: ReserveMode): Scheme {
  return mode === 'fall_back' && EXPECTED_VALUE_SCHEMES.has(chosen) ? 'pplns' : chosen;
}

/** Whole satoshis that the reserve must pass: 1.25 times the limit. */
function returnsAbove(limitSats: bigint): bigint {
  return (limitSats * 5n) / 4n;
}
