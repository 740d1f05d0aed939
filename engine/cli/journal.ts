// `millrace journal inspect|verify|export`: what the share journals of a data folder hold. Reads only, and only what
// is committed, so it may run beside the pool that writes them. Called by main.ts.
import { createWriteStream } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Descriptions } from '../../storage/journal/frame-payload.js';
import { findLanes, type JournalLane } from '../../storage/journal/lanes.js';
import { faultOfShare } from '../../storage/journal/recompute.js';
import { SHARE, SHARE_FLAG_BLOCK } from '../../storage/journal/record.js';
import { csvLine, receivedUs, SHARE_COLUMNS, shareRow } from '../../storage/journal/share-row.js';
import { JournalFault, segmentsOf, type WalkSegment, walkJournal } from '../../storage/journal/walk.js';
import { describeConfigError, loadConfig } from '../config/load.js';
import { verdictByCode } from '../work/verdict.js';

const EXIT_FAULT = 1;
/** sysexits.h EX_USAGE. */
const EXIT_USAGE = 64;
const DRAW_EVERY_MS = 200;
const BAR_CELLS = 30;

const COMMON = [
  '  --data-dir PATH  data folder of the pool [DATA_DIR, millrace.toml or ./.millrace]',
  '  --config PATH    file to read instead of ./millrace.toml',
  '  --help           this text',
];
const HELP = {
  journal: [
    'The share journals of a pool: every verdict that a miner was told. Reads only; the pool may run.',
    '',
    '  millrace journal inspect   segments, frames, shares by verdict, time span, blocks, identities',
    '  millrace journal verify    checks every checksum and sequence number, recomputes every share',
    '  millrace journal export    shares as CSV or NDJSON',
    '',
    'Each has a --help of its own. From a checkout: npx millrace journal, or node dist/engine/main.js journal.',
  ],
  inspect: [
    'millrace journal inspect: what the journal of each connection thread holds.',
    '',
    '  --json           one JSON object a journal and line',
    ...COMMON,
  ],
  verify: [
    'millrace journal verify: reads every frame and share, and hashes again every share that was hashed.',
    '',
    'Checked: checksums; sequence numbers without gaps; totals of accepted shares; that each hash is that of the',
    'header its record and job describe (node:crypto, not the code that judged it); that accepted ones meet their',
    'target and blocks that of the network. Ends with 1 at the first fault and says where it is.',
    '',
    ...COMMON,
  ],
  export: [
    'millrace journal export: shares in the order of the journal, one line each. Streams; any size.',
    '',
    '  --format FORMAT  csv or ndjson [csv]',
    '  --out FILE       file to write [standard output]',
    '  --from TIME      received at or after (ISO 8601, as 2026-11-21T08:00:00Z) [the beginning]',
    '  --to TIME        received before [the end]',
    '  --account NAME   of this account only [all]',
    ...COMMON,
  ],
} as const;

type Command = Exclude<keyof typeof HELP, 'journal'>;

interface Options {
  json: boolean;
  format: string;
  out: string | undefined;
  fromUs: number;
  toUs: number;
  account: string | undefined;
}

