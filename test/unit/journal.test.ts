import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verdictByCode } from '../../engine/work/verdict.js';
import { laneFolder, recoverLanes } from '../../storage/journal/lanes.js';
import { JournalCorruptError, JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { RETENTION_MS, removeConsumedSegments } from '../../storage/journal/retention.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { listSegments, segmentPath } from '../../storage/journal/segments.js';
import { JournalWriteError, JournalWriter, type JournalWriterOptions } from '../../storage/journal/writer.js';

let folder: string;
let now: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-journal-'));
  now = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (extra: Partial<JournalWriterOptions> = {}) =>
  new JournalWriter({ folder, nodeId: 7, nowMs: () => now, ...extra });

const IDENTITY = { account: 'alice', worker: 'rig1', agent: 'test/1', remote: '127.0.0.1' };
const JOB = {
  jobId: 'a1',
  height: 5,
  previousBlock: '00'.repeat(32),
  version: 0x20000000,
  bits: 0x1d00ffff,
  time: 1_700_000_000,
  coinbase1: '01',
  coinbase2: '02',
  branch: [],
  networkDifficulty: 1,
};

function append(writer: JournalWriter, count: number, accepted = true): void {
  for (let i = 0; i < count; i++) {
    const at = writer.appendShare(1, 9, accepted, false);
    writer.buffer[at + SHARE.verdict] = accepted ? 1 : 3;
    writer.buffer.writeUInt32LE(writer.nextSeq - 1, at + SHARE.nonce);
  }
}

function filled(extra: Parameters<typeof open>[0] = {}): JournalWriter {
  const writer = open(extra);
  writer.defineIdentity(1, IDENTITY);
  writer.defineJob(9, JOB);
  return writer;
}

/** Sequence numbers of every share in the journal, as the shipper sees them. */
function readAll(reader: JournalReader): number[] {
  const seqs: number[] = [];
  for (let batch = reader.next(); batch !== null; batch = reader.next()) {
    for (let i = 0; i < batch.shares; i++) {
      const at = i * SHARE_RECORD_BYTES;
      const seq = Number(batch.records.readBigUInt64LE(at + SHARE.seq));
      expect(batch.records.readUInt32LE(at + SHARE.nonce)).toBe(seq);
      expect(batch.identities.get(batch.records.readUInt32LE(at + SHARE.identity))).toEqual(IDENTITY);
      expect(batch.jobs.get(batch.records.readUInt32LE(at + SHARE.job))).toEqual(JOB);
      seqs.push(seq);
    }
  }
  reader.close();
  return seqs;
}

const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

describe('share journal', () => {
  it('gives back each committed share once, in order, with who submitted it and what was worked on', () => {
    const writer = filled();
    append(writer, 3);
    writer.commit();
    append(writer, 2, false);
    writer.commit();
    writer.close();
    expect(readAll(new JournalReader(folder, null))).toEqual(range(1, 5));
    expect(writer.acceptedTotal).toBe(3);
  });

  it('shows the shipper nothing that is not sealed, and seals after the set time without new shares', () => {
    const writer = filled();
    const reader = new JournalReader(folder, null);
    append(writer, 2);
    writer.commit();
    expect(reader.next()).toBeNull();
    now = 1001;
    writer.sealWhenDue();
    expect(reader.next()?.shares).toBe(2);
    reader.close();
    writer.close();
  });

  it('cuts the same batches with the same tokens for every reader, whenever it resumes', () => {
    const writer = filled({ sealAfterShares: 4, segmentBytes: 1500 });
    for (let i = 0; i < 30; i++) {
      append(writer, 1 + (i % 3));
      writer.commit();
    }
    writer.close();
    const first = new JournalReader(folder, null);
    const batches = [];
    for (let batch = first.next(); batch !== null; batch = first.next()) batches.push(batch);
    first.close();
    expect(batches.length).toBeGreaterThan(5);
    expect(listSegments(folder).length).toBeGreaterThan(3);
    for (const [index, batch] of batches.entries()) {
      const resumed = new JournalReader(folder, batch.next);
      const next = resumed.next();
      resumed.close();
      expect(next?.token).toBe(batches[index + 1]?.token);
      expect(next?.records).toEqual(batches[index + 1]?.records);
    }
  });

  it('goes on with sequence numbers and totals after a restart', () => {
    const before = filled();
    append(before, 4);
    before.commit();
    before.appendShare(1, 9, true, true);
    before.commit();
    before.close();
    const after = open();
    expect([after.nextSeq, after.acceptedTotal, after.round]).toEqual([6, 5, 1]);
    after.close();
  });

  it('cuts a tail torn at any byte, loses no whole frame, and appends behind nothing torn', () => {
    const writer = filled();
    const ends: number[] = [];
    const path = segmentPath(folder, writer.segment);
    for (let i = 0; i < 4; i++) {
      append(writer, 2);
      writer.commit();
      ends.push(statSync(path).size);
    }
    const bytes = readFileSync(path);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length }), (cut) => {
        for (const number of listSegments(folder)) rmSync(segmentPath(folder, number));
        writeFileSync(path, bytes.subarray(0, cut));
        const whole = ends.filter((end) => end <= cut).length;
        const again = filled();
        expect(again.nextSeq).toBe(whole * 2 + 1);
        append(again, 1);
        again.commit();
        again.close();
        expect(readAll(new JournalReader(folder, null))).toEqual(range(1, whole * 2 + 1));
      }),
      { seed: 5, numRuns: 150 },
    );
  });

  it('says so loudly when a finished segment was damaged', () => {
    const writer = filled();
    append(writer, 3);
    writer.commit();
    writer.close();
    const path = segmentPath(folder, writer.segment);
    const bytes = readFileSync(path);
    writeFileSync(segmentPath(folder, writer.segment + 1), '');
    truncateSync(path, bytes.length - 10);
    expect(() => new JournalReader(folder, null).next()).toThrow(/cut short/);
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(() => new JournalReader(folder, null).next()).toThrow(JournalCorruptError);
  });

  it('takes back a frame that the disk refused: the numbers are used again, nothing half-written stays', () => {
    let room = Number.POSITIVE_INFINITY;
    const fullDisk = (fd: number, bytes: Buffer, offset: number): number => {
      if (room <= 0) throw new Error('ENOSPC: no space left on device');
      const written = writeSync(fd, bytes, offset, Math.min(bytes.length - offset, room));
      room -= written;
      return written;
    };
    const writer = filled({ write: fullDisk });
    append(writer, 2);
    writer.commit();
    append(writer, 3);
    room = 100;
    expect(() => writer.commit()).toThrow(JournalWriteError);
    room = Number.POSITIVE_INFINITY;
    expect(writer.nextSeq).toBe(3);
    append(writer, 1);
    writer.commit();
    writer.close();
    expect(readAll(new JournalReader(folder, null))).toEqual([1, 2, 3]);
  });

  it('keeps segments until both consumers are past them and their time is over, and always the newest', () => {
    const writer = filled({ sealAfterShares: 1, segmentBytes: 500 });
    for (let i = 0; i < 12; i++) {
      append(writer, 2);
      writer.commit();
    }
    const numbers = listSegments(folder);
    const [, , third] = numbers as [number, number, number];
    const later = Date.now() + 25 * 3_600_000;
    const rule = { keepMs: RETENTION_MS, bytesMax: Number.POSITIVE_INFINITY };
    expect(removeConsumedSegments(folder, third, Date.now(), rule).segments).toBe(0);
    expect(removeConsumedSegments(folder, third, later, rule).segments).toBe(2);
    expect(listSegments(folder)).toEqual(numbers.slice(2));
    removeConsumedSegments(folder, Number.MAX_SAFE_INTEGER, later, rule);
    // The very newest was just begun and is empty: the one before it knows the last number.
    expect(listSegments(folder)).toEqual(numbers.slice(-2));
    writer.close();
    expect(open().nextSeq).toBe(25);
  });

  it('removes the oldest before their time when they are too many bytes, but none that a consumer needs', () => {
    const writer = filled({ sealAfterShares: 1, segmentBytes: 500 });
    for (let i = 0; i < 12; i++) {
      append(writer, 2);
      writer.commit();
    }
    const numbers = listSegments(folder);
    const sizes = numbers.map((number) => statSync(segmentPath(folder, number)).size);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const [first = 0, second = 0] = sizes;
    const trim = (needed: number, bytesMax: number) =>
      removeConsumedSegments(folder, needed, Date.now(), { keepMs: RETENTION_MS, bytesMax });
    expect(trim(Number.MAX_SAFE_INTEGER, total).segments).toBe(0);
    expect(trim(Number.MAX_SAFE_INTEGER, total - first - 1)).toEqual({ segments: 2, bytes: first + second });
    expect(trim(numbers[4] as number, 0).segments).toBe(2);
    expect(listSegments(folder)).toEqual(numbers.slice(4));
    writer.close();
  });

  it('books a block whose frame the disk refused as soon as it can be written, uncredited', () => {
    let full = false;
    const write = (fd: number, bytes: Buffer, offset: number): number => {
      if (full) throw new Error('ENOSPC: no space left on device');
      return writeSync(fd, bytes, offset);
    };
    const writer = filled({ write });
    append(writer, 2);
    full = true;
    const at = writer.appendShare(1, 9, true, true);
    writer.buffer[at + SHARE.verdict] = 1;
    writer.buffer.writeUInt32LE(4242, at + SHARE.nonce);
    expect(() => writer.commit()).toThrow(JournalWriteError);
    expect(() => writer.sealWhenDue()).toThrow(JournalWriteError);
    writer.forgetIdentity(1);
    full = false;
    writer.sealWhenDue();
    writer.close();
    const reader = new JournalReader(folder, null);
    const batch = reader.next();
    reader.close();
    expect([batch?.shares, batch?.firstSeq, batch?.acceptedTotal]).toEqual([1, 1, 0]);
    const record = batch?.records as Buffer;
    expect(record.readUInt32LE(SHARE.nonce)).toBe(4242);
    expect(record.readUInt16LE(SHARE.flags)).toBe(1);
    expect(verdictByCode(record[SHARE.verdict] as number).name).toBe('storage_failed');
    expect(batch?.identities.get(1)).toEqual(IDENTITY);
    expect(writer.round).toBe(1);
  });

  it('refuses a share of somebody it was never told of', () => {
    const writer = filled();
    expect(() => writer.appendShare(77, 9, true, false)).toThrow(/identity 77/);
    expect(() => writer.appendShare(1, 78, true, false)).toThrow(/job 78/);
    writer.close();
  });

  it('does not take damage in the middle of the newest segment for a torn tail', () => {
    const writer = filled();
    for (let i = 0; i < 3; i++) {
      append(writer, 2);
      writer.commit();
    }
    const path = segmentPath(folder, writer.segment);
    writer.close();
    const bytes = readFileSync(path);
    bytes[60] = (bytes[60] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(() => open()).toThrow(/damaged/);
    expect(readFileSync(path)).toEqual(bytes);
  });
});

