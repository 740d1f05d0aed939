// The parts of the soak run: a comparison that must find every kind of difference, and what its miners are made of.
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { targetFromDifficulty, targetToBytesLE } from '../../engine/bitcoin/target.js';
import { VERDICTS, verdictByName } from '../../engine/work/verdict.js';
import { loopbackCertificate } from '../../loadtest/soak/certificate.js';
import { Comparison, type JournaledShare } from '../../loadtest/soak/comparison.js';
import { Differences } from '../../loadtest/soak/differences.js';
import { chanceOf, drawHabits, type Habits, TRANSPORTS } from '../../loadtest/soak/habits.js';
import { memoryGrowth } from '../../loadtest/soak/memory-trend.js';
import { readOptions, UsageError } from '../../loadtest/soak/options.js';
import {
  answerOf,
  INTENTS,
  readToldShares,
  TOLD_SHARE_BYTES,
  type ToldShare,
  ToldSharesWriter,
  UNANSWERED,
  UNKNOWN_ANSWER,
  workerName,
} from '../../loadtest/soak/told-shares.js';
import {
  closeFrame,
  handshakeRequest,
  textFrame,
  WebSocketReader,
} from '../../loadtest/soak/websocket-frames.js';

const SEED = 20_250_708;
const folder = mkdtempSync(join(tmpdir(), 'millrace-soak-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const code = (name: (typeof VERDICTS)[number]['name']): number => verdictByName(name).code;
const DIFFICULTY = 2 ** -24;

/** A hash that meets any target of the tests. */
function hashOf(n: number): Uint8Array {
  const hash = createHash('sha256').update(String(n)).digest();
  hash.fill(0, 24);
  return hash;
}

function journaled(n: number, change: Partial<JournaledShare> = {}): JournaledShare {
  return {
    seq: n + 1,
    verdict: code('accepted'),
    hash: hashOf(n),
    difficulty: DIFFICULTY,
    targetLE: targetToBytesLE(targetFromDifficulty(change.difficulty ?? DIFFICULTY)),
    user: workerName(n % 3, 0),
    ...change,
  };
}

function told(n: number, change: Partial<ToldShare> = {}): ToldShare {
  return {
    hash: hashOf(n),
    difficulty: DIFFICULTY,
    miner: n % 3,
    worker: 0,
    answer: code('accepted'),
    intent: 'work',
    ...change,
  };
}

function compare(
  journal: readonly JournaledShare[],
  books: readonly ToldShare[],
  engineVerdicts: Record<string, number> | null = null,
) {
  const differences = new Differences();
  const comparison = new Comparison(differences);
  for (const share of journal) comparison.addJournaled(share);
  for (const share of books) comparison.addTold(share);
  const counts = comparison.finish(engineVerdicts);
  return {
    counts,
    kinds: differences
      .list()
      .map(({ kind }) => kind)
      .sort(),
    list: differences.list(),
  };
}

describe('the comparison of journal and books', () => {
  it('has nothing to say when every accepted share is in the journal once', () => {
    const refused = { verdict: code('duplicate'), seq: 4 };
    const { counts, kinds } = compare(
      [journaled(0), journaled(1), journaled(2), journaled(1, refused)],
      [told(0), told(1), told(2), told(1, { answer: code('duplicate'), intent: 'repeat' })],
      { accepted: 3, duplicate: 1 },
    );
    expect(kinds).toEqual([]);
    expect(counts).toEqual({
      ...{ journaled: 4, accepted: 3, told: 3, cutOff: 0, cutOffAccepted: 0 },
      acceptedDifficulty: 3 * DIFFICULTY,
    });
  });

  it('counts shares apart whose answer a disconnect cut off, stored or not', () => {
    const cutOff = { answer: UNANSWERED };
    const { counts, kinds } = compare(
      [journaled(0), journaled(1)],
      [told(0), told(1, cutOff), told(2, cutOff)],
    );
    expect(kinds).toEqual([]);
    expect([counts.told, counts.cutOff, counts.cutOffAccepted]).toEqual([1, 2, 1]);
  });

  it('takes a resent share for the one that was cut off', () => {
    const again = told(1, { answer: code('duplicate'), intent: 'resend' });
    const duplicate = journaled(1, { verdict: code('duplicate'), seq: 3 });
    expect(
      compare([journaled(0), journaled(1), duplicate], [told(0), told(1, { answer: UNANSWERED }), again])
        .kinds,
    ).toEqual([]);
  });

  const all = [0, 1, 2].map((n) => told(n));
  const stored = [0, 1, 2].map((n) => journaled(n));
  const harder = targetToBytesLE(targetFromDifficulty(DIFFICULTY * 2));
  it.each<[string, readonly JournaledShare[], readonly ToldShare[]]>([
    ['lost', stored.slice(1), all],
    ['doubled', [...stored, journaled(1, { seq: 4 })], all],
    ['told_twice', stored, [...all, told(1)]],
    ['never_sent', [...stored, journaled(3)], all],
    ['told_no', stored, [told(0), told(1), told(2, { answer: code('stale') })]],
    ['wrong_difficulty', [journaled(0, { difficulty: DIFFICULTY * 2 }), ...stored.slice(1)], all],
    ['wrong_target', [journaled(0, { targetLE: harder }), ...stored.slice(1)], all],
    ['wrong_worker', [journaled(0, { user: workerName(7, 0) }), ...stored.slice(1)], all],
    ['duplicate_of_nothing', stored, [...all, told(9, { answer: code('duplicate'), intent: 'resend' })]],
    ['wrong_answer', stored, [...all, told(9, { answer: code('low_difficulty') })]],
  ])('finds %s', (kind, journal, books) => {
    expect(compare(journal, books).kinds).toContain(kind);
  });

  it('finds a difficulty that is wrong although the answer was cut off', () => {
    const { kinds } = compare(
      [journaled(0, { difficulty: DIFFICULTY * 2 })],
      [told(0, { answer: UNANSWERED })],
    );
    expect(kinds).toEqual(['wrong_difficulty']);
  });

  it('finds an accepted share that does not meet its target', () => {
    const hash = hashOf(0);
    hash[31] = 1;
    expect(compare([journaled(0, { hash })], [told(0, { hash })]).kinds).toEqual(['wrong_target']);
  });

  it.each<[string, ToldShare['intent'], ...Parameters<typeof code>]>([
    ['work refused as a duplicate', 'work', 'duplicate'],
    ['work refused as unknown', 'work', 'unknown_job'],
    ['a repetition accepted', 'repeat', 'accepted'],
    ['work on an old tip accepted', 'old_tip', 'accepted'],
    ['work below the target accepted', 'low', 'accepted'],
    ['work that the pool could not store', 'work', 'storage_failed'],
  ])('finds %s', (_, intent, verdict) => {
    const share = journaled(0, { verdict: code(verdict) });
    expect(compare([share], [told(0, { intent, answer: code(verdict) })]).kinds).toContain('wrong_answer');
  });

  it('finds verdicts that do not add up', () => {
    const stale = { verdict: code('stale') };
    const notTold = compare([journaled(0), journaled(1, stale)], [told(0)]);
    expect(notTold.kinds).toEqual(['verdicts']);
    const notJournaled = compare([journaled(0)], [told(0), told(1, { answer: code('stale') })]);
    expect(notJournaled.kinds).toEqual(['verdicts']);
    const counted = compare([journaled(0)], [told(0)], { accepted: 1, stale: 1 });
    expect(counted.kinds).toEqual(['verdicts']);
    const cutOff = compare([journaled(0), journaled(1, stale)], [told(0), told(1, { answer: UNANSWERED })]);
    expect(cutOff.kinds).toEqual([]);
  });

  it('finds any one share that is taken out of the journal or put in twice', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(), fc.boolean(), (shares, which, doubles) => {
        const n = which % shares;
        const books = Array.from({ length: shares }, (_, i) => told(i));
        const journal = Array.from({ length: shares }, (_, i) => journaled(i));
        expect(compare(journal, books).kinds).toEqual([]);
        if (doubles) journal.push(journaled(n, { seq: shares + 1 }));
        else journal.splice(n, 1);
        const { list } = compare(journal, books);
        const [found] = list.filter(({ kind }) => kind === (doubles ? 'doubled' : 'lost'));
        expect(found?.count).toBe(1);
        expect(found?.examples[0]).toContain(Buffer.from(hashOf(n)).reverse().toString('hex'));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('counts every difference and keeps the first five in words', () => {
    const { list } = compare(
      [],
      Array.from({ length: 20 }, (_, n) => told(n)),
    );
    const lost = list.find(({ kind }) => kind === 'lost');
    expect([lost?.count, lost?.examples.length]).toEqual([20, 5]);
  });
});

describe('the books of the miners', () => {
  it('are read back as they were written, past the buffer', () => {
    const file = join(folder, 'told');
    const shares = Array.from({ length: 2500 }, (_, n) =>
      told(n, {
        ...{ difficulty: 1e-7 * (n + 1), miner: n * 1_000_000, worker: n, answer: n % 256 },
        intent: INTENTS[n % INTENTS.length] ?? 'work',
      }),
    );
    const writer = new ToldSharesWriter(file);
    for (const share of shares) writer.add(share);
    writer.close();
    expect(statSync(file).size).toBe(2500 * TOLD_SHARE_BYTES);
    const back = [...readToldShares(file)];
    expect(back.length).toBe(shares.length);
    back.forEach((share, n) => {
      expect({ ...share, hash: [...share.hash] }).toEqual({ ...shares[n], hash: [...hashOf(n)] });
    });
    truncateSync(file, 2500 * TOLD_SHARE_BYTES - 1);
    expect(() => [...readToldShares(file)]).toThrow('ends inside a record');
  });

  it('know every sentence of the verdicts, and no other', () => {
    for (const { code: verdict, stratumCode, reason, name } of VERDICTS) {
      if (name !== 'accepted') expect(answerOf(stratumCode, reason)).toBe(verdict);
    }
    expect(answerOf(21, 'Duplicate share')).toBe(UNKNOWN_ANSWER);
    expect(answerOf(undefined, undefined)).toBe(UNKNOWN_ANSWER);
  });
});

describe('WebSocket frames', () => {
  // RFC 6455, sections 1.3 and 5.7.
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
  const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
  const mask = Buffer.from('37fa213d', 'hex');

  function reader(said: string[]): WebSocketReader {
    return new WebSocketReader({
      ...{ key, mask: () => mask },
      onOpen: () => said.push('open'),
      onData: (bytes) => said.push(bytes.toString()),
      onReply: (frame) => said.push(`reply ${frame.toString('hex')}`),
      onClose: (closeCode, reason) => said.push(`close ${closeCode} ${reason}`),
    });
  }

  it('are those of the RFC', () => {
    expect(textFrame('Hello', mask).toString('hex')).toBe('818537fa213d7f9f4d5158');
    expect(closeFrame(1000, mask).toString('hex')).toBe('888237fa213d3412');
    expect(handshakeRequest('pool:443', '/stratum', key)).toBe(
      [
        'GET /stratum HTTP/1.1',
        'Host: pool:443',
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Key: ${key}`,
        'Sec-WebSocket-Version: 13',
        '',
        '',
      ].join('\r\n'),
    );
  });

  it.each([125, 126, 65_535, 65_536])('carry a text of %i characters', (length) => {
    const frame = textFrame('x'.repeat(length), mask);
    const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    expect(frame.length).toBe(2 + extended + 4 + length);
    const payload = frame.subarray(6 + extended).map((byte, i) => byte ^ (mask[i % 4] as number));
    expect(Buffer.from(payload).toString()).toBe('x'.repeat(length));
  });

  it('are read however the bytes are cut', () => {
    const long = 'y'.repeat(300);
    const stream = Buffer.concat([
      Buffer.from(head),
      Buffer.from('810548656c6c6f', 'hex'),
      Buffer.from([0x81, 126, 300 >> 8, 300 & 0xff]),
      Buffer.from(long),
      Buffer.from('8902cafe', 'hex'),
      Buffer.from('8a00', 'hex'),
      Buffer.concat([Buffer.from([0x88, 5, 0x03, 0xe9]), Buffer.from('bye')]),
    ]);
    const expected = [
      'open',
      'Hello',
      long,
      'reply 8a8237fa213dfd04',
      'reply 888237fa213d3413',
      'close 1001 bye',
    ];
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 8 }), (cuts) => {
        const said: string[] = [];
        const taken = reader(said);
        const edges = [0, ...cuts.sort((a, b) => a - b), stream.length];
        for (let i = 1; i < edges.length; i++) taken.push(stream.subarray(edges[i - 1], edges[i]));
        expect(said).toEqual(expected);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  it.each([
    ['another handshake', head.replace(accept, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
    ['a refusal', 'HTTP/1.1 404 Not Found\r\n\r\n'],
    ['a head without end', 'x'.repeat(9000)],
    ['a masked frame', `${head}\x81\x85`],
    ['a frame beyond all sense', `${head}\x82\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f`],
    ['an unknown kind of frame', `${head}\x83\x00`],
  ])('are refused: %s', (_, text) => {
    expect(() => reader([]).push(Buffer.from(text, 'latin1'))).toThrow();
  });
});

describe('the miners', () => {
  const farm = (seed: number, miners: number): Habits[] =>
    Array.from({ length: miners }, (_, number) => drawHabits(chanceOf(seed, number), 1000));

  it('follow from the seed', () => {
    expect(farm(5, 50)).toEqual(farm(5, 50));
    expect(farm(5, 50)).not.toEqual(farm(6, 50));
  });

  it('are mixed, also when they are only 60', () => {
    for (let seed = 0; seed < 20; seed++) {
      const habits = farm(seed, 60);
      for (const transport of TRANSPORTS) {
        expect(habits.filter((each) => each.transport === transport).length).toBeGreaterThan(2);
      }
      for (const habit of ['rollsVersions', 'repeats', 'lingers'] as const) {
        expect(habits.some((each) => each[habit])).toBe(true);
        expect(habits.every((each) => each[habit])).toBe(false);
      }
      expect(habits.some(({ sessionMs }) => sessionMs !== null)).toBe(true);
      expect(habits.some(({ workers }) => workers > 1)).toBe(true);
    }
  });
});

describe('memory growth', () => {
  it('is the slope of the second half alone, whatever the warm-up did', () => {
    const samples = Array.from({ length: 60 }, (_, i) => {
      const minutes = (i + 1) / 6;
      return { minutes, kB: minutes < 4 ? 80_000 + minutes * 20_000 : 160_000 + minutes * 300 };
    });
    expect(memoryGrowth(samples)).toBeCloseTo(300, 6);
  });

  it('is 0 where nothing can be said', () => {
    expect(memoryGrowth([])).toBe(0);
    expect(memoryGrowth([{ minutes: 1, kB: 5 }])).toBe(0);
  });
});

describe('the certificate', () => {
  it('is one for 127.0.0.1 that TLS takes with its key', () => {
    const { cert, key } = loopbackCertificate();
    const parsed = new X509Certificate(cert);
    expect(parsed.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(parsed.checkIP('127.0.0.2')).toBeUndefined();
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(Date.parse(parsed.validFrom)).toBeLessThan(Date.now());
    expect(Date.parse(parsed.validTo)).toBeGreaterThan(Date.now());
    expect(() => createSecureContext({ cert, key })).not.toThrow();
  });
});

describe('the command line', () => {
  it('has the run that is asked for as its default', () => {
    expect(readOptions([])).toEqual({ minutes: 10, miners: 2000, seed: 1, engine: 'thread', jsonFile: null });
    expect(readOptions(['--minutes', '0.5', '--miners', '60', '--engine', 'pool', '--json', 'f'])).toEqual({
      ...{ minutes: 0.5, miners: 60, seed: 1, engine: 'pool', jsonFile: 'f' },
    });
    expect(readOptions(['--help'])).toBeNull();
  });

  it.each([
    [['--minutes', '0']],
    [['--minutes', 'x']],
    [['--miners', '1.5']],
    [['--miners', '20001']],
    [['--seed', '-1']],
    [['--engine', 'both']],
    [['--what']],
    [['more']],
  ])('refuses %j', (args) => {
    expect(() => readOptions(args)).toThrow(UsageError);
  });
});
