// The one schema of everything an operator can set: name, type, range, default, unit and meaning, in groups of
// settings-*.ts. Every other form of a setting is derived from its key: `stratum_port` in millrace.toml is STRATUM_PORT in the
// environment and --stratum-port on the command line. --help, --print-config and every error message are written from here.
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { NetworkName } from '../bitcoin/networks.js';
import { CHAIN_SETTINGS } from './settings-chain.js';
import { COINBASE_SETTINGS } from './settings-coinbase.js';
import { MINER_SETTINGS } from './settings-miners.js';
import { MONEY_SETTINGS } from './settings-money.js';
import type { SettingNotes } from './settings-notes.js';
import { STORE_SETTINGS } from './settings-stores.js';
import { WATCH_SETTINGS } from './settings-watch.js';

/** Keys are those of millrace.toml, in the order of --help. */
export const SETTINGS_SCHEMA = Type.Object(
  {
    ...CHAIN_SETTINGS,
    ...MINER_SETTINGS,
    ...COINBASE_SETTINGS,
    ...MONEY_SETTINGS,
    ...STORE_SETTINGS,
    ...WATCH_SETTINGS,
  },
  { additionalProperties: false },
);

/** Values by key of millrace.toml, complete and valid. */
export type Settings = Static<typeof SETTINGS_SCHEMA>;

export type SettingKey = keyof Settings;

export type SettingKind = 'number' | 'boolean' | 'string' | 'list';

export interface Setting extends SettingNotes {
  /** Key in millrace.toml. */
  readonly key: SettingKey;
  /** Name in the environment. */
  readonly variable: string;
  /** Name on the command line, with its dashes. */
  readonly flag: string;
  readonly kind: SettingKind;
  readonly schema: TSchema;
}

const kindOf = (schema: TSchema): SettingKind => {
  switch (schema.type) {
    case 'integer':
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array':
      return 'list';
    default:
      return 'string';
  }
};

/** Every setting, in the order of --help. */
export const SETTINGS: readonly Setting[] = Object.entries(SETTINGS_SCHEMA.properties).map(
  ([key, schema]: [string, TSchema]) => ({
    ...(schema as unknown as SettingNotes),
    key: key as SettingKey,
    variable: key.toUpperCase(),
    flag: `--${key.replaceAll('_', '-')}`,
    kind: kindOf(schema),
    schema,
  }),
);

/** Default of a setting on `network`; undefined when it has none. */
export function defaultOf(setting: Setting, network: NetworkName): unknown {
  return setting.networkDefault?.[network] ?? setting.schema.default;
}
