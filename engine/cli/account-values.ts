// What an operator writes after `millrace account`: addresses with percentages, settings with "default". Exact: a
// percentage has at most four decimals, a millionth is the smallest part.
import type { AccountSettings } from '../../storage/postgres/account-settings.js';
import type { PayoutTarget } from '../../storage/postgres/payout-addresses.js';
import { isScheme, SCHEMES } from '../accounting/schemes.js';

/** Flags of one command as parseArgs gives them. */
export type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

const WHOLE_PPM = 1_000_000;

/** `ADDR` or `ADDR=PERCENT`, each given with a --to. Throws Error that says what is wrong. */
export function readTargets(to: Values[string]): PayoutTarget[] {
  if (!Array.isArray(to)) throw new Error('--to is missing: name the address to be paid to');
  const named = to.map((text) => {
    const [address = '', share, ...more] = String(text).split('=');
    if (more.length > 0) throw new Error(`--to ${text}: write it as ADDRESS or ADDRESS=PERCENT`);
    return { address, sharePpm: share === undefined ? null : percentPpm('--to', share) };
  });
  const open = named.filter(({ sharePpm }) => sharePpm === null);
  if (open.length > 1) throw new Error('Only one --to may go without a percentage: it takes the rest');
  const rest = WHOLE_PPM - named.reduce((sum, { sharePpm }) => sum + (sharePpm ?? 0), 0);
  if (open.length === 1 && rest <= 0) {
    throw new Error(`Nothing is left for ${open[0]?.address}: the other percentages sum to 100 or more`);
  }
  return named.map(({ address, sharePpm }) => ({ address, sharePpm: sharePpm ?? rest }));
}

/** What `account set` changes. Throws Error that names the flag. */
export function readSettings(values: Values, minPayoutSats: bigint): Partial<AccountSettings> {
  const { scheme, fee, donation, threshold } = values;
  const change: Partial<AccountSettings> = {};
  if (scheme !== undefined) {
    if (scheme !== 'default' && !isScheme(scheme)) {
      throw new Error(`--scheme ${scheme} is not one of ${SCHEMES.join(', ')} or default`);
    }
    change.scheme = scheme === 'default' ? null : scheme;
  }
  if (fee !== undefined) change.feePpm = fee === 'default' ? null : percentPpm('--fee', String(fee));
  if (donation !== undefined) {
    change.donationPpm = donation === 'default' ? null : percentPpm('--donation', String(donation));
  }
  if (threshold !== undefined) {
    change.thresholdSats = threshold === 'default' ? null : readThreshold(String(threshold), minPayoutSats);
  }
  if (Object.keys(change).length === 0) {
    throw new Error('Nothing to set: give --scheme, --fee, --donation or --threshold');
  }
  return change;
}

function readThreshold(text: string, minPayoutSats: bigint): bigint {
  if (!/^\d{1,16}$/.test(text)) throw new Error(`--threshold ${text} is no number of satoshis`);
  const sats = BigInt(text);
  if (sats < minPayoutSats) {
    throw new Error(
      `--threshold ${text} is below MIN_PAYOUT (${minPayoutSats} satoshis), the least the pool pays`,
    );
  }
  return sats;
}

function percentPpm(flag: string, text: string): number {
  const match = /^(\d{1,3})(?:\.(\d{1,4}))?$/.exec(text);
  const ppm =
    match === null ? WHOLE_PPM + 1 : Number(match[1]) * 10_000 + Number((match[2] ?? '').padEnd(4, '0'));
  if (ppm > WHOLE_PPM)
    throw new Error(`${flag} ${text} is no percentage of 0 to 100 with at most 4 decimals`);
  return ppm;
}
