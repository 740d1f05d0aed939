// The simulated miners that `npm start` brings along: a process of their own (loadtest/sim-miners.ts) that
// really hashes. Sets their pace: flat out until the first coins have matured, then about a block a minute.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { HashrateCommand, SimMinersStats } from '../loadtest/ipc-messages.js';
import { projectRoot } from '../storage/project-root.js';

export interface SimFleetOptions {
  host: string;
  port: number;
  /** Payout addresses, taken in turn. */
  accounts: readonly string[];
  miners: number;
  /** Hashes per second of all together; null: by `pace`. */
  hashrateHs: number | null;
  log: (level: 'info' | 'warn', message: string) => void;
}

/** Blocks mined flat out: coins of the first ones mature at 101 confirmations. */
const FAST_UNTIL_HEIGHT = 110;
const SECONDS_PER_BLOCK = 60;
const HASHES_PER_DIFFICULTY = 2 ** 32;
const RESTART_MS = 1000;
const STOP_WITHIN_MS = 3000;

export class SimFleet {
  /** Latest count of the miners themselves; null before the first second. */
  stats: SimMinersStats | null = null;
  readonly #options: SimFleetOptions;
  #child: ChildProcess;
  #paceHs: number | null;
  #stopping = false;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: SimFleetOptions) {
    this.#options = options;
    this.#paceHs = options.hashrateHs;
    this.#child = this.#start();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** To be called on each new tip: keeps the pace to the chain's height and difficulty. */
  pace(height: number, networkDifficulty: number): void {
    if (this.#options.hashrateHs !== null) return;
    const fast = height <= FAST_UNTIL_HEIGHT;
    this.#setPace(fast ? null : (networkDifficulty * HASHES_PER_DIFFICULTY) / SECONDS_PER_BLOCK);
  }

  /** Ends the miners; resolves when the process is gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await gone;
    clearTimeout(hard);
  }

  #setPace(hs: number | null): void {
    if (hs === this.#paceHs) return;
    this.#paceHs = hs;
    this.#send();
  }

  #send(): void {
    const command: HashrateCommand = { type: 'hashrate', hs: this.#paceHs };
    if (this.#child.connected) this.#child.send(command);
  }

  #start(): ChildProcess {
    const { host, port, accounts, miners } = this.#options;
    const args = [
      ...['--host', host, '--port', String(port), '--miners', String(miners)],
      ...[
        '--account',
        accounts.join(','),
        '--hashrate',
        this.#paceHs === null ? 'max' : String(this.#paceHs),
      ],
    ];
    // A session of its own: Ctrl-C reaches the pool alone, which then stops its parts in order.
    const child = fork(join(projectRoot(), 'dist', 'loadtest', 'sim-miners.js'), args, {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let complaint = '';
    child.stderr?.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString('utf8')).slice(-1000);
    });
    child.on('message', (message: SimMinersStats) => {
      if (message.type === 'stats') this.stats = message;
    });
    child.on('error', (error) => this.#options.log('warn', `simulated miners: ${error.message}`));
    child.on('exit', () => {
      if (this.#stopping) return;
      this.#options.log(
        'warn',
        `the simulated miners ended and are started again. ${complaint.trim()}`.trim(),
      );
      this.#restart = setTimeout(() => {
        this.#child = this.#start();
        this.#send();
      }, RESTART_MS);
    });
    return child;
  }
}
