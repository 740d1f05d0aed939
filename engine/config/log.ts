// The log: one JSON object a line, or coloured text where a person watches. Secrets of the configuration are masked
// in the finished line, so it does not matter which library put them into its message.
import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { LogLevel } from './config.js';
import { textMasker } from './mask.js';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: LogLevel;
  /** URLs whose credentials must never appear (Config.secretUrls). */
  readonly secretUrls: readonly string[];
  /** Where lines go; standard output when not given. */
  readonly output?: NodeJS.WritableStream;
  /** Text for people instead of JSON; whether the output is a terminal when not given. */
  readonly pretty?: boolean;
}

/** Fields that never leave, whatever object carries them. */
const SECRET_FIELDS = [
  'password',
  '*.password',
  'authorization',
  '*.authorization',
  'headers.authorization',
  '*.cookie',
];

/** Opens the log. Lines are written at once, none is lost when the process ends. */
export function createLogger(options: LogOptions): Logger {
  const output = options.output ?? process.stdout;
  const forPeople = options.pretty ?? ('isTTY' in output && output.isTTY === true);
  const masked = textMasker(options.secretUrls);
  const pretty = forPeople
    ? prettyFactory({
        colorize: true,
        translateTime: 'SYS:HH:MM:ss',
        ignore: 'pid,hostname',
        // Messages say it all for people; the fields are for machines.
        hideObject: true,
      })
    : (line: string) => line;
  const sink: DestinationStream = { write: (line) => void output.write(pretty(masked(line))) };
  return pino(
    {
      level: options.level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET_FIELDS, censor: '***' },
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
}
