// The simulated miners as a process: forked by the pool for its demonstration, or started by hand
// against any pool (`node dist/loadtest/sim-miners.js --help`). They hash for real and submit only what
// meets their target. With a parent: statistics go out by IPC, the hash rate comes in, and the process
// ends with its parent. By hand: one line of statistics every 5 seconds.
import { availableParallelism } from 'node:os';
import { Fleet, type FleetTotals } from './fleet.js';
import { readHashrateCommand, type SimMinersStats } from './ipc-messages.js';
import { HELP, readSettings, type Settings, UsageError } from './sim-settings.js';

const STATS_MS = 1_000;
const PRINT_MS = 5_000;

/** Sentences for the operator: at most so many in each period, the rest is counted. */
const NOTICES_MAX = 5;
const NOTICES_PERIOD_MS = 10_000;

/** The process ends this long after it was told to, whatever hangs. */
const LAST_RESORT_MS = 900;

function run(settings: Settings): void {
  const forked = process.send !== undefined;
  const notices = new NoticeLimiter();
  const clockMs = (): number => performance.now();
  const fleet = new Fleet({
    ...settings,
    clockMs,
    random: Math.random,
    onNotice: (text) => notices.say(text),
    onFatal: (error) => {
      process.stderr.write(
        `simulated miners: a hash thread died: ${error.message}. Likely dist/wasm is missing or older than ` +
          'the code: run npm run build.\n',
      );
      process.exit(1);
    },
  });

  let lastHashes = 0;
  let lastMs = clockMs();
  const stats = (): SimMinersStats => {
    const totals: FleetTotals = fleet.totals();
    const nowMs = clockMs();
    const hashrateHs = ((totals.hashes - lastHashes) / Math.max(1, nowMs - lastMs)) * 1000;
    lastHashes = totals.hashes;
    lastMs = nowMs;
    return { type: 'stats', ...totals, hashrate: hashrateHs };
  };

  const timer = setInterval(() => report(stats()), forked ? STATS_MS : PRINT_MS);
  let ending = false;
  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    clearInterval(timer);
    setTimeout(() => process.exit(0), LAST_RESORT_MS).unref();
    await fleet.stop();
    deliver(stats(), () => process.exit(0));
  };

  process.on('SIGTERM', () => void end());
  if (forked) {
    process.on('disconnect', () => process.exit(0));
    // Ctrl-C reaches the whole terminal group: the parent decides when its miners end.
    process.on('SIGINT', () => {});
    process.on('message', (message) => {
      const command = readHashrateCommand(message);
      if (command === null) notices.say('a message of the parent was not understood and left out');
      else fleet.setHashrate(command.hs === 0 ? null : command.hs);
    });
  } else {
    process.on('SIGINT', () => void end());
  }
  fleet.start();
}

let sending = false;

/** Sends the figures to the parent, unless it has not taken the ones before; without a parent prints them. */
function report(stats: SimMinersStats): void {
  if (sending) return;
  sending = true;
  deliver(stats, () => {
    sending = false;
  });
}

function deliver(stats: SimMinersStats, done: () => void): void {
  if (process.send === undefined) {
    process.stdout.write(`${process.stdout.isTTY ? statsLine(stats) : JSON.stringify(stats)}\n`, () =>
      done(),
    );
  } else if (process.connected) {
    process.send(stats, () => done());
  } else {
    done();
  }
}

function statsLine(stats: SimMinersStats): string {
  const rejected = Object.entries(stats.rejected).map(([reason, count]) => `${count} x ${reason}`);
  return [
    `${stats.connected}/${stats.miners} miners`,
    `${(stats.hashrate / 1000).toFixed(1)} kH/s`,
    `${stats.accepted}/${stats.submitted} shares accepted`,
    `difficulty ${stats.acceptedDifficulty.toPrecision(6)}`,
    rejected.length === 0 ? 'none rejected' : `rejected: ${rejected.join(', ')}`,
  ].join(' | ');
}

/** Keeps a fleet of thousands from filling the operator's screen. */
class NoticeLimiter {
  #periodStartMs = Number.NEGATIVE_INFINITY;
  #said = 0;
  #leftOut = 0;

  say(text: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#periodStartMs > NOTICES_PERIOD_MS) {
      if (this.#leftOut > 0)
        process.stderr.write(`simulated miners: ${this.#leftOut} more messages left out\n`);
      this.#periodStartMs = nowMs;
      this.#said = 0;
      this.#leftOut = 0;
    }
    if (this.#said >= NOTICES_MAX) {
      this.#leftOut++;
      return;
    }
    this.#said++;
    process.stderr.write(`simulated miners: ${text}\n`);
  }
}

function main(): void {
  try {
    const settings = readSettings(process.argv.slice(2), availableParallelism());
    if (settings === null) process.stdout.write(HELP);
    else run(settings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`simulated miners: ${error.message}. See --help.\n`);
    process.exitCode = 2;
  }
}

main();
