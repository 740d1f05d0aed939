// What the command line asks for: text to print and stop, or a configuration to run with. Called by main.ts first
// of all, before anything is opened.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../storage/project-root.js';
import type { Config } from '../config/config.js';
import { type ConfigInput, describeConfigError, loadConfig } from '../config/load.js';
import { printableConfig } from '../config/print.js';
import { readCommandLine } from '../config/sources.js';
import { helpText } from './help.js';

/** Exit code for a command line or setting that cannot be followed (sysexits.h EX_CONFIG). */
export const EXIT_CONFIG = 78;

export type StartRequest =
  | { readonly config: Config }
  /** Print `text` (to standard error unless `exitCode` is 0) and end with `exitCode`. */
  | { readonly text: string; readonly exitCode: number };

/** Answers --help, --version, --print-config and mistakes; otherwise returns the configuration. */
export function prepareStart(input: ConfigInput): StartRequest {
  const { help, version, printConfig } = readCommandLine(input.argv);
  if (help) return { text: helpText(), exitCode: 0 };
  if (version) return { text: `millrace ${projectVersion()}\n`, exitCode: 0 };
  const result = loadConfig(input);
  if ('errors' in result) {
    const lines = result.errors.map((error) => `  ${describeConfigError(error)}`);
    const count = lines.length === 1 ? 'a setting is wrong' : `${lines.length} settings are wrong`;
    return {
      text: `Millrace does not start: ${count}.\n${lines.join('\n')}\nnpm start -- --help lists every setting.\n`,
      exitCode: EXIT_CONFIG,
    };
  }
  return printConfig ? { text: printableConfig(result.config), exitCode: 0 } : result;
}

/** Version in package.json. */
export function projectVersion(): string {
  const { version } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}
