// Benchmarks of Millrace: `npm run bench -- SUITE`. Finds the suite, prints its figures. A suite is one file
// beside this one; it measures in child processes, so nothing here disturbs it.
import { availableParallelism, cpus } from 'node:os';
import { readBenchSettings, UsageError } from './command-line.js';
import { figuresAsJson, type MachineFacts, type Suite } from './figures.js';
import { figureTable } from './table.js';

const SUITES: Readonly<Record<string, { about: string; load: () => Promise<{ suite: Suite }> }>> = {
  wasm: {
    about: 'share validation, nonce search, hand-over to hash workers',
    load: () => import('./wasm.js'),
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

Figures are CPU time, medians over several processes. Other work on the machine still shows: run them
on a quiet one, and compare ratios rather than figures between machines.
`;

try {
  const settings = readBenchSettings(process.argv.slice(2), Object.keys(SUITES));
  if (settings === null) process.stdout.write(HELP);
  else await run(settings.suite, settings.json, settings.quick);
} catch (error) {
  process.exitCode = error instanceof UsageError ? 2 : 1;
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof UsageError ? ' ("npm run bench -- --help" tells more)' : '';
  process.stderr.write(`bench: ${message}${hint}\n`);
}

async function run(name: string, json: boolean, quick: boolean): Promise<void> {
  const { suite } = (await SUITES[name]?.load()) ?? {};
  if (suite === undefined) throw new UsageError(`there is no suite "${name}"`);
  const startMs = performance.now();
  const machine = machineFacts();
  const { figures, method } = await suite({
    quick,
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
