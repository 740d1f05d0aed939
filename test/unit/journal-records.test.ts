// Properties of the journal's bytes: any record comes back as it was filled in, any damage is seen, batches are
// the same whoever reads them when, and a tail may be torn at any byte.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JournalReader } from '../../storage/journal/reader.js';
import { SHARE, SHARE_RECORD_BYTES } from '../../storage/journal/record.js';
import { readFrame, segmentPath } from '../../storage/journal/segments.js';
import { JournalWriter } from '../../storage/journal/writer.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-records-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const text = fc.string({ unit: 'binary', maxLength: 40 });
const identity = fc.record({ account: text, worker: text, agent: text, remote: fc.ipV6() });
const hex = (bytes: number) =>
  fc.uint8Array({ maxLength: bytes }).map((value) => Buffer.from(value).toString('hex'));
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const job = fc.record({
  ...{ jobId: hex(8), height: uint32, previousBlock: hex(32), version: uint32, bits: uint32, time: uint32 },
  ...{ coinbase1: hex(200), coinbase2: hex(200), branch: fc.array(hex(32), { maxLength: 14 }) },
  networkDifficulty: fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Object.is(value, -0)),
});
/** What a caller fills in: everything of a record that the journal does not. */
const filledBytes = fc.uint8Array({ minLength: SHARE_RECORD_BYTES, maxLength: SHARE_RECORD_BYTES });
const OWN_FIELDS: readonly [number, number][] = [
  [SHARE.kind, 1],
  [SHARE.flags, 2],
  [SHARE.seq, 8],
  [SHARE.identity, 4],
  [SHARE.job, 4],
  [SHARE.round, 4],
];

const open = (nowMs = () => 0, sealAfterShares = 100_000) =>
  new JournalWriter({ folder, nodeId: 65_535, nowMs, sealAfterShares, segmentBytes: 3000 });

describe('journal records', () => {
  it('come back byte by byte, with who and what they name, whatever is in them', () => {
    fc.assert(
      fc.property(
        identity,
        job,
        fc.array(filledBytes, { minLength: 1, maxLength: 20 }),
        (who, what, shares) => {
          rmSync(folder, { recursive: true, force: true });
          const writer = open();
          writer.defineIdentity(0xffffffff, who);
          writer.defineJob(0xfffffffe, what);
          for (const bytes of shares) {
            const at = writer.appendShare(0xffffffff, 0xfffffffe, true, false);
            const own = OWN_FIELDS.map(([field, length]) =>
              Buffer.from(writer.buffer.subarray(at + field, at + field + length)),
            );
            writer.buffer.set(bytes, at);
            for (const [i, [field]] of OWN_FIELDS.entries()) writer.buffer.set(own[i] as Buffer, at + field);
          }
          writer.close();
          const reader = new JournalReader(folder, null);
          const batch = reader.next();
          reader.close();
          expect(batch?.shares).toBe(shares.length);
          expect(batch?.nodeId).toBe(65_535);
          expect(batch?.identities.get(0xffffffff)).toEqual(who);
          expect(batch?.jobs.get(0xfffffffe)).toEqual(what);
          for (const [index, bytes] of shares.entries()) {
            const at = index * SHARE_RECORD_BYTES;
            const record = Buffer.from(
              (batch?.records ?? Buffer.alloc(0)).subarray(at, at + SHARE_RECORD_BYTES),
            );
            expect(Number(record.readBigUInt64LE(SHARE.seq))).toBe(index + 1);
            const wanted = Buffer.from(bytes);
            for (const [field, length] of OWN_FIELDS) record.copy(wanted, field, field, field + length);
            expect(record.equals(wanted)).toBe(true);
          }
        },
      ),
      { seed: 3, numRuns: 100 },
    );
  });

  it('show any flipped bit of their frame', () => {
    const writer = open();
    writer.defineIdentity(1, { account: 'a', worker: 'w', agent: '', remote: '::1' });
    writer.appendShare(1, 0, true, false);
    writer.close();
    const path = segmentPath(folder, writer.segment);
    const bytes = readFileSync(path);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      writeFileSync(path, flipped);
      const fd = openSync(path, 'r');
      // The first frame holds the share, the last 40 bytes are the seal.
      const result = readFrame(fd, bit >> 3 < bytes.length - 40 ? 0 : bytes.length - 40);
      closeSync(fd);
      expect(typeof result, `bit ${bit}`).toBe('string');
    }
  });
});

