// What a suite measures and how it is told: one name, value and unit per figure, the same in every suite.
// The JSON shape is fixed; programs compare runs with it.

/** What a figure should reach: at most or at least so much, in its own unit. */
export type Goal = { readonly most: number } | { readonly least: number };

export interface Figure {
  /** `suite.what_unit`, such as `wasm.share_simd_ns`. */
  readonly name: string;
  readonly unit: string;
  /** The median over processes. */
  readonly value: number;
  /** Least and greatest of the processes. */
  readonly spread: readonly [least: number, greatest: number];
  readonly goal?: Goal | undefined;
  /** How it compares with a reference of the same run, for the reader of the table. */
  readonly ratio?: string | undefined;
}

export interface SuiteOptions {
  readonly quick: boolean;
  /** Options of this suite as given: name without dashes -> values. */
  readonly given: Readonly<Record<string, readonly string[]>>;
  /** Says what is going on; one line, not a result. */
  readonly progress: (line: string) => void;
}

export interface SuiteResult {
  readonly figures: readonly Figure[];
  /** How it was measured, for the reader of the table: one line each. */
  readonly method: readonly string[];
}

/** A suite is one file that exports this. Throws when what it measures gives wrong results. */
export type Suite = (options: SuiteOptions) => Promise<SuiteResult>;

/** The middle value; of an even number of values the mean of the two in the middle. Throws when there are none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError('no values: there is no median');
  return (lower + upper) / 2;
}

/** A figure of what each process measured. */
export function figureOf(
  name: string,
  unit: string,
  values: readonly number[],
  more: { goal?: Goal | undefined; ratio?: string | undefined } = {},
): Figure {
  return { name, unit, value: median(values), spread: [Math.min(...values), Math.max(...values)], ...more };
}

export function meetsGoal(value: number, goal: Goal): boolean {
  return 'most' in goal ? value <= goal.most : value >= goal.least;
}

/** Where the figures were measured: they mean little without it. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
}

/** The JSON of a run: figures by name, each with value and unit. */
export function figuresAsJson(figures: readonly Figure[], machine: MachineFacts): string {
  const byName = Object.fromEntries(
    figures.map(({ name, value, unit }) => [name, { value: Number(value.toPrecision(5)), unit }]),
  );
  return JSON.stringify({ figures: byName, machine }, null, 2);
}
