// What `millrace account` prints, as text for people and as JSON for programs.
import type { AccountSettings } from '../../storage/postgres/account-settings.js';
import type {
  AcceptedChange,
  PayoutAddressHistory,
  PayoutTarget,
} from '../../storage/postgres/payout-addresses.js';
import type { NetworkName } from '../bitcoin/networks.js';

export interface AccountPicture extends PayoutAddressHistory {
  account: string;
  network: NetworkName;
  immatureSats: bigint;
  confirmedSats: bigint;
  inFlightSats: bigint;
  settings: AccountSettings;
}

/** One line; bigint as decimal strings, times as RFC 3339. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? part.toString() : part));
}

/** Several lines. */
export function accountText(picture: AccountPicture): string {
  const { account, network, present, pending, changes, notices } = picture;
  return [
    `account      ${account} (${network})`,
    `balance      ${picture.confirmedSats} sat confirmed, ${picture.immatureSats} immature, ${picture.inFlightSats} in flight`,
    settingsText(picture.settings),
    ...listed('paid to', present ?? []),
    ...(present === null
      ? ['paid to      nowhere: the account has no address (millrace account first)']
      : []),
    ...(pending === null
      ? []
      : listed(`from ${pending.effectiveAt.toISOString()} on paid to`, pending.targets)),
    ...(changes.length === 0 ? [] : ['changes']),
    ...changes.map(({ id, status, acceptedAt, effectiveAt, closedAt }) => {
      const fate =
        closedAt === null ? `from ${effectiveAt.toISOString()}` : `${status} ${closedAt.toISOString()}`;
      return `  ${id}  accepted ${acceptedAt.toISOString()}, ${fate}`;
    }),
    ...(notices.length === 0 ? [] : ['notices']),
    ...notices.map(({ createdAt, text }) => `  ${createdAt.toISOString()}  ${text}`),
  ].join('\n');
}

export function settingsText({ scheme, feePpm, donationPpm, thresholdSats }: AccountSettings): string {
  return [
    `scheme       ${scheme ?? "the pool's"}`,
    `fee          ${feePpm === null ? "the pool's" : percent(feePpm)}`,
    `donation     ${percent(donationPpm ?? 0)}`,
    `threshold    ${thresholdSats === null ? "the pool's" : `${thresholdSats} sat`}`,
  ].join('\n');
}

/** What an accepted change means. */
export function changeTextOf(name: string, { targets, effectiveAt }: AcceptedChange): string {
  return [
    `Accepted. From ${effectiveAt.toISOString()} on account ${name} is`,
    ...listed('paid to', targets),
    'Until then it can be cancelled: millrace account cancel',
  ].join('\n');
}

function listed(label: string, targets: readonly PayoutTarget[]): string[] {
  return targets.map(({ address, sharePpm }) => `${label.padEnd(12)} ${address}  ${percent(sharePpm)}`);
}

function percent(ppm: number): string {
  return `${ppm / 10_000} %`;
}
