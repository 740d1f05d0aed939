// Rules that hold for every line on every connection, whatever a case is about: each is checked on what the pool
// sent in all cases and reported like a case of its own, under wire/.
import { parseNotify } from '../../loadtest/mining-job.js';
import type { Level } from './case.js';
import { type Connection, isReply, type Received, type Sent } from './connection.js';
import { cut, shown } from './expectation.js';

/** What a rule says about one connection: null fine, undefined nothing to judge, text a violation. */
type Judgement = string | null | undefined;

export interface Observation {
  readonly name: string;
  readonly level: Level;
  readonly rule: string;
  readonly source: string;
  judge(connection: Connection, host: string): Judgement;
}

/** A difficulty and the job that carries it arrive together. */
const TOGETHER_MS = 1000;
const FIELD_CODES = [20, 21, 22, 23, 24, 25];
const WORD = /^[0-9a-fA-F]{8}$/;

export const OBSERVATIONS: readonly Observation[] = [
  {
    name: 'wire/json-objects',
    level: 'must',
    rule: 'each line of the pool is one JSON object',
    source: 'Stratum: JSON-RPC, one message a line',
    judge: ({ received }) => firstOf(received, ({ message, line }) => (message === null ? cut(line) : null)),
  },
  {
    name: 'wire/reply-members',
    level: 'must',
    rule: 'a reply carries id, result and error, also where one is null',
    source: 'JSON-RPC 1.0; NiceHash refuses replies without error (miningcore#1709)',
    judge: ({ received }) =>
      firstOf(replies(received), ({ message, line }) =>
        ['id', 'result', 'error'].every((member) => message !== null && member in message) ? null : cut(line),
      ),
  },
  {
    name: 'wire/error-shape',
    level: 'must',
    rule: 'an error is [code, reason, ...] with a whole number and words, and no result stands beside it',
    source: "slush0's Stratum: error triples",
    judge: ({ received }) =>
      firstOf(errors(received), ({ message, line }) => {
        const error = message?.error;
        const fits = Array.isArray(error) && Number.isInteger(error[0]) && typeof error[1] === 'string';
        const alone = message?.result === null || message?.result === false;
        return fits && alone && error[1] !== '' ? null : cut(line);
      }),
  },
  {
    name: 'wire/error-codes',
    level: 'should',
    rule: 'error codes are those of the field, 20 to 25',
    source: "slush0's stratum-mining, ckpool",
    judge: ({ received }) =>
      firstOf(errors(received), ({ message, line }) => (fieldCode(message) !== null ? null : cut(line))),
  },
  {
    name: 'wire/one-reply',
    level: 'must',
    rule: 'a request is answered once',
    source: 'JSON-RPC 1.0',
    judge(connection) {
      const asked = new Map<unknown, number>();
      for (const { message } of connection.sent) asked.set(message.id, (asked.get(message.id) ?? 0) + 1);
      const answered = new Map<unknown, number>();
      return firstOf(replies(connection.received), ({ message, line }) => {
        const id = message?.id;
        if (id === null || !asked.has(id)) return null;
        const times = (answered.get(id) ?? 0) + 1;
        answered.set(id, times);
        return times > (asked.get(id) as number) ? `reply ${times}: ${cut(line)}` : null;
      });
    },
  },
  {
    name: 'wire/difficulty-before-first-job',
    level: 'must',
    rule: 'mining.set_difficulty comes before the first mining.notify',
    source: 'ckpool; without it the miner works at difficulty 1',
    judge({ received }) {
      const job = received.findIndex((line) => isCall(line, 'mining.notify'));
      if (job < 0) return undefined;
      const difficulty = received.findIndex((line) => isCall(line, 'mining.set_difficulty'));
      return difficulty >= 0 && difficulty < job ? null : 'a job before any difficulty';
    },
  },
  {
    name: 'wire/difficulty-value',
    level: 'must',
    rule: 'an announced difficulty is a finite number above 0',
    source: "slush0's Stratum",
    judge: ({ received }) =>
      firstOf(calls(received, 'mining.set_difficulty'), ({ message, line }) => {
        const [value] = paramsOf(message);
        return typeof value === 'number' && Number.isFinite(value) && value > 0 ? null : cut(line);
      }),
  },
  {
    name: 'wire/difficulty-with-job',
    level: 'should',
    rule: 'a new difficulty is followed at once by the job it holds for',
    source: 'Spiral-Pool#10, ESP-Miner#212: firmware applies it to the jobs it has',
    judge: difficultyWithJob,
  },
  {
    name: 'wire/notify-shape',
    level: 'must',
    rule: 'mining.notify has its nine parameters in their forms',
    source: "slush0's Stratum",
    judge: ({ received }) =>
      firstOf(calls(received, 'mining.notify'), ({ message }) => {
        const params = paramsOf(message);
        try {
          parseNotify(params, {
            difficulty: 1,
            targetLE: new Uint8Array(32),
            extranonce1: new Uint8Array(0),
            extranonce2Bytes: 0,
          });
          return [5, 6, 7].every((i) => WORD.test(String(params[i]))) ? null : shown(params.slice(5));
        } catch (error) {
          return (error as Error).message;
        }
      }),
  },
  {
    name: 'wire/first-job-clean',
    level: 'should',
    rule: 'the first job of a new session has clean_jobs true',
    source: 'ckpool, NOMP: firmware starts with empty hands',
    judge({ received, sent }) {
      const [first] = calls(received, 'mining.notify');
      // Who takes up a session has work in hand, and it stays good while the tip does.
      if (first === undefined || sent.some(resumes)) return undefined;
      return paramsOf(first.message)[8] === true ? null : cut(first.line);
    },
  },
  {
    name: 'wire/job-ids-unique',
    level: 'must',
    rule: 'no job id is sent twice on a connection',
    source: 'ESP-Miner#1587: the same job again restarts extranonce2 and yields real duplicates',
    judge({ received }) {
      const seen = new Set<unknown>();
      return firstOf(calls(received, 'mining.notify'), ({ message }) => {
        const [id] = paramsOf(message);
        if (seen.has(id)) return `job id ${shown(id)} again`;
        seen.add(id);
        return null;
      });
    },
  },
  {
    name: 'wire/notifications-without-id',
    level: 'should',
    rule: 'what the pool announces by itself has the id null or none',
    source: "JSON-RPC 1.0; slush0's Stratum",
    judge: ({ received }) =>
      firstOf(
        [
          'mining.notify',
          'mining.set_difficulty',
          'mining.set_version_mask',
          'mining.set_extranonce',
        ].flatMap((method) => calls(received, method)),
        ({ message, line }) => ((message?.id ?? null) === null ? null : cut(line)),
      ),
  },
  {
    name: 'wire/set-version-mask',
    level: 'must',
    rule: 'mining.set_version_mask carries 8 hex digits and goes only to who configured version rolling',
    source: 'BIP310',
    judge: ({ received, sent }) =>
      firstOf(calls(received, 'mining.set_version_mask'), ({ message, line }) => {
        const [mask] = paramsOf(message);
        const asked = sent.some(({ message }) => message.method === 'mining.configure');
        return asked && typeof mask === 'string' && WORD.test(mask) ? null : cut(line);
      }),
  },
  {
    name: 'wire/set-extranonce',
    level: 'must',
    rule: 'mining.set_extranonce carries hex and a length and goes only to who asked for it',
    source: 'NiceHash specification; most firmware cannot take it (sv2-apps#247)',
    judge: ({ received, sent }) =>
      firstOf(calls(received, 'mining.set_extranonce'), ({ message, line }) => {
        const [extranonce1, bytes] = paramsOf(message);
        const fits = typeof extranonce1 === 'string' && /^([0-9a-f]{2})*$/i.test(extranonce1);
        const asked = sent.some(({ message }) =>
          ['mining.extranonce.subscribe', 'mining.configure'].includes(String(message.method)),
        );
        return asked && fits && Number.isInteger(bytes) ? null : cut(line);
      }),
  },
  {
    name: 'wire/reconnect-same-host',
    level: 'must',
    rule: 'client.reconnect never names another host',
    source: 'the 2014 hijack moved miners by it',
    judge: ({ received }, host) =>
      firstOf(calls(received, 'client.reconnect'), ({ message, line }) => {
        const [to] = paramsOf(message);
        return to === undefined || to === null || to === '' || to === host ? null : cut(line);
      }),
  },
];

