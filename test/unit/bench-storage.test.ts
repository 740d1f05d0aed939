// The storage suite: its options, its feed and its bounds, and a short run of the journal's program. What the figures
// are is no matter here: speed is not tested.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureInProcesses } from '../../loadtest/bench/child-processes.js';
import { UsageError } from '../../loadtest/bench/command-line.js';
import { poolDay, rowsOfDay } from '../../loadtest/bench/storage-data.js';
import { ShareFeed } from '../../loadtest/bench/storage-feed.js';
import { inWorkFolder, requireRoom } from '../../loadtest/bench/storage-folder.js';
import { Latencies } from '../../loadtest/bench/storage-latencies.js';
import { LiveJournal } from '../../loadtest/bench/storage-live.js';
import { MEASURES, measuresOf, rateSeconds } from '../../loadtest/bench/storage-options.js';
import { Heads } from '../../loadtest/bench/storage-rate.js';
import { runTurns } from '../../loadtest/bench/storage-turns.js';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { JournalWriter } from '../../storage/journal/writer.js';

const START_MS = Date.UTC(2025, 0, 15);
const GIB = 1024 ** 3;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('options', () => {
  it('choose measures, all of them where none is named', () => {
    expect(measuresOf([])).toEqual(MEASURES);
    expect(measuresOf(['postgres,rate', 'journal'])).toEqual(['rate', 'journal', 'postgres']);
    expect(() => measuresOf(['rates'])).toThrow(UsageError);
    expect(() => measuresOf(['rates'])).toThrow(/"rates".*rate,backlog/);
  });

  it('set how long the rate is kept: 5 minutes, seconds with --quick, or what was asked for', () => {
    expect([rateSeconds([], false), rateSeconds([], true), rateSeconds(['2'], true)]).toEqual([300, 8, 120]);
    for (const given of [['0'], ['61'], ['1.5'], [''], ['1', '2']]) {
      expect(() => rateSeconds(given, false)).toThrow('expected one whole number from 1 to 60');
    }
  });
});

describe('the folder of a measure', () => {
  it('is refused with the room it needs, and a reserve, when there is less', () => {
    expect(() => requireRoom('backlog', 5 * GIB, 7 * GIB)).not.toThrow();
    expect(() => requireRoom('backlog', 5 * GIB, 7 * GIB - 1)).toThrow(
      /backlog needs 7\.0 GiB of disk .*7\.0 GiB are free: .*TMPDIR.*--rows/,
    );
  });

  it('goes with what is in it when the measure fails, after its servers were stopped in reverse order', async () => {
    const stopped: string[] = [];
    let path = '';
    const failing = inWorkFolder('rate', 0, async (work) => {
      path = work.path;
      writeFileSync(join(path, 'rows'), 'x');
      work.atEnd(async () => stopped.push(`first, folder ${existsSync(path) ? 'there' : 'gone'}`));
      work.atEnd(async () => {
        stopped.push('second');
        throw new Error('does not stop');
      });
      throw new Error('the rows differ');
    });
    await expect(failing).rejects.toThrow('the rows differ');
    expect(stopped).toEqual(['second', 'first, folder there']);
    expect(existsSync(path)).toBe(false);
  });
});

describe('the feed', () => {
  const options = { sharesPerSecond: 5000, workers: 50, seed: 4, startMs: START_MS };

  it('gives shares at its rate', () => {
    const feed = new ShareFeed(options);
    const journal = new JournalWriter({ folder, nodeId: 1, nowMs: () => 0 });
    feed.define(journal);
    for (let share = 0; share < 20_000; share++) feed.append(journal);
    const seconds = (feed.dueUs / 1000 - START_MS) / 1000;
    // 20,000 waiting times at random: 4 s with a standard deviation of 0.03.
    expect(Math.abs(seconds - 4)).toBeLessThan(0.15);
    journal.close();
  });

  it('brings every share into the journal as it was made, under the number and round of the journal', () => {
    const feed = new ShareFeed(options);
    const journal = new JournalWriter({ folder, nodeId: 1, nowMs: () => 0, sealAfterShares: 700 });
    feed.define(journal);
    for (let share = 1; share <= 2000; share++) {
      feed.append(journal);
      if (share % 100 === 0) journal.commit();
    }
    journal.close();

    const made = poolDay({ ...options, rows: rowsOfDay(options.sharesPerSecond), batchRows: 2000 }).next();
    if (made.done === true) throw new Error('no shares were made');
    const reader = new JournalReader(folder, null);
    const found: Buffer[] = [];
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      expect(batch.identities.size).toBeLessThanOrEqual(made.value.identities.size);
      for (const [id, identity] of batch.identities) expect(identity).toEqual(made.value.identities.get(id));
      found.push(batch.records);
    }
    reader.close();
    const records = Buffer.concat(found);
    expect(records.length).toBe(2000 * SHARE_RECORD_BYTES);
    expect(withoutRound(records).equals(withoutRound(made.value.records))).toBe(true);
  });
});

