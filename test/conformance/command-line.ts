// The command line of the conformance suite (`main.ts`).
import { parseArgs } from 'node:util';
import type { PoolSettings } from './case.js';

export const HELP = `Stratum V1 conformance: what a pool answers, case by case, against what miners need.

  npm run conformance -- --host HOST --port PORT [options]

  --host HOST           pool host                                        (127.0.0.1)
  --port PORT           pool port                                        (3333)
  --user USER           account or address, optionally with .worker      (conformance.suite)
  --pass PASSWORD       as the pool takes it, such as d=0.001            (x)
  --only NAME           a case, or a topic such as submit; may be repeated
  --max-difficulty D    shares above it are not searched for; cases that need one are
                        skipped. 0.01 is some seconds of one core a share (0.01)
  --timeout MS          longest wait for an answer                       (5000)
  --slow                also the deadlines, about a minute
  --hostile             also what no miner sends, where the pool is on another machine
                        (on this machine always)
  --transcripts DIR     writes the transcript of every case into DIR
  --json                results as JSON on stdout
  --list                the cases with their rules and sources, without a pool
  --help                this text

Exit code 0: every "must" holds. 1: one does not. 2: the pool cannot be tested (or the command line is wrong).
Connections are opened one at a time and closed after each case. Shares carry real proof of work: where the
difficulty of a block is within --max-difficulty, one case finds a block.
`;

/** The command line cannot be followed; the message names the option and what was expected. */
export class UsageError extends Error {}

export interface SuiteSettings extends PoolSettings {
  readonly only: readonly string[];
  readonly slow: boolean;
  readonly hostile: boolean;
  readonly transcripts: string | null;
  readonly json: boolean;
  readonly list: boolean;
}

/**
 * Reads the command line.
 * @returns null when help was asked for
 * @throws UsageError
 */
export function readSuiteSettings(args: readonly string[]): SuiteSettings | null {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = {
    ...{ host: text, port: text, user: text, pass: text, timeout: text, transcripts: text },
    'max-difficulty': text,
    only: { type: 'string', multiple: true },
    ...{ slow: flag, hostile: flag, json: flag, list: flag, help: flag },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return null;
  const host = values.host ?? '127.0.0.1';
  return {
    host,
    port: numberOf('--port', values.port ?? '3333', 1, 65_535, true),
    user: values.user ?? 'conformance.suite',
    password: values.pass ?? 'x',
    maxDifficulty: numberOf('--max-difficulty', values['max-difficulty'] ?? '0.01', 0, 1e15, false),
    timeoutMs: numberOf('--timeout', values.timeout ?? '5000', 100, 600_000, true),
    only: values.only ?? [],
    slow: values.slow,
    hostile: values.hostile || /^(127\.|::1$|localhost$)/.test(host),
    transcripts: values.transcripts ?? null,
    json: values.json,
    list: values.list,
  };
}

function numberOf(option: string, text: string, min: number, max: number, whole: boolean): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    const kind = whole ? 'a whole number' : 'a number';
    throw new UsageError(`${option} is "${text}", expected ${kind} from ${min} to ${max}`);
  }
  return value;
}
