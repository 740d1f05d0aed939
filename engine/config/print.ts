// The configuration the pool would run with, as a millrace.toml that says where each value came from.
// Secrets are masked, so it may be shown in a bug report.
import type { Config, EffectiveSetting } from './config.js';
import { maskUrl } from './mask.js';

const COMMENT_COLUMN = 44;

/** Text of --print-config: valid TOML, every secret masked, one line a setting. */
export function printableConfig(config: Config): string {
  const lines = [
    '# What Millrace would run with: defaults < millrace.toml < environment < flags.',
    '# Passwords are shown as ***. --help explains every setting.',
  ];
  let group = '';
  for (const effective of config.effective) {
    if (effective.setting.group !== group) {
      group = effective.setting.group;
      lines.push('', `# ${group}`);
    }
    lines.push(settingLine(effective));
  }
  return `${lines.join('\n')}\n`;
}

function settingLine({ setting, value, source, place }: EffectiveSetting): string {
  if (value === undefined) return withComment(`# ${setting.key}`, `not set: ${setting.unset ?? 'none'}`);
  return withComment(
    `${setting.key} = ${tomlValue(value, setting.secret === true)}`,
    source === 'file' ? place : source,
  );
}

function withComment(text: string, comment: string): string {
  return `${text.padEnd(COMMENT_COLUMN - 1)} # ${comment}`;
}

function tomlValue(value: unknown, secret: boolean): string {
  if (Array.isArray(value)) return `[${value.map((item) => tomlValue(item, secret)).join(', ')}]`;
  // JSON strings are TOML basic strings; numbers and booleans are written the same in both.
  return JSON.stringify(secret ? maskUrl(String(value)) : value);
}
