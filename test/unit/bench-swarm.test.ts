// The client of the stratum suite: what it sends, what it takes for an answer, and what it must not overlook.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { monotonicMs } from '../../loadtest/bench/swarm-clock.js';
import { JobReader } from '../../loadtest/bench/swarm-miner.js';
import { AckRecord, TipWatch } from '../../loadtest/bench/swarm-records.js';
import { Reply, scanReply } from '../../loadtest/bench/swarm-reply.js';
import { SUBMITS_OPEN_MAX, SubmitBook, SubmitLine } from '../../loadtest/bench/swarm-submit.js';

const SEED = 20_250_707;

interface Submit {
  id: number;
  method: string;
  params: [string, string, string, string, string];
}

function submitOf(line: SubmitLine, id: number): Submit {
  line.number(id);
  const text = line.bytes.toString('latin1');
  expect(text.endsWith('\n')).toBe(true);
  return JSON.parse(text) as Submit;
}

describe('a submit', () => {
  it('is what a miner would send', () => {
    const line = new SubmitLine('account.7', '1f', 8, '68d1a2b3');
    const { id, method, params } = submitOf(line, 123_456_789);
    expect([id, method]).toEqual([123_456_789, 'mining.submit']);
    expect(params.slice(0, 4)).toEqual(['account.7', '1f', '00000000075bcd15', '68d1a2b3']);
    expect(params[4]).toMatch(/^[0-9a-f]{8}$/);
  });

  it.each([0, 1, 2, 4, 8])('never repeats with an extranonce2 of %i bytes', (bytes) => {
    const line = new SubmitLine('a.0', '1', bytes, '68d1a2b3');
    const seen = new Set<string>();
    for (let id = 100_000_000; id < 100_004_000; id++) {
      const { params } = submitOf(line, id);
      expect(params[2]).toHaveLength(bytes * 2);
      seen.add(params[2] + params[4]);
    }
    expect(seen.size).toBe(4000);
  });
});

describe('the book of open submits', () => {
  it('settles each submit once, for the connection that sent it', () => {
    const book = new SubmitBook();
    const first = book.add(0, 1.5);
    const second = book.add(1, 2.5);
    expect(book.settle(second, 0)).toBeNaN();
    expect(book.settle(first, 0)).toBe(1.5);
    expect(book.settle(first, 0)).toBeNaN();
    expect(book.settle(second + 1, 1)).toBeNaN();
    expect(book.settle(0, 0)).toBeNaN();
    expect([book.submitted, book.open]).toEqual([2, 1]);
    expect(book.settle(second, 1)).toBe(2.5);
    expect(book.open).toBe(0);
  });

  it('does not forget a submit that is never answered', () => {
    const book = new SubmitBook();
    const lost = book.add(0, 0);
    for (let i = 1; i < SUBMITS_OPEN_MAX; i++) book.settle(book.add(1, 0), 1);
    expect(() => book.add(1, 0)).toThrow(`submit ${lost} was never answered`);
  });
});

describe('an answer', () => {
  const reply = new Reply();
  const scan = (text: string): number => scanReply(Buffer.from(text), 0, Buffer.byteLength(text), reply);

  it('is read whatever order and spaces a pool writes', () => {
    const result = fc.constantFrom(
      { result: true, error: null },
      { result: true },
      { result: false, error: null },
      { result: null, error: [21, 'Job "id" not found', null] },
      { error: { code: 23, message: 'low difficulty' }, result: null },
      { error: [20, 'no result member'] },
    );
    fc.assert(
      fc.property(
        fc.nat({ max: 999_999_999 }),
        result,
        fc.boolean(),
        fc.constantFrom('', ' '),
        (id, verdict, idFirst, space) => {
          const entries = Object.entries(verdict).map((pair) => pair as [string, unknown]);
          const all = idFirst ? [['id', id], ...entries] : [...entries, ['id', id]];
          const body = all
            .map(([key, value]) => `"${key}":${space}${JSON.stringify(value)}`)
            .join(`,${space}`);
          const text = `{${body}}\n`;
          expect(scan(`${text}{"id":1`)).toBe(text.length);
          expect(reply).toEqual({ id, accepted: 'result' in verdict && verdict.result === true });
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
  });

  it.each([
    ['a notification', '{"id":null,"method":"mining.notify","params":["1",true]}\n'],
    ['a request of the pool', '{"method":"client.get_version","id":5,"params":[]}\n'],
    ['a line without a number', '{"id":null,"result":true,"error":null}\n'],
    ['a line without a result', '{"id":7}\n'],
    ['a line that has no end yet', '{"id":7,"result":true,"error":null}'],
  ])('is not %s', (_, text) => {
    expect(scan(text)).toBe(-1);
  });

  it('ends where its bytes end: what an earlier read left behind them is not looked at', () => {
    const text = '{"id":7,"result":true}\n';
    for (let end = 0; end < text.length; end++) {
      expect(scanReply(Buffer.from(text), 0, end, reply)).toBe(-1);
    }
  });
});

describe('a job', () => {
  const notify = (id: string, clean: boolean, ntime = '68d1a2b3'): Buffer =>
    Buffer.from(
      JSON.stringify({
        id: null,
        method: 'mining.notify',
        params: [id, '00', '00', '00', [], '20000000', '17023a04', ntime, clean],
      }),
    );

  it('is read from mining.notify, the same line again and the next one', () => {
    const jobs = new JobReader();
    const first = jobs.read(notify('a', true));
    expect(first).toEqual({ id: 'a', ntime: '68d1a2b3', clean: true });
    expect(jobs.read(notify('a', true))).toBe(first);
    expect(jobs.read(notify('b', false))).toMatchObject({ id: 'b', clean: false });
  });

  it('is nothing else', () => {
    const jobs = new JobReader();
    const subscribed = '{"id":1,"result":[[["mining.notify","1"]],"01",8],"error":null,"params":[]}';
    expect(jobs.read(Buffer.from(subscribed))).toBeNull();
    expect(jobs.read(Buffer.from('{"method":"mining.set_difficulty","params":[1]}'))).toBeNull();
  });
});

describe('what is written down', () => {
  it('are the times of the submits planned in a span, however many', () => {
    const record = new AckRecord();
    const count = 70_000;
    for (let i = count; i > 0; i--) record.add(i, i / 1000);
    const { submits, ackMs } = record.between(1, 1000);
    expect(submits).toBe(1000);
    expect(ackMs).toEqual({ p50: 0.5, p99: 0.99, p999: 0.999 });
    expect(record.between(1, count).ackMs.p50).toBe(35);
    expect(record.between(count + 1, count + 2)).toEqual({ submits: 0, ackMs: { p50: 0, p99: 0, p999: 0 } });
  });

  it('is when the first and the last connection had the new tip', () => {
    const before = monotonicMs();
    const tip = new TipWatch(2);
    tip.arrived();
    expect(tip.missing).toBe(1);
    tip.arrived();
    expect(tip.missing).toBe(0);
    expect(tip.firstAtMs).toBeGreaterThanOrEqual(before);
    expect(tip.lastAtMs).toBeGreaterThanOrEqual(tip.firstAtMs);
  });
});
