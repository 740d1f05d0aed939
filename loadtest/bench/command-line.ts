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
  /** Options of the suite: name without dashes -> values in the order given. */
  readonly given: Readonly<Record<string, readonly string[]>>;
}

/**
 * Reads the command line.
 * @param suites names that exist, each with the names of the options that it takes beside those of all
 * @returns null when help was asked for
 * @throws UsageError when a suite or option is not known, or no suite is named
 */
export function readBenchSettings(
  args: readonly string[],
  suites: Readonly<Record<string, readonly string[]>>,
): BenchSettings | null {
  const own = Object.values(suites).flat();
  let values: Record<string, unknown>;
  let positionals: string[];
  try {
    ({ values, positionals } = parseArgs({
      args: [...args],
      options: {
        json: { type: 'boolean' },
        quick: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        ...Object.fromEntries(own.map((name) => [name, { type: 'string', multiple: true } as const])),
      },
      allowPositionals: true,
      strict: true,
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { json, quick, help, ...rest } = values;
  if (help === true) return null;
  const list = Object.keys(suites).join(', ');
  const [suite, ...more] = positionals;
  if (suite === undefined) throw new UsageError(`no suite was named, expected one of: ${list}`);
  if (more.length > 0) throw new UsageError(`one suite at a time, not "${positionals.join(' ')}"`);
  const takes = Object.hasOwn(suites, suite) ? suites[suite] : undefined;
  if (takes === undefined) throw new UsageError(`there is no suite "${suite}", expected one of: ${list}`);
  const given = rest as Record<string, string[]>;
  const strange = Object.keys(given).find((name) => !takes.includes(name));
  if (strange !== undefined) throw new UsageError(`the suite ${suite} takes no --${strange}`);
  return { suite, json: json === true, quick: quick === true, given };
}
