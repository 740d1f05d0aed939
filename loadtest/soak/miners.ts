// The processes of simulated miners as main.ts sees them: their figures together, their faults, their books.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FromMiners, MinerCounts, MinersSettings, ToMiners } from './miners-messages.js';

const END_WITHIN_MS = 20_000;

interface MinersChild {
  readonly process: ChildProcess;
  readonly toldFile: string;
  readonly ended: Promise<void>;
  counts: MinerCounts | null;
}

export class Miners {
  /** Rejects when one of the processes dies before its books are closed. */
  readonly failed: Promise<never>;
  /** Faults that came in words. */
  faultsTold = 0;
  readonly #children: MinersChild[] = [];
  #fail: (error: Error) => void = () => {};

  /** Starts one process for each of the settings. */
  constructor(settings: readonly MinersSettings[], onFault: (what: string) => void) {
    this.failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
    for (const each of settings) this.#children.push(this.#start(each, onFault));
  }

  get toldFiles(): string[] {
    return this.#children.map(({ toldFile }) => toldFile);
  }

  get pids(): number[] {
    return this.#children.map((child) => child.process.pid ?? 0);
  }

  counts(): MinerCounts {
    return addCounts(this.#children.flatMap(({ counts }) => (counts === null ? [] : [counts])));
  }

  stop(): void {
    for (const child of this.#children) send(child, { type: 'stop' });
  }

  /** Has them close their books; resolves when the processes are gone. */
  async end(): Promise<void> {
    for (const child of this.#children) send(child, { type: 'end' });
    const late = setTimeout(() => this.#fail(new Error('the miners did not end in time')), END_WITHIN_MS);
    try {
      await Promise.race([Promise.all(this.#children.map(({ ended }) => ended)), this.failed]);
    } finally {
      clearTimeout(late);
    }
  }

  kill(): void {
    for (const child of this.#children) child.process.kill('SIGKILL');
  }

  #start(settings: MinersSettings, onFault: (what: string) => void): MinersChild {
    const program = fileURLToPath(new URL('./miners-process.js', import.meta.url));
    const process = fork(program, { execArgv: [] });
    let booksClosed = false;
    const ended = new Promise<void>((resolve) => {
      process.once('exit', (code, signal) => {
        if (!booksClosed)
          this.#fail(new Error(`miners ended by themselves (${signal ?? `exit code ${code}`})`));
        resolve();
      });
    });
    const child: MinersChild = { process, toldFile: settings.toldFile, ended, counts: null };
    process.on('message', (message: FromMiners) => {
      if (message.type === 'fault') {
        this.faultsTold++;
        onFault(message.what);
        return;
      }
      child.counts = message.counts;
      if (message.type === 'ended') booksClosed = true;
    });
    send(child, { type: 'start', settings });
    return child;
  }
}

/** The sum of all figures. */
export function addCounts(all: readonly MinerCounts[]): MinerCounts {
  const sum: MinerCounts = {
    ...{ connected: 0, connects: 0, disconnects: 0, resumptions: 0, retargets: 0, slowReadings: 0 },
    ...{ hashes: 0, submitted: 0, repeats: 0, answers: {}, faults: 0 },
  };
  for (const { answers, ...counts } of all) {
    for (const [name, value] of Object.entries(counts)) sum[name as keyof typeof counts] += value;
    for (const [answer, value] of Object.entries(answers)) {
      sum.answers[Number(answer)] = (sum.answers[Number(answer)] ?? 0) + value;
    }
  }
  return sum;
}

function send(child: MinersChild, message: ToMiners): void {
  if (child.process.connected) child.process.send(message);
}
