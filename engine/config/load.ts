// Turns what the operator set into the typed configuration the pool runs with, or into the full list of what is
// wrong with it. Defaults < millrace.toml < environment < flags. Called once, by the command line.
import { isIP } from 'node:net';
import { Ajv, type ErrorObject } from 'ajv';
import type { NetworkName } from '../bitcoin/networks.js';
import { type Config, type EffectiveSetting, parseSchemeFee, toConfig } from './config.js';
import { crossChecks, shown } from './cross-checks.js';
import {
  defaultOf,
  SETTINGS,
  SETTINGS_SCHEMA,
  type Setting,
  type SettingKey,
  type Settings,
} from './settings.js';
import { type ConfigError, type GivenValue, readCommandLine, readEnvironment, readFile } from './sources.js';
import { parseStratumPort } from './stratum-ports.js';

export interface ConfigInput {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that holds millrace.toml and that relative paths start from. */
  readonly cwd: string;
}

export type ConfigResult = { readonly config: Config } | { readonly errors: readonly ConfigError[] };

const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
ajv.addVocabulary(['group', 'unit', 'secret', 'networkDefault', 'unset']);
ajv.addFormat(
  'host',
  /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)$/,
);
ajv.addFormat('stratum-port', (text) => parseStratumPort(text) !== null);
ajv.addFormat('scheme-fee', (text) => parseSchemeFee(text) !== null);
ajv.addFormat('cidr', isCidr);
ajv.addFormat('http-url', (text) => isUrl(text, ['http:', 'https:']));
ajv.addFormat('postgres-url', (text) => isUrl(text, ['postgres:', 'postgresql:']));
const isSettings = ajv.compile<Settings>(SETTINGS_SCHEMA);

/** Reads all sources and checks everything. Never throws for what an operator can get wrong. */
export function loadConfig({ argv, env, cwd }: ConfigInput): ConfigResult {
  const flags = readCommandLine(argv);
  const environment = readEnvironment(env);
  const file = readFile(flags.configPath, cwd);
  const errors = [...flags.errors, ...environment.errors, ...file.errors];

  const given = new Map<SettingKey, GivenValue>();
  for (const value of [...file.given, ...environment.given, ...flags.given])
    given.set(value.setting.key, value);

  const values = new Map<SettingKey, unknown>();
  for (const { setting, raw } of given.values()) values.set(setting.key, readValue(setting, raw));
  const network = networkOf(values.get('network'));
  for (const setting of SETTINGS) {
    const fallback = defaultOf(setting, network);
    if (!values.has(setting.key) && fallback !== undefined) values.set(setting.key, fallback);
  }

  const wrong = new Set<string>();
  if (!isSettings(Object.fromEntries(values))) {
    for (const error of isSettings.errors ?? []) wrong.add(keyOfError(error));
    for (const value of given.values()) {
      if (!wrong.has(value.setting.key)) continue;
      errors.push(badValue(value));
      // The default stands in, so that what depends on other settings can be checked all the same.
      values.delete(value.setting.key);
      const fallback = defaultOf(value.setting, network);
      if (fallback !== undefined) values.set(value.setting.key, fallback);
    }
  }
  const settings: unknown = Object.fromEntries(values);
  if (!isSettings(settings))
    throw new Error(`a default breaks its own rule: ${ajv.errorsText(isSettings.errors)}`);
  errors.push(...crossChecks(settings, given, wrong));
  if (errors.length > 0) return { errors };

  const effective = SETTINGS.map((setting): EffectiveSetting => {
    const source = given.get(setting.key);
    return {
      setting,
      value: values.get(setting.key),
      source: source?.source ?? 'default',
      place: source?.place ?? 'default',
    };
  });
  return { config: toConfig(settings, cwd, file.file, effective) };
}

/** One line for the operator: the key, where it stands, what it holds, what was expected. */
export function describeConfigError({ key, place, value, expected }: ConfigError): string {
  const what = value === null ? key : `${key} is ${JSON.stringify(value)}`;
  return `${what} (${place}): ${value === null ? '' : 'expected '}${expected}`;
}

/** Text of flags and environment as the type of its setting; what does not fit stays text, for the schema to refuse. */
function readValue(setting: Setting, raw: unknown): unknown {
  if (typeof raw !== 'string') return typeof raw === 'bigint' ? Number(raw) : raw;
  const text = setting.kind === 'string' ? raw : raw.trim();
  switch (setting.kind) {
    case 'number':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : raw;
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(text)) return true;
      return /^(false|no|off|0)$/i.test(text) ? false : raw;
    case 'list':
      return text.split(',').map((item) => item.trim());
    case 'string':
      return raw;
  }
}

function networkOf(value: unknown): NetworkName {
  const setting = SETTINGS.find(({ key }) => key === 'network');
  const names = (setting?.schema.anyOf as { const: NetworkName }[] | undefined) ?? [];
  return names.find((name) => name.const === value)?.const ?? 'private';
}

function keyOfError(error: ErrorObject): string {
  return error.instancePath.split('/')[1] ?? '';
}

function badValue({ setting, name, place, raw }: GivenValue): ConfigError {
  const { minimum, maximum, type } = setting.schema as { minimum?: number; maximum?: number; type?: string };
  const unit = setting.unit === undefined ? '' : ` (${setting.unit})`;
  let expected = setting.unit ?? 'a text';
  if (setting.kind === 'number') {
    expected = `a ${type === 'integer' ? 'whole number' : 'number'} from ${minimum} to ${maximum}${unit}`;
    if (setting.unit === 'sats' && Number(raw) > 0 && Number(raw) < 546) {
      expected += `; ${raw} BTC would be ${Math.round(Number(raw) * 1e8)}`;
    }
  }
  if (setting.kind === 'boolean') expected = 'true or false';
  return { key: name, place, value: shown(setting, raw), expected };
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  try {
    const url = new URL(text);
    return protocols.includes(url.protocol) && (url.hostname !== '' || url.searchParams.has('host'));
  } catch {
    return false;
  }
}

/** An address, or a network as address/bits. */
function isCidr(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}
