// Benchmarks of Millrace: `npm run bench -- SUITE`. Finds the suite, prints its figures. A suite is one file
// beside this one; it measures in child processes, so nothing here disturbs it.
import { availableParallelism, cpus } from 'node:os';
import { type BenchSettings, readBenchSettings, UsageError } from './command-line.js';
import { figuresAsJson, type MachineFacts, type Suite } from './figures.js';
import { figureTable } from './table.js';

interface SuiteEntry {
  readonly about: string;
  /** Options that it takes beside those of all suites. */
  readonly options: readonly string[];
  readonly load: () => Promise<{ suite: Suite }>;
}

const SUITES: Readonly<Record<string, SuiteEntry>> = {
  wasm: {
    about: 'share validation, nonce search, hand-over to hash workers',
    options: [],
    load: () => import('./wasm.js'),
  },
  stratum: {
    about: 'what a submit, a connection and a new tip cost the engine',
    options: ['only', 'engine', 'peer', 'tip-command'],
    load: () => import('./stratum.js'),
  },
  storage: {
    about: 'what journal, shipper, ClickHouse and Postgres take, and cost',
    options: ['rows', 'only', 'minutes'],
    load: () => import('./storage.js'),
  },
};

const HELP = `Benchmarks: each prints its figures with goals, and ratios to references of the same run.

  npm run bench -- SUITE [--quick] [--json]

${Object.entries(SUITES)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')}

  --quick    fewer and shorter measurements
  --json     figures as JSON on stdout: {"figures": {NAME: {"value": N, "unit": U}}, "machine": {...}}
  --help     this text

stratum:
  --only NAMES      some of 100x1,1000x1,10x32,1000x1_12_branches,latency,connections
  --engine PART     thread: the connection thread on made-up templates (default); pool: the whole pool
  --peer POOL       NAME,HOST,PORT,PID[,USER]: a pool that runs, measured beside the engine; may be repeated.
                    Its share target must admit every hash
  --tip-command C   shell command that makes the node of the peer find a block

storage:
  --only NAMES      some of tables,rate,backlog,journal,postgres
  --rows N          shares of tables and backlog, 1000 to 200000000; 10000000, with --quick 200000
  --minutes N       how long rate lasts, 1 to 60; 5, with --quick 8 s

Costs are CPU time, medians over several processes. Other work on the machine still shows: run them
on a quiet one, and compare ratios rather than figures between machines.
`;

const SUITE_OPTIONS = Object.fromEntries(
  Object.entries(SUITES).map(([name, { options }]) => [name, options]),
);

try {
  const settings = readBenchSettings(process.argv.slice(2), SUITE_OPTIONS);
  if (settings === null) process.stdout.write(HELP);
  else await run(settings);
} catch (error) {
  process.exitCode = error instanceof UsageError ? 2 : 1;
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof UsageError ? ' ("npm run bench -- --help" tells more)' : '';
  process.stderr.write(`bench: ${message}${hint}\n`);
}

async function run({ suite: name, json, quick, given }: BenchSettings): Promise<void> {
  const { suite } = (await SUITES[name]?.load()) ?? {};
  if (suite === undefined) throw new UsageError(`there is no suite "${name}"`);
  const startMs = performance.now();
  const machine = machineFacts();
  const { figures, method } = await suite({
    quick,
    given,
    progress: (line) => process.stderr.write(`bench: ${line}\n`),
  });
  if (json) {
    process.stdout.write(`${figuresAsJson(figures, machine)}\n`);
    return;
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const place = `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}`;
  const notes = [place, ...method, `measured in ${seconds} s`];
  process.stdout.write(`${figureTable(figures)}\n\n${notes.join('\n')}\n`);
}

function machineFacts(): MachineFacts {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}`,
  };
}