describe('journal batches', () => {
  const cut = (reader: JournalReader) => {
    const batches: [string, string][] = [];
    for (let batch = reader.next(); batch !== null; batch = reader.next()) {
      batches.push([batch.token, batch.records.toString('base64')]);
    }
    return batches;
  };

  function writeShares(writer: JournalWriter, count: number): void {
    for (let i = 0; i < count; i++) writer.appendShare(1, 0, true, false);
    writer.commit();
  }

  const define = (writer: JournalWriter) => {
    writer.defineIdentity(1, { account: 'a', worker: 'w', agent: '', remote: '::1' });
    return writer;
  };

  it('are the same for who follows the writer, who comes later, and who resumes after each', () => {
    const steps = fc.array(
      fc.record({ shares: fc.integer({ min: 0, max: 9 }), ms: fc.integer({ min: 0, max: 600 }) }),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 12 }), (all, sealAfterShares) => {
        rmSync(folder, { recursive: true, force: true });
        let now = 0;
        const writer = define(open(() => now, sealAfterShares));
        const follower = new JournalReader(folder, null);
        const followed: [string, string][] = [];
        for (const { shares, ms } of all) {
          now += ms;
          writeShares(writer, shares);
          writer.sealWhenDue();
          followed.push(...cut(follower));
        }
        writer.close();
        followed.push(...cut(follower));
        follower.close();
        const late = new JournalReader(folder, null);
        expect(cut(late)).toEqual(followed);
        late.close();
        const resumed: [string, string][] = [];
        let position = null;
        for (;;) {
          const reader = new JournalReader(folder, position);
          const batch = reader.next();
          reader.close();
          if (batch === null) break;
          resumed.push([batch.token, batch.records.toString('base64')]);
          position = batch.next;
        }
        expect(resumed).toEqual(followed);
        const total = all.reduce((sum, { shares }) => sum + shares, 0);
        const bytes = followed.reduce((sum, [, records]) => sum + Buffer.from(records, 'base64').length, 0);
        expect(bytes).toBe(total * SHARE_RECORD_BYTES);
      }),
      { seed: 4, numRuns: 150 },
    );
  });

  it('that were delivered stay as they were when the tail is torn at any byte, and the rest follows once', () => {
    const writer = define(open(() => 0, 2));
    const path = segmentPath(folder, writer.segment);
    const ends: number[] = [];
    for (let i = 0; i < 5; i++) {
      writeShares(writer, 1);
      ends.push(statSync(path).size);
    }
    const bytes = readFileSync(path);
    for (let at = 0; at <= bytes.length; at++) {
      rmSync(folder, { recursive: true, force: true });
      open().close();
      rmSync(segmentPath(folder, 1));
      writeFileSync(path, bytes.subarray(0, at));
      const shipper = new JournalReader(folder, null);
      let position = null;
      const delivered: number[] = [];
      const take = (reader: JournalReader) => {
        for (let batch = reader.next(); batch !== null; batch = reader.next()) {
          for (let i = 0; i < batch.shares; i++) {
            delivered.push(Number(batch.records.readBigUInt64LE(i * SHARE_RECORD_BYTES + SHARE.seq)));
          }
          position = batch.next;
        }
        reader.close();
      };
      take(shipper);
      const whole = ends.filter((end) => end <= at).length;
      expect(delivered.length).toBe(whole - (whole % 2));
      const again = define(open());
      writeShares(again, 2);
      again.close();
      take(new JournalReader(folder, position));
      expect(delivered).toEqual(Array.from({ length: whole + 2 }, (_, i) => i + 1));
    }
  }, 60_000);
});
