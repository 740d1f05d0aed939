// JOURNAL_DURABILITY=power on real files, with a disk whose confirmations the test gives, refuses or keeps.
import { mkdtempSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiskSync } from '../../storage/journal/group-sync.js';
import { type PowerJournalOptions, PowerJournalWriter } from '../../storage/journal/power-writer.js';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { listSegments, segmentPath } from '../../storage/journal/segments.js';
import { JournalWriteError, JournalWriter } from '../../storage/journal/writer.js';

/** Injects what a disk may do: each sync waits here until the test lets it end. */
class ScriptedDisk implements DiskSync {
  readonly waiting: { what: 'segment' | 'folder'; bytes: number; done: (error: Error | null) => void }[] = [];

  readonly #size: () => number;

  /** `size`: of the segment being written. */
  constructor(size: () => number) {
    this.#size = size;
  }

  segment(_fd: number, done: (error: Error | null) => void): void {
    this.waiting.push({ what: 'segment', bytes: this.#size(), done });
  }

  folder(_path: string, done: (error: Error | null) => void): void {
    this.waiting.push({ what: 'folder', bytes: 0, done });
  }

  /** Ends every sync that waits now. */
  answer(error: Error | null = null): void {
    for (const { done } of this.waiting.splice(0)) done(error);
  }
}

const EIO = new Error('EIO: i/o error, fdatasync');
const JOB = {
  ...{ jobId: 'a1', height: 5, previousBlock: '00'.repeat(32), version: 0x20000000, bits: 0x1d00ffff },
  ...{ time: 1_700_000_000, coinbase1: '01', coinbase2: '02', branch: [], networkDifficulty: 1 },
};
const IDENTITY = { account: 'alice', worker: 'rig1', agent: 'test/1', remote: '127.0.0.1' };

let folder: string;
let now: number;
let disk: ScriptedDisk;
let writer: PowerJournalWriter;
/** What the waiter was told, by share: each exactly once. */
let told: Map<number, 'stored' | 'refused'>;
let pending: { commit: number; shares: number[] }[];
let nextShare: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-power-'));
  now = 0;
  told = new Map();
  pending = [];
  nextShare = 1;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(extra: Partial<PowerJournalOptions> = {}): PowerJournalWriter {
  disk = new ScriptedDisk(() => statSync(segmentPath(folder, writer.segment)).size);
  writer = new PowerJournalWriter({ folder, nodeId: 7, nowMs: () => now, disk, ...extra });
  writer.defineIdentity(1, IDENTITY);
  writer.defineJob(9, JOB);
  const tell = (what: 'stored' | 'refused', which: (commit: number) => boolean) => {
    for (const { shares } of pending.filter(({ commit }) => which(commit))) {
      for (const share of shares) {
        if (told.has(share)) throw new Error(`share ${share} was told of twice`);
        told.set(share, what);
      }
    }
    pending = pending.filter(({ commit }) => !which(commit));
  };
  writer.tell({
    durable: (commit) => tell('stored', (number) => number <= commit),
    undone: (commit) => tell('refused', (number) => number > commit),
  });
  return writer;
}

/** Appends `count` shares as one commit; returns their marks. */
function commit(count: number, block = false): number[] {
  const shares = Array.from({ length: count }, () => nextShare++);
  for (const share of shares) {
    const at = writer.appendShare(1, 9, true, block);
    writer.buffer[at + SHARE.verdict] = 1;
    writer.buffer.writeUInt32LE(share, at + SHARE.nonce);
  }
  pending.push({ commit: writer.nextCommit, shares });
  try {
    writer.commit();
  } catch (error) {
    if (!(error instanceof JournalWriteError)) throw error;
  }
  return shares;
}

/** Marks and verdicts of every share that the shipper can see; sequence numbers must follow each other. */
function shipped(reader = new JournalReader(folder, null), from = 1): [number, number][] {
  const seen: [number, number][] = [];
  let seq = from;
  for (let batch = reader.next(); batch !== null; batch = reader.next()) {
    for (let at = 0; at < batch.shares * SHARE_RECORD_BYTES; at += SHARE_RECORD_BYTES) {
      expect(Number(batch.records.readBigUInt64LE(at + SHARE.seq))).toBe(seq++);
      expect(batch.identities.get(batch.records.readUInt32LE(at + SHARE.identity))).toEqual(IDENTITY);
      expect(batch.jobs.get(batch.records.readUInt32LE(at + SHARE.job))).toEqual(JOB);
      seen.push([batch.records.readUInt32LE(at + SHARE.nonce), batch.records[at + SHARE.verdict] as number]);
    }
  }
  reader.close();
  return seen;
}

const marks = (seen: [number, number][]) => seen.map(([mark]) => mark);
const stored = () => [...told].filter(([, what]) => what === 'stored').map(([share]) => share);

describe('journal that answers when the disk has it', () => {
  it('tells nobody before the segment and, for a new one, its folder are on the disk', () => {
    open();
    commit(2);
    expect(disk.waiting.map(({ what }) => what).sort()).toEqual(['folder', 'segment']);
    disk.waiting.find(({ what }) => what === 'segment')?.done(null);
    expect(told.size).toBe(0);
    disk.waiting.find(({ what }) => what === 'folder')?.done(null);
    disk.waiting.length = 0;
    expect(stored()).toEqual([1, 2]);
    commit(1);
    expect(disk.waiting.map(({ what }) => what)).toEqual(['segment']);
  });

  it('writes on while a sync runs, and the next one answers all of that together', () => {
    open();
    commit(1);
    commit(2);
    commit(3);
    expect(disk.waiting.filter(({ what }) => what === 'segment').length).toBe(1);
    disk.answer();
    expect(stored()).toEqual([1]);
    expect(disk.waiting.length).toBe(1);
    expect(disk.waiting[0]?.bytes).toBe(statSync(segmentPath(folder, writer.segment)).size);
    disk.answer();
    expect(stored()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(disk.waiting).toEqual([]);
  });

  it('shows the shipper only what the disk has, also when a seal is due in the middle of a sync', () => {
    open();
    commit(1);
    now = 1500;
    commit(1);
    writer.sealWhenDue();
    expect(shipped()).toEqual([]);
    disk.answer();
    expect(marks(shipped())).toEqual([1]);
    disk.answer();
    now = 3000;
    writer.sealWhenDue();
    expect(marks(shipped())).toEqual([1, 2]);
    writer.close();
  });

  it('refuses what a failed sync leaves in doubt, and takes shares again on a new, confirmed segment', () => {
    open();
    commit(2);
    disk.answer();
    const reader = new JournalReader(folder, null);
    commit(1);
    commit(1, true);
    // The shipper has read frames that will be undone.
    expect(reader.next()).toBeNull();
    disk.answer(EIO);
    expect([...told]).toEqual([
      [1, 'stored'],
      [2, 'stored'],
      [3, 'refused'],
      [4, 'refused'],
    ]);
    expect(writer.acceptedTotal).toBe(2);
    commit(1);
    expect(told.get(5)).toBe('refused');
    expect(() => writer.sealWhenDue()).toThrow(/Check the disk/);
    expect(listSegments(folder).length).toBe(2);
    // The cut, the new segment and the folder.
    expect(disk.waiting.map(({ what }) => what).sort()).toEqual(['folder', 'segment', 'segment']);
    disk.answer();
    const [next] = commit(1);
    disk.answer();
    expect(told.get(next as number)).toBe('stored');
    writer.close();
    // The block went to the node: it is in the journal, not credited.
    const wanted = [
      [1, 1],
      [2, 1],
      [6, 1],
      [4, 12],
    ];
    expect(shipped(reader)).toEqual(wanted);
    expect(shipped()).toEqual(wanted);
  });

  it('goes on trying once a second while the disk refuses the new segment too', () => {
    open();
    commit(1);
    disk.answer(EIO);
    disk.answer(EIO);
    for (let second = 1; second <= 3; second++) {
      now = second * 1000;
      expect(() => writer.sealWhenDue()).toThrow(JournalWriteError);
      disk.answer(second < 3 ? EIO : null);
    }
    expect(listSegments(folder).length).toBe(2);
    commit(1);
    disk.answer();
    expect([...told]).toEqual([
      [1, 'refused'],
      [2, 'stored'],
    ]);
  });

  it('says so when the disk never answers, tells nobody yes or no, and does not close over it', () => {
    open();
    commit(1);
    now = 9000;
    writer.sealWhenDue();
    now = 11_000;
    expect(() => writer.sealWhenDue()).toThrow(/not confirmed a write for 11 s/);
    expect(told.size).toBe(0);
    expect(() => writer.close()).toThrow(/not confirmed/);
    disk.answer();
    expect(stored()).toEqual([1]);
    writer.close();
    expect(marks(shipped())).toEqual([1]);
  });

  it('does not say with a seal that rounds are over whose shares still wait behind it', () => {
    const rounds = new RoundCounter();
    open({ rounds });
    commit(1);
    now = 1500;
    commit(1);
    // Another lane finds a block: the share that waits is of the round before.
    rounds.next();
    disk.answer();
    disk.answer();
    now = 3000;
    writer.sealWhenDue();
    writer.close();
    const reader = new JournalReader(folder, null);
    const seen = [];
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      if (batch.shares > 0) seen.push([batch.records.readUInt32LE(SHARE.round), batch.round]);
    }
    reader.close();
    expect(seen).toEqual([
      [0, 0],
      [0, 1],
    ]);
  });

  it('begins a segment whose first shares, reserved before it, name what they need', () => {
    open({ segmentBytes: 500, sealAfterShares: 4 });
    for (let i = 0; i < 20; i++) {
      commit(3);
      commit(3);
      disk.answer();
    }
    disk.answer();
    disk.answer();
    expect(listSegments(folder).length).toBeGreaterThan(3);
    writer.seal();
    writer.close();
    expect(marks(shipped())).toEqual(stored());
    expect(stored().length).toBe(120);
  });

  it('tells of a batch that a full disk refused while an earlier one still waits for its sync', () => {
    let full = false;
    open({
      write: (fd, bytes, offset) => {
        if (full) throw new Error('ENOSPC: no space left on device');
        return writeSync(fd, bytes, offset);
      },
    });
    commit(1);
    full = true;
    commit(1);
    expect([...told]).toEqual([[2, 'refused']]);
    full = false;
    disk.answer();
    commit(1);
    disk.answer();
    expect([...told]).toEqual([
      [2, 'refused'],
      [1, 'stored'],
      [3, 'stored'],
    ]);
    writer.close();
    expect(marks(shipped())).toEqual([1, 3]);
  });

  it('has every stored share in the journal once and no refused one credited, whatever the disk does', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ do: fc.constant('commit' as const), n: fc.integer({ min: 1, max: 4 }) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('block' as const), n: fc.constant(1) }) },
      { weight: 5, arbitrary: fc.record({ do: fc.constant('sync' as const), n: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), n: fc.constant(0) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('full' as const), n: fc.integer({ min: 0, max: 300 }) }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('second' as const), n: fc.constant(0) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, killed) => {
        rmSync(folder, { recursive: true, force: true });
        told = new Map();
        pending = [];
        nextShare = 1;
        now = 0;
        let room = Number.POSITIVE_INFINITY;
        open({
          ...{ segmentBytes: 900, sealAfterShares: 7 },
          write: (fd, bytes, offset) => {
            if (room <= 0) throw new Error('ENOSPC: no space left on device');
            const written = writeSync(fd, bytes, offset, Math.min(bytes.length - offset, room));
            room -= written;
            return written;
          },
        });
        const early = new JournalReader(folder, null);
        const blocks: number[] = [];
        const seen: [number, number][] = [];
        for (const each of steps) {
          if (each.do === 'commit') commit(each.n);
          if (each.do === 'block') blocks.push(...commit(1, true));
          if (each.do === 'sync') disk.answer();
          if (each.do === 'fail') disk.answer(EIO);
          if (each.do === 'full') {
            room = each.n;
            commit(2);
            room = Number.POSITIVE_INFINITY;
          }
          if (each.do === 'second') {
            now += 1000;
            try {
              writer.sealWhenDue();
            } catch (error) {
              if (!(error instanceof JournalWriteError)) throw error;
            }
          }
          for (let batch = early.next(); batch !== null; batch = early.next()) {
            for (let at = 0; at < batch.records.length; at += SHARE_RECORD_BYTES) {
              const mark = batch.records.readUInt32LE(at + SHARE.nonce);
              seen.push([mark, batch.records[at + SHARE.verdict] as number]);
            }
          }
          // Nothing reaches a store before it is on the disk, so nothing there is ever taken back.
          for (const [mark, verdict] of seen) if (verdict === 1) expect(told.get(mark)).toBe('stored');
        }
        if (killed) {
          // The next run: what was written and not told of may be there, what was refused may not.
          early.close();
          new JournalWriter({ folder, nodeId: 7, nowMs: () => 0 }).close();
        } else {
          for (let second = 0; second < 12; second++) {
            now += 1000;
            try {
              writer.sealWhenDue();
            } catch (error) {
              if (!(error instanceof JournalWriteError)) throw error;
            }
            disk.answer();
          }
          expect(pending).toEqual([]);
          writer.close();
          expect([...seen, ...shippedBy(early)]).toEqual(shipped());
        }
        const all = shipped();
        const credited = all.filter(([, verdict]) => verdict === 1).map(([mark]) => mark);
        expect(new Set(credited).size).toBe(credited.length);
        for (const share of stored()) expect(credited).toContain(share);
        for (const share of credited) expect(told.get(share)).not.toBe('refused');
        if (!killed) expect(marks(all)).toEqual(expect.arrayContaining(blocks));
      }),
      { seed: 11, numRuns: 300 },
    );
  }, 60_000);
});

/** What a reader that has read before still finds. */
function shippedBy(reader: JournalReader): [number, number][] {
  const seen: [number, number][] = [];
  for (let batch = reader.next(); batch !== null; batch = reader.next()) {
    for (let at = 0; at < batch.records.length; at += SHARE_RECORD_BYTES) {
      seen.push([batch.records.readUInt32LE(at + SHARE.nonce), batch.records[at + SHARE.verdict] as number]);
    }
  }
  reader.close();
  return seen;
}