describe('latencies', () => {
  it('give percentiles within a step of the sorted values, and the longest exactly', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 900_000, noNaN: true }), { minLength: 1 }), (values) => {
        const latencies = new Latencies();
        for (const us of values) latencies.add(us);
        const { shares, p50Ms, p99Ms, maxMs } = latencies.take();
        const sorted = values.toSorted((a, b) => a - b);
        const at = (part: number) => (sorted[Math.ceil(values.length * part) - 1] as number) / 1000;
        expect(shares).toBe(values.length);
        for (const [got, exact] of [
          [p50Ms, at(0.5)],
          [p99Ms, at(0.99)],
        ] as const) {
          expect(got).toBeGreaterThanOrEqual(exact - 1e-9);
          expect(got).toBeLessThanOrEqual(exact + 0.01 + 1e-9);
        }
        expect(maxMs).toBeCloseTo((sorted.at(-1) as number) / 1000, 9);
        expect(latencies.take()).toEqual({ shares: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
      }),
      { seed: 5, numRuns: 200 },
    );
  });
});

describe('the lag', () => {
  it('counts from when the journal first held the oldest share that is not stored', () => {
    const heads = new Heads();
    for (const [seq, atMs] of [
      [100, 1000],
      [200, 1100],
      [300, 1200],
    ] as const) {
      heads.add(seq, atMs);
    }
    expect(heads.timeOf(1)).toBe(1000);
    expect(heads.timeOf(101)).toBe(1100);
    expect(heads.timeOf(200)).toBe(1100);
    expect(heads.timeOf(301)).toBe(null);
  });
});

describe('turns', () => {
  it('end when one says so, and fail with it', async () => {
    let turns = 0;
    await runTurns(() => ++turns < 5);
    expect(turns).toBe(5);
    const failing = runTurns(() => {
      throw new Error('the disk is gone');
    });
    await expect(failing).rejects.toThrow('the disk is gone');
  });

  it('leave the event loop its own', async () => {
    let seen = false;
    setTimeout(() => {
      seen = true;
    }, 1);
    await runTurns(() => !seen);
    expect(seen).toBe(true);
  });
});

describe('the live journal', () => {
  it('answers for every share that it took, and leaves them sealed', async () => {
    const heads: number[] = [];
    const settings = { journalFolder: folder, nodeId: 3, sharesPerSecond: 2000, workers: 20, seed: 1 };
    const live = new LiveJournal(settings, (seq) => heads.push(seq));
    let shares = 0;
    while (shares < 300) shares += (await live.summary()).shares;
    const lastSeq = await live.stop();
    expect(lastSeq).toBeGreaterThanOrEqual(shares);
    expect(heads.length).toBeGreaterThan(0);
    const reader = new JournalReader(folder, null);
    let read = 0;
    for (let batch = reader.next(); batch !== null; batch = reader.next()) read += batch.shares;
    reader.close();
    expect(read).toBe(lastSeq);
  });
});

describe('the program that measures the journal', () => {
  it.concurrent.each([
    ['process', ['cpuUs', 'stallMs', 'turnMs', 'idleStallMs']],
    ['power', ['cpuUs', 'stallMs', 'turnMs', 'idleStallMs', 'diskP50Ms', 'diskP99Ms']],
  ] as const)(
    'prints its figures for %s and leaves nothing behind',
    { timeout: 60_000 },
    async (mode, names) => {
      const parent = mkdtempSync(join(tmpdir(), 'millrace-test-'));
      try {
        const measured = await measureInProcesses({
          program: './storage-journal-process.js',
          processes: 1,
          args: [mode, '5000', '1', parent],
          onStart: () => {},
        });
        expect([...measured.keys()]).toEqual(names);
        for (const name of names.slice(1)) {
          expect(measured.get(name)?.every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
        }
        expect(readdirSync(parent)).toEqual([]);
      } finally {
        rmSync(parent, { recursive: true, force: true });
      }
    },
  );
});

/** Number and round are the journal's: the generator counts blocks otherwise. */
function withoutRound(records: Buffer): Buffer {
  const copy = Buffer.from(records);
  for (let at = 0; at < copy.length; at += SHARE_RECORD_BYTES) copy.writeUInt32LE(0, at + SHARE.round);
  return copy;
}
