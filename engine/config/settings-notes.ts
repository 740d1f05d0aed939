// What every group of settings is written with: the words that JSON Schema has none for, and defaults by network.
import type { NetworkName } from '../bitcoin/networks.js';

/** Extra schema keywords: what JSON Schema has no word for. */
export interface SettingNotes {
  /** One line for --help: what it does. */
  description: string;
  /** Heading of --help that it stands under. */
  group: string;
  /** Unit or form of the value, for --help and errors. */
  unit?: string;
  /** Holds credentials: never printed or logged as it is. */
  secret?: boolean;
  /** Default where it depends on the network. A plain default uses the JSON Schema keyword `default`. */
  networkDefault?: Readonly<Record<NetworkName, number>>;
  /** Shown for a setting without default: what happens when it is not set. */
  unset?: string;
}

export const PORT = { minimum: 0, maximum: 65_535, unit: 'port, 0 = any free one' };
export const SATS_MAX = 2_100_000_000_000_000;

export const notes = <T extends SettingNotes & Record<string, unknown>>(options: T): T => options;

/** One value for networks where blocks cost nothing, one for those where they do. */
export const byKind = (own: number, open: number): Record<NetworkName, number> => ({
  ...{ private: own, regtest: own },
  ...{ signet: open, testnet4: open, mainnet: open },
});
