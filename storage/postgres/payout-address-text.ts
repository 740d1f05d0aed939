// The texts that an owner signs to change or keep where an account is paid to, and the checks on the addresses in them.
// One line each: wallets and shells change line ends, and then the signature fits nothing. Used by payout-addresses.ts.
import { parsePayoutAddress } from '../../engine/bitcoin/address.js';
import type { NetworkName } from '../../engine/bitcoin/networks.js';

export interface PayoutTarget {
  address: string;
  /** Part of the account's revenue, in millionths. */
  sharePpm: number;
}

export interface ChangeToSign {
  account: string;
  network: NetworkName;
  targets: readonly PayoutTarget[];
  /** Null: no address of the account exists that could sign. */
  signer: string | null;
  nonce: string;
  expiresAt: Date;
}

/** Addresses of one account. */
export const TARGETS_MAX = 20;
const WHOLE_PPM = 1_000_000;

/**
 * `targets` with every address in its canonical form. Throws Error naming what is wrong: number, network, type, an address
 * named twice, or shares that do not sum to 1,000,000.
 */
export function checkTargets(targets: readonly PayoutTarget[], network: NetworkName): PayoutTarget[] {
  if (targets.length < 1 || targets.length > TARGETS_MAX) {
    throw new Error(`an account is paid to 1 to ${TARGETS_MAX} addresses, not ${targets.length}`);
  }
  const checked = targets.map(({ address, sharePpm }) => {
    if (!Number.isSafeInteger(sharePpm) || sharePpm < 1 || sharePpm > WHOLE_PPM) {
      throw new Error(`the share of ${address} must be 0.0001 to 100 percent`);
    }
    return { address: parsePayoutAddress(address, network).address, sharePpm };
  });
  const twice = checked.find(({ address }, i) => checked.findIndex((one) => one.address === address) !== i);
  if (twice !== undefined)
    throw new Error(`address ${twice.address} is named twice: name it once with the sum`);
  const sum = checked.reduce((total, { sharePpm }) => total + sharePpm, 0);
  if (sum !== WHOLE_PPM) throw new Error(`the shares sum to ${percent(sum)}, not 100 %`);
  return checked;
}

/** `ADDRESS 60 %, ADDRESS 40 %` */
export function describeTargets(targets: readonly PayoutTarget[]): string {
  return targets.map(({ address, sharePpm }) => `${address} ${percent(sharePpm)}`).join(', ');
}

/** Signed once, by the present address, to be paid to others. */
export function changeText({ account, network, targets, signer, nonce, expiresAt }: ChangeToSign): string {
  return (
    `Millrace: pay account ${JSON.stringify(account)} on ${network} to ${describeTargets(targets)}. ` +
    `Signed with ${signer ?? 'nothing'}. Nonce ${nonce}. Valid until ${expiresAt.toISOString()}.`
  );
}

/** Signed by the present address to keep things as they are. `nonce` is that of the change. */
export function cancelText(account: string, network: NetworkName, nonce: string, signer: string): string {
  return (
    `Millrace: cancel the address change with nonce ${nonce} of account ${JSON.stringify(account)} on ${network}. ` +
    `Signed with ${signer}.`
  );
}

function percent(ppm: number): string {
  return `${ppm / 10_000} %`;
}
