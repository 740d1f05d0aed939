// Runs a measurement in several processes, one after the other. Why several: how fast a process runs is
// partly settled when it starts (when its code was compiled and where it came to lie), and stays so for
// its life; no number of repetitions inside one process averages that out.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Longest life of one measuring process. */
const CHILD_MS_MAX = 60_000;

export interface ChildMeasurement {
  /** The compiled program beside this file, such as './wasm-hashing.js'. It prints one JSON object. */
  readonly program: string;
  readonly processes: number;
  readonly args: readonly string[];
  /** Before each process. */
  readonly onStart: (run: number) => void;
}

/**
 * What the processes measured: each figure with one value per process.
 * Throws with the last line that a process printed to stderr when it fails.
 */
export async function measureInProcesses(measurement: ChildMeasurement): Promise<Map<string, number[]>> {
  const program = fileURLToPath(new URL(measurement.program, import.meta.url));
  const all = new Map<string, number[]>();
  for (let run = 1; run <= measurement.processes; run++) {
    measurement.onStart(run);
    for (const [name, value] of Object.entries(await once(program, measurement.args))) {
      const values = all.get(name);
      if (values === undefined) all.set(name, [value]);
      else values.push(value);
    }
  }
  return all;
}

async function once(program: string, args: readonly string[]): Promise<Record<string, number>> {
  let stdout: string;
  try {
    ({ stdout } = await promisify(execFile)(process.execPath, [program, ...args], { timeout: CHILD_MS_MAX }));
  } catch (error) {
    const { stderr, killed } = error as { stderr?: string; killed?: boolean };
    const said = /^\w*Error: .*$/m.exec(stderr ?? '')?.[0] ?? (stderr ?? '').trim().split('\n').at(-1);
    const why = killed === true ? `it took longer than ${CHILD_MS_MAX / 1000} s` : said;
    throw new Error(`the measuring process ${program} failed: ${why}`, { cause: error });
  }
  return JSON.parse(stdout) as Record<string, number>;
}
