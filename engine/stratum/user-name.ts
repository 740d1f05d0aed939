// What a miner calls itself: `account.worker`, where the account is a Bitcoin address of this network or,
// on test networks, a plain account name. Text from miners is checked here, at the border, and stored in
// one canonical form; nothing else in the pool checks it again.
import { addressFromScript, looksLikeAddress, scriptFromAddress } from '../bitcoin/address.js';
import type { NetworkName } from '../bitcoin/networks.js';

export interface UserName {
  /** Canonical address, or account name. */
  account: string;
  /** May be empty. */
  worker: string;
}

const ACCOUNT_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const WORKER_NAME = /^[A-Za-z0-9._-]{0,64}$/;
const USER_MAX_CHARACTERS = 160;
/** Some firmware sends everything but letters, digits, `_`, `.` and `~` like this (datum_gateway, doc/usernames.md). */
const PERCENT_ENCODED = /%([0-9A-Fa-f]{2})/g;

/**
 * Splits and checks a user name.
 * @returns the name, or a sentence for the miner that says what is wrong.
 */
export function parseUserName(user: string, network: NetworkName): UserName | string {
  if (user.length > USER_MAX_CHARACTERS) return `User name is longer than ${USER_MAX_CHARACTERS} characters`;
  const plain = user.replace(PERCENT_ENCODED, (_, digits) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  const dot = plain.indexOf('.');
  const account = dot < 0 ? plain : plain.slice(0, dot);
  const worker = dot < 0 ? '' : plain.slice(dot + 1);
  if (!WORKER_NAME.test(worker)) return 'Worker name may hold A-Z a-z 0-9 . _ - and at most 64 characters';
  try {
    const script = scriptFromAddress(account, network);
    return { account: addressFromScript(script, network) ?? account, worker };
  } catch (error) {
    if (looksLikeAddress(account)) return `Not an address of this network (${(error as Error).message})`;
  }
  if (network === 'mainnet') return 'User name must be a Bitcoin address, optionally followed by .worker';
  if (!ACCOUNT_NAME.test(account)) {
    return 'User name must be an address or an account name (A-Z a-z 0-9 _ -, at most 64 characters)';
  }
  return { account, worker };
}
