// `millrace journal` as an operator runs it: the real program on a real journal of shares that really hash.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256d } from '../../engine/bitcoin/hash.js';
import { encodeHeader, headerHash } from '../../engine/bitcoin/header.js';
import { displayHash, hashFromDisplay } from '../../engine/bitcoin/hex.js';
import { rootFromBranch } from '../../engine/bitcoin/merkle.js';
import { targetFromBytesLE, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { laneFolder } from '../../storage/journal/lanes.js';
import { SHARE } from '../../storage/journal/record.js';
import { listSegments, segmentPath } from '../../storage/journal/segments.js';
import { JournalWriter } from '../../storage/journal/writer.js';
import { projectRoot } from '../../storage/project-root.js';

const JOB = {
  ...{ jobId: 'a1', height: 5, version: 0x20000000, bits: 0x207fffff, time: 1_700_000_000 },
  ...{ previousBlock: `00ff${'11'.repeat(30)}`, coinbase1: '0102', coinbase2: '0304' },
  ...{ branch: ['22'.repeat(32), '33'.repeat(32)], networkDifficulty: 1 },
};
const TARGET = (1n << 255n) - 1n;
const START_US = Date.parse('2026-11-21T08:00:00Z') * 1000;

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-journal-cli-'));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

interface Run {
  code: number;
  out: string;
  err: string;
}

function millrace(...args: string[]): Promise<Run> {
  const program = join(projectRoot(), 'dist', 'engine', 'main.js');
  const command = [program, 'journal', ...args, ...(args.includes('--help') ? [] : ['--data-dir', dataDir])];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: dataDir, maxBuffer: 1 << 28 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

function openLane(nodeId: number, segmentBytes = 5000): JournalWriter {
  const folder = laneFolder(dataDir, nodeId);
  const writer = new JournalWriter({ folder, nodeId, nowMs: () => 0, segmentBytes, sealAfterShares: 10 });
  writer.defineIdentity(1, {
    ...{ account: 'alice', worker: 'rig,1', agent: 'test "1"', remote: '127.0.0.1' },
    ...{ scheme: 'fpps', transport: 'tls', protocol: 'v1' },
  });
  writer.defineIdentity(2, { account: 'bob', worker: '', agent: '', remote: '::1' });
  writer.defineJob(9, JOB);
  return writer;
}

/** One share a second, judged as the pool would; every fifth is refused before hashing. Returns hashes shown. */
function fill(writer: JournalWriter, count: number): string[] {
  const hashes: string[] = [];
  for (let i = 0; i < count; i++) {
    const refused = i % 5 === 4;
    const extranonce = Buffer.from(`0000000${i % 10}00000000${String(i).padStart(8, '0')}`, 'hex');
    const merkleRoot = rootFromBranch(
      sha256d(Buffer.concat([Buffer.from('0102', 'hex'), extranonce, Buffer.from('0304', 'hex')])),
      JOB.branch.map((hash) => Buffer.from(hash, 'hex')),
    );
    const [version, time, nonce] = [0x20000000, 1_700_000_000, i];
    const previousBlock = hashFromDisplay(JOB.previousBlock);
    const hash = headerHash(
      encodeHeader({ version, previousBlock, merkleRoot, time, bits: JOB.bits, nonce }),
    );
    const meets = targetFromBytesLE(hash) <= TARGET;
    const at = writer.appendShare(1 + (i % 2), 9, meets && !refused, false);
    const record = writer.buffer.subarray(at);
    record[SHARE.verdict] = refused ? 7 : meets ? 1 : 3;
    record.writeBigUInt64LE(BigInt(START_US + i * 1_000_000), SHARE.receivedUs);
    record.writeUInt32LE(version, SHARE.version);
    record.writeUInt32LE(time, SHARE.ntime);
    record.writeUInt32LE(nonce, SHARE.nonce);
    record[SHARE.extranonce1Bytes] = 4;
    record[SHARE.extranonce2Bytes] = 8;
    extranonce.copy(record, SHARE.extranonce);
    record.set(targetToBytesLE(TARGET), SHARE.target);
    if (!refused) record.set(hash, SHARE.hash);
    hashes.push(refused ? '' : displayHash(hash));
    if (i % 3 === 2) writer.commit();
  }
  writer.commit();
  return hashes;
}

describe('millrace journal', () => {
  it('says what each journal holds', async () => {
    const [one, two] = [openLane(1), openLane(2)];
    fill(one, 100);
    fill(two, 10);
    one.close();
    two.close();
    const { code, out } = await millrace('inspect', '--json');
    expect(code).toBe(0);
    const [first, second] = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({
      ...{ node: 1, shares: 100, firstSeq: 1, lastSeq: 100, blocks: 0, identities: 2 },
      ...{
        acceptedTotal: one.acceptedTotal,
        from: '2026-11-21T08:00:00.000Z',
        to: '2026-11-21T08:01:39.000Z',
      },
    });
    expect(first.verdicts).toEqual({
      ...{ accepted: one.acceptedTotal, bad_ntime: 20, low_difficulty: 80 - one.acceptedTotal },
    });
    expect(first.segments).toBe(listSegments(laneFolder(dataDir, 1)).length);
    expect(second).toMatchObject({ node: 2, shares: 10 });
    expect((await millrace('inspect')).out).toContain('shares      100, numbers 1 to 100');
  });

  it('verifies a whole journal, also while it is being written', async () => {
    const writer = openLane(1);
    fill(writer, 100);
    const folder = laneFolder(dataDir, 1);
    const before = readFileSync(segmentPath(folder, writer.segment));
    // As in the middle of the next write.
    writeFileSync(segmentPath(folder, writer.segment), Buffer.concat([before, before.subarray(0, 70)]));
    const { code, out } = await millrace('verify');
    expect([code, out]).toEqual([0, expect.stringMatching(/100 shares: all as .* 80 hashed again/)]);
    expect(readFileSync(segmentPath(folder, writer.segment)).length).toBe(before.length + 70);
    writer.close();
  });

  it('finds a flipped bit, a missing segment and a share that was called good, and says where', async () => {
    const writer = openLane(1);
    fill(writer, 100);
    writer.close();
    const folder = laneFolder(dataDir, 1);
    const [first, second] = listSegments(folder) as [number, number];
    const path = segmentPath(folder, first);
    const bytes = readFileSync(path);
    const flipped = Buffer.from(bytes);
    flipped[100] = (flipped[100] as number) ^ 1;
    writeFileSync(path, flipped);
    expect(await millrace('verify')).toMatchObject({
      code: 1,
      err: expect.stringContaining(`${path}, byte 0: `),
    });
    writeFileSync(path, bytes);
    const kept = readFileSync(segmentPath(folder, second));
    rmSync(segmentPath(folder, second));
    expect(await millrace('verify')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/share \d+ where \d+ is/),
    });
    writeFileSync(segmentPath(folder, second), kept);
    expect((await millrace('verify')).code).toBe(0);
    rmSync(folder, { recursive: true });
    const liar = openLane(1);
    const at = liar.appendShare(1, 9, true, false);
    liar.buffer[at + SHARE.verdict] = 1;
    liar.buffer.fill(1, at + SHARE.hash, at + SHARE.hash + 32);
    liar.commit();
    liar.close();
    expect(await millrace('verify')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/share 1: .*another hash/),
    });
  });

  it('exports shares of a time range and account as CSV and NDJSON', async () => {
    const writer = openLane(1);
    const hashes = fill(writer, 60);
    writer.close();
    const all = (await millrace('export')).out.trimEnd().split('\n');
    expect(all.length).toBe(61);
    expect(all[0]).toMatch(/^time,node,seq,session,account,worker,/);
    expect(all[1]).toContain(
      '2026-11-21T08:00:00.000000Z,1,1,0,alice,"rig,1","test ""1""",127.0.0.1,fpps,tls,v1,a1,5,',
    );
    // From before schemes and births were recorded.
    expect(all[2]).toMatch(/,bob,,,::1,,,,a1,5,.*,$/);
    const file = join(dataDir, 'shares.ndjson');
    const range = ['--from', '2026-11-21T08:00:10Z', '--to', '2026-11-21T08:00:20Z', '--account', 'bob'];
    expect((await millrace('export', '--format', 'ndjson', '--out', file, ...range)).code).toBe(0);
    const rows = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows.map(({ seq }) => seq)).toEqual([12, 14, 16, 18, 20]);
    for (const { seq, hash, account } of rows) expect([hash, account]).toEqual([hashes[seq - 1], 'bob']);
    const size = statSync(file).size;
    expect((await millrace('export', '--out', file)).code).toBe(1);
    expect(statSync(file).size).toBe(size);
  });

  it('explains itself and what was asked wrongly', async () => {
    expect((await millrace('--help')).out).toContain('millrace journal verify');
    for (const name of ['inspect', 'verify', 'export']) {
      expect(await millrace(name, '--help')).toMatchObject({
        code: 0,
        out: expect.stringContaining('--data-dir'),
      });
    }
    expect(await millrace('inspect')).toMatchObject({
      code: 64,
      err: expect.stringContaining('no share journal'),
    });
    expect((await millrace('explode')).code).toBe(64);
    expect(await millrace('export', '--from', 'noon')).toMatchObject({
      code: 64,
      err: expect.stringContaining('noon'),
    });
  });
});