function difficultyWithJob({ received, endMs }: Connection): Judgement {
  const told = received.filter(
    (line) => isCall(line, 'mining.notify') || isCall(line, 'mining.set_difficulty'),
  );
  const first = told.findIndex((line) => isCall(line, 'mining.notify'));
  let judged: Judgement;
  for (let i = first + 1; first >= 0 && i < told.length; i++) {
    const line = told[i] as Received;
    if (!isCall(line, 'mining.set_difficulty')) continue;
    const next = told[i + 1];
    if (next === undefined && endMs - line.atMs < TOGETHER_MS) continue;
    judged = null;
    if (next === undefined || next.atMs - line.atMs > TOGETHER_MS) return `alone: ${cut(line.line)}`;
    if (!isCall(next, 'mining.notify')) return `followed by ${cut(next.line)}`;
  }
  return judged;
}

/** The first violation among the lines; undefined when there is no line. */
function firstOf(lines: readonly Received[], violation: (line: Received) => string | null): Judgement {
  if (lines.length === 0) return undefined;
  for (const line of lines) {
    const found = violation(line);
    if (found !== null) return found;
  }
  return null;
}

function replies(received: readonly Received[]): Received[] {
  return received.filter(({ message }) => isReply(message));
}

function errors(received: readonly Received[]): Received[] {
  return replies(received).filter(({ message }) => (message?.error ?? null) !== null);
}

function calls(received: readonly Received[], method: string): Received[] {
  return received.filter((line) => isCall(line, method));
}

function paramsOf(message: Received['message']): readonly unknown[] {
  return Array.isArray(message?.params) ? message.params : [];
}

/** The error's code where it is one of the field. */
function fieldCode(message: Received['message']): number | null {
  const error = message?.error;
  return Array.isArray(error) && FIELD_CODES.includes(error[0]) ? error[0] : null;
}

function resumes({ message }: Sent): boolean {
  const { method, params } = message;
  return method === 'mining.subscribe' && Array.isArray(params) && typeof params[1] === 'string';
}

function isCall({ message }: Received, method: string): boolean {
  return message?.method === method && Array.isArray(message.params);
}
