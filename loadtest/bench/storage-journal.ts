// The measure "journal": what append and commit cost at 100,000 shares/s, how long they hold their thread up, and how
// soon the disk has a commit. Several processes of storage-journal-process.ts, one after the other.
import { measureInProcesses } from './child-processes.js';
import { type Figure, figureOf, type SuiteResult } from './figures.js';
import { inWorkFolder } from './storage-folder.js';
import { ROW_BYTES } from './storage-stores.js';

const RATE = 100_000;
const PROCESSES = { quick: 1, full: 5 } as const;
/** Seconds of a process in which it appends; as many again it does not, to know what is not the journal's. */
const SECONDS = { quick: 2, full: 12 } as const;
const STALL_MS_MAX = 5;

export function measureJournal(quick: boolean, progress: (line: string) => void): Promise<SuiteResult> {
  const seconds = quick ? SECONDS.quick : SECONDS.full;
  const processes = quick ? PROCESSES.quick : PROCESSES.full;
  return inWorkFolder('journal', RATE * (seconds + 2) * ROW_BYTES.journal, async (folder) => {
    const measure = (mode: 'process' | 'power') =>
      measureInProcesses({
        program: './storage-journal-process.js',
        processes,
        args: [mode, String(RATE), String(seconds), folder.path],
        onStart: (run) => progress(`storage: journal, ${mode}, process ${run} of ${processes}`),
      });
    const process = await measure('process');
    const power = await measure('power');
    const of = (from: Map<string, number[]>, name: string): number[] => from.get(name) ?? [];
    return {
      figures: [
        figureOf('storage.journal_cpu_us', 'us/share', of(process, 'cpuUs'), {
          goal: { most: 0.6 },
          ratio: 'segments brought to the disk included',
        }),
        longest('storage.journal_stall_ms', of(process, 'stallMs'), {
          goal: { most: STALL_MS_MAX },
          ratio:
            `append and commit ${Math.max(...of(process, 'turnMs')).toFixed(2)} ms at most; ` +
            `without journal the thread was held up ${Math.max(...of(process, 'idleStallMs')).toFixed(2)} ms`,
        }),
        figureOf('storage.journal_power_cpu_us', 'us/share', of(power, 'cpuUs')),
        longest('storage.journal_power_stall_ms', of(power, 'stallMs'), { goal: { most: STALL_MS_MAX } }),
        figureOf('storage.journal_power_disk_p50_ms', 'ms', of(power, 'diskP50Ms')),
        figureOf('storage.journal_power_disk_p99_ms', 'ms', of(power, 'diskP99Ms')),
      ],
      method: [
        `journal: ${RATE} shares/s in turns of a millisecond, ${processes} processes of ${seconds} s; CPU beside the same turns without a journal; ` +
          'stall: how much longer than its turn the oldest share of a turn waited for its commit, whatever held the thread up; power: from commit to fdatasync done',
      ],
    };
  });
}

/** The longest of all processes, not their median. */
function longest(name: string, values: readonly number[], more: Parameters<typeof figureOf>[3]): Figure {
  return { ...figureOf(name, 'ms', values, more), value: Math.max(...values) };
}
