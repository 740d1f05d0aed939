// What a soak run tells: a line while it runs, a table at the end, the same as JSON.
import { VERDICTS } from '../../engine/work/verdict.js';
import type { ComparedCounts } from './comparison.js';
import { DIFFERENCES, type Difference } from './differences.js';
import type { EngineFigures } from './engine.js';
import { GROWTH_MAX_KB_PER_MINUTE, JUDGED_FROM_MINUTES, type MemorySample } from './memory-trend.js';
import type { MinerCounts } from './miners-messages.js';
import type { SoakOptions } from './options.js';
import { UNANSWERED, UNKNOWN_ANSWER } from './told-shares.js';

/** Delay of the connection thread's event loop over the whole run, milliseconds. */
export interface LoopDelay {
  /** The 99th percentile of the middle interval (1 s) and of the worst one. */
  readonly p99Median: number;
  readonly p99Worst: number;
  readonly longest: number;
}

export interface SoakResult {
  readonly options: SoakOptions;
  readonly shares: ComparedCounts;
  readonly miners: MinerCounts;
  readonly engine: EngineFigures;
  readonly loopDelayMs: LoopDelay;
  readonly memory: readonly MemorySample[];
  /** kB a minute over the second half. */
  readonly memoryGrowth: number;
  /** Cores kept busy, on average. */
  readonly engineCores: number;
  readonly minersCores: number;
  readonly differences: readonly Difference[];
}

/** One line of the run. @param atS seconds since the load began */
export function progressLine(
  atS: number,
  counts: MinerCounts,
  memoryKB: number,
  engineCores: number,
  { delayMs }: EngineFigures,
): string {
  const clock = `${Math.floor(atS / 60)}:${String(Math.floor(atS % 60)).padStart(2, '0')}`;
  return [
    clock.padStart(5),
    `${counts.connected} connected`,
    `${counts.submitted} submits`,
    `${answered(counts, 'accepted')} accepted`,
    `${counts.disconnects} left`,
    `${counts.resumptions} resumed`,
    `${counts.retargets} retargets`,
    `${(memoryKB / 1024).toFixed(1)} MiB`,
    `${engineCores.toFixed(2)} cores`,
    `loop p99 ${delayMs.p99.toFixed(1)} ms`,
    ...(counts.faults === 0 ? [] : [`${counts.faults} FAULTS`]),
  ].join('  ');
}

export function resultTable(result: SoakResult): string {
  const { options, shares, miners, engine, memory, differences, loopDelayMs: delay } = result;
  const [first, last] = [memory[0]?.kB ?? 0, memory.at(-1)?.kB ?? 0];
  const judged = options.minutes >= JUDGED_FROM_MINUTES;
  const rows: [string, string][] = [
    ['miners, minutes, seed', `${options.miners}, ${options.minutes}, ${options.seed}`],
    ['engine', options.engine === 'pool' ? 'the whole pool' : 'the connection thread alone'],
    ['submits', String(miners.submitted)],
    ...VERDICTS.map(({ name }): [string, string] => [`  ${name}`, String(answered(miners, name))]).filter(
      ([, count]) => count !== '0',
    ),
    ['  answer cut off', `${miners.answers[UNANSWERED] ?? 0}, ${shares.cutOffAccepted} of them accepted`],
    ['  answer without sense', String(miners.answers[UNKNOWN_ANSWER] ?? 0)],
    ['sent a second time on purpose', String(miners.repeats)],
    ['journal', `${shares.journaled} verdicts, ${shares.accepted} accepted, ${engine.journalBytes} bytes`],
    ['credited difficulty', shares.acceptedDifficulty.toPrecision(8)],
    [
      'connects, disconnects, resumptions',
      `${miners.connects}, ${miners.disconnects}, ${miners.resumptions}`,
    ],
    ['retargets', String(miners.retargets)],
    ['slow readings', String(miners.slowReadings)],
    ['jobs, tips', `${engine.jobs}, ${engine.tips}`],
    ['connections at the end', `${engine.connections}, ${miners.connected} of them mine`],
    ['connections closed', closedReasons(engine.closed)],
    [
      'memory of the engine',
      `${(first / 1024).toFixed(1)} MiB at first, ${(last / 1024).toFixed(1)} at the end`,
    ],
    [
      'memory growth, second half',
      `${result.memoryGrowth.toFixed(0)} kB/min (at most ${GROWTH_MAX_KB_PER_MINUTE}${judged ? '' : `, judged from ${JUDGED_FROM_MINUTES} minutes on`})`,
    ],
    [
      'event loop delay p99',
      `${delay.p99Median.toFixed(1)} ms in the middle second, ${delay.p99Worst.toFixed(1)} in the worst; longest ${delay.longest.toFixed(1)}`,
    ],
    ['cores', `${result.engineCores.toFixed(2)} engine, ${result.minersCores.toFixed(2)} miners`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    '',
    ...(differences.length === 0 ? ['No differences: every accepted share is in the journal once.'] : []),
    ...differences.flatMap(({ kind, count, examples }) => [
      `DIFFERENCE ${kind}: ${count} x ${DIFFERENCES[kind]}`,
      ...examples.map((example) => `  ${example}`),
    ]),
  ].join('\n');
}

function answered(counts: MinerCounts, name: (typeof VERDICTS)[number]['name']): number {
  const code = VERDICTS.find((verdict) => verdict.name === name)?.code ?? UNANSWERED;
  return counts.answers[code] ?? 0;
}

function closedReasons(closed: Readonly<Record<string, number>>): string {
  return Object.entries(closed)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(', ');
}
