// Runs `millrace ...` with the settings of an environment: in a process of its own as an operator does, or within the
// test's process, where many follow each other.
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../engine/cli/commands.js';
import { projectRoot } from '../../storage/project-root.js';

export interface Run {
  code: number;
  out: string;
  err: string;
}

/** `env`: all the settings it finds. */
export function millrace(args: readonly string[], env: Record<string, string>): Promise<Run> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(projectRoot(), 'dist', 'engine', 'main.js'), ...args],
      { cwd: tmpdir(), env: { PATH: process.env.PATH, ...env }, maxBuffer: 64 * 1024 * 1024 },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

/** The same in this process; one at a time. */
export async function millraceHere(args: readonly string[], env: Record<string, string>): Promise<Run> {
  const { stdout, stderr } = process;
  const before = { env: process.env, cwd: process.cwd(), out: stdout.write, err: stderr.write };
  const run: Run = { code: 0, out: '', err: '' };
  const keep = (stream: 'out' | 'err') => (text: string | Uint8Array) => {
    run[stream] += text.toString();
    return true;
  };
  process.env = { PATH: before.env.PATH, ...env };
  process.chdir(tmpdir());
  stdout.write = keep('out');
  stderr.write = keep('err');
  try {
    run.code = (await runCommand(args)) ?? -1;
  } finally {
    process.env = before.env;
    process.chdir(before.cwd);
    stdout.write = before.out;
    stderr.write = before.err;
  }
  return run;
}
