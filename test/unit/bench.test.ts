// The small parts of the benchmarks: what becomes of measured values, how they are printed, bad command lines.
import { describe, expect, it } from 'vitest';
import { readBenchSettings, UsageError } from '../../loadtest/bench/command-line.js';
import { measureInTurns } from '../../loadtest/bench/cpu-time.js';
import { figureOf, figuresAsJson, median, meetsGoal } from '../../loadtest/bench/figures.js';
import {
  benchJob,
  benchShares,
  checkShares,
  createHashSha256,
  LibraryJudge,
  nobleSha256,
  oneShotSha256,
  plainHash,
} from '../../loadtest/bench/share-paths.js';
import { figureTable, shortNumber } from '../../loadtest/bench/table.js';
import { headerOf, sha256d } from './wasm-share-oracle.js';

const MACHINE = { cpu: 'a processor', cores: 2, node: '20.0.0', v8: '11', platform: 'linux x64' };

describe('median', () => {
  it('is the middle value, whatever the order, and not moved by one slow process', () => {
    expect(median([135, 245, 134, 136, 137])).toBe(136);
    expect(median([10, 9, 100])).toBe(10);
  });

  it('is the mean of the two in the middle when there is no middle', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('does not exist of nothing', () => {
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('figures', () => {
  it('carry the median and the spread of the processes', () => {
    const figure = figureOf('wasm.share_simd_ns', 'ns', [3, 1, 2], { goal: { most: 2 } });
    expect(figure).toMatchObject({ value: 2, spread: [1, 3], goal: { most: 2 } });
  });

  it('meet a goal that they equal, from either side', () => {
    expect([1.9, 2, 2.1].map((value) => meetsGoal(value, { most: 2 }))).toEqual([true, true, false]);
    expect([1.9, 2, 2.1].map((value) => meetsGoal(value, { least: 2 }))).toEqual([false, true, true]);
  });

  it('are told to programs by name, with value and unit and nothing else', () => {
    const figures = [figureOf('wasm.fanout_us', 'us', [0.123456789], { goal: { most: 0.1 }, ratio: 'x' })];
    expect(JSON.parse(figuresAsJson(figures, MACHINE))).toEqual({
      figures: { 'wasm.fanout_us': { value: 0.12346, unit: 'us' } },
      machine: MACHINE,
    });
  });
});

describe('the table', () => {
  it('lines up its columns and says which goals are missed', () => {
    const figures = [
      figureOf('a.long_name_ns', 'ns', [2570], { goal: { most: 3800 }, ratio: '2.00 x native' }),
      figureOf('b', 'MH/s', [6.1], { goal: { least: 6.3 } }),
      figureOf('c', 'x', [0.5]),
    ];
    expect(figureTable(figures).split('\n')).toEqual([
      'figure          value  unit  goal             least .. greatest  ratio',
      '--------------  -----  ----  -------  ------  -----------------  -------------',
      'a.long_name_ns   2570  ns    <= 3800  met     2570 .. 2570       2.00 x native',
      'b                6.10  MH/s  >= 6.3   missed  6.10 .. 6.10',
      'c               0.500  x                      0.500 .. 0.500',
    ]);
  });

  it('shows three digits that mean something', () => {
    expect([0, 0.0234, 1.239, 12.39, 123.9, 41180.2, -0.0012].map(shortNumber)).toEqual([
      '0',
      '0.023',
      '1.24',
      '12.4',
      '124',
      '41180',
      '-0.001',
    ]);
  });
});

describe('the command line', () => {
  const suites = { wasm: [], stratum: ['only', 'peer'] };

  it('takes a suite and its switches in any order', () => {
    expect(readBenchSettings(['--json', 'wasm'], suites)).toEqual({
      suite: 'wasm',
      json: true,
      quick: false,
      given: {},
    });
    expect(readBenchSettings(['stratum', '--quick'], suites)).toMatchObject({
      suite: 'stratum',
      quick: true,
    });
  });

  it('hands a suite its own options, each as often as it was given', () => {
    const given = readBenchSettings(['stratum', '--peer', 'a', '--only=x,y', '--peer', 'b'], suites)?.given;
    expect(given).toEqual({ peer: ['a', 'b'], only: ['x,y'] });
  });

  it('asks for nothing but help when help is asked for', () => {
    expect(readBenchSettings(['--help'], suites)).toBeNull();
    expect(readBenchSettings(['-h', 'wasm', '--json'], suites)).toBeNull();
  });

  it('refuses what it cannot do, naming what was given and what exists', () => {
    const refusal = (...args: string[]) => {
      try {
        return readBenchSettings(args, suites);
      } catch (error) {
        return error;
      }
    };
    for (const [args, named] of [
      [[], 'wasm, stratum'],
      [['wsam'], '"wsam", expected one of: wasm, stratum'],
      [['toString'], '"toString", expected'],
      [['wasm', 'stratum'], '"wasm stratum"'],
      [['wasm', '--only', 'x'], 'wasm takes no --only'],
      [['wasm', '--fast'], '--fast'],
      [['wasm', '--json=yes'], '--json'],
    ] as const) {
      const error = refusal(...args);
      expect(error).toBeInstanceOf(UsageError);
      expect((error as Error).message).toContain(named);
    }
  });
});

describe('what is compared', () => {
  const job = benchJob(12);
  const shares = benchShares(job, 0, 4);

  it('is one and the same share for every library', () => {
    for (const share of shares) expect(plainHash(job, share)).toEqual(sha256d(headerOf(job, share)));
    for (const sha256 of [createHashSha256, nobleSha256, oneShotSha256 ?? createHashSha256]) {
      const judge = new LibraryJudge(sha256, job);
      checkShares('a library', job, shares, (share) => judge.judge(share));
    }
  });

  it('is not measured when a hash or a verdict is wrong', () => {
    const judge = new LibraryJudge(createHashSha256, job);
    const wrongHash = new LibraryJudge((message) => createHashSha256(message.subarray(1)), job);
    expect(() => checkShares('it', job, shares, (share) => wrongHash.judge(share))).toThrow(
      /it judges share 0/,
    );
    const generous = (index: number) => ({
      ...judge.judge(shares[index] ?? (shares[0] as never)),
      result: 1,
    });
    expect(() => checkShares('it', job, shares, (_, index) => generous(index))).toThrow(/it judges share 1/);
  });

  it('does all the work that its figure counts', () => {
    let done = 0;
    const figures = measureInTurns([{ name: 'busy', run: (count) => spin(count) }], 3, 1);
    expect(Object.keys(figures)).toEqual(['busy']);
    expect(done).toBeGreaterThan(0);
    function spin(count: number): void {
      for (let i = 0; i < count; i++) done += sha256d(Buffer.of(i)).length;
    }
  });
});
