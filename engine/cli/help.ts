// Text of --help, written from the schema of the settings: it cannot disagree with what is accepted.
import { defaultOf, SETTINGS, type Setting } from '../config/settings.js';
import { COMMANDS } from './commands.js';

const WIDTH = 100;
const INDENT = ' '.repeat(6);

/** What `npm start -- --help` prints: every setting with its three names, unit, default and meaning. */
export function helpText(): string {
  const lines = [
    'Millrace, a Bitcoin mining pool. With nothing set it brings up all it needs: a private chain,',
    'PostgreSQL, ClickHouse and a few simulated miners.',
    '',
    '  npm start -- [flags]',
    '  npx millrace <command> [--help]',
    '',
    'Commands:',
    ...COMMANDS.map(({ name, help }) => `  ${name.padEnd(16)} ${help}`),
    '',
    'A setting is a flag (--stratum-port 3333), an environment variable (STRATUM_PORT=3333) or a line in',
    'millrace.toml (stratum_port = 3333). Flags win over the environment, that over the file.',
    '',
    '  --help           this text',
    '  --version        version of Millrace',
    '  --print-config   the configuration it would run with, secrets masked, and stop',
    '  --config <path>  file to read instead of ./millrace.toml',
  ];
  let group = '';
  for (const setting of SETTINGS) {
    if (setting.group !== group) {
      group = setting.group;
      lines.push('', `${group}:`);
    }
    lines.push(...settingLines(setting));
  }
  lines.push(
    '',
    'Environment only:',
    '  MILLRACE_CACHE_DIR <path>',
    `${INDENT}Cache of the unpacked bitcoind [DATA_DIR/cache]`,
  );
  return `${lines.join('\n')}\n`;
}

function settingLines(setting: Setting): string[] {
  const value = setting.kind === 'boolean' ? '[true|false]' : `<${setting.unit ?? 'text'}>`;
  return [
    `  ${setting.flag} ${value}`,
    ...wrap(`${setting.variable}: ${setting.description} [${defaultText(setting)}]`),
  ];
}

function defaultText(setting: Setting): string {
  if (setting.networkDefault !== undefined) {
    const { private: own, ...others } = setting.networkDefault;
    const differing = Object.entries(others).filter(([, value]) => value !== own);
    return [`${own}`, ...differing.map(([network, value]) => `${network} ${value}`)].join(', ');
  }
  const value = defaultOf(setting, 'private');
  return value === undefined ? (setting.unset ?? 'not set') : String(value);
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = INDENT;
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH && line !== INDENT) {
      lines.push(line.trimEnd());
      line = INDENT;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
