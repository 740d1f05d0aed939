// Sealed batches of a journal joined for a store that is behind: which cuts are made, and that one can be made again.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JournalCorruptError } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { RoundCounter } from '../../storage/journal/round-counter.js';
import { segmentPath } from '../../storage/journal/segments.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { readCursor, writeCursor } from '../../storage/shipper/cursor-file.js';
import { JOIN_SHARES_MAX, JoinedReader } from '../../storage/shipper/joined-reader.js';
import { TEST_JOB } from '../fixtures/journal-batch.js';

let folder: string;
let rounds: RoundCounter;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-join-'));
  rounds = new RoundCounter();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A writer whose only identity says in which start of the pool it was defined. */
function open(start = 1, segmentBytes?: number): JournalWriter {
  const writer = new JournalWriter({
    ...{ folder, nodeId: 7, nowMs: () => 0, rounds },
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  writer.defineIdentity(1, { account: `start${start}`, worker: '', agent: '', remote: '' });
  writer.defineJob(1, TEST_JOB);
  return writer;
}

function seal(writer: JournalWriter, shares: number): void {
  for (let share = 0; share < shares; share++) {
    const at = writer.appendShare(1, 1, true, false);
    writer.buffer[at + SHARE.verdict] = 1;
  }
  writer.seal();
}

const all = () => Number.POSITIVE_INFINITY;
const alone = ({ lastSeq }: { lastSeq: number }) => lastSeq;

/** First and last number of every batch from here to the end. */
function cuts(reader: JoinedReader, joinUpTo: (first: { lastSeq: number }) => number = all) {
  const found: [number, number][] = [];
  for (let next = reader.next(joinUpTo); next !== null; next = reader.next(joinUpTo)) {
    const { batch } = next;
    expect(batch.shares).toBe(batch.lastSeq - batch.firstSeq + 1);
    expect(batch.records).toHaveLength(batch.shares * SHARE_RECORD_BYTES);
    expect(batch.token).toBe(`7-${batch.firstSeq}-${batch.lastSeq}`);
    found.push([batch.firstSeq, batch.lastSeq]);
  }
  return found;
}

describe('batches of a journal that waited', () => {
  it('are joined, with what the last of them says of the lane', () => {
    const writer = open();
    for (const shares of [3, 1, 5]) seal(writer, shares);
    rounds.next();
    writer.sealWhenDue();
    const reader = new JoinedReader(folder, null);
    expect(reader.next(all)).toMatchObject({
      joined: true,
      batch: { firstSeq: 1, lastSeq: 9, shares: 9, acceptedTotal: 9, round: 1, token: '7-1-9' },
    });
    expect(reader.next(all)).toBeNull();
    expect(reader.atEnd).toBe(true);
    seal(writer, 2);
    expect(reader.next(all)).toMatchObject({ joined: false, batch: { firstSeq: 10, lastSeq: 11 } });
    reader.close();
    writer.close();
  });

  it('are each alone when the store asks for it', () => {
    const writer = open();
    for (const shares of [3, 1, 5]) seal(writer, shares);
    expect(cuts(new JoinedReader(folder, null), alone)).toEqual([
      [1, 3],
      [4, 4],
      [5, 9],
    ]);
    writer.close();
  });

  it('hold a bounded number of shares, unless one was sealed larger', () => {
    const writer = open();
    for (const part of [0.5, 0.5, 0.6, 0.6, 1.2, 0.1]) seal(writer, JOIN_SHARES_MAX * part);
    const sizes = cuts(new JoinedReader(folder, null)).map(([first, last]) => last - first + 1);
    expect(sizes).toEqual([1, 0.6, 0.6, 1.2, 0.1].map((part) => JOIN_SHARES_MAX * part));
    writer.close();
  });

  it('are not joined over the end of a segment, where a number means somebody else', () => {
    let writer = open(1);
    seal(writer, 2);
    seal(writer, 2);
    writer.close();
    writer = open(2);
    seal(writer, 2);
    seal(writer, 2);
    const reader = new JoinedReader(folder, null);
    for (const [account, firstSeq] of [['start1', 1] as const, ['start2', 5] as const]) {
      const { batch } = reader.next(all) ?? {};
      expect(batch).toMatchObject({ firstSeq, shares: 4 });
      expect(batch?.identities.get(1)?.account).toBe(account);
    }
    reader.close();
    writer.close();
  });

  it('are delivered up to a damage, which is said then', () => {
    const writer = open();
    for (const shares of [3, 1, 5]) seal(writer, shares);
    writer.close();
    open(2).close();
    const path = segmentPath(folder, 1);
    const bytes = readFileSync(path);
    bytes[bytes.length - SHARE_RECORD_BYTES * 2] = 0xee;
    writeFileSync(path, bytes);
    const reader = new JoinedReader(folder, null);
    expect(reader.next(all)).toMatchObject({ batch: { firstSeq: 1, lastSeq: 4 } });
    expect(() => reader.next(all)).toThrow(JournalCorruptError);
    // Half of a cut that was made before is no cut.
    expect(() => new JoinedReader(folder, null).next(() => 9)).toThrow(JournalCorruptError);
    reader.close();
  });

  it('give every share once, and any cut again, whatever came behind it meanwhile', () => {
    const start = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(start, { minLength: 1, maxLength: 4 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 400, max: 4000 }),
        (starts, deaths, segmentBytes) => {
          rmSync(folder, { recursive: true });
          let position = null;
          let nextSeq = 1;
          let written = 0;
          for (const [index, batches] of starts.entries()) {
            const writer = open(index, segmentBytes);
            for (const shares of batches) {
              rounds.next();
              if (shares === 0) writer.sealWhenDue();
              else seal(writer, shares);
              written += shares;
              if (deaths[(index + shares) % deaths.length]) continue;
              const found = new JoinedReader(folder, position);
              const cut = found.next(all)?.batch;
              found.close();
              if (cut === undefined) continue;
              // Dies here; the journal grows, and the next one makes the same cut.
              seal(writer, 3);
              written += 3;
              const again = new JoinedReader(folder, position);
              const repeated = again.next(() => cut.lastSeq)?.batch;
              again.close();
              if (cut.shares > 0) expect(repeated?.records.equals(cut.records)).toBe(true);
              expect(repeated?.token).toBe(cut.token);
              expect(cut.firstSeq).toBe(nextSeq);
              nextSeq = cut.lastSeq + 1;
              position = cut.next;
            }
            writer.close();
          }
          const rest = new JoinedReader(folder, position);
          for (const [first, last] of cuts(rest)) {
            expect(first).toBe(nextSeq);
            nextSeq = last + 1;
          }
          rest.close();
          expect(nextSeq).toBe(written + 1);
        },
      ),
      { seed: 17, numRuns: 60 },
    );
  });
});

describe('the cursor file', () => {
  const path = () => join(folder, 'clickhouse.cursor.json');
  const cursor = { nodeId: 7, nextSeq: 5, position: { segment: 1, offset: 900 } };

  it('keeps the cut of a joined batch that is on its way', () => {
    writeCursor(path(), { ...cursor, sending: { firstSeq: 5, lastSeq: 90 } });
    expect(readCursor(path())).toEqual({ ...cursor, sending: { firstSeq: 5, lastSeq: 90 } });
    writeCursor(path(), cursor);
    expect(readCursor(path())).toEqual(cursor);
  });

  it.each([null, {}, { firstSeq: 5 }, { firstSeq: 5, lastSeq: 'x' }, 7])(
    'is damaged when that cut is %j',
    (sending) => {
      writeFileSync(path(), JSON.stringify({ ...cursor, sending }));
      expect(() => readCursor(path())).toThrow(/is damaged. Delete it/);
    },
  );
});
