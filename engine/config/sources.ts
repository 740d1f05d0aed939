// Collects what the operator set, from the four places in rising order: millrace.toml, environment, command line
// (defaults come last, where nothing was set). Names are checked here, values in load.ts. Every mistake is
// collected, none throws: the operator sees them all at once.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { MASK, maskUrl } from './mask.js';
import { nearestName } from './nearest-name.js';
import { SETTINGS, type Setting, type SettingKey } from './settings.js';

export type SourceKind = 'default' | 'file' | 'environment' | 'flag';

/** One value that somebody set. */
export interface GivenValue {
  readonly setting: Setting;
  readonly source: SourceKind;
  /** As the operator knows it there: `--stratum-port`, `STRATUM_PORT`, `stratum_port`. */
  readonly name: string;
  /** Where: `command line`, `environment`, or the path of the file. */
  readonly place: string;
  /** As given there: text from flags and environment, any TOML value from the file. */
  readonly raw: unknown;
}

/** One mistake in what the operator set. */
export interface ConfigError {
  /** As the operator wrote it. */
  readonly key: string;
  /** `command line`, `environment`, or the path of the file. */
  readonly place: string;
  /** What was given, secrets masked; null where the key itself is the mistake. */
  readonly value: string | null;
  /** What was expected, and a proposal where there is one. */
  readonly expected: string;
}

export interface CommandLine {
  readonly help: boolean;
  readonly version: boolean;
  readonly printConfig: boolean;
  /** Argument of --config. */
  readonly configPath: string | null;
  readonly given: GivenValue[];
  readonly errors: ConfigError[];
}

export const CONFIG_FILE = 'millrace.toml';

/** Variables with our prefix that are not settings. */
const OWN_VARIABLES = new Set(['MILLRACE_CACHE_DIR']);
const OWN_PREFIX = 'MILLRACE_';
const COMMAND_LINE = 'command line';
const ENVIRONMENT = 'environment';
const OTHER_FLAGS = ['--help', '--version', '--print-config', '--config'] as const;

const byKey = new Map<string, Setting>(SETTINGS.map((setting) => [setting.key, setting]));
const byFlag = new Map<string, Setting>(SETTINGS.map((setting) => [setting.flag, setting]));
const BOOLEAN_WORD = /^(true|false|yes|no|on|off|1|0)$/i;

/** Reads the arguments after the program's name: `--flag value`, `--flag=value`, `--boolean`, `--no-boolean`. */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const errors: ConfigError[] = [];
  const given = new Map<SettingKey, GivenValue>();
  let help = false;
  let version = false;
  let printConfig = false;
  let configPath: string | null = null;
  const refuse = (key: string, expected: string, value: string | null = null) =>
    errors.push({ key, place: COMMAND_LINE, value, expected });

  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] as string;
    if (argument === '--help' || argument === '-h') help = true;
    else if (argument === '--version') version = true;
    else if (argument === '--print-config') printConfig = true;
    else if (!argument.startsWith('--')) {
      // The text may be the value of a flag that was mistyped: it can be a secret.
      refuse(maskStray(argument), 'only flags such as --stratum-port 3333 are expected; --help lists them');
    } else {
      const equals = argument.indexOf('=');
      const flag = equals < 0 ? argument : argument.slice(0, equals);
      let value = equals < 0 ? undefined : argument.slice(equals + 1);
      const negated = flag.startsWith('--no-') ? byFlag.get(`--${flag.slice(5)}`) : undefined;
      const setting = byFlag.get(flag) ?? (negated?.kind === 'boolean' ? negated : undefined);
      if (setting === undefined && flag !== '--config') {
        refuse(flag, unknown('flag', flag, [...byFlag.keys(), ...OTHER_FLAGS]));
        if (equals < 0 && takesNext(argv[i + 1])) i++;
        continue;
      }
      if (setting?.kind === 'boolean') {
        if (value === undefined && BOOLEAN_WORD.test(argv[i + 1] ?? '')) value = argv[++i];
        if (negated !== undefined && value !== undefined) {
          refuse(flag, `no value: write ${setting.flag}=false or ${flag} alone`, value);
          continue;
        }
        value ??= negated === undefined ? 'true' : 'false';
      } else if (value === undefined) {
        if (takesNext(argv[i + 1])) value = argv[++i];
      }
      if (value === undefined || value === '') {
        refuse(flag, `a value: ${flag} <${setting?.unit ?? 'path'}>`);
      } else if (setting === undefined) {
        if (configPath === null) configPath = value;
        else refuse(flag, 'to be given once', value);
      } else if (given.has(setting.key)) {
        refuse(flag, 'to be given once', setting.secret ? maskUrl(value) : value);
      } else {
        given.set(setting.key, { setting, source: 'flag', name: flag, place: COMMAND_LINE, raw: value });
      }
    }
  }
  return { help, version, printConfig, configPath, given: [...given.values()], errors };
}