/** Runs `argv` (what follows `journal`) and returns the exit code. Never throws for what an operator can get wrong. */
export async function journal(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--help' || name === undefined || !isCommand(name)) {
    const asked = name === '--help';
    (asked ? process.stdout : process.stderr).write(`${HELP.journal.join('\n')}\n`);
    return asked ? 0 : EXIT_USAGE;
  }
  let options: Options;
  let lanes: JournalLane[];
  try {
    const { values } = parseArgs({
      args: rest,
      options: {
        ...{ 'data-dir': { type: 'string' }, config: { type: 'string' }, help: { type: 'boolean' } },
        ...(name === 'inspect' ? { json: { type: 'boolean' } } : {}),
        ...(name === 'export'
          ? {
              ...{ format: { type: 'string' }, out: { type: 'string' }, account: { type: 'string' } },
              ...{ from: { type: 'string' }, to: { type: 'string' } },
            }
          : {}),
      },
    });
    if (values.help === true) {
      process.stdout.write(`${HELP[name].join('\n')}\n`);
      return 0;
    }
    options = readOptions(values);
    lanes = lanesOf(values['data-dir'] as string | undefined, values.config as string | undefined);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nmillrace journal ${name} --help lists the flags.\n`);
    return EXIT_USAGE;
  }
  try {
    if (name === 'inspect') inspect(lanes, options.json);
    if (name === 'verify') verify(lanes);
    if (name === 'export') await exportShares(lanes, options);
    return 0;
  } catch (error) {
    // The reader of our output has what it wanted (head, less).
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 0;
    const what = error instanceof JournalFault ? 'The share journal is damaged: ' : '';
    process.stderr.write(`${what}${(error as Error).message}\n`);
    return EXIT_FAULT;
  }
}

function isCommand(name: string): name is Command {
  return name !== 'journal' && Object.hasOwn(HELP, name);
}

function readOptions(values: Record<string, unknown>): Options {
  const { format = 'csv', out, account, from, to, json = false } = values;
  if (format !== 'csv' && format !== 'ndjson') throw new Error(`--format is csv or ndjson, not ${format}`);
  const timeUs = (flag: string, text: unknown, absent: number): number => {
    if (text === undefined) return absent;
    const ms = Date.parse(String(text));
    if (Number.isNaN(ms)) throw new Error(`${flag} ${text} is no time; write it as 2026-11-21T08:00:00Z`);
    return ms * 1000;
  };
  return {
    ...{ json: json === true, format },
    ...{ out: out as string | undefined, account: account as string | undefined },
    fromUs: timeUs('--from', from, 0),
    toUs: timeUs('--to', to, Number.POSITIVE_INFINITY),
  };
}

function lanesOf(dataDir: string | undefined, config: string | undefined): JournalLane[] {
  const argv = [
    ...(dataDir === undefined ? [] : ['--data-dir', dataDir]),
    ...(config === undefined ? [] : ['--config', config]),
  ];
  const result = loadConfig({ argv, env: process.env, cwd: process.cwd() });
  if ('errors' in result) throw new Error(result.errors.map(describeConfigError).join('\n'));
  const lanes = findLanes(result.config.dataDir);
  if (lanes.length === 0) throw new Error(`${result.config.dataDir} holds no share journal; see --data-dir`);
  return lanes;
}

function inspect(lanes: readonly JournalLane[], json: boolean): void {
  for (const { nodeId, journalFolder } of lanes) {
    const segments = segmentsOf(journalFolder);
    const verdicts: Record<string, number> = {};
    const identities = new Set<string>();
    const found = { frames: 0, shares: 0, blocks: 0, firstSeq: 0, lastSeq: 0, acceptedTotal: 0 };
    let segment: Descriptions | null = null;
    const addNames = (named: Descriptions | null): void => {
      for (const { account, worker } of named?.identities.values() ?? [])
        identities.add(`${account}.${worker}`);
    };
    let firstUs = Number.POSITIVE_INFINITY;
    let lastUs = 0;
    for (const { frame, records, known } of walkJournal(segments)) {
      if (found.frames++ === 0) found.firstSeq = frame.firstSeq;
      found.shares += frame.shares;
      found.lastSeq = frame.firstSeq + frame.shares - 1;
      found.acceptedTotal = frame.acceptedTotal;
      for (const record of records) {
        const verdict = verdictByCode(record[SHARE.verdict] as number).name;
        verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
        if ((record.readUInt16LE(SHARE.flags) & SHARE_FLAG_BLOCK) !== 0) found.blocks++;
        const us = receivedUs(record);
        if (us < firstUs) firstUs = us;
        if (us > lastUs) lastUs = us;
      }
      if (known !== segment) addNames(segment);
      segment = known;
    }
    addNames(segment);
    const from = found.shares === 0 ? null : new Date(firstUs / 1000).toISOString();
    const to = found.shares === 0 ? null : new Date(lastUs / 1000).toISOString();
    const bytes = sum(segments);
    const picture = {
      ...{ node: nodeId, folder: journalFolder, segments: segments.length, bytes, ...found },
      ...{ from, to, identities: identities.size, verdicts },
    };
    process.stdout.write(json ? `${JSON.stringify(picture)}\n` : inspection(picture));
  }
}

function inspection(p: { verdicts: Record<string, number> } & Record<string, unknown>): string {
  const lines = [
    `${p.folder} (node ${p.node})`,
    `  segments    ${p.segments}, ${(Number(p.bytes) / 1e6).toFixed(1)} MB, ${p.frames} frames`,
    `  shares      ${p.shares}${p.shares === 0 ? '' : `, numbers ${p.firstSeq} to ${p.lastSeq}`}`,
    ...Object.entries(p.verdicts)
      .sort(([, a], [, b]) => b - a)
      .map(([verdict, count]) => `    ${verdict.padEnd(18)} ${count}`),
    `  accepted    ${p.acceptedTotal} since the first start of the node`,
    `  received    ${p.from ?? 'nothing'}${p.to === null ? '' : ` to ${p.to}`}`,
    `  blocks      ${p.blocks}`,
    `  workers     ${p.identities}`,
  ];
  return `${lines.join('\n')}\n\n`;
}

function verify(lanes: readonly JournalLane[]): void {
  const journals = lanes.map(({ journalFolder }) => segmentsOf(journalFolder));
  const bar = new ProgressBar(journals.reduce((bytes, segments) => bytes + sum(segments), 0));
  const checked = { segments: 0, frames: 0, shares: 0, recomputed: 0 };
  try {
    for (const segments of journals) {
      checked.segments += segments.length;
      for (const { frame, records, known, file, offset } of walkJournal(segments)) {
        for (const record of records) {
          const { fault, recomputed } = faultOfShare(record, known);
          if (fault !== null) {
            const seq = record.readBigUInt64LE(SHARE.seq);
            throw new JournalFault(`${file}, byte ${offset}: share ${seq}: ${fault}`);
          }
          if (recomputed) checked.recomputed++;
        }
        checked.frames++;
        checked.shares += records.length;
        bar.advance(frame.end - offset);
      }
    }
  } finally {
    bar.clear();
  }
  process.stdout.write(
    `${checked.segments} segments, ${checked.frames} frames, ${checked.shares} shares: all as they were written; ` +
      `${checked.recomputed} hashed again, all as they were judged\n`,
  );
}

async function exportShares(lanes: readonly JournalLane[], options: Options): Promise<void> {
  const { out, format, account, fromUs, toUs } = options;
  const sink = out === undefined ? process.stdout : createWriteStream(out, { flags: 'wx' });
  let failed: Error | null = null;
  let wake = (): void => {};
  sink.on('drain', () => wake());
  sink.on('error', (error: Error) => {
    failed = error;
    wake();
  });
  const write = async (text: string): Promise<void> => {
    if (failed === null && !sink.write(text)) await new Promise<void>((resolve) => (wake = resolve));
    if (failed !== null) throw failed;
  };
  if (format === 'csv') await write(`${csvLine(SHARE_COLUMNS)}\n`);
  for (const { nodeId, journalFolder } of lanes) {
    for (const { records, known } of walkJournal(segmentsOf(journalFolder))) {
      let text = '';
      for (const record of records) {
        const us = receivedUs(record);
        if (us < fromUs || us >= toUs) continue;
        const who = known.identities.get(record.readUInt32LE(SHARE.identity));
        if (account !== undefined && who?.account !== account) continue;
        const row = shareRow(record, nodeId, known);
        text += format === 'csv' ? csvLine(SHARE_COLUMNS.map((column) => row[column])) : JSON.stringify(row);
        text += '\n';
      }
      if (text !== '') await write(text);
    }
  }
  if (out === undefined) return;
  await new Promise<void>((resolve) => {
    wake = resolve;
    sink.end(resolve);
  });
  if (failed !== null) throw failed;
}

const sum = (segments: readonly WalkSegment[]): number => segments.reduce((all, { bytes }) => all + bytes, 0);

/** Bytes done of all, on standard error where that is a terminal. */
class ProgressBar {
  readonly #all: number;
  readonly #startedMs = performance.now();
  #done = 0;
  #drawnMs = performance.now();

  constructor(all: number) {
    this.#all = all;
  }

  advance(bytes: number): void {
    this.#done += bytes;
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#drawnMs < DRAW_EVERY_MS) return;
    this.#drawnMs = now;
    const part = Math.min(1, this.#done / this.#all);
    const leftS = ((now - this.#startedMs) / 1000) * (1 / part - 1);
    const bar = '█'.repeat(Math.floor(part * BAR_CELLS)).padEnd(BAR_CELLS, '░');
    process.stderr.write(`\r${bar} ${(part * 100).toFixed(1)} %, ${Math.ceil(leftS)} s left \u001b[K`);
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}