describe('rounds of a pool with several journals', () => {
  let rounds: RoundCounter;
  let a: JournalWriter;
  let b: JournalWriter;

  const lane = (nodeId: number, extra: Partial<JournalWriterOptions> = {}) =>
    filled({ folder: laneFolder(folder, nodeId), nodeId, rounds, ...extra });

  beforeEach(() => {
    rounds = new RoundCounter();
    a = lane(1);
    b = lane(2);
  });
  afterEach(() => {
    a.close();
    b.close();
  });

  const block = (writer: JournalWriter) => writer.appendShare(1, 9, false, true);

  /** All batches of a lane so far, as [shares, round closed at its end, rounds of its shares]. */
  function batchesOf(nodeId: number) {
    const reader = new JournalReader(laneFolder(folder, nodeId), null);
    const batches: [number, number, number[]][] = [];
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      const stamps = range(0, batch.shares).map((i) =>
        (batch as { records: Buffer }).records.readUInt32LE(i * SHARE_RECORD_BYTES + SHARE.round),
      );
      expect(batch.lastSeq - batch.firstSeq + 1).toBe(batch.shares);
      batches.push([batch.shares, batch.round, stamps]);
    }
    reader.close();
    return batches;
  }

  it('give each round to one block, whichever thread found it', async () => {
    const each = 20_000;
    const module = new URL('../../storage/journal/round-counter.js', import.meta.url).href;
    const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.module).then(({ RoundCounter }) => {
        const rounds = new RoundCounter(workerData.memory);
        parentPort.postMessage(Array.from({ length: ${each} }, () => rounds.next()));
      });`;
    const taken = await Promise.all(
      range(0, 3).map(
        () =>
          new Promise<number[]>((resolve, reject) => {
            const worker = new Worker(program, {
              eval: true,
              workerData: { module, memory: rounds.memory },
            });
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
    expect(taken.flat().sort((x, y) => x - y)).toEqual(range(0, 3 * each));
    expect(rounds.current()).toBe(3 * each);
  });

  it('never go back, and are refused when they are none', () => {
    rounds.raiseTo(7);
    rounds.raiseTo(3);
    expect(rounds.current()).toBe(7);
    for (const none of [-1, 1.5, 2 ** 32, Number.NaN]) expect(() => rounds.raiseTo(none)).toThrow(RangeError);
  });

  it('part the shares of all lanes into those before a block and those after it', () => {
    append(a, 1);
    append(b, 1);
    block(a);
    append(b, 1);
    block(b);
    append(a, 1);
    a.seal();
    b.seal();
    expect(batchesOf(1)).toEqual([[3, 2, [0, 0, 2]]]);
    expect(batchesOf(2)).toEqual([[3, 2, [0, 1, 1]]]);
  });

  it('that another lane closed are told by a lane without shares in a batch of its own, once', () => {
    append(b, 1);
    b.seal();
    for (let second = 0; second < 3; second++) b.sealWhenDue();
    expect(batchesOf(2)).toEqual([[1, 0, [0]]]);
    block(a);
    a.seal();
    for (let second = 0; second < 3; second++) b.sealWhenDue();
    append(b, 1);
    b.seal();
    expect(batchesOf(2)).toEqual([
      [1, 0, [0]],
      [0, 1, []],
      [1, 1, [1]],
    ]);
    expect(readAll(new JournalReader(laneFolder(folder, 2), null))).toEqual([1, 2]);
  });

  it('are not told before the shares of the lane that came earlier', () => {
    append(b, 1);
    block(a);
    b.sealWhenDue();
    expect(batchesOf(2)).toEqual([]);
    b.commit();
    now = 1001;
    b.sealWhenDue();
    expect(batchesOf(2)).toEqual([[1, 1, [0]]]);
  });

  it('stay with a block whose frame the disk refused, while other lanes go on', () => {
    let full = false;
    a.close();
    a = lane(1, {
      write: (fd, bytes, offset) => {
        if (full) throw new Error('ENOSPC: no space left on device');
        return writeSync(fd, bytes, offset);
      },
    });
    full = true;
    block(a);
    expect(() => a.commit()).toThrow(JournalWriteError);
    append(b, 1);
    block(b);
    for (let second = 0; second < 5; second++) expect(() => a.sealWhenDue()).toThrow(JournalWriteError);
    expect(batchesOf(1)).toEqual([]);
    full = false;
    a.seal();
    b.seal();
    expect(batchesOf(1)).toEqual([[1, 2, [0]]]);
    expect(batchesOf(2)).toEqual([[2, 2, [1, 1]]]);
    expect(rounds.current()).toBe(2);
  });

  it('go on after a restart from the highest that any lane has seen, former lanes too', () => {
    block(b);
    block(b);
    b.commit();
    append(a, 1);
    a.commit();
    // As after a kill: nothing is sealed, nothing is closed. Node 2 gets no thread again.
    const recovered = recoverLanes(folder, 1);
    expect(recovered.rounds.current()).toBe(2);
    expect(recovered.lanes).toEqual([
      { nodeId: 1, journalFolder: laneFolder(folder, 1), running: true, nextSeq: 2, acceptedTotal: 1 },
      { nodeId: 2, journalFolder: laneFolder(folder, 2), running: false, nextSeq: 3, acceptedTotal: 0 },
    ]);
    const reader = new JournalReader(laneFolder(folder, 2), null);
    expect(reader.next()).toMatchObject({ shares: 2, round: 2 });
    expect(reader.atEnd).toBe(false);
    expect(reader.next()?.shares ?? 0).toBe(0);
    while (reader.next() !== null);
    expect(reader.atEnd).toBe(true);
    reader.close();
  });

  it('make the journals of new lanes and take no other folder for one', () => {
    const recovered = recoverLanes(join(folder, 'fresh'), 2);
    expect(recovered.lanes.map(({ nodeId, running }) => [nodeId, running])).toEqual([
      [1, true],
      [2, true],
    ]);
    for (const name of ['journal-0', 'journal-01', 'journal-70000', 'journal-x', 'journal-3.old']) {
      mkdirSync(join(folder, 'fresh', name));
    }
    expect(recoverLanes(join(folder, 'fresh'), 1).lanes.map(({ nodeId }) => nodeId)).toEqual([1, 2]);
  });
});