/** Settings in the environment. An empty variable counts as not set; foreign variables are none of our business. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): {
  given: GivenValue[];
  errors: ConfigError[];
} {
  const given: GivenValue[] = [];
  for (const setting of SETTINGS) {
    const raw = env[setting.variable];
    if (raw === undefined || raw.trim() === '') continue;
    given.push({ setting, source: 'environment', name: setting.variable, place: ENVIRONMENT, raw });
  }
  const variables = SETTINGS.map((setting) => setting.variable);
  const errors = Object.keys(env)
    .filter((name) => name.startsWith(OWN_PREFIX) && !OWN_VARIABLES.has(name) && env[name] !== '')
    .map((name) => {
      const proposal =
        nearestName(name.slice(OWN_PREFIX.length), variables) ?? nearestName(name, OWN_VARIABLES) ?? null;
      const expected =
        proposal === null ? 'not a setting; --help lists them' : `not a setting; did you mean ${proposal}?`;
      return { key: name, place: ENVIRONMENT, value: null, expected };
    });
  return { given, errors };
}

/**
 * Settings in the TOML file. `path` is what --config named, null for millrace.toml in `cwd`, which may be absent.
 * @returns `file`: absolute path of the file that was read, or null
 */
export function readFile(
  path: string | null,
  cwd: string,
): { file: string | null; given: GivenValue[]; errors: ConfigError[] } {
  const file = resolve(cwd, path ?? CONFIG_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && path === null) return { file: null, given: [], errors: [] };
    const expected = code === 'ENOENT' ? 'a file that exists' : `a readable file (${code ?? 'error'})`;
    const key = path === null ? CONFIG_FILE : '--config';
    return { file: null, given: [], errors: [{ key, place: COMMAND_LINE, value: file, expected }] };
  }
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Only the first line of the message: the rest quotes the file, which may hold passwords.
    const reason = error.message.split('\n', 1)[0] ?? 'Invalid TOML document';
    const key = `line ${error.line}, column ${error.column}`;
    return {
      file,
      given: [],
      errors: [{ key, place: file, value: null, expected: `valid TOML: ${reason}` }],
    };
  }
  const given: GivenValue[] = [];
  const errors: ConfigError[] = [];
  for (const [key, raw] of Object.entries(table)) {
    const setting = byKey.get(key);
    if (setting !== undefined) {
      given.push({ setting, source: 'file', name: key, place: file, raw });
    } else if (typeof raw === 'object' && raw !== null && !Array.isArray(raw) && !(raw instanceof Date)) {
      errors.push({
        key: `[${key}]`,
        place: file,
        value: null,
        expected: 'no tables: every key stands at the top level',
      });
    } else {
      errors.push({ key, place: file, value: null, expected: unknown('key', key, byKey.keys()) });
    }
  }
  return { file, given, errors };
}

function takesNext(next: string | undefined): boolean {
  return next !== undefined && !next.startsWith('--');
}

function unknown(what: 'flag' | 'key', name: string, known: Iterable<string>): string {
  const proposal = nearestName(name, known);
  return proposal === undefined
    ? `no such ${what}; --help lists them all`
    : `no such ${what}; did you mean ${proposal}?`;
}

function maskStray(argument: string): string {
  return argument.includes('://') ? maskUrl(argument) : argument.includes('@') ? MASK : argument;
}
