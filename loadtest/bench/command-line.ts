// The command line of the benchmarks (`main.ts`): which suite, how long, which form of output.
import { parseArgs } from 'node:util';

/** The command line cannot be followed; the message says what was given and what was expected. */
export class UsageError extends Error {}

export interface BenchSettings {
  readonly suite: string;
  /** Figures as JSON on stdout instead of a table. */
  readonly json: boolean;
  /** Fewer and shorter measurements: a smoke test, or a first look. */
  readonly quick: boolean;
}

/**
 * Reads the command line.
 * @param suites names that exist
 * @returns null when help was asked for
 * @throws UsageError when a suite or option is not known, or no suite is named
 */
export function readBenchSettings(args: readonly string[], suites: readonly string[]): BenchSettings | null {
  const flag = { type: 'boolean' } as const;
  let parsed: { values: { json?: boolean; quick?: boolean; help?: boolean }; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...args],
      options: { json: flag, quick: flag, help: { ...flag, short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help === true) return null;
  const list = suites.join(', ');
  const [suite, ...more] = positionals;
  if (suite === undefined) throw new UsageError(`no suite was named, expected one of: ${list}`);
  if (more.length > 0) throw new UsageError(`one suite at a time, not "${positionals.join(' ')}"`);
  if (!suites.includes(suite)) throw new UsageError(`there is no suite "${suite}", expected one of: ${list}`);
  return { suite, json: values.json === true, quick: values.quick === true };
}
